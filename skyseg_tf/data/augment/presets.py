"""Augmentation: (image, mask, seed) -> (image, mask), stateless.

Images are on 0-255, (H, W, 3) or for clips (T, H, W, 3), whose frames are all treated alike; masks
uint8 (H, W). The same seed gives the same result, in a dataset or not, on any number of threads.

The order is a camera's: what there is (walls, trees), where it stands (warp), what it sees (sky,
fog, night), lens (blur), sensor (exposure, noise), and its picture processing (gamma, colors,
JPEG). What costs much runs only for the pictures that draw it, tones are one table and all of color
is one matrix: most of the training's cores belong to the network. To TensorFlow a picture's
augmentation is one op, which OpenCV and numpy compute without holding Python's lock.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment import effects, skies
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


class Draws(NamedTuple):
    """The random numbers of one picture's augmentation, uniform in 0-1.

    Attributes:
      happens: (ranges,) whether each effect does.
      where: (ranges,) in its range.
      place: of crop and camera, and the flip.
      weather: of the sky and the light.
      lens: direction of the motion, tints.
      glare: whether it does, and its level.
      stands: whether a wall does and trees do.
      rng: (purpose) -> the generator of what needs many numbers; asked again, the same again.
    """

    happens: np.ndarray
    where: np.ndarray
    place: list[float]
    weather: list[float]
    lens: list[float]
    glare: list[float]
    stands: list[float]
    rng: Callable[[str], np.random.Generator]


_PURPOSES = ("chances", "wall", "trees", "clouds", "fog", "lamps", "grain", "mix")


def _generator(seed: np.ndarray, purpose: str) -> np.random.Generator:
    """Of a seed (2,) int32: no purpose depends on the numbers that others take."""
    return np.random.default_rng((*np.asarray(seed).astype(np.uint32), _PURPOSES.index(purpose)))


def _draws(seed: np.ndarray) -> Draws:
    """All that may be needed is drawn, so that no effect's numbers depend on other settings."""
    rng, number = _generator(seed, "chances"), len(_RANGES)
    lists = [rng.random(count).tolist() for count in (5, 6, 4, 2, 2)]
    return Draws(rng.random(number), rng.random(number), *lists, partial(_generator, seed))


@lru_cache
def _bounds(settings: Augmentation) -> np.ndarray:
    """(3, ranges) low, high and chance of each range."""
    scales = settings.scales._replace(
        low=float(np.log(settings.scales.low)), high=float(np.log(settings.scales.high))
    )  # as often half the size as twice
    ranges = [scales if name == "scales" else getattr(settings, name) for name in _RANGES]
    return np.array(ranges).T


def _strengths(draws: Draws, settings: Augmentation) -> dict[str, float]:
    """Of the effects that happen; the logarithm of the scale."""
    low, high, chance = _bounds(settings)
    values = (low + draws.where * (high - low)).tolist()
    chosen = np.flatnonzero(draws.happens < chance)
    return {_RANGES[i]: values[i] for i in chosen}


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
    change = partial(_photograph, settings=settings, classes=classes, open_trees=open_trees)
    # Without a state: what follows from the seed may be computed whenever it is wanted.
    made = tf.numpy_function(change, (image, mask, seed), (image.dtype, mask.dtype), stateful=False)
    return tf.ensure_shape(made[0], image.shape), tf.ensure_shape(made[1], mask.shape)


def _photograph(
    image: np.ndarray,
    mask: np.ndarray,
    seed: np.ndarray,
    settings: Augmentation,
    classes: Classes,
    open_trees: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """`augment` of arrays: the story from the street to the file."""
    draws, clip = _draws(seed), effects.as_bytes(image if image.ndim == 4 else image[None])
    strength = _strengths(draws, settings)
    clip, mask = _build_and_plant(clip, mask, draws, settings, classes, open_trees)
    clip, mask = _move(clip, mask, draws, settings, strength)
    sky = None if classes.sky is None else mask == classes.sky
    if sky is not None:
        clip = _each(clip, lambda frame: _weather(frame, sky, draws, settings, strength))
    clip = _each(clip, lambda frame: _blur(frame, draws, strength))
    clip = _expose(clip, sky, draws, settings, strength)
    clip = _process(clip, draws, strength)
    if open_trees:  # last, so that glare shows what lies behind twigs
        names = {"sky_class_id": classes.sky, "crown_class_id": classes.crowns}
        mask = skies.open_crowns(clip[-1], mask, **names)
    return clip.reshape(image.shape).astype(image.dtype, copy=False), mask


def _each(clip: np.ndarray, effect: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The effect on each frame, by the same random numbers."""
    return effects.stacked([effect(frame) for frame in clip])


def _build_and_plant(
    clip: np.ndarray,
    mask: np.ndarray,
    draws: Draws,
    settings: Augmentation,
    classes: Classes,
    open_trees: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """What stands before the sky."""
    wall, tree = draws.stands
    if wall < settings.pale_walls and None not in (classes.sky, classes.walls):
        ids = {"sky_class_id": classes.sky, "wall_class_id": classes.walls}
        clip, mask = skies.draw_pale_wall(clip, mask, draws.rng("wall"), **ids)
    planted = settings.bare_trees * open_trees
    if tree < planted and None not in (classes.sky, classes.crowns):
        ids = {"sky_class_id": classes.sky, "crown_class_id": classes.crowns}
        clip, mask = skies.draw_bare_trees(clip, mask, draws.rng("trees"), **ids)
    return clip, mask


def _move(
    clip: np.ndarray, mask: np.ndarray, draws: Draws, settings: Augmentation, strength: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera stands."""
    down, right, pan, tilt, turn = draws.place
    flip = turn < settings.flip
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


def _weather(
    image: np.ndarray, sky: np.ndarray, draws: Draws, settings: Augmentation, strength: dict
) -> np.ndarray:
    """What happens to the sky and the light."""
    other, spill, bloom, bright, blue, town = draws.weather
    if other < settings.new_sky:
        new = skies.synthetic_sky(draws.rng("clouds"), sky.shape)
        image = skies.replace_sky(image, skies.sky_matte(image, sky), new, 0.2 * spill)
    if "overexposed_sky" in strength:
        level = strength["overexposed_sky"]
        image = skies.overexpose_sky(image, sky, level=level, bloom=0.35 * bloom)
    if "fog" in strength:
        light = tuple((170 + 70 * bright) * np.array([1, 1, 1 + 0.06 * blue]))
        image = skies.fog(image, sky, draws.rng("fog"), density=strength["fog"], light=light)
    if "night" in strength:
        options = {"light": strength["night"], "glow": 10 + 50 * town}
        image = skies.night(image, sky, draws.rng("lamps"), **options)
    return image


def _blur(image: np.ndarray, draws: Draws, strength: dict) -> np.ndarray:
    """What the lens and the exposure's time leave."""
    height = len(image)
    if "defocus" in strength:
        image = effects.defocus(image, strength["defocus"] * height)
    if "motion" in strength:
        angle = np.pi * draws.lens[0]
        image = effects.motion_blur(image, strength["motion"] * height, angle)
    return image


def _expose(
    clip: np.ndarray, sky: np.ndarray | None, draws: Draws, settings: Augmentation, strength: dict
) -> np.ndarray:
    """What the sensor sees, with the gamma of its processing, which is the same table."""
    gain, exponent = np.exp(strength.get("exposure", 0.0)), strength.get("gamma", 1.0)
    chance, level = draws.glare
    if sky is not None and chance < settings.glare:
        gain = skies.glare(clip[-1], sky, level=255 + 120 * level, gain=gain)
    if "noise" in strength:
        grain = draws.rng("grain")  # goes on from frame to frame
        lit = np.float32(gain) * clip
        noisy = [effects.sensor_noise(frame, grain, strength["noise"]) for frame in lit]
        clip, gain = effects.as_bytes(effects.stacked(noisy)), 1.0
    if gain == exponent == 1.0:
        return clip
    return _each(clip, partial(cv2.LUT, lut=effects.tone_table(gain, exponent)))


def _process(clip: np.ndarray, draws: Draws, strength: dict) -> np.ndarray:
    """What the camera makes of it."""
    if strength.keys() & {"saturation", "hue", "contrast", "brightness", "tint"}:
        gains = 2 * np.array(draws.lens[1:]) - 1
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
    return clip


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
        rng = _generator(seed, "mix")
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
