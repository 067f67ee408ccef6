"""The forms in which a trained network is written for others: FORMATS, one file and one entry each.

A writer takes an ExportJob and leaves the files of the export at and beside `job.path`; whether they
are right is not its business, see `skyseg_tf.export`. Nothing here imports Keras before a format is
written, so that names are there for `--help`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyseg_tf.console.dependencies import Lazy, check_installed
from skyseg_tf.masking.backends import Runtime
from skyseg_tf.masking.runtime import load_runtime

if TYPE_CHECKING:
    from skyseg_tf.exporters.job import ExportJob


@dataclass(frozen=True)
class Format:
    """What the rest of the program needs to know about a format.

    Attributes:
      write: leaves the export at job.path.
      name: of the file or folder in a run's exports/; {precision} and {size} are filled in.
      about: what it is for, in a few words.
      load: what was written -> a Runtime of it, in the backend that it is for.
      precisions: those that it knows.
      packages: the modules that writing it needs, see the extra "export".
      fixed: precisions in which it has one size.
      folder_holds: of a folder: the file by which an older export of this format is known.
    """

    write: Callable[["ExportJob"], None]
    name: str
    about: str
    load: Callable[[Path], Runtime] = load_runtime
    precisions: tuple[str, ...] = ("f32", "f16", "int8")
    packages: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    folder_holds: str = ""


def _in_onnxruntime(path: Path) -> Runtime:
    return load_runtime(path, "onnxruntime")


_ROOM = "skyseg_tf.exporters"
_ONNX = ("onnx", "tf2onnx", "onnxruntime")
FORMATS: dict[str, Format] = {
    "onnx": Format(
        Lazy(f"{_ROOM}.onnx_graph:write_onnx"),
        "model_{precision}{size}.onnx",
        "ONNX Runtime, browsers, most other programs",
        _in_onnxruntime,
        packages=_ONNX,
    ),
    "saved_model": Format(
        Lazy(f"{_ROOM}.saved_model:write_saved_model"),
        "saved_model_{precision}{size}",
        "TensorFlow Serving and TensorFlow programs",
        Lazy(f"{_ROOM}.saved_model:load_saved_model"),
        precisions=("f32",),
        folder_holds="saved_model.pb",
    ),
    "openvino": Format(
        Lazy(f"{_ROOM}.openvino_ir:write_openvino"),
        "model_{precision}{size}.xml",
        "CPUs of Intel",
        packages=(*_ONNX, "openvino", "nncf"),
        fixed=("int8",),
    ),
    "litert": Format(
        Lazy(f"{_ROOM}.litert:write_litert"),
        "model_{precision}{size}.tflite",
        "phones and small boards",
        packages=("ai_edge_litert",),
        fixed=("f32", "f16", "int8"),
    ),
    "tensorrt-onnx": Format(
        Lazy(f"{_ROOM}.onnx_graph:write_tensorrt_onnx"),
        "tensorrt_{precision}{size}.onnx",
        "TensorRT on GPUs of NVIDIA",
        _in_onnxruntime,
        packages=_ONNX,
    ),
}


def check_packages(name: str) -> None:
    """Refuses a format that cannot be written here.

    Args:
      name: a key of FORMATS.

    Raises:
      InputError: it names the packages that are not installed.
    """
    check_installed(f"--format {name}", *FORMATS[name].packages, install="'skyseg_tf[export]'")
