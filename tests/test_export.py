"""Every export in its own runtime beside Keras, and what is refused."""

import errno
import functools
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from test_models import HEAVY, REFERENCE_MODELS, image_shape, loaded_model

from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.errors import InputError
from skyseg_tf.export import ExportConfig, export, main
from skyseg_tf.exporters import export as export_module
from skyseg_tf.exporters.agreement import LIMITS, agreement, check_agreement
from skyseg_tf.exporters.export import _folder_aside
from skyseg_tf.exporters.formats import FORMATS
from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.openvino_rounding import gptq
from skyseg_tf.exporters.photos import Photos
from skyseg_tf.files import locks
from skyseg_tf.labels import SCHEMES, parse_scheme
from skyseg_tf.masking.runtime import ModelFacts, class_ids, load_runtime, sha256_of
from skyseg_tf.models import MODELS, blocks
from skyseg_tf.models.skyline import relu6
from skyseg_tf.runs.model_file import make_saved_model, save_model

STATS = dict(
    zip(("R_MEAN", "G_MEAN", "B_MEAN", "R_STD", "G_STD", "B_STD"),
        (85.0, 95.0, 80.0, 50.0, 51.0, 52.0), strict=True)
)  # fmt: skip


def numbered(classes):
    """A scheme of classes that are called 0, 1, 2, ..."""
    return parse_scheme({"classes": [{"name": str(i)} for i in range(classes)]}, "numbered")


def tiny_network() -> keras.Model:
    """A few layers that have everything that is hard to export: our own, and unknown sizes."""
    image = keras.Input((None, None, 3), name="image")
    half = blocks.relu(blocks.batch_norm(blocks.conv(image, 16, 3, "a", stride=2), "a.bn"))
    x = blocks.relu(blocks.batch_norm(blocks.conv(half, 24, 3, "b", stride=2), "b.bn"))
    x = x + blocks.resize_like(blocks.AveragePoolBins(2)(x), x)
    x = blocks.conv(blocks.resize_like(x, half, "nearest"), 16, 1, "c") + half
    x = relu6(blocks.batch_norm(blocks.depthwise(x, 3, "d"), "d.bn"))
    logits = blocks.resize_like(blocks.conv(x, 1, 1, "head", bias=True), image)
    return keras.Model(image, {"logits": logits}, name="tiny")


@pytest.fixture(scope="module")
def run(records, tmp_path_factory) -> Path:
    """A run of the tiny network, trained for some seconds so that its masks mean something."""
    keras.utils.set_random_seed(0)
    network, manifest = tiny_network(), read_manifest(records)
    network.compile(keras.optimizers.Adam(5e-3), {"logits": keras.losses.BinaryCrossentropy(True)})

    def targets(image, mask):
        sky = tf.cast(mask == 1, tf.float32)
        return image, {"logits": sky[..., None]}, {"logits": 1 + 2 * sky}

    train = make_dataset(records, "train", 5, drop_remainder=True).map(targets)
    network.fit(train.cache().repeat(150), verbose=0)
    run = tmp_path_factory.mktemp("runs") / "tiny"
    save_model(run / "model.keras", network, manifest.rgb_stats)
    (run / "config.json").write_text(json.dumps({"records": str(records), "model": "tiny"}))
    return run


@pytest.fixture(scope="module")
def val_photos(records) -> np.ndarray:
    stats = read_manifest(records).rgb_stats
    return np.concatenate(
        [denormalize(image.numpy(), stats) for image, _ in make_dataset(records, "val", 1)]
    )


def load(path: Path, form: str):
    return FORMATS[form].load(path)


# --------------------------------------------------------------------------- exports that hold


@pytest.fixture(scope="module")
def exported(run):
    """(format, precision) -> (file in the run's exports/, how far it is from Keras); made once."""

    @functools.cache
    def make(form: str, precision: str):
        measured = export(ExportConfig(model=run, format=form, precision=precision))
        size = "_32x64" if precision in FORMATS[form].fixed else ""
        return run / "exports" / FORMATS[form].name.format(precision=precision, size=size), measured

    return make


FAST = {("onnx", "f32"), ("openvino", "int8"), ("litert", "int8"), ("tensorrt-onnx", "int8")}


@pytest.mark.parametrize(
    ("form", "precision"),
    [
        (f, p) if (f, p) in FAST else pytest.param(f, p, marks=pytest.mark.slow)
        for f in FORMATS
        for p in FORMATS[f].precisions
    ],
)
def test_export_says_what_keras_says(form, precision, run, exported, val_photos):
    out, measured = exported(form, precision)
    assert out.exists()
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
    # The same again, from the file that is left and without the program's own arithmetic.
    given, ours = load(out, form), load_runtime(run / "model.keras", "keras")
    size = (32, 64) if precision in FORMATS[form].fixed else None
    assert given.facts == replace(ours.facts, working_size=size)
    assert given.facts.sha256 == sha256_of(run / "model.keras")
    assert given.class_names == SCHEMES["sky"].class_names
    want, got = ours(val_photos), given(val_photos)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    limits = LIMITS[precision]
    assert np.abs(want - got).max() <= limits.max_dp
    assert ((want >= 0.5) != (got >= 0.5)).mean() <= limits.changed
    assert 0.02 < (want >= 0.5).mean() < 0.98  # there is something to agree about
    assert measured.iou >= limits.iou


def test_default_runtime_of_a_run_takes_the_export(run, exported):
    out, _ = exported("onnx", "f32")
    loaded = load_runtime(run, "onnxruntime")
    assert loaded.path == out


def test_a_packaged_model_is_exported_by_its_name(tmp_path, monkeypatch, capsys):
    """As any run; drawn scenes stand for the records, which it does not come with.

    Records of any size may train it, so that a file may be fixed to one that is no multiple of 32.
    """
    monkeypatch.chdir(tmp_path)
    export(ExportConfig(model="skyline_free", format="onnx", image_size=(60, 100), photos=2))
    out = Path("runs/exports/skyline_free/model_f32_60x100.onnx")
    told = capsys.readouterr().out
    assert "2 drawn scenes" in told
    assert f"{out}: {out.stat().st_size / 1e6:.1f} MB" in told
    photo = np.random.default_rng(0).integers(0, 256, (1, 60, 100, 3), np.uint8)
    packaged, exported = (
        load_runtime("skyline_free", "onnxruntime"),
        load_runtime(out, "onnxruntime"),
    )
    assert exported.facts == replace(packaged.facts, working_size=(60, 100))
    assert np.abs(packaged.infer(photo) - exported(photo)).max() < 2e-3
    with pytest.raises(
        InputError, match=r"int8 takes its ranges from photos, .* by --records DIR$"
    ):
        export(ExportConfig(model="skyline_free", format="onnx", precision="int8"))
    with pytest.raises(InputError, match="is an export itself"):
        export(ExportConfig(model=out, format="openvino"))


def test_a_run_whose_records_are_gone_is_exported(run, tmp_path, monkeypatch, capsys, small_scenes):
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(run / "model.keras", moved)
    (moved / "config.json").write_text('{"records": "data/sky", "model": "tiny"}')
    monkeypatch.chdir(tmp_path)
    export(ExportConfig(model="moved", format="onnx", photos=1))
    told = capsys.readouterr().out
    assert "moved: its records (data/sky) are not there: drawn scenes stand for them\n" in told
    assert "1 drawn scene:" in told
    with pytest.raises(InputError, match=r"its records \(data/sky\) are not there"):
        export(ExportConfig(model="moved", format="onnx", precision="int8"))


def test_the_photos_told_are_those_that_there_are(records):
    there = read_manifest(records).splits["val"].count
    assert Photos(None, None, records, read_manifest(records)).count("val", 99) == there < 99
    assert Photos(None, None, records, read_manifest(records)).count("val", 1) == 1
    assert Photos(None, None, None, None).count("val", 99) == 99


def test_the_size_told_is_the_files_own(run, exported, capsys):
    """Not that of its siblings in exports/ as well; of OpenVINO's two files the sum."""
    out, _ = exported("onnx", "f32")
    out.with_suffix(".other").write_bytes(bytes(50_000_000))
    export(ExportConfig(model=run, format="onnx", photos=1))
    assert f"{out}: {out.stat().st_size / 1e6:.1f} MB" in capsys.readouterr().out
    out.with_suffix(".other").unlink()


def test_fixed_size_is_fixed(run, val_photos, tmp_path):
    out = tmp_path / "fixed.xml"
    export(ExportConfig(model=run, format="openvino", image_size=(64, 96), out=out))
    text = out.read_text()
    assert "Interpolate" in text  # inside the network
    assert text.count('type="Interpolate"') < text.count('type="MatMul"')  # but not at its end
    fixed = load_runtime(out)
    assert fixed.working_size == (64, 96)
    assert fixed(np.zeros((3, 64, 96, 3), np.uint8)).shape == (3, 64, 96, 1)  # one by one
    with pytest.raises(InputError, match="fixed to"):
        fixed(val_photos)


def test_onnx_file_is_plain_and_speaks_for_itself(run, exported):
    import onnx

    graph = onnx.load(exported("onnx", "f32")[0])
    onnx.checker.check_model(graph, full_check=True)
    assert {o.domain: o.version for o in graph.opset_import}[""] == 17
    (entry,), (answer,) = graph.graph.input, graph.graph.output
    dims = [
        [d.dim_param or d.dim_value for d in port.type.tensor_type.shape.dim]
        for port in (entry, answer)
    ]
    assert (entry.name, answer.name) == ("rgb", "probabilities")
    assert dims == [["batch", "height", "width", 3], ["batch", "height", "width", 1]]
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    metadata = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
    assert metadata["skyseg.class_names"] == ["not sky", "sky"]
    assert metadata["skyseg.threshold"] == 0.5
    assert metadata["skyseg.sha256"] == sha256_of(run / "model.keras")
    modes = [a.s for node in graph.graph.node for a in node.attribute]
    assert b"tf_half_pixel_for_nn" not in modes  # left out of ONNX since opset 13


@pytest.mark.parametrize("reader", ["Shape", "Neg"])
def test_onnx_scales_pictures_after_their_channels_come_first(reader):
    """Unless somebody else reads the scaled pixels; the numbers are the same."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from skyseg_tf.exporters.onnx_graph import scale_channels_first

    constants = {"scale": np.float32([0.1, 0.2, 0.3]), "offset": np.float32([-1, 0, 2])}
    nodes = [
        helper.make_node("Mul", ["rgb", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["pixels"]),
        helper.make_node(reader, ["pixels"], ["read"]),
        helper.make_node("Transpose", ["pixels"], ["first"], perm=[0, 3, 1, 2]),
    ]
    kind = TensorProto.INT64 if reader == "Shape" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "scaling",
        [helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 4, 5, 3])],
        [
            helper.make_tensor_value_info("first", TensorProto.FLOAT, [1, 3, 4, 5]),
            helper.make_tensor_value_info("read", kind, [4] if reader == "Shape" else [1, 4, 5, 3]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    options = {"opset_imports": [helper.make_opsetid("", 17)], "ir_version": 8}
    model = helper.make_model(graph, **options)
    rgb = {"rgb": np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype(np.float32)}

    def answers() -> list[np.ndarray]:
        onnx.checker.check_model(model)
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, rgb)

    before = answers()
    scale_channels_first(model.graph)
    for now, then in zip(answers(), before, strict=True):
        assert np.array_equal(now, then)
    order = [node.op_type for node in model.graph.node]
    moved = ["Transpose", "Mul", "Add", "Shape"]
    assert order == (moved if reader == "Shape" else ["Mul", "Add", "Neg", "Transpose"])
    assert len(model.graph.initializer) == 2


def test_onnx_int8_spends_no_bits_on_what_relu6_cuts_off(exported):
    import onnx

    plain, quantized = (
        {node.op_type for node in onnx.load(exported("onnx", precision)[0]).graph.node}
        for precision in ("f32", "int8")
    )
    assert "Clip" in plain
    assert not quantized & {"Clip", "Relu"}  # the range of the bytes does it


def test_tensorrt_int8_is_symmetric(exported):
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(exported("tensorrt-onnx", "int8")[0]).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    pairs = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()


def test_litert_int8_is_integer_throughout(run, exported):
    from ai_edge_litert.interpreter import Interpreter

    out, _ = exported("litert", "int8")
    interpreter = Interpreter(str(out))
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    assert entry["dtype"] == np.uint8
    assert entry["quantization"] == (1.0, 0)  # bytes of a photo as they are
    assert interpreter.get_output_details()[0]["dtype"] == np.uint8
    inside = {np.dtype(t["dtype"]) for t in interpreter.get_tensor_details() if t["shape"].size}
    assert np.dtype(np.float32) not in inside
    with zipfile.ZipFile(out) as end:  # the facts stand in the file itself
        metadata = json.loads(end.read("skyseg.json"))
    assert ModelFacts.from_metadata(metadata, out).sha256 == sha256_of(run / "model.keras")


def test_a_damaged_litert_file_is_refused_before_it_is_loaded(exported, tmp_path):
    out, _ = exported("litert", "int8")
    copy = tmp_path / out.name
    copy.write_bytes(out.read_bytes()[:-1] + b"!")
    copy.with_name(f"{out.name}.json").write_bytes(out.with_name(f"{out.name}.json").read_bytes())
    with pytest.raises(InputError, match=r"its sha256 is not the one in .*\.tflite\.json"):
        load_runtime(copy)


@pytest.mark.parametrize("size", [(64, 96), None])
def test_openvino_says_it_otherwise_and_means_the_same(size, val_photos, tmp_path):
    openvino = pytest.importorskip("openvino")
    # Several filters per channel, in one and in two depthwise steps, and a padded pooling.
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling([1 / 50, 1 / 60, 1 / 70], [-2.0, -1.5, -1.0])(image)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    wide = keras.initializers.RandomNormal(stddev=1.0)
    for steps in (1, 2):
        y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=3)(x)
        y = layers.BatchNormalization(beta_initializer=wide)(y)
        if steps == 2:
            y = layers.DepthwiseConv2D(3, padding="same", bias_initializer=wide)(y)
        x = layers.Conv2D(4, 1, use_bias=False)(layers.ReLU()(y))
    steep = keras.initializers.RandomNormal(stddev=9.0)
    x = blocks.resize_like(layers.Conv2D(1, 1, kernel_initializer=steep)(x), image)
    model = keras.Model(image, layers.Activation("sigmoid")(x), name="several")
    facts = ModelFacts("several", SCHEMES["sky"], working_size=size)
    path = tmp_path / "several.xml"
    FORMATS["openvino"].write(ExportJob(model, facts, "f32", path))
    photos = np.stack([np.array(Image.fromarray(p).resize((96, 64))) for p in val_photos])
    got = np.concatenate([load_runtime(path)(photo[None]) for photo in photos])
    want = model.predict(photos.astype("float32"), verbose=0)
    assert np.ptp(want) > 0.1
    np.testing.assert_allclose(got, want, atol=2e-5)
    network = openvino.Core().read_model(path)
    kinds = [node.get_type_name() for node in network.get_ordered_ops()]
    depthwise = [n for n in network.get_ops() if n.get_type_name() == "GroupConvolution"]
    assert len(depthwise) == 3
    assert all(list(n.input(1).get_shape())[1:3] == [1, 1] for n in depthwise)
    assert "Pad" not in kinds
    assert ("Interpolate" in kinds) == (size is None)


def test_weights_rounded_together_err_less():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(5000, 1))
    inputs = base + 0.1 * rng.normal(size=(5000, 27))  # as alike as neighboring pixels
    weights = rng.normal(size=(64, 27))
    scale = np.abs(weights).max(1, keepdims=True) / 63
    nearest = np.clip(np.round(weights / scale), -64, 63)
    together = gptq(weights, scale, inputs.T @ inputs / 5000, -64, 63)
    assert together.dtype == np.int8
    assert together.min() >= -64
    assert together.max() <= 63
    error = {}
    for name, integers in (("nearest", nearest), ("together", together)):
        error[name] = np.std(inputs @ (weights - integers * scale).T, axis=0)
    assert np.mean(error["together"]) < 0.5 * np.mean(error["nearest"])


def test_openvino_int8_holds_bytes(exported):
    out, _ = exported("openvino", "int8")
    assert "FakeQuantize" in out.read_text()
    # Weights are stored as bytes: fewer than one float for each.
    assert out.with_suffix(".bin").stat().st_size < 4 * tiny_network().count_params()


# --------------------------------------------------------------------------- disagreement


def spoil(path: Path, change: Callable):
    """A writer that leaves a changed copy of an ONNX export."""
    import onnx

    def write(job: ExportJob) -> None:
        graph = onnx.load(path)
        change(graph)
        job.path.write_bytes(graph.SerializeToString())

    return replace(FORMATS["onnx"], write=write)


def test_a_wrong_export_is_not_kept_and_the_old_one_stays(run, exported, tmp_path, monkeypatch):
    from onnx import numpy_helper

    def change(graph):
        for tensor in graph.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.float32 and array.ndim == 4:
                tensor.CopyFrom(numpy_helper.from_array(array * 1.05, tensor.name))

    out = tmp_path / "model.onnx"
    out.write_bytes(b"an older export")
    wrong = spoil(exported("onnx", "f32")[0], change)
    monkeypatch.setitem(FORMATS, "onnx", wrong)
    with pytest.raises(InputError, match=r"disagrees with the Keras model.*max \|dp\|"):
        export(ExportConfig(model=run, format="onnx", out=out))
    assert out.read_bytes() == b"an older export"
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_an_export_that_loses_its_facts_is_not_kept(run, exported, tmp_path, monkeypatch):
    def change(graph):
        for entry in graph.metadata_props:
            entry.value = "0.9" if entry.key == "skyseg.threshold" else entry.value

    stranger = spoil(exported("onnx", "f32")[0], change)
    monkeypatch.setitem(FORMATS, "onnx", stranger)
    with pytest.raises(InputError, match="was not kept"):
        export(ExportConfig(model=run, format="onnx", out=tmp_path / "model.onnx"))
    assert not os.listdir(tmp_path)


def test_agreement_counts():
    want = np.array([0.9, 0.8, 0.2, 0.1], np.float32).reshape(1, 2, 2, 1)
    got = np.array([0.9, 0.4, 0.2, 0.1], np.float32).reshape(1, 2, 2, 1)
    measured = agreement([(want, got)])
    assert measured.max_dp == pytest.approx(0.4, abs=1e-6)
    assert measured.mean_dp == pytest.approx(0.1, abs=1e-6)
    assert measured.changed == pytest.approx(0.25)
    assert measured.iou == pytest.approx(0.5)
    assert agreement([(want * 0, want * 0)]).iou == 1
    softmax = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]).reshape(1, 1, 2, 3)
    assert agreement([(softmax, softmax[:, :, ::-1])]).iou == 0


def test_not_a_number_is_no_agreement():
    want = np.full((1, 2, 2, 1), 0.9, np.float32)
    with pytest.raises(InputError, match="inf above 1"):
        check_agreement(agreement([(want, want * np.nan)]), LIMITS["int8"], "x")


def test_page_states_the_limits():
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text()
    for precision, limits in LIMITS.items():
        row = (
            f"| {precision} | {limits.max_dp:g} | {limits.mean_dp:g} | "
            f"{100 * limits.changed:g} % | {limits.iou:g} |"
        )
        assert row in page


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "coreml"}, "no format 'coreml': there are onnx, saved_model, "),
        ({"precision": "int4"}, "no precision 'int4': there are f32, f16, int8"),
        ({"format": "saved_model", "precision": "f16"}, "saved_model is written in f32 alone"),
        ({"photos": 0}, "--photos must be at least 1"),
        ({"model": "nowhere"}, "nowhere: no such run folder or model file; "),
        ({"model": __file__}, "test_export.py: is no network; give a run, a .keras file or"),
        ({"records": Path("nowhere")}, "its records (nowhere) are not there"),
    ],
)
def test_refuses_with_the_remedy(changes, message, run):
    config = replace(ExportConfig(model=run, format="onnx"), **changes)
    with pytest.raises(InputError) as error:
        export(config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_backends_are_sent_to_tensorflow(run, monkeypatch, capsys):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(SystemExit) as stop:
        main(["--run", str(run), "--format", "onnx"], "skyseg export")
    assert stop.value.code == 2
    assert "KERAS_BACKEND=tensorflow" in capsys.readouterr().err


def test_records_of_other_classes_are_refused(run, tree, tmp_path):
    from skyseg_tf.build import BuildConfig, build

    other = tmp_path / "streets"
    build(BuildConfig(out=other, source=tree, scheme="streets11", image_size=(32, 64), quiet=True))
    with pytest.raises(InputError, match="records of person, road"):
        export(ExportConfig(model=run, format="onnx", records=other))


# --------------------------------------------------------------------------- the contract

CONTRACT = [
    (name, form, fixed)
    for name in (*MODELS,)
    for form in FORMATS
    for fixed in (True, False)
    if form != "tensorrt-onnx"  # in f32 it is the graph of onnx
    if not ("f32" in FORMATS[form].fixed or MODELS[name].sequence) or fixed
]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "form", "fixed"), CONTRACT)
def test_every_network_exports(name, form, fixed, tmp_path):
    known = name in REFERENCE_MODELS  # published weights' stand-ins, else fresh ones
    keras.utils.set_random_seed(0)
    from skyseg_tf.models import build_model

    network = loaded_model(name) if known else build_model(name, 1)
    model = make_saved_model(network, STATS)
    classes = model.output_shape[-1]
    size = (64, 96)
    facts = ModelFacts(
        name,
        SCHEMES["sky"] if classes == 1 else numbered(classes),
        working_size=size if fixed else None,
        frames=4 if MODELS[name].sequence else 1,
    )
    path = tmp_path / FORMATS[form].name.format(precision="f32", size="")
    FORMATS[form].write(ExportJob(model, facts, "f32", path))
    exported = load(path, form)
    assert exported.facts == facts
    random = np.random.default_rng(0)
    for shape in [(*size, 1)] if fixed else [(*size, 1), (96, 128, 2)]:
        rgb = random.integers(0, 256, image_shape(name, shape[:2], shape[2])).astype(np.uint8)
        want, got = np.asarray(model(rgb.astype(np.float32), training=False)), exported(rgb)
        np.testing.assert_allclose(got, want, rtol=0, atol=5e-3 if name in HEAVY else 2e-3)
        changed = class_ids(want, 0.5) != class_ids(got, 0.5)
        assert changed.mean() < 2e-3


def test_what_killed_exports_left_is_removed_and_one_at_work_is_left_alone(tmp_path):
    out = tmp_path / "a.onnx"
    (tmp_path / ".a.onnx.killed").mkdir()
    (tmp_path / ".a.onnx.killed" / "a.onnx").write_text("half")
    (tmp_path / ".b.onnx.other").mkdir()
    with _folder_aside(out) as first:
        assert not (tmp_path / ".a.onnx.killed").exists()
        with _folder_aside(out) as second:
            assert first.exists()
            assert first != second
    assert [path.name for path in tmp_path.iterdir()] == [".b.onnx.other"]


@pytest.mark.parametrize("when", ["before the file", "before the lock", "at the lock"])
def test_a_folder_that_is_taken_for_a_dead_ones_is_made_again(tmp_path, monkeypatch, when):
    """Another export to the same place removed it in the moment before it was locked."""
    calls = []

    def lock(path):
        calls.append(path)
        if len(calls) > 1:
            return locks.lock(path)
        if when == "at the lock":
            return None
        held = locks.lock(path) if when == "before the lock" else None
        shutil.rmtree(path.parent)
        return held or locks.lock(path)

    monkeypatch.setattr(export_module, "lock", lock)
    with _folder_aside(tmp_path / "a.onnx") as folder:
        assert folder.is_dir()
        assert not locks.lock(calls[1])
        assert [folder.parent] == list(tmp_path.iterdir())
        assert calls[1].parent == folder.parent
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("why", ["Windows", "the disk"])
def test_without_locks_no_folder_is_removed(tmp_path, monkeypatch, why):
    def lock(path):
        path.touch()
        raise OSError(errno.ENOLCK, "no locks available")

    if why == "Windows":
        monkeypatch.setattr(locks, "LOCKS", False)
    else:
        monkeypatch.setattr(locks, "lock", lock)
        monkeypatch.setattr(export_module, "lock", lock)
    (tmp_path / ".a.onnx.other").mkdir()
    with _folder_aside(tmp_path / "a.onnx") as folder:
        assert folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [".a.onnx.other"]


def test_what_converters_put_aside_goes_with_the_export(tmp_path):
    """A killed export left hundreds of megabytes in the folder for temporary files."""
    before = tempfile.gettempdir()
    with _folder_aside(tmp_path / "a.onnx") as folder:
        assert Path(tempfile.gettempdir()) == folder.parent
        assert folder.parent.parent == tmp_path
        Path(tempfile.mkdtemp(), "half").touch()
        assert not list(folder.iterdir())  # it is no part of the export
    assert tempfile.gettempdir() == before
    assert not list(tmp_path.iterdir())
