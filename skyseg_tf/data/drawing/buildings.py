"""Buildings for drawn street scenes: their walls, with balconies; roofs.py has the rest."""

from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.facades import Facade
from skyseg_tf.data.drawing.roofs import paint_beyond_walls, paint_flat_top, paint_pitched
from skyseg_tf.data.drawing.solids import footprint, pick

# Display colors of walls, from which each building picks and varies one.
_WALLS = {
    "plaster": [
        (0.86, 0.82, 0.72),
        (0.78, 0.7, 0.58),
        (0.9, 0.88, 0.83),
        (0.72, 0.62, 0.5),
        (0.83, 0.74, 0.62),
        (0.7, 0.72, 0.7),
        (0.88, 0.78, 0.55),
        (0.75, 0.58, 0.48),
        (0.62, 0.66, 0.7),
        (0.8, 0.62, 0.58),
    ],
    "white": [(0.95, 0.95, 0.94), (0.97, 0.96, 0.93), (0.9, 0.93, 0.96)],
    "brick": [
        (0.55, 0.3, 0.22),
        (0.48, 0.28, 0.22),
        (0.6, 0.4, 0.3),
        (0.4, 0.26, 0.22),
        (0.62, 0.5, 0.38),
    ],
    "stone": [(0.62, 0.57, 0.48), (0.55, 0.53, 0.5), (0.7, 0.64, 0.53), (0.45, 0.43, 0.4)],
    "panel": [
        (0.66, 0.67, 0.68),
        (0.55, 0.57, 0.6),
        (0.75, 0.74, 0.7),
        (0.4, 0.43, 0.48),
        (0.82, 0.82, 0.8),
    ],
    "glass": [(0.3, 0.38, 0.45), (0.2, 0.25, 0.3), (0.5, 0.55, 0.58), (0.28, 0.36, 0.36)],
    "metal": [(0.7, 0.72, 0.74), (0.5, 0.56, 0.62), (0.85, 0.86, 0.86), (0.45, 0.5, 0.48)],
}


@dataclass(frozen=True)
class Building:
    """A box with a roof.

    Attributes:
      corner: (3,) the lower corner at the left of the front, seen from the street.
      along: (3,) unit vector along the front, to the right of somebody who looks at it.
      width, depth, height: metres; the height is that of the walls.
      roof: "flat", "gable" (ridge along the front), "front" (gable above the front) or "hip".
      style: key of the wall colors.
      seed: of everything else.
      far: nothing but walls is worth drawing.
    """

    corner: np.ndarray
    along: np.ndarray
    width: float
    depth: float
    height: float
    roof: str
    style: str
    seed: int
    far: bool = False


def draw_building(canvas: Canvas, b: Building) -> None:
    """Paints the visible faces, roof, chimneys and antennas."""
    centre = b.corner + b.along * b.width / 2 + cross(b.along, UP) * b.depth / 2
    reach = 0.5 * np.hypot(b.width, b.depth) + 0.8 * b.height
    if not canvas.camera.sees(centre + UP * b.height * 0.6, reach):
        return
    distance = max(np.linalg.norm(centre - canvas.camera.position) - reach * 0.7, 5.0)
    metre = canvas.camera.focal / distance  # pixels
    rng = np.random.default_rng([b.seed, 1])
    wall = pick(rng, _WALLS[b.style]) * rng.uniform(0.85, 1.1) + rng.normal(0, 0.02, 3)
    wall = np.clip(wall, 0.05, 1)
    base = footprint(b.corner, b.along, b.width, b.depth)
    seeds = rng.integers(0, 2**31, 4)
    facade = Facade.draw(rng, b.style, wall)
    pitch = rng.uniform(0.45, 1.2)
    rise = pitch * (b.depth if b.roof in ("gable", "hip") else b.width) / 2
    if b.roof == "flat":
        rise = 0.0
        paint_beyond_walls(canvas, base, b, wall)
    for i in range(4):
        _paint_face(canvas, facade, b, base, i, rise, int(seeds[i]), metre, rng)
    if b.roof == "flat":
        paint_flat_top(canvas, rng, base, b, wall)
    else:
        paint_pitched(canvas, rng, base, b, rise, metre)


def _paint_face(canvas, facade: Facade, b: Building, base, i: int, rise, seed, metre, rng) -> None:
    """One of the four walls, the front first, with its gable; nothing if it is turned away."""
    start, end = base[i], base[(i + 1) % 4]
    normal = cross(UP, end - start) / max(np.linalg.norm(end - start), 1e-6)
    if np.dot(canvas.camera.position - start, normal) <= 0:
        return
    shape, height = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), b.height
    if (b.roof == "gable" and i % 2 == 1) or (b.roof == "front" and i % 2 == 0):
        height = b.height + rise
        share = b.height / height
        shape = np.array([[0, 0], [1, 0], [1, share], [0.5, 1], [0, share]])
    length = float(np.linalg.norm(end - start))
    blank = i != 0 and rng.random() < 0.4

    def texture(px):
        return facade.texture(px, length, height, b.height, seed, blank, i == 0, canvas.light)

    light = canvas.light.on(normal)
    canvas.plane(start, end - start, UP * height, texture, "building", light, shape)
    if i == 0 and not b.far and metre > 4:
        _balconies(canvas, facade, start, end, -cross(b.along, UP), b, seed)


def _balconies(canvas, facade, start, end, out, b, seed) -> None:
    """Slabs with railings in front of some bays of the front."""
    if not facade.balconies:
        return
    rng = np.random.default_rng([seed, 3])
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    color = np.clip(facade.wall * 0.9, 0, 1)
    solid = rng.random() < 0.5
    bays, storeys = max(1, round(length / facade.bay)), round(b.height / facade.floor)
    chosen = rng.permutation(bays)[: facade.balconies]
    for storey in range(1, storeys):
        for bay in chosen:
            foot = start + along * (bay + 0.1) * length / bays + UP * storey * b.height / storeys
            _balcony(canvas, foot, along, out, facade.bay, color, solid)


def _balcony(canvas: Canvas, foot, along, out, bay: float, color, solid: bool) -> None:
    """One slab from its inner corner at foot, with a solid railing or bars."""
    light, w, d = canvas.light, along * bay * 0.85, out * 1.2
    canvas.polygon([foot, foot + w, foot + w + d, foot + d], color * 0.6, "building", light.on(-UP))
    low, high = foot + d - UP * 0.2, foot + d + UP * (1.0 if solid else 0.05)
    canvas.polygon([low, low + w, high + w, high], color, "building", light.on(out))
    for side in (foot, foot + w):
        canvas.polygon(
            [
                side - UP * 0.2,
                side - UP * 0.2 + d,
                side + d + UP * (high - low - UP)[1],
                side + UP * (high - low - UP)[1],
            ],
            color * 0.85,
            "building",
            light.on(along),
        )
    if not solid:
        posts = foot + d + np.linspace(0, 1, 12)[:, None] * w
        canvas.lines(
            np.vstack([posts, foot + d + UP]),
            np.vstack([posts + UP, foot + d + w + UP]),
            0.03,
            (0.15, 0.15, 0.16),
            "building",
        )
