"""People and bicycles of drawn street scenes."""

from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas


@dataclass(frozen=True)
class _Body:
    """Where the parts of somebody are: places are (x, y) in heights, x to where he faces."""

    foot: np.ndarray
    right: np.ndarray
    height: float
    facing: int
    cycling: bool

    def at(self, x: float, y: float) -> np.ndarray:
        """A place in the world; who rides sits higher and leans."""
        lean, seat = (0.12, 0.08) if self.cycling else (0.0, 0.0)
        across = self.right * (x * self.facing + lean * max(0, y - 0.5))
        return self.foot + (across + UP * (y + seat)) * self.height

    def limb(self, a, b, wa: float, wb: float, color) -> tuple[np.ndarray, np.ndarray]:
        """A polygon from a to b, with its half widths there, and its color."""
        across = np.array([-(b[1] - a[1]), b[0] - a[0]])
        across = across / max(np.hypot(*across), 1e-6)
        corners = [
            np.array(a) - across * wa,
            np.array(a) + across * wa,
            np.array(b) + across * wb,
            np.array(b) - across * wb,
        ]
        return np.array([self.at(*c) for c in corners]), color

    def parts(self, stride: float, swing: float, clothes) -> list[tuple[np.ndarray, np.ndarray]]:
        """Polygons from the legs up; clothes are the colors of top, legs, skin and hair."""
        top, legs, skin, hair = clothes
        at, limb = self.at, self.limb
        knee = (0.16, 0.33) if self.cycling else (stride * 0.6, 0.27)
        elbow = (0.05 + swing, 0.62)
        hand = (0.24, 0.58) if self.cycling else (0.1 + swing, 0.5)
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        head = np.array([at(0.045 * np.cos(t) + 0.01, 0.925 + 0.068 * np.sin(t)) for t in turn])
        cap = np.array([at(0.048 * np.cos(t), 0.945 + 0.06 * np.sin(t)) for t in turn[:8]])
        return [
            limb((0, 0.5), knee, 0.055, 0.035, legs * 0.8),
            limb(knee, (stride, 0.02), 0.035, 0.025, legs * 0.8),
            limb((0, 0.5), (-stride * 0.4, 0.27), 0.058, 0.038, legs),
            limb((-stride * 0.4, 0.27), (-stride, 0.02), 0.038, 0.026, legs),
            limb((-stride - 0.02, 0.015), (-stride + 0.07, 0.01), 0.02, 0.012, np.full(3, 0.1)),
            limb((0, 0.47), (0.0, 0.82), 0.085, 0.11, top),
            limb((0.01, 0.8), elbow, 0.04, 0.03, top * 0.85),
            limb(elbow, hand, 0.03, 0.02, top * 0.85),
            limb((0, 0.8), (0.005, 0.9), 0.03, 0.025, skin),
            (head, skin),
            (cap, hair),
        ]


def draw_person(canvas: Canvas, foot, height: float, seed: int, cycling: bool = False) -> None:
    """Paints somebody who walks, or rides a bicycle."""
    if not canvas.camera.sees(foot + UP * 1, 1.2):
        return
    rng = np.random.default_rng([seed, 22])
    right = cross(UP, foot - canvas.camera.position)
    right /= max(np.linalg.norm(right), 1e-6)
    if cycling:
        draw_bicycle(canvas, foot, right, seed)
    clothes = (
        rng.uniform(0.05, 0.75, 3),
        rng.uniform(0.05, 0.4, 3),
        np.array([0.78, 0.6, 0.5]) * rng.uniform(0.35, 1.1),
        np.ones(3) * rng.uniform(0.05, 0.4),
    )
    body = _Body(foot, right, height, rng.choice([-1, 1]), cycling)
    polygons = body.parts(rng.uniform(0.02, 0.2), rng.uniform(-0.1, 0.15), clothes)
    if rng.random() < 0.25 and not cycling:
        pack = body.limb((-0.1, 0.55), (-0.1, 0.78), 0.06, 0.06, rng.uniform(0.1, 0.6, 3))
        polygons.insert(0, pack)
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
    frame = [
        (-0.52, 0.34),
        (-0.1, 0.32),
        (-0.2, 0.82),
        (-0.52, 0.34),
        (-0.1, 0.32),
        (0.38, 0.78),
        (-0.18, 0.74),
        (0.38, 0.78),
        (0.52, 0.34),
        (0.38, 0.78),
        (0.34, 1.02),
        (0.5, 1.02),
        (-0.2, 0.82),
        (-0.32, 0.86),
    ]
    pairs = [(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (12, 13)]
    starts.extend(frame[a] for a, _ in pairs)
    ends.extend(frame[b] for _, b in pairs)
    world = [foot + np.array(p)[:, :1] * right + np.array(p)[:, 1:] * UP for p in (starts, ends)]
    widths = np.array([0.045] * 32 + [0.05] * len(pairs))
    canvas.lines(
        *world,
        widths,
        rng.uniform(0.03, 0.5, 3),
        "bicycle",
        instance=canvas.new_instance("bicycle"),
    )
