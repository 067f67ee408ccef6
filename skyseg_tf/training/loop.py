"""The training loop: epochs of Keras' `fit`, validation, checkpoints, and the way back into any step.

What a training has done is a Progress; together with the variables it is all that a checkpoint
holds, and going on from it gives the very weights of a training that was never stopped.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import keras
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from skyseg_tf.errors import InputError
from skyseg_tf.files.json_types import typed
from skyseg_tf.runs.history import write_history
from skyseg_tf.training.checkpoints import load_latest, save_checkpoint, save_generation
from skyseg_tf.training.trained_model import TrainedModel


class Terminated(Exception):
    """SIGTERM came; everything is saved."""


@dataclass
class Progress:
    """How far a training is.

    Attributes:
      data: what identifies the records; a training goes on with the same ones only.
      epoch: finished epochs.
      step: batches done of the epoch that runs.
      metrics: values of the running metrics after them.
      trained: loss and IoU over the train split once all batches of the epoch are done.
      seconds: spent in the epoch that runs.
      waited: those of them in which no batch was ready.
      history: one row per finished epoch, see `fit`.
    """

    data: str = ""
    epoch: int = 0
    step: int = 0
    metrics: list = field(default_factory=list)
    trained: dict[str, float] | None = None
    seconds: float = 0.0
    waited: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Adds an epoch's row to the history and goes to the start of the next."""
        self.history.append(row)
        self.epoch, self.step, self.metrics, self.trained = row["epoch"], 0, [], None
        self.seconds = self.waited = 0.0


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to save.

    Attributes:
      epochs: at most.
      steps: batches of an epoch.
      checkpoint_steps: also save after every so many batches; 0: after epochs alone.
      patience: stop after so many epochs without a better val IoU; 0: never.
    """

    epochs: int
    steps: int
    checkpoint_steps: int = 0
    patience: int = 0


def load_progress(folder: Path, model: TrainedModel, data: str) -> Progress:
    """Sets a model to the newest whole checkpoint of a run.

    Args:
      folder: `checkpoints` of the run.
      model: compiled, with its averages.
      data: what identifies the records.

    Returns:
      How far that is; no step where there is no checkpoint yet.

    Raises:
      InputError: no whole checkpoint, or one of another network, optimizer or data.
    """
    facts = load_latest(folder, model)
    if facts is None:
        return Progress(data)
    hints = get_type_hints(Progress)
    for name in hints.keys() - facts.keys():
        raise InputError(f"{folder}: a checkpoint without {name}; train again, in another --run")
    if facts["data"] != data:
        raise InputError(f"{folder}: the records have changed since; train again, in another --run")
    return Progress(
        **{name: typed(facts[name], kind, folder, name) for name, kind in hints.items()}
    )


def fit(
    model: TrainedModel, run: Path, train_data: Callable[[int, int], tf.data.Dataset],
    val_data: tf.data.Dataset, schedule: Schedule, *, progress: Progress,
    watchers: Sequence[keras.callbacks.Callback] = (), on_best: Callable[[], None] = lambda: None,
    quiet: bool = False,
) -> Iterator[dict[str, float]]:  # fmt: skip
    """Trains epoch by epoch, leaving checkpoints and history.csv in the run.

    Args:
      model: compiled.
      run: its folder.
      train_data: epoch from 0, batches to skip -> the rest of the epoch's (images, masks).
      val_data: batches of (images, masks).
      schedule: how long.
      progress: where to go on; it is kept up to date.
      watchers: told of epochs alone; at their end they get its row, while the model holds the
        averaged weights (where there are any).
      on_best: called after each epoch with the best val_iou so far, while the model holds its
        weights.
      quiet: no progress bar.

    Yields:
      After each epoch: epoch (from 1), loss, iou, val_loss, val_iou, seconds, and waiting: the
      share of the training's time in which no batch was ready. `checkpoints/best.npz` is of the
      epoch with the best val_iou. With averaged weights it and the val scores are those of the
      averages.

    Raises:
      InputError: the loss or a weight is no finite number; the epochs before it are kept.
      Terminated: SIGTERM came; all is saved.
    """
    for_every_output = targets_of(model)
    val_data = val_data.map(for_every_output)
    _build_metrics(model, val_data)
    watching = keras.callbacks.CallbackList(watchers, model=model)
    watching.on_train_begin()
    if progress.history:
        write_history(run / "history.csv", progress.history)
    with _divergence_told(model, run, progress, schedule), _sigterm() as terminated:
        keeping = Keeping(run / "checkpoints", schedule, progress, terminated)
        callbacks = [keeping] if quiet else [keeping, ProgressBar(schedule, progress)]
        try:
            while not is_over(progress, schedule):
                watching.on_epoch_begin(progress.epoch)
                if progress.trained is None:
                    rest = train_data(progress.epoch, progress.step).map(for_every_output)
                    progress.trained = _train_epoch(model, rest, progress.epoch, callbacks)
                with model.averaged():
                    row = _validate(model, val_data, progress, keeping)
                    if not math.isfinite(row["val_loss"]):
                        raise FloatingPointError(f"the val loss is {row['val_loss']}")
                    if row["val_iou"] > max((r["val_iou"] for r in progress.history), default=-1.0):
                        best = run / "checkpoints" / "best.npz"
                        save_checkpoint(best, model, {"row": row}, optimizer=False)
                        on_best()
                    progress.finish_epoch(row)
                    watching.on_epoch_end(progress.epoch - 1, row)
                keeping.save()
                write_history(run / "history.csv", progress.history)
                yield row
                keeping.leave_if_terminated()
        except Terminated:
            keeping.save()
            raise
    watching.on_train_end()


@contextmanager
def _divergence_told(
    model: keras.Model, run: Path, progress: Progress, schedule: Schedule
) -> Iterator[None]:
    """Says what to do about a training whose numbers are none any more."""
    try:
        yield
    except FloatingPointError as error:
        exact = "" if model.compute_dtype == "float32" else ", --precision float32"
        start = f", and --init {run}, whose best epoch is kept" if progress.history else ""
        raise InputError(
            f"epoch {progress.epoch + 1}, step {progress.step} of {schedule.steps}: {error}, the "
            "training has diverged; train again in another --run with a lower --learning-rate, "
            f"more --warmup-steps{exact}{start}"
        ) from None


def is_over(progress: Progress, schedule: Schedule) -> bool:
    """Whether all epochs are done, or the last `patience` ones brought no better val IoU."""
    scores = [row["val_iou"] for row in progress.history]
    stale = len(scores) - 1 - scores.index(max(scores)) if scores else 0
    return progress.epoch >= schedule.epochs or (
        bool(schedule.patience) and stale >= schedule.patience
    )


def _train_epoch(model, batches, epoch: int, callbacks: list) -> dict[str, float]:
    measured = model.fit(
        batches, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0,
        callbacks=callbacks,
    ).history  # fmt: skip
    return {key: values[0] for key, values in measured.items()}


def _validate(model, batches, progress: Progress, keeping: "Keeping") -> dict[str, float]:
    """The epoch's row of the history."""
    started = time.monotonic()
    val = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[keeping])
    row = {"epoch": progress.epoch + 1}
    for prefix, measured in (("", progress.trained), ("val_", val)):
        row[f"{prefix}loss"] = measured["loss"]
        row[f"{prefix}iou"] = next(v for key, v in measured.items() if key.endswith("iou"))
    row["seconds"] = round(progress.seconds + time.monotonic() - started, 2)
    row["waiting"] = round(progress.waited / max(progress.seconds, 1e-9), 4)
    return row


def targets_of(model: keras.Model) -> Callable:
    """(images, masks (B, H, W)) -> what its `fit` takes: images, and a mask for every output."""
    outputs = list(model.output)

    def for_every_output(image, mask):
        return image, dict.fromkeys(outputs, mask[..., None])

    return for_every_output


def _build_metrics(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Creates the variables of the metrics, which Keras would only do in the first step: before it
    they have to take the values of a checkpoint."""

    def symbol(spec):
        return keras.KerasTensor(tuple(spec.shape), spec.dtype.name)

    model._symbolic_build(data_batch=tf.nest.map_structure(symbol, batches.element_spec))


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """Inside, SIGTERM sets the event; in other threads than the first, signals are not ours."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


class Keeping(keras.callbacks.Callback):
    """Keeps the progress, saves it where it is time to, and ends the training after SIGTERM."""

    def __init__(
        self, folder: Path, schedule: Schedule, progress: Progress, terminated: threading.Event
    ):
        super().__init__()
        self.folder, self.schedule, self.progress = folder, schedule, progress
        self.terminated = terminated

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Gives the metrics, which Keras has just reset, the values of the checkpoint."""
        model, progress = self.model, self.progress
        if progress.metrics:
            for variable, value in zip(model.metrics_variables, progress.metrics, strict=True):
                variable.assign(value)
        self.first_step, self.seconds_before = progress.step, progress.seconds
        self.waited_before, model.waited = progress.waited, 0.0
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves; the last batch's checkpoint is the epoch's, after validation.

        Raises:
          FloatingPointError: the loss, a mean over the epoch's batches, is no finite number.
        """
        progress, every = self.progress, self.schedule.checkpoint_steps
        progress.step = self.first_step + batch + 1
        if not math.isfinite(logs["loss"]):  # Keras has fetched it for its callbacks anyway
            raise FloatingPointError(f"the loss is {logs['loss']}")
        progress.seconds = self.seconds_before + time.monotonic() - self.started
        due = every and progress.step % every == 0
        if progress.step < self.schedule.steps and (due or self.terminated.is_set()):
            model = self.model  # on JAX this brings the step's state into the variables
            progress.waited = self.waited_before + model.waited
            progress.metrics = [ops.convert_to_numpy(v).tolist() for v in model.metrics_variables]
            self.leave_if_terminated()
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the time."""
        self.progress.waited = self.waited_before + self.model.waited

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Leaves a validation, which will be run again whole."""
        self.leave_if_terminated()

    def leave_if_terminated(self) -> None:
        """Raises Terminated after SIGTERM; `fit` saves then."""
        if self.terminated.is_set():
            raise Terminated

    def save(self) -> None:
        """Writes a checkpoint."""
        save_generation(self.folder, self.model, asdict(self.progress))


class ProgressBar(keras.callbacks.Callback):
    """A line per epoch: share, time left, loss, IoU."""

    def __init__(self, schedule: Schedule, progress: Progress):
        super().__init__()
        self.schedule, self.progress = schedule, progress

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Opens the bar."""
        title = f"epoch {epoch + 1}/{self.schedule.epochs}"
        done = self.progress.step
        self.bar = tqdm(total=self.schedule.steps, initial=done, desc=title, leave=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves it by one step."""
        iou = next(value for key, value in logs.items() if key.endswith("iou"))
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", IoU=f"{iou:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Closes it."""
        self.bar.close()
