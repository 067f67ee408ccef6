"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated alike; masks
uint8 (H, W). The same seed gives the same result, in a dataset or not, on any number of threads. To
TensorFlow a picture's augmentation (camera.py) is one op, which OpenCV and numpy compute without
holding Python's lock.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment import skies
from skyseg_tf.data.augment.camera import generator, photograph
from skyseg_tf.data.augment.settings import Augmentation, Classes, Range
from skyseg_tf.errors import InputError, not_among

_LIGHT = {  # for trainings of minutes, which have no time for much variety
    "flip": 0.5,
    "exposure": Range(-0.3, 0.3),
    "tint": Range(0.0, 0.07),
    "gamma": Range(0.5, 1.5),
    "saturation": Range(0.5, 1.5),
}
_SKIES = {
    "mix_skies": 0.25,
    "new_sky": 0.1,
    "overexposed_sky": Range(200.0, 300.0, 0.2),
}
_DEFAULT = {
    **_LIGHT,
    **_SKIES,
    "scales": Range(0.75, 2.0),
    "angle": Range(-5.0, 5.0, 0.25),
    "exposure": Range(-0.5, 0.6),
    "tint": Range(0.0, 0.1),
    "contrast": Range(0.6, 1.3),
    "perspective": Range(-0.1, 0.1, 0.1),
    "fog": Range(0.3, 2.0, 0.06),
    "night": Range(0.15, 0.45, 0.03),
    "defocus": Range(0.002, 0.008, 0.15),
    "motion": Range(0.01, 0.04, 0.08),
    "noise": Range(2.0, 14.0, 0.3),
    "hue": Range(-10.0, 10.0, 0.5),
    "brightness": Range(-20.0, 20.0, 0.5),
    "jpeg": Range(25.0, 90.0, 0.3),
}
_GEOMETRIC = {  # texture tells buildings from trees: little is done to it
    **_SKIES,
    "pale_walls": 0.3,
    "bare_trees": 0.2,
    "glare": 0.35,
    "flip": 0.5,
    "scales": Range(0.5, 2.0),
    "angle": Range(-8.0, 8.0, 0.5),
    "perspective": Range(-0.2, 0.2, 0.4),
    "exposure": Range(-0.3, 0.3),
    "tint": Range(0.0, 0.05),
    "gamma": Range(0.7, 1.3),
    "saturation": Range(0.7, 1.3),
    "contrast": Range(0.7, 1.3),
    "hue": Range(-18.0, 18.0, 0.8),
    "defocus": Range(0.002, 0.008, 0.1),
    "noise": Range(2.0, 12.0, 0.1),
}
_STRONG = {
    **_DEFAULT,
    "scales": Range(0.5, 2.0),
    "angle": Range(-10.0, 10.0, 0.5),
    "perspective": Range(-0.2, 0.2, 0.4),
    "mix_skies": 0.4,
    "new_sky": 0.2,
    "overexposed_sky": Range(190.0, 330.0, 0.3),
    "fog": Range(0.3, 3.5, 0.12),
    "night": Range(0.08, 0.45, 0.08),
    "defocus": Range(0.002, 0.014, 0.25),
    "motion": Range(0.01, 0.07, 0.15),
    "exposure": Range(-0.9, 0.9),
    "noise": Range(2.0, 30.0, 0.5),
    "hue": Range(-25.0, 25.0, 0.7),
    "brightness": Range(-35.0, 35.0, 0.5),
    "jpeg": Range(10.0, 90.0, 0.4),
}
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "flip": Augmentation(flip=0.5),
    "light": Augmentation(**_LIGHT),
    "geometric": Augmentation(**_GEOMETRIC),
    "default": Augmentation(**_DEFAULT),
    "strong": Augmentation(**_STRONG),
}
_NO_CLASSES = Classes()


def augment(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    *,
    settings: Augmentation = AUGMENTATIONS["light"],
    classes: Classes = _NO_CLASSES,
    open_trees: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One picture's augmentation.

    Args:
      image: (H, W, 3) or (T, H, W, 3) on 0-255, uint8 or float32, which is rounded first.
      mask: (H, W) uint8.
      seed: (2,) int32.
      settings: what may happen.
      classes: of the mask; without the sky's the effects on the sky are left out. All frames of a
        clip take the mask's sky.
      open_trees: look through bare trees: settings.bare_trees, and skies.open_crowns at the end.

    Returns:
      Image and mask of the same shapes and types; the mask holds ids of the given one, and 255.
    """
    image, mask = tf.convert_to_tensor(image), tf.convert_to_tensor(mask)
    if settings == AUGMENTATIONS["none"] and not open_trees:
        return image, mask
    change = partial(photograph, settings=settings, classes=classes, open_trees=open_trees)
    # Without a state: what follows from the seed may be computed whenever it is wanted.
    made = tf.numpy_function(change, (image, mask, seed), (image.dtype, mask.dtype), stateful=False)
    return tf.ensure_shape(made[0], image.shape), tf.ensure_shape(made[1], mask.shape)


def make_augment(
    preset: str | Augmentation, classes: Classes = _NO_CLASSES, *, open_trees: bool = False
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The augmentation of a training.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      classes: of the masks (`Classes.of(scheme)`); those that are None leave their effects out.
      open_trees: label as sky what shines through trees, see `augment`.

    Returns:
      (image, mask, seed) -> (image, mask), see `augment`.

    Raises:
      InputError: no such preset.
    """
    options = {"classes": classes, "open_trees": open_trees}
    return _of_bytes(partial(augment, settings=_settings(preset), **options))


def make_mix(preset: str | Augmentation, sky_class_id: int | None) -> Callable | None:
    """The part of a training's augmentation that needs a whole batch: mix_skies.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      sky_class_id: of the sky (`Classes.of(scheme).sky`).

    Returns:
      (images, masks, seed) -> (images, masks), see skies.mix_skies; None where there is nothing
      to mix.

    Raises:
      InputError: no such preset.
    """
    chance = _settings(preset).mix_skies
    if sky_class_id is None or chance <= 0:
        return None

    def mixed(images: np.ndarray, masks: np.ndarray, seed: np.ndarray) -> np.ndarray:
        clips = images if images.ndim == 5 else images[:, None]
        rng = generator(seed, "mix")
        options = {"sky_class_id": sky_class_id, "chance": chance}
        return skies.mix_skies(clips, masks, rng, **options).reshape(images.shape)

    def mix(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.convert_to_tensor(images)
        made = tf.numpy_function(mixed, (images, masks, seed), images.dtype, stateful=False)
        return tf.ensure_shape(made, images.shape), masks

    return _of_bytes(mix)


def _of_bytes(effect: Callable) -> Callable:
    """Tells pipeline.make_dataset that the images may stay bytes."""
    effect.dtype = tf.uint8
    return effect


def _settings(preset: str | Augmentation) -> Augmentation:
    if not isinstance(preset, str):
        return preset
    if preset not in AUGMENTATIONS:
        raise InputError(not_among("augmentation", preset, AUGMENTATIONS))
    return AUGMENTATIONS[preset]
