"""The training loop: epochs of Keras' `fit`, validation, checkpoints, and the way back into any step."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
from keras import ops
from tqdm import tqdm

from skyseg_tf.errors import InputError
from skyseg_tf.runs.history import write_rows
from skyseg_tf.training.batches import Batches
from skyseg_tf.training.checkpoints import save_checkpoint, save_generation
from skyseg_tf.training.devices import whole_batches
from skyseg_tf.training.progress import Progress, Schedule, is_over
from skyseg_tf.training.step import TrainedModel


class Told(Exception):
    """A signal came that ends the training; everything is saved.

    Attributes:
      number: of the signal: SIGTERM, or SIGINT for Ctrl-C.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def fit(
    model: TrainedModel,
    run: Path,
    batches: Batches,
    schedule: Schedule,
    *,
    progress: Progress,
    watchers: Sequence[keras.callbacks.Callback] = (),
    on_best: Callable[[], None] = lambda: None,
    agree: Callable[[int], int] = int,
    quiet: bool = False,
) -> Iterator[dict[str, float]]:
    """Trains epoch by epoch, leaving checkpoints and history.csv in the run.

    Args:
      model: compiled.
      run: its folder.
      batches: of the train and the val split.
      schedule: how long, and when to save.
      progress: where to go on; it is kept up to date.
      watchers: told of epochs alone; at their end they get its row, while the model holds the
        averaged weights (where there are any).
      on_best: called after each epoch with the best val_iou so far, while the model holds its
        weights.
      agree: the largest of the numbers that the processes that train along ask with; all ask at
        the same steps.
      quiet: no progress bar.

    Yields:
      After each epoch: epoch (from 1), loss, iou, val_loss, val_iou, seconds, and waiting: the
      share of the training's time in which no batch was ready. `checkpoints/best.npz` is of the
      epoch with the best val_iou. With averaged weights it and the val scores are those of the
      averages.

    Raises:
      InputError: the loss or a weight is no finite number; the epochs before it are kept.
      Told: SIGTERM or Ctrl-C came, to any of them; all is saved.
      KeyboardInterrupt: Ctrl-C came again, before the step was done.
    """
    watching = keras.callbacks.CallbackList(watchers, model=model)
    watching.on_train_begin()
    if progress.history:
        write_rows(run / "history.csv", progress.history)
    with _divergence_told(model, run, progress, schedule), _signals_noted() as noted:
        checkpointing = Checkpointing(
            run / "checkpoints", schedule, progress, lambda: agree(max(noted, default=0))
        )
        callbacks = [checkpointing] if quiet else [checkpointing, ProgressBar(schedule, progress)]
        try:
            while not is_over(progress, schedule):
                watching.on_epoch_begin(progress.epoch)
                if progress.trained is None:  # else it was told to end while it validated
                    rest = batches.train(progress.epoch, progress.step)
                    progress.trained = _train_epoch(model, rest, progress.epoch, callbacks)
                with model.averaged():
                    row = _validate(model, batches.val, progress, checkpointing)
                    _keep_best(run / "checkpoints" / "best.npz", model, row, progress, on_best)
                    progress.finish_epoch(row)
                    watching.on_epoch_end(progress.epoch - 1, row)
                checkpointing.save()
                write_rows(run / "history.csv", progress.history)
                yield row
                checkpointing.leave_if_told()
        except Told:
            checkpointing.save()
            raise
    watching.on_train_end()


def _keep_best(
    path: Path, model: TrainedModel, row: dict, progress: Progress, on_best: Callable[[], None]
) -> None:
    """Writes the network of an epoch with the best val IoU so far."""
    if not math.isfinite(row["val_loss"]):
        raise FloatingPointError(f"the val loss is {row['val_loss']}")
    if row["val_iou"] > max((before["val_iou"] for before in progress.history), default=-1.0):
        save_checkpoint(path, model, {"row": row}, optimizer=False)
        on_best()


def _train_epoch(model, batches, epoch: int, callbacks: list) -> dict[str, float]:
    """Loss and IoU over the batches that are left of an epoch, with those before them."""
    done = model.fit(
        batches,
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    return {key: values[0] for key, values in done.history.items()}


def _validate(
    model, batches, progress: Progress, checkpointing: "Checkpointing"
) -> dict[str, float]:
    """The epoch's row of the history."""
    started = time.monotonic()
    with whole_batches():
        try:
            val = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[checkpointing])
        finally:
            if keras.backend.backend() == "jax":  # where one that is left keeps them to itself
                model.jax_state_sync()
    row = {"epoch": progress.epoch + 1}
    for prefix, measured in (("", progress.trained), ("val_", val)):
        row |= {f"{prefix}{name}": measured[name] for name in ("loss", "iou")}
    row["seconds"] = round(progress.seconds + time.monotonic() - started, 2)
    row["waiting"] = round(progress.waited / max(progress.seconds, 1e-9), 4)
    return row


class Checkpointing(keras.callbacks.Callback):
    """Notes the progress, saves it where it is time to, and ends the training after a signal."""

    def __init__(
        self,
        folder: Path,
        schedule: Schedule,
        progress: Progress,
        told: Callable[[], int],
    ):
        super().__init__()
        self.folder, self.schedule, self.progress = folder, schedule, progress
        self.told = told  # number of the signal that came, or 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Gives the metrics, which Keras has just reset, the values of the checkpoint."""
        model, progress = self.model, self.progress
        if progress.metrics:
            for part, value in zip(model.metric_parts, progress.metrics, strict=True):
                part.assign(value)
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
        if progress.step < self.schedule.steps and (self.told() or due):
            model = self.model  # on JAX this brings the step's state into the variables
            progress.waited = self.waited_before + model.waited
            progress.metrics = [ops.convert_to_numpy(v).tolist() for v in model.metric_parts]
            self.leave_if_told()
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the time."""
        self.progress.waited = self.waited_before + self.model.waited

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Leaves a validation, which will be run again whole."""
        self.leave_if_told()

    def leave_if_told(self) -> None:
        """Raises Told after a signal; `fit` saves then."""
        if number := self.told():
            raise Told(number)

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
        shown = {"loss": f"{logs['loss']:.4f}", "IoU": f"{logs['iou']:.4f}"}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Closes it."""
        self.bar.close()


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


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Inside, SIGTERM and the first Ctrl-C are noted; in other threads than the first, none is ours.

    A step is ended before the training is: half done, it could not be saved. Ctrl-C is left alone
    where somebody has other plans for it (see runs.stopping).
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, _: Any) -> None:
        noted.append(number)
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)  # the second one ends at once

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if number == signal.SIGTERM or handler is signal.default_int_handler:
            signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
