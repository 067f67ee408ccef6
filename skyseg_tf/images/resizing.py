"""Other sizes of photos and masks."""

import cv2
import numpy as np


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W, C) uint8 to size: by area mean when shrinking, else bilinear."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)


def shrink_photo(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a photo for a network's eyes: `resize_image`, three times as fast for large ones.

    Halves are by far the fastest area means. They are taken as long as the sides can be halved and
    twice the size is left, so that the last step still weighs pixels by their share. Against one
    area mean values differ by their rounding, a level or two of 255.

    Args:
      image: (H, W, 3) uint8.
      size: (height, width).
    """
    height, width = image.shape[:2]
    while height >= 4 * size[0] and width >= 4 * size[1] and height % 2 == width % 2 == 0:
        height, width = height // 2, width // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resize_image(image, size)


def size_of_height(height: int, photo: tuple[int, int], divisor: int = 32) -> tuple[int, int]:
    """(height, width) of about a photo's aspect; the width is the nearest multiple of divisor."""
    return height, max(1, round(height * photo[1] / photo[0] / divisor)) * divisor


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W) uint8 class ids to size by nearest neighbour at pixel centres."""
    if mask.shape[:2] == tuple(size):
        return mask
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
