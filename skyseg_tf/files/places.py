"""Places that are no folder of this machine: whatever fsspec reaches by a URL, such as s3://bucket/x.

`place` gives such a URL as fsspec's own kind of pathlib.Path, so that code which walks, opens and
joins paths need not care. Settings are Paths, in which `//` has become `/`: s3:/bucket/x is known
all the same. Nothing of fsspec is imported before the first URL.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from skyseg_tf.errors import InputError, printable

# No letter of a drive, no local folder of such a name that anybody would have, and no web page,
# which nobody can list.
_URL = re.compile(r"(?!https?:)([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)
_FILE_URL = re.compile(r"file:(?://([^/]*))?(/.*)", re.IGNORECASE | re.DOTALL)
_PACKAGES = {  # beside those of the extra
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}
_LATE, _LOOK = 90.0, 0.5  # seconds until a file of another machine is here, and between looks
_STORAGES = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure"}


def is_storage_error(error: BaseException) -> bool:
    """Whether an error is a storage's own, which are no OSErrors: no key, no such endpoint."""
    return type(error).__module__.partition(".")[0] in _STORAGES


def is_remote(path: str | Path) -> bool:
    """Whether a path is a URL of a place that is not this machine's file system."""
    found = _URL.match(str(path))
    return bool(found) and found[1].lower() != "file"


def is_like_url(name: str) -> bool:
    """Whether a name would be taken for a URL: joined to a folder, it would leave that."""
    return bool(re.match(r"[a-z][a-z0-9+.-]+:/", name, re.IGNORECASE))


def local_path(text: str) -> str:
    """The path that a file:// URL stands for, any other text as it is.

    Raises:
      InputError: the URL is of another machine.

    Reference: RFC 8089, 2 and appendix B.
    """
    found = _FILE_URL.fullmatch(text)
    if not found:
        return text
    if (found[1] or "localhost").lower() != "localhost":
        raise InputError(f"{text}: a file of another machine ({found[1]}); copy it to this one")
    return str(Path("/", unquote(found[2], errors="surrogateescape").lstrip("/")))


def check_seen(paths: Iterable[Path]) -> None:
    """Waits for files of other machines to be seen here, and refuses those of a folder of their own.

    A client of a network disk remembers for up to a minute which names were not there.

    Args:
      paths: that they say they have written; URLs are seen by all.

    Raises:
      InputError: one does not come.

    Reference: nfs(5), acdirmax.
    """
    end = time.monotonic() + _LATE
    for path in paths:
        while not is_remote(path) and not path.exists():
            if time.monotonic() > end:
                raise InputError(
                    f"{path}: written, but not here after {_LATE:.0f} s: the machines do not share "
                    "that folder; give one that they do, or a URL, by --out"
                )
            with suppress(OSError):  # has most clients ask the server
                os.listdir(path.parent)
            time.sleep(_LOOK)


def place(path: str | Path) -> Path:
    """A path, or a URL as a path that can be walked and opened.

    Args:
      path: of this machine, a URL, a URL that has been a Path, or a result of this function.

    Returns:
      A pathlib.Path, of a URL but file:// a upath.UPath, which does the same by fsspec. How a
      storage is reached (keys, endpoints) is said in the way of fsspec and of the storage itself:
      by environment variables and configuration files.

    Raises:
      InputError: a kind of URL that there is not, or whose package is not installed; or text that
        no file's name can be.
    """
    found = _URL.match(str(path))
    if not found:
        _check_name(str(path))
        return Path(path)
    kind, rest = found[1].lower(), str(path)[found.end() :]
    if kind == "file":
        return Path(local_path(str(path)))
    try:
        from upath import UPath

        reached = UPath(f"{kind}://{rest}")
        _ = reached.fs  # only now a missing package is missed
    except ImportError:
        packages = " ".join(["'skyseg_tf[scale]'", *_PACKAGES.get(kind, "").split()])
        raise InputError(
            f"{kind}://{rest}: needs more to be reached (pip install {packages}); or download it first"
        ) from None
    except ValueError as error:
        raise InputError(f"{kind}://{rest}: {error}; give a folder or s3://, gs://, ...") from None
    return reached


def _check_name(path: str) -> None:
    """Refuses text that is no name for any file, as JSON may hold it."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"{printable(path)}: no name of a file; give another") from None


def resolved(path: Path) -> Path:
    """Where links lead to; Path.resolve fails at links in a circle, before Python 3.13."""
    return path.resolve() if is_remote(path) else Path(os.path.realpath(path))


def below(path: Path, root: Path) -> str:
    """The path of a file below a root that it lies in, with slashes."""
    if not is_remote(root):
        return path.relative_to(root).as_posix()
    return path.path[len(root.path.rstrip("/")) + 1 :]


def list_remote(folder: Path) -> list[tuple[Path, bool, int]]:
    """(path, whether it is a folder, bytes) of each entry of a folder that is a URL, by one request."""
    here = folder.path.rstrip("/")
    entries = []
    for entry in folder.fs.ls(here, detail=True):
        name = entry["name"].rstrip("/")
        if name.strip("/") != here.strip("/"):  # object stores may list the folder in itself
            is_folder = entry["type"] == "directory"
            entries.append((folder / name.rsplit("/", 1)[-1], is_folder, entry["size"] or 0))
    return sorted(entries, key=lambda entry: str(entry[0]))


def refresh(path: Path) -> None:
    """Forgets what fsspec has listed there: other machines may have written since."""
    if is_remote(path):
        path.fs.invalidate_cache()


def remove_tree(path: Path) -> None:
    """Removes a folder and all that is in it; it may be missing."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    refresh(path)
    if path.exists():
        path.fs.rm(path.path, recursive=True)


@contextmanager
def _local_file() -> Iterator[Path]:
    """Yields the path of a file of this machine that is gone after the block.

    On Linux it has no name in any folder: the kernel frees it with this process, however that dies.
    """
    if sys.platform.startswith("linux"):
        with tempfile.TemporaryFile() as file:
            yield Path(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.TemporaryDirectory(prefix="skyseg-") as folder:
            yield Path(folder, "file")


@contextmanager
def uploaded(path: Path) -> Iterator[Path]:
    """Yields a local path to write to, and copies the file to a URL when all went well.

    Object stores show a file that is whole or none.
    """
    with _local_file() as aside:
        yield aside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.fs.put_file(str(aside), path.path)


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yields a local path of the same content: the path itself, or a copy."""
    if not is_remote(path):
        yield path
        return
    with _local_file() as copy:
        path.fs.get_file(path.path, str(copy))
        yield copy
