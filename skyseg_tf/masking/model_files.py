"""What a model file must be before a library reads it, and how much memory reading it may take.

The libraries believe their files: a layer of a thousand gigabytes is allocated, an archive that
inflates without end is inflated, and what is no model at all makes some of them abort.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files import check_file, open_archive, read_member
from skyseg_tf.masking.backends.interface import EXTRA_BYTES, not_loaded
from skyseg_tf.masking.onnx_file import check_self_contained

MAX_BYTES = 4_000_000_000  # of a model file; an ONNX file cannot have more than 2 GB
_MAX_CONFIG = 64_000_000  # of config.json in a .keras file
_THREAD_BYTES = 16_000_000  # stack and buffers of one, of which the libraries start one per core


def check_model_file(path: Path) -> None:
    """Refuses a model file that is not what its name says, before a library reads it.

    Args:
      path: .keras, .onnx, .xml or .tflite.

    Raises:
      FileNotFoundError: no such file.
      InputError: of another kind, cut off, or content far beyond its size.
    """
    check_file(path, MAX_BYTES)
    if check := _CHECKS.get(path.suffix):
        check(path)


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


@contextmanager
def reading(path: Path, library: str) -> Iterator[None]:
    """Around the lines in which a library, already imported, reads a model file.

    The file is checked first, memory is bounded, and what the library raises becomes one line.

    Args:
      path: the file.
      library: its name, for people.

    Raises:
      FileNotFoundError: no such file.
      InputError: see `check_model_file`; or the library cannot load it.
    """
    check_model_file(path)
    with bounded(path, library):
        yield


@contextmanager
def bounded(path: Path, library: str) -> Iterator[None]:
    """As `reading`, of a file that has been checked."""
    with bounded_memory(path):
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # each library has errors of its own for each kind of damage
            raise not_loaded(path, library, error) from None


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
