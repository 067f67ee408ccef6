"""What rooms of drawn scenes are made of: surfaces, walls to place things on, and their light."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.noise import noise
from skyseg_tf.data.drawing.parts import glow

WHITES = [
    (0.97, 0.97, 0.96),
    (0.96, 0.95, 0.92),
    (0.95, 0.92, 0.85),
    (0.9, 0.9, 0.9),
    (0.93, 0.95, 0.97),
]
TONES = [
    (0.8, 0.85, 0.92),
    (0.7, 0.8, 0.92),
    (0.62, 0.74, 0.88),
    (0.86, 0.8, 0.7),
    (0.82, 0.82, 0.8),
    (0.75, 0.8, 0.7),
    (0.93, 0.85, 0.65),
    (0.85, 0.6, 0.5),
    (0.6, 0.25, 0.22),
    (0.3, 0.45, 0.6),
    (0.35, 0.45, 0.38),
    (0.9, 0.75, 0.78),
    (0.5, 0.5, 0.52),
    (0.25, 0.27, 0.3),
    (0.92, 0.8, 0.4),
    (0.72, 0.62, 0.52),
    (0.7, 0.66, 0.82),
]


@dataclass(frozen=True)
class Surface:
    """How a face looks before light falls on it.

    Attributes:
      color: display color (3,).
      kind: "plain", "stripes", "folds", "motif", "blocks", "boards" or "check".
      ink: display color of the pattern, of joints between blocks.
      cell: width and height of one repeat or block, metres.
      rough: strength of the grain, 0-255 scale.
      bands: (from, to) metres above the lower edge and color; below 0 counts from the top.
      seed: of the grain.
    """

    color: np.ndarray
    kind: str = "plain"
    ink: np.ndarray | None = None
    cell: tuple[float, float] = (0.3, 0.3)
    rough: float = 2.5
    bands: tuple = ()
    seed: int = 0

    def draw(self, h: int, w: int, px: float) -> np.ndarray:
        """(h, w, 3) float32 display color 0-255 at px pixels per metre."""
        rng = np.random.default_rng([self.seed, 71])
        tex = np.empty((h, w, 3), np.float32)
        tex[:] = np.asarray(self.color) * 255
        x, y = np.arange(w)[None] / px, (h - 0.5 - np.arange(h))[:, None] / px
        cell_w, cell_h = self.cell
        ink = np.asarray(self.color if self.ink is None else self.ink) * 255
        if self.kind == "stripes":
            tex[:, (x[0] % cell_w) < cell_w * rng.uniform(0.2, 0.6)] = ink
        elif self.kind == "folds":
            bend = 2 * np.pi * (x[0] / cell_w + 0.35 * np.sin(x[0] * 9 + rng.uniform(0, 6)))
            tex *= (0.8 + 0.2 * np.sin(bend))[:, None].astype(np.float32)
        elif self.kind == "motif":
            turn = 2 * np.pi * rng.integers(1, 3, 2)
            wave = np.sin(turn[0] * x / cell_w) * np.sin(turn[1] * y / cell_h)
            wave = wave + 0.6 * np.cos(2 * np.pi * (x / cell_w + y / cell_h))
            tex[wave > rng.uniform(0.3, 0.9)] = ink
        elif self.kind in ("blocks", "boards", "check"):
            row = np.floor(y / cell_h).astype(int)
            shift = row * (0.37 if self.kind == "boards" else rng.choice([0, 0.5]))
            shift = shift * (self.kind != "check")
            column = np.floor(x / cell_w + shift).astype(int)
            tone = rng.normal(0, rng.uniform(2, 11), (64, 64)).astype(np.float32)
            tex += tone[row % 64, column % 64][..., None]
            if self.kind == "check":
                tex[(row + column) % 2 == 0] = ink
            elif px * min(self.cell) > 3:
                gap = 1.2 / px if self.kind == "boards" else max(1.0 / px, 0.008)
                joint = ((x / cell_w + shift) % 1 * cell_w < gap) | (y % cell_h < gap)
                tex[joint] = ink
        for low, high, color in self.bands:
            top = h / px if low < 0 else 0
            tex[((y >= low + top) & (y < high + top))[:, 0]] = np.asarray(color) * 255
        wide = 6.0 if self.kind == "boards" else 1.0
        grain = noise((h, w), max(1, px * 0.02), rng, 0.5, aspect=wide) * self.rough
        grain += noise((h, w), max(1, px * 0.3), rng, 1.4) * min(self.rough, 2)
        return cv2.add(tex, cv2.merge([grain] * 3))


@dataclass(frozen=True)
class Wall:
    """A frame to place things in: `along` it, up (`rise`) and `inward` from it, metres."""

    origin: np.ndarray
    along: np.ndarray
    inward: np.ndarray
    length: float
    height: float
    rise: np.ndarray = field(default_factory=lambda: UP)

    def at(self, a: float, y: float, n: float = 0.0) -> np.ndarray:
        """(3,) world point."""
        return self.origin + self.along * a + self.rise * y + self.inward * n

    def quad(self, a0, a1, y0, y1, n=0.0) -> np.ndarray:
        """(4, 3) rectangle parallel to the wall."""
        return np.array(
            [self.at(a0, y0, n), self.at(a1, y0, n), self.at(a1, y1, n), self.at(a0, y1, n)]
        )


@dataclass
class Room:
    """A room while it is painted."""

    canvas: Canvas
    outside: Canvas
    kind: str
    size: np.ndarray  # (3,) width, height, depth
    ambient: np.ndarray
    view: str  # what its windows show
    seed: int
    sources: list = field(default_factory=list)  # (place, color of the power, normal or None)
    things: list = field(default_factory=list)  # (place (3,), paint)

    @property
    def eye(self) -> np.ndarray:
        """(3,) where the camera is."""
        return self.canvas.camera.position

    def shine(self, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """(N, 3) points on a face -> (N, 3) light on them: lamps, windows, darker corners."""
        away = np.concatenate([points, self.size - points], 1)
        corner = np.where(away > 0.04, 1 - 0.33 * np.exp(-np.maximum(away, 0) / 0.45), 1).prod(1)
        light = self.ambient * (0.9 + 0.12 * float(normal[1])) * corner[:, None]
        for place, power, facing in self.sources:
            towards = place - points
            square = (towards**2).sum(1) + 0.12
            fall = np.maximum(towards @ normal, 0) / square**1.5
            if facing is not None:
                fall = fall * np.maximum(-(towards @ facing), 0) / np.sqrt(square)
            light = light + fall[:, None] * power
        return light

    def face(self, corner, across, up, normal, surface, shape=None, fine=16, label="building"):
        """Paints a face with the light that falls on each part of it."""
        ring = np.array([corner, corner + across, corner + across + up, corner + up])
        if self.canvas.outline(ring) is None:
            return
        s, t = np.meshgrid(np.linspace(0, 1, fine), np.linspace(1, 0, fine))
        points = corner + s.reshape(-1, 1) * across + t.reshape(-1, 1) * up
        light = self.shine(points, normal)
        most = max(float(light.max()), 1e-4)
        shade = np.sqrt(light / most).astype(np.float32).reshape(fine, fine, 3)

        def texture(px):
            px *= 0.65  # walls are smooth
            w, h = (max(4, round(float(np.linalg.norm(v)) * px)) for v in (across, up))
            tex = surface(h, w, px) if callable(surface) else surface.draw(h, w, px)
            tex *= cv2.resize(shade, (w, h), interpolation=cv2.INTER_LINEAR)
            return np.clip(tex, 0, 255).astype(np.uint8), None

        self.canvas.plane(corner, across, up, texture, label, np.full(3, most), shape)

    def panel(self, wall: Wall, a, y, n: float, surface, label="building") -> None:
        """Paints a rectangle parallel to a wall: `a` and `y` are (low, high)."""
        across, up = wall.along * (a[1] - a[0]), wall.rise * (y[1] - y[0])
        self.face(wall.at(a[0], y[0], n), across, up, wall.inward, surface, None, 5, label)


class Group:
    """Boxes, bars and panels that are painted together, in the order in which they are added."""

    def __init__(self, room: Room, frame: Wall):
        self.room, self.frame, self.parts = room, frame, []

    def box(self, a, y, n, color, surface: Surface | None = None) -> None:
        """Adds a box; `a`, `y`, `n` are its (low, high) in the frame, metres."""
        self.parts.append(lambda: self._box(a, y, n, color, surface))

    def bars(self, starts, ends, width, color, light=None, label="building") -> None:
        """Adds round bars between points of the frame."""
        frame, canvas = self.frame, self.room.canvas
        pairs = [[frame.at(*p) for p in points] for points in (starts, ends)]
        self.parts.append(lambda: canvas.lines(*pairs, width, color, label, light))

    def lamp(self, a, y, n, size: float, power) -> None:
        """Adds a bright shade with its glow."""
        light = power / power.mean() * 2.5 * max(self.room.ambient.mean(), 0.25)
        self.bars([(a, y, n)], [(a, y + size, n)], size, (1, 1, 1), light)
        place = self.frame.at(a, y + size / 2, n)
        self.parts.append(lambda: glow(self.room.canvas, place, light * 0.4, size * 0.5))

    def done(self, a, n) -> None:
        """Hands the group to the room unless the camera stands in it."""
        eye = self.room.eye - self.frame.origin
        at, off = float(eye @ self.frame.along), float(eye @ self.frame.inward)
        if a[0] - 0.45 < at < a[1] + 0.45 and n[0] - 0.45 < off < n[1] + 0.45:
            return
        middle = self.frame.at((a[0] + a[1]) / 2, 0, (n[0] + n[1]) / 2)
        self.room.things.append((middle, lambda: [part() for part in self.parts]))

    def _box(self, a, y, n, color, surface) -> None:
        frame, room = self.frame, self.room
        eye = room.eye - frame.origin
        eye = eye @ frame.along, eye[1], eye @ frame.inward
        spans, axes = (a, y, n), (frame.along, UP, frame.inward)
        base = Surface(np.asarray(color), rough=4, seed=room.seed)
        for axis in range(3):
            side = 0 if eye[axis] < spans[axis][0] else 1 if eye[axis] > spans[axis][1] else None
            if side is None:
                continue
            one, two = ((2, 1), (0, 2), (0, 1))[axis]
            low = [span[0] for span in spans]
            low[axis] = spans[axis][side]
            normal = axes[axis] * (2 * side - 1)
            across, up = (axes[k] * (spans[k][1] - spans[k][0]) for k in (one, two))
            corner = frame.at(low[0], low[1], low[2])
            size = float(np.linalg.norm(across) * np.linalg.norm(up))
            if size > 0.25 and room.canvas.camera.sees(corner + (across + up) / 2, 2):
                tex = surface if surface is not None and axis == 2 else base
                room.face(corner, across, up, normal, tex, None, 4)
            else:
                light = room.shine((corner + (across + up) / 2)[None], normal)[0]
                corners = [corner, corner + across, corner + across + up, corner + up]
                room.canvas.polygon(corners, color, "building", light)


def fronts(color, columns, rows, knob) -> Callable:
    """A texture of doors or drawers."""

    def texture(h, w, px):
        tex = np.full((h, w, 3), np.asarray(color) * 255, np.float32)
        for i in range(columns):
            for k in range(rows):
                x0, x1 = (int(w * (i + j) / columns) for j in (0, 1))
                y0, y1 = (int(h * (k + j) / rows) for j in (0, 1))
                cv2.rectangle(tex, (x0, y0), (x1, y1), (np.asarray(color) * 150).tolist(), 1)
                inset = max(2, int(0.07 * px))
                if knob > 0.5:
                    cv2.rectangle(
                        tex,
                        (x0 + inset, y0 + inset),
                        (x1 - inset, y1 - inset),
                        (np.asarray(color) * 205).tolist(),
                        1,
                    )
                x, y = (x1 - inset, (y0 + y1) // 2) if rows == 1 else ((x0 + x1) // 2, y0 + inset)
                cv2.circle(tex, (x, y), max(1, int(0.02 * px)), (60, 55, 50), -1)
        return tex + noise((h, w), px * 0.1, np.random.default_rng(1), 1.2)[..., None] * 2

    return texture
