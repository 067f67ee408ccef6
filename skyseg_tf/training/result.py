"""The result of a training: the scores of its best epoch, and their plots."""

import keras
import numpy as np

from skyseg_tf.errors import counted
from skyseg_tf.runs.folder import write_json
from skyseg_tf.scoring import plots
from skyseg_tf.scoring.scores import Scores, class_table, predict_masks, score
from skyseg_tf.training import bad_records
from skyseg_tf.training.batches import Batches, pick_photos
from skyseg_tf.training.job import Job


def write_result(job: Job, network: keras.Model, batches: Batches, history: list[dict]) -> None:
    """Scores the val split, writes metrics.json and plots, and prints what came out.

    Args:
      job: what was trained.
      network: with the weights of the best epoch.
      batches: of which those of the val split are scored.
      history: a row per epoch; may be empty.
    """
    scores = score(network, batches.val, job.scheme, _protocol(job))
    _write_plots(job, scores, history, network, batches)
    write_json(
        job.run / "metrics.json", scores.as_dict() | bad_records.told(job.skipped)
    )  # last: it makes a finished run
    bars = job.settings.plots / f"{job.settings.model}_iou_scores.png"
    print(class_table(scores.matrix, job.scheme))
    print(f"{scores.summary}\nlook at {bars} and {job.run / 'plots'}")


def _protocol(job: Job) -> str:
    height, width = job.manifest.image_size
    return (
        f"val split of {job.records.name}, {counted(job.manifest.splits['val'].count, 'photo')} at "
        f"{height}x{width}, single scale, void ignored, epoch of the best val IoU"
    )


def _write_plots(
    job: Job, scores: Scores, history: list[dict], network: keras.Model, batches: Batches
) -> None:
    """IoU bars (in the run and in --plots), learning curves, confusion matrix, and predictions."""
    values, folder = scores.as_dict(), job.run / "plots"
    classes = np.array(list(values["iou"].values()))
    bars = plots.plot_iou_scores(
        classes, values["mean_iou"], job.scheme, job.title, scores.protocol
    )
    figures = {
        folder / "iou_scores.png": bars,
        job.settings.plots / f"{job.settings.model}_iou_scores.png": bars,
        folder / "confusion_matrix.png": plots.plot_confusion_matrix(
            scores.matrix, job.scheme, job.title
        ),
    }
    if history:
        curves = plots.plot_learning_curves(history, job.title, job.measure)
        figures[folder / "learning_curves.png"] = curves
    photos, images, masks = pick_photos(batches.val, job.manifest, 6)
    figures[folder / "predictions.png"] = plots.plot_predictions(
        list(photos),
        list(masks),
        list(predict_masks(network, images)),
        job.scheme,
        f"{job.title}: pictures of the val split, not trained on",
    )
    for path, figure in figures.items():
        plots.save_figure(figure, path)
