import keras
import numpy as np
import pytest

from skyseg_tf.training.learning_rate import (
    RisingRate,
    find_rate,
    plot_rate_curve,
    rate_curve,
    smoothed,
)


def test_the_rate_rises_in_equal_factors():
    rates = [float(RisingRate(1e-4, 1.0, 5)(step)) for step in range(5)]
    np.testing.assert_allclose(rates, [1e-4, 1e-3, 1e-2, 1e-1, 1.0], rtol=1e-5)


def test_smoothing_is_a_weighted_mean():
    losses = np.random.default_rng(0).normal(size=7)
    weights = 0.9 ** np.arange(6, -1, -1)
    assert smoothed(losses)[-1] == pytest.approx(np.average(losses, weights=weights))
    np.testing.assert_allclose(smoothed([3.0] * 5), 3.0)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    rates = np.logspace(-6, 0, 100)
    # A plateau, a fall centred at 1e-3, and an explosion, with the noise of small batches.
    losses = 1 - 0.8 / (1 + (1e-3 / rates) ** 2) + 100 * (rates > 0.3)
    losses += 0.05 * np.random.default_rng(0).normal(size=100)
    curve = rate_curve(rates, losses)
    assert 5e-4 < curve.suggested < 2e-3
    assert rate_curve(rates[:3], [1.0, np.nan, np.nan]).suggested in rates
    assert plot_rate_curve(curve, "title").axes[0].get_xscale() == "log"


def test_a_training_ends_when_its_loss_explodes():
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(1)(image))
    schedule = RisingRate(1e-3, 1e4, 60)
    model.compile(keras.optimizers.SGD(schedule), loss="mse")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    curve = find_rate(model, [(x, x.sum(1, keepdims=True))] * 3, schedule)
    assert 5 < len(curve.rates) == len(curve.losses) < 60
    assert not curve.losses[-1] < 3 * curve.losses.min()
    # Gradient descent on a quadratic diverges beyond 2 / (largest eigenvalue of its Hessian).
    limit = 2 / np.linalg.eigvalsh(2 * x.T @ x / 8).max()
    assert curve.suggested < limit < curve.rates[-1]
