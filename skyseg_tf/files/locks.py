"""Locks on files: the kernel frees those of a process that dies, however it dies.

They are flock's: of all processes on one machine, or on a network file system that keeps them.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows has none: there nobody is kept out
    fcntl = None

LOCKS = fcntl is not None


def lock(path: str | Path, *, wait: bool = False) -> TextIO | None:
    """Takes a lock that lasts until the file is closed.

    Args:
      path: its file, made if absent; the folder must be there. Whoever has the lock may remove it.
      wait: until it is free.

    Returns:
      The open file, or None where another one holds it.
    """
    file = open(path, "a")  # noqa: SIM115 (who has it open has the lock)
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    if fcntl and not _is_there(file, path):  # removed since it was opened: others lock a new one
        file.close()
        return lock(path, wait=wait)
    return file


def _is_there(file: TextIO, path: str | Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def lock_if_can_be(path: str | Path) -> TextIO | None:
    """Takes a lock like `lock`; None also where there are none, or one may not take any."""
    with suppress(OSError):  # no such right, or no locks there; Windows has none at all
        return lock(path) if LOCKS else None
