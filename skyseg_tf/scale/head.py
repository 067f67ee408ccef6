"""The first machine of a Ray cluster (its head): nothing goes on without it.

Ray itself ends a process that has missed it for a minute, with status 1 and in words of its own.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from skyseg_tf.console.cli import leave
from skyseg_tf.files.streams import tell_error

_ANSWER = 10.0  # seconds for it to answer
_LOOK, _LOOKS = 5.0, 6  # seconds between looks, and how many in a row find nobody


def call_head(address: str) -> None:
    """Connects to it, and hangs up.

    Args:
      address: HOST:PORT.

    Raises:
      OSError: nobody answers there.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()


@contextmanager
def watching_head(address: str) -> Iterator[None]:
    """Inside, this process ends with one line and status 2 where the head is gone.

    No exception would do: by then Ray's calls do not return.

    Args:
      address: HOST:PORT.
    """
    done = threading.Event()
    threading.Thread(target=_watch, args=(address, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(address: str, done: threading.Event) -> None:
    missed = 0  # looks, no time: a machine that slept may look at once when it wakes
    while missed < _LOOKS:
        if done.wait(_LOOK):
            return
        try:
            call_head(address)
            missed = 0
        except OSError:
            missed += 1
    tell_error(
        f"skyseg: error: {address}: the first machine of the Ray cluster is gone (no answer for "
        f"{_LOOK * _LOOKS:.0f} s); what is done stays: start the cluster again and give the same "
        "command again (predict and train go on by --resume)"
    )
    leave(2, stuck=True)
