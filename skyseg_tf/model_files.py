"""What a model file must be before a library reads it, and how much memory reading it may take.

The libraries believe their files: a layer of a thousand gigabytes is allocated, an archive that
inflates without end is inflated, and what is no model at all makes some of them abort.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skyseg_tf.errors import InputError
from skyseg_tf.files import check_file, open_archive, read_member
from skyseg_tf.onnx_file import check_self_contained

MAX_BYTES = 4_000_000_000  # of a model file; an ONNX file cannot have more than 2 GB
EXTRA_BYTES = 900_000_000  # that reading one may take, beside three times its own size
_MAX_CONFIG = 64_000_000  # of config.json in a .keras file
_THREAD_BYTES = 16_000_000  # stack and buffers of one, of which the libraries start one per core
_MEMORY_WORDS = ("alloc", "memory", "oom ")


def check_model_file(path: Path) -> None:
    """Refuses a model file that is not what its name says, before a library reads it.

    Args:
      path: .keras, .onnx, .xml or .tflite.

    Raises:
      FileNotFoundError: no such file.
      InputError: of another kind, cut off, or content far beyond its size.
    """
    check_file(path, MAX_BYTES)
    _CHECKS[path.suffix](path)


def _check_keras(path: Path) -> None:
    with open_archive(path, path.stat().st_size + EXTRA_BYTES) as archive:
        names = set(archive.namelist())
        if missing := sorted({"config.json", "model.weights.h5"} - names):
            raise InputError(f"{path}: no {missing[0]} in it, so no .keras file; train again")
        try:
            json.loads(read_member(archive, "config.json", _MAX_CONFIG))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: its config.json is damaged; train again") from None


def _check_start(what: str, at: int, *marks: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        with open(path, "rb") as file:
            start = file.read(64)
        if not start[at:].startswith(marks):
            raise InputError(f"{path}: no {what} file, whatever its name says; give another")

    return check


_CHECKS: dict[str, Callable[[Path], None]] = {
    ".keras": _check_keras,
    ".onnx": check_self_contained,
    ".xml": _check_start("OpenVINO", 0, b"<?xml", b"<net"),
    ".tflite": _check_start("LiteRT", 4, b"TFL3"),
}


def load_checked(path: Path, library: str, load: Callable[[], Any]) -> Any:
    """What `load` makes of a model file, in bounded memory and with errors in one line.

    Args:
      path: the file, which is checked first.
      library: its name, for people.
      load: reads the file; what it needs is imported already.

    Raises:
      FileNotFoundError: no such file.
      InputError: see `check_model_file`; or the library cannot load it.
    """
    check_model_file(path)
    with bounded_memory(path):
        try:
            return load()
        except InputError:
            raise
        except Exception as error:  # each library has errors of its own for each kind of damage
            raise not_loaded(path, library, error) from None


def load_keras_file(path: str | Path):
    """A keras.Model from a .keras file, see `load_checked`."""
    path, keras = Path(path), importlib.import_module("keras")
    importlib.import_module("skyseg_tf.models")  # its layers must be known before a file names them
    return load_checked(path, "Keras", lambda: keras.models.load_model(path, compile=False))


def not_loaded(path: Path, library: str, error: Exception) -> InputError:
    """The line for what a library says about a file."""
    text = str(error)
    if isinstance(error, MemoryError) or any(word in text.lower() for word in _MEMORY_WORDS):
        reason = f"it wants {EXTRA_BYTES / 1e6:.0f} MB more memory than its size explains"
    else:  # OpenVINO begins with places in its own source
        lines = [line.strip() for line in text.splitlines()]
        said = [
            line for line in lines if line and not line.startswith(("Exception from", "Check "))
        ]
        reason = (said or [type(error).__name__])[0][:200]
    return InputError(f"{path}: {library} cannot load it ({reason}); export or download it again")


@contextmanager
def bounded_memory(path: Path) -> Iterator[None]:
    """Lets the process take little more memory than a file's size explains, for some time.

    Allocations beyond three times the file's size, EXTRA_BYTES and the stacks of the libraries'
    threads fail inside, those of other threads too. Linux alone can limit this; with a GPU, whose
    driver takes what it likes, nothing is limited.
    """
    if not sys.platform.startswith("linux") or Path("/proc/driver/nvidia/gpus").is_dir():
        yield
        return
    import resource

    allowed = 3 * path.stat().st_size + EXTRA_BYTES + _THREAD_BYTES * (os.cpu_count() or 1)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [_data_bytes() + allowed, *(n for n in before if n != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that can be written to."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
