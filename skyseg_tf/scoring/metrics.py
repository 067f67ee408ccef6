"""Scores of masks: everything is a function of one confusion matrix or of two masks.

Truth and prediction are uint8 class ids of one scheme; truth pixels of 255 are left out.

Reference: the evaluation of cityscapesScripts (evaluation/evalPixelLevelSemanticLabeling.py),
to whose integers `confusion_matrix` is equal.
"""

import warnings
from collections.abc import Sequence

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
      ValueError: shapes differ, or a counted id is negative or not below num_classes.
    """
    truth, pred = np.asarray(truth), np.asarray(pred)
    if truth.shape != pred.shape:
        raise ValueError(f"truth {truth.shape} and prediction {pred.shape} differ in shape")
    keep = truth != IGNORE
    truth, pred = truth[keep].astype(np.int64), pred[keep].astype(np.int64)
    for ids in (truth, pred):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            strange = ids.min() if ids.min() < 0 else ids.max()
            raise ValueError(
                f"class id {strange} with {num_classes} classes: truth and prediction are of "
                "another scheme"
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


def _distance(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32: distance to the nearest of `pixels`, infinite where there is none."""
    if not pixels.any():
        return np.full(pixels.shape, np.inf, np.float32)
    return cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def boundary_counts(
    truth: np.ndarray,
    pred: np.ndarray,
    class_id: int = 1,
    tolerance: float | Sequence[float] = 2.0,
) -> np.ndarray:
    """Matched and all boundary pixels of one class, to be summed over images.

    Args:
      truth: (H, W) uint8 class ids, 255 left out.
      pred: (H, W) uint8 class ids.
      class_id: the class whose outline counts.
      tolerance: distance in pixels within which an outline pixel is matched, or n of them.

    Returns:
      (4,) int64, or (n, 4): predicted pixels matched, predicted, true pixels matched, true.

    Reference: Csurka et al., "What is a good evaluation measure for semantic segmentation?",
      BMVC 2013; there F is averaged over photos and classes, here counts are summed, so that a
      long outline weighs more than a short one.
    """
    valid = truth != IGNORE
    true_edge = _edges(valid & (truth == class_id), valid)
    pred_edge = _edges(valid & (pred == class_id), valid)
    from_pred = _distance(true_edge)[pred_edge]
    from_true = _distance(pred_edge)[true_edge]
    counts = [
        [(from_pred <= limit).sum(), from_pred.size, (from_true <= limit).sum(), from_true.size]
        for limit in np.atleast_1d(tolerance)
    ]
    return np.array(counts, np.int64).reshape(*np.shape(tolerance), 4)


def trimap_matrices(
    truth: np.ndarray, pred: np.ndarray, class_id: int, widths: Sequence[float]
) -> np.ndarray:
    """Confusion matrices of one class against the rest, within bands along its true outline.

    Args:
      truth: (H, W) uint8 class ids, 255 left out.
      pred: (H, W) uint8 class ids.
      class_id: the class.
      widths: half widths of the bands in pixels; n of them.

    Returns:
      (n, 2, 2) int64, index 1 is the class; zero where the truth has no outline. `iou` of their
      sum over images is the trimap IoU.

    Reference: Kohli et al., "Robust higher order potentials for enforcing label consistency",
      IJCV 2009, section 6; there the band is of all classes, here of one.
    """
    valid = truth != IGNORE
    inside = truth == class_id
    sides = (_edges(valid & side, valid) for side in (inside, ~inside))
    distance = np.minimum(*map(_distance, sides)) + 0.5  # the outline runs between the pixels
    near = valid & (distance <= max(widths))
    distance = distance[near]
    is_class = (truth[near] == class_id).astype(np.uint8), (pred[near] == class_id).astype(np.uint8)
    bands = [distance <= width for width in widths]
    return np.stack([confusion_matrix(*(side[band] for side in is_class), 2) for band in bands])


def boundary_f(counts: np.ndarray) -> float:
    """F score from summed `boundary_counts`; NaN if there is no outline at all."""
    matched_pred, pred, matched_true, true = (float(count) for count in counts)
    if pred + true == 0:
        return float("nan")
    precision = matched_pred / pred if pred else 0.0
    recall = matched_true / true if true else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def calibration_counts(
    truth: np.ndarray, prob: np.ndarray, class_id: int = 1, bins: int = 15
) -> np.ndarray:
    """What a reliability curve is drawn from, to be summed over images.

    Args:
      truth: (H, W) uint8 class ids, 255 left out.
      prob: (H, W) float, the predicted probability of the class, in 0-1.
      class_id: the class.
      bins: number of equal intervals of probability; 1.0 belongs to the last one.

    Returns:
      (bins, 3) float64: pixels, sum of their probabilities, how many of them are of the class.
      Pixel counts below 2 ** 53 are exact.
    """
    keep = truth != IGNORE
    values = prob[keep].astype(np.float64)
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    is_class = (truth[keep] == class_id).astype(np.float64)
    weights = (None, values, is_class)
    return np.stack([np.bincount(place, w, minlength=bins) for w in weights], 1).astype(np.float64)


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error from summed `calibration_counts`; NaN if no pixel is counted.

    The mean over pixels of |mean probability - share of the class| of their interval, in 0-1.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3; there
      of the most likely class, here of one class's probability.
    """
    pixels, probs, of_class = counts.T
    return float(_ratio(np.abs(probs - of_class).sum(), pixels.sum()))


def group_iou(matrix: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Intersection over union of groups of classes, within which confusions count as right.

    Args:
      matrix: (C, C) confusion matrix.
      groups: class ids of each group; a class outside all of them still counts as an error.

    Returns:
      (G,) float64 in 0-1; NaN for a group that occurs neither in truth nor in prediction.
    """
    groups = [list(group) for group in groups]
    both = np.array([matrix[np.ix_(group, group)].sum() for group in groups], np.int64)
    either = [matrix[group].sum() + matrix[:, group].sum() for group in groups]
    return _ratio(both, np.array(either, np.int64) - both)
