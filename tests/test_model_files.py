"""Model files that are damaged, renamed or hostile: one line, and little memory."""

import json
import os
import random
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from drawn_models import blue_model
from onnx import TensorProto, helper, numpy_helper

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.backends import BACKENDS
from skyseg_tf.masking.backends.keras import load_network
from skyseg_tf.masking.model_facts import ModelFacts
from skyseg_tf.masking.onnx_file import read_metadata
from skyseg_tf.masking.runtime import load_runtime

ONNX_BACKENDS = ("onnxruntime", "openvino")


def refused(path: Path, backend: str) -> str:
    with pytest.raises((InputError, FileNotFoundError)) as error:
        load_runtime(path, backend)
    assert "\n" not in str(error.value)
    assert path.stem in str(error.value)
    return str(error.value)


def changed(path: Path, change) -> Path:
    model = onnx.load(path)
    change(model.graph)
    path.write_bytes(model.SerializeToString())
    return path


def keras_file(path: Path, config: bytes, weights: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return path


def openvino_file(path: Path) -> Path:
    source = blue_model(path.with_name("source.onnx"))
    network = ov.convert_model(source)
    for key, text in read_metadata(source).items():
        network.set_rt_info(text, [key])
    ov.save_model(network, path)
    return path


# --------------------------------------------------------------------------- what is no model


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name, backend in BACKENDS.items() for suffix in backend.suffixes],
)
def test_what_is_no_such_file_is_refused_before_a_library_sees_it(tmp_path, name, suffix):
    load, metadata = BACKENDS[name].load, ModelFacts("m", SCHEMES["sky"]).to_metadata()
    for stem in ("m", "pipe"):
        (tmp_path / f"{stem}{suffix}.json").write_text(json.dumps(metadata))  # as LiteRT wants it
    for content in (b"", b"hello", b"PK\x03\x04" + bytes(50), os.urandom(999)):
        (tmp_path / f"m{suffix}").write_bytes(content)
        with pytest.raises(InputError, match="m" + re.escape(suffix)):
            load(tmp_path / f"m{suffix}", None, 1)
    os.mkfifo(tmp_path / f"pipe{suffix}")
    with pytest.raises(InputError, match="is a pipe"):
        load(tmp_path / f"pipe{suffix}", None, 1)


def test_archives_that_inflate_without_end_are_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr("skyseg_tf.masking.backends.keras.EXTRA_BYTES", 1_000_000)
    for bomb in ((b"{}", bytes(8_000_000)), (b"[]" + b" " * 8_000_000,)):
        with pytest.raises(InputError, match="8 MB exceed the limit of 1 MB"):
            load_network(keras_file(tmp_path / "m.keras", *bomb))
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        load_network(keras_file(tmp_path / "n.keras", b"[" * 200_000))


# --------------------------------------------------------------------------- hostile ONNX


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
@pytest.mark.parametrize("location", ["../../etc/passwd", "beside"])
def test_weights_in_other_files_are_refused(tmp_path, backend, location):
    (tmp_path / "beside").write_bytes(bytes(12))

    def move(graph):
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    path = changed(blue_model(tmp_path / "m.onnx"), move)
    assert "keeps weights in other files" in refused(path, backend)


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_a_constant_of_seventeen_gigabytes_is_not_made(tmp_path, backend):
    def add_constant(graph):
        graph.initializer.append(numpy_helper.from_array(np.array([1 << 18, 1 << 14]), "shape"))
        first, second, last = list(graph.node)
        second.output[0] = "before"
        del graph.node[:]
        graph.node.extend(
            [
                helper.make_node("ConstantOfShape", ["shape"], ["big"]),
                helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
                first,
                second,
                helper.make_node("Add", ["before", "sum"], ["logits"]),
                last,
            ]
        )

    path = changed(blue_model(tmp_path / "m.onnx"), add_constant)
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    assert "more memory than its size explains" in refused(path, backend)
    assert resource.getrlimit(resource.RLIMIT_DATA) == limit


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_metadata_without_end_is_not_read(tmp_path, backend):
    path = blue_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes() + b"\x72\x06\x0a\x01a\x12\x01b" * 1_000_000)
    assert "more metadata than a model can have" in refused(path, backend)
    path = blue_model(tmp_path / "n.onnx")
    path.write_bytes(path.read_bytes() + b"\x72\x80\x80\x80\x80\x10abc")  # 4 GB are announced
    assert "not a whole ONNX file" in refused(path, backend)


def test_a_network_to_start_from_is_told_from_a_model(tmp_path):
    """As `skyseg import_weights` writes it: its one answer is named, and no probabilities."""
    import keras

    image = keras.Input((None, None, 3))
    network = keras.Model(image, {"logits": keras.layers.Conv2D(1, 1)(image)})
    network.save(tmp_path / "imported.keras")
    with pytest.raises(InputError, match=r"no network from RGB.*takes a file of import_weights by"):
        load_runtime(tmp_path / "imported.keras")


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_answers_that_are_no_probabilities_are_refused(tmp_path, backend):
    def spoil(graph):
        weight = np.full((3, 1), np.nan, np.float32)
        graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))

    def bare(graph):
        graph.node[2].op_type = "Identity"

    # Black pixels times NaN are NaN; without them the logit of black is -3.
    for change, told in ((spoil, "are no numbers"), (bare, "no probabilities")):
        path = changed(blue_model(tmp_path / "m.onnx"), change)
        assert told in refused(path, backend)


# --------------------------------------------------------------------------- facts


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("threshold", "NaN"),
        ("threshold", '"high"'),
        ("divisor", "0"),
        ("long_side", "1e9"),
        ("working_size", "[64]"),
        ("working_size", "[64, -64]"),
        ("frames", "0"),
        ("name", "[]"),
        ("scheme", "[" * 100_000),
        ("scheme", "7"),
        ("class_names", "{"),
    ],
)
def test_facts_that_cannot_be_are_told(key, text):
    metadata = ModelFacts("m", SCHEMES["sky"]).to_metadata() | {f"skyseg.{key}": text}
    with pytest.raises(InputError, match="somewhere"):
        ModelFacts.from_metadata(metadata, "somewhere")


def test_facts_without_a_name_are_told():
    metadata = ModelFacts("m", SCHEMES["sky"]).to_metadata()
    del metadata["skyseg.name"]
    with pytest.raises(InputError, match="somewhere"):
        ModelFacts.from_metadata(metadata, "somewhere")


@pytest.mark.parametrize("beside", ["{", "[1]", "[" * 100_000, '{"skyseg.name": 7}'])
def test_facts_beside_a_tflite_file_may_be_damaged(tmp_path, beside):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    (tmp_path / "m.tflite.json").write_text(beside)
    refused(tmp_path / "m.tflite", "litert")


# --------------------------------------------------------------------------- any damage


def damaged(content: bytes, seed: int) -> bytes:
    rng, cut = random.Random(seed), bytearray(content)
    if seed % 3 == 0:
        return content[: rng.randrange(len(content))]
    for _ in range(rng.choice((1, 4))):
        cut[rng.randrange(len(cut))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
    return bytes(cut)


def said_of(path: Path, backend: str) -> str:
    """The error of a file that cannot be used; "" for one that still can."""
    try:
        load_runtime(path, backend)(np.zeros((1, 32, 32, 3), np.uint8))
    except (InputError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "backend"), [("m.onnx", "onnxruntime"), ("m.onnx", "openvino"), ("m.xml", "openvino")]
)
def test_no_damage_ends_in_a_traceback(tmp_path, name, backend):
    """200 of each kind were tried, LiteRT's and Keras' too; here are as many as are quick."""
    path = openvino_file(tmp_path / "m.xml") if name == "m.xml" else blue_model(tmp_path / name)
    content = path.read_bytes()
    for seed in range(40):
        path.write_bytes(damaged(content, seed))
        assert "\n" not in said_of(path, backend)


@pytest.mark.slow
def test_no_damage_of_a_keras_file_ends_in_a_traceback(tmp_path):
    import keras

    pixels = keras.Input((None, None, 3))
    keras.Model(pixels, keras.layers.Conv2D(1, 1, activation="sigmoid")(pixels)).save(
        tmp_path / "whole.keras"
    )
    content, path = (tmp_path / "whole.keras").read_bytes(), tmp_path / "m.keras"
    for seed in range(60):
        path.write_bytes(damaged(content, seed))
        assert "\n" not in said_of(path, "keras")
    layers = [
        ("InputLayer", {"batch_shape": [None, None, None, 3], "name": "a"}),
        ("Conv2D", {"filters": 1_000_000, "kernel_size": [33, 33], "name": "b"}),
    ]
    layers = [
        {"module": "keras.layers", "class_name": kind, "config": told} for kind, told in layers
    ]
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "c", "layers": layers},
    }
    absurd = keras_file(tmp_path / "absurd.keras", json.dumps(config).encode())
    assert "more memory than its size explains" in refused(absurd, "keras")
