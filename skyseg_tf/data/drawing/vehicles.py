"""Cars, vans, buses and trucks of drawn street scenes."""

from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas

# Display colors of cars, as frequent as on the road: white, black, grey, and a few others.
_PAINTS = (
    *[(0.9, 0.9, 0.9), (0.93, 0.94, 0.95), (0.88, 0.89, 0.9)],
    *[(0.08, 0.08, 0.09), (0.12, 0.12, 0.14), (0.06, 0.06, 0.07)],
    *[(0.5, 0.52, 0.54), (0.6, 0.62, 0.65), (0.68, 0.7, 0.72)],
    *[(0.3, 0.32, 0.35), (0.2, 0.21, 0.23), (0.4, 0.42, 0.44)],
    *[(0.55, 0.08, 0.08), (0.1, 0.16, 0.35), (0.2, 0.3, 0.5), (0.12, 0.2, 0.3)],
    *[(0.7, 0.66, 0.55), (0.1, 0.25, 0.18), (0.45, 0.1, 0.06), (0.8, 0.6, 0.1)],
)
_VAN_WHITE, _VAN_WHITE_CHANCE = (0.93, 0.93, 0.92), 0.6
_GLASS = (0.1, 0.12, 0.14)

Point = tuple[float, float]


@dataclass(frozen=True)
class Body:
    """The shape of a vehicle, seen from its side with the front at 0.

    Attributes:
      length: metres.
      half: half its width, metres.
      outline: clockwise from the front bumper: share of the length, height in metres, and how wide
        it is there as a share of `half`.
      windows: edges of the outline that are windows, by their first corner.
      panes: windows of the side: corners as (share of the length, height in metres).
      radius: of the wheels, metres.
      wheels: where they are, as shares of the length.
    """

    length: float
    half: float
    outline: tuple[tuple[float, float, float], ...]
    windows: tuple[int, ...]
    panes: tuple[tuple[Point, ...], ...]
    radius: float = 0.32
    wheels: tuple[float, ...] = (0.18, 0.82)

    @property
    def is_car(self) -> bool:
        """Whether it is a car of two doors a side, with a seam between them."""
        return len(self.panes) == 2


_BODIES = {
    "sedan": Body(
        4.5,
        0.9,
        (
            *((0, 0.35, 1), (0, 0.65, 0.97), (0.03, 0.8, 0.95), (0.27, 0.95, 0.93)),
            *((0.42, 1.42, 0.78), (0.68, 1.42, 0.78)),
            *((0.85, 0.98, 0.92), (1, 0.92, 0.95), (1, 0.4, 1)),
        ),
        windows=(3, 5),
        panes=(
            ((0.31, 0.97), (0.43, 1.36), (0.54, 1.36), (0.54, 0.97)),
            ((0.56, 0.97), (0.56, 1.36), (0.67, 1.36), (0.8, 0.98)),
        ),
    ),
    "hatch": Body(
        3.9,
        0.86,
        (
            *((0, 0.35, 1), (0, 0.7, 0.97), (0.03, 0.82, 0.95), (0.24, 0.98, 0.93)),
            *((0.42, 1.5, 0.8), (0.86, 1.48, 0.8)),
            *((0.98, 1.0, 0.93), (1, 0.85, 0.97), (1, 0.4, 1)),
        ),
        windows=(3, 5),
        panes=(
            ((0.28, 1.0), (0.42, 1.43), (0.58, 1.43), (0.58, 1.0)),
            ((0.6, 1.0), (0.6, 1.43), (0.84, 1.4), (0.92, 1.02)),
        ),
    ),
    "suv": Body(
        4.6,
        0.95,
        (
            *((0, 0.45, 1), (0, 0.9, 0.98), (0.03, 1.02, 0.96), (0.26, 1.1, 0.95)),
            *((0.36, 1.72, 0.82), (0.93, 1.7, 0.82)),
            *((0.99, 1.1, 0.95), (1, 1.0, 0.97), (1, 0.5, 1)),
        ),
        windows=(3, 5),
        panes=(
            ((0.29, 1.12), (0.37, 1.63), (0.55, 1.63), (0.55, 1.12)),
            ((0.57, 1.12), (0.57, 1.63), (0.9, 1.6), (0.95, 1.13)),
        ),
        radius=0.37,
    ),
    "van": Body(
        5.4,
        1.0,
        (
            *((0, 0.45, 1), (0, 0.95, 0.98), (0.02, 1.1, 0.97), (0.13, 1.3, 0.96)),
            *((0.24, 2.35, 0.9), (1, 2.4, 0.92), (1, 0.5, 1)),
        ),
        windows=(3,),
        panes=(((0.15, 1.35), (0.24, 2.1), (0.36, 2.1), (0.36, 1.35)),),
        radius=0.35,
    ),
    "bus": Body(
        11.5,
        1.27,
        (
            *((0, 0.4, 1), (0, 1.1, 1), (0.015, 2.7, 0.98), (0.03, 3.05, 0.96)),
            *((1, 3.05, 0.96), (1, 1.5, 1), (1, 0.4, 1)),
        ),
        windows=(1, 4),
        panes=tuple(
            ((x, 1.35), (x, 2.5), (x + 0.105, 2.5), (x + 0.105, 1.35))
            for x in np.arange(0.02, 0.95, 0.115)
        ),
        radius=0.48,
        wheels=(0.22, 0.76),
    ),
    "truck": Body(
        8.5,
        1.25,
        ((0, 0.9, 1), (0, 3.6, 1), (1, 3.6, 1), (1, 0.9, 1)),
        windows=(),
        panes=(),
        radius=0.48,
        wheels=(0.75, 0.9),
    ),
    "cab": Body(
        2.0,
        1.2,
        ((0, 0.5, 1), (0, 1.5, 1), (0.12, 2.8, 0.95), (1, 2.9, 0.95), (1, 0.5, 1)),
        windows=(1,),
        panes=(((0.1, 1.6), (0.2, 2.6), (0.7, 2.6), (0.7, 1.6)),),
        radius=0.48,
        wheels=(0.5,),
    ),
}
_CAB_AHEAD = 5.4  # metres from the middle of a truck's box to that of its cab


@dataclass(frozen=True)
class Vehicle:
    """A vehicle.

    Attributes:
      place: (3,) middle of its footprint.
      heading: (3,) unit vector to where it drives.
      kind: key of _BODIES.
      seed: of its color.
    """

    place: np.ndarray
    heading: np.ndarray
    kind: str
    seed: int


def draw_vehicle(canvas: Canvas, v: Vehicle) -> None:
    """Paints a vehicle as an extruded outline with windows, wheels and lamps."""
    if not canvas.camera.sees(v.place + UP, _BODIES[v.kind].length * 0.6):
        return
    rng = np.random.default_rng([v.seed, 21])
    paint = np.array(_PAINTS[rng.integers(len(_PAINTS))])
    if v.kind in ("van", "truck") and rng.random() < _VAN_WHITE_CHANCE:
        paint = np.array(_VAN_WHITE)
    label = v.kind if v.kind in ("bus", "truck") else "car"
    instance = canvas.new_instance(label)
    polygons = []
    parts = [(v.kind, v.place, paint)]
    if v.kind == "truck":
        cab_paint = np.array(_PAINTS[rng.integers(len(_PAINTS))])
        parts.append(("cab", v.place + v.heading * _CAB_AHEAD, cab_paint))
        parts.sort(key=lambda part: -np.linalg.norm(part[1] - canvas.camera.position))
    for kind, place, color in parts:
        polygons += _hull(canvas, _BODIES[kind], place, v.heading, color, rng)
    canvas.sprite(polygons, label, np.ones(3), instance)


def _lit(canvas, color, normal) -> np.ndarray:
    """Display color under the light on a face (the sprite's own light is 1)."""
    return np.sqrt(np.clip(np.square(color) * canvas.light.on(normal), 0, 1))


def _hull(canvas, body: Body, place, heading, color, rng) -> list:
    """The polygons of one body, far ones first."""
    length, half, outline = body.length, body.half, body.outline
    right = cross(UP, heading)
    eye = canvas.camera.position
    side = 1.0 if np.dot(eye - place, right) > 0 else -1.0
    points = [place + heading * length * (0.5 - s) + UP * y for s, y, _ in outline]
    widths = [right * half * share for _, _, share in outline]
    polygons = [_shadow_pan(place, heading, right, length, half)]
    strips = []
    for i in range(len(points) - 1):
        a, b, wa, wb = points[i], points[i + 1], widths[i], widths[i + 1]
        normal = cross(b - a, right)
        normal = normal / max(np.linalg.norm(normal), 1e-9)
        if np.dot(normal, (a + b) / 2 - place - UP * 0.8) < 0:
            normal = -normal
        if np.dot(eye - a, normal) <= 0:
            continue
        strip = [(np.array([a - wa, a + wa, b + wb, b - wb]), _lit(canvas, color, normal))]
        if i in body.windows:
            glass = np.array(
                [
                    a * 0.94 + b * 0.06 - wa * 0.88,
                    a * 0.94 + b * 0.06 + wa * 0.88,
                    a * 0.08 + b * 0.92 + wb * 0.9,
                    a * 0.08 + b * 0.92 - wb * 0.9,
                ]
            )
            sheen = np.sqrt(canvas.light.horizon.clip(0, 1)) * rng.uniform(0.1, 0.5)
            strip.append((glass, np.array(_GLASS) + sheen * 0.6))
        strips.append((np.linalg.norm((a + b) / 2 - eye), strip))
    for _, strip in sorted(strips, key=lambda pair: -pair[0]):
        polygons += strip
    polygons += _lamps(canvas, place, heading, right, length, half, outline, color)
    flank = np.array([p + side * w for p, w in zip(points, widths, strict=True)])
    polygons.append((flank, _lit(canvas, color, side * right)))
    polygons += _side_details(canvas, body, place, heading, side * right, color)
    return polygons


def _shadow_pan(place, heading, right, length, half):
    """The dark underside down to the ground."""
    a, b = heading * length * 0.44, right * half * 0.9
    low, high = UP * 0.04, UP * 0.5
    corners = np.array([place + a + b, place + a - b, place - a - b, place - a + b])
    points = np.concatenate([corners + low, corners + high])
    return points[[0, 1, 2, 3]], np.array([0.03, 0.03, 0.03])


def _lamps(canvas, place, heading, right, length, half, outline, color) -> list:
    """Bumper, lamps and plate of the end that faces the camera."""
    behind = np.dot(canvas.camera.position - place, heading) < 0
    end = place + heading * length * (-0.505 if behind else 0.505)
    low = outline[0][1]
    high = max(outline[1][1], outline[-2][1] if behind else 0) if len(outline) > 6 else low + 0.5
    out = []

    def quad(x0, x1, y0, y1, shade):
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        out.append(
            (np.array([end + right * half * x + UP * y for x, y in corners]), np.array(shade))
        )

    bumper = _lit(canvas, color * 0.8 if color.mean() > 0.3 else color + 0.05, heading)
    quad(-0.97, 0.97, low - 0.1, low + 0.15, bumper)
    quad(-0.28, 0.28, low + 0.02, low + 0.14, _lit(canvas, np.array([0.85, 0.85, 0.8]), heading))
    night = canvas.light.night
    lamp = (
        ((0.9, 0.08, 0.06) if night else (0.5, 0.06, 0.06))
        if behind
        else ((1, 1, 0.92) if night else (0.75, 0.77, 0.78))
    )
    y = low + 0.25 if len(outline) <= 6 else max(low + 0.2, high - 0.26)
    for x in (-0.92, 0.66):
        quad(x, x + 0.26, y, y + 0.17, lamp)
    return out


def _side_details(canvas, body: Body, place, heading, out, color) -> list:
    """Windows and wheels on the flank towards the camera."""
    polygons = []

    def at(share, y, reach=1.0):
        return place + heading * body.length * (0.5 - share) + UP * y + out * body.half * reach

    glass = np.array(_GLASS) + np.sqrt(canvas.light.horizon.clip(0, 1)) * 0.12
    upright = body is _BODIES["bus"]
    for pane in body.panes:
        high = max(y for _, y in pane)
        corners = [at(s, y, 0.8 if y == high and not upright else 0.955) for s, y in pane]
        polygons.append((np.array(corners), glass))
    if body.is_car:
        seam = [(0.55, 0.4, 1.0), (0.553, 0.4, 1.0), (0.553, 0.95, 0.96), (0.55, 0.95, 0.96)]
        polygons.append((np.array([at(*corner) for corner in seam]), color * 0.45))
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)[:, None]
    rim = heading * np.cos(turn) + UP * np.sin(turn)
    for spot in body.wheels:
        for scale, shade in ((1.0, 0.05), (0.62, 0.4), (0.2, 0.15)):  # tyre, rim, hub
            ring = at(spot, body.radius, 1.005) + rim * body.radius * scale
            grey = np.full(3, shade) * (np.sqrt(canvas.light.ambient.mean()) if shade > 0.1 else 1)
            polygons.append((ring, grey))
    return polygons
