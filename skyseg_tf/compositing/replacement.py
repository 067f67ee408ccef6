"""A new sky behind what is not sky, and its light on the rest."""

import io

import cv2
import numpy as np
from PIL import Image, ImageCms

from skyseg_tf.compositing.backdrop import make_backdrop
from skyseg_tf.compositing.matting import sky_matte
from skyseg_tf.masking.prediction import Prediction

_SPREAD = (0.6, 1.6)  # bounds of the change of contrast: beyond, noise or posters come out


def in_profile(image: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """The same colors in the numbers of another ICC profile.

    Args:
      image: (H, W, 3) uint8.
      source: its profile; None is sRGB.
      target: the wanted one; None is sRGB.

    Returns:
      (H, W, 3) uint8; the image itself where the profiles are the same or one of them is damaged,
      as viewers then take the numbers as they are.
    """
    if source == target:
        return image
    try:
        profiles = [
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile
            else ImageCms.createProfile("sRGB")
            for profile in (source, target)
        ]
        return np.asarray(ImageCms.profileToProfile(Image.fromarray(image), *profiles))
    except (ImageCms.PyCMSError, OSError):
        return image


def compose(
    prediction: Prediction, other: np.ndarray, sure: np.ndarray, strength: float
) -> np.ndarray:
    """Lays a new sky behind what is not sky.

    Args:
      prediction: of the photo, with `sky` refined.
      other: (h, w, 3) uint8, the photo that the new sky comes from.
      sure: (h, w) bool, where that shows sky; not empty.
      strength: of the color match, 0-1.

    Returns:
      (H, W, 3) uint8. In half-covered pixels the old sky's color is taken out before the new one
      comes in, so that no old sky shines round branches.
    """
    alpha, front = sky_matte(prediction.image, prediction.sky)
    backdrop = make_backdrop(other, sure, alpha > 0)
    front = match_colors(front, 1 - alpha, backdrop, strength)
    mixed = front + alpha[..., None] * (backdrop - front)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def match_colors(
    front: np.ndarray, weight: np.ndarray, backdrop: np.ndarray, strength: float
) -> np.ndarray:
    """Moves mean and spread of the front's colors towards those of the new sky, in Lab.

    Args:
      front: (H, W, 3) float32 0-255.
      weight: (H, W) in 0-1, which pixels count as front.
      backdrop: (H, W, 3) float32 0-255.
      strength: 0-1. Lightness follows at half of it: a landscape is not as bright as its sky.

    Returns:
      (H, W, 3) float32 0-255.

    Reference: Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001; in CIE Lab, and
      only a part of the way.
    """
    if strength == 0:
        return front
    lab = cv2.cvtColor(front / np.float32(255), cv2.COLOR_RGB2Lab)
    target = cv2.cvtColor(backdrop / np.float32(255), cv2.COLOR_RGB2Lab)
    mean, std = _moments(lab, weight)
    wanted_mean, wanted_std = _moments(target, np.ones_like(weight))
    share = strength * np.array([0.5, 1, 1], np.float32)
    gain = np.clip(wanted_std / np.maximum(std, 1e-3), *_SPREAD)
    # Contrast is the front's own; of its colors' spread and of all means a part is taken over.
    gain = 1 + share * np.array([0, 0.5, 0.5], np.float32) * (gain - 1)
    moved = (lab - mean) * gain + mean + share * 0.5 * (wanted_mean - mean)
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1) * 255


def _moments(lab: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = max(float(weight.sum()), 1.0)
    mean = np.einsum("hwc,hw->c", lab, weight) / total
    square = np.einsum("hwc,hw->c", (lab - mean) ** 2, weight) / total
    return mean.astype(np.float32), np.sqrt(square).astype(np.float32)
