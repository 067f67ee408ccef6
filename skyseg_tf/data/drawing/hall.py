"""Garages, underpasses, arcades and tunnels: drawn places without any sky."""

from collections.abc import Callable
from functools import partial

import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.canvas import Canvas, encode
from skyseg_tf.data.drawing.ground import paint_ground
from skyseg_tf.data.drawing.noise import noise

_LABELS = {"garage": "building", "underpass": "tunnel", "arcade": "building", "tunnel": "tunnel"}
_FACES = ("ceiling", "left", "right", "end")
_WHITE_CEILING, _WHITE_CEILING_CHANCE = (0.95, 0.95, 0.94), 0.4
_TILES = (0, 0.3, 1.2, 3)  # metres; 0 for none
_BEHIND = -40.0  # metres: where the hall begins
_COLUMNS_CHANCE, _LAMPS_CHANCE, _BEAMS_CHANCE = 0.5, 0.85, 0.5


def paint_hall(canvas: Canvas, rng: np.random.Generator, seed: int) -> None:
    """Paints one around the camera.

    Args:
      canvas: to paint on.
      rng: of its kind, measures and colors.
      seed: of the grain.
    """
    label = _LABELS[list(_LABELS)[rng.integers(len(_LABELS))]]
    beside, eye = abs(canvas.camera.position[0]), canvas.camera.position[1]
    half, high = max(rng.uniform(2.5, 9), beside + 1.0), max(rng.uniform(2.3, 6), eye + 0.4)
    length = rng.uniform(15, 90)
    colors = _colors(rng)
    light = np.ones(3) * rng.uniform(0.25, 0.7) + rng.normal(0, 0.03, 3)
    corners = [[-half, 0, _BEHIND], [half, 0, _BEHIND], [half, 0, length], [-half, 0, length]]
    floor = [np.array(corners)], np.ones(3) * rng.uniform(0.3, 0.7), "road"
    paint_ground(canvas, ((0.4, 0.4, 0.4), "road"), [floor], [], [], seed)
    tiles = rng.choice(_TILES)
    run, span = np.array([0, 0, length - _BEHIND]), np.array([2 * half, 0, 0])
    faces = {  # lower left corner, its two edges, and how much of the light falls on it
        "end": ([-half, 0, length], span, UP * high, 1.0),
        "left": ([-half, 0, _BEHIND], run, UP * high, 1.0),
        "right": ([half, 0, _BEHIND], run, UP * high, 0.9),
        "ceiling": ([-half, high, length], span, -run, 1.1),
    }
    for name, (corner, across, up, share) in faces.items():
        size = float(np.abs(across).max()), float(np.abs(up).max())
        texture = _tiled(colors[name], tiles, size, seed)
        canvas.plane(corner, across, up, texture, label, light * share)
    _fittings(canvas, rng, half, high, length, label, light)


def _colors(rng) -> dict[str, np.ndarray]:
    """Display color of each face but the floor."""
    tone = np.ones(3) * rng.uniform(0.35, 0.95) + rng.normal(0, 0.04, 3)
    colors = {
        name: np.clip(tone * rng.uniform(0.7, 1.1) + rng.normal(0, 0.05, 3), 0.05, 0.97)
        for name in _FACES
    }
    if rng.random() < _WHITE_CEILING_CHANCE:
        colors["ceiling"] = np.array(_WHITE_CEILING)
    return colors


def _tiled(color, tiles: float, size: tuple[float, float], seed: int) -> Callable:
    """The texture of a face of (width, height) metres."""

    def texture(px):
        rng = np.random.default_rng([seed, 32])
        h, w = max(4, round(size[1] * px)), max(4, round(size[0] * px))
        stains = noise((h, w), px * 0.4, rng, 1.4) * 6
        grain = stains + noise((h, w), max(1, px * 0.04), rng, 0.3) * 4
        if tiles and px >= 4:
            grain[:: max(3, round(px * tiles))] -= 20
            grain[:, :: max(3, round(px * tiles))] -= 20
        return np.clip(encode(color) + grain[..., None], 0, 255).astype(np.uint8), None

    return texture


def _fittings(canvas, rng, half, high, length, label, light) -> None:
    """Beams, columns and lamps, far ones first."""
    step = rng.uniform(3, 8)
    columns, lamps, beams = rng.random(3) < (_COLUMNS_CHANCE, _LAMPS_CHANCE, _BEAMS_CHANCE)
    lamp = np.array([1.0, 0.97, 0.9]) * rng.uniform(1.5, 5)
    wide = rng.uniform(0.15, 0.5)
    paint = partial(canvas.polygon, label=label)
    for z in np.arange(length - 1, 1.5, -step):
        if beams:
            beam = _upright(-half, half, high - wide, high, z)
            paint(beam, (0.6, 0.6, 0.6), light=light * 0.8)
        if lamps:
            for x in (-half * 0.45, half * 0.45):
                y, left, right = high - 0.08, x - 0.15, x + 0.15
                tube = [[left, y, z - 1.6], [right, y, z - 1.6], [right, y, z], [left, y, z]]
                paint(tube, (1, 1, 1), light=lamp)
        if columns and z > 3:
            for x in (-half * 0.6, half * 0.6):
                column = _upright(x - wide, x + wide, 0, high, z - 1)
                paint(column, (0.62, 0.6, 0.55), light=light)


def _upright(x0, x1, y0, y1, z) -> list:
    """An upright rectangle across the road."""
    return [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]
