"""What `skyseg train` does: from records to a run folder and its IoU plots."""

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from skyseg_tf.data.integrity import DamagedRecords, naming_damage
from skyseg_tf.errors import counted
from skyseg_tf.runs.folder import training_in
from skyseg_tf.runs.stopping import TERMINATED
from skyseg_tf.training import bad_records
from skyseg_tf.training.batches import make_batches
from skyseg_tf.training.checkpoints import finish_generation
from skyseg_tf.training.devices import telling_device_errors, use_devices
from skyseg_tf.training.estimates import check_step
from skyseg_tf.training.job import Job
from skyseg_tf.training.learning_rate import find_learning_rate
from skyseg_tf.training.loop import Told, fit
from skyseg_tf.training.network import start_network
from skyseg_tf.training.precision import fastest_arithmetic
from skyseg_tf.training.processes import (
    alone,
    heard_once,
    largest,
    telling_lost_processes,
)
from skyseg_tf.training.progress import Schedule
from skyseg_tf.training.result import write_result
from skyseg_tf.training.resume import begin_or_go_on, resumed
from skyseg_tf.training.seeds import train_seeds
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settle import settle
from skyseg_tf.training.twin import Twin
from skyseg_tf.training.watching import LiveCurves, make_watchers, tracker_ended

OnEpoch = Callable[[dict[str, float]], None]


def train(config: TrainConfig, on_epoch: OnEpoch | None = None) -> Path:
    """Trains a network.

    Args:
      config: see TrainConfig.
      on_epoch: gets each new row of the history (see loop.fit) once its checkpoint is written;
        what it raises ends the training there. Not for several seeds.

    Returns:
      The run folder (see runs.folder). `config.plots` gets `<model>_iou_scores.png`.

    Raises:
      InputError: a setting or the data cannot be used; nothing has been written into the run then.
      SystemExit: SIGTERM came; all is saved, and `resume` goes on.
    """
    return train_settled(resumed(config, TrainConfig()), on_epoch or (lambda row: None))


def train_settled(config: TrainConfig, on_epoch: OnEpoch = lambda row: None) -> Path:
    """`train`, with settings that are complete also where a run is resumed."""
    # It would merge additions into AddN, whose order of summing changes (see models.blocks.Fork).
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    job = settle(config)
    check_step(job)
    if job.settings.precision == "auto":
        job = fastest_arithmetic(job)
    try:
        with (
            telling_lost_processes(job.settings),
            telling_device_errors(job.settings),
            naming_damage(job.records, *job.settings.extra_records),
        ):
            if job.settings.find_lr:
                return find_learning_rate(job)
            with heard_once(job) as job, training_in(job.run):
                if job.settings.seeds > 1:
                    return train_seeds(job, train_settled)
                shared = (job.settings.batch_size, job.settings.num_processes)
                tracker = tracker_ended(job.settings.track)
                with use_devices(job.settings.devices, *shared), tracker:
                    return _train_one(job, on_epoch)
    except DamagedRecords as damage:
        return train_settled(_without_damaged(job.settings, damage), on_epoch)


def _without_damaged(config: TrainConfig, damage: DamagedRecords) -> TrainConfig:
    """The settings to go on with where records were damaged while a training ran.

    It goes on from its last checkpoint, as it would after a kill: the way from there on hangs on the
    checkpoint and on what is skipped alone, however often it is killed.
    """
    known = bad_records.skipped_records(replace(config, resume=config.run))
    if known is None or (now := bad_records.skipped_records(config, anew=True)) == known:
        raise damage
    print(f"{damage}; going on without", flush=True)
    if not (config.run / "config.json").exists():
        return config
    bad_records.keep_skipped(config, now)
    return replace(config, resume=config.run)


def _train_one(job: Job, on_epoch: OnEpoch) -> Path:
    """One training: data, network, training, result."""
    # ---------------------------------------------------------------- data
    settings, run = job.settings, job.run
    batches = make_batches(settings, job.scheme, job.skipped)
    steps = batches.steps

    # ------------------------------------------------------------- network
    keras.utils.set_random_seed(settings.seed)
    model = start_network(job, steps)
    twin = Twin(job, model)
    print(_headline(job, model, steps), flush=True)

    # ------------------------------------------------------------ training
    schedule = Schedule(settings.epochs, steps, settings.checkpoint_steps, settings.patience)
    # A tracker may refuse, for want of a key: before we write.
    is_first = settings.process_id == 0
    watchers = make_watchers(job, batches, twin.masks) if is_first else []
    progress = begin_or_go_on(job, model, schedule)
    watchers.append(LiveCurves(job.title, progress.history, job.measure))

    epochs = fit(
        model,
        run,
        batches,
        schedule,
        progress=progress,
        watchers=watchers,
        on_best=twin.save if is_first else lambda: None,
        agree=partial(largest, settings),
        quiet=settings.quiet,
    )
    try:
        for row in epochs:
            print(_epoch_line(row, job), flush=True)
            on_epoch(row)
    except Told as told:
        if told.number == signal.SIGTERM:
            print(f"terminated: saved; go on with --resume {run}", flush=True)
            raise SystemExit(TERMINATED) from None
        print("stopped: finishing with what there is (Ctrl-C again to give up)", flush=True)

    # -------------------------------------------------------------- result
    if is_first:
        twin.save_best()
        finish_generation(run / "checkpoints")
        with alone(settings):
            write_result(job, twin.network, batches, progress.history)
    return run


def _headline(job: Job, model: keras.Model, steps: int) -> str:
    height, width = job.manifest.image_size
    return (
        f"{job.settings.model}: {model.count_params():,} parameters, classes of "
        f"{job.scheme.name}, {height}x{width}, "
        f"{counted(job.settings.epochs, 'epoch')} of {counted(steps, 'step')}, "
        f"{counted(job.manifest.splits['val'].count, 'val photo')}"
    )


def _epoch_line(row: dict[str, float], job: Job) -> str:
    count = bad_records.count(job.skipped)
    skips = f", {counted(count, 'damaged record')} skipped" if count else ""
    return (
        f"epoch {row['epoch']}/{job.settings.epochs}: loss {row['loss']:.4f} IoU {row['iou']:.4f}  "
        f"val loss {row['val_loss']:.4f} IoU {row['val_iou']:.4f}  {row['seconds']:.0f} s, "
        f"{row['waiting']:.0%} waiting for data{skips}"
    )
