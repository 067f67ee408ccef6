"""Scores of a network on a stream of pairs: the quick look after a training.

`skyseg evaluate` gives the full account, see evaluation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skyseg_tf.labels import LabelScheme, class_ids
from skyseg_tf.scoring import metrics

if TYPE_CHECKING:
    import keras  # a network is all that is needed of it

BOUNDARY_TOLERANCE = 2.0  # pixels at the size of the records


@dataclass(frozen=True)
class Scores:
    """Sums over a split, from which every score follows.

    Attributes:
      matrix: (C, C) int64 confusion matrix, rows are truth.
      boundary: (4,) int64, see metrics.boundary_counts; over the scheme's shown classes.
      scheme: the classes.
      protocol: what was compared with what.
    """

    matrix: np.ndarray
    boundary: np.ndarray
    scheme: LabelScheme
    protocol: str

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        text, sky = f"mean IoU {metrics.mean_iou(self.matrix):.4f}", self.scheme.sky
        return text if sky is None else f"{text}, sky IoU {metrics.iou(self.matrix)[sky]:.4f}"

    def as_dict(self) -> dict:
        """What metrics.json holds."""
        names = self.scheme.class_names
        return {
            "protocol": self.protocol,
            "iou": dict(zip(names, metrics.iou(self.matrix).tolist(), strict=True)),
            "mean_iou": metrics.mean_iou(self.matrix),
            "pixel_accuracy": metrics.pixel_accuracy(self.matrix),
            "dice": dict(zip(names, metrics.dice(self.matrix).tolist(), strict=True)),
            "boundary_f": metrics.boundary_f(self.boundary),
            "boundary_tolerance_pixels": BOUNDARY_TOLERANCE,
            "confusion_matrix": self.matrix.tolist(),
        }


def class_table(matrix: np.ndarray, scheme: LabelScheme) -> str:
    """The IoU of each class for a terminal, and their mean.

    Args:
      matrix: (C, C) confusion matrix, rows are truth.
      scheme: the classes.

    Returns:
      A line per class: its IoU, "-" where it is neither labeled nor predicted and so no part of
      the mean, and its share of the labeled pixels.
    """
    shares = matrix.sum(1) / max(matrix.sum(), 1)
    rows = list(zip(scheme.class_names, metrics.iou(matrix), shares, strict=True))
    width = max(len(name) for name in (*scheme.class_names, "class"))
    lines = [f"{'class':<{width}}     IoU   share of pixels"]
    for name, value, share in [*rows, ("mean", metrics.mean_iou(matrix), None)]:
        shown = "-" if np.isnan(value) else f"{value:.4f}"
        part = "" if share is None else f"{share:18.2%}"
        lines.append(f"{name:<{width}}{shown:>8}{part}")
    return "\n".join(lines)


def predict_masks(network: "keras.Model", images: np.ndarray) -> np.ndarray:
    """Class ids from normalized images.

    Args:
      network: of models.build_model.
      images: (B, H, W, 3) or clips (B, T, H, W, 3), normalized float32.

    Returns:
      (B, H, W) uint8; for one logit 1 where it is at least 0, else the class of the largest logit.
    """
    logits = network.predict_on_batch(images)["logits"]
    return class_ids(logits, threshold=0)


def score(network: "keras.Model", pairs: Iterable, scheme: LabelScheme, protocol: str) -> Scores:
    """Runs a network over batches of (images, masks).

    Args:
      network: of models.build_model.
      pairs: batches as of data.pipeline.make_dataset.
      scheme: the masks' classes.
      protocol: said beside every figure.
    """
    matrix = np.zeros((scheme.num_classes,) * 2, np.int64)
    boundary = np.zeros(4, np.int64)
    for images, masks in pairs:
        truths = np.asarray(masks)
        preds = predict_masks(network, np.asarray(images))
        matrix += metrics.confusion_matrix(truths, preds, scheme.num_classes)
        for truth, pred in zip(truths, preds, strict=True):
            present = set(np.unique(truth)) | set(np.unique(pred))
            for class_id in present.intersection(scheme.shown_classes):
                boundary += metrics.boundary_counts(truth, pred, class_id, BOUNDARY_TOLERANCE)
    return Scores(matrix, boundary, scheme, protocol)
