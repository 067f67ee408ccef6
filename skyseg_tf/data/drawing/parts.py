"""Street furniture of drawn street scenes."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas, encode


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
    canvas.lines(
        [foot, foot, top, bend],
        [foot + UP, top, bend, end],
        [0.2, 0.12, 0.09, 0.08],
        color,
        "pole",
        canvas.light.on(UP * 0.3),
    )
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


@dataclass(frozen=True)
class Sign:
    """A traffic sign: its corners as angles in radians, and the display colors of rim and face."""

    corners: np.ndarray
    rim: tuple[float, float, float]
    face: tuple[float, float, float]


_RED, _WHITE, _BLUE = (0.75, 0.05, 0.05), (0.95, 0.95, 0.95), (0.1, 0.25, 0.6)
_SIGNS = (
    Sign(np.linspace(0, 2 * np.pi, 24, endpoint=False), _RED, _WHITE),  # prohibition
    Sign(np.radians([90, 210, 330]), _RED, _WHITE),  # danger
    Sign(np.radians([45, 135, 225, 315]), _WHITE, _BLUE),  # parking
    Sign(np.radians(np.arange(8) * 45 + 22.5), _WHITE, (0.7, 0.05, 0.05)),  # stop
    Sign(np.radians([0, 90, 180, 270]), _WHITE, (0.95, 0.75, 0.1)),  # priority road
)
_BOARDS = ((0.1, 0.25, 0.6), (0.05, 0.38, 0.22), (0.92, 0.75, 0.1), (0.93, 0.93, 0.93))


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
        sign = _SIGNS[rng.integers(len(_SIGNS))]
        face = _BLUE if rng.random() < 0.3 else sign.face
        turn = sign.corners
        centre = foot + UP * high - cross(right, UP) * 0.05
        for scale, color in ((0.42, sign.rim), (0.33, face), (0.08, (0.1, 0.1, 0.1))):
            ring = np.array([centre + (right * np.cos(t) + UP * np.sin(t)) * scale for t in turn])
            polygons.append((ring, np.array(color)))
        high -= 0.8
    canvas.sprite(polygons, "traffic sign", canvas.light.ambient + canvas.light.sun * 0.3)


def draw_board(canvas: Canvas, left, across, high: float, seed: int) -> None:
    """A direction board (blue, green, yellow or white) with lines of text, on two posts."""
    rng = np.random.default_rng([seed, 26])
    width = float(np.linalg.norm(across))
    tall = width * rng.uniform(0.3, 0.6)
    color = np.array(_BOARDS[rng.integers(len(_BOARDS))])
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
    shell = [(0.06, 0.07, 0.06), (0.75, 0.6, 0.1)][int(rng.random() < 0.25)]
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for spot in spots:
        corners = [(-0.17, 0), (0.17, 0), (0.17, 0.95), (-0.17, 0.95)]
        polygons = [(np.array([spot + right * x + UP * y for x, y in corners]), np.array(shell))]
        for i, lamp in enumerate([(1.0, 0.12, 0.05), (1.0, 0.65, 0.05), (0.1, 1.0, 0.55)]):
            ring = [
                spot + right * 0.11 * np.cos(t) + UP * (0.78 - 0.3 * i + 0.11 * np.sin(t))
                for t in turn
            ]
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
    color = [(0.12, 0.13, 0.13), (0.9, 0.9, 0.88), (0.4, 0.3, 0.2), (0.2, 0.32, 0.22)][
        rng.integers(4)
    ]
    pitch, wide = (0.14, 0.025) if kind == "bars" else (0.12, 0.1)
    bars = start + run * np.linspace(0, 1, min(260, max(2, int(length / pitch))))[:, None]
    rails = np.array([start + UP * 0.15, start + UP * height * 0.92])
    canvas.lines(
        np.vstack([bars, rails]),
        np.vstack([bars + UP * height, rails + run]),
        np.array([wide] * len(bars) + [0.05, 0.05]),
        color,
        "fence",
        light,
    )
