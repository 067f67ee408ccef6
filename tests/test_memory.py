import resource
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
