"""What a model file must be before a library reads it, and how much memory reading it may take.

The libraries believe their files: a layer of a thousand gigabytes is allocated, an archive that
inflates without end is inflated, and what is no model at all makes some of them abort.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files import check_file
from skyseg_tf.files.memory import EXTRA_BYTES, bounded_memory

MAX_BYTES = 4_000_000_000  # of a model file; an ONNX file cannot have more than 2 GB
_MEMORY_WORDS = ("alloc", "memory", "oom ")

# Refuses a file that is not what its name says, or has content far beyond its size.
Check = Callable[[Path], None]


def starts_with(what: str, at: int, *marks: bytes) -> Check:
    """A check that a file has one of these marks at that byte.

    Args:
      what: whose file it is then, for people.
      at: byte, below 50.
      *marks: of some bytes each.

    Raises:
      InputError: by the check, where the file begins otherwise.
    """

    def check(path: Path) -> None:
        with open(path, "rb") as file:
            start = file.read(64)
        if not start[at:].startswith(marks):
            raise InputError(f"{path}: no {what} file, whatever its name says; give another")

    return check


@contextmanager
def reading(path: Path, library: str, check: Check) -> Iterator[None]:
    """Around the lines in which a library, already imported, reads a model file.

    The file is checked first, memory is bounded, and what the library raises becomes one line.

    Args:
      path: the file.
      library: its name, for people.
      check: of the file's format.

    Raises:
      FileNotFoundError: no such file.
      InputError: of another kind, cut off, far beyond its size; or the library cannot load it.
    """
    check_file(path, MAX_BYTES)
    check(path)
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
            raise _not_loaded(path, library, error) from None


def not_numbers(path: Path, weights: str) -> InputError:
    """The error of a file with weights that are NaN, of which some networks make "no sky"."""
    return InputError(
        f"{path}: weights of {weights} are no numbers: the training diverged, or the file is "
        "damaged; train or export it again"
    )


def _not_loaded(path: Path, runtime: str, error: Exception) -> InputError:
    """The error of a file that a library refuses; of the library's words the first that tell."""
    text = str(error)
    if isinstance(error, MemoryError) or any(word in text.lower() for word in _MEMORY_WORDS):
        reason = f"it wants {EXTRA_BYTES / 1e6:.0f} MB more memory than its size explains"
    else:  # OpenVINO begins with places in its own source
        lines = [line.strip() for line in text.splitlines()]
        said = [
            line for line in lines if line and not line.startswith(("Exception from", "Check "))
        ]
        reason = (said or [type(error).__name__])[0][:200]
    return InputError(f"{path}: {runtime} cannot load it ({reason}); export or download it again")
