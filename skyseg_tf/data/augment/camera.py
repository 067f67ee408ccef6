"""The story of a picture's augmentation: draws, street, camera, weather, lens, sensor, file.

The order is a camera's: what there is (walls, trees), where it stands (warp), what it sees (sky,
fog, night), lens (blur), sensor (exposure, noise), and its picture processing (gamma, colors,
JPEG). What costs much runs only for the pictures that draw it, tones are one table and all of color
is one matrix: most of the training's cores belong to the network.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import cv2
import numpy as np

from skyseg_tf.data.augment import effects, skies
from skyseg_tf.data.augment.settings import RANGES, Augmentation, Classes


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


def generator(seed: np.ndarray, purpose: str) -> np.random.Generator:
    """Of a seed (2,) int32: no purpose depends on the numbers that others take."""
    return np.random.default_rng((*np.asarray(seed).astype(np.uint32), _PURPOSES.index(purpose)))


def draw_chances(seed: np.ndarray) -> Draws:
    """All that may be needed is drawn, so that no effect's numbers depend on other settings."""
    rng, number = generator(seed, "chances"), len(RANGES)
    lists = [rng.random(count).tolist() for count in (5, 6, 4, 2, 2)]
    return Draws(rng.random(number), rng.random(number), *lists, partial(generator, seed))


@lru_cache
def _bounds(settings: Augmentation) -> np.ndarray:
    """(3, ranges) low, high and chance of each range."""
    scales = settings.scales._replace(
        low=float(np.log(settings.scales.low)), high=float(np.log(settings.scales.high))
    )  # as often half the size as twice
    ranges = [scales if name == "scales" else getattr(settings, name) for name in RANGES]
    return np.array(ranges).T


def strengths_of(draws: Draws, settings: Augmentation) -> dict[str, float]:
    """Of the effects that happen; the logarithm of the scale."""
    low, high, chance = _bounds(settings)
    values = (low + draws.where * (high - low)).tolist()
    chosen = np.flatnonzero(draws.happens < chance)
    return {RANGES[i]: values[i] for i in chosen}


def photograph(
    image: np.ndarray,
    mask: np.ndarray,
    seed: np.ndarray,
    settings: Augmentation,
    classes: Classes,
    open_trees: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """`presets.augment` of arrays."""
    draws, clip = draw_chances(seed), effects.as_bytes(image if image.ndim == 4 else image[None])
    strength = strengths_of(draws, settings)
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
