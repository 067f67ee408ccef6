"""Standard input, output and errors, any of which may be closed, full, or read by nobody any more."""

import io
import os
import sys
from typing import BinaryIO

from skyseg_tf.errors import InputError


def ready_streams() -> None:
    """Nothing that is opened later takes the number of a stream that is closed, as of `2>&-`.

    Libraries write what they have to say to number 2, whichever file that is. Errors of ours would
    even go to standard output, where Python has no sys.stderr.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that it cannot encode are no error
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Writes out what was printed; a reader who has seen enough, as `head` has, is no error.

    Raises:
      OSError: standard output takes no more.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        drop_output()
        error.filename = error.filename or "standard output"
        raise


def drop_output() -> None:
    """Lets go what cannot be written: Python would try once more at its end, and complain."""
    _lead_nowhere(1)


def tell_error(line: str) -> None:
    """Prints a line on stderr, where somebody reads it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _lead_nowhere(2)


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def binary_input() -> BinaryIO:
    """Standard input, as bytes.

    Raises:
      InputError: it is closed.
    """
    if sys.stdin is None:
        raise InputError("standard input is closed; pipe a file into it, or give its name")
    return sys.stdin.buffer


def binary_output() -> BinaryIO:
    """Standard output, as bytes.

    Raises:
      InputError: it is closed.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed; give a file by --out")
    return sys.stdout.buffer
