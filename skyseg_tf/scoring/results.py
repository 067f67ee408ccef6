"""What an evaluation leaves in RUN/evaluation/<name>.

metrics.json    every score, with the protocol; written last
per_class.csv   one row per class and category
per_image.csv   one row per photo
plots/
report.html     see report
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from skyseg_tf.data.photos import LabeledPhoto
from skyseg_tf.images import resize_image, resize_mask
from skyseg_tf.labels import LabelScheme
from skyseg_tf.runs.folder import write_json
from skyseg_tf.runs.history import write_history
from skyseg_tf.scoring import plots, plots_scores
from skyseg_tf.scoring.evaluation import RANKED_SHARE, Evaluation, ImageScores
from skyseg_tf.scoring.metrics import iou, mean_iou

THUMBNAIL_WIDTH = 400


@dataclass(frozen=True)
class WorstPhoto:
    """A row of the sheet of the worst photos.

    Attributes:
      place: the less, the worse.
      caption: name and score.
      photo: (H, W, 3) uint8.
      truth, pred: (H, W) uint8 class ids.
    """

    place: tuple[float, int]
    caption: str
    photo: np.ndarray
    truth: np.ndarray
    pred: np.ndarray


def keep_worst(
    worst: list[WorstPhoto],
    photo: LabeledPhoto,
    pred: np.ndarray,
    scores: ImageScores,
    scheme: LabelScheme,
    count: int,
) -> list[WorstPhoto]:
    """Adds a photo to the worst ones, if it belongs there.

    Args:
      worst: those so far, the worst first.
      photo: with its truth.
      pred: (H, W) uint8 class ids.
      scores: of the photo; it is ranked by its IoU of sky, or mean IoU where there is no such class.
      scheme: the classes.
      count: how many are kept.

    Returns:
      At most `count`, the worst first, with pictures scaled down.
    """
    sky, matrix = scheme.sky, scores.matrix
    wrong = int(matrix.sum() - np.trace(matrix))
    if sky is None:
        value, caption = mean_iou(matrix), f"mean IoU {mean_iou(matrix):.3f}"
    else:
        true, predicted = int(matrix[sky].sum()), int(matrix[:, sky].sum())
        wrong = true + predicted - 2 * int(matrix[sky, sky])
        if true + predicted < RANKED_SHARE * matrix.sum():
            return worst
        value = iou(matrix)[sky]
        caption = f"sky IoU {value:.3f}"
        if not true:
            caption = f"no sky, {100 * predicted / matrix.sum():.1f} % called so"
    place = (float(value), -wrong)  # of equal scores the one with more wrong pixels comes first
    if not count or np.isnan(value) or (len(worst) == count and place >= worst[-1].place):
        return worst
    height, width = pred.shape
    small = (max(1, round(height * THUMBNAIL_WIDTH / width)), THUMBNAIL_WIDTH)
    row = WorstPhoto(
        place,
        f"{photo.name}: {caption}",
        resize_image(photo.photo, small),
        resize_mask(photo.truth, small),
        resize_mask(pred, small),
    )
    return sorted([*worst, row], key=lambda row: row.place)[:count]


def write_results(
    folder: Path,
    evaluation: Evaluation,
    worst: list[WorstPhoto],
    facts: dict[str, Any],
    bootstrap: int = 0,
) -> None:
    """Writes metrics.json, per_class.csv, per_image.csv and plots/ into a folder.

    Args:
      folder: RUN/evaluation/<name>.
      evaluation: the scores.
      worst: the worst first.
      facts: network, input_size, protocol_facts and what else metrics.json shall say.
      bootstrap: resamples for confidence intervals; 0 for none.
    """
    intervals = evaluation.confidence_intervals(bootstrap) if bootstrap else None
    scores = evaluation.as_dict() | facts
    if intervals:
        scores["confidence_intervals"] = intervals
    write_history(folder / "per_class.csv", evaluation.class_rows(intervals))
    write_history(folder / "per_image.csv", evaluation.image_rows())
    for name, figure in _figures(evaluation, scores, worst):
        plots.save_figure(figure, folder / "plots" / f"{name}.png")
    write_json(folder / "metrics.json", scores)  # last: a folder without it is unfinished


def _figures(
    evaluation: Evaluation, scores: dict, worst: list[WorstPhoto]
) -> Iterator[tuple[str, Figure]]:
    """(file name, figure) of every plot."""
    scheme, protocol = evaluation.scheme, evaluation.protocol
    title = f"{scores['network']} on {scores['protocol_facts']['data']}"
    yield (
        "iou_scores",
        plots.plot_iou_scores(
            np.array(list(scores["iou"].values())),
            scores["mean_iou"],
            scheme,
            title,
            plots_scores.wrapped(protocol, 110),
        ),
    )
    yield (
        "confusion_matrix",
        plots.plot_confusion_matrix(
            evaluation.total.matrix, scheme, title, plots_scores.wrapped(protocol, 80)
        ),
    )
    what, values = "mean IoU", evaluation.image_iou()
    if sky := scores.get("sky"):
        if not np.isnan(evaluation.image_sky_iou()).all():
            what, values = "sky IoU", evaluation.image_sky_iou()
            yield (
                "outline",
                plots_scores.plot_outline(
                    sky["boundary_f"], sky["trimap_iou"], sky["iou"], title, protocol
                ),
            )
        yield (
            "reliability",
            plots_scores.plot_reliability(
                evaluation.total.calibration, sky["calibration_error"], title, protocol
            ),
        )
    if not np.isnan(values).all():
        yield "image_iou", plots_scores.plot_image_iou(values, what, title, protocol)
    if worst:
        by = "sky IoU" if sky else "mean IoU"
        heading = f"The {len(worst)} worst photos by {by}\n{plots_scores.wrapped(protocol, 110)}"
        yield (
            "worst",
            plots.plot_predictions(
                [row.photo for row in worst],
                [row.truth for row in worst],
                [row.pred for row in worst],
                scheme,
                heading,
                [row.caption for row in worst],
            ),
        )
