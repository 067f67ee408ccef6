"""What rooms of drawn scenes are made of: surfaces, walls to place things on, and their light."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from skyseg_tf.data.scene_canvas import Canvas, noise

UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Surface:
    """How a face looks before light falls on it.

    Attributes:
      color: display color (3,).
      kind: "plain", "stripes", "motif", "blocks", "boards" or "check".
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
        return np.array([self.at(a0, y0, n), self.at(a1, y0, n), self.at(a1, y1, n), self.at(a0, y1, n)])  # fmt: skip


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
        s, t = np.meshgrid(np.linspace(0, 1, fine), np.linspace(1, 0, fine))
        points = corner + s.reshape(-1, 1) * across + t.reshape(-1, 1) * up
        light = self.shine(points, normal)
        most = max(float(light.max()), 1e-4)
        shade = np.sqrt(light / most).astype(np.float32).reshape(fine, fine, 3)

        def texture(px):
            w, h = (max(4, round(float(np.linalg.norm(v)) * px)) for v in (across, up))
            tex = surface(h, w, px) if callable(surface) else surface.draw(h, w, px)
            tex *= cv2.resize(shade, (w, h), interpolation=cv2.INTER_LINEAR)
            return np.clip(tex, 0, 255).astype(np.uint8), None

        self.canvas.plane(corner, across, up, texture, label, np.full(3, most), shape)

    def panel(self, wall: Wall, a, y, n: float, surface, label="building") -> None:
        """Paints a rectangle parallel to a wall: `a` and `y` are (low, high)."""
        across, up = wall.along * (a[1] - a[0]), wall.rise * (y[1] - y[0])
        self.face(wall.at(a[0], y[0], n), across, up, wall.inward, surface, None, 5, label)
