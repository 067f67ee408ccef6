"""A chain of stages, each in a thread of its own, with bounded queues between them.

Decoders, encoders, OpenCV and the runtimes release Python's lock while they work, so the stages do
overlap. What each of them did and waited for is measured.
"""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_POLL = 0.1  # seconds between looks at whether another stage has failed
_END = object()


@dataclass
class StageTime:
    """Seconds of one stage.

    Attributes:
      name: of the stage.
      items: how many it has done.
      busy: at work, by the clock.
      cpu: of the processor, in its own thread.
      starved: waiting for the stage before.
      blocked: waiting for the stage behind.
    """

    name: str
    items: int = 0
    busy: float = 0.0
    cpu: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0


class _Aborted(Exception):
    pass


class _Chain:
    """What the threads share. Its flags are no events: a signal's handler must not wait for a lock."""

    def __init__(self) -> None:
        self.stopped = self.aborted = False
        self.errors: list[BaseException] = []

    def get(self, inbox: queue.Queue) -> Any:
        while not self.aborted:
            try:
                return inbox.get(timeout=_POLL)
            except queue.Empty:
                continue
        raise _Aborted

    def put(self, outbox: queue.Queue | None, item: Any) -> None:
        while outbox is not None:
            if self.aborted:
                raise _Aborted
            try:
                return outbox.put(item, timeout=_POLL)
            except queue.Full:
                continue

    def run(self, step: Callable[[], bool]) -> None:
        """Repeats a step until it is the last, or a thread fails."""
        try:
            while step():
                pass
        except _Aborted:
            pass
        except BaseException as error:
            self.errors.append(error)
            self.aborted = True


def run_stages(
    source: tuple[str, Iterable],
    stages: list[tuple[str, Callable[[Any], Any]]],
    *,
    depth: int = 3,
) -> tuple[list[StageTime], bool]:
    """Runs every item of the source through all stages, in order.

    Ctrl-C ends the source; what is under way is finished. A second one gives up.

    Args:
      source: name and items.
      stages: name and function of each; what it returns goes to the next.
      depth: items that may wait between two stages.

    Returns:
      The times, source first, and whether Ctrl-C ended it.

    Raises:
      Exception: the first error of any stage, after all threads have ended.
    """
    chain, times = _Chain(), [StageTime(name) for name in (source[0], *(n for n, _ in stages))]
    boxes = [queue.Queue(depth) for _ in stages]
    items = iter(source[1])
    steps = [lambda: _feed(chain, times[0], items, boxes[0])]
    for index, (_, function) in enumerate(stages):
        outbox = boxes[index + 1] if index + 1 < len(boxes) else None
        steps.append(_stage_step(chain, times[index + 1], function, boxes[index], outbox))
    threads = [
        threading.Thread(target=chain.run, args=(step,), name=entry.name, daemon=True)
        for step, entry in zip(steps, times, strict=True)
    ]
    with _ctrl_c(chain):
        try:
            for thread in threads:
                thread.start()
            _join(threads)
        except BaseException:
            chain.aborted = True
            _join(threads)
            raise
    if chain.errors:
        raise chain.errors[0]
    if chain.aborted:
        raise KeyboardInterrupt
    return times, chain.stopped


@contextmanager
def _ctrl_c(chain: _Chain) -> Iterator[None]:
    """Inside, Ctrl-C only sets flags.

    An exception may strike anywhere, also on the way out of the code that would catch it, and the
    caller would close the files on which the threads still work.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # signals are not ours, or the process ignores this one
        return

    def interrupt(*_) -> None:
        chain.aborted |= chain.stopped  # a stage's error may have set it before
        chain.stopped = True

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(_POLL)  # with an end, since on Windows signals wait for it


def _feed(chain: _Chain, times: StageTime, items, outbox: queue.Queue) -> bool:
    start, cpu = time.perf_counter(), time.thread_time()
    item = _END if chain.stopped else next(items, _END)
    times.cpu += time.thread_time() - cpu
    done = time.perf_counter()
    times.busy += done - start
    chain.put(outbox, item)
    times.blocked += time.perf_counter() - done
    times.items += item is not _END
    return item is not _END


def _stage_step(chain, times, function, inbox, outbox) -> Callable[[], bool]:
    def step() -> bool:
        start = time.perf_counter()
        item = chain.get(inbox)
        got, cpu = time.perf_counter(), time.thread_time()
        times.starved += got - start
        if item is _END:
            chain.put(outbox, _END)
            return False
        result = function(item)
        times.cpu += time.thread_time() - cpu
        done = time.perf_counter()
        times.busy += done - got
        chain.put(outbox, result)
        times.blocked += time.perf_counter() - done
        times.items += 1
        return True

    return step
