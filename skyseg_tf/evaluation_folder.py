"""What an evaluation leaves in RUN/evaluation/<name>.

metrics.json    every score, with the protocol; written last
per_class.csv   one row per class and category
per_image.csv   one row per photo
plots/
report.html     see report
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from skyseg_tf import plots, plots_scores
from skyseg_tf.image_scores import Evaluation
from skyseg_tf.runs import write_history, write_json


def write_results(
    folder: Path, evaluation: Evaluation, worst: list, facts: dict[str, Any], bootstrap: int = 0
) -> None:
    """Writes metrics.json, per_class.csv, per_image.csv and plots/ into a folder.

    Args:
      folder: RUN/evaluation/<name>.
      evaluation: the scores.
      worst: rows of (IoU, name, photo, truth, pred), worst first.
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


def _figures(evaluation: Evaluation, scores: dict, worst: list) -> Iterator[tuple[str, Figure]]:
    """(file name, figure) of every plot."""
    scheme, protocol = evaluation.scheme, evaluation.protocol
    title = f"{scores['network']} on {scores['protocol_facts']['data']}"
    yield (
        "iou_scores",
        plots.plot_iou_scores(
            np.array(list(scores["iou"].values())), scores["mean_iou"], scheme, title,
            plots_scores.wrapped(protocol, 110),
        ),
    )  # fmt: skip
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
        marks, names, photos, truths, preds = zip(*worst, strict=True)
        captions = [f"{n}: {what} {v:.3f}" for n, v in zip(names, marks, strict=True)]
        heading = f"The {len(worst)} worst photos by {what}\n{plots_scores.wrapped(protocol, 110)}"
        yield (
            "worst",
            plots.plot_predictions(photos, truths, preds, scheme, heading, captions),
        )
