"""Photos on their way through a network: read ahead, computed, and finished behind it."""

import errno
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.images import Photo, decode_photo, read_photo
from skyseg_tf.masking.prediction import infer
from skyseg_tf.masking.runtime import Runtime

STREAM = "-"
# A disk that takes nothing more concerns all photos; all other errors are one photo's own.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class Job:
    """One photo.

    Attributes:
      source: its path, or STREAM for stdin.
      target: where its output goes; None for stdout.
      name: what a table calls it.
    """

    source: str
    target: Path | None
    name: str


def run_jobs(
    jobs: Iterable[Job],
    workers: int,
    batch_size: int,
    load: Callable[[], Runtime],
    finish: Callable[[Runtime, Job, Photo, np.ndarray], None],
) -> Iterator[tuple[Job, Exception | None]]:
    """Reads ahead and finishes behind in threads while the network runs in this one.

    Args:
      jobs: photos in the order wanted.
      workers: threads that read, and as many that finish.
      batch_size: photos per step of the network.
      load: gives the model; called once, while the first photos are being read.
      finish: (runtime, job, photo, probs) -> None; called in a thread.

    Yields:
      Each job with the error that stopped it, or None: whatever a decoder, the network or `finish`
      raise over one photo, the others are done. At most workers + batch_size photos are in memory
      before the network, and as many behind it.

    Raises:
      OSError: a full or failing disk.
    """
    ahead = workers + batch_size
    with _pool(workers) as readers, _pool(workers) as writers:
        waiting = iter(jobs)
        reading: deque[tuple[Job, Future]] = deque()
        writing: deque[tuple[Job, Future]] = deque()
        batch: list[tuple[Job, Photo]] = []

        def compute() -> Iterator[tuple[Job, Exception]]:
            try:
                answers = infer(runtime, [photo.image for _, photo in batch])
            except Exception as error:
                yield from ((job, error) for job, _ in batch)
            else:
                for (job, photo), probs in zip(batch, answers, strict=True):
                    writing.append((job, writers.submit(finish, runtime, job, photo, probs)))
            batch.clear()

        def read_ahead() -> bool:
            while len(reading) < ahead and (job := next(waiting, None)):
                reading.append((job, readers.submit(_read, job.source)))
            return bool(reading)

        read_ahead()
        runtime = load()
        while read_ahead():
            job, future = reading.popleft()
            try:
                photo = future.result()
            except Exception as error:
                yield job, error
                continue
            if batch and _size(runtime, photo) != _size(runtime, batch[0][1]):
                yield from compute()
            batch.append((job, photo))
            if len(batch) >= batch_size:
                yield from compute()
            while len(writing) > ahead:
                yield _finished(*writing.popleft())
        if batch:
            yield from compute()
        while writing:
            yield _finished(*writing.popleft())


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; after an error or Ctrl-C what has not begun is dropped, and nobody waits."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _read(source: str) -> Photo:
    if source == STREAM:
        return decode_photo(sys.stdin.buffer.read(), "stdin")
    return read_photo(source)


def _size(runtime: Runtime, photo: Photo) -> tuple[int, int]:
    return runtime.size_for(*photo.image.shape[:2])


def _finished(job: Job, future: Future) -> tuple[Job, Exception | None]:
    try:
        future.result()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        return job, error
    return job, None
