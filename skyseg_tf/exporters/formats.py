"""One file per runtime that a trained network is written for; FORMATS says what each can do.

A writer takes an ExportJob and leaves the files of the export beside `job.path`; whether they are
right is not its business, see `skyseg_tf.export`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.litert import write_litert
from skyseg_tf.exporters.onnx_graph import write_onnx, write_tensorrt_onnx
from skyseg_tf.exporters.openvino_ir import write_openvino
from skyseg_tf.exporters.saved_model import write_saved_model


@dataclass(frozen=True)
class Format:
    """What the rest of the program needs to know about a format.

    Attributes:
      write: leaves the export at job.path.
      name: of the file in a run's exports/; {precision} and {size} are filled in.
      precisions: those that it knows.
      backend: of runtime.BACKENDS that runs it, or "saved_model".
      packages: the modules that writing it needs.
      fixed: precisions in which it has one size.
    """

    write: Callable[[ExportJob], None]
    name: str
    precisions: tuple[str, ...]
    backend: str
    packages: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


_ALL = ("f32", "f16", "int8")
_ONNX = ("onnx", "tf2onnx", "onnxruntime")

FORMATS: dict[str, Format] = {
    "onnx": Format(write_onnx, "model_{precision}{size}.onnx", _ALL, "onnxruntime", _ONNX),
    "saved_model": Format(
        write_saved_model, "saved_model_{precision}{size}", ("f32",), "saved_model"
    ),
    "openvino": Format(
        write_openvino,
        "model_{precision}{size}.xml",
        _ALL,
        "openvino",
        (*_ONNX, "openvino", "nncf"),
        fixed=("int8",),
    ),
    "litert": Format(
        write_litert,
        "model_{precision}{size}.tflite",
        _ALL,
        "litert",
        ("ai_edge_litert",),
        fixed=_ALL,
    ),
    "tensorrt-onnx": Format(
        write_tensorrt_onnx, "tensorrt_{precision}{size}.onnx", _ALL, "onnxruntime", _ONNX
    ),
}
