"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are float32 on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated
alike; masks uint8 (H, W). The same seed gives the same result. Geometry moves image and mask in
one call, the mask by nearest neighbour; what comes in from outside the picture is ignored (255).

The order is a camera's: where it stands (warp), what it sees (sky, fog, night), lens (blur),
sensor (exposure, noise), and its picture processing (gamma, colors, JPEG). What costs much runs
only for the pictures that draw it, and all of color is one matrix: most of the training's cores
belong to the network.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from skyseg_tf.data.skies import (
    derived_seed,
    fog,
    mix_skies,
    night,
    overexpose_sky,
    replace_sky,
    sky_matte,
    synthetic_skies,
    uniform,
)
from skyseg_tf.errors import InputError
from skyseg_tf.labels import IGNORE, LabelScheme

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_MOTION_SAMPLES = 9


class Range(NamedTuple):
    """An effect's strength is uniform in [low, high] for a share `chance` of the pictures."""

    low: float
    high: float
    chance: float = 1.0


_NEVER = Range(0.0, 0.0, 0.0)
_NO_FACTOR = Range(1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Augmentation:
    """What happens to a picture, how strongly, and how often.

    Attributes:
      flip: chance of left to right.
      scales: enlargement, log-uniform; a crop of the enlarged picture, or a shrunken one somewhere
        in the frame.
      angle: of the camera's roll, degrees.
      perspective: of the camera's pan and tilt: by how much the picture's edges grow and shrink,
        as a share.
      mix_skies: chance of a sky from another picture of the batch, or a drawn one (make_mix).
      new_sky: chance of a drawn sky (needs the sky's class, as do mix_skies and the next three).
      overexposed_sky: level of a blown out sky, 0-255 and beyond (skies.overexpose_sky).
      fog: optical depth at the horizon.
      night: share of daylight left.
      defocus: standard deviation of a Gaussian, as a share of the height.
      motion: length of the blur, as a share of the height.
      exposure: natural logarithm of the sensor's gain.
      tint: largest difference of the channels' gains, as a share.
      noise: standard deviation of the sensor's noise at white, 0-255.
      gamma: exponent.
      saturation: factor of the distance to grey.
      hue: turn of the colors, degrees.
      contrast: factor of the distance to the picture's mean.
      brightness: added, 0-255.
      jpeg: quality, 0-100.
    """

    flip: float = 0.0
    scales: Range = _NO_FACTOR
    angle: Range = _NEVER
    perspective: Range = _NEVER
    mix_skies: float = 0.0
    new_sky: float = 0.0
    overexposed_sky: Range = _NEVER
    fog: Range = _NEVER
    night: Range = _NEVER
    defocus: Range = _NEVER
    motion: Range = _NEVER
    exposure: Range = _NEVER
    tint: Range = _NEVER
    noise: Range = _NEVER
    gamma: Range = _NO_FACTOR
    saturation: Range = _NO_FACTOR
    hue: Range = _NEVER
    contrast: Range = _NO_FACTOR
    brightness: Range = _NEVER
    jpeg: Range = _NEVER


_LIGHT = {
    "flip": 0.5,
    "scales": Range(0.75, 2.0),
    "angle": Range(-5.0, 5.0, 0.3),
    "exposure": Range(-0.5, 0.6),
    "tint": Range(0.0, 0.1),
    "gamma": Range(0.5, 1.5),
    "saturation": Range(0.5, 1.5),
    "contrast": Range(0.6, 1.3),
}
_DEFAULT = _LIGHT | {
    "perspective": Range(-0.1, 0.1, 0.2),
    "mix_skies": 0.25,
    "new_sky": 0.1,
    "overexposed_sky": Range(200.0, 300.0, 0.2),
    "fog": Range(0.3, 2.0, 0.06),
    "night": Range(0.15, 0.45, 0.03),
    "defocus": Range(0.002, 0.008, 0.15),
    "motion": Range(0.01, 0.04, 0.08),
    "noise": Range(2.0, 14.0, 0.35),
    "hue": Range(-10.0, 10.0, 0.5),
    "brightness": Range(-20.0, 20.0, 0.5),
    "jpeg": Range(25.0, 90.0, 0.3),
}
_STRONG = _DEFAULT | {
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
    "light": Augmentation(**_LIGHT),
    "default": Augmentation(**_DEFAULT),
    "strong": Augmentation(**_STRONG),
}
_RANGES = [field.name for field in fields(Augmentation) if field.type is Range]
_NEUTRAL = {"gamma": 1.0, "saturation": 1.0, "contrast": 1.0}


def sky_class(scheme: LabelScheme) -> int | None:
    """The class that is the sky and nothing else, or None if a scheme has none."""
    return next((i for i, names in enumerate(scheme.members) if names == ("sky",)), None)


# --- geometry ---


def placement(
    size: tuple[int, int],
    *,
    scale: tf.Tensor = 1.0,
    shift: tf.Tensor = (0.0, 0.0),
    angle: tf.Tensor = 0.0,
    perspective: tf.Tensor = (0.0, 0.0),
    flip: tf.Tensor = False,
) -> tf.Tensor:
    """The homography from pixels of the result to pixels of the source, about the center.

    Args:
      size: (height, width).
      scale: above 1 enlarges.
      shift: (2,) down and right, in pixels of the result.
      angle: radians, counter-clockwise.
      perspective: (2,) by how much the lower and the right edge shrink (the others grow), as a
        share.
      flip: bool, left to right.

    Returns:
      (3, 3) float32, applied to (x, y, 1).
    """
    height, width = size
    center = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]], np.float32)
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    mirror = tf.where(flip, -1.0, 1.0)
    down, right = tf.unstack(tf.cast(shift, tf.float32), num=2)
    a, b = mirror * cosine, -mirror * sine
    turn = [a, b, -a * right - b * down, sine, cosine, -sine * right - cosine * down]
    tilt = tf.cast(perspective, tf.float32) / np.array([height / 2, width / 2], np.float32)
    # Perspective comes first (the last of the source's steps): rows of the result's plane.
    matrix = tf.reshape(tf.stack([*turn, tilt[1], tilt[0], 1.0]), (3, 3))
    moved = tf.matmul(tf.matmul(center, matrix), np.linalg.inv(center).astype(np.float32))
    return moved / moved[2, 2]


def warp(image: tf.Tensor, mask: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves image and mask by a homography.

    Args:
      image: (T, H, W, 3) float32.
      mask: (H, W) uint8.
      matrix: (3, 3) from pixels (x, y, 1) of the result to pixels of the source.

    Returns:
      The same shapes; the image is black and the mask 255 outside the source.
    """
    height, width = image.shape[-3], image.shape[-2]
    labels = mask[None, ..., None]

    def project(pictures: tf.Tensor, method: str, fill: float) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=tf.reshape(matrix, (1, 9))[:, :8],
            output_shape=[height, width],
            fill_value=fill,
            interpolation=method,
            fill_mode="CONSTANT",
        )

    def turned() -> tuple[tf.Tensor, tf.Tensor]:
        moved = project(labels, "NEAREST", float(IGNORE))
        return project(image, "BILINEAR", 0.0), moved

    def upright() -> tuple[tf.Tensor, tf.Tensor]:
        # The same by a kernel that walks rows and columns: a third of the time.
        x, y = matrix[0, 2] / (width - 1), matrix[1, 2] / (height - 1)
        box = tf.stack([y, x, y + matrix[1, 1], x + matrix[0, 0]])[None]

        def cut(pictures: tf.Tensor, method: str, fill: float) -> tf.Tensor:
            count = pictures.shape[0]
            boxes, places = tf.repeat(box, count, 0), tf.range(count)
            return tf.image.crop_and_resize(
                pictures, boxes, places, (height, width), method, extrapolation_value=fill
            )

        return cut(image, "bilinear", 0.0), tf.cast(cut(labels, "nearest", IGNORE), tf.uint8)

    entries = tf.stack([matrix[0, 1], matrix[1, 0], matrix[2, 0], matrix[2, 1]])
    warped, moved = tf.cond(tf.reduce_any(entries != 0.0), turned, upright)
    return tf.ensure_shape(warped, image.shape), tf.ensure_shape(moved[0, ..., 0], mask.shape)


# --- lens and sensor ---


def defocus(image: tf.Tensor, sigma: tf.Tensor, *, largest: float) -> tf.Tensor:
    """Gaussian blur, edges mirrored.

    Args:
      image: (T, H, W, 3).
      sigma: pixels, above 0.
      largest: the largest sigma that is ever given; the kernel reaches 2.5 times as far.
    """
    reach = min(int(np.ceil(2.5 * largest)), min(image.shape[1:3]))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = tf.exp(-0.5 * (steps / sigma) ** 2)
    kernel = tf.repeat((kernel / tf.reduce_sum(kernel))[:, None], 3, 1)  # (K, 3)
    padded = tf.pad(image, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    rows = tf.nn.depthwise_conv2d(padded, kernel[:, None, :, None], (1, 1, 1, 1), "VALID")
    return tf.nn.depthwise_conv2d(rows, kernel[None, :, :, None], (1, 1, 1, 1), "VALID")


def motion_blur(
    image: tf.Tensor, length: tf.Tensor, angle: tf.Tensor, *, largest: float
) -> tf.Tensor:
    """Mean of nine pictures along a line, edges mirrored.

    Args:
      image: (T, H, W, 3).
      length: of the line, pixels.
      angle: radians.
      largest: the largest length that is ever given.
    """
    height, width = image.shape[1:3]
    reach = min(int(np.ceil(largest / 2)), height, width)
    padded = tf.pad(image, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    along = np.linspace(-0.5, 0.5, _MOTION_SAMPLES, dtype=np.float32)[:, None]
    steps = tf.round(length * along * tf.stack([tf.sin(angle), tf.cos(angle)]))
    offsets = reach + tf.clip_by_value(tf.cast(steps, tf.int32), -reach, reach)
    parts = [
        padded[:, y : y + height, x : x + width]
        for y, x in (tf.unstack(offset) for offset in tf.unstack(offsets))
    ]
    return tf.ensure_shape(tf.add_n(parts) / _MOTION_SAMPLES, image.shape)


def sensor_noise(image: tf.Tensor, seed: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Adds noise whose variance grows with the light, as photons and a sensor's readout give.

    Args:
      image: (T, H, W, 3) on 0-255.
      seed: (2,).
      sigma: standard deviation at white; at black it is a third.
    """
    # Four random bytes added up are near enough to a normal distribution, at a fifth of the time.
    bits = tf.random.stateless_uniform(image.shape, seed, None, None, tf.uint32, alg="philox")
    pairs = (bits & 0x00FF00FF) + (
        tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)) & 0xFF00FF
    )
    total = (pairs & 0xFFFF) + tf.bitwise.right_shift(pairs, tf.constant(16, tf.uint32))
    normal = (tf.cast(total, tf.float32) - 510.0) / np.float32(np.sqrt((256**2 - 1) / 3))
    return image + sigma * normal * tf.sqrt(1 / 9 + tf.nn.relu(image) * (8 / 9 / 255))


def jpeg(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """What JPEG leaves of a picture.

    Args:
      image: (T, H, W, 3) on 0-255.
      quality: int32, 0-100.
    """
    bytes_ = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    frames = [
        tf.io.decode_jpeg(
            tf.raw_ops.EncodeJpegVariableQuality(images=frame, quality=quality),
            channels=3,
            dct_method="INTEGER_ACCURATE",
        )
        for frame in tf.unstack(bytes_)
    ]
    return tf.ensure_shape(tf.cast(tf.stack(frames), tf.float32), image.shape)


# --- picture processing ---


def gamma(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """255 * (x / 255) ** value, of 0-255."""
    # exp(log) takes a third of pow's time; log(0) is -inf, and its exp 0 again.
    return 255.0 * tf.exp(value * tf.math.log(tf.clip_by_value(image, 0.0, 255.0) / 255.0))


def adjust_colors(
    image: tf.Tensor,
    *,
    saturation: tf.Tensor = 1.0,
    hue: tf.Tensor = 0.0,
    contrast: tf.Tensor = 1.0,
    brightness: tf.Tensor = 0.0,
) -> tf.Tensor:
    """Saturation, hue, contrast and brightness as one matrix.

    Args:
      image: (T, H, W, 3) on 0-255.
      saturation: factor of the distance to the luma (BT.601).
      hue: radians, a turn of the colors about the grey axis that keeps the luma.
      contrast: factor of the distance to the mean luma.
      brightness: added.

    Returns:
      The image, clipped to 0-255.
    """
    grey = np.repeat(_LUMA[:, None], 3, 1)  # row vectors times this: the luma, three times
    axis = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], np.float32) / np.sqrt(np.float32(3))
    third = np.full((3, 3), 1 / 3, np.float32)
    turn = third + tf.cos(hue) * (np.eye(3, dtype=np.float32) - third) + tf.sin(hue) * axis
    chroma = tf.matmul(np.eye(3, dtype=np.float32) - grey, turn)
    chroma = tf.matmul(chroma, np.eye(3, dtype=np.float32) - grey)  # no luma from the turn
    matrix = contrast * (grey + saturation * chroma)
    mean = tf.reduce_sum(tf.reduce_mean(image, (0, 1, 2)) * _LUMA)
    colors = tf.matmul(tf.reshape(image, (-1, 3)), matrix) + ((1.0 - contrast) * mean + brightness)
    return tf.clip_by_value(tf.reshape(colors, tf.shape(image)), 0.0, 255.0)


# --- all of it ---


def _draw(seed: tf.Tensor, settings: Augmentation) -> tuple[dict, dict]:
    """Strength of each effect (neutral where it does not happen; log of the scale), and if it does."""
    scales = settings.scales._replace(
        low=float(np.log(settings.scales.low)), high=float(np.log(settings.scales.high))
    )  # as often half the size as twice
    ranges = [scales if name == "scales" else getattr(settings, name) for name in _RANGES]
    low, high, chance = np.array(ranges, np.float32).T
    neutral = np.array([_NEUTRAL.get(name, 0.0) for name in _RANGES], np.float32)
    happens, where = tf.unstack(uniform(derived_seed(seed, 1), (2, len(ranges))))
    happens = happens < chance
    values = tf.where(happens, low + where * (high - low), neutral)
    return dict(zip(_RANGES, tf.unstack(values), strict=True)), dict(
        zip(_RANGES, tf.unstack(happens), strict=True)
    )


def augment(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    *,
    settings: Augmentation = AUGMENTATIONS["light"],
    sky_class_id: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One picture's augmentation.

    Args:
      image: (H, W, 3) or (T, H, W, 3) float32 on 0-255.
      mask: (H, W) uint8.
      seed: (2,) int32.
      settings: what may happen.
      sky_class_id: of the sky in the mask; without it the effects on the sky are left out. All
        frames of a clip take the mask's sky.

    Returns:
      Image and mask of the same shapes; the mask holds ids of the given one, and 255.
    """
    if settings == AUGMENTATIONS["none"]:
        return image, mask
    clip = image if image.shape.rank == 4 else image[None]
    strength, happens = _draw(seed, settings)
    clip, mask = _move(clip, mask, seed, settings, strength)

    def maybe(name: str, effect: Callable[[tf.Tensor], tf.Tensor], clip: tf.Tensor) -> tf.Tensor:
        if getattr(settings, name).chance <= 0:
            return clip
        return tf.ensure_shape(
            tf.cond(happens[name], lambda: effect(clip), lambda: clip), clip.shape
        )

    if sky_class_id is not None:
        clip = _weather(
            clip, tf.cast(mask == sky_class_id, tf.float32), seed, settings, strength, maybe
        )
    height = mask.shape[0]
    clip = maybe(
        "defocus",
        lambda x: defocus(x, strength["defocus"] * height, largest=settings.defocus.high * height),
        clip,
    )
    direction, *gains = tf.unstack(uniform(derived_seed(seed, 3), (4,)))
    clip = maybe(
        "motion",
        lambda x: motion_blur(
            x, strength["motion"] * height, direction * np.pi, largest=settings.motion.high * height
        ),
        clip,
    )
    gain = tf.exp(strength["exposure"]) * (1.0 + strength["tint"] * (2.0 * tf.stack(gains) - 1.0))
    clip = maybe(
        "noise", lambda x: sensor_noise(x, derived_seed(seed, 4), strength["noise"]), clip * gain
    )
    clip = gamma(clip, strength["gamma"])  # it clips, as the sensor does
    clip = adjust_colors(
        clip,
        saturation=strength["saturation"],
        hue=strength["hue"] * (np.pi / 180),
        contrast=strength["contrast"],
        brightness=strength["brightness"],
    )
    clip = maybe("jpeg", lambda x: jpeg(x, tf.cast(strength["jpeg"], tf.int32)), clip)
    return (clip if image.shape.rank == 4 else clip[0]), mask


def _move(clip, mask, seed, settings: Augmentation, strength: dict) -> tuple:
    draw = tf.unstack(uniform(derived_seed(seed, 2), (5,)))
    scale = tf.exp(strength["scales"])
    size = tf.constant(mask.shape.as_list(), tf.float32)
    # Any crop of the enlarged picture; a shrunken one lies anywhere inside the frame.
    shift = (tf.stack(draw[:2]) - 0.5) * size * tf.abs(scale - 1.0)
    tilt = strength["perspective"] * tf.stack([2.0 * draw[2] - 1.0, 2.0 * draw[3] - 1.0])
    matrix = placement(
        (mask.shape[0], mask.shape[1]),
        scale=scale,
        shift=shift,
        angle=strength["angle"] * (np.pi / 180),
        perspective=tilt,
        flip=draw[4] < settings.flip,
    )
    return warp(clip, mask, matrix)


def _weather(clip, sky, seed, settings: Augmentation, strength: dict, maybe: Callable):
    """What happens to the sky and the light."""
    size = (clip.shape[1], clip.shape[2])
    skies = tf.repeat(sky[None], clip.shape[0], 0)
    draw = tf.unstack(uniform(derived_seed(seed, 5), (6,)))

    if settings.new_sky > 0:

        def other(x: tf.Tensor) -> tf.Tensor:
            new = synthetic_skies(derived_seed(seed, 6), 1, size)
            return replace_sky(x, sky_matte(x, skies), new, 0.2 * draw[1])

        clip = tf.cond(draw[0] < settings.new_sky, lambda: other(clip), lambda: clip)
    clip = maybe(
        "overexposed_sky",
        lambda x: overexpose_sky(x, skies, level=strength["overexposed_sky"], bloom=0.35 * draw[2]),
        clip,
    )
    light = (170.0 + 70.0 * draw[3]) * tf.stack([1.0, 1.0, 1.0 + 0.06 * draw[4]])
    clip = maybe(
        "fog",
        lambda x: fog(x, skies, derived_seed(seed, 12), density=strength["fog"], light=light),
        clip,
    )
    return maybe(
        "night",
        lambda x: night(
            x, skies, derived_seed(seed, 16), light=strength["night"], glow=10.0 + 50.0 * draw[5]
        ),
        clip,
    )


def make_augment(
    preset: str | Augmentation, sky_class_id: int | None = None
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The augmentation of a training.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      sky_class_id: of the sky (`sky_class(scheme)`); None leaves the effects on the sky out.

    Returns:
      (image, mask, seed) -> (image, mask), see `augment`.

    Raises:
      InputError: no such preset.
    """
    return partial(augment, settings=_settings(preset), sky_class_id=sky_class_id)


def make_mix(preset: str | Augmentation, sky_class_id: int | None) -> Callable | None:
    """The part of a training's augmentation that needs a whole batch: mix_skies.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      sky_class_id: of the sky (`sky_class(scheme)`).

    Returns:
      (images, masks, seed) -> (images, masks), see skies.mix_skies; None where there is nothing
      to mix.

    Raises:
      InputError: no such preset.
    """
    chance = _settings(preset).mix_skies
    if sky_class_id is None or chance <= 0:
        return None
    return partial(mix_skies, sky_class_id=sky_class_id, chance=chance)


def _settings(preset: str | Augmentation) -> Augmentation:
    if not isinstance(preset, str):
        return preset
    if preset not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise InputError(f"unknown augmentation '{preset}': choose one of {known}")
    return AUGMENTATIONS[preset]
