"""What the process may take of memory, and what it keeps.

Libraries believe what a file announces, so that reading one needs a limit; and what one photo leaves
free, the next one needs again.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

EXTRA_BYTES = 900_000_000  # beside three times the file's own size
_THREAD_BYTES = 16_000_000  # stack and buffers of one, of which the libraries start one per core
_KEPT_BYTES = 1 << 30
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h
_readers = SimpleNamespace(lock=threading.Lock(), allowed=0, taken=0, before=(-1, -1))


def keep_freed_memory() -> None:
    """Has the process keep up to a gigabyte of what it frees, in one heap for all threads.

    An array as large as a photo is else a mapping of its own, whose pages the kernel clears one by
    one, every time anew: a tenth of the time of a mask of 12 megapixels. It is for commands that
    work on many photos, early, before threads have heaps of their own; with another C library than
    glibc nothing happens. Reference: man 3 mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT_BYTES)):
        mallopt(parameter, value)


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
    _change_limit(resource, allowed)
    try:
        yield
    finally:
        _change_limit(resource, -allowed)


def _change_limit(resource: ModuleType, by: int) -> None:
    """Readers in several threads share one limit, and the last one takes it away.

    Were each to restore what it found, one that began inside another and ended after it would leave
    the process limited for ever.
    """
    with _readers.lock:
        if not _readers.allowed:
            _readers.before = resource.getrlimit(resource.RLIMIT_DATA)
            _readers.taken = _data_bytes()
        _readers.allowed += by
        soft, hard = _readers.before
        if _readers.allowed:
            most = _readers.taken + _readers.allowed
            soft = min([most, *(n for n in _readers.before if n != resource.RLIM_INFINITY)])
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that can be written to."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
