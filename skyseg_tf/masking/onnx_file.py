"""What an ONNX file says about itself, read without the onnx package.

An ONNX file is one protobuf message; the few fields that matter here (metadata and weights) are
found by walking its wire format: https://protobuf.dev/programming-guides/encoding and onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER = 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_DTYPES = {1: "<f4", 10: "<f2"}  # of TensorProto.DataType; weights are nothing else

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


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


def _read(path: Path) -> list[tuple[int, int | memoryview]]:
    try:
        return list(_fields(memoryview(path.read_bytes())))
    except (ValueError, IndexError):
        raise InputError(f"{path}: not a whole ONNX file; download or export it again") from None


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata_props of an ONNX file.

    Raises:
      InputError: not an ONNX file.
    """
    found = {}
    for number, value in _read(Path(path)):
        if number == _MODEL_METADATA:
            entry = {key: bytes(text).decode() for key, text in _fields(value)}
            found[entry.get(1, "")] = entry.get(2, "")
    return found


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The initializers of an ONNX file that are float32 or float16 and stored in it.

    Args:
      path: the file.

    Returns:
      Name -> array as stored; other types (shapes, axes) are left out.

    Raises:
      InputError: not an ONNX file.
    """
    path, found = Path(path), {}
    graphs = [value for number, value in _read(path) if number == _MODEL_GRAPH]
    for tensor in (t for graph in graphs for n, t in _fields(graph) if n == _GRAPH_INITIALIZER):
        shape, dtype, name, raw = [], None, "", None
        for number, value in _fields(tensor):
            if number == _TENSOR_DIMS:
                shape += [value] if isinstance(value, int) else _packed(value)
            elif number == _TENSOR_TYPE:
                dtype = _DTYPES.get(value)
            elif number == _TENSOR_NAME:
                name = bytes(value).decode()
            elif number == _TENSOR_RAW:
                raw = value
        if dtype and raw is not None:
            found[name] = np.frombuffer(raw, dtype).reshape(shape)
    return found


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
