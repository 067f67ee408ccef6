"""Processes of a Ray cluster that work together, such as those of one training.

One that dies takes the others along, who wait for its part in vain: all are begun anew then, where
there is room. Ctrl-C and SIGTERM are passed on to the first one, which says to the others what to do.
"""

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from skyseg_tf.errors import InputError, LostProcess, counted
from skyseg_tf.runs.meeting import hold_port
from skyseg_tf.runs.stopping import TERMINATED
from skyseg_tf.scale.cluster import RETRIES, cause_of, first_places, import_ray
from skyseg_tf.scale.sender import Sender, run_as

_PATIENCE = 10.0  # seconds before it is said that there is no room
_LOOK = 0.5  # seconds between looks for signals
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Terminated:
    """What a process returns that SIGTERM has ended, and that has saved all."""


@dataclass(frozen=True)
class _Place:
    """Where one of the processes is.

    Attributes:
      node: Ray's name of the machine.
      pid: of the process.
      address: HOST:PORT at which it may listen.
    """

    node: str
    pid: int
    address: str


def run_together(
    call: Callable[[str, int, bool], Result],
    count: int,
    cpus: int,
    gpus: int,
    reached: Callable[[], tuple[int, ...]] = tuple,
) -> Result:
    """Calls a function in each of some processes; lives inside cluster.connected.

    Args:
      call: (HOST:PORT at which the first process may listen, number of the process, whether all have
        been begun before) -> result. It works in the folder of this process. It may take Ctrl-C and
        SIGTERM in the first process for all: by returning earlier, or by an exit with the status
        that a shell gives SIGTERM.
      count: of the processes.
      cpus, gpus: of each.
      reached: how far the work is, the more the further; asked in the first process, in that folder
        too, before it is called. Deaths count as long as the work comes no further.

    Returns:
      What the first one returned.

    Raises:
      InputError: of a process; too small a cluster; or processes that died again and again at the
        same place of the work.
      OSError: of a process.
      SystemExit: SIGTERM came, and `call` ended by it.
      KeyboardInterrupt: Ctrl-C or SIGTERM came, and `call` had no answer to it; or they came twice.
    """
    ray = import_ray()
    if (room := first_places(cpus, gpus)) < count:
        raise InputError(
            f"the Ray cluster has room for {counted(room, 'process', 'processes')} of "
            f"{counted(cpus, 'processor')} and {counted(gpus, 'GPU')}, "
            f"not for {count}: ask for fewer"
        )
    deaths = _Deaths(reached)
    while True:
        with _signals_noted() as noted:
            try:
                return _run_once(call, count, cpus, gpus, deaths, noted)
            except ray.exceptions.RayTaskError as error:
                last = cause_of(error)
                if not _is_of_a_lost_one(last):
                    raise last from None
            except (LostProcess, ray.exceptions.RayError) as error:
                last = error
            if noted:  # it died of that
                raise KeyboardInterrupt(noted[0]) from None
        deaths.add(last)


@dataclass
class _Deaths:
    """How often processes have died since the work last came further.

    Attributes:
      ask: says how far it is.
      reached: how far it was when they last began; None: they have not.
      count: of the deaths since then.
      last: what the last one of all said; empty: there was none.
    """

    ask: Callable[[], tuple[int, ...]]
    reached: tuple[int, ...] | None = None
    count: int = 0
    last: str = ""

    def forget(self, reached: tuple[int, ...]) -> None:
        """Begins to count anew where the work is further than before.

        Raises:
          InputError: it is not, and has died too often.
        """
        if self.reached is None or reached > self.reached:
            self.reached, self.count = reached, 0
        elif self.count > RETRIES:
            raise self._too_many()

    def add(self, error: Exception) -> None:
        """Counts a death, and says so.

        Raises:
          InputError: also what asks how far the work is has died.
        """
        self.count += 1
        self.last = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
        if self.count > RETRIES + 1:
            raise self._too_many()
        print(f"a process has died ({self.last}): all begin anew", flush=True)

    def _too_many(self) -> InputError:
        return InputError(
            f"processes died {self.count} times in a row, and came no further, at last so: "
            f"{self.last}; give them more memory"
        )


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Inside, the first Ctrl-C or SIGTERM is noted, and the next one is an exception."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, _: Any) -> None:
        if noted:
            raise KeyboardInterrupt(number)
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    except KeyboardInterrupt as stop:
        stop.args = stop.args or tuple(noted)  # Ray puts one of its own in its place
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_of_a_lost_one(error: Exception) -> bool:
    """Whether an error may say that another process has died; all others would come again."""
    known = (LostProcess, import_ray().exceptions.RayError)  # the latter where it could not be sent
    return isinstance(error, known) or type(error).__module__.startswith("jax")


def _run_once(
    call: Callable,
    count: int,
    cpus: int,
    gpus: int,
    deaths: _Deaths,
    noted: list[int],
) -> Any:
    """Until all processes have ended, or one has failed."""
    ray = import_ray()
    from ray.util.scheduling_strategies import (
        NodeAffinitySchedulingStrategy,
        PlacementGroupSchedulingStrategy,
    )

    # Room for all or none: some alone would wait for the others, and two trainings for each other.
    room = {kind: n for kind, n in (("CPU", cpus), ("GPU", gpus)) if n}
    group, actors = ray.util.placement_group([room] * count), []
    try:
        _wait_for(group, count, noted)
        kind = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group),
        )(_Process)
        actors += (processes := [kind.remote() for _ in range(count)])
        first = _result(processes[0].place.remote(), noted)
        deaths.forget(_result(processes[0].reached.remote(Sender.here(), deaths.ask), noted))
        beside = NodeAffinitySchedulingStrategy(first.node, soft=False)
        sender = ray.remote(num_cpus=0, scheduling_strategy=beside)(_Sender).remote(first.pid)
        actors.append(sender)
        running = [
            process.run.remote(Sender.here(), call, first.address, number, bool(deaths.last))
            for number, process in enumerate(processes)
        ]
        results = _results(running, sender, noted)
    finally:
        for actor in actors:
            ray.kill(actor)
        ray.util.remove_placement_group(group)
    if _Terminated() not in results:
        return results[0]
    if noted:
        raise SystemExit(TERMINATED)
    raise LostProcess("it was told to end")


def _wait_for(group, count: int, noted: list[int]) -> None:
    """Until there is room for all.

    Raises:
      KeyboardInterrupt: a signal came first.
    """
    ray, ready = import_ray(), group.ready()
    if not ray.wait([ready], timeout=_PATIENCE)[0]:
        print(f"the cluster has no room for all {count} processes: waiting for it", flush=True)
    _result(ready, noted)


def _result(reference, noted: list[int]) -> Any:
    """What a task returns, or KeyboardInterrupt where a signal comes first."""
    ray = import_ray()
    while not ray.wait([reference], timeout=_LOOK)[0]:
        if noted:
            raise KeyboardInterrupt(noted[0])
    return ray.get(reference)


def _results(running: list, sender, noted: list[int]) -> list:
    """What processes return, in their order; a signal that comes meanwhile goes on to the first."""
    ray, waiting, passed_on = import_ray(), list(running), False
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=_LOOK)
        ray.get(done)
        if noted and not passed_on:
            sender.send.remote(noted[0])
            passed_on = True
    return ray.get(running)


class _Sender:
    """Sends signals to one of the processes, from another one on its machine.

    It is there from the start: a process that is started when it is needed comes late.
    """

    def __init__(self, pid: int):
        self.pid = pid

    def send(self, number: int) -> None:
        # Ray's processes block SIGINT, lest a terminal's Ctrl-C ends them.
        os.kill(self.pid, signal.SIGUSR1 if number == signal.SIGINT else number)


class _Process:
    """One of them."""

    def place(self) -> _Place:
        """Where it is, with a port that is kept for it."""
        ray = import_ray()
        self.held = hold_port()
        return _Place(
            ray.get_runtime_context().get_node_id(),
            os.getpid(),
            f"{ray.util.get_node_ip_address()}:{self.held.getsockname()[1]}",
        )

    def reached(self, sender: Sender, reached: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
        """How far the work is, as this machine sees it."""
        return run_as(sender, reached)

    def run(self, sender: Sender, call: Callable, address: str, number: int, again: bool) -> Any:
        """What is called returns; _Terminated where it has ended by SIGTERM in its own way."""
        signal.signal(signal.SIGUSR1, lambda *_: _thread.interrupt_main())  # see _Sender
        try:
            return run_as(sender, call, address, number, again)
        except SystemExit as stop:  # to Ray it would be a death
            if stop.code != TERMINATED:
                raise
            return _Terminated()
