"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated alike; masks
uint8 (H, W). The same seed gives the same result, in a dataset or not, on any number of threads. To
TensorFlow a picture's augmentation is one op, which OpenCV and numpy compute without holding
Python's lock.

What costs much runs only for the pictures that draw it, tones are one table and all of color is one
matrix: most of the training's cores belong to the network.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment import effects, foreground, skies
from skyseg_tf.data.augment.chances import Parameters, draw_parameters
from skyseg_tf.data.augment.presets import AUGMENTATIONS, get_augmentation
from skyseg_tf.data.augment.settings import Augmentation, Classes

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
      open_trees: look through bare trees: settings.bare_trees, and label_sky_through_trees at the end.

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
    change = partial(augment, settings=get_augmentation(preset), **options)
    change.dtype = tf.uint8  # tells pipeline.make_dataset that images may stay bytes
    return change


def photograph(
    image: np.ndarray,
    mask: np.ndarray,
    seed: np.ndarray,
    settings: Augmentation,
    classes: Classes,
    open_trees: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """`augment` of arrays: the picture goes through STAGES."""
    parameters = draw_parameters(seed, settings, classes, open_trees)
    clip = effects.as_bytes(image if image.ndim == 4 else image[None])
    for stage in STAGES:
        clip, mask = stage(clip, mask, parameters)
    return clip.reshape(image.shape).astype(image.dtype, copy=False), mask


def _each(clip: np.ndarray, effect: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The effect on each frame, by the same random numbers."""
    return effects.stacked([effect(frame) for frame in clip])


def _move(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera stands."""
    strength = parameters.strength
    down, right, pan, tilt, turn = parameters.draws.place
    flip = turn < parameters.settings.flip
    if not strength.keys() & {"scales", "angle", "perspective"}:
        if not flip:
            return clip, mask
        return _each(clip, lambda frame: cv2.flip(frame, 1)), cv2.flip(mask, 1)
    if not strength.keys() & {"angle", "perspective"}:
        scale = np.exp(strength["scales"])
        return effects.zoom(clip, mask, scale, (down, right), flip)
    scale, tilted = np.exp(strength.get("scales", 0.0)), strength.get("perspective", 0.0)
    # Any crop of the enlarged picture; a shrunken one lies anywhere inside the frame.
    away = abs(scale - 1)
    matrix = effects.placement(
        mask.shape,
        scale=scale,
        shift=((down - 0.5) * mask.shape[0] * away, (right - 0.5) * mask.shape[1] * away),
        angle=np.deg2rad(strength.get("angle", 0.0)),
        perspective=(tilted * (2 * pan - 1), tilted * (2 * tilt - 1)),
        flip=flip,
    )
    return effects.warp(clip, mask, matrix)


def _change_weather(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """What happens to the sky and the light."""
    if parameters.classes.sky is None:
        return clip, mask
    sky = mask == parameters.classes.sky
    return _each(clip, lambda frame: skies.weather(frame, sky, parameters)), mask


def _blur(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """What the lens and the exposure's time leave."""
    strength, height = parameters.strength, len(mask)
    if "defocus" in strength:
        clip = _each(clip, partial(effects.defocus, sigma=strength["defocus"] * height))
    if "motion" in strength:
        length, angle = strength["motion"] * height, np.pi * parameters.draws.lens[0]
        clip = _each(clip, partial(effects.motion_blur, length=length, angle=angle))
    return clip, mask


def _expose(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """What the sensor sees, with the gamma of its processing, which is the same table."""
    strength, draws = parameters.strength, parameters.draws
    gain, exponent = np.exp(strength.get("exposure", 0.0)), strength.get("gamma", 1.0)
    chance, level = draws.glare
    if parameters.classes.sky is not None and chance < parameters.settings.glare:
        sky = mask == parameters.classes.sky
        gain = skies.glare(clip[-1], sky, level=255 + 120 * level, gain=gain)
    if "noise" in strength:
        grain = draws.rng("grain")  # goes on from frame to frame
        lit = np.float32(gain) * clip
        noisy = [effects.sensor_noise(frame, grain, strength["noise"]) for frame in lit]
        clip, gain = effects.as_bytes(effects.stacked(noisy)), 1.0
    if gain == exponent == 1.0:
        return clip, mask
    return _each(clip, partial(cv2.LUT, lut=effects.tone_table(gain, exponent))), mask


def _process(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """What the camera makes of it."""
    strength = parameters.strength
    if strength.keys() & {"saturation", "hue", "contrast", "brightness", "tint"}:
        gains = 2 * np.array(parameters.draws.lens[1:]) - 1
        clip = effects.adjust_colors(
            clip,
            saturation=strength.get("saturation", 1.0),
            hue=np.deg2rad(strength.get("hue", 0.0)),
            contrast=strength.get("contrast", 1.0),
            brightness=strength.get("brightness", 0.0),
            tint=1 + strength.get("tint", 0.0) * gains,
        )
    if "jpeg" in strength:
        clip = _each(clip, lambda frame: effects.jpeg(frame, int(strength["jpeg"])))
    return clip, mask


# (clip, mask, parameters) -> clip, mask. The order is a camera's: what there is, where it stands,
# what of it is seen, lens, sensor, and the processing of the picture.
STAGES = (
    foreground.build_and_plant,
    _move,
    _change_weather,
    _blur,
    _expose,
    _process,
    foreground.look_through_trees,  # last, so that glare shows what lies behind twigs
)
