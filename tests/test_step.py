import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from skyseg_tf.models import blocks
from skyseg_tf.models.networks import Recipe
from skyseg_tf.training.loop import Checkpointing, Told, _validate
from skyseg_tf.training.optimizer import OPTIMIZERS, compile_model
from skyseg_tf.training.progress import Progress, Schedule


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        images = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
        yield images, (images[..., 0] > 0).astype(np.uint8)


def trained(decay, steps, seed=0):
    """A tiny network after some steps, and its weights after each."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3))
    x = image
    for i in range(2):
        x = blocks.relu(blocks.batch_norm(blocks.conv(x, 16, 3, f"conv{i}"), f"norm{i}"))
    logits = blocks.conv(x, 1, 1, "head", bias=True)
    network = keras.Model(image, {"logits": logits}, name="skynet")
    model = compile_model(network, Recipe("adam", 1e-2), steps=100, ema=decay)
    seen = [model.get_weights()]
    for images, masks in batches(steps):
        model.train_on_batch(images, masks)
        seen.append(model.get_weights())
    return model, seen


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_averages_follow_their_formula(decay):
    model, seen = trained(decay, 12)
    wanted = seen[0]
    for step, weights in enumerate(seen[1:]):
        d = min(decay, (1 + step) / (10 + step))
        wanted = [d * a + (1 - d) * w for a, w in zip(wanted, weights, strict=True)]
    with model.averaged():
        model.evaluate(*next(batches(1)), verbose=0)
        for value, want in zip(model.get_weights(), wanted, strict=True):
            np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
    assert len(model.weights) == 12
    for value, want in zip(model.get_weights(), seen[-1], strict=True):
        assert np.array_equal(value, want)
    model.fit(*next(batches(1)), verbose=0)  # the averages are still there to go on


def values_after(steps, optimizer, variables, rng):
    import tensorflow as tf

    @tf.function
    def apply(gradients):
        optimizer.apply(gradients, variables)

    for _ in range(steps):
        apply([tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables])
    return [v.numpy() for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize("batches_of_a_step", [None, 2])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_optimizers_step_as_those_of_keras(name, batches_of_a_step):
    options = {"gradient_accumulation_steps": batches_of_a_step}
    theirs = {
        "adam": keras.optimizers.Adam(1e-2, **options),
        "sgd": keras.optimizers.SGD(1e-2, momentum=0.9, **options),
    }[name]
    ended = []
    for optimizer in (theirs, OPTIMIZERS[name](1e-2, **options)):
        rng = np.random.default_rng(0)
        variables = [
            keras.Variable(rng.normal(size=size), dtype="float32") for size in ((3, 3, 4, 8), (8,))
        ]
        optimizer.build(variables)
        ended.append(values_after(6, optimizer, variables, rng))
    for keras_value, ours in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, keras_value, rtol=2e-5, atol=1e-7)


def test_averaging_leaves_the_training_as_it_was():
    for a, b in zip(trained(0.9, 4)[1][-1], trained(0, 4)[1][-1], strict=True):
        assert np.array_equal(a, b)


def test_averaged_statistics_belong_to_the_averaged_weights():
    """They come near those that the averaged weights would measure on the data themselves."""
    model, _ = trained(0.9, 80)
    images = np.concatenate([images for images, _ in batches(64, seed=1)])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    inputs = keras.Model(model.inputs, [norm.input for norm in norms])
    with model.averaged():
        for norm, x in zip(norms, inputs.predict_on_batch(images), strict=True):
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            error = np.abs(np.asarray(norm.moving_mean) - mean) / np.sqrt(variance + 1e-3)
            assert np.median(error) < 0.15
            ratio = np.asarray(norm.moving_variance) / (variance + 1e-6)
            assert 0.75 < np.median(ratio) < 1.33


def test_a_validation_that_is_left_leaves_the_own_weights(tmp_path):
    """They, and not the averages that it scores, are what a training goes on with."""
    model, seen = trained(0.9, 12)
    progress, rows = Progress(""), [batch for batch, _ in zip(batches(3), range(3), strict=True)]
    checkpointing = Checkpointing(tmp_path, Schedule(1, 3), progress, lambda: 15)
    with model.averaged():
        averages = model.get_weights()
        with pytest.raises(Told):
            _validate(model, Rows(rows), progress, checkpointing)
    checkpointing.save()
    for value, want, average in zip(model.get_weights(), seen[-1], averages, strict=True):
        assert np.array_equal(value, want)
        assert not np.array_equal(want, average)


class Rows(keras.utils.PyDataset):
    """Batches."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_on_jax_too(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_step as t\n"
        "import keras, pathlib; assert keras.backend.backend() == 'jax'\n"
        "t.test_averages_follow_their_formula(0.5)\n"
        f"t.test_a_validation_that_is_left_leaves_the_own_weights(pathlib.Path({str(tmp_path)!r}))"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"KERAS_BACKEND": "jax"}
    )
