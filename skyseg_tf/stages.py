"""A chain of stages, each in threads of its own, with bounded queues between them.

Decoders, encoders, OpenCV and the runtimes release Python's lock while they work, so the stages do
overlap. What each of them did and waited for is measured.
"""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

_POLL = 0.1  # seconds between looks at whether another stage has failed
_END = object()


class Stage(NamedTuple):
    """What is done to every item.

    Attributes:
      name: for StageTime.
      function: what it returns goes to the next stage.
      workers: how many items it works on at once; they leave it in the order in which they came.
    """

    name: str
    function: Callable[[Any], Any]
    workers: int = 1


@dataclass
class StageTime:
    """Seconds of one stage, summed over its workers.

    Attributes:
      name: of the stage.
      workers: how many items it works on at once.
      items: how many it has done.
      busy: at work, by the clock.
      cpu: of the processor, in its own threads.
      starved: waiting for the stage before.
      blocked: waiting for the stage behind, and for items that came before.
    """

    name: str
    workers: int = 1
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
    stages: Sequence[Stage],
    *,
    depth: int = 3,
) -> tuple[list[StageTime], bool]:
    """Runs every item of the source through all stages, in order.

    Ctrl-C ends the source; what is under way is finished. A second one gives up.

    Args:
      source: name and items.
      stages: what is done, in order.
      depth: items that may wait between two stages.

    Returns:
      The times, source first, and whether Ctrl-C ended it.

    Raises:
      Exception: the first error of any stage, after all threads have ended.
    """
    chain, times = _Chain(), [StageTime(source[0])]
    boxes = [queue.Queue(depth) for _ in stages]
    steps = [partial(_feed, chain, times[0], iter(source[1]), boxes[0])]
    for stage, inbox, outbox in zip(stages, boxes, [*boxes[1:], None], strict=True):
        times.append(StageTime(stage.name, stage.workers))
        station = _Station(chain, times[-1], stage.function, inbox, outbox)
        steps += [station.step] * stage.workers
    names = [entry.name for entry in times for _ in range(entry.workers)]
    threads = [
        threading.Thread(target=chain.run, args=(step,), name=name, daemon=True)
        for step, name in zip(steps, names, strict=True)
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


class _Station:
    """One stage at work: its threads take items by number, and hand them on in that order."""

    def __init__(self, chain: _Chain, times: StageTime, function, inbox, outbox):
        self.chain, self.times, self.function = chain, times, function
        self.inbox, self.outbox = inbox, outbox
        self.taking = threading.Lock()
        self.taken, self.ended = 0, False
        self.turn, self.next = threading.Condition(), 0

    def step(self) -> bool:
        """Does one item; False at the end."""
        start = time.perf_counter()
        with self.taking:
            item = _END if self.ended else self.chain.get(self.inbox)
            number, last = self.taken, item is _END and not self.ended
            self.taken += 1
            self.ended |= last
        if item is _END and not last:
            return False
        got, cpu = time.perf_counter(), time.thread_time()
        result = _END if last else self.function(item)
        cpu, done = time.thread_time() - cpu, time.perf_counter()
        with self.turn:
            while not self.turn.wait_for(lambda: self.next == number, _POLL):
                if self.chain.aborted:
                    raise _Aborted
            self.chain.put(self.outbox, result)
            self.next += 1
            self.turn.notify_all()
            self.times.starved += got - start
            self.times.blocked += time.perf_counter() - done
            if not last:
                self.times.cpu += cpu
                self.times.busy += done - got
                self.times.items += 1
        return not last
