"""Roofs for drawn buildings: flat ones and pitched ones, chimneys, antennas."""

from typing import TYPE_CHECKING

import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas, Texture, encode
from skyseg_tf.data.drawing.noise import noise
from skyseg_tf.data.drawing.solids import box, pick

if TYPE_CHECKING:
    from skyseg_tf.data.drawing.buildings import Building

_ROOFS = [
    (0.5, 0.25, 0.18),
    (0.42, 0.22, 0.17),
    (0.3, 0.28, 0.28),
    (0.22, 0.22, 0.24),
    (0.55, 0.35, 0.25),
    (0.35, 0.33, 0.3),
    (0.6, 0.6, 0.58),
]


def _flat_roof(b: "Building") -> tuple[float, float]:
    """How far a flat roof sticks out and how thick its edge is, metres; 0, 0 for a plain one."""
    rng = np.random.default_rng([b.seed, 8])
    return (rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.7)) if rng.random() < 0.6 else (0.0, 0.0)


def paint_beyond_walls(canvas: Canvas, base, b: "Building", wall) -> None:
    """What the walls hide the lower part of: the lift house and the roof's underside."""
    rng = np.random.default_rng([b.seed, 9])
    if rng.random() < 0.5:
        share = rng.uniform(0.2, 0.5)
        spot = base[0] + (base[2] - base[0]) * rng.uniform(0.05, 0.4) + UP * b.height
        high, color = rng.uniform(1.5, 4), wall * rng.uniform(0.6, 1)
        box(canvas, spot, b.along, b.width * share, b.depth * share, high, color, "building")
    over, thick = _flat_roof(b)
    if thick and canvas.camera.position[1] < b.height:
        ring = base.mean(0) + (base - base.mean(0)) * (1 + over) + UP * b.height
        canvas.polygon(ring, wall * 0.6, "building", canvas.light.on(-UP))


def paint_flat_top(canvas: Canvas, rng, base, b: "Building", wall) -> None:
    """The edge of a flat roof, and antennas."""
    over, thick = _flat_roof(b)
    if thick:
        ring = base.mean(0) + (base - base.mean(0)) * (1 + over) + UP * b.height
        high = UP * thick
        for i in range(4):
            start, end = ring[i], ring[(i + 1) % 4]
            normal = cross(UP, end - start) / np.linalg.norm(end - start)
            if np.dot(canvas.camera.position - start, normal) > 0:
                canvas.polygon(
                    [start, end, end + high, start + high],
                    wall * 0.8,
                    "building",
                    canvas.light.on(normal),
                )
    masts(canvas, rng, base[:2], b.height)


def masts(canvas: Canvas, rng, edge, height) -> None:
    """Antennas on a roof edge given by two (3,) points."""
    if rng.random() < 0.55:
        return
    for _ in range(int(rng.integers(1, 4))):
        foot = edge[0] + (edge[1] - edge[0]) * rng.uniform(0.1, 0.9) + UP * height
        high = UP * rng.uniform(1.5, 5)
        across = (edge[1] - edge[0]) / np.linalg.norm(edge[1] - edge[0]) * rng.uniform(0.3, 0.9)
        rungs = foot + high * np.linspace(0.6, 1, 4)[:, None]
        canvas.lines(
            np.vstack([foot, rungs - across]),
            np.vstack([foot + high, rungs + across]),
            np.array([0.08, *[0.03] * 4]),
            (0.2, 0.2, 0.2),
            "building",
        )


def paint_pitched(canvas: Canvas, rng, base, b: "Building", rise, metre) -> None:
    """Roof slopes with tiles, and chimneys."""
    tile = pick(rng, _ROOFS) * rng.uniform(0.8, 1.2)
    over, seed = rng.uniform(0.2, 0.6), int(rng.integers(2**31))
    turn = 1 if b.roof == "front" else 0
    corners = np.roll(base, -turn, 0) + UP * b.height
    along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    inset = np.linalg.norm(corners[3] - corners[0]) / 2 if b.roof == "hip" else 0.0
    inset = min(inset, 0.45 * np.linalg.norm(corners[1] - corners[0]))
    middle = (corners[0] + corners[3]) / 2 + UP * rise, (corners[1] + corners[2]) / 2 + UP * rise
    ridge = middle[0] + along * inset, middle[1] - along * inset
    reach = along * over if b.roof != "hip" else 0 * along

    _paint_chimneys(canvas, rng, ridge, along, tile)  # the slopes hide their feet
    tiles, eye = _tiles(tile, seed), canvas.camera.position
    slopes = [
        (corners[0], corners[1], ridge[1], ridge[0]),
        (corners[2], corners[3], ridge[0], ridge[1]),
    ]
    for left, right, up_right, up_left in slopes:
        normal = cross(right - left, up_left - left)
        normal = -normal if normal[1] < 0 else normal
        normal = normal / np.linalg.norm(normal)
        if np.dot(eye - left, normal) <= 0:
            continue
        sign = 1 if np.dot(right - left, along) > 0 else -1
        slope = up_left - left - along * np.dot(up_left - left, along)
        start = left - reach * sign - slope / np.linalg.norm(slope) * over
        end = right + reach * sign - slope / np.linalg.norm(slope) * over
        across = end - start
        length = np.linalg.norm(across)
        shape = [
            [np.dot(p - start, across) / length**2, np.dot(p - start, slope) / slope.dot(slope)]
            for p in (start, end, up_right + reach * sign, up_left - reach * sign)
        ]
        canvas.plane(start, across, slope, tiles, "building", canvas.light.on(normal), shape)
    if b.roof == "hip":
        _paint_hips(canvas, corners, ridge, tile)
    if not b.far and metre > 1:
        masts(canvas, rng, np.array(ridge), -0.2)


def _tiles(color: np.ndarray, seed: int) -> Texture:
    """What a canvas's plane takes: grainy tiles in rows."""

    def texture(px):
        r = np.random.default_rng([seed, 4])
        h, w = max(8, round(8 * px)), max(8, round(20 * px))
        grain = noise((h, w), px * 0.3, r, 1.0) * 6 + noise((h, w), max(1, px * 0.05), r, 0.3) * 6
        if px >= 8:
            grain[:: max(2, round(px * 0.35))] -= 22
        return np.clip(encode(color) + grain[..., None], 0, 255).astype(np.uint8), None

    return texture


def _paint_chimneys(canvas: Canvas, rng, ridge, along, tile) -> None:
    for _ in range(int(rng.integers(0, 4))):
        share = rng.uniform(0.1, 0.9)
        foot = ridge[0] + (ridge[1] - ridge[0]) * share - UP * 0.8
        wide, high = rng.uniform(0.5, 1.2), rng.uniform(1.4, 2.4)
        box(canvas, foot, along, wide, 0.6, high, tile * 0.9 + 0.05, "building")


def _paint_hips(canvas: Canvas, corners, ridge, tile) -> None:
    """The two triangles at the ends of a hip roof."""
    for i, j, peak in ((1, 2, ridge[1]), (3, 0, ridge[0])):
        normal = cross(corners[j] - corners[i], peak - corners[i])
        normal = normal / np.linalg.norm(normal) * (1 if normal[1] > 0 else -1)
        if np.dot(canvas.camera.position - corners[i], normal) > 0:
            face, light = [corners[i], corners[j], peak], canvas.light.on(normal)
            canvas.polygon(face, np.clip(tile, 0, 1), "building", light)
