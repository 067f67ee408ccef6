"""A chain of stages, each in threads of its own, with bounded queues between them.

Photos and videos go through the network so: read ahead, computed, and finished behind it. Decoders,
encoders, OpenCV and the runtimes release Python's lock while they work, so the stages do overlap.
What each of them did and waited for is measured.
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

from skyseg_tf.errors import Stuck

_POLL = 0.1  # seconds between looks at whether another stage has failed
_LAST_WAIT = 0.5  # seconds for threads that were told to give up
_SLOW = 3  # times its slowest item yet, and a stage at work no longer counts as slow but as hung
_END = object()


class Stage(NamedTuple):
    """What is done to every item.

    Attributes:
      name: for StageTime.
      function: what it returns goes to the next stage.
      workers: how many items it works on at once; they leave it in the order in which they came.
      returns_list: whether it returns a list, whose items go on one by one: none while a batch is
        being filled, then all of it.
    """

    name: str
    function: Callable[[Any], Any]
    workers: int = 1
    returns_list: bool = False


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


def run_stages(
    source: tuple[str, Iterable],
    stages: Sequence[Stage],
    *,
    depth: int = 3,
    patience: float = 2.0,
) -> tuple[list[StageTime], int]:
    """Runs every item of the source through all stages, in order.

    Ctrl-C or SIGTERM ends the source; what is under way is finished, unless a stage hangs. A second
    one gives up. A source that hangs then is left behind, in a thread of its own.

    Args:
      source: name and items.
      stages: what is done, in order.
      depth: items that may wait between two stages.
      patience: seconds without a finished item after which, once told to end, a stage that was
        never that slow counts as hung.

    Returns:
      The times, source first, and the number of the signal that ended it, or 0.

    Raises:
      Exception: the first error of any stage, after all threads have ended.
      KeyboardInterrupt: given up; the signal's number is its argument.
      Stuck: given up, and a thread hangs; what it works on must be left alone.
    """
    chain = _Chain(source, stages, depth, patience)
    with _signals(chain):
        chain.run()
    if chain.errors:
        raise chain.errors[0]
    if chain.aborted:
        raise KeyboardInterrupt(chain.stopped)
    return chain.times, chain.stopped


class _Aborted(Exception):
    pass


class _Chain:
    """The threads, and what they share. No events: a signal's handler must not wait for a lock."""

    def __init__(self, source: tuple[str, Iterable], stages: Sequence[Stage], depth, patience):
        """Makes the threads."""
        self.stopped = 0  # number of the signal that came
        self.aborted = self.cut = False  # cut: the source hangs, its end was told in its place
        self.errors: list[BaseException] = []
        self.slowest = 0.0  # seconds of one item in one stage
        self.patience = patience
        self.times = [StageTime(source[0])]
        queues = [queue.Queue(depth) for _ in stages]
        self.first = queues[0]
        steps = [partial(_feed, self, self.times[0], iter(source[1]), self.first)]
        for stage, inbox, outbox in zip(stages, queues, [*queues[1:], None], strict=True):
            self.times.append(StageTime(stage.name, stage.workers))
            workers = _Workers(self, self.times[-1], stage, inbox, outbox)
            steps += [workers.step] * stage.workers
        names = [entry.name for entry in self.times for _ in range(entry.workers)]
        self.threads = [
            threading.Thread(target=self.repeat, args=(step,), name=name, daemon=True)
            for step, name in zip(steps, names, strict=True)
        ]

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

    def repeat(self, step: Callable[[], bool]) -> None:
        """What a thread does: a step until it is the last, or a thread fails."""
        try:
            while step():
                pass
        except _Aborted:
            pass
        except BaseException as error:
            self.errors.append(error)
            self.aborted = True

    def run(self) -> None:
        """Starts the threads and waits for them, whatever strikes meanwhile; raises as `join`."""
        try:
            for thread in self.threads:
                thread.start()
            self.join()
        except Stuck:
            raise
        except BaseException:
            self.stopped, self.aborted = self.stopped or signal.SIGINT, True
            self.join()
            raise

    def join(self) -> None:
        """Waits for the threads, source first; once they were told to end, while items get done.

        Raises:
          Stuck: one of them does not end.
        """
        last, since = None, time.monotonic()
        while alive := [thread for thread in self.threads if thread.is_alive()]:
            if self.cut and alive == self.threads[:1]:
                return
            alive[-1].join(_POLL)  # with an end, since on Windows signals wait for it
            done = sum(entry.items for entry in self.times)
            state = (self.stopped, self.aborted, self.cut, done)
            if state != last:
                last, since = state, time.monotonic()
            waited = time.monotonic() - since
            if not self.stopped:
                continue
            if self.aborted and waited > _LAST_WAIT:
                raise Stuck(self.stopped)
            if waited > max(self.patience, _SLOW * self.slowest):
                if alive[0] is self.threads[0] and self.first.empty() and not self.cut:
                    self.cut = True
                    self.first.put(_END)
                else:
                    self.aborted = True


@contextmanager
def _signals(chain: _Chain) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM only set flags.

    An exception may strike anywhere, also on the way out of the code that would catch it, and the
    caller would close the files on which the threads still work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not ours
        return

    def interrupt(number: int, _) -> None:
        chain.aborted |= chain.stopped > 0  # a stage's error may have set it before
        chain.stopped = number

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What the process ignores (in a shell's background) or handles outside Python stays so.
    before = {n: handler for n, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _feed(chain: _Chain, times: StageTime, items, outbox: queue.Queue) -> bool:
    start, cpu = time.perf_counter(), time.thread_time()
    item = _END if chain.stopped else next(items, _END)
    times.cpu += time.thread_time() - cpu
    done = time.perf_counter()
    times.busy += done - start
    if chain.cut:
        return False
    chain.put(outbox, item)
    times.blocked += time.perf_counter() - done
    times.items += item is not _END
    return item is not _END


class _Workers:
    """The threads of one stage: they take items by number, and these go on in that order.

    A thread whose item is done before its turn leaves it and takes another, up to `ahead` of them:
    where items differ, as photos do, it would wait for a tenth of its time.
    """

    def __init__(self, chain: _Chain, times: StageTime, stage: Stage, inbox, outbox):
        self.chain, self.times, self.stage = chain, times, stage
        self.inbox, self.outbox = inbox, outbox
        self.ahead = stage.workers + inbox.maxsize
        self.taking = threading.Lock()
        self.taken, self.ended = 0, False
        self.turn, self.next = threading.Condition(), 0
        self.done: dict[int, list] = {}  # before their turn

    def step(self) -> bool:
        """Does one item; False at the end."""
        start = time.perf_counter()
        with self.taking:
            waited = self.wait_for_room()
            item = _END if self.ended else self.chain.get(self.inbox)
            number, last = self.taken, item is _END and not self.ended
            self.taken += 1
            self.ended |= last
        if item is _END and not last:
            return False
        got, cpu = time.perf_counter(), time.thread_time()
        result = _END if last else self.stage.function(item)
        cpu, done = time.thread_time() - cpu, time.perf_counter()
        with self.turn:
            self.done[number] = result if self.stage.returns_list and not last else [result]
            self.hand_on()
            self.times.starved += got - start - waited
            self.times.blocked += time.perf_counter() - done + waited
            self.chain.slowest = max(self.chain.slowest, done - got)
            if not last:
                self.times.cpu += cpu
                self.times.busy += done - got
                self.times.items += 1
        return not last

    def wait_for_room(self) -> float:
        """Seconds until few enough items are under way; the next one in turn always is."""
        start = time.perf_counter()
        with self.turn:
            while not self.turn.wait_for(lambda: self.taken - self.next < self.ahead, _POLL):
                if self.chain.aborted:
                    raise _Aborted
        return time.perf_counter() - start

    def hand_on(self) -> None:
        """Hands on what is done, as far as it is its turn."""
        while self.next in self.done:
            for each in self.done.pop(self.next):
                self.chain.put(self.outbox, each)
            self.next += 1
            self.turn.notify_all()
