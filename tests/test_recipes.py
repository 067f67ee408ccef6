import keras
import numpy as np
import pytest

from skyseg_tf.models import MODELS, build_model
from skyseg_tf.models.networks import Recipe
from skyseg_tf.training.losses import LOSSES, cross_entropy
from skyseg_tf.training.optimizer import OPTIMIZERS, WarmupPolynomial, compile_model


@pytest.mark.parametrize("name", MODELS)
def test_the_recipe_of_every_network_can_be_followed(name):
    recipe = MODELS[name].recipe
    assert recipe.optimizer in OPTIMIZERS
    assert set(recipe.loss) <= LOSSES.keys()
    assert 0 < recipe.learning_rate < 1


def test_schedule():
    schedule = WarmupPolynomial(0.5, steps=1000, power=0.9, warmup_steps=10)
    for step in (0, 4, 9, 10, 500, 999, 1000):
        wanted = 0.5 * (1 - step / 1000) ** 0.9 * min((step + 1) / 10, 1)
        assert float(schedule(step)) == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    assert WarmupPolynomial(1, 50, 0.9, 1000).warmup_steps == 5
    assert float(WarmupPolynomial(0.5, 10, 0.0)(9)) == pytest.approx(0.5)


def test_weight_decay_is_the_penalty_of_torch_and_spares_biases():
    """One SGD step on a loss without gradient moves kernels by -rate x decay x kernel alone."""
    model = build_model("skynet", 1, size=(8, 8))
    before = {v.path: v.numpy() for v in model.trainable_variables}
    recipe = Recipe("sgd", 0.1, power=0.0, weight_decay=0.01)
    mask = np.full((1, 8, 8), 255, np.uint8)
    trained = compile_model(model, recipe, steps=10)
    trained.train_on_batch(np.zeros((1, 8, 8, 3), np.float32), mask)
    for variable in model.trainable_variables:
        factor = 1 - 0.1 * 0.01 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), before[variable.path] * factor, rtol=1e-5)


def test_auxiliary_outputs_weigh_as_the_paper_says():
    keras.utils.set_random_seed(0)
    model = build_model("pspnet", 3, size=(9, 17))
    trained = compile_model(model, MODELS["pspnet"].recipe, steps=10)
    images = np.random.default_rng(0).normal(size=(2, 9, 17, 3)).astype(np.float32)
    mask = np.ones((2, 9, 17), np.uint8)
    outputs = model(images, training=False)
    penalty = sum(
        1e-4 / 2 * float((v.numpy() ** 2).sum())
        for v in model.trainable_variables
        if v.name == "kernel"
    )
    logits_loss, aux_loss = (
        float(cross_entropy(mask, outputs[name])) for name in ("logits", "aux_1")
    )
    loss = trained.evaluate(images, mask, return_dict=True, verbose=0)["loss"]
    assert loss == pytest.approx(logits_loss + 0.4 * aux_loss + penalty, rel=1e-4)
