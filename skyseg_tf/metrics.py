"""Scores of masks: everything is a function of one confusion matrix or of two masks.

Truth and prediction are uint8 class ids of one scheme; truth pixels of 255 are left out.

Reference: the evaluation of cityscapesScripts (evaluation/evalPixelLevelSemanticLabeling.py),
to whose integers `confusion_matrix` is equal.
"""

import warnings

import cv2
import numpy as np

from skyseg_tf.labels import IGNORE


def confusion_matrix(truth: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts pixels by true and predicted class.

    Args:
      truth: integer class ids of any shape; 255 is left out.
      pred: integer class ids, same shape, each below num_classes.
      num_classes: C.

    Returns:
      (C, C) int64; rows are truth, columns prediction.

    Raises:
      ValueError: shapes differ, or a counted id is not below num_classes.
    """
    truth, pred = np.asarray(truth), np.asarray(pred)
    if truth.shape != pred.shape:
        raise ValueError(f"truth {truth.shape} and prediction {pred.shape} differ in shape")
    keep = truth != IGNORE
    truth, pred = truth[keep].astype(np.int64), pred[keep].astype(np.int64)
    if truth.size and max(truth.max(), pred.max()) >= num_classes:
        raise ValueError(
            f"class id {max(truth.max(), pred.max())} with {num_classes} classes: "
            "truth and prediction are of another scheme"
        )
    counts = np.bincount(truth * num_classes + pred, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(
        numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0
    )


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class.

    Args:
      matrix: (C, C) confusion matrix.

    Returns:
      (C,) float64 in 0-1; NaN for a class that occurs neither in truth nor in prediction.
    """
    both = np.diag(matrix)
    return _ratio(both, matrix.sum(0) + matrix.sum(1) - both)


def dice(matrix: np.ndarray) -> np.ndarray:
    """Dice coefficient (F1) of each class, (C,) float64; NaN where the class does not occur."""
    return _ratio(2 * np.diag(matrix), matrix.sum(0) + matrix.sum(1))


def mean_iou(matrix: np.ndarray) -> float:
    """Mean of `iou` over the classes that occur in truth or prediction; NaN if none does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an empty matrix has no mean
        return float(np.nanmean(iou(matrix)))


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Share of counted pixels whose class is right; NaN if none is counted."""
    return float(_ratio(np.trace(matrix), matrix.sum()))


def _edges(region: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Pixels of `region` with a valid 4-neighbour outside it; the picture's border is no edge."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outside = (valid & ~region).astype(np.uint8)
    return region & (cv2.dilate(outside, cross, borderValue=0) > 0)


def boundary_counts(
    truth: np.ndarray, pred: np.ndarray, class_id: int = 1, tolerance: float = 2.0
) -> np.ndarray:
    """Matched and all boundary pixels of one class, to be summed over images.

    Args:
      truth: (H, W) uint8 class ids, 255 left out.
      pred: (H, W) uint8 class ids.
      class_id: the class whose outline counts.
      tolerance: distance in pixels within which an outline pixel is matched.

    Returns:
      (4,) int64: predicted pixels matched, predicted, true pixels matched, true.

    Reference: Csurka et al., "What is a good evaluation measure for semantic segmentation?",
      BMVC 2013.
    """
    valid = truth != IGNORE
    true_edge = _edges(valid & (truth == class_id), valid)
    pred_edge = _edges(valid & (pred == class_id), valid)

    def near(edge: np.ndarray) -> np.ndarray:
        if not edge.any():
            return np.zeros(edge.shape, bool)
        distance = cv2.distanceTransform(
            (~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        return distance <= tolerance

    return np.array(
        [
            (pred_edge & near(true_edge)).sum(),
            pred_edge.sum(),
            (true_edge & near(pred_edge)).sum(),
            true_edge.sum(),
        ],
        np.int64,
    )


def boundary_f(counts: np.ndarray) -> float:
    """F score from summed `boundary_counts`; NaN if there is no outline at all."""
    matched_pred, pred, matched_true, true = (float(count) for count in counts)
    if pred + true == 0:
        return float("nan")
    precision = matched_pred / pred if pred else 0.0
    recall = matched_true / true if true else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
