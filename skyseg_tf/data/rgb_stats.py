"""Mean and standard deviation of a dataset's colors, exact and in one pass.

Sums of uint8 values and of their squares are integers, so they are added as integers: nothing is
rounded until the last division, whatever the order and number of the workers.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import cv2
import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.images import read_image, resize_image

_EXACT = 1 << 24  # pixels that OpenCV counts without rounding: it counts in float32
_KEYS = ("R_MEAN", "G_MEAN", "B_MEAN", "R_STD", "G_STD", "B_STD")
_ADVICE = "give what load_image_rgb_data(path) reads from the rgb_stats.json of `skyseg build`"


@dataclass(frozen=True)
class RgbSums:
    """Exact sums over pixels: per channel of the values and of their squares."""

    pixels: int = 0
    values: tuple[int, int, int] = (0, 0, 0)
    squares: tuple[int, int, int] = (0, 0, 0)

    def __add__(self, other: "RgbSums") -> "RgbSums":
        """Sums of both sets of pixels."""
        return RgbSums(
            self.pixels + other.pixels,
            tuple(a + b for a, b in zip(self.values, other.values, strict=True)),
            tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
        )


def sum_image(image: np.ndarray) -> RgbSums:
    """RgbSums of one (..., 3) uint8 array, by its histograms: four times as fast as from its values."""
    pixels, levels = image.reshape(-1, 1, 3), np.arange(256)
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(pixels), _EXACT):
        part = pixels[start : start + _EXACT]
        for channel, count in enumerate(counts):
            count += cv2.calcHist([part], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
    values, squares = counts @ levels, counts @ levels**2
    return RgbSums(len(pixels), tuple(values.tolist()), tuple(squares.tolist()))


def rgb_stats(sums: RgbSums) -> dict[str, float]:
    """Population mean and standard deviation on the 0-255 scale.

    Returns:
      {"R_MEAN", "G_MEAN", "B_MEAN", "R_STD", "G_STD", "B_STD"}: float. A channel that never
      varies gets the standard deviation 1, so that normalizing by it is defined.

    Raises:
      InputError: no pixels were summed.
    """
    n = sums.pixels
    if not n:
        raise InputError(
            "no pixels to take statistics of: the train split is empty; give it photos"
        )
    means = [value / n for value in sums.values]
    # n*sum(x^2) - sum(x)^2 is exact in integers; only the root and the division round.
    stds = [
        math.sqrt(n * square - value * value) / n
        for value, square in zip(sums.values, sums.squares, strict=True)
    ]
    return dict(zip(_KEYS, means + [std or 1.0 for std in stds], strict=True))


def compute_rgb_stats(
    paths: Iterable[str | Path], size: tuple[int, int] | None = None, workers: int | None = None
) -> dict[str, float]:
    """Statistics of photos on disk.

    Args:
      paths: image files; only a few are in memory at a time.
      size: (height, width) to which each is brought first, as the records are; None: as it is.
      workers: threads; default: all cores.

    Returns:
      See `rgb_stats`.
    """

    def one(path: str | Path) -> RgbSums:
        image = read_image(path)
        return sum_image(resize_image(image, size) if size else image)

    total = RgbSums()
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for sums in pool.map(one, paths):
            total += sums
    return rgb_stats(total)


def write_rgb_stats(path: str | Path, stats: dict, **facts: object) -> None:
    """Writes rgb_stats.json: the six numbers, then any further facts (source, count)."""
    with write_aside(path) as aside:
        aside.write_text(json.dumps({key: stats[key] for key in _KEYS} | facts, indent=2) + "\n")


def read_rgb_stats(path: str | Path) -> dict[str, float]:
    """Reads rgb_stats.json; further keys in it are left out.

    Raises:
      FileNotFoundError: no such file.
      InputError: not JSON, or not six such numbers (see `check_rgb_stats`).
    """
    advice = "give the rgb_stats.json of `skyseg build`"
    return check_rgb_stats(read_object(path, advice), str(path), advice)


def check_rgb_stats(stats: object, where: str, advice: str = _ADVICE) -> dict[str, float]:
    """The six numbers, where they can be normalized by.

    Args:
      stats: anything.
      where: what it is, for the error message.
      advice: what to do about a wrong one, likewise.

    Returns:
      A new dict of the six numbers as float, without any further keys.

    Raises:
      InputError: no dict, a key is missing, no finite number, a mean outside 0-255, a standard
        deviation that is not positive, or all six on the scale 0-1.
    """
    if not isinstance(stats, Mapping):
        raise InputError(
            f"{where} is no dict of {', '.join(_KEYS)} but {str(stats)[:80]!r}; {advice}"
        )
    numbers = {}
    for key in _KEYS:
        if key not in stats:
            raise InputError(f"{where}: {key} is missing; {advice}")
        value, least = stats[key], 0.0 if key.endswith("MEAN") else 1e-6
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not least <= value <= 255:
            kind = "mean" if key.endswith("MEAN") else "standard deviation"
            raise InputError(
                f"{where}: {key} is {str(value)[:40]!r}, no {kind} on the scale 0-255; {advice}"
            )
        numbers[key] = float(value)
    if max(numbers.values()) < 1:
        raise InputError(
            f"{where}: all six numbers are below 1, so they are on the scale 0-1; multiply them by "
            "255"
        )
    return numbers


def mean_and_std(stats: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Two (3,) float32 arrays, R G B."""
    return tuple(
        np.array([stats[f"{channel}_{what}"] for channel in "RGB"], np.float32)
        for what in ("MEAN", "STD")
    )


def normalize(image: np.ndarray, stats: dict[str, float]) -> np.ndarray:
    """(x - mean) / std of (..., 3) uint8 or float on 0-255 -> float32.

    The division is a multiplication by the float32 reciprocal, as TensorFlow's graph optimizer
    makes of it anyway: so numpy and tf.data agree to the bit.
    """
    mean, std = mean_and_std(stats)
    if image.dtype == np.uint8 and image.ndim == 3:  # 256 values a channel, ten times as fast
        levels = np.arange(256, dtype=np.float32)[None, :, None]
        return cv2.LUT(image, (levels - mean) * (np.float32(1) / std))
    return (image.astype(np.float32) - mean) * (np.float32(1) / std)


def denormalize(image: np.ndarray, stats: dict[str, float]) -> np.ndarray:
    """Inverts `normalize`: (..., 3) float32 -> uint8, exact for values that came from uint8."""
    width = image.shape[-2] if image.ndim > 1 else 1
    # Rows, for numpy is slow in broadcasting three values over pixels.
    mean, std = (np.tile(values, width) for values in mean_and_std(stats))
    rows = image.reshape(-1, 3 * width) * std
    rows += mean
    np.clip(np.rint(rows, rows), 0, 255, rows)
    return rows.astype(np.uint8).reshape(image.shape)
