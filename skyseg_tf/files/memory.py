"""A limit to the memory that reading a file may take: libraries believe what a file announces."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXTRA_BYTES = 900_000_000  # beside three times the file's own size
_THREAD_BYTES = 16_000_000  # stack and buffers of one, of which the libraries start one per core


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
