"""Processes of a Ray cluster that work together, such as those of one training.

One that dies takes the others along, who wait for its part in vain: all are begun anew then, where
there is room.
"""

import os
import socket
from collections.abc import Callable
from typing import TypeVar

from skyseg_tf.errors import InputError, LostProcess, counted
from skyseg_tf.scale.cluster import RETRIES, first_places, import_ray, run_in

_PATIENCE = 10.0  # seconds before it is said that there is no room
Result = TypeVar("Result")


def run_together(
    call: Callable[[str, int, bool], Result], count: int, cpus: int, gpus: int
) -> Result:
    """Calls a function in each of some processes; lives inside cluster.connected.

    Args:
      call: (HOST:PORT at which the first process may listen, number of the process, whether all have
        been begun before) -> result. It works in the folder of this process.
      count: of the processes.
      cpus, gpus: of each.

    Returns:
      What the first one returned.

    Raises:
      InputError: of a process; too small a cluster; or processes that died again and again.
      OSError: of a process.
    """
    ray = import_ray()
    if (room := first_places(cpus, gpus)) < count:
        raise InputError(
            f"the Ray cluster has room for {counted(room, 'process', 'processes')} of "
            f"{counted(cpus, 'processor')} and {counted(gpus, 'GPU')}, "
            f"not for {count}: ask for fewer"
        )
    for number in range(RETRIES + 1):
        try:
            return _run_once(call, count, cpus, gpus, number > 0)
        except ray.exceptions.RayTaskError as error:
            last = error.cause or error
            if not _is_of_a_lost_one(last):
                raise last from None
        except ray.exceptions.RayError as error:
            last = error
        line = (str(last).strip().splitlines() or [type(last).__name__])[-1][:200]
        print(f"a process has died ({line}): all begin anew", flush=True)
    raise InputError(
        f"processes died {RETRIES + 1} times, at last so: {line}; give them more memory"
    )


def _is_of_a_lost_one(error: Exception) -> bool:
    """Whether an error may say that another process has died; all others would come again."""
    known = (LostProcess, import_ray().exceptions.RayError)  # the latter where it could not be sent
    return isinstance(error, known) or type(error).__module__.startswith("jax")


def _run_once(call: Callable, count: int, cpus: int, gpus: int, again: bool):
    """Until all processes have ended, or one has failed."""
    ray = import_ray()
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    # Room for all or none: some alone would wait for the others, and two trainings for each other.
    room = {kind: n for kind, n in (("CPU", cpus), ("GPU", gpus)) if n}
    group, processes = ray.util.placement_group([room] * count), []
    try:
        _wait_for(group, count)
        kind = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group),
        )(_Process)
        processes += [kind.remote() for _ in range(count)]
        address = ray.get(processes[0].free_address.remote())
        waiting = [
            process.run.remote(os.getcwd(), call, address, number, again)
            for number, process in enumerate(processes)
        ]
        first = waiting[0]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            ray.get(done)
        return ray.get(first)
    finally:
        for process in processes:
            ray.kill(process)
        ray.util.remove_placement_group(group)


def _wait_for(group, count: int) -> None:
    ray, ready = import_ray(), [group.ready()]
    if not ray.wait(ready, timeout=_PATIENCE)[0]:
        print(f"the cluster has no room for all {count} processes: waiting for it", flush=True)
        ray.wait(ready)


class _Process:
    """One of them."""

    def free_address(self) -> str:
        """HOST:PORT of this machine, for the others to meet at."""
        host = import_ray().util.get_node_ip_address()
        with socket.socket() as free:
            free.bind((host, 0))
            return f"{host}:{free.getsockname()[1]}"

    def run(self, folder: str, call: Callable, address: str, number: int, again: bool):
        return run_in(folder, call, address, number, again)
