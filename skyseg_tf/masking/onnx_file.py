"""What an ONNX file says about itself, read without the onnx package.

An ONNX file is one protobuf message; the few fields that matter here (metadata and weights) are
found by walking its wire format: https://protobuf.dev/programming-guides/encoding and onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.masking.model_files import not_numbers

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _NODE_ATTRIBUTE = 1, 5, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_DOUBLES = 2, 4, 8, 9, 10
_TENSOR_ELSEWHERE = 13
# Numbers of TensorProto.DataType -> how raw_data holds them.
_FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_METADATA = 10_000  # entries; ours are a dozen
_MAX_TEXT = 4_000_000  # bytes of one; a scheme of many classes has some thousands
_MAX_DEPTH = 8  # of graphs in graphs


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bit")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message; a nested message or string is its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
        else:
            if kind == _BYTES:
                size, at = _varint(data, at)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"wire type {kind}")
            if at + size > len(data):
                raise ValueError("cut off")
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def _text(value: int | bytes | memoryview) -> str:
    """A string; a number raises TypeError, where `bytes(value)` would be that many zeros."""
    return str(value, "utf-8")


@contextmanager
def _message(path: str | Path) -> Iterator[memoryview]:
    """The file as one message.

    Raises:
      InputError: what is found in it is no ONNX.
    """
    try:
        yield memoryview(Path(path).read_bytes())
    except InputError:
        raise
    except (ValueError, IndexError, TypeError):  # of another wire type than it should
        raise InputError(f"{path}: not a whole ONNX file; download or export it again") from None


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata_props of an ONNX file.

    Raises:
      InputError: not an ONNX file, or more metadata than any model has to tell.
    """
    found = {}
    with _message(path) as message:
        entries = (value for number, value in _fields(message) if number == _MODEL_METADATA)
        for count, value in enumerate(entries):
            if count >= _MAX_METADATA or len(value) > _MAX_TEXT:
                raise InputError(f"{path}: more metadata than a model can have; export it again")
            entry = {key: _text(told) for key, told in _fields(value)}
            found[entry.get(1, "")] = entry.get(2, "")
    return found


def check_self_contained(path: str | Path) -> None:
    """Refuses an ONNX file that is none, has no graph, or keeps weights in other files.

    Raises:
      InputError: says which; weights that are NaN and too much metadata as well, see
        `read_metadata`.
    """
    read_metadata(path)
    with _message(path) as message:
        graphs = [value for number, value in _fields(message) if number == _MODEL_GRAPH]
        if not graphs:
            raise InputError(f"{path}: no graph in it, so no ONNX file; export it again")
        for tensor in (tensor for graph in graphs for tensor in _tensors(graph)):
            _check_tensor(path, list(_fields(tensor)))


def _check_tensor(path: str | Path, fields: list[tuple[int, int | memoryview]]) -> None:
    """Raises InputError for weights in other files, and for NaN."""
    told = dict(fields)
    if _TENSOR_ELSEWHERE in told:
        raise InputError(f"{path}: keeps weights in other files; save the model as one file")
    kinds = {_TENSOR_FLOATS: "<f4", _TENSOR_DOUBLES: "<f8"}
    if told.get(_TENSOR_TYPE) in _FLOATS:
        kinds[_TENSOR_RAW] = _FLOATS[told[_TENSOR_TYPE]]
    for number, value in fields:
        if number in kinds and np.isnan(np.frombuffer(value, kinds[number])).any():
            raise not_numbers(path, _text(told.get(_TENSOR_NAME, b"?")))


def _tensors(graph: memoryview, depth: int = 0) -> Iterator[memoryview]:
    """Initializers and constants of a graph and of those in its nodes."""
    if depth > _MAX_DEPTH:
        raise ValueError("graphs in graphs without end")
    for number, value in _fields(graph):
        if number == _GRAPH_INITIALIZER:
            yield value
        if number != _GRAPH_NODE:
            continue
        for attribute in (v for n, v in _fields(value) if n == _NODE_ATTRIBUTE):
            for kind, inner in _fields(attribute):
                if kind == _ATTRIBUTE_TENSOR:
                    yield inner
                elif kind == _ATTRIBUTE_GRAPH:
                    yield from _tensors(inner, depth + 1)
