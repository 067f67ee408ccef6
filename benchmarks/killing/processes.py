"""Processes that do a command's work, and their end."""

import atexit
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import dying

from killing.commands import Command

PATIENCE = 300  # seconds of a run, after which it counts as hung


def fork(folder: Path, work: Callable[[], None]) -> int:
    """The process, in a group of its own, that does the work; it has the imports of this one.

    Starting TensorFlow anew takes longer than all that a command does here.
    """
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        log = os.open(folder.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        os.environ["TMPDIR"], tempfile.tempdir = str(folder / "tmp"), None
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(status)


def start(folder: Path, line: str, step: int = 0, when: str = "before") -> int:
    """The process of a command, see tests/dying.py."""
    renamings = str(folder.with_name("renamings"))
    return fork(folder, lambda: dying.main(renamings, str(step), when, *line.split()))


def status_of(pid: int) -> int:
    """How a process ended, minus the signal's number by a signal; one that hangs is killed."""
    end = time.monotonic() + PATIENCE
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def complete(folder: Path, line: str) -> str:
    """Runs a command to its end; what it said if it failed, else nothing."""
    status = status_of(start(folder, line))
    said = folder.with_name("log").read_text(errors="replace").splitlines()
    return "" if status == 0 else f"{line.split()[0]} ended with {status}: {(said or [''])[-1]}"


def wait_for_work(folder: Path, command: Command, pid: int) -> bool:
    """Waits for a command's first file; False if its process ended before."""
    while not (folder / command.makes).exists():
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.002)
    return True


def kill_at_random(folder: Path, command: Command, seconds: float) -> bool:
    """Kills a command at a moment between its first file and its end; False if it came to its end."""
    pid = start(folder, command.line)
    if wait_for_work(folder, command, pid):
        time.sleep(random.uniform(0, seconds))
        os.killpg(pid, signal.SIGKILL)
    return status_of(pid) == -signal.SIGKILL


def working_time(folder: Path, command: Command) -> float:
    """Seconds between a command's first file and its end."""
    pid = start(folder, command.line)
    wait_for_work(folder, command, pid)
    begun = time.monotonic()
    if status_of(pid):
        sys.exit(f"{command.line}: {folder.with_name('log').read_text()}")
    return time.monotonic() - begun
