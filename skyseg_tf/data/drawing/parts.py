"""Road users and street furniture for drawn street scenes."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import Canvas, cross, encode

UP = np.array([0.0, 1.0, 0.0])

_PAINTS = [(.9, .9, .9), (.93, .94, .95), (.88, .89, .9), (.08, .08, .09), (.12, .12, .14),
           (.06, .06, .07), (.5, .52, .54), (.6, .62, .65), (.68, .7, .72), (.3, .32, .35),
           (.2, .21, .23), (.4, .42, .44), (.55, .08, .08), (.1, .16, .35), (.2, .3, .5),
           (.12, .2, .3), (.7, .66, .55), (.1, .25, .18), (.45, .1, .06), (.8, .6, .1)]  # fmt: skip
_GLASS = (0.1, 0.12, 0.14)

# Side outlines: (share of the length, height in metres, half width in shares), front first,
# clockwise; "glass" lists the edges of the outline that are windows.
_SHAPES = {
    "sedan": (4.5, 0.9, [(0, .35, 1), (0, .65, .97), (.03, .8, .95), (.27, .95, .93), (.42, 1.42, .78),
                         (.68, 1.42, .78), (.85, .98, .92), (1, .92, .95), (1, .4, 1)], (3, 5)),
    "hatch": (3.9, 0.86, [(0, .35, 1), (0, .7, .97), (.03, .82, .95), (.24, .98, .93), (.42, 1.5, .8),
                          (.86, 1.48, .8), (.98, 1.0, .93), (1, .85, .97), (1, .4, 1)], (3, 5)),
    "suv": (4.6, 0.95, [(0, .45, 1), (0, .9, .98), (.03, 1.02, .96), (.26, 1.1, .95), (.36, 1.72, .82),
                        (.93, 1.7, .82), (.99, 1.1, .95), (1, 1., .97), (1, .5, 1)], (3, 5)),
    "van": (5.4, 1.0, [(0, .45, 1), (0, .95, .98), (.02, 1.1, .97), (.13, 1.3, .96), (.24, 2.35, .9),
                       (1, 2.4, .92), (1, .5, 1)], (3,)),
    "bus": (11.5, 1.27, [(0, .4, 1), (0, 1.1, 1), (.015, 2.7, .98), (.03, 3.05, .96), (1, 3.05, .96),
                         (1, 1.5, 1), (1, .4, 1)], (1, 4)),
    "truck": (8.5, 1.25, [(0, .9, 1), (0, 3.6, 1), (1, 3.6, 1), (1, .9, 1)], ()),
    "cab": (2.0, 1.2, [(0, .5, 1), (0, 1.5, 1), (.12, 2.8, .95), (1, 2.9, .95), (1, .5, 1)], (1,)),
}  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """A vehicle.

    Attributes:
      place: (3,) middle of its footprint.
      heading: (3,) unit vector to where it drives.
      kind: key of the shapes.
      seed: of its color.
    """

    place: np.ndarray
    heading: np.ndarray
    kind: str
    seed: int


def draw_vehicle(canvas: Canvas, v: Vehicle) -> None:
    """Paints a vehicle as an extruded outline with windows, wheels and lamps."""
    if not canvas.camera.sees(v.place + UP, _SHAPES[v.kind][0] * 0.6):
        return
    rng = np.random.default_rng([v.seed, 21])
    paint = np.array(_PAINTS[rng.integers(len(_PAINTS))])
    if v.kind in ("van", "truck") and rng.random() < 0.6:
        paint = np.array([0.93, 0.93, 0.92])
    label = {"bus": "bus", "truck": "truck"}.get(v.kind, "car")
    instance = canvas.new_instance(label)
    polygons = []
    if v.kind == "truck":
        parts = [("truck", v.place, paint), ("cab", v.place + v.heading * 5.4,
                  np.array(_PAINTS[rng.integers(len(_PAINTS))]))]  # fmt: skip
        parts.sort(key=lambda part: -np.linalg.norm(part[1] - canvas.camera.position))
    else:
        parts = [(v.kind, v.place, paint)]
    for kind, place, color in parts:
        polygons += _hull(canvas, kind, place, v.heading, color, rng)
    canvas.sprite(polygons, label, np.ones(3), instance)


def _lit(canvas, color, normal) -> np.ndarray:
    """Display color under the light on a face (the sprite's own light is 1)."""
    return np.sqrt(np.clip(np.square(color) * canvas.light.on(normal), 0, 1))


def _hull(canvas, kind, place, heading, color, rng) -> list:
    """The polygons of one body, far ones first."""
    length, half, outline, windows = _SHAPES[kind]
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
        if i in windows:
            glass = np.array([a * 0.94 + b * 0.06 - wa * 0.88, a * 0.94 + b * 0.06 + wa * 0.88,
                              a * 0.08 + b * 0.92 + wb * 0.9, a * 0.08 + b * 0.92 - wb * 0.9])  # fmt: skip
            sheen = np.sqrt(canvas.light.horizon.clip(0, 1)) * rng.uniform(0.1, 0.5)
            strip.append((glass, np.array(_GLASS) + sheen * 0.6))
        strips.append((np.linalg.norm((a + b) / 2 - eye), strip))
    for _, strip in sorted(strips, key=lambda pair: -pair[0]):
        polygons += strip
    polygons += _lamps(canvas, place, heading, right, length, half, outline, color)
    flank = np.array([p + side * w for p, w in zip(points, widths, strict=True)])
    polygons.append((flank, _lit(canvas, color, side * right)))
    polygons += _side_details(canvas, kind, place, heading, side * right, length, half, color)
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
    lamp = ((0.9, 0.08, 0.06) if night else (0.5, 0.06, 0.06)) if behind else (
        (1, 1, 0.92) if night else (0.75, 0.77, 0.78))  # fmt: skip
    y = low + 0.25 if len(outline) <= 6 else max(low + 0.2, high - 0.26)
    for x in (-0.92, 0.66):
        quad(x, x + 0.26, y, y + 0.17, lamp)
    return out


def _side_details(canvas, kind, place, heading, out, length, half, color) -> list:
    """Windows and wheels on the flank towards the camera."""
    polygons = []

    def at(share, y, reach=1.0):
        return place + heading * length * (0.5 - share) + UP * y + out * half * reach

    glass = np.array(_GLASS) + np.sqrt(canvas.light.horizon.clip(0, 1)) * 0.12
    panes = {
        "sedan": [((.31, .97), (.43, 1.36), (.54, 1.36), (.54, .97)), ((.56, .97), (.56, 1.36), (.67, 1.36), (.8, .98))],
        "hatch": [((.28, 1.), (.42, 1.43), (.58, 1.43), (.58, 1.)), ((.6, 1.), (.6, 1.43), (.84, 1.4), (.92, 1.02))],
        "suv": [((.29, 1.12), (.37, 1.63), (.55, 1.63), (.55, 1.12)), ((.57, 1.12), (.57, 1.63), (.9, 1.6), (.95, 1.13))],
        "van": [((.15, 1.35), (.24, 2.1), (.36, 2.1), (.36, 1.35))],
        "bus": [((x, 1.35), (x, 2.5), (x + .105, 2.5), (x + .105, 1.35)) for x in np.arange(.02, .95, .115)],
        "cab": [((.1, 1.6), (.2, 2.6), (.7, 2.6), (.7, 1.6))],
        "truck": [],
    }[kind]  # fmt: skip
    for pane in panes:
        high = max(y for _, y in pane)
        polygons.append((np.array([at(s, y, 0.8 if y == high and kind != "bus" else 0.955)
                                   for s, y in pane]), glass))  # fmt: skip
    if kind in ("sedan", "hatch", "suv"):
        seam = [
            at(0.55, 0.4, 1.0),
            at(0.553, 0.4, 1.0),
            at(0.553, 0.95, 0.96),
            at(0.55, 0.95, 0.96),
        ]
        polygons.append((np.array(seam), color * 0.45))
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)[:, None]
    rim = heading * np.cos(turn) + UP * np.sin(turn)
    radius = {"bus": 0.48, "truck": 0.48, "cab": 0.48, "suv": 0.37, "van": 0.35}.get(kind, 0.32)
    spots = {"bus": (0.22, 0.76), "truck": (0.75, 0.9), "cab": (0.5,)}.get(kind, (0.18, 0.82))
    for spot in spots:
        for scale, shade in ((1.0, 0.05), (0.62, 0.4), (0.2, 0.15)):
            ring = at(spot, radius, 1.005) + rim * radius * scale
            grey = np.full(3, shade) * (np.sqrt(canvas.light.ambient.mean()) if shade > 0.1 else 1)
            polygons.append((ring, grey))
    return polygons


def draw_person(canvas: Canvas, foot, height: float, seed: int, cycling: bool = False) -> None:
    """Paints somebody who walks, or rides a bicycle."""
    if not canvas.camera.sees(foot + UP * 1, 1.2):
        return
    rng = np.random.default_rng([seed, 22])
    right = cross(UP, foot - canvas.camera.position)
    right /= max(np.linalg.norm(right), 1e-6)
    if cycling:
        draw_bicycle(canvas, foot, right, seed)
    top, legs, skin, hair = (rng.uniform(0.05, 0.75, 3), rng.uniform(0.05, 0.4, 3),
        np.array([0.78, 0.6, 0.5]) * rng.uniform(0.35, 1.1), np.ones(3) * rng.uniform(0.05, 0.4))  # fmt: skip
    facing, stride, lean = rng.choice([-1, 1]), rng.uniform(0.02, 0.2), 0.12 if cycling else 0.0
    seat = 0.08 if cycling else 0.0

    def at(x, y):
        return foot + (right * (x * facing + lean * max(0, y - 0.5)) + UP * (y + seat)) * height

    def limb(a, b, wa, wb, color):
        across = np.array([-(b[1] - a[1]), b[0] - a[0]])
        across = across / max(np.hypot(*across), 1e-6)
        corners = [np.array(a) - across * wa, np.array(a) + across * wa,
                   np.array(b) + across * wb, np.array(b) - across * wb]  # fmt: skip
        return np.array([at(*c) for c in corners]), color

    knee = (0.16, 0.33) if cycling else (stride * 0.6, 0.27)
    swing = rng.uniform(-0.1, 0.15)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    head = np.array([at(0.045 * np.cos(t) + 0.01, 0.925 + 0.068 * np.sin(t)) for t in turn])
    cap = np.array([at(0.048 * np.cos(t), 0.945 + 0.06 * np.sin(t)) for t in turn[:8]])
    polygons = [
        limb((0, 0.5), knee, 0.055, 0.035, legs * 0.8), limb(knee, (stride, 0.02), 0.035, 0.025, legs * 0.8),
        limb((0, 0.5), (-stride * 0.4, 0.27), 0.058, 0.038, legs),
        limb((-stride * 0.4, 0.27), (-stride, 0.02), 0.038, 0.026, legs),
        limb((-stride - 0.02, 0.015), (-stride + 0.07, 0.01), 0.02, 0.012, np.full(3, 0.1)),
        limb((0, 0.47), (0.0, 0.82), 0.085, 0.11, top),
        limb((0.01, 0.8), (0.05 + swing, 0.62), 0.04, 0.03, top * 0.85),
        limb((0.05 + swing, 0.62), (0.24 if cycling else 0.1 + swing, 0.5 if not cycling else 0.58), 0.03, 0.02, top * 0.85),
        limb((0, 0.8), (0.005, 0.9), 0.03, 0.025, skin), (head, skin), (cap, hair),
    ]  # fmt: skip
    if rng.random() < 0.25 and not cycling:
        polygons.insert(0, limb((-0.1, 0.55), (-0.1, 0.78), 0.06, 0.06, rng.uniform(0.1, 0.6, 3)))
    label = "rider" if cycling else "person"
    light = canvas.light.ambient + canvas.light.sun * 0.4
    canvas.sprite(polygons, label, light, canvas.new_instance(label))


def draw_bicycle(canvas: Canvas, foot, right, seed: int) -> None:
    """Paints a bicycle seen from the side it is turned to."""
    rng = np.random.default_rng([seed, 23])
    turn = np.linspace(0, 2 * np.pi, 17)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1) * 0.33
    starts, ends = [], []
    for x in (-0.52, 0.52):
        wheel = ring + np.array([x, 0.34])
        starts.extend(wheel[:-1])
        ends.extend(wheel[1:])
    frame = [(-.52, .34), (-.1, .32), (-.2, .82), (-.52, .34), (-.1, .32), (.38, .78), (-.18, .74),
             (.38, .78), (.52, .34), (.38, .78), (.34, 1.02), (.5, 1.02), (-.2, .82), (-.32, .86)]  # fmt: skip
    pairs = [(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 13)]
    starts.extend(frame[a] for a, _ in pairs)
    ends.extend(frame[b] for _, b in pairs)
    world = [foot + np.array(p)[:, :1] * right + np.array(p)[:, 1:] * UP for p in (starts, ends)]
    widths = np.array([0.045] * 32 + [0.05] * len(pairs))
    canvas.lines(*world, widths, rng.uniform(0.03, 0.5, 3), "bicycle",
                 instance=canvas.new_instance("bicycle"))  # fmt: skip


def draw_lamp(canvas: Canvas, foot, towards, seed: int) -> None:
    """A street lamp whose arm reaches in the direction `towards`."""
    if not canvas.camera.sees(foot + UP * 5, 8):
        return
    rng = np.random.default_rng([seed, 24])
    high, reach = rng.uniform(4.5, 10), rng.uniform(0.4, 2.5)
    color = np.ones(3) * rng.uniform(0.15, 0.6)
    top = foot + UP * high
    bend = top + towards * reach * 0.3 + UP * 0.35
    end = top + towards * reach + UP * 0.45
    canvas.lines([foot, foot, top, bend], [foot + UP, top, bend, end], [0.2, 0.12, 0.09, 0.08],
                 color, "pole", canvas.light.on(UP * 0.3))  # fmt: skip
    canvas.lines([end], [end + towards * 0.6], 0.22, color * 1.1, "pole")
    if canvas.light.night:
        glow(canvas, end + towards * 0.3 - UP * 0.1, np.array([1.0, 0.72, 0.36]) * 6, 0.16)


def glow(canvas: Canvas, place, color, radius: float) -> None:
    """Adds a lamp's light to the picture; labels stay as they are."""
    pixel = canvas.camera.matrix @ (np.asarray(place) - canvas.camera.position)
    if pixel[2] < 1:
        return
    centre, size = pixel[:2] / pixel[2], radius * canvas.camera.focal / pixel[2]
    reach = max(2.0, size * 8)
    box = canvas.window(centre - reach, centre + reach)
    if box is None:
        return
    x0, y0, x1, y1 = box
    y, x = np.ogrid[y0:y1, x0:x1]
    distance = np.hypot(x - centre[0], y - centre[1]) / max(size, 0.3)
    light = np.exp(-distance * distance) + 0.02 * np.exp(-distance * 0.7) * (distance < 8)
    canvas.image[y0:y1, x0:x1] += light[..., None] * np.asarray(color, np.float32)


def draw_sign(canvas: Canvas, foot, seed: int) -> None:
    """A traffic sign on its pole, turned to the camera."""
    if not canvas.camera.sees(foot + UP * 1.5, 3):
        return
    rng = np.random.default_rng([seed, 25])
    right = cross(UP, foot - canvas.camera.position)
    right /= max(np.linalg.norm(right), 1e-6)
    right = right + cross(right, UP) * rng.normal(0, 0.25)
    high = rng.uniform(2.1, 3.0)
    canvas.lines([foot], [foot + UP * (high + 0.35)], 0.07, (0.55, 0.56, 0.57), "pole")
    polygons = []
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.integers(5)
        turn = {0: np.linspace(0, 2 * np.pi, 24, endpoint=False),
                1: np.radians([90, 210, 330]), 2: np.radians([45, 135, 225, 315]),
                3: np.radians(np.arange(8) * 45 + 22.5), 4: np.radians([0, 90, 180, 270])}[int(kind)]  # fmt: skip
        rim, face = [((.75, .05, .05), (.95, .95, .95)), ((.75, .05, .05), (.95, .95, .95)),
                     ((.95, .95, .95), (.1, .25, .6)), ((.95, .95, .95), (.7, .05, .05)),
                     ((.95, .95, .95), (.95, .75, .1))][kind]  # fmt: skip
        if rng.random() < 0.3:
            face = (0.1, 0.25, 0.6)
        centre = foot + UP * high - cross(right, UP) * 0.05
        for scale, color in ((0.42, rim), (0.33, face), (0.08, (0.1, 0.1, 0.1))):
            ring = np.array([centre + (right * np.cos(t) + UP * np.sin(t)) * scale for t in turn])
            polygons.append((ring, np.array(color)))
        high -= 0.8
    canvas.sprite(polygons, "traffic sign", canvas.light.ambient + canvas.light.sun * 0.3)


def draw_board(canvas: Canvas, left, across, high: float, seed: int) -> None:
    """A direction board (blue, green, yellow or white) with lines of text, on two posts."""
    rng = np.random.default_rng([seed, 26])
    width = float(np.linalg.norm(across))
    tall = width * rng.uniform(0.3, 0.6)
    color = np.array([(.1, .25, .6), (.05, .38, .22), (.92, .75, .1), (.93, .93, .93)][rng.integers(4)])  # fmt: skip
    ink = np.ones(3) * (0.95 if color.mean() < 0.5 else 0.05)
    posts = np.array([left + across * 0.2, left + across * 0.8])
    canvas.lines(posts, posts + UP * high, 0.22, (0.5, 0.5, 0.5), "pole")

    def texture(px):
        r = np.random.default_rng([seed, 27])
        h, w = max(4, round(tall * px)), max(4, round(width * px))
        tex = np.full((h, w, 3), encode(color), np.uint8)
        edge = max(1, h // 30)
        cv2.rectangle(tex, (edge, edge), (w - 2 * edge, h - 2 * edge), encode(ink).tolist(), edge)
        for row in range(int(r.integers(1, 4))):
            y, x = int(h * (0.25 + 0.25 * row)), int(w * 0.1)
            while x < w * r.uniform(0.5, 0.9):
                step = max(2, int(w * r.uniform(0.02, 0.05)))
                cv2.rectangle(
                    tex, (x, y - h // 16), (x + step, y + h // 16), encode(ink).tolist(), -1
                )
                x += int(step * 1.4) + 1
        return tex, None

    light = canvas.light.ambient + canvas.light.sun * 0.3
    canvas.plane(left + UP * high, across, UP * tall, texture, "traffic sign", light)


def draw_signal(canvas: Canvas, foot, seed: int, reach=0.0, towards=UP) -> None:
    """Traffic lights on a pole, and over the road if the arm has a reach."""
    if not canvas.camera.sees(foot + UP * 3, 8):
        return
    rng = np.random.default_rng([seed, 28])
    right = cross(UP, foot - canvas.camera.position)
    right /= max(np.linalg.norm(right), 1e-6)
    near = -cross(right, UP)
    high = 5.5 if reach else 3.1
    color = np.ones(3) * rng.uniform(0.15, 0.5)
    starts, ends = [foot], [foot + UP * high]
    spots = [foot + UP * 2.3 + near * 0.15]
    if reach:
        starts.append(foot + UP * high)
        ends.append(foot + UP * (high + 0.3) + towards * reach)
        spots.append(ends[-1] - UP * 0.8 + near * 0.15)
    canvas.lines(starts, ends, 0.14, color, "pole")
    state = int(rng.integers(3))
    shell = [(.06, .07, .06), (.75, .6, .1)][int(rng.random() < 0.25)]  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for spot in spots:
        corners = [(-0.17, 0), (0.17, 0), (0.17, 0.95), (-0.17, 0.95)]
        polygons = [(np.array([spot + right * x + UP * y for x, y in corners]), np.array(shell))]
        for i, lamp in enumerate([(1.0, 0.12, 0.05), (1.0, 0.65, 0.05), (0.1, 1.0, 0.55)]):
            ring = [spot + right * 0.11 * np.cos(t) + UP * (0.78 - 0.3 * i + 0.11 * np.sin(t))
                    for t in turn]  # fmt: skip
            polygons.append((np.array(ring), np.array(lamp) * (1.0 if i == state else 0.18)))
        canvas.sprite(polygons, "traffic light", np.maximum(canvas.light.ambient, 0.25))


def draw_wires(canvas: Canvas, spans, sag: float, width: float) -> None:
    """Hanging wires: a list of (from (3,), to (3,)).

    They count as pole, so that no thin thing before the sky is left out of a metric.
    """
    t = np.linspace(0, 1, 15)[:, None]
    starts, ends = [], []
    for a, b in spans:
        curve = a + (b - a) * t - UP * sag * 4 * t * (1 - t)
        starts.append(curve[:-1])
        ends.append(curve[1:])
    canvas.lines(np.concatenate(starts), np.concatenate(ends), width, (0.06, 0.06, 0.06), "pole")


def draw_fence(canvas: Canvas, start, end, height: float, kind: str, seed: int) -> None:
    """A fence of bars one can see through, a plank fence, or a guard rail."""
    rng = np.random.default_rng([seed, 29])
    run = end - start
    length = float(np.linalg.norm(run))
    light = canvas.light.ambient + canvas.light.sun * 0.35
    if kind == "guard rail":
        posts = start + run * np.linspace(0, 1, max(2, int(length / 3)))[:, None]
        canvas.lines(posts, posts + UP * 0.6, 0.1, (0.45, 0.46, 0.47), "guard rail", light)
        rail = [start + UP * 0.42, end + UP * 0.42, end + UP * 0.75, start + UP * 0.75]
        canvas.polygon(rail, (0.66, 0.68, 0.7), "guard rail", light)
        return
    color = [(.12, .13, .13), (.9, .9, .88), (.4, .3, .2), (.2, .32, .22)][rng.integers(4)]  # fmt: skip
    pitch, wide = (0.14, 0.025) if kind == "bars" else (0.12, 0.1)
    bars = start + run * np.linspace(0, 1, min(260, max(2, int(length / pitch))))[:, None]
    rails = np.array([start + UP * 0.15, start + UP * height * 0.92])
    canvas.lines(np.vstack([bars, rails]), np.vstack([bars + UP * height, rails + run]),
                 np.array([wide] * len(bars) + [0.05, 0.05]), color, "fence", light)  # fmt: skip
