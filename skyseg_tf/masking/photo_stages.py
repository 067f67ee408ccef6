"""Photos on their way through a network: read ahead, computed, and finished behind it."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from skyseg_tf.files import is_of_disk, read_stream
from skyseg_tf.files.streams import binary_input
from skyseg_tf.images import Photo, decode_photo, read_photo
from skyseg_tf.masking.prediction import infer
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.masking.stages import Stage, run_stages

STREAM = "-"
Made = TypeVar("Made")


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


@dataclass
class _Item:
    """What goes from stage to stage: a photo until something fails, then its error."""

    job: Job
    photo: Photo | None = None
    probs: np.ndarray | None = None  # (h, w, C) float32
    made: object = None  # what `finish` returned
    error: Exception | None = None


def run_jobs(
    jobs: Iterable[Job],
    workers: int,
    batch_size: int,
    load: Callable[[], Runtime],
    finish: Callable[[Runtime, Job, Photo, np.ndarray], Made],
    tell: Callable[[Job, Made | None, Exception | None], None],
    *,
    load_first: bool = False,
) -> None:
    """Reads ahead and finishes behind in threads while the network runs in another.

    Whatever a decoder, the network or `finish` raise over one photo, the others are done. At most
    workers + 3 batch_size photos are in memory before the network, and as many behind it.

    Args:
      jobs: photos in the order wanted.
      workers: threads that read, and as many that finish.
      batch_size: photos per step of the network.
      load: gives the model; called once.
      finish: (runtime, job, photo, probs) -> what is made of it; called in several threads.
      tell: (job, what `finish` returned, None), or (job, None, the error that stopped it); called
        in one thread.
      load_first: the model is loaded before any photo is read, else while the first ones are.

    Raises:
      OSError: a full or failing disk.
      KeyboardInterrupt: stopped; the photos under way have been finished, unless one hangs.
    """
    network = _Network(load, batch_size)
    if load_first:
        network.load()

    def make(item: _Item) -> None:
        item.made = finish(network.runtime, item.job, item.photo, item.probs)

    # None, first of all, has the model loaded; at the end it empties the last batch.
    items = chain([None], map(_Item, jobs), [None])
    stages = [
        Stage("read", lambda item: item and _try(_read, item), workers),
        Stage("infer", network, workers if batch_size == 1 else 1, returns_list=True),
        Stage("finish", lambda item: _try(make, item), workers),
        Stage("tell", lambda item: tell(item.job, item.made, item.error)),
    ]
    if stopped := run_stages(("jobs", items), stages, depth=batch_size)[1]:
        raise KeyboardInterrupt(stopped)


class _Network:
    """The stage in which the network runs: it fills batches of photos of one size.

    Several threads may call it where a batch is one photo.
    """

    def __init__(self, load: Callable[[], Runtime], batch_size: int):
        self._load, self.batch_size = load, batch_size
        self.runtime: Runtime | None = None
        self.loading = threading.Lock()
        self.batch: list[_Item] = []
        self.size: tuple[int, int] | None = None

    def load(self) -> None:
        """Loads the model, unless it is there."""
        with self.loading:
            self.runtime = self.runtime or self._load()

    def __call__(self, item: _Item | None) -> list[_Item]:
        """The photos that are done by the coming of this one; None empties the batch."""
        self.load()
        if item is None:
            return self._emptied()
        if item.error is not None:
            return [item]
        if self.batch_size == 1:
            return self._infer([item])
        size, ready = self.runtime.size_for(*item.photo.image.shape[:2]), []
        if size != self.size:
            self.size, ready = size, self._emptied()
        self.batch.append(item)
        return ready + (self._emptied() if len(self.batch) == self.batch_size else [])

    def _emptied(self) -> list[_Item]:
        ready, self.batch = self.batch, []
        return self._infer(ready)

    def _infer(self, ready: list[_Item]) -> list[_Item]:
        try:
            answers = infer(self.runtime, [item.photo.image for item in ready]) if ready else []
            for item, probs in zip(ready, answers, strict=True):
                item.probs = probs
        except Exception as error:
            for item in ready:
                item.error = error
        return ready


def _try(step: Callable[[_Item], None], item: _Item) -> _Item:
    """Takes the step, unless one before has failed; its error stays with the photo."""
    if item.error is None:
        try:
            step(item)
        except Exception as error:
            if is_of_disk(error):
                raise
            item.error = error
    return item


def _read(item: _Item) -> None:
    if item.job.source == STREAM:
        item.photo = decode_photo(read_stream(binary_input(), "stdin"), "stdin")
    else:
        item.photo = read_photo(item.job.source)
