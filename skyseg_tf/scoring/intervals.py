"""How far an evaluation's scores may be off by the choice of its photos: bootstrap intervals."""

from collections.abc import Sequence

import numpy as np

from skyseg_tf.labels import LabelScheme
from skyseg_tf.scoring import metrics
from skyseg_tf.scoring.evaluation import BOUNDARY_TOLERANCES, Evaluation, mean_of

CONFIDENCE = 0.95


def confidence_intervals(evaluation: Evaluation, resamples: int, seed: int = 0) -> dict:
    """Bootstrap intervals: the photos are drawn again with replacement.

    Args:
      evaluation: the photos' counts.
      resamples: how often.
      seed: of the draws.

    Returns:
      level, resamples, seed, and [low, high] of mean_iou, pixel_accuracy, of each class in iou,
      and of sky in boundary_f. They speak of other photos of the same kind, not of another
      training.

    Reference: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13
    (percentile intervals).
    """
    images, scheme = evaluation.images, evaluation.scheme
    count = len(images)
    draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, resamples)

    def resampled(key: str) -> np.ndarray:
        stacked = np.stack([getattr(image, key).ravel() for image in images])
        return draws @ stacked  # int64: exact

    matrices = resampled("matrix").reshape(-1, scheme.num_classes, scheme.num_classes)
    ious = np.array([metrics.iou(matrix) for matrix in matrices])
    intervals = {
        "level": CONFIDENCE,
        "resamples": resamples,
        "seed": seed,
        "mean_iou": _interval([mean_of(row) for row in ious]),
        "pixel_accuracy": _interval([metrics.pixel_accuracy(matrix) for matrix in matrices]),
        "iou": {
            name: _interval(column) for name, column in zip(scheme.class_names, ious.T, strict=True)
        },
    }
    if scheme.sky is not None:
        boundary = resampled("boundary").reshape(resamples, -1, 4)
        intervals["boundary_f"] = {
            f"{limit:g}": _interval([metrics.boundary_f(counts) for counts in boundary[:, i]])
            for i, limit in enumerate(BOUNDARY_TOLERANCES)
        }
    return intervals


def intervals_in_words(intervals: dict, scheme: LabelScheme) -> str:
    """One line for the terminal: those of the mean IoU and of the sky."""
    shown = {"mean IoU": intervals["mean_iou"]}
    if scheme.sky is not None:
        shown["sky IoU"] = intervals["iou"][scheme.class_names[scheme.sky]]
        shown["boundary F at 2 px"] = intervals["boundary_f"]["2"]
    ends = (f"{what} {low:.4f} to {high:.4f}" for what, (low, high) in shown.items())
    level, resamples = intervals["level"], intervals["resamples"]
    return f"{level:.0%} of {resamples} resamples of the photos: {', '.join(ends)}"


def _interval(values: Sequence[float]) -> list[float]:
    """The middle CONFIDENCE of resampled scores."""
    kept = np.array(values)[~np.isnan(values)]
    if not kept.size:
        return [float("nan")] * 2
    tail = 50 * (1 - CONFIDENCE)
    return np.percentile(kept, [tail, 100 - tail]).tolist()
