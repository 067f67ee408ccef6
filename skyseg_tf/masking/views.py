"""Probabilities at a photo's full size from a network with a working size of its own.

A network sees one or several views of the photo: scaled, mirrored, or cut into windows. The
probabilities of all views are brought to the wanted size and averaged. No TensorFlow here: the
network is any function from pixels to probabilities.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.images import shrink_photo

# (B, H, W, 3) or (B, T, H, W, 3) float32 RGB on 0-255 -> (B, H, W, C) float32 in 0-1.
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Views:
    """How a photo is shown to a network.

    Attributes:
      size: (height, width) to which the photo is brought first; None: the one that the network
        takes photos of its shape at, see `at`.
      scales: factors of `size`; one view each.
      flip: each view mirrored left to right as well.
      window: (height, width) of windows that are moved over each view; None: the whole view.
      overlap: share of a window's side that neighbours have in common, at least; 0 to below 1.
      divisor: the network takes multiples of it.
    """

    size: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    overlap: float = 1 / 3
    divisor: int = 1

    def at(self, size: tuple[int, int]) -> "Views":
        """The same views, of `size` where they have none of their own."""
        return self if self.size else replace(self, size=size)

    def check(self) -> None:
        """Refuses views that no network can be shown.

        Raises:
          InputError: says which setting, and what it may be.
        """
        if not self.scales or min(self.scales) <= 0:
            given = " ".join(f"{scale:g}" for scale in self.scales)
            raise InputError(f"--multi-scale {given}: give one or more above 0, such as 1")
        if not 0 <= self.overlap < 1:
            raise InputError(f"--overlap is {self.overlap}: at least 0 and below 1, please")
        for what, size in (("--image-size", self.size), ("--window", self.window)):
            if size and (min(size) < 1 or size[0] % self.divisor or size[1] % self.divisor):
                raise InputError(
                    f"{what} {size[0]} {size[1]}: the network takes multiples of {self.divisor} above 0"
                )
        if self.window and (self.window[0] > self.size[0] or self.window[1] > self.size[1]):
            raise InputError(
                f"--window {self.window[0]} {self.window[1]} is larger than the view of "
                f"{self.size[0]} x {self.size[1]}; give a larger --image-size"
            )

    def describe(self) -> str:
        """The views in words, without the working size."""
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        text = "single scale" if self.scales == (1.0,) else f"scales {scales}"
        if self.window:
            height, width = self.window
            text += f", windows of {height}x{width} with {100 * self.overlap:.0f} % overlap"
        return text + (", mirrored too" if self.flip else "")

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each view: `size` times its scale, at the nearest multiple."""
        return [
            tuple(
                max(1, round(side * scale / self.divisor)) * self.divisor if scale != 1 else side
                for side in self.size
            )
            for scale in self.scales
        ]

    def mean_size(self, photo: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which views are averaged: the largest one's, at most the photo's."""
        sizes = self.sizes()
        if len(sizes) == 1:
            return sizes[0]
        return tuple(min(side, max(sides)) for side, *sides in zip(photo, *sizes, strict=True))


def predict_probs(
    predict: Predict, image: np.ndarray, views: Views, out_size: tuple[int, int]
) -> np.ndarray:
    """Mean probabilities over all views of one photo.

    Args:
      predict: the network.
      image: (H, W, 3) uint8 RGB, or a clip (T, H, W, 3).
      views: how it is shown.
      out_size: (height, width) of the result.

    Returns:
      (height, width, C) float32 in 0-1. Probabilities are resized bilinearly (pixel centres
      aligned), each view by itself, and then averaged with equal weights.
    """
    total = None
    for size in views.sizes():
        for mirrored in (False, True) if views.flip else (False,):
            frames = image if image.ndim == 4 else image[None]
            shown = np.stack([shrink_photo(frame, size) for frame in frames]).astype(np.float32)
            shown = shown[:, :, ::-1] if mirrored else shown
            probs = _over_windows(predict, shown if image.ndim == 4 else shown[0], views)
            probs = resize_probs(probs[:, ::-1] if mirrored else probs, out_size)
            total = probs if total is None else np.add(total, probs, out=total)
    total /= np.float32(len(views.scales) * (2 if views.flip else 1))
    return total


def resize_probs(probs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) float32 -> (height, width, C) float32, bilinear with aligned pixel centres."""
    if probs.shape[:2] == tuple(size):
        return np.array(probs, np.float32)
    resized = cv2.resize(np.ascontiguousarray(probs), (size[1], size[0]))
    return resized.reshape(*size, probs.shape[-1])  # OpenCV drops a single channel


def _over_windows(predict: Predict, shown: np.ndarray, views: Views) -> np.ndarray:
    """(..., H, W, 3) float32 -> (H, W, C) float32, mean over the windows that see a pixel."""
    height, width = shown.shape[-3:-1]
    if views.window is None:
        return np.asarray(predict(shown[None]))[0]
    window = min(views.window[0], height), min(views.window[1], width)
    total, seen = None, np.zeros((height, width, 1), np.float32)
    for top in _starts(height, window[0], views.overlap):
        for left in _starts(width, window[1], views.overlap):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            probs = np.asarray(predict(shown[None, ..., rows, columns, :]))[0]
            if total is None:
                total = np.zeros((height, width, probs.shape[-1]), np.float32)
            total[rows, columns] += probs
            seen[rows, columns] += 1
    return total / seen


def _starts(length: int, window: int, overlap: float) -> Iterator[int]:
    """Where windows begin: evenly spaced, the first at 0 and the last flush with the end."""
    step = max(1.0, window * (1 - overlap))
    count = int(np.ceil((length - window) / step)) + 1
    return (round(i * (length - window) / max(1, count - 1)) for i in range(count))
