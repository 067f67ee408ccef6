"""`skyseg predict` on a Ray cluster: a task for a handful of photos.

A process keeps the model from task to task. Actors would keep it too, but the photos that wait for
an actor whose machine died wait until that actor has another place, while those of a task go to
whichever process is free.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from skyseg_tf.errors import InputError, counted, plain_line
from skyseg_tf.files.memory import keep_freed_memory
from skyseg_tf.files.places import check_seen, is_remote, place
from skyseg_tf.masking.backends import Runtime
from skyseg_tf.masking.photo_jobs import Done, load_model, mask_photos
from skyseg_tf.masking.photo_stages import Job
from skyseg_tf.masking.settings import PredictConfig
from skyseg_tf.scale.cluster import (
    AGAIN,
    Lost,
    first_places,
    import_ray,
    places,
    run_bounded,
    task_of,
)

_CPUS = 2  # of a task, and photos that it works on at once
_MOST = 32  # photos of a task


@dataclass(frozen=True)
class _Part:
    """The photos of a task."""

    jobs: list[Job]

    def __str__(self) -> str:
        """In words."""
        others = f" and {counted(len(self.jobs) - 1, 'photo')} after it"
        return f"{self.jobs[0].source}{others if len(self.jobs) > 1 else ''}"


def mask_on_ray(
    config: PredictConfig, jobs: list[Job], few: bool, tell: Callable[[Done], None]
) -> None:
    """An engine of masking.photo_jobs; lives inside cluster.connected.

    At most two tasks for each place to work are under way, so that a machine has its next photos
    and no more. Photos of a task that was given up get tasks of their own: one that kills whichever
    process reads it takes no others along. The first process chooses the runtime of all.

    Args:
      config, jobs, few, tell: see photo_jobs.mask_photos.

    Raises:
      InputError: a model that cannot be used, machines that died again and again, or masks that
        were written where this machine does not see them.
      OSError: a full or failing disk.
    """
    cpus = min(_CPUS, _smallest())
    size = max(config.batch_size, min(_MOST, -(-len(jobs) // (4 * first_places(cpus)))))
    begun = _begun(config, jobs) if config.resume else set()
    # What its inputs are is in `jobs`, and they may be a million names.
    config = replace(config, inputs=(), workers=config.workers or _CPUS)
    config = replace(config, backend=_chosen(config, few, cpus))
    task = task_of(_mask, cpus)
    parts = deque(_Part(jobs[start : start + size]) for start in range(0, len(jobs), size))

    def begin(part: _Part, _: None):
        return task(config, part.jobs, few, [job for job in part.jobs if job in begun])

    while parts:  # again where the last ones were given up, and taken apart
        for part, done in run_bounded(begin, _taken(parts), lambda: 2 * places(cpus)):
            if isinstance(done, Lost) and len(part.jobs) > 1:
                parts.extendleft(_Part([job]) for job in part.jobs)
                continue
            if isinstance(done, Lost):
                done = [Done(part.jobs[0], failure=f"{part}: {done}")]
            check_seen(one.job.target for one in done if one.is_written)
            for one in done:
                tell(one)


def _taken(parts: deque[_Part]) -> Iterator[tuple[_Part, None]]:
    """What is in the queue when it is asked for."""
    while parts:
        yield parts.popleft(), None


def _chosen(config: PredictConfig, few: bool, cpus: int) -> str:
    """The runtime of all masks: were each process to try which one is the fastest, they would differ.

    Raises:
      InputError: a model that cannot be used, or each process that loaded it has died.
    """
    task = task_of(_choose, cpus)
    work = [(config.model or "the packaged model", None)]
    ((model, name),) = run_bounded(lambda *_: task(config, few), work, lambda: places(cpus))
    if isinstance(name, Lost):
        raise InputError(f"{model}: {name}; {AGAIN}")
    return name


def _smallest() -> int:
    """Processors of the smallest machine that has one; a container may have half of one."""
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    return int(min((node["CPU"] for node in nodes if node.get("CPU", 0) >= 1), default=1))


def _begun(config: PredictConfig, jobs: list[Job]) -> set[Job]:
    """The photos whose output is there, whole or not.

    A task cannot tell: where its process dies, another finds what the first one has written.
    """
    out = place(config.out or "masks")
    if is_remote(out):  # one request for a thousand of them
        found = set(out.fs.find(out.path))
        return {job for job in jobs if job.target.path in found}
    return {job for job in jobs if job.target.exists()}


def _choose(config: PredictConfig, few: bool) -> str:
    keep_freed_memory()  # the process is this command's own
    streams = config.workers if config.batch_size == 1 else 1
    return load_model(config, few, streams, threads=_CPUS).backend


def _mask(config: PredictConfig, jobs: list[Job], few: bool, begun: list[Job]) -> list[Done]:
    keep_freed_memory()
    done = []
    mask_photos(config, jobs, few, done.append, _loaded, begun)
    return done


@lru_cache(maxsize=1)
def _loaded(config: PredictConfig, few: bool, streams: int) -> Runtime:
    """The model in the runtime that was chosen for all.

    Raises:
      InputError: this machine cannot, though the one that chose could.
    """
    try:
        return load_model(config, few, streams, threads=_CPUS)
    except (InputError, ImportError) as error:
        raise InputError(
            f"{socket.gethostname()}: {plain_line(error)}; all masks of a command are made by one "
            "runtime: have it on every machine, or name another by --backend"
        ) from None
