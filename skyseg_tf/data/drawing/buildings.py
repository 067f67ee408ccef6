"""Buildings for drawn street scenes: walls, roofs, chimneys, antennas."""

from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.canvas import UP, Canvas, cross, encode, noise
from skyseg_tf.data.drawing.facades import Facade

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
_ROOFS = [
    (0.5, 0.25, 0.18),
    (0.42, 0.22, 0.17),
    (0.3, 0.28, 0.28),
    (0.22, 0.22, 0.24),
    (0.55, 0.35, 0.25),
    (0.35, 0.33, 0.3),
    (0.6, 0.6, 0.58),
]


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
    wall = np.clip(
        pick(rng, _WALLS[b.style]) * rng.uniform(0.85, 1.1) + rng.normal(0, 0.02, 3), 0.05, 1
    )
    back = cross(b.along, UP)  # from the front into the building
    base = np.array(
        [
            b.corner,
            b.corner + b.along * b.width,
            b.corner + b.along * b.width + back * b.depth,
            b.corner + back * b.depth,
        ]
    )
    eye = canvas.camera.position
    seeds = rng.integers(0, 2**31, 4)
    facade = Facade.draw(rng, b.style, wall)
    pitch = rng.uniform(0.45, 1.2)
    rise = pitch * (b.depth if b.roof in ("gable", "hip") else b.width) / 2
    if b.roof == "flat":
        rise = 0.0
    if b.roof == "flat":
        _beyond_walls(canvas, base, b, wall)
    for i in range(4):
        start, end = base[i], base[(i + 1) % 4]
        normal = cross(UP, end - start) / max(np.linalg.norm(end - start), 1e-6)
        if np.dot(eye - start, normal) <= 0:
            continue
        gabled = (b.roof == "gable" and i % 2 == 1) or (b.roof == "front" and i % 2 == 0)
        height = b.height + (rise if gabled else 0)
        share = b.height / height
        shape = np.array(
            [[0, 0], [1, 0], [1, share], [0.5, 1], [0, share]]
            if gabled
            else [[0, 0], [1, 0], [1, 1], [0, 1]]
        )
        length = float(np.linalg.norm(end - start))
        blank = i != 0 and rng.random() < 0.4
        seed = int(seeds[i])

        def texture(px, length=length, height=height, seed=seed, blank=blank, i=i):
            return facade.texture(px, length, height, b.height, seed, blank, i == 0, canvas.light)

        canvas.plane(
            start, end - start, UP * height, texture, "building", canvas.light.on(normal), shape
        )
        if i == 0 and not b.far and metre > 4:
            _balconies(canvas, facade, start, end, -back, b, seed)
    if b.roof == "flat":
        _flat_top(canvas, rng, base, b, wall)
    else:
        _pitched(canvas, rng, base, b, rise, metre)


def pick(rng: np.random.Generator, colors) -> np.ndarray:
    """One of several display colors, (3,)."""
    return np.array(colors[rng.integers(len(colors))], np.float64)


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
    light = canvas.light
    for storey in range(1, storeys):
        for bay in chosen:
            foot = start + along * (bay + 0.1) * length / bays + UP * storey * b.height / storeys
            w, d = along * facade.bay * 0.85, out * 1.2
            canvas.polygon(
                [foot, foot + w, foot + w + d, foot + d], color * 0.6, "building", light.on(-UP)
            )
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


def _flat_roof(b: Building) -> tuple[float, float]:
    """How far a flat roof sticks out and how thick its edge is, metres; 0, 0 for a plain one."""
    rng = np.random.default_rng([b.seed, 8])
    return (rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.7)) if rng.random() < 0.6 else (0.0, 0.0)


def _beyond_walls(canvas, base, b, wall) -> None:
    """What the walls hide the lower part of: the lift house and the roof's underside."""
    rng = np.random.default_rng([b.seed, 9])
    if rng.random() < 0.5:
        share = rng.uniform(0.2, 0.5)
        spot = base[0] + (base[2] - base[0]) * rng.uniform(0.05, 0.4) + UP * b.height
        box(
            canvas,
            spot,
            b.along,
            b.width * share,
            b.depth * share,
            rng.uniform(1.5, 4),
            wall * rng.uniform(0.6, 1),
            "building",
        )
    over, thick = _flat_roof(b)
    if thick and canvas.camera.position[1] < b.height:
        ring = base.mean(0) + (base - base.mean(0)) * (1 + over) + UP * b.height
        canvas.polygon(ring, wall * 0.6, "building", canvas.light.on(-UP))


def _flat_top(canvas, rng, base, b, wall) -> None:
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


def masts(canvas, rng, edge, height) -> None:
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


def box(canvas, corner, along, width, depth, height, color, label) -> None:
    """A plain box: its lower front left corner, its front's direction, and its size."""
    back = cross(along, UP)
    base = np.array(
        [
            corner,
            corner + along * width,
            corner + along * width + back * depth,
            corner + back * depth,
        ]
    )
    top = UP * height
    faces = [(base[i], base[(i + 1) % 4]) for i in range(4)]
    eye = canvas.camera.position
    for start, end in faces:
        normal = cross(UP, end - start) / max(np.linalg.norm(end - start), 1e-6)
        if np.dot(eye - start, normal) > 0:
            canvas.polygon(
                [start, end, end + top, start + top],
                np.clip(color, 0, 1),
                label,
                canvas.light.on(normal),
            )
    for plane, normal in ((base + top, UP), (base, -UP)):
        if np.dot(eye - plane[0], normal) > 0:
            canvas.polygon(plane, np.clip(color, 0, 1), label, canvas.light.on(normal))


def _pitched(canvas, rng, base, b, rise, metre) -> None:
    """Roof slopes with tiles, and chimneys."""
    tile = pick(rng, _ROOFS) * rng.uniform(0.8, 1.2)
    over, seed = rng.uniform(0.2, 0.6), int(rng.integers(2**31))
    turn = 1 if b.roof == "front" else 0
    corners = np.roll(base, -turn, 0) + UP * b.height
    depth_axis = (corners[3] - corners[0]) / np.linalg.norm(corners[3] - corners[0])
    along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    inset = np.linalg.norm(corners[3] - corners[0]) / 2 if b.roof == "hip" else 0.0
    inset = min(inset, 0.45 * np.linalg.norm(corners[1] - corners[0]))
    middle = (corners[0] + corners[3]) / 2 + UP * rise, (corners[1] + corners[2]) / 2 + UP * rise
    ridge = middle[0] + along * inset, middle[1] - along * inset
    reach = along * over if b.roof != "hip" else 0 * along

    def tiles(px):
        r = np.random.default_rng([seed, 4])
        h, w = max(8, round(8 * px)), max(8, round(20 * px))
        grain = noise((h, w), px * 0.3, r, 1.0) * 6 + noise((h, w), max(1, px * 0.05), r, 0.3) * 6
        if px >= 8:
            grain[:: max(2, round(px * 0.35))] -= 22
        return np.clip(encode(tile) + grain[..., None], 0, 255).astype(np.uint8), None

    # First the chimneys: the slopes hide their feet.
    for _ in range(int(rng.integers(0, 4))):
        share = rng.uniform(0.1, 0.9)
        foot = ridge[0] + (ridge[1] - ridge[0]) * share - UP * 0.8
        box(
            canvas,
            foot,
            along,
            rng.uniform(0.5, 1.2),
            0.6,
            rng.uniform(1.4, 2.4),
            tile * 0.9 + 0.05,
            "building",
        )
    slopes = [
        (corners[0], corners[1], ridge[1], ridge[0], depth_axis),
        (corners[2], corners[3], ridge[0], ridge[1], -depth_axis),
    ]
    eye = canvas.camera.position
    for left, right, up_right, up_left, _inward in slopes:
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
        for i, j, peak in ((1, 2, ridge[1]), (3, 0, ridge[0])):
            normal = cross(corners[j] - corners[i], peak - corners[i])
            normal = normal / np.linalg.norm(normal) * (1 if normal[1] > 0 else -1)
            if np.dot(eye - corners[i], normal) > 0:
                canvas.polygon(
                    [corners[i], corners[j], peak],
                    np.clip(tile, 0, 1),
                    "building",
                    canvas.light.on(normal),
                )
    if not b.far and metre > 1:
        masts(canvas, rng, np.array(ridge), -0.2)
