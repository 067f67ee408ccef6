import platform
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from skyseg_tf.files.memory import EXTRA_BYTES, bounded_memory


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"0" * 1000)
    return path


def test_what_a_file_cannot_explain_is_not_given(file):
    with bounded_memory(file), pytest.raises(MemoryError):
        np.empty(EXTRA_BYTES + 300_000_000, np.uint8)
    assert np.empty(EXTRA_BYTES + 300_000_000, np.uint8).nbytes


def test_readers_of_several_threads_leave_no_limit_behind(file):
    """One begins inside another and ends after it."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    inside, first_ended = threading.Event(), threading.Event()

    def read():
        with bounded_memory(file):
            inside.set()
            first_ended.wait(5)

    with bounded_memory(file):
        second = threading.Thread(target=read)
        second.start()
        assert inside.wait(5)
    assert resource.getrlimit(resource.RLIMIT_DATA) != before
    first_ended.set()
    second.join()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's malloc that is told")
def test_a_photo_gets_the_memory_of_the_one_before():
    """A fault is a page of 4 kB that the kernel has cleared; 40 MB are ten thousand."""
    program = """
import resource
from skyseg_tf.files.memory import keep_freed_memory
{0}
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    photo = bytearray(40_000_000)
    del photo
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.check_output([sys.executable, "-c", program.format(line)]))
        for line in ("", "keep_freed_memory()")
    ]
    assert faults[1] < 100 < faults[0]
