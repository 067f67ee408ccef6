"""Mixing the pictures of a batch: each may get the sky of another."""

from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment.chances import generator
from skyseg_tf.data.augment.presets import get_augmentation
from skyseg_tf.data.augment.settings import Augmentation
from skyseg_tf.data.augment.skies import as_rgb, replace_sky, sky_matte, synthetic_sky


def make_mix(preset: str | Augmentation, sky_class_id: int | None) -> Callable | None:
    """The part of a training's augmentation that needs a whole batch: mix_skies.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      sky_class_id: of the sky (`Classes.of(scheme).sky`).

    Returns:
      (images, masks, seed) -> (images, masks), see mix_skies; None where there is nothing
      to mix.

    Raises:
      InputError: no such preset.
    """
    chance = get_augmentation(preset).mix_skies
    if sky_class_id is None or chance <= 0:
        return None

    def mixed(images: np.ndarray, masks: np.ndarray, seed: np.ndarray) -> np.ndarray:
        clips = images if images.ndim == 5 else images[:, None]
        rng = generator(seed, "mix")
        options = {"sky_class_id": sky_class_id, "chance": chance}
        return mix_skies(clips, masks, rng, **options).reshape(images.shape)

    def mix(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.convert_to_tensor(images)
        made = tf.numpy_function(mixed, (images, masks, seed), images.dtype, stateful=False)
        return tf.ensure_shape(made, images.shape), masks

    mix.dtype = tf.uint8  # see camera.make_augment
    return mix


def mix_skies(
    clips: np.ndarray,
    masks: np.ndarray,
    rng: np.random.Generator,
    *,
    sky_class_id: int,
    chance: float = 0.3,
    synthetic: float = 0.5,
    spill: float = 0.2,
) -> np.ndarray:
    """Cut-mix of skies: puts the sky of another picture of the batch behind this one's things.

    Masks do not change. Borders are feathered, twigs and grain stay (see `sky_matte`), and some
    of the new sky's light falls on what is next to it.

    Args:
      clips: (B, T, H, W, 3) on 0-255.
      masks: (B, H, W) uint8.
      rng: of the mixture.
      sky_class_id: of the sky in the masks.
      chance: that a picture gets another sky.
      synthetic: share of drawn skies (`synthetic_sky`) among the new ones; a picture whose
        partner has hardly any sky gets one too.
      spill: largest share of the new sky's light on what is next to it, 0-1.

    Returns:
      Images of the same shape.

    Reference: after CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899), with the sky's
      outline for the box, so that the labels stay as they are.
    """
    skies, count, mixed = masks == sky_class_id, len(clips), clips.copy()
    shares = np.count_nonzero(skies, (1, 2)) / masks[0].size
    draws = rng.random((count, 4))
    for i in np.flatnonzero((draws[:, 0] < chance) & (shares > 0.005)):
        _, step, drawn, light = draws[i]
        partner = (i + 1 + int(step * (count - 1))) % count
        if drawn < synthetic or shares[partner] < 0.05 or partner == i:
            new = synthetic_sky(rng, masks.shape[1:])
        else:
            new = _sky_alone(clips[partner, -1], skies[partner])
        for frame, picture in enumerate(clips[i]):
            matte = sky_matte(picture, skies[i])
            mixed[i, frame] = replace_sky(picture, matte, new, spill * light)
    return mixed


def _sky_alone(image: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: the sky, and its color where other things are."""
    matte = sky_matte(image, sky)
    inside = np.maximum(4 * matte.alpha - 3, 0) * sky[matte.rows]  # no border pixels
    apart = cv2.subtract(image[matte.rows].astype(np.float32), matte.color)
    alone = cv2.add(matte.color, cv2.multiply(apart, as_rgb(inside), apart), apart)
    beyond = matte.rows.start, len(image) - matte.rows.stop
    return cv2.copyMakeBorder(alone, *beyond, 0, 0, cv2.BORDER_REPLICATE)
