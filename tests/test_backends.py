"""The same files train on both backends of Keras, and say the same."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from skyseg_tf.models import MODELS

TWO_STEPS = """
import json, sys
import keras, numpy as np
from skyseg_tf.models import MODELS, build_model
from skyseg_tf.training.optimizer import compile_model

name = sys.argv[1]
rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
size = (64, 96)
network = build_model(name, 3, size=size)
for layer in network.layers:
    if isinstance(layer, keras.layers.Dropout):
        layer.rate = 0.0  # each backend draws noise of its own
for variable in network.variables:
    if variable.path.endswith("kernel"):  # the other weights begin as zeros and ones
        shape = variable.shape
        taps = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
        variable.assign(rng.standard_normal(shape) * np.sqrt(2 / taps))
network = compile_model(network, MODELS[name].recipe, steps=100)
frames = (4,) if MODELS[name].sequence else ()
images = rng.standard_normal((2, *frames, *size, 3)).astype("float32")
mask = rng.integers(0, 3, (2, *size)).astype("uint8")
mask[:, :8] = 255
losses = []
for _ in range(2):
    result = network.train_on_batch(images, mask, return_dict=True)
    losses.append(float(result["loss"]))
    network.reset_metrics()
print(json.dumps(losses))
"""


def run(argv: list, backend: str) -> str:
    """Output of a Python process with that backend."""
    done = subprocess.run(
        [sys.executable, *map(str, argv)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_an_epoch_on_drawn_records(backend, records, tmp_path):
    """JAX also goes on from its checkpoint."""
    flags = ["--records", records, "--model", "skynet", "--epochs", "1", "--batch-size", "4",
             "--ema", "0.9", "--run", tmp_path / "run",
             "--plots", tmp_path / "plots", "--checkpoint-steps", "1"]  # fmt: skip
    for argv in (flags, ["--resume", tmp_path / "run"]):
        run(["-m", "skyseg_tf.train", "--quiet", *argv], backend)
    with open(tmp_path / "run" / "history.csv") as file:
        row = next(csv.DictReader(file))
    assert 0 < float(row["loss"]) < 10
    assert 0 <= float(row["val_iou"]) <= 1
    assert (tmp_path / "run" / "model.keras").exists()
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_step_changes_the_loss_alike(name):
    """From equal weights: the loss, and the loss after one step of the recipe's optimizer."""
    first, second = (
        json.loads(run(["-c", TWO_STEPS, name], backend).splitlines()[-1])
        for backend in ("tensorflow", "jax")
    )
    np.testing.assert_allclose(first[0], second[0], rtol=1e-4)
    np.testing.assert_allclose(first[1], second[1], rtol=5e-3)
    assert abs(first[1] - first[0]) > 1e-3 * first[0]  # the step did something
