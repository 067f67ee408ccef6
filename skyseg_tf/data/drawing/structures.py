"""Towers, cranes and bridges of drawn street scenes."""

import numpy as np

from skyseg_tf.data.drawing.buildings import Building, draw_building
from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.solids import box, pick

_TOWER_STYLES = ("stone", "brick", "plaster", "white")
_SPIRES = ((0.3, 0.45, 0.4), (0.25, 0.25, 0.27), (0.45, 0.25, 0.2))  # display colors
_CRANES = ((0.85, 0.65, 0.1), (0.75, 0.2, 0.12), (0.8, 0.8, 0.82), (0.2, 0.35, 0.6))
_CROSS = (0.5, 0.42, 0.2)


def draw_tower(canvas: Canvas, foot, seed: int) -> None:
    """A church tower: a square shaft with a spire and a cross."""
    rng = np.random.default_rng([seed, 5])
    side, high = rng.uniform(5, 9), rng.uniform(18, 40)
    along = np.array([np.cos(turn := rng.uniform(-0.8, 0.8)), 0, np.sin(turn)])
    style = _TOWER_STYLES[rng.integers(len(_TOWER_STYLES))]
    b = Building(np.asarray(foot, float), along, side, side, high, "flat", style, seed, True)
    draw_building(canvas, b)
    back = cross(along, UP)
    base = np.array([foot, foot + along * side, foot + (along + back) * side, foot + back * side])
    peak = base.mean(0) + UP * (high + side * rng.uniform(0.8, 3.2))
    color = pick(rng, _SPIRES)
    top = base + UP * high
    for i in range(4):
        normal = cross(peak - top[i], top[(i + 1) % 4] - top[i])
        normal = normal / np.linalg.norm(normal) * (1 if normal[1] > 0 else -1)
        if np.dot(canvas.camera.position - top[i], normal) > 0:
            canvas.polygon(
                [top[i], top[(i + 1) % 4], peak], color, "building", canvas.light.on(normal)
            )
    arm = along * 0.5
    canvas.lines(
        [peak, peak + UP * 1.4 - arm],
        [peak + UP * 2, peak + UP * 1.4 + arm],
        0.12,
        _CROSS,
        "building",
    )


def draw_crane(canvas: Canvas, foot, seed: int) -> None:
    """A tower crane: lattice mast, jib, counter jib and stays."""
    rng = np.random.default_rng([seed, 6])
    high, reach = rng.uniform(28, 55), rng.uniform(25, 45)
    turn = rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(turn), 0, np.sin(turn)])
    color = pick(rng, _CRANES)
    top = foot + UP * high
    starts, ends = [], []

    def lattice(a, b, lift, steps):
        for t in range(steps):
            p, q = a + (b - a) * t / steps, a + (b - a) * (t + 1) / steps
            starts.extend([p, p + lift, p, p + lift if t % 2 else p])
            ends.extend([q, q + lift, p + lift, q if t % 2 else q + lift])

    lattice(foot, top, np.array([1.6, 0, 0]), int(high / 2))
    lattice(top, top + out * reach, UP * 1.5, int(reach / 2))
    lattice(top, top - out * reach * 0.3, UP * 1.2, 4)
    peak = top + UP * 6
    starts.extend([peak, peak, top, top + out * reach * 0.7])
    ends.extend(
        [
            top + out * reach * 0.7 + UP * 1.5,
            top - out * reach * 0.3,
            peak,
            top + out * reach * 0.7 - UP * rng.uniform(5, 20),
        ]
    )
    canvas.lines(starts, ends, 0.16, color, "building", canvas.light.on(UP * 0.3))


def draw_bridge(canvas: Canvas, centre, along, half: float, clearance: float, seed: int) -> None:
    """A bridge across the road: beam, railing, piers at both sides.

    Args:
      canvas: to paint on.
      centre: (3,) point of the road below its near edge.
      along: (3,) unit vector to the road's right.
      half: metres from the road's middle to the piers.
      clearance: height of the beam's underside.
      seed: of color and railing.
    """
    rng = np.random.default_rng([seed, 7])
    color = np.ones(3) * rng.uniform(0.4, 0.75) + rng.normal(0, 0.02, 3)
    wide, thick = rng.uniform(5, 14), rng.uniform(0.9, 1.8)
    for side in (-1, 1):
        pier = centre + along * (side * (half + 0.7) - 0.6)
        box(canvas, pier, along, 1.2, wide, clearance, color * 0.9, "bridge")
    left = centre - along * (half + 40) + UP * clearance
    box(canvas, left, along, 2 * (half + 40), wide, thick, color, "bridge")
    posts = left + UP * thick + along * np.arange(0, 2 * (half + 40), 1.5)[:, None]
    rail = UP * rng.uniform(0.9, 1.2)
    canvas.lines(
        np.vstack([posts, left + UP * thick + rail]),
        np.vstack([posts + rail, left + UP * thick + rail + along * 2 * (half + 40)]),
        0.06,
        (0.35, 0.37, 0.38),
        "bridge",
    )
