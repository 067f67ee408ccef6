"""The random numbers of augmentation: what happens to a picture, and how strongly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

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


# A purpose's place here salts its numbers: a new one goes to the end, else all pictures change.
_PURPOSES = ("chances", "wall", "trees", "clouds", "fog", "lamps", "grain", "mix")


def generator(seed: np.ndarray, purpose: str) -> np.random.Generator:
    """Of a seed (2,) int32: no purpose depends on the numbers that others take."""
    numbers = np.asarray(seed).astype(np.uint32)  # numpy takes no negative seeds
    return np.random.default_rng((*numbers, _PURPOSES.index(purpose)))


def draw_numbers(seed: np.ndarray) -> Draws:
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


@dataclass(frozen=True)
class Parameters:
    """All that decides what one picture becomes.

    Attributes:
      settings: what may happen.
      classes: of the mask.
      open_trees: look through bare trees, see camera.augment.
      draws: the picture's random numbers.
      strength: of the effects of a range that happen; of "scales" the logarithm.
    """

    settings: Augmentation
    classes: Classes
    open_trees: bool
    draws: Draws
    strength: dict[str, float]


def draw_parameters(
    seed: np.ndarray, settings: Augmentation, classes: Classes, open_trees: bool
) -> Parameters:
    """Those of a picture, of its seed (2,) int32."""
    draws = draw_numbers(seed)
    return Parameters(settings, classes, open_trees, draws, strengths_of(draws, settings))
