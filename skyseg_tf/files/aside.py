"""Files that are written whole or not at all, and the folders they lie in."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path

from skyseg_tf.errors import InputError, NoFolder
from skyseg_tf.files import is_of_disk
from skyseg_tf.files.locks import lock_if_can_be
from skyseg_tf.files.places import is_remote, place, uploaded

_ASIDES: set[Path] = set()  # files that write_aside has begun
_ASIDE = re.compile(r"(\..*\.\d+-\d+\.tmp)(\.\w+)?")
_LOCK = ".lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_aside(path: str | Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it there when all went well.

    The folder is created. After an error or a kill nothing is left under the final name, and what a
    kill has left aside goes when the next process writes into that folder. A URL (see places) is
    written to when all went well.

    Args:
      path: the file.
      suffix: of the temporary path, for writers that insist on one: it begins with ".tmp".
    """
    if is_remote(path):
        with uploaded(place(path)) as aside:
            yield aside
        return
    path = place(path)
    make_folder(path.parent)
    _remove_left_once(path.parent)
    # Short, since `path` itself may have as long a name as the disk allows.
    # By chance, since processes of several containers on one disk may have the same number.
    number = secrets.randbelow(10**12)
    begun = f".{path.name[:40]}.{os.getpid()}-{number}"
    aside, mark = path.with_name(begun + suffix), path.with_name(f"{begun}.tmp{_LOCK}")
    _ASIDES.update((aside, mark))
    try:
        with _locked(mark):
            yield aside
            os.replace(aside, path)
    except OSError as error:
        # A write to a full disk does not say where, and of the temporary file nobody has heard.
        unnamed = not error.filename and (is_of_disk(error) or error.errno == errno.EFBIG)
        copied = error.errno in _NO_ROOM and str(error.filename2) == str(aside)  # names the source
        if unnamed or copied or str(error.filename) == str(aside):
            error.filename = str(path)
        raise
    finally:
        for left in (aside, mark):
            left.unlink(missing_ok=True)
            _ASIDES.discard(left)


@contextmanager
def _locked(mark: Path) -> Iterator[None]:
    """Inside, others see that somebody is at work on a file; on a disk without locks they cannot.

    The lock is on a file of its own: ext4 sends a file that was there, and empty, to the disk when
    it is closed, and who removes it again, as a build its first pass, waits for that.

    Reference: linux/Documentation/admin-guide/ext4.rst, auto_da_alloc.
    """
    with lock_if_can_be(mark) or nullcontext():
        yield


def remove_left(folder: str | Path) -> None:
    """Removes what processes that were killed have begun to write in a folder, and no live one's."""
    for left in Path(folder).glob(".*"):
        if found := _ASIDE.fullmatch(left.name):
            mark = left.with_name(found[1] + _LOCK)
            if held := lock_if_can_be(mark):
                with held, suppress(OSError):
                    left.unlink(missing_ok=True)
                    mark.unlink(missing_ok=True)


# A folder may hold a million files, so a process looks once at each.
_remove_left_once = lru_cache(maxsize=None)(remove_left)


def discard_asides() -> None:
    """Removes what `write_aside` has begun, for a process that ends without its threads."""
    for aside in tuple(_ASIDES):
        aside.unlink(missing_ok=True)


def check_folder(folder: str | Path) -> None:
    """Refuses a folder that could not be written into, before hours of work for it.

    Args:
      folder: it need not exist; nothing is made.

    Raises:
      InputError: a file is in the way, or no permission to write there.
    """
    if is_remote(folder):
        return  # what a storage allows is known when it is asked to
    folder = Path(folder)
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise InputError(f"{folder}: a file is in the way ({there}); choose another folder")
        effective = os.access in os.supports_effective_ids
        may_write = os.access(there, os.W_OK | os.X_OK, effective_ids=effective)
    except PermissionError:  # a folder above it may not even be looked into
        there, may_write = folder.parent, False
    if not may_write:
        raise InputError(f"{folder}: no permission to write in {there}; choose another folder")


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are not there already.

    Raises:
      NoFolder: a file is in the way, or the system lets none be made there.
      OSError: a full or failing disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_of_disk(error):
            raise
        raise NoFolder(
            f"{folder}: no such folder can be made ({error.strerror}); choose another"
        ) from None
