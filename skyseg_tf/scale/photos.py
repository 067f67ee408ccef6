"""`skyseg predict` on a Ray cluster: a task for a handful of photos.

A process keeps the model from task to task. Actors would keep it too, but the photos that wait for
an actor whose machine died wait until that actor has another place, while those of a task go to
whichever process is free.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from skyseg_tf.files.places import check_seen, is_remote, place
from skyseg_tf.masking.backends import Runtime
from skyseg_tf.masking.photo_jobs import Done, load_model, mask_photos
from skyseg_tf.masking.photo_stages import Job
from skyseg_tf.masking.settings import PredictConfig
from skyseg_tf.scale.cluster import first_places, import_ray, places, run_bounded, task_of

_CPUS = 2  # of a task, and photos that it works on at once
_MOST = 32  # photos of a task


def mask_on_ray(
    config: PredictConfig, jobs: list[Job], few: bool, tell: Callable[[Done], None]
) -> None:
    """An engine of masking.photo_jobs; lives inside cluster.connected.

    At most two tasks for each place to work are under way, so that a machine has its next photos
    and no more.

    Args:
      config, jobs, few, tell: see photo_jobs.mask_photos.

    Raises:
      InputError: a model that cannot be used, machines that died again and again, or masks that
        were written where this machine does not see them.
      OSError: a full or failing disk.
    """
    cpus = min(_CPUS, _smallest())
    size = max(config.batch_size, min(_MOST, -(-len(jobs) // (4 * first_places(cpus)))))
    parts = ((start, jobs[start : start + size]) for start in range(0, len(jobs), size))
    task = task_of(_mask, cpus)
    begun = _begun(config, jobs) if config.resume else set()

    def begin(start: int, part: list[Job]):
        return task(config, part, few, [job for job in part if job in begun])

    for _, done in run_bounded(begin, parts, lambda: 2 * places(cpus)):
        check_seen(one.job.target for one in done if one.is_written)
        for one in done:
            tell(one)


def _smallest() -> int:
    """Processors of the smallest machine that has any."""
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    return int(min((node["CPU"] for node in nodes if node.get("CPU")), default=1))


def _begun(config: PredictConfig, jobs: list[Job]) -> set[Job]:
    """The photos whose output is there, whole or not.

    A task cannot tell: where its process dies, another finds what the first one has written.
    """
    out = place(config.out or "masks")
    if is_remote(out):  # one request for a thousand of them
        found = set(out.fs.find(out.path))
        return {job for job in jobs if job.target.path in found}
    return {job for job in jobs if job.target.exists()}


def _mask(config: PredictConfig, jobs: list[Job], few: bool, begun: list[Job]) -> list[Done]:
    done, config = [], replace(config, workers=config.workers or _CPUS)
    mask_photos(config, jobs, few, done.append, _loaded, begun)
    return done


@lru_cache(maxsize=1)
def _loaded(config: PredictConfig, few: bool, streams: int) -> Runtime:
    return load_model(config, few, streams, threads=_CPUS)
