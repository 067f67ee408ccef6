"""How far two runtimes of the same network are apart, and how far they may be."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.masking.runtime import class_ids
from skyseg_tf.scoring import metrics


@dataclass(frozen=True)
class Agreement:
    """Two runtimes on the same photos.

    Attributes:
      max_dp: largest difference of a probability, 0-1.
      mean_dp: mean absolute difference of the probabilities, 0-1.
      changed: share of pixels that got another class, 0-1.
      iou: of the sky masks of both (their mean over the classes for several); 1 where neither
        of them shows any.
    """

    max_dp: float
    mean_dp: float
    changed: float
    iou: float

    def __str__(self) -> str:
        """One line for the terminal."""
        return (
            f"max |dp| {self.max_dp:.2g}, mean |dp| {self.mean_dp:.2g}, "
            f"pixels changed {100 * self.changed:.3f} %, IoU {self.iou:.4f}"
        )


# What an export may differ from the Keras model on the photos of the val split. float32 kernels sum
# in another order. float16 has 11 bits. With eight, single pixels at an edge may flip altogether,
# so that only their number can be limited.
LIMITS: dict[str, Agreement] = {
    "f32": Agreement(max_dp=2e-3, mean_dp=1e-4, changed=0.0005, iou=0.999),
    "f16": Agreement(max_dp=0.1, mean_dp=2e-3, changed=0.003, iou=0.99),
    "int8": Agreement(max_dp=1.0, mean_dp=0.02, changed=0.015, iou=0.95),
}


def agreement(pairs: Iterable[tuple[np.ndarray, np.ndarray]], threshold: float = 0.5) -> Agreement:
    """Compares probabilities.

    Args:
      pairs: (wanted, given), each (B, H, W, C) in 0-1; sizes may differ from pair to pair.
      threshold: probability from which a pixel is sky, for C = 1.
    """
    largest, total, values, matrix = 0.0, 0.0, 0, None
    for wanted, given in pairs:
        difference = np.abs(np.asarray(wanted, np.float64) - given)
        # NaN compares with nothing: it must not pass as agreement.
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max()))
        total, values = total + difference.sum(), values + difference.size
        classes = max(2, wanted.shape[-1])
        ids = class_ids(wanted, threshold), class_ids(given, threshold)
        counts = metrics.confusion_matrix(*ids, classes)
        matrix = counts if matrix is None else matrix + counts
    ious = metrics.iou(matrix)
    ious = ious[1:] if len(ious) == 2 else ious
    return Agreement(
        max_dp=largest,
        mean_dp=total / values,
        changed=1 - metrics.pixel_accuracy(matrix),
        iou=1.0 if np.isnan(ious).all() else float(np.nanmean(ious)),
    )


def check_agreement(measured: Agreement, limits: Agreement, where: object) -> None:
    """Refuses what lies outside the limits.

    Args:
      measured: how far the two are apart.
      limits: the most, or of the IoU the least; see LIMITS.
      where: the export, for the message.

    Raises:
      InputError: says which figure, and its limit.
    """
    checks = {
        f"max |dp| {measured.max_dp:.2g} above {limits.max_dp:g}": measured.max_dp <= limits.max_dp,
        f"mean |dp| {measured.mean_dp:.2g} above {limits.mean_dp:g}": measured.mean_dp
        <= limits.mean_dp,
        f"{100 * measured.changed:.3g} % of the pixels changed, above {100 * limits.changed:g} %": (
            measured.changed <= limits.changed
        ),
        f"IoU {measured.iou:.4f} below {limits.iou:g}": measured.iou >= limits.iou,
    }
    wrong = [text for text, holds in checks.items() if not holds]
    if wrong:
        raise InputError(
            f"{where}: disagrees with the Keras model and was not kept: {'; '.join(wrong)}; "
            "choose another --precision or --format"
        )
