"""How several trainings are told to end: what has begun is left in order, to go on with."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED = 143  # what a shell says of a process that SIGTERM ended
SEARCH_STOPPED = "search stopped: the same command goes on with it"


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Inside, a library may take SIGTERM for itself; afterwards its handler is what it was."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Inside, Ctrl-C does what SIGTERM does to a training: it saves at the next batch and ends.

    Left to itself, a training would take Ctrl-C for its end and its score for a result.

    Args:
      words: that are printed then: what has stopped, and how to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    told = []

    def leave(*_) -> None:
        told.append(True)
        raise SystemExit(TERMINATED)

    def interrupt(*_) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second one ends at once
        signal.raise_signal(signal.SIGTERM)

    before = [signal.signal(signal.SIGTERM, leave), signal.signal(signal.SIGINT, interrupt)]
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as stop:
        print(words, flush=True)
        if told and isinstance(stop, SystemExit):
            stop.code = TERMINATED  # Ray puts one of its own in its place
        raise
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
