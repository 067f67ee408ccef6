"""`skyseg build` on a Ray cluster: a task for each shard.

A task is given its shard's list of photos and writes the shard, whole or not at all, where all
machines see it. One whose machine dies is begun anew on another: shards have names and contents of
their own, whoever writes them, so it costs time alone.
"""

from collections.abc import Callable
from typing import Any

from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.errors import InputError, counted
from skyseg_tf.scale.cluster import AGAIN, Lost, import_ray, places, run_bounded, task_of


class RayTasks:
    """An engine of data.shards; lives inside cluster.connected.

    Args:
      workers: tasks at a time; None: as many as the cluster has processors, and as many again that
        wait for one.
    """

    def __init__(self, workers: int | None = None):
        self.workers = workers

    def map(self, function, items, counts, tell):
        """See data.shards.Engine; it is told of a shard's records when all of them are done.

        A shard whose process dies each time is named when all others are done.
        """
        ray = import_ray()
        task = task_of(_run, 1)
        shared = ray.put(function)

        def start(shard: str, item: Any):
            return task(shared, shard, item)

        def limit() -> int:
            room = 2 * places(1)
            return min(self.workers or room, room)

        results, lost = {}, {}
        for shard, result in run_bounded(start, items.items(), limit):
            (lost if isinstance(result, Lost) else results)[shard] = result
            tell(counts[shard])
        if lost:
            shard, why = next(iter(lost.items()))
            more = f" ({counted(len(lost), 'shard')} in all)" if len(lost) > 1 else ""
            raise InputError(f"{shard}: {why}{more}; the other shards are done: {AGAIN}")
        return {shard: results[shard] for shard in items}


def _run(function: Callable, shard: str, item: Any) -> Any:
    import_tensorflow_quietly()
    return function(shard, item, _untold)


def _untold(count: int) -> None:
    """The records of a shard are counted where the task was given, when it is done."""
