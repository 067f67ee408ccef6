"""The camera of drawn scenes, and the light that falls on what it sees."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

UP = np.array([0.0, 1.0, 0.0])
NEAR = 0.25  # metres; nothing nearer to the lens is drawn


def cross(a, b) -> np.ndarray:
    """Cross product of two (3,) vectors; numpy's own takes ten times as long for one pair."""
    (a0, a1, a2), (b0, b1, b2) = a, b
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


@dataclass(frozen=True)
class Light:
    """What shines: all colors (3,) float32 linear light.

    Attributes:
      sun_direction: (3,) unit vector towards the sun.
      sun: light of the sun on a surface that faces it, 0 without direct sun.
      ambient: light from everywhere.
      zenith: color of the sky overhead.
      horizon: color of the sky low down; also of the haze.
      haze: share of haze per metre.
      night: lamps and windows are lit.
    """

    sun_direction: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    haze: float
    night: bool

    def on(self, normal) -> np.ndarray:
        """(3,) light on a surface with this unit normal."""
        facing = max(0.0, float(np.dot(normal, self.sun_direction)))
        return self.ambient * (0.75 + 0.25 * float(normal[1])) + self.sun * facing


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
      position: (3,) metres.
      rotation: (3, 3) world to camera (x right, y down, z forward).
      focal: pixels.
      size: (height, width).
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    size: tuple[int, int]

    @cached_property
    def matrix(self) -> np.ndarray:
        """(3, 3): world direction to homogeneous pixel."""
        height, width = self.size
        k = np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]])
        return k @ self.rotation

    def project(self, points) -> np.ndarray:
        """(N, 3) world points -> (N, 3) homogeneous pixels; the third is the depth in metres."""
        return (np.asarray(points, np.float64) - self.position) @ self.matrix.T

    def clip(self, points) -> np.ndarray:
        """(N, 3) world polygon -> (M, 3) homogeneous pixels of what lies in view, M may be 0."""
        pixels = self.project(points)
        outside = (pixels @ self._planes[:, :3].T + self._planes[:, 3]) < 0
        if not outside.any():
            return pixels
        if outside.all(0).any():
            return pixels[:0]
        for plane in self._planes[outside.any(0)]:
            pixels = _cut(pixels, plane)
        return pixels

    @cached_property
    def _planes(self) -> np.ndarray:
        """(5, 4) near plane and sides of the view, a little outside the picture."""
        height, width = self.size
        margin = 0.05 * width
        return np.array(
            [
                [0, 0, 1, -NEAR],
                [1, 0, margin, 0],
                [-1, 0, width + margin, 0],
                [0, 1, margin, 0],
                [0, -1, height + margin, 0],
            ]
        )

    def sees(self, centre, radius: float) -> bool:
        """Whether a ball may be in view."""
        height, width = self.size
        right, down, ahead = self.rotation @ (np.asarray(centre) - self.position)
        if ahead < -radius:
            return False
        reach = max(ahead, 0.0) + radius
        side = 0.5 * reach / self.focal
        slack = radius * 1.5
        return abs(right) < side * width + slack and abs(down) < side * height + slack

    def rays(self, shape: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) float32 unit view directions of a coarser grid over the picture."""
        h, w = shape
        height, width = self.size
        x = ((np.arange(w) + 0.5) * width / w - width / 2) / self.focal
        y = ((np.arange(h) + 0.5) * height / h - height / 2) / self.focal
        grid = np.stack([*np.meshgrid(x, y), np.ones((h, w))], -1)
        grid /= np.linalg.norm(grid, axis=-1, keepdims=True)
        return (grid @ self.rotation).astype(np.float32)


def _cut(polygon: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Sutherland-Hodgman: the part of a (N, 3) polygon on the plane's positive side."""
    if not len(polygon):
        return polygon
    side = (polygon @ plane[:3] + plane[3]).tolist()
    points = polygon.tolist()
    kept = []
    for i, (point, a) in enumerate(zip(points, side, strict=True)):
        if a >= 0:
            kept.append(point)
        j = (i + 1) % len(points)
        if (a >= 0) != (side[j] >= 0):
            t = a / (a - side[j])
            kept.append([p + (q - p) * t for p, q in zip(point, points[j], strict=True)])
    return np.array(kept).reshape(-1, 3)
