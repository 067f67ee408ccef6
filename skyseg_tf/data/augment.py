"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are float32 on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated
alike; masks uint8 (H, W). The same seed gives the same result. Geometry moves image and mask in
one call, the mask by nearest neighbour; what comes in from outside the picture is ignored (255).
"""

import numpy as np
import tensorflow as tf

from skyseg_tf.labels import IGNORE

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def _uniform(seed: tf.Tensor, salt: int, low: float, high: float, shape: tuple = ()) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed + tf.constant([0, salt * 1_000_003]), low, high)


def warp(
    image: tf.Tensor,
    mask: tf.Tensor,
    *,
    scale: tf.Tensor,
    shift: tf.Tensor,
    angle: tf.Tensor,
    flip: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scales, turns, mirrors and shifts image and mask about the picture's center.

    Args:
      image: (T, H, W, 3) float32.
      mask: (H, W) uint8.
      scale: above 1 enlarges.
      shift: (2,) down and right, in pixels of the result.
      angle: radians, counter-clockwise.
      flip: bool, left to right.

    Returns:
      The same shapes; the image is black and the mask 255 outside the source.
    """
    height, width = image.shape[-3], image.shape[-2]
    center_y, center_x = (height - 1) / 2, (width - 1) / 2
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    mirror = tf.where(flip, -1.0, 1.0)
    # Output (x, y) -> source: mirror * R(angle) / scale * ((x, y) - center - shift) + center.
    a, b = mirror * cosine, -mirror * sine
    down, right = shift[0] + center_y, shift[1] + center_x
    transform = [a, b, center_x - a * right - b * down]
    transform += [sine, cosine, center_y - sine * right - cosine * down, 0.0, 0.0]
    transforms = tf.cast(tf.stack(transform), tf.float32)[None]

    def apply(pictures: tf.Tensor, method: str, fill: float) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=transforms,
            output_shape=[height, width],
            fill_value=fill,
            interpolation=method,
            fill_mode="CONSTANT",
        )

    warped = apply(image, "BILINEAR", 0.0)
    warped.set_shape(image.shape)
    moved = apply(mask[None, ..., None], "NEAREST", float(IGNORE))[0, ..., 0]
    moved.set_shape(mask.shape)
    return warped, moved


def gamma(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """255 * (x / 255) ** value."""
    return 255.0 * (tf.clip_by_value(image, 0.0, 255.0) / 255.0) ** value


def saturation(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Moves colors away from their luma (value > 1) or towards it (value < 1)."""
    grey = tf.tensordot(image, _LUMA, 1)[..., None]
    return tf.clip_by_value(grey + value * (image - grey), 0.0, 255.0)


def contrast(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Moves values away from the picture's mean (value > 1) or towards it (value < 1)."""
    mean = tf.reduce_mean(image)
    return tf.clip_by_value(mean + value * (image - mean), 0.0, 255.0)


def exposure(image: tf.Tensor, gains: tf.Tensor) -> tf.Tensor:
    """Multiplies by a gain per channel (3,) and clips, as an overexposed sensor does."""
    return tf.clip_by_value(image * gains, 0.0, 255.0)


def augment(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    *,
    scales: tuple[float, float] = (0.75, 2.0),
    max_angle: float = 5.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The training augmentation: flip, scale and crop, turn, gamma, saturation, exposure, contrast.

    Args:
      image: (H, W, 3) or (T, H, W, 3) float32 on 0-255.
      mask: (H, W) uint8.
      seed: (2,) int32.
      scales: range of the enlargement, log-uniform.
      max_angle: degrees to either side.

    Returns:
      Image and mask of the same shapes.
    """
    clip = image if image.shape.rank == 4 else image[None]
    scale = tf.exp(_uniform(seed, 1, float(np.log(scales[0])), float(np.log(scales[1]))))
    size = tf.constant([mask.shape[0], mask.shape[1]], tf.float32)
    # Any crop of the enlarged picture; a shrunken one lies anywhere inside the frame.
    shift = _uniform(seed, 2, -0.5, 0.5, (2,)) * size * tf.abs(scale - 1.0)
    angle = _uniform(seed, 3, -1.0, 1.0) * (max_angle * np.pi / 180)
    flip = _uniform(seed, 4, 0.0, 1.0) < 0.5
    clip, mask = warp(clip, mask, scale=scale, shift=shift, angle=angle, flip=flip)
    clip = gamma(clip, _uniform(seed, 5, 0.5, 1.5))
    clip = saturation(clip, _uniform(seed, 6, 0.5, 1.5))
    gain = tf.exp(_uniform(seed, 7, -0.5, 0.6)) * _uniform(seed, 8, 0.9, 1.1, (3,))
    clip = contrast(exposure(clip, gain), _uniform(seed, 9, 0.6, 1.3))
    return (clip if image.shape.rank == 4 else clip[0]), mask
