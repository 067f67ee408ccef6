"""The console command: `skyseg <verb> ...` is `python -m skyseg_tf.<verb> ...`."""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from skyseg_tf import __version__
from skyseg_tf.errors import InputError, Stuck, not_among, plain_line
from skyseg_tf.files.places import is_storage_error
from skyseg_tf.files.streams import drop_output, flush_output, ready_streams, tell_error

# Each verb is the module of that name; it is imported only when called for.
GROUPS: dict[str, dict[str, str]] = {
    "data": {
        "scenes": "draw street scenes with their masks, laid out as Cityscapes is",
        "check": "look through a dataset and say what is wrong with it",
        "flatten": "put the photos of all city folders into one folder per split",
        "build": "turn photos and masks into records, from which a training reads",
        "verify": "check that records are whole, and repair them",
    },
    "training": {
        "train": "train a network on records, and plot its scores",
        "search": "find the best settings by many short trainings",
        "evaluate": "score a model where the true masks are known, and write a report",
        "import_weights": "turn a published PyTorch checkpoint into a Keras network",
    },
    "use": {
        "predict": "make sky masks of photos and videos",
        "replace": "put another sky into a photo",
        "export": "write a network as ONNX, OpenVINO, LiteRT or SavedModel, and check it",
        "serve": "serve masks over HTTP",
        "dashboard": "look at models, photos, trainings and runs in the browser",
        "doctor": "say what is installed, and how to install what is missing",
    },
}
VERBS: dict[str, str] = {verb: text for verbs in GROUPS.values() for verb, text in verbs.items()}
_LAST_WAIT = 2.0  # seconds for the threads of a command that was told to end
_OWN = ("--help", "--version", "--completion")


def run_command(
    command: Callable[[Any], int | None], config: type, argv: list[str] | None, prog: str
):
    """Parses flags into a config dataclass, runs the command, and exits with its status.

    Errors end as in `one_line_errors`.

    Args:
      command: takes the config; returns an exit status, or anything else where all went well.
      config: a frozen dataclass; each field is a flag.
      argv: the flags, or None for those of the process.
      prog: the name shown in the help.
    """
    with one_line_errors(prog):
        result = command(parse_flags(config, argv, prog))
        sys.exit(result if isinstance(result, int) else 0)


@contextmanager
def one_line_errors(prog: str) -> Iterator[None]:
    """Bad input and a failing disk end the process: one line on stderr, status 2.

    Ctrl-C (status 130) and SIGTERM (143) end it, too, and what was half written is removed.

    Args:
      prog: the name that the line begins with.
    """
    ready_streams()
    try:
        with _terminable():
            try:
                yield
            except SystemExit:
                flush_output()
                raise
            flush_output()
    except BrokenPipeError:
        drop_output()  # `skyseg ... | head` is no error
    except Exception as error:
        if is_storage_error(error):  # also of those that are OSErrors, and name no place
            _refuse(
                prog, f"the storage refuses: {plain_line(error)}; check its keys and its endpoint"
            )
        if isinstance(error, InputError | OSError):
            _refuse(prog, plain_line(error))
        if not _lacks_memory(error):
            raise
        _refuse(
            prog,
            "this machine's memory does not suffice; give smaller sizes, a smaller batch or fewer "
            "workers (or let it start more threads: ulimit -u)",
        )
    except KeyboardInterrupt as stop:
        tell_error(f"{prog}: stopped")
        leave(128 + (stop.args[0] if stop.args else signal.SIGINT), isinstance(stop, Stuck))


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM is an exception, as Ctrl-C is, unless the process has other plans for it."""

    owner, told = os.getpid(), []

    def terminate(number: int, _) -> None:
        if os.getpid() == owner:
            told.append(number)
            raise KeyboardInterrupt(number)
        signal.signal(number, signal.SIG_DFL)  # a fork of ours, whose end is nobody's affair
        signal.raise_signal(number)

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        with _terminal_may_be_closed():
            yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or tuple(told)  # Ray puts one of its own in its place
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _terminal_may_be_closed() -> Iterator[None]:
    """Inside, a terminal that is closed is SIGTERM to whoever takes that, as a training does."""
    closed = getattr(signal, "SIGHUP", None)  # Windows has none
    if closed is None or signal.getsignal(closed) is not signal.SIG_DFL:  # `nohup` ignores it
        yield
        return
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def hang_up(*_) -> None:
        signal.signal(closed, signal.SIG_IGN)  # the shell sends one more
        for stream in terminals:  # else whatever is printed is an error, before all is saved
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(closed, hang_up)
    try:
        yield
    finally:
        signal.signal(closed, signal.SIG_DFL)


def leave(status: int, stuck: bool = False) -> NoReturn:
    """Exits, without threads that hang in some library: Python would wait for them for ever.

    Args:
      status: of the process.
      stuck: whether one is known to hang; else all have two seconds to end.
    """
    _flush_what_can_be()
    deadline = time.monotonic() + _LAST_WAIT
    for thread in threading.enumerate():
        if not stuck and not thread.daemon and thread is not threading.current_thread():
            thread.join(max(0, deadline - time.monotonic()))
            stuck = thread.is_alive()
    if stuck:
        if "skyseg_tf.files.aside" in sys.modules:
            sys.modules["skyseg_tf.files.aside"].discard_asides()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def parse_flags(config: type, argv: list[str] | None, prog: str, default: Any = None) -> Any:
    """The config that flags give; --help exits, and wrong flags do with one line and status 2.

    Args:
      config: a frozen dataclass; each field is a flag.
      argv: the flags, or None for those of the process.
      prog: the name shown in the help.
      default: a config from which the flags depart; None for the fields' own defaults.
    """
    from skyseg_tf.console.parsing import parse  # `skyseg --help` does without

    try:
        return parse(config, sys.argv[1:] if argv is None else argv, prog, default)
    except InputError as error:
        line = plain_line(error)
        _refuse(prog, f"{line}{'' if line.endswith('?') else ';'} `{prog} --help` tells all")


def _refuse(prog: str, line: str) -> NoReturn:
    tell_error(f"{prog}: error: {line}")
    _flush_what_can_be()
    sys.exit(2)


def _flush_what_can_be() -> None:
    with suppress(OSError):  # another error has been told
        flush_output()


def _lacks_memory(error: Exception) -> bool:
    """Whether Python, TensorFlow, OpenCV or the system's loader got no memory or no thread.

    Those libraries may not be imported.
    """
    names = (type(error).__name__, str(error))
    words = (
        "ResourceExhaustedError",
        "Insufficient memory",
        "std::bad_alloc",
        "can't start new thread",
        "failed to map segment from shared object",
    )
    return isinstance(error, MemoryError) or any(word in name for word in words for name in names)


def config_of(verb: str) -> type:
    """The dataclass of a verb's flags; TensorFlow and the extras are not imported for it."""
    name = f"{verb.title().replace('_', '')}Config"
    return getattr(importlib.import_module(f"skyseg_tf.{verb}"), name)


def _print_overview() -> None:
    print("Usage: skyseg VERB [OPTIONS]   (skyseg VERB --help explains the options of a verb)")
    print("\nExample: skyseg predict photo.jpg")
    for group, verbs in GROUPS.items():
        print(f"\n{group}")
        print("\n".join(f"  {verb:<16}{text}" for verb, text in verbs.items()))
    print("\n  --version         print the version")
    print("  --completion SHELL")
    print("                    print a script for bash, zsh or fish that completes verbs and flags")


def _print_completion(shells: list[str]) -> None:
    from skyseg_tf.console.command import completion

    commands = {verb: (config_of(verb), text) for verb, text in VERBS.items()}
    print(completion(" ".join(shells), commands), end="")


def main(argv: list[str] | None = None) -> None:
    """Entry point of `skyseg`."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in VERBS:
        importlib.import_module(f"skyseg_tf.{argv[0]}").main(argv[1:], f"skyseg {argv[0]}")
    else:
        with one_line_errors("skyseg"):
            _without_verb(argv)


def _without_verb(argv: list[str]) -> None:
    if argv[:1] in ([], ["-h"], ["--help"]):
        _print_overview()
    elif argv[0] == "--version":
        print(f"skyseg_tf {__version__}")
    elif argv[0] == "--completion":
        _print_completion(argv[1:])
    else:
        kind, known = ("option", _OWN) if argv[0].startswith("-") else ("verb", VERBS)
        raise InputError(not_among(kind, argv[0], known))
