"""What watches a training: TensorBoard, curves in a notebook, Weights & Biases, MLflow.

All are Keras callbacks that `loop.fit` tells of epochs, with the history's row as logs.
"""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from skyseg_tf.errors import InputError, not_among
from skyseg_tf.labels import LabelScheme
from skyseg_tf.scoring import plots
from skyseg_tf.scoring.scores import predict_masks
from skyseg_tf.training.batches import Batches, pick_photos
from skyseg_tf.training.job import Job
from skyseg_tf.training.packages import TRACKERS


def make_watchers(
    job: Job, batches: Batches, predict: Callable[[keras.Model, np.ndarray], np.ndarray]
) -> list[keras.callbacks.Callback]:
    """TensorBoard, and the tracker that the settings name.

    Args:
      job: what is trained.
      batches: of which some photos of the val split are shown.
      predict: see Board.

    Raises:
      InputError: the tracker's package is not installed.
    """
    photos = pick_photos(batches.val, job.manifest, 4)
    watchers = [Board(job.run / "tensorboard", job.scheme, *photos, predict)]
    if job.settings.track:
        watchers.append(make_tracker(job.settings.track, job.run, job.settings))
    return watchers


class Board(keras.callbacks.Callback):
    """TensorBoard: loss and IoU of train and val, data waiting, the rate, confusion matrix, pictures."""

    def __init__(
        self,
        folder: Path,
        scheme: LabelScheme,
        photos: np.ndarray,
        images: np.ndarray,
        masks: np.ndarray,
        predict: Callable[[keras.Model, np.ndarray], np.ndarray] = predict_masks,
    ):
        """Writes into a folder.

        Args:
          folder: of the event files.
          scheme: the masks' classes.
          photos: (N, H, W, 3) uint8.
          images: the same as the network takes them, (N, H, W, 3) or (N, T, H, W, 3).
          masks: (N, H, W) uint8 class ids.
          predict: what the model that is trained makes of images, as scores.predict_masks.
        """
        super().__init__()
        self.folder = folder
        self.scheme = scheme
        self.photos, self.images, self.masks = photos, images, masks
        self.predict = predict

    @cached_property
    def writer(self) -> tf.summary.SummaryWriter:
        """It makes the folder, which a training that is refused must not leave."""
        return tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes an epoch; its row of the history is `logs`."""
        preds = self.predict(self.model, self.images)
        matrix = self.model.iou.matrix()  # of the validation that has just ended
        figure = plots.plot_confusion_matrix(matrix, self.scheme, f"epoch {epoch + 1}, val split")
        with self.writer.as_default(step=epoch + 1):
            for key in ("loss", "iou"):
                tf.summary.scalar(f"{key}/train", logs[key])
                tf.summary.scalar(f"{key}/val", logs[f"val_{key}"])
            tf.summary.scalar("speed/seconds", logs["seconds"])
            tf.summary.scalar("speed/share waiting for data", logs["waiting"])
            tf.summary.scalar("learning rate", float(self.model.optimizer.learning_rate))
            tf.summary.image("confusion matrix", _pixels(figure)[None])
            tf.summary.image(
                "photo, truth, prediction, difference", self._sheets(preds), max_outputs=len(preds)
            )
        self.writer.flush()

    def _sheets(self, preds: np.ndarray) -> np.ndarray:
        """(N, H, 4 x W, 3) uint8."""
        rows = []
        for photo, truth, pred in zip(self.photos, self.masks, preds, strict=True):
            pictures = plots.prediction_pictures(photo, truth, pred, self.scheme)
            rows.append(np.concatenate(pictures, axis=1))
        return np.stack(rows)


class LiveCurves(keras.callbacks.Callback):
    """Learning curves in the cell of a notebook, drawn anew after each epoch; nothing elsewhere."""

    def __init__(self, title: str, history: Sequence[dict[str, float]], measure: str):
        """Watches a history.

        Args:
          title: what is trained.
          history: the training's own, which gets a row before each epoch's end is told.
          measure: what its IoU is, see plots.plot_learning_curves.
        """
        super().__init__()
        self.title, self.history, self.measure, self.shown = title, history, measure, None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Puts the curves with this epoch in place of those without."""
        ipython = sys.modules.get("IPython")
        if not hasattr(ipython and ipython.get_ipython(), "kernel"):
            return  # a terminal, IPython's own included, shows no pictures
        from IPython.display import Image as Picture
        from IPython.display import display

        content = io.BytesIO()
        figure = plots.plot_learning_curves(self.history, self.title, self.measure)
        figure.savefig(content, format="png", dpi=75)
        picture = Picture(content.getvalue())
        if self.shown is None:
            self.shown = display(picture, display_id=True)
        else:
            self.shown.update(picture)


def _pixels(figure) -> np.ndarray:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80)
    return np.array(Image.open(content, formats=["PNG"]).convert("RGB"))


@contextmanager
def tracker_ended(name: str | None) -> Iterator[None]:
    """Inside, one training is reported: what make_tracker has opened is closed at the end.

    Args:
      name: one of TRACKERS, or None for no service.
    """
    try:
        yield
    finally:
        package = sys.modules.get(name)  # one that was not imported has nothing open
        if package and name == "wandb":
            package.finish()
        elif package and name == "mlflow":
            package.end_run()


def make_tracker(name: str, run: Path, settings: Any) -> keras.callbacks.Callback:
    """The Keras callback of a tracking service, with a run of its own opened there.

    `tracker_ended` closes it.

    Where it reports to is the service's own business: WANDB_MODE, WANDB_PROJECT, WANDB_DIR, and
    MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME.

    Args:
      name: one of TRACKERS.
      run: the run folder; its name becomes the run's.
      settings: dataclass of settings, which are reported too.

    Raises:
      InputError: no such service, or its package is not installed.
    """
    config = {key: str(value) for key, value in asdict(settings).items() if value is not None}
    try:
        if name == "wandb":
            import wandb
            from wandb.integration.keras import WandbMetricsLogger

            wandb.init(name=run.name, config=config)
            return WandbMetricsLogger()
        if name == "mlflow":
            import mlflow
            import mlflow.keras

            mlflow.start_run(run_name=run.name)
            mlflow.log_params(config)
            return mlflow.keras.MlflowCallback(log_every_epoch=True)
    except ImportError as error:
        raise InputError(
            f"--track {name}: {error.name or name} is not installed; pip install {name}"
        ) from None
    raise InputError(not_among("tracker", name, TRACKERS))
