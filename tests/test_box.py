"""One small network through the box and through every runtime."""

import json

import numpy as np
import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking import runtime

STATS = {"R_MEAN": 90.0, "G_MEAN": 100.0, "B_MEAN": 110.0, "R_STD": 50.0, "G_STD": 55.0, "B_STD": 60.0}  # fmt: skip


def tiny(num_classes, size):
    """Each way a batch normalization can meet a convolution, and a transposed one."""
    import keras
    from keras import layers

    from skyseg_tf.models import blocks

    image = keras.Input((*size, 3), name="image")
    x = blocks.conv(image, 16, 3, "a.conv", stride=2)
    x = blocks.relu(blocks.batch_norm(x, "a.bn"))
    y = blocks.conv(x, 16, 3, "b.conv", bias=True)
    y = blocks.relu(layers.Add()([x, y]))
    y = blocks.relu(blocks.batch_norm(y, "c.bn"))
    logits = layers.Conv2DTranspose(num_classes, 2, 2, name="head")(y)
    return keras.Model(image, {"logits": logits}, name="tiny")


@pytest.fixture(scope="module")
def network():
    import keras

    model = tiny(1, (None, None))
    rng = np.random.default_rng(0)
    for variable in model.variables:
        low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.2, 0.2)
        variable.assign(rng.uniform(low, high, keras.ops.shape(variable)))
    return model


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)


def test_every_runtime_gives_what_was_trained(network, photos, tmp_path, monkeypatch):
    from skyseg_tf import models
    from skyseg_tf.runs.folder import make_saved_model
    from tools.box import write_box

    monkeypatch.setitem(models.MODELS, "tiny", models.Network(tiny, divisor=2))
    monkeypatch.setattr(runtime, "BOX", tmp_path)
    wanted = make_saved_model(network, STATS).predict_on_batch(photos.astype("float32"))
    assert np.ptp(wanted) > 0.2
    terms = {"data": "noise", "terms": "none"}
    path = write_box(network, STATS, tmp_path, name="full", half=False, long_side=64, **terms)
    write_box(network, STATS, tmp_path, name="half", **terms)
    for name, limit in (("full", 1e-5), ("half", 2e-3)):
        for backend in ("openvino", "onnxruntime", "keras"):
            probs = runtime.load_runtime(name, backend)(photos)
            np.testing.assert_allclose(probs, wanted, atol=limit, err_msg=f"{name} {backend}")
    assert runtime.load_runtime(None, "onnxruntime").name == "full"
    assert runtime.load_runtime(None, "keras").facts.long_side == 64
    box = runtime.read_box()["models"]
    assert box["half"]["bytes"] < box["full"]["bytes"]
    assert (box["full"]["data"], box["full"]["network"]) == ("noise", "tiny")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="sha256"):
        runtime.load_runtime("full", "keras")


def test_no_dimension_too_many_in_a_graph(network, photos, monkeypatch):
    """tf2onnx leaves one behind if it takes its optimizers in this order, as it does at random."""
    import onnxruntime
    from tf2onnx import optimizer

    from tools.box import _export

    steps = dict(optimizer._optimizers)
    first = {"optimize_transpose": None, "remove_identity": None}
    monkeypatch.setattr(optimizer, "_optimizers", {key: steps[key] for key in first | steps})
    session = onnxruntime.InferenceSession(_export(network, STATS, 2).SerializeToString())
    (probs,) = session.run(None, {"rgb": photos.astype("float32")})
    assert probs.shape == (2, 64, 96, 1)
    assert session.get_outputs()[0].shape[1:3] == ["height", "width"]


def test_keras_files_and_litert(network, photos, tmp_path):
    from skyseg_tf.runs.folder import RunData, make_saved_model, save_model, write_json

    wanted = make_saved_model(network, STATS).predict_on_batch(photos.astype("float32"))
    save_model(tmp_path / "model.keras", network, STATS)
    (tmp_path / "metrics.json").write_text(json.dumps({"iou": {"not sky": 1, "sky": 0.5}}))
    data = RunData(SCHEMES["sky"], (100, 300), 1, STATS, "flat", "", {})
    write_json(tmp_path / "dataset.json", data)
    (tmp_path / "config.json").write_text(json.dumps({"records": str(tmp_path)}))
    for model in (tmp_path, tmp_path / "model.keras"):
        loaded = runtime.load_runtime(model, "keras")
        np.testing.assert_allclose(loaded(photos), wanted, atol=1e-6)
        assert (loaded.facts.long_side, loaded.class_names) == (300, ("not sky", "sky"))

    import keras

    fixed = keras.Input((64, 96, 3), batch_size=1)
    small = keras.Model(fixed, make_saved_model(network, STATS)(fixed))
    small.export(tmp_path / "m.tflite", format="litert", verbose=False)
    with pytest.raises(InputError, match=r"m\.tflite\.json: is missing"):
        runtime.load_runtime(tmp_path / "m.tflite")
    facts = runtime.ModelFacts("lite", SCHEMES["sky"], working_size=(64, 96))
    (tmp_path / "m.tflite.json").write_text(json.dumps(facts.to_metadata()))
    probs = runtime.load_runtime(tmp_path / "m.tflite")(photos)
    np.testing.assert_allclose(probs, wanted, atol=1e-5)


def test_a_weight_that_is_not_in_the_graph_is_told(network):
    from skyseg_tf.models.folded import load_folded_weights, match_weights

    with pytest.raises(InputError, match="lacks the weight"):
        match_weights(network, lambda array: None)
    with pytest.raises(InputError, match="of another network"):
        load_folded_weights(network, {})


def test_a_folded_network_can_be_trained_on():
    """In training a batch normalization goes by its batch: it must then do what it does alone."""
    import keras

    from skyseg_tf.models.folded import restore_statistics

    rng = np.random.default_rng(0)
    network = tiny(1, (32, 64))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # as load_folded_weights leaves it
            shape = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.5, 2, shape))
            layer.beta.assign(rng.normal(size=shape))
    images = rng.normal(size=(4, 32, 64, 3)).astype(np.float32)
    before = network(images, training=False)["logits"].numpy()
    moving = [v.numpy() for v in network.non_trainable_variables]
    assert np.abs(network(images, training=True)["logits"].numpy() - before).max() > 0.1
    for variable, value in zip(network.non_trainable_variables, moving, strict=True):
        variable.assign(value)
    restore_statistics(network, [images[:2], images[2:]])
    np.testing.assert_allclose(network(images, training=False)["logits"], before, atol=1e-4)
    np.testing.assert_allclose(network(images, training=True)["logits"], before, atol=1e-2)
