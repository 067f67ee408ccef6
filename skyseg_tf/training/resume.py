"""Where a run begins, or where a stopped one goes on: its settings, and its last checkpoint."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError, counted, flag_of
from skyseg_tf.runs.folder import (
    RunData,
    environment,
    read_config,
    read_json,
    read_run_data,
    write_json,
)
from skyseg_tf.training import bad_records
from skyseg_tf.training.job import Job
from skyseg_tf.training.progress import Progress, Schedule, is_over, load_progress
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settings_check import check_flags
from skyseg_tf.training.settle import TAKEN
from skyseg_tf.training.step import TrainedModel

# The content of the records is compared, so that they may have moved.
_FREE_ON_RESUME = ("resume", "quiet", "epochs", "records", "extra_records", "on_bad_record")
# Who trains is no property of the run: others may go on with it.
_WHO = (
    "coordinator",
    "num_processes",
    "process_id",
    "engine",
    "workers",
    "task_cpus",
    "task_gpus",
    "address",
)


def resumed(given: TrainConfig, start: TrainConfig) -> TrainConfig:
    """The settings of the run that `given.resume` names; without one, those given.

    Args:
      given: settings beside --resume.
      start: what `given` was made from: a field that differs was set by the user.

    Returns:
      The run's own settings; epochs and the place of the records may be other ones.

    Raises:
      InputError: no run there, a damaged one, or another setting was given that differs from the
        run's.
    """
    if given.resume is None:
        return given
    run = Path(given.resume)
    stored = replace(read_config(run, TrainConfig), run=run)
    for name in ("records", "model"):
        if not getattr(stored, name):
            raise InputError(f"{run / 'config.json'}: names no {name}; restore it or train again")
    try:
        check_flags(stored)
    except InputError as error:
        raise InputError(f"{run / 'config.json'}: {error}; restore it or train again") from None
    may_change = (*_FREE_ON_RESUME, *_WHO)
    set_here = {
        f.name: value
        for f in fields(given)
        if (value := getattr(given, f.name)) != getattr(start, f.name)
    }
    changed = [
        flag_of(name)
        for name, value in set_here.items()
        if name not in may_change and value != getattr(stored, name)
    ]
    if changed:
        raise InputError(
            f"{run}: goes on as it began, without {', '.join(changed)}; "
            f"for other settings start another run, with --init {run}"
        )
    free = {name: value for name, value in set_here.items() if name in may_change}
    return replace(stored, **free | {"resume": run, "quiet": given.quiet})


def begin_or_go_on(job: Job, model: TrainedModel, schedule: Schedule) -> Progress:
    """Writes what a new run was made of, or loads the checkpoint of the one that is resumed.

    Args:
      job: what is trained.
      model: compiled; it gets the checkpoint's values.
      schedule: how long.

    Returns:
      How far the run is.

    Raises:
      InputError: other records than the run was begun with, fewer epochs than are done, or more
        where --patience has ended it; or another training has taken the folder.
    """
    run, identity, progress = job.run, _identity(job.settings), None
    if job.settings.resume:
        progress = _load_progress(job, model, identity, schedule)
        going = f"going on at epoch {progress.epoch + 1}, step {progress.step}"
        done = f"{counted(progress.epoch, 'epoch')} done and scored anew; --epochs trains longer"
        over = progress.epoch >= schedule.epochs
        print(f"{run}: {done if over else going}", flush=True)
        if progress.epoch < schedule.epochs:
            (run / "metrics.json").unlink(missing_ok=True)  # it is no finished run any more
    elif (run / "config.json").exists():  # since `settle` has looked
        raise InputError(TAKEN.format(run))
    facts = {
        "environment": environment(job.settings.seed) | bad_records.told(job.skipped),
        "dataset": RunData.of(job.manifest, identity),
    }
    for name, content in facts.items():
        if not (run / f"{name}.json").exists() or not job.settings.resume:
            write_json(run / f"{name}.json", content)
    bad_records.keep_skipped(job.settings, job.skipped)
    if job.settings.resume and job.skipped is not None:  # it may have begun with other ones
        told = read_json(run / "environment.json") | bad_records.told(job.skipped)
        write_json(run / "environment.json", told)
    here = {name: getattr(TrainConfig, name) for name in _WHO}
    write_json(run / "config.json", replace(job.settings, resume=None, **here))
    return progress or Progress(identity)


def _load_progress(job: Job, model: TrainedModel, identity: str, schedule: Schedule) -> Progress:
    """The progress of a run that is resumed; refuses other records, and epochs that are not to be."""
    run, epochs = job.settings.resume, schedule.epochs
    data = read_run_data(run)
    if data and data.records_sha256 not in ("", identity):
        raise InputError(
            f"{job.records}: not the records that {run} was begun with, or they have changed "
            "since; name those by --records, or train again, in another --run"
        )
    progress = load_progress(run / "checkpoints", model, identity)
    if epochs < progress.epoch:
        raise InputError(
            f"{run}: {counted(progress.epoch, 'epoch')} done, --epochs {epochs} is fewer; give "
            "more, or leave it out"
        )
    epochs_before = read_config(run, TrainConfig).epochs
    if is_over(progress, schedule) and progress.epoch < epochs != epochs_before:
        raise InputError(
            f"{run}: ended by --patience {schedule.patience} after epoch {progress.epoch}, more "
            f"--epochs change nothing; start another run with --init {run}"
        )
    return progress


def _identity(settings: TrainConfig) -> str:
    """Names the content of all records."""
    digest = hashlib.sha256()
    for folder in (settings.records, *settings.extra_records):
        for split in read_manifest(folder, shards_are_there=False).splits.values():
            digest.update("".join(shard.sha256 for shard in split.shards).encode())
    return digest.hexdigest()
