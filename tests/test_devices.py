"""Data-parallel training on two logical CPU devices, in processes of their own."""

import os
import subprocess
import sys

import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.training import devices
from skyseg_tf.training.devices import use_devices

# A network without batch normalization, whose statistics would be those of half a batch.
SETUP = """
import os, sys
import numpy as np
jax = os.environ["KERAS_BACKEND"] == "jax"
import tensorflow as tf
if not jax:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from skyseg_tf.training.devices import evened, use_devices, whole_batches
from skyseg_tf.models import blocks
from skyseg_tf.models.networks import Recipe
from skyseg_tf.training.optimizer import compile_model

def small():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = blocks.relu(blocks.conv(image, 8, 3, "conv", bias=True))
    logits = blocks.conv(x, 1, 1, "head", bias=True)
    network = keras.Model(image, {"logits": logits}, name="skynet")
    recipe = Recipe("sgd", 0.1, loss=("cross_entropy",) * 2)
    model = compile_model(network, recipe, steps=100, ema=0.9)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(12, 8, 8, 3)).astype(np.float32)
    masks = (images[..., 0] > 0).astype(np.uint8)
    return model, images, masks

"""

# Two trainings of the same steps.
TRAIN = """
def trained(devices):
    with use_devices(devices, 4):
        model, images, masks = small()
        history = model.fit(images, masks, batch_size=4, shuffle=False, verbose=0).history
        found = [keras.ops.convert_to_numpy(w) for w in model.weights]
        with model.averaged():
            found += [keras.ops.convert_to_numpy(w) for w in model.weights]
        val = tf.data.Dataset.from_tensor_slices((images[:9], masks[:9]))
        val = evened(val.batch(4), devices)
        with whole_batches():
            scores = model.evaluate(val, verbose=0, return_dict=True)
        return found, {name: [*history[name], scores[name]] for name in scores}

(one, history1), (two, history2) = trained(1), trained(2)
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
for a, b in zip(history1["loss"], history2["loss"], strict=True):  # of training and validation
    assert abs(a - b) < 1e-5, (history1, history2)
assert history1["iou"] == history2["iou"], (history1, history2)
"""

# A checkpoint within an epoch, and what the metrics are when it is gone on from.
GO_ON = """
from skyseg_tf.training.loop import Checkpointing
from skyseg_tf.training.progress import Progress, Schedule

with use_devices(2, 4):
    model, images, masks = small()
    saved = Checkpointing(sys.argv[1], Schedule(1, 2, 1), Progress(), lambda: 0)
    model.fit(images[:4], masks[:4], batch_size=4, verbose=0, callbacks=[saved])
    matrix, loss = model.iou.matrix(), float(model.mean_loss.result())
    assert (matrix % 2).any() and loss, matrix
    model.reset_metrics()
    saved.on_epoch_begin(0)
    np.testing.assert_array_equal(model.iou.matrix(), matrix)
    assert float(model.mean_loss.result()) == loss
"""


def run(code, backend, *args):
    """Runs code with two devices, of one processor each."""
    flags = {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code, *args],
        env=os.environ | flags,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_like_one(backend):
    run(TRAIN, backend)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_metrics_of_two_devices_go_on_exactly(backend, tmp_path):
    """TensorFlow would share whole numbers out between them, and round."""
    run(GO_ON, backend, tmp_path)


def test_what_cannot_be_split_is_refused(monkeypatch):
    cpu = "--devices 64: this machine has no GPU, and its CPU is 1 device: give no more"
    with pytest.raises(InputError, match=cpu), use_devices(64, 64):
        pass
    monkeypatch.setattr(devices, "_tensorflow_devices", lambda: ["/device:GPU:0", "/device:GPU:1"])
    with (
        pytest.raises(InputError, match="this machine has 2 GPUs: give no more"),
        use_devices(3, 3),
    ):
        pass
    with use_devices(1, 3):
        pass
