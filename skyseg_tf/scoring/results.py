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
from skyseg_tf.errors import counted
from skyseg_tf.images import resize_image, resize_mask
from skyseg_tf.labels import LabelScheme
from skyseg_tf.runs.folder import write_json
from skyseg_tf.runs.history import write_rows
from skyseg_tf.scoring import plots, plots_scores
from skyseg_tf.scoring.evaluation import RANKED_SHARE, Evaluation, ImageScores
from skyseg_tf.scoring.metrics import iou, mean_iou
from skyseg_tf.scoring.plots_frame import wrapped

THUMBNAIL_WIDTH = 400
_TALLEST = 4  # times as high as wide; what is higher is squeezed


@dataclass(frozen=True)
class WorstPhoto:
    """A row of the sheet of the worst photos.

    Attributes:
      place: (score, minus the wrong pixels): the less, the worse; of equal scores the photo with
        more wrong pixels comes first.
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
    place, caption = _place(scores.matrix, scheme)
    if not count or np.isnan(place[0]) or (len(worst) == count and place >= worst[-1].place):
        return worst
    height, width = pred.shape
    tall = max(1, round(height * THUMBNAIL_WIDTH / width))
    # Of a strip of a photo the sheet would be meters high, and gigabytes.
    small = (min(tall, _TALLEST * THUMBNAIL_WIDTH), THUMBNAIL_WIDTH)
    row = WorstPhoto(
        place,
        f"{photo.name}: {caption}",
        resize_image(photo.photo, small),
        resize_mask(photo.truth, small),
        resize_mask(pred, small),
    )
    return sorted([*worst, row], key=lambda row: row.place)[:count]


def _place(matrix: np.ndarray, scheme: LabelScheme) -> tuple[tuple[float, int], str]:
    """(score, minus the wrong pixels) of a photo, and its score in words; NaN takes no place."""
    sky = scheme.sky
    if sky is None:
        value = mean_iou(matrix)
        return (value, int(np.trace(matrix) - matrix.sum())), f"mean IoU {value:.3f}"
    true, predicted = int(matrix[sky].sum()), int(matrix[:, sky].sum())
    wrong = true + predicted - 2 * int(matrix[sky, sky])
    if true + predicted < RANKED_SHARE * matrix.sum():
        return (float("nan"), -wrong), ""
    value = float(iou(matrix)[sky])
    if not true:
        return (value, -wrong), f"no sky, {100 * predicted / matrix.sum():.1f} % called so"
    return (value, -wrong), f"sky IoU {value:.3f}"


def write_results(
    folder: Path,
    evaluation: Evaluation,
    worst: list[WorstPhoto],
    facts: dict[str, Any],
    intervals: dict | None = None,
) -> None:
    """Writes metrics.json, per_class.csv, per_image.csv and plots/ into a folder.

    Args:
      folder: RUN/evaluation/<name>.
      evaluation: the scores.
      worst: the worst first.
      facts: network, input_size, protocol_facts and what else metrics.json shall say.
      intervals: of the scores, see `confidence_intervals`.
    """
    scores = evaluation.scores | facts
    if intervals:
        scores["confidence_intervals"] = intervals
    write_rows(folder / "per_class.csv", evaluation.class_rows(intervals))
    write_rows(folder / "per_image.csv", evaluation.image_rows())
    for name, figure in _figures(evaluation, scores, worst):
        plots.save_figure(figure, folder / "plots" / f"{name}.png")
    write_json(folder / "metrics.json", scores)  # last: a folder without it is unfinished


def _figures(
    evaluation: Evaluation, scores: dict, worst: list[WorstPhoto]
) -> Iterator[tuple[str, Figure]]:
    """(file name, figure) of every plot."""
    scheme, protocol = evaluation.scheme, evaluation.protocol
    title = f"{scores['network']} on {scores['protocol_facts']['data']}"
    ious = np.array(list(scores["iou"].values()))
    yield "iou_scores", plots.plot_iou_scores(ious, scores["mean_iou"], scheme, title, protocol)
    matrix = evaluation.total.matrix
    yield "confusion_matrix", plots.plot_confusion_matrix(matrix, scheme, title, protocol)
    what, values = "mean IoU", evaluation.image_iou()
    if sky := scores.get("sky"):
        of_sky = evaluation.image_sky_iou()
        if not np.isnan(of_sky).all():
            what, values = "sky IoU", of_sky
            outline = (sky["boundary_f"], sky["trimap_iou"], sky["iou"])
            yield "outline", plots_scores.plot_outline(*outline, title, protocol)
        counts, error = evaluation.total.calibration, sky["calibration_error"]
        yield "reliability", plots_scores.plot_reliability(counts, error, title, protocol)
    if not np.isnan(values).all():
        yield "image_iou", plots_scores.plot_image_iou(values, what, title, protocol)
    if worst:
        by = "sky IoU" if sky else "mean IoU"
        heading = f"The {counted(len(worst), 'worst photo')} by {by}: {title}"
        heading += f"\n{wrapped(protocol, 12, 12, 'bold')}"
        pictures = [[getattr(row, key) for row in worst] for key in ("photo", "truth", "pred")]
        captions = [row.caption for row in worst]
        yield "worst", plots.plot_predictions(*pictures, scheme, heading, captions)
