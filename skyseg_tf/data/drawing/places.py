"""Kinds of places for drawn street scenes, and the world that is built at one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import Camera, Light
from skyseg_tf.data.drawing.canvas import Canvas

Range = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """One kind of place; ranges are (low, high) in metres or degrees, the rest chances 0-1.

    Attributes:
      chance: how often.
      road, walk, setback: half the road, the sidewalk, from there to the houses.
      height: of the walls.
      gap: chance of a gap between two houses.
      trees: chance of a tree per place along the sidewalk.
      styles, roofs: of the houses; no styles is no houses.
      yaw, pitch: of the camera.
      eye: height of the camera.
      parked, people: chance per place.
      far: kinds of silhouettes on the horizon.
      extras: what else stands there.
    """

    chance: float
    road: Range = (3.5, 6)
    walk: Range = (1.5, 4)
    setback: Range = (0, 2)
    height: Range = (7, 20)
    gap: float = 0.12
    trees: float = 0.3
    styles: tuple[str, ...] = ("plaster", "plaster", "white", "brick", "stone", "panel", "glass")
    roofs: tuple[str, ...] = ("flat", "gable", "gable", "hip", "front")
    yaw: Range = (-8, 8)
    pitch: Range = (-4, 6)
    eye: Range = (1.2, 1.9)
    parked: float = 0.38
    people: float = 0.25
    far: tuple[str, ...] = ("trees", "city", "hills")
    extras: tuple[str, ...] = ("wires", "lamps", "signs", "signals", "tower", "crane")


_HOUSES = ("plaster", "white", "brick")
PLACES = {
    "street": Place(20),
    "canyon": Place(
        8,
        road=(2.5, 4.5),
        walk=(1, 2.5),
        setback=(0, 0.5),
        height=(14, 40),
        gap=0.03,
        trees=0.08,
        pitch=(-3, 14),
    ),
    "downtown": Place(
        7,
        road=(5, 9),
        walk=(3, 6),
        height=(15, 80),
        gap=0.1,
        roofs=("flat",),
        styles=("glass", "panel", "stone", "white", "glass"),
        pitch=(-2, 16),
    ),
    "avenue": Place(12, road=(5, 9), walk=(3, 6), setback=(2, 8), height=(8, 22), trees=0.85),
    "suburb": Place(
        12,
        road=(2.8, 4.5),
        walk=(1, 2),
        setback=(3, 9),
        height=(3, 7),
        gap=0.45,
        trees=0.45,
        styles=_HOUSES,
        roofs=("gable", "front", "hip", "gable"),
        extras=("wires", "poles", "fences", "hedges", "lamps", "signs"),
    ),
    "highway": Place(
        12,
        road=(7, 13),
        walk=(0, 0),
        trees=0.25,
        styles=(),
        parked=0,
        people=0,
        yaw=(-5, 5),
        far=("trees", "hills", "fields", "city"),
        extras=("rails", "boards", "bridge", "lamps", "noise walls"),
    ),
    "country": Place(
        12,
        road=(2.7, 4),
        walk=(0, 0),
        setback=(6, 30),
        height=(3, 7),
        gap=0.85,
        trees=0.35,
        styles=_HOUSES,
        roofs=("gable", "hip"),
        parked=0.03,
        people=0.03,
        yaw=(-25, 25),
        far=("hills", "trees", "fields", "trees"),
        extras=("poles", "wires", "hedges", "fences", "tower"),
    ),
    "square": Place(
        12,
        road=(4, 8),
        walk=(3, 9),
        setback=(0, 10),
        height=(6, 24),
        gap=0.15,
        yaw=(-100, 100),
        pitch=(-3, 14),
        people=0.4,
    ),
    "industrial": Place(
        6,
        road=(4, 7),
        walk=(1, 3),
        setback=(4, 18),
        height=(5, 14),
        gap=0.35,
        trees=0.12,
        styles=("metal", "panel", "white", "brick", "metal"),
        roofs=("flat", "flat", "gable"),
        yaw=(-50, 50),
        extras=("fences", "lamps", "signs", "wires", "crane"),
    ),
    "up": Place(9, pitch=(14, 38), yaw=(-40, 40), trees=0.5, gap=0.3, setback=(0, 6)),
    "close": Place(
        3,
        road=(1.5, 2.5),
        walk=(1, 2),
        height=(16, 40),
        gap=0,
        yaw=(70, 110),
        pitch=(-8, 3),
        trees=0.05,
    ),
    "down": Place(2, pitch=(-55, -32)),
    "hall": Place(4, extras=()),
}


@dataclass(frozen=True)
class Item:
    """Something to paint.

    Attributes:
      reach: how far along the road its far end is; what reaches farther is painted first.
      paint: paints it.
    """

    reach: float
    paint: Callable[[Canvas], None]


@dataclass
class World:
    """A place with everything in it, as seen at one moment."""

    name: str
    place: Place
    bend: float  # curvature of the road, 1/m
    seed: int
    time: float
    camera: Camera
    light: Light
    travel: float  # metres along the road where the camera is
    road: float = 0.0
    walk: float = 0.0
    items: list[Item] = field(default_factory=list)
    strips: list = field(default_factory=list)
    shadows: list = field(default_factory=list)
    pools: list = field(default_factory=list)
    base: tuple = ((0.4, 0.45, 0.25), "terrain")

    def at(self, s: float, lateral: float, y: float = 0.0) -> np.ndarray:
        """(3,) point beside the road's middle line, s metres along it."""
        return on_road(self.bend, s, lateral, y)

    def ahead(self, s: float) -> np.ndarray:
        """(3,) direction of the road."""
        return np.array([np.sin(self.bend * s), 0.0, np.cos(self.bend * s)])

    def add(self, s0: float, s1: float, paint, extra: float = 0.0) -> None:
        """Adds an item between s0 and s1; `extra` puts it behind others of the same reach."""
        reach = max(abs(s0 - self.travel), abs(s1 - self.travel)) + extra
        self.items.append(Item(reach, paint))

    def cast(self, outline: np.ndarray, height: float) -> None:
        """Adds the shadow of an upright body with this (N, 3) footprint."""
        sun = self.light.sun_direction
        if not self.light.sun.any():
            return
        reach = -sun / max(sun[1], 0.12) * height * [1, 0, 1]
        points = np.concatenate([outline, outline + reach])
        hull = cv2.convexHull(points[:, [0, 2]].astype(np.float32))[:, 0].astype(np.float64)
        self.shadows.append(np.stack([hull[:, 0], 0 * hull[:, 0], hull[:, 1]], 1))


def on_road(bend: float, s: float, lateral: float, y: float = 0.0) -> np.ndarray:
    """(3,) world point s metres along a bent road and `lateral` metres to its right."""
    turn = bend * s
    return np.array([bend * s * s / 2 + lateral * np.cos(turn), y, s - lateral * np.sin(turn)])
