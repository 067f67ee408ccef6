"""Instance-weighted IoU (iIoU) of Cityscapes: small cars count as much as large ones.

A pixel of an instance is weighted by (mean size of its class) / (size of the instance), so that
the score does not belong to the nearest cars alone. False positives have no instance and are not
weighted.

Reference: cityscapesScripts, evaluation/evalPixelLevelSemanticLabeling.py, to whose counts these
are equal; Cordts et al., CVPR 2016, section 4.1.
"""

from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files import read_bytes
from skyseg_tf.images import decode_values
from skyseg_tf.labels import CITYSCAPES_LABELS, IGNORE, LabelScheme, class_id_table

# Pixels of a mean instance in the train split, from cityscapesScripts (args.avgClassSize).
MEAN_SIZE = {
    "bicycle": 4672.3249222261,
    "caravan": 36771.8241758242,
    "motorcycle": 6298.7200839748,
    "rider": 3930.4788056518,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "car": 12794.0202738185,
    "person": 3462.4756337644,
    "truck": 27855.1264367816,
    "trailer": 16926.9763313609,
}
_BY_ID = {label.id: label for label in CITYSCAPES_LABELS}


def instance_classes(scheme: LabelScheme) -> list[int]:
    """Class ids all of whose Cityscapes labels have instances."""
    countable = {label.name for label in CITYSCAPES_LABELS if label.has_instances}
    return [i for i, names in enumerate(scheme.members) if countable.issuperset(names)]


def instance_categories(scheme: LabelScheme) -> dict[str, list[int]]:
    """Class ids of each category all of whose classes have instances."""
    countable = set(instance_classes(scheme))
    return {name: ids for name, ids in scheme.categories.items() if countable.issuperset(ids)}


def read_instances(mask_path: str | Path) -> np.ndarray | None:
    """The instanceIds beside a mask file.

    Args:
      mask_path: e.g. ".../ulm_000000_000019_gtFine_labelIds.png".

    Returns:
      (H, W) int32: labelId * 1000 + number for a countable object, else the labelId; None where
      there is no such file.

    Raises:
      InputError: the file is damaged or has several channels.
    """
    before, mark, _ = str(mask_path).rpartition("_gtFine_")
    if not mark:
        return None
    path = f"{before}_gtFine_instanceIds.png"
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return None
    stored = decode_values(content, path)
    if stored.ndim != 2:
        raise InputError(
            f"{path}: {stored.shape[-1]} channels; instanceIds have one of 16 bit: get it again"
        )
    return stored.astype(np.int32)


def instance_counts(
    instances: np.ndarray, pred: np.ndarray, scheme: LabelScheme
) -> tuple[np.ndarray, np.ndarray]:
    """Found and missed pixels of all instances, to be summed over images.

    Args:
      instances: (H, W) int, see `read_instances`.
      pred: (H, W) uint8 class ids.
      scheme: the classes of `pred`.

    Returns:
      Two float64 arrays (C, 4): by class, and by class again but with every class of the same
      category taken as right. Columns: pixels found, missed, weighted found, weighted missed.
      Rows of classes without instances are 0. Pixel counts are exact.

    Raises:
      InputError: an instance of no Cityscapes label.
    """
    by_class, by_category = np.zeros((2, scheme.num_classes, 4))
    countable = set(instance_classes(scheme))
    inside = instances > 1000
    ids, place, sizes = np.unique(instances[inside], return_inverse=True, return_counts=True)
    if not ids.size:
        return by_class, by_category
    if unknown := sorted(set((ids // 1000).tolist()) - _BY_ID.keys()):
        raise InputError(
            f"instanceIds: no Cityscapes label {unknown[0]} (label * 1000 + number); mend the file"
        )
    classes = class_id_table("labelIds", scheme)[ids // 1000]  # (n,) class of each instance
    category = _category_of_class(scheme)
    found_pred, true = pred[inside], classes[place]
    found = np.bincount(place, found_pred == true)
    found_category = np.bincount(place, category[found_pred] == category[true])
    for i, class_id in enumerate(classes.tolist()):
        if class_id not in countable:
            continue
        weight = MEAN_SIZE[_BY_ID[int(ids[i]) // 1000].name] / sizes[i]
        for counts, hit in ((by_class, found[i]), (by_category, found_category[i])):
            counts[class_id] += (hit, sizes[i] - hit, hit * weight, (sizes[i] - hit) * weight)
    return by_class, by_category


def _category_of_class(scheme: LabelScheme) -> np.ndarray:
    """(256,) uint8: class id -> number of its category."""
    category = np.full(256, IGNORE, np.uint8)
    for number, group in enumerate(scheme.categories.values()):
        category[group] = number
    return category


def instance_iou(
    matrix: np.ndarray, counts: np.ndarray, groups: dict[str, list[int]]
) -> dict[str, float]:
    """iIoU of groups of classes.

    Args:
      matrix: (C, C) int64 confusion matrix of the same images.
      counts: (C, 4), the summed first result of `instance_counts` for groups of single classes,
        the second for categories.
      groups: name -> class ids.

    Returns:
      name -> iIoU; NaN where neither instances nor false positives occur.
    """
    scores = {}
    for name, group in groups.items():
        found, missed = counts[group, 2].sum(), counts[group, 3].sum()
        false = matrix[:, group].sum() - matrix[np.ix_(group, group)].sum()
        total = found + missed + false
        scores[name] = float(found / total) if total else float("nan")
    return scores
