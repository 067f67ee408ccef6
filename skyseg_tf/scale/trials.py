"""`skyseg search` on a Ray cluster: a task for each trial.

The trials are noted where all machines see them (see tuning.trials), and a task takes the next one by
itself: one that another left half way first. So a trial whose machine died is taken up again, from
its last checkpoint, by whichever task comes next.
"""

import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.runs.stopping import SEARCH_STOPPED, stoppable
from skyseg_tf.scale.cluster import Lost, first_places, places, run_bounded, task_of
from skyseg_tf.tuning.trials import Objective, Plan, TrialRow, Trials

_FREED = 120.0  # seconds after which a file server has freed the locks of a machine that died


def run_on_ray(
    cpus: int, gpus: int
) -> Callable[[Trials, Objective, Callable[[TrialRow], None]], None]:
    """What runs trials as Trials.run does; lives inside cluster.connected.

    Args:
      cpus: of each trial.
      gpus: of each trial.
    """

    def run(trials: Trials, objective: Objective, after_each: Callable[[TrialRow], None]) -> None:
        first_places(cpus, gpus)
        task = task_of(_run_one, cpus, gpus)
        start = partial(task, trials.folder, trials.plan, trials.storage, objective)
        _start_all(start, lambda: places(cpus, gpus), after_each)
        while _one_is_left(trials):
            _start_all(start, lambda: places(cpus, gpus), after_each)

    return run


def _start_all(
    start: Callable, limit: Callable[[], int], after_each: Callable[[TrialRow], None]
) -> None:
    """Starts tasks until one finds nothing to start, and waits for the others."""
    ended: list[TrialRow | None] = []  # None of a task that found nothing
    keys = (f"task {number} of the search" for number in itertools.count())
    work = itertools.takewhile(lambda item: None not in ended, ((key, None) for key in keys))
    for key, row in run_bounded(lambda key, item: start(), work, limit):
        if isinstance(row, Lost):  # Trials counts the deaths of each trial, and gives it up
            print(f"{key}: {row}; another one goes on", flush=True)
            continue
        ended.append(row)
        if row:
            after_each(row)


def _one_is_left(trials: Trials) -> bool:
    """Whether a trial was left half way: known once its lock is freed, or after some time never."""
    end = time.monotonic() + _FREED
    while rows := [row for row in trials.rows() if row.state == "running"]:
        if any(map(trials.is_left, rows)):
            return True
        if time.monotonic() > end:
            break
        time.sleep(1)
    return False


def _run_one(
    folder: Path, plan: Plan, storage: str | None, objective: Objective
) -> TrialRow | None:
    import_tensorflow_quietly()
    with stoppable(SEARCH_STOPPED):
        return Trials(folder, plan, storage).run_one(objective)
