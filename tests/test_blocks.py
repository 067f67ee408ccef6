import keras
import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.models import blocks
from skyseg_tf.models.blocks import BatchNormalization


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX adds in order by itself")
def test_a_fork_adds_its_gradients_in_order():
    """In float32, 1 is lost beside 1e8 unless the two large ones have gone first."""
    fork = blocks.Fork(3)
    x = tf.ones((2, 3))
    for factors, wanted in (
        ((1e8, -1e8, 1.0), 1.0),
        ((1e8, 1.0, -1e8), 0.0),
        ((1.0, 1e8, -1e8), 0.0),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = sum(
                k * branch for k, branch in zip(factors, fork(x, training=True), strict=True)
            )
        np.testing.assert_array_equal(tape.gradient(total, x), np.full((2, 3), wanted))
    for branch in fork(x, training=False):
        np.testing.assert_array_equal(branch, x)


def test_fused_batch_norm_trains_as_keras_does():
    """Outputs and gradients equal Keras' own; the moving variance is PyTorch's unbiased one."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(2, 3, (4, 5, 6, 7)).astype(np.float32))
    weight = tf.constant(rng.normal(size=x.shape).astype(np.float32))
    results = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3)
        layer.build(x.shape)
        layer.gamma.assign(np.linspace(0.5, 1.5, 7))
        layer.beta.assign(np.linspace(-1, 1, 7))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y * weight)
        results.append([y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])])
        mean, variance = x.numpy().mean((0, 1, 2)), x.numpy().var((0, 1, 2))
        if kind is BatchNormalization:
            variance = variance * 120 / 119
        np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4)
        np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer(x), layer(x, training=False))


def test_fused_batch_norm_under_bfloat16_keeps_float32_statistics():
    layer = BatchNormalization(dtype="mixed_bfloat16")
    y = layer(np.random.default_rng(0).normal(5, 2, (8, 6, 6, 3)).astype(np.float32), training=True)
    assert y.dtype == tf.bfloat16
    assert layer.moving_mean.dtype == "float32"
    assert abs(float(tf.reduce_mean(tf.cast(y, tf.float32)))) < 0.05


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="not measured on JAX")
@pytest.mark.parametrize(
    ("policy", "gpus", "wanted"),
    [
        ("mixed_bfloat16", [], "float32"),
        ("mixed_bfloat16", ["GPU:0"], "bfloat16"),
        ("mixed_float16", [], "float16"),
        ("float32", [], "float32"),
    ],
)
def test_depthwise_convolutions_compute_in_float32_on_cpus(monkeypatch, policy, gpus, wanted):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((8, 8, 4))
        model = keras.Model(image, blocks.depthwise(image, 3, "dw"))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("dw").compute_dtype == wanted
