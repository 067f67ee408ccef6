"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are float32 on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated
alike; masks uint8 (H, W). The same seed gives the same result.

The order is a camera's: what there is (walls, trees), where it stands (warp), what it sees (sky,
fog, night), lens (blur), sensor (exposure, noise), and its picture processing (gamma, colors,
JPEG). What costs much runs only for the pictures that draw it, and all of color is one matrix: most
of the training's cores belong to the network.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment.effects import (
    adjust_colors,
    defocus,
    gamma,
    jpeg,
    motion_blur,
    placement,
    sensor_noise,
    warp,
)
from skyseg_tf.data.augment.skies import (
    derived_seed,
    draw_bare_trees,
    draw_pale_wall,
    fog,
    glare,
    mix_skies,
    night,
    open_crowns,
    overexpose_sky,
    replace_sky,
    sky_matte,
    synthetic_skies,
    uniform,
)
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.labels import LabelScheme


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
      pale_walls: chance of a pale building before the sky (needs the classes of both).
      bare_trees: chance of bare trees before the sky, where crowns are opened (needs both classes).
      flip: chance of left to right.
      scales: enlargement, log-uniform; a crop of the enlarged picture, or a shrunken one somewhere
        in the frame.
      angle: of the camera's roll, degrees.
      perspective: of the camera's pan and tilt: largest share by which edges grow and shrink.
      mix_skies: chance of a sky from another picture of the batch, or a drawn one (make_mix).
      new_sky: chance of a drawn sky (needs the sky's class, as do mix_skies and the next four).
      overexposed_sky: level of a blown out sky, 0-255 and beyond (skies.overexpose_sky).
      glare: chance of an exposure that brings the sky to 255-375.
      fog: optical depth at the vanishing point.
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

    pale_walls: float = 0.0
    bare_trees: float = 0.0
    flip: float = 0.0
    scales: Range = _NO_FACTOR
    angle: Range = _NEVER
    perspective: Range = _NEVER
    mix_skies: float = 0.0
    new_sky: float = 0.0
    overexposed_sky: Range = _NEVER
    glare: float = 0.0
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
_RANGES = [field.name for field in fields(Augmentation) if field.type is Range]
_NEUTRAL = {"gamma": 1.0, "saturation": 1.0, "contrast": 1.0}


class Classes(NamedTuple):
    """Ids in a scheme's masks of what the augmentation knows; None where no class is that.

    Attributes:
      sky: the sky and nothing else.
      walls: the class of buildings, whatever else it holds.
      crowns: trees, with or without what grows on the ground.
    """

    sky: int | None = None
    walls: int | None = None
    crowns: int | None = None

    @classmethod
    def of(cls, scheme: LabelScheme) -> "Classes":
        """Those of a scheme."""

        def first(fits: Callable[[set], bool]) -> int | None:
            return next((i for i, names in enumerate(scheme.members) if fits({*names})), None)

        return cls(
            first(lambda names: names == {"sky"}),
            first(lambda names: "building" in names),
            first(lambda names: {"vegetation"} <= names <= {"vegetation", "terrain"}),
        )


_NO_CLASSES = Classes()


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
    classes: Classes = _NO_CLASSES,
    open_trees: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One picture's augmentation.

    Args:
      image: (H, W, 3) or (T, H, W, 3) float32 on 0-255.
      mask: (H, W) uint8.
      seed: (2,) int32.
      settings: what may happen.
      classes: of the mask; without the sky's the effects on the sky are left out. All frames of a
        clip take the mask's sky.
      open_trees: look through bare trees: settings.bare_trees, and skies.open_crowns at the end.

    Returns:
      Image and mask of the same shapes; the mask holds ids of the given one, and 255.
    """
    clip = image if image.shape.rank == 4 else image[None]
    if settings != AUGMENTATIONS["none"]:
        clip, mask = _photograph(clip, mask, seed, settings, classes, open_trees)
    if open_trees:  # last, so that glare shows what lies behind twigs
        names = {"sky_class_id": classes.sky, "crown_class_id": classes.crowns}
        mask = open_crowns(clip[-1:], mask[None], **names)[0]
    return (clip if image.shape.rank == 4 else clip[0]), mask


def _photograph(clip, mask, seed, settings: Augmentation, classes: Classes, open_trees: bool):
    """Everything that changes the picture."""
    clip, mask = _build_and_plant(clip, mask, seed, settings, classes, open_trees)
    strength, happens = _draw(seed, settings)
    clip, mask = _move(clip, mask, seed, settings, strength)

    def maybe(name: str, effect: Callable[[tf.Tensor], tf.Tensor], clip: tf.Tensor) -> tf.Tensor:
        if getattr(settings, name).chance <= 0:
            return clip
        return tf.ensure_shape(
            tf.cond(happens[name], lambda: effect(clip), lambda: clip), clip.shape
        )

    sky = None if classes.sky is None else tf.cast(mask == classes.sky, tf.float32)
    if sky is not None:
        clip = _weather(clip, sky, seed, settings, strength, maybe)
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
    clip = clip * tf.exp(strength["exposure"])
    if sky is not None and settings.glare > 0:
        chance, level = tf.unstack(uniform(derived_seed(seed, 20), (2,)))
        skies, level = tf.repeat(sky[None], clip.shape[0], 0), 255.0 + 120.0 * level
        clip = tf.cond(
            chance < settings.glare, lambda: glare(clip, skies, level=level), lambda: clip
        )
    clip = maybe("noise", lambda x: sensor_noise(x, derived_seed(seed, 4), strength["noise"]), clip)
    clip = gamma(clip, strength["gamma"])  # it clips, as the sensor does
    clip = adjust_colors(
        clip,
        saturation=strength["saturation"],
        hue=strength["hue"] * (np.pi / 180),
        contrast=strength["contrast"],
        brightness=strength["brightness"],
        tint=1.0 + strength["tint"] * (2.0 * tf.stack(gains) - 1.0),
    )
    return maybe("jpeg", lambda x: jpeg(x, tf.cast(strength["jpeg"], tf.int32)), clip), mask


def _build_and_plant(clip, mask, seed, settings: Augmentation, classes: Classes, open_trees: bool):
    """What stands before the sky."""
    chances = tf.unstack(uniform(derived_seed(seed, 21), (2,)))
    effects = (
        (settings.pale_walls, draw_pale_wall, "wall_class_id", classes.walls),
        (settings.bare_trees * open_trees, draw_bare_trees, "crown_class_id", classes.crowns),
    )
    for number, (chance, draw, name, class_id) in enumerate(effects):
        if chance <= 0 or None in (classes.sky, class_id):
            continue
        ids = {"sky_class_id": classes.sky, name: class_id}
        drawn, marked = tf.cond(
            chances[number] < chance,
            lambda clip=clip, mask=mask, draw=draw, ids=ids, number=number: draw(
                clip, mask, derived_seed(seed, 30 + 8 * number), **ids
            ),
            lambda clip=clip, mask=mask: (clip, mask),
        )
        clip, mask = tf.ensure_shape(drawn, clip.shape), tf.ensure_shape(marked, mask.shape)
    return clip, mask


def _move(clip, mask, seed, settings: Augmentation, strength: dict) -> tuple:
    draw = tf.unstack(uniform(derived_seed(seed, 2), (5,)))
    if max(settings.scales.chance, settings.angle.chance, settings.perspective.chance) <= 0:
        pair = tf.cond(
            draw[4] < settings.flip,
            lambda: (tf.reverse(clip, [2]), tf.reverse(mask, [1])),
            lambda: (clip, mask),
        )
        return tf.ensure_shape(pair[0], clip.shape), tf.ensure_shape(pair[1], mask.shape)
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
    preset: str | Augmentation, classes: Classes = _NO_CLASSES, *, open_trees: bool = False
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The augmentation of a training.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own.
      classes: of the masks (`Classes.of(scheme)`); those that are None leave their effects out.
      open_trees: label as sky what shines through trees, see `augment`.

    Returns:
      (image, mask, seed) -> (image, mask), see `augment`; a tf.function, so that the datasets of
      all epochs share one trace.

    Raises:
      InputError: no such preset.
    """
    return tf.function(
        partial(augment, settings=_settings(preset), classes=classes, open_trees=open_trees)
    )


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
    return tf.function(partial(mix_skies, sky_class_id=sky_class_id, chance=chance))


def _settings(preset: str | Augmentation) -> Augmentation:
    if not isinstance(preset, str):
        return preset
    if preset not in AUGMENTATIONS:
        raise InputError(not_among("augmentation", preset, AUGMENTATIONS))
    return AUGMENTATIONS[preset]
