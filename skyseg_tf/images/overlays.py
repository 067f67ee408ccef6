"""Masks in colors, and photos with a mask laid over them."""

import cv2
import numpy as np

from skyseg_tf.labels import LabelScheme

# Over a sky of any hour: no sky is magenta, while Cityscapes' own blue is a clear day's.
SKY_TINT = (255, 0, 150)
_STRIP = 64  # rows that are tinted at once, in the processor's cache


def colorize(mask: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W) class ids and a (256, 3) palette -> (H, W, 3) uint8; ignored pixels are black."""
    return palette[mask]


def overlay(image: np.ndarray, mask: np.ndarray, palette: np.ndarray, alpha=0.5) -> np.ndarray:
    """Lays the mask's colors over the photo; ignored pixels keep the photo's own color.

    Args:
      image: (H, W, 3) uint8.
      mask: (H, W) uint8 class ids, 255 = ignored.
      palette: (256, 3) uint8.
      alpha: weight of the mask's color, 0-1.

    Returns:
      (H, W, 3) uint8.
    """
    mixed = (1 - alpha) * image + alpha * palette[mask]
    return np.where((mask == 255)[..., None], image, mixed.round().astype(np.uint8))


def outline_width(size: tuple[int, int]) -> int:
    """Pixels of an outline that shows as one or two on a screen: 1 below 750 rows, 2 at 1080."""
    return max(1, round(min(size) / 500))


def outline(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask within `width` of what is outside it; a picture's edge is no outside.

    Args:
      mask: (H, W) uint8, 0 and 1.
      width: in pixels.

    Returns:
      (H, W) uint8, 0 and 1.
    """
    return mask - cv2.erode(mask, np.ones((2 * width + 1,) * 2, np.uint8))


def overlay_sky(image: np.ndarray, is_sky: np.ndarray, alpha=0.5) -> np.ndarray:
    """Tints the sky in SKY_TINT and outlines it; all else is the photo.

    Args:
      image: (H, W, 3) uint8.
      is_sky: (H, W) bool.
      alpha: weight of the tint, 0-1; the outline has 1.

    Returns:
      (H, W, 3) uint8.
    """
    sky = np.asarray(is_sky, np.uint8)
    edge = outline(sky, outline_width(sky.shape))
    strip = np.empty_like(image[:_STRIP])
    strip[:] = np.full_like(image[0], SKY_TINT)  # rows are copied faster than three bytes
    out = np.empty_like(image)
    for start in range(0, len(image), _STRIP):
        rows = slice(start, start + _STRIP)
        photo, tinted, tint = image[rows], out[rows], strip[: len(image) - start]
        tinted[:] = photo
        if sky[rows].any():
            cv2.copyTo(cv2.addWeighted(photo, 1 - alpha, tint, alpha, 0), sky[rows], tinted)
            cv2.copyTo(tint, edge[rows], tinted)
    return out


def draw_overlay(image: np.ndarray, ids: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """A photo with its classes over it.

    Args:
      image: (H, W, 3) uint8.
      ids: (H, W) uint8 class ids.
      scheme: of the class ids.

    Returns:
      (H, W, 3) uint8: the sky tinted and outlined where the rest is no class, else all colors.
    """
    if scheme.shows_sky_alone:
        return overlay_sky(image, ids == scheme.sky)
    return overlay(image, ids, scheme.palette)
