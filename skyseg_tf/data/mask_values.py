"""What a mask says of its encoding: by its name, and by the values in it."""

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from skyseg_tf.data.layouts import MASK_KINDS
from skyseg_tf.errors import InputError
from skyseg_tf.images import read_mask
from skyseg_tf.labels import IGNORE, single_channel, values_of

DUMMY_VALUES = {0, 1, 2, 3}  # unlabeled, ego vehicle, rectification border, out of roi


def claimed_encoding(mask_path: str) -> str | None:
    """The encoding that a mask's file name claims, or None."""
    match = re.search(r"_(?:gtFine_(\w+)|(label(?:Train)?Ids))\.\w+$", mask_path)
    return MASK_KINDS.get(match[1] or match[2]) if match else None


def belied_by(mask_path: str, values: set[int] | None) -> str | None:
    """How the values in a mask belie its file name, in words; None if they do not.

    Args:
      mask_path: its path.
      values: the values in it, or None for a color mask.
    """
    if claimed_encoding(mask_path) != "labelIds" or not values or IGNORE not in values:
        return None
    if values <= {0, 128, IGNORE}:
        return f"holds only {some_of(values)}, as if it were overwritten by a sky mask"
    # Label ids have no 255, and what train ids make it of is a part of nearly every photo.
    if max(values - {IGNORE}) <= max(values_of("trainIds") - {IGNORE}):
        return f"holds {some_of(values)}, which are train ids"
    return None


def is_dummy(mask_path: str, values: set[int] | None) -> bool:
    """Whether a mask of Cityscapes' secret test split is the placeholder that is published.

    Args:
      mask_path: its path.
      values: the values in it, or None for a color mask.
    """
    kind = claimed_encoding(mask_path)
    return kind == "labelIds" and values is not None and values <= DUMMY_VALUES


def evenly(items: list, count: int) -> list:
    """At most `count` of the items, evenly spaced over the list."""
    picks = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[pick] for pick in picks]


def mask_values(mask: np.ndarray) -> set[int] | None:
    """The values in an (H, W) mask, None for a color mask (H, W, 3).

    A black picture of three channels may be either, and gives the empty set.
    """
    if mask.ndim == 3 and not mask.any():
        return set()
    mask = single_channel(mask)
    if mask.ndim == 3:
        return None
    return set(np.flatnonzero(cv2.calcHist([mask], [0], None, [256], [0, 256])).tolist())


def read_values(paths: list[str]) -> dict[str, set[int] | None]:
    """Path -> values in that mask; unreadable masks are left to whoever needs their pixels."""

    def values(path: str) -> tuple[str, set[int] | None] | None:
        try:
            return path, mask_values(read_mask(path))
        except (InputError, OSError):
            return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(filter(None, pool.map(values, paths)))


def some_of(values: Iterable[int]) -> str:
    """Values for a message: the smallest ones, where there are many."""
    values = sorted(values)
    return ", ".join(map(str, values[:12])) + (" ..." if len(values) > 12 else "")
