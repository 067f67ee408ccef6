"""One small network through `tools/box.py` and every runtime, and the runs that are shipped."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.errors import InputError
from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.onnx_graph import build_onnx
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking import runtime
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.models import MODELS, Network
from skyseg_tf.runs import packaged
from skyseg_tf.runs.folder import RunData, read_config, write_json
from skyseg_tf.runs.model_file import make_saved_model, save_model
from skyseg_tf.training.settings import TrainConfig
from tools.box import BoxConfig, box, halve_keras, halve_onnx

MEANS, STDS = (90.0, 100.0, 110.0), (50.0, 55.0, 60.0)
STATS = {
    f"{channel}_{what}": value
    for what, values in (("MEAN", MEANS), ("STD", STDS))
    for channel, value in zip("RGB", values, strict=True)
}


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


@pytest.fixture
def run(network, tmp_path):
    """As a training leaves it, with what only its own training needs."""
    folder = tmp_path / "runs" / "trained"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.npz").write_bytes(b"")
    save_model(folder / "model.keras", network, STATS)
    write_json(folder / "config.json", TrainConfig(model="tiny", records=tmp_path, run=folder))
    write_json(folder / "environment.json", {"python": "3.11"})
    write_json(folder / "dataset.json", RunData(SCHEMES["sky"], (64, 96), 1, STATS, "flat", "", {}))
    write_json(folder / "metrics.json", {"iou": {"not sky": 1.0, "sky": 0.5}})
    return folder


def test_a_packaged_run_is_a_run_and_every_runtime_gives_what_was_trained(
    network, run, photos, tmp_path, monkeypatch, small_scenes
):
    out = tmp_path / "weights"
    monkeypatch.setitem(MODELS, "tiny", Network(tiny, divisor=2))
    monkeypatch.setattr(packaged, "WEIGHTS", out)
    terms = {"data": "noise", "terms": "none", "out": out}
    folder = box(BoxConfig(run=run, name="first", long_side=64, **terms))
    box(BoxConfig(run=run, name="second", **terms))
    wanted = make_saved_model(network, STATS).predict_on_batch(photos.astype("float32"))
    assert np.ptp(wanted) > 0.2
    for backend, limit in (("openvino", 2e-3), ("onnxruntime", 2e-3), ("keras", 1e-6)):
        for model in ("first", folder):  # by its name, and as any run
            probs = load_runtime(model, backend)(photos)
            np.testing.assert_allclose(probs, wanted, atol=limit, err_msg=f"{model} {backend}")
    facts = load_runtime(None, "keras").facts
    assert facts == load_runtime(None, "onnxruntime").facts
    assert (facts.name, facts.long_side) == ("first", 64)
    files = {f"{name}.json" for name in ("config", "dataset", "environment", "metrics")}
    assert {path.name for path in folder.iterdir()} == files | {"model.keras", "exports"}
    assert str(tmp_path) not in (folder / "config.json").read_text()
    assert read_config(folder, TrainConfig).model == "tiny"
    assert packaged.read_packaged()["models"]["second"]["data"] == "noise"
    (folder / "model.keras").write_bytes(b"altered")
    with pytest.raises(InputError, match="sha256"):
        load_runtime("first", "keras")


def test_what_the_package_ships_computes_what_it_always_did():
    """Probabilities that the files gave for a drawn scene when they were put there."""
    stored = np.load(Path(__file__).parent / "references" / "packaged.npz")
    photo = draw_scene(4, (192, 256)).image[None]
    for name in packaged.read_packaged()["models"]:
        for backend in ("onnxruntime", "openvino", "keras"):
            probs = np.squeeze(load_runtime(name, backend)(photo))  # (H, W), or (H, W, classes)
            np.testing.assert_allclose(probs[::4, ::4], stored[name], atol=2e-3)
            mask = np.unpackbits(stored[f"{name}_mask"])[: probs.size]
            # The files for ONNX Runtime hold float16, model.keras need not.
            assert np.mean((probs >= 0.5).ravel() != mask) < 2e-4, backend


def test_a_keras_file_of_float16_loads_as_float32(tmp_path):
    import keras

    path, pixels = tmp_path / "m.keras", np.random.default_rng(0).random((4, 200), np.float32)
    network = keras.Sequential([keras.Input((200,)), keras.layers.Dense(200)])
    network.layers[0].bias.assign(np.full(200, np.pi))
    network.save(path)
    size = path.stat().st_size
    halve_keras(path)
    assert path.stat().st_size < size - 200 * 200 * 1.9
    loaded = keras.models.load_model(path)
    kernel, bias = (np.asarray(variable) for variable in loaded.variables)
    assert kernel.dtype == np.float32
    assert np.array_equal(kernel, np.asarray(network.layers[0].kernel).astype(np.float16))
    assert np.array_equal(bias, np.float32(np.full(200, np.pi)))  # small ones stay as they are
    np.testing.assert_allclose(loaded(pixels), network(pixels), atol=1e-3)
    network.layers[0].kernel.assign(np.full((200, 200), 1e6))
    network.save(path)
    with pytest.raises(InputError, match=r"layers/dense\S*/vars/0 has weights beyond float16"):
        halve_keras(path)


def test_weights_beyond_float16_are_told(tmp_path):
    weights = np.full(20_000, 1e6, np.float32)
    graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="w has weights beyond float16"):
        halve_onnx(tmp_path / "m.onnx")


def test_no_dimension_too_many_in_a_graph(network, photos, tmp_path, monkeypatch):
    """tf2onnx leaves one behind if it takes its optimizers in this order, as it does at random."""
    import onnxruntime
    from tf2onnx import optimizer

    steps = dict(optimizer._optimizers)
    first = {"optimize_transpose": None, "remove_identity": None}
    monkeypatch.setattr(optimizer, "_optimizers", {key: steps[key] for key in first | steps})
    facts = runtime.ModelFacts("tiny", SCHEMES["sky"], divisor=2)
    job = ExportJob(make_saved_model(network, STATS), facts, "f32", tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(build_onnx(job).SerializeToString())
    (probs,) = session.run(None, {"rgb": photos})
    assert probs.shape == (2, 64, 96, 1)
    assert session.get_outputs()[0].shape[1:3] == ["height", "width"]


def test_keras_files_and_litert(network, photos, tmp_path):
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
