import keras
import numpy as np
import tensorflow as tf

from skyseg_tf.models.blocks import BatchNormalization


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
