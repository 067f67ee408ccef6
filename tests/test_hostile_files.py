"""Files that are broken on purpose: one line each, little memory, little time.

Pictures are in test_decoders.py, archives in test_files.py, damaged models in test_model_files.py,
records in test_verify.py. Here is what commands read beside these: the JSON and CSV of run folders,
state dicts, models whose weights are no numbers, and zips with members of every kind.
"""

import json
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from drawn_models import blue_model
from onnx import TensorProto, helper, numpy_helper

from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import read_rgb_stats
from skyseg_tf.errors import InputError
from skyseg_tf.files import open_archive, read_bytes
from skyseg_tf.labels import get_scheme
from skyseg_tf.masking.nerfstudio import read_scene
from skyseg_tf.masking.onnx_file import check_self_contained, read_metadata
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.models.state_dicts import read_state
from skyseg_tf.runs.folder import read_config, read_run_data, read_settings
from skyseg_tf.runs.history import read_history
from skyseg_tf.scoring.comparison import read_evaluation
from skyseg_tf.scoring.report import write_report
from skyseg_tf.training.settings import TrainConfig

SECONDS, BYTES = 5, 300e6  # that one file may take


def refusal_of(read, where: Path, limits) -> str:
    """The one line by which a file is refused, within the limits on time and memory."""
    start = time.process_time()
    with limits(BYTES), pytest.raises(InputError) as error:
        read(where)
    assert time.process_time() - start < SECONDS
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 2000
    return str(error.value)


# --- JSON ---


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


KEYS = [
    "scheme",
    "image_size",
    "frames",
    "rgb_stats",
    "layout",
    "splits",
    "schema_version",
    "iou",
    "settings",
    "records",
    "count",
    "R_MEAN",
    "epochs",
    "run",
    "model",
    "protocol",
    "mean_iou",
    "0",
]
JSONS = {
    "empty": "",
    "cut": '{"scheme": {"na',
    "no object": "[1, 2]",
    "a number": "7",
    "null": "null",
    "deep lists": "[" * 100_000,
    "deep objects": nested(100_000),
    "just too deep to print": '{"scheme": ' + nested(900) + ', "iou": ' + nested(900) + "}",
    "no text": b"\xff\xfe\x00{",
    "wrong types": json.dumps({key: [{"x": [None]}] for key in KEYS}),
    "wrong numbers": '{"count": 1e999, "epochs": NaN, "R_MEAN": -Infinity, "frames": 1e300, '
    '"schema_version": 1e999, "records": 3, "iou": 1e999, "0": 1e999}',
    "a number without end": '{"count": ' + "9" * 5000 + ', "schema_version": 1, "epochs": 1}',
}
READERS = {
    "config.json": lambda path: read_config(path.parent, TrainConfig),
    "dataset.json": lambda path: read_manifest(path.parent),
    "metrics.json": lambda path: read_evaluation(path.parents[2], "val"),
    "rgb_stats.json": read_rgb_stats,
    "scheme.json": lambda path: get_scheme(str(path)),
    "scenes.json": lambda path: write_scenes(path.parent, 2, size=(64, 64), workers=1),
    "transforms.json": lambda path: read_scene(path.parent),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", JSONS)
def test_json_of_every_kind(tmp_path, kind, name, measured_memory):
    folder = tmp_path / "evaluation" / "val" if name == "metrics.json" else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    content = JSONS[kind]
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(folder) in refusal_of(READERS[name], folder / name, measured_memory)


@pytest.mark.parametrize("kind", JSONS)
def test_json_that_a_run_can_do_without(tmp_path, kind, measured_memory):
    """dataset.json and config.json beside a model: refused, or nothing that is needed is in it."""
    content = JSONS[kind]
    for name in ("dataset.json", "config.json"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (read_run_data, lambda run: read_settings(run, TrainConfig)):
        start, told = time.process_time(), ""
        with measured_memory(BYTES):
            try:
                read(tmp_path)
            except InputError as error:
                told = str(error)
        assert "\n" not in told
        assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"epoch,loss\n", b"\xff\xfe,\n1", b"epoch\n1,2,3\n", b'epoch,"' + b"x" * 10**6],
)
def test_a_history_of_every_kind(tmp_path, content, measured_memory):
    (tmp_path / "history.csv").write_bytes(content)
    assert "history.csv" in refusal_of(lambda _: read_history(tmp_path), tmp_path, measured_memory)


# --- zips ---


def zipped(path: Path, flags: int = 0, method: int = 0) -> Path:
    """An archive with one member, whose flags and method are then written over."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY" + bytes(200))
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\1\2")
    for at in (6, directory + 8):  # general purpose flags, then the method
        struct.pack_into("<HH", content, at, flags, method)
    path.write_bytes(content)
    return path


MEMBERS = {
    "encrypted": {"flags": 1},
    "strongly encrypted": {"flags": 0x41},
    "patched": {"flags": 0x20},
    "a method of tomorrow": {"method": 99},
    "zstandard": {"method": 93},
    "deflate64": {"method": 9},
    "implode": {"method": 6},
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_members_of_every_kind(tmp_path, kind, measured_memory):
    path = zipped(tmp_path / "a.zip", **MEMBERS[kind])
    assert "a.zip!a.npy" in refusal_of(
        lambda where: read_bytes(f"{where}!a.npy"), path, measured_memory
    )
    npz = zipped(tmp_path / "b.npz", **MEMBERS[kind])
    assert "b.npz" in refusal_of(read_state, npz, measured_memory)
    keras = zipped(tmp_path / "c.keras", **MEMBERS[kind])
    assert "c.keras" in refusal_of(lambda path: load_runtime(path, "keras"), keras, measured_memory)


def test_members_that_point_elsewhere_stay_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../a", b"1")
        archive.writestr("/etc/passwd", b"2")
    names = open_archive(tmp_path / "a.zip").namelist()
    assert [read_bytes(f"{tmp_path}/a.zip!{name}") for name in names] == [b"1", b"2"]
    assert not (tmp_path.parent.parent / "a").exists()


# --- state dicts ---


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


STATES = {
    "nan.npz": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"\0\0\xc0\x7f"),
    "infinite.npz": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"\0\0\x80\x7f"),
    "half.npz": npy("{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}", b"\0\x7e"),
    "huge.npz": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
    "negative.npz": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
    "pickle.npz": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n"),
    "code.npz": npy("__import__('os').system('touch hacked')"),
    "deep.npz": npy("(" * 10_000),
}
SAFETENSORS = {
    "huge.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
    "cut.safetensors": struct.pack("<Q", 40) + b'{"a": {"dtype": "F32"',
    "deep.safetensors": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "outside.safetensors": struct.pack("<Q", 62)
    + b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 999]}}'[:62],
    "nan.safetensors": struct.pack("<Q", 60)
    + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(60)
    + b"\0\0\xc0\x7f",
    "bfloat.safetensors": struct.pack("<Q", 60)
    + b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'.ljust(60)
    + b"\xc0\x7f",
}


@pytest.mark.parametrize("name", STATES | SAFETENSORS)
def test_state_dicts_of_every_kind(tmp_path, name, measured_memory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if name in STATES:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", STATES[name])
    else:
        path.write_bytes(SAFETENSORS[name])
    told = refusal_of(read_state, path, measured_memory)
    assert name in told
    assert ("no numbers" in told) == (name.split(".")[0] in ("nan", "infinite", "half", "bfloat"))
    assert not (tmp_path / "hacked").exists()


# --- weights that are no numbers ---


def swallowing_model(path: Path, kind: str) -> Path:
    """An ONNX file in which Max swallows what NaN makes: it would say "no sky" of every photo."""
    blue_model(path)
    model = onnx.load(path)
    product, add, final = model.graph.node
    product.output[0], add.input[0] = "product", "kept"
    swallow = helper.make_node("Max", ["product", "floor"], ["kept"])
    del model.graph.node[:]
    model.graph.node.extend([product, swallow, add, final])
    model.graph.initializer.append(numpy_helper.from_array(np.float32([-9]), "floor"))
    weight = np.full((3, 1), np.nan, np.float32)
    if kind == "raw":
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    elif kind == "listed":
        tensor = helper.make_tensor("weight", TensorProto.FLOAT, (3, 1), weight.ravel())
        model.graph.initializer[0].CopyFrom(tensor)
    else:
        del model.graph.initializer[0]
        value = numpy_helper.from_array(weight, "weight")
        model.graph.node.insert(0, helper.make_node("Constant", [], ["weight"], value=value))
    path.write_bytes(model.SerializeToString())
    return path


MANY = {
    "60 MB": b"\x80\x8e\xce\x1c",
    "1 TB": b"\x80\x80\x80\x80\x80\x20",
    "2**64 - 1": b"\xff" * 9 + b"\1",
}


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("what", ["metadata", "name of weights"])
def test_onnx_numbers_where_text_belongs_are_no_sizes(tmp_path, what, number, measured_memory):
    """As a size of bytes, a few bytes of file would ask for all memory, or for more than there is."""

    def message(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2, len(content)]) + content

    if what == "metadata":
        content = message(14, b"\x08" + MANY[number])
    else:
        tensor = b"\x10\1\x40" + MANY[number] + message(9, np.float32("nan").tobytes())
        content = message(7, message(5, tensor))
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with measured_memory(20e6), pytest.raises(InputError, match=r"m\.onnx: not a whole ONNX file"):
        check_self_contained(path)


def test_the_reader_of_onnx_files_can_be_imported_first():
    subprocess.run([sys.executable, "-c", "import skyseg_tf.masking.onnx_file"], check=True)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["raw", "listed", "constant"])
def test_onnx_weights_that_are_nan(tmp_path, kind, backend, measured_memory):
    path = swallowing_model(tmp_path / "m.onnx", kind)
    told = refusal_of(lambda path: load_runtime(path, backend), path, measured_memory)
    assert "m.onnx" in told
    assert "are no numbers" in told


def test_openvino_weights_that_are_nan(tmp_path, measured_memory):
    source = swallowing_model(tmp_path / "source.onnx", "raw")
    network = ov.convert_model(source)
    for key, text in read_metadata(source).items():
        network.set_rt_info(text, [key])
    ov.save_model(network, tmp_path / "m.xml")
    told = refusal_of(
        lambda path: load_runtime(path, "openvino"), tmp_path / "m.xml", measured_memory
    )
    assert "are no numbers" in told


def test_keras_weights_that_are_nan(tmp_path):
    import keras

    pixels = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(1, 1, activation="relu", name="spoilt")
    model = keras.Model(pixels, keras.layers.Activation("sigmoid")(layer(pixels)))
    layer.kernel.assign(np.full((1, 1, 3, 1), np.nan))
    model.save(tmp_path / "m.keras")
    with pytest.raises(InputError, match=r"m\.keras: weights of spoilt/kernel are no numbers"):
        load_runtime(tmp_path / "m.keras", "keras")


def test_answers_outside_0_to_1_of_a_photo_but_not_of_black(tmp_path):
    """Such a file passes the first call, which sees black."""
    path = blue_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[2].op_type = "Identity"
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.float32([0.5]), "bias"))
    path.write_bytes(model.SerializeToString())
    runtime = load_runtime(path, "onnxruntime")
    with pytest.raises(InputError, match=r"m\.onnx: gives values outside 0-1"):
        runtime(np.full((1, 32, 32, 3), (0, 0, 255), np.uint8))


def test_a_report_of_a_run_that_is_damaged(tmp_path):
    folder = tmp_path / "evaluation" / "val"
    folder.mkdir(parents=True)
    scores = {"protocol": "p", "iou": {"sky": 1.0}, "mean_iou": 1.0, "settings": {}}
    scores |= {"protocol_facts": {}}
    (folder / "metrics.json").write_text(json.dumps(scores))
    for name in ("environment.json", "history.csv"):
        (tmp_path / name).write_bytes(b"\xff\0")
        with pytest.raises(InputError, match=name):
            write_report(tmp_path, "val")
        (tmp_path / name).unlink()
