"""A small painter's renderer for street scenes: the picture in progress, and how it is painted on.

Colors are linear light: 1.0 is white paper in full sun, the sky may be far above. Textures are
uint8 with a gamma of 2, so that one lookup table per object decodes, lights and hazes it at once.
World coordinates are metres: x right, y up, z along the road. Everything is painted from far to
near; a pixel takes an object's label where the object covers at least half of it, and the photo
is mixed by the very same coverage, so that picture and labels agree to the pixel.
"""

from collections.abc import Callable

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import NEAR, Camera, Light
from skyseg_tf.labels import LABEL_ID

_FIXED = 4  # fractional bits of OpenCV's polygon corners
_HALF = 128  # coverage from which on a pixel belongs to an object
_VALUES = np.linspace(0, 1, 256, dtype=np.float32)[:, None]  # of a texture

Texture = Callable[[float], tuple[np.ndarray, np.ndarray | None]]


def encode(color) -> np.ndarray:
    """Display color 0-1 -> uint8 texture value (they share the gamma)."""
    return _clip(np.asarray(color, np.float32) * 255 + 0.5, 255).astype(np.uint8)


def _clip(values, high: float = 1.0) -> np.ndarray:
    """Cuts to 0-high; numpy's own takes three times as long for a few values."""
    return np.minimum(np.maximum(values, 0), high)


class Canvas:
    """The picture in progress.

    Attributes:
      image: (H, W, 3) float32 linear light.
      labels: (H, W) uint8 Cityscapes labelIds.
      instances: (H, W) uint16 instanceIds.
    """

    def __init__(self, camera: Camera, light: Light):
        self.camera, self.light = camera, light
        self.size = camera.size
        self.image = np.zeros((*self.size, 3), np.float32)
        self.labels = np.zeros(self.size, np.uint8)
        self.instances = np.zeros(self.size, np.uint16)
        self._count: dict[int, int] = {}

    def new_instance(self, label: str) -> int:
        """The next instanceId of a class."""
        label_id = LABEL_ID[label]
        self._count[label_id] = self._count.get(label_id, -1) + 1
        return label_id * 1000 + self._count[label_id]

    def window(self, low, high) -> tuple[int, int, int, int] | None:
        """Pixel box (x0, y0, x1, y1) around (x, y) corners, cut to the picture; None if empty."""
        height, width = self.size
        x0, y0 = (max(0, int(np.floor(v)) - 2) for v in low)
        x1, y1 = (
            min(n, int(np.ceil(min(v, 1e6))) + 3)
            for v, n in zip(high, (width, height), strict=True)
        )
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def table(self, light, depth: float, ramp: np.ndarray | None = None) -> np.ndarray:
        """(1, 256, 3) float32: texture value to linear light at this depth."""
        values = _VALUES if ramp is None else ramp
        clear = np.exp(-self.light.haze * max(depth, 0.0))
        table = values**2 * np.asarray(light) * clear + self.light.horizon * (1 - clear)
        return np.broadcast_to(table, (256, 3)).astype(np.float32)[None]

    def tint(self, color, light, depth: float) -> np.ndarray:
        """(3,) float32: one display color as linear light at this depth."""
        clear = np.exp(-self.light.haze * max(depth, 0.0))
        shown = np.square(_clip(color)) * light * clear + self.light.horizon * (1 - clear)
        return shown.astype(np.float32)

    def paint(self, x0, y0, patch, alpha, label: str | None, instance: int = 0) -> None:
        """Lays a patch over the picture.

        Args:
          x0, y0: corner.
          patch: (h, w, 3) float32 linear light, or (3,) for one color.
          alpha: (h, w) uint8 coverage.
          label: takes the pixels covered by half or more; None changes no label.
          instance: instanceId, or 0 for the label's id.
        """
        h, w = alpha.shape
        region = self.image[y0 : y0 + h, x0 : x0 + w]
        share = alpha.astype(np.float32) * (1 / 255)
        if np.ndim(patch) == 1:
            patch = np.full((h, w, 3), patch, np.float32)
        region[...] = cv2.blendLinear(patch, np.ascontiguousarray(region), share, 1 - share)
        if label is not None:
            self.mark(x0, y0, alpha, label, instance)

    def mark(self, x0, y0, alpha, label: str, instance: int = 0) -> None:
        """Sets label and instance where (h, w) uint8 coverage is at least half."""
        h, w = alpha.shape
        covered = alpha >= _HALF
        self.labels[y0 : y0 + h, x0 : x0 + w][covered] = LABEL_ID[label]
        self.instances[y0 : y0 + h, x0 : x0 + w][covered] = instance or LABEL_ID[label]

    def outline(self, points: np.ndarray):
        """(N, 3) world polygon -> (box, corners (M, 1, 2) int32, depth nearest, mean) or None."""
        pixels = self.camera.clip(points)
        if len(pixels) < 3:
            return None
        depth = pixels[:, 2]
        xy = pixels[:, :2] / depth[:, None]
        box = self.window(xy.min(0), xy.max(0))
        if box is None:
            return None
        corners = np.round((xy - 0.5 - box[:2]) * 2**_FIXED).astype(np.int32)[:, None]
        return box, corners, float(depth.min()), float(depth.sum() / len(depth))

    def polygon(self, points, color, label: str | None, light=None, instance=0) -> None:
        """Paints a flat polygon: (N, 3) world points, display color (3,) 0-1."""
        found = self.outline(np.asarray(points, np.float64))
        if found is None:
            return
        (x0, y0, x1, y1), corners, _, depth = found
        alpha = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(alpha, [corners], 255, cv2.LINE_AA, _FIXED)
        shown = self.tint(color, self.light.ambient if light is None else light, depth)
        self.paint(x0, y0, shown, alpha, label, instance)

    def plane(self, origin, across, up, texture: Texture, label, light, shape=None) -> None:
        """Paints a textured flat face.

        Args:
          origin, across, up: (3,) its lower left corner and its two edges, metres.
          texture: pixels per metre -> (uint8 (h, w, 3) texture, its own glow alike or None).
          label: label name.
          light: (3,) light on it.
          shape: (N, 2) outline in shares of the edges; a rectangle without.
        """
        origin, across, up = (np.asarray(v, np.float64) for v in (origin, across, up))
        shape = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) if shape is None else np.asarray(shape)
        found = self.outline(origin + shape[:, :1] * across + shape[:, 1:] * up)
        if found is None:
            return
        (x0, y0, x1, y1), corners, nearest, depth = found
        alpha = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(alpha, [corners], 255, cv2.LINE_AA, _FIXED)
        # Powers of two: a texture stays the same drawing while the camera comes nearer.
        lengths = np.linalg.norm(across), np.linalg.norm(up)
        shown = np.sqrt(5.0 * (x1 - x0) * (y1 - y0) / (lengths[0] * lengths[1]))
        wanted = min(self.camera.focal / nearest, 96.0, 1100 / max(lengths), shown)
        color, glow = texture(float(2.0 ** np.round(np.log2(max(wanted, 2.0)))))
        h, w = color.shape[:2]
        top = origin + up - self.camera.position
        matrix = self.camera.matrix @ np.stack([across / w, -up / h, top], 1)
        matrix = np.array([[1, 0, -x0 - 0.5], [0, 1, -y0 - 0.5], [0, 0, 1]]) @ matrix
        warp = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
        box = (x1 - x0, y1 - y0)
        patch = cv2.LUT(cv2.warpPerspective(color, matrix, box, **warp), self.table(light, depth))
        if glow is not None:
            lit = cv2.warpPerspective(glow, matrix, box, **warp)
            patch += cv2.LUT(lit, self.table((0.5, 0.5, 0.5), 0))
        self.paint(x0, y0, patch, alpha, label)

    def sprite(self, polygons, label: str, light, instance=0) -> None:
        """Paints polygons as one object: a list of ((N, 3) world points, display color (3,))."""
        colors = encode([color for _, color in polygons])
        sizes = np.cumsum([len(points) for points, _ in polygons])[:-1]
        pixels = self.camera.project(np.concatenate([points for points, _ in polygons]))
        groups = np.split(pixels, sizes)
        if pixels[:, 2].min() < NEAR:  # something is behind the lens and must be cut off
            groups = [self.camera.clip(points) for points, _ in polygons]
        colors = colors[[len(group) > 2 for group in groups]].tolist()
        groups = [group for group in groups if len(group) > 2]
        if not groups:
            return
        flat = [group[:, :2] / group[:, 2:] for group in groups]
        together = np.concatenate(flat)
        box = self.window(together.min(0), together.max(0))
        if box is None:
            return
        x0, y0, x1, y1 = box
        patch = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        patch[:] = np.mean(colors, 0)
        alpha = np.zeros(patch.shape[:2], np.uint8)
        for xy, color in zip(flat, colors, strict=True):
            corners = [np.round((xy - (x0 + 0.5, y0 + 0.5)) * 2**_FIXED).astype(np.int32)]
            cv2.fillPoly(patch, corners, color, cv2.LINE_AA, _FIXED)
            cv2.fillPoly(alpha, corners, 255, cv2.LINE_AA, _FIXED)
        depth = float(np.mean(np.concatenate(groups)[:, 2]))
        self.paint(x0, y0, cv2.LUT(patch, self.table(light, depth)), alpha, label, instance)

    def lines(self, starts, ends, widths, color, label: str, light=None, instance=0) -> None:
        """Paints thin round bars, exact below one pixel: coverage falls with the width.

        Args:
          starts, ends: (N, 3) metres.
          widths: (N,) or one number, metres.
          color: display color (3,).
          label: label name.
          light: (3,), ambient without.
          instance: instanceId or 0.
        """
        ends_pair = np.stack([np.atleast_2d(starts), np.atleast_2d(ends)]).astype(np.float64)
        a, b = self.camera.project(ends_pair)
        widths = np.broadcast_to(np.asarray(widths, np.float64), len(a))
        seen = np.maximum(a[:, 2], b[:, 2]) > NEAR * 1.01
        a, b, widths = a[seen], b[seen], widths[seen]
        if not len(a):
            return
        a, b = _cut_at_near(a, b)
        depth = (a[:, 2] + b[:, 2]) / 2
        width_px = widths[:, None] * self.camera.focal / np.stack([a[:, 2], b[:, 2]], 1)  # (N, 2)
        corners = np.stack([a[:, :2] / a[:, 2:], b[:, :2] / b[:, 2:]], 1)  # (N, 2, 2)
        widest = width_px.max(1)
        reach = widest[:, None, None]
        box = self.window((corners - reach).min((0, 1)), (corners + reach).max((0, 1)))
        if box is None:
            return
        x0, y0, x1, y1 = box
        inside = ((corners.max(1) + widest[:, None] >= (x0, y0)).all(1)) & (
            (corners.min(1) - widest[:, None] <= (x1, y1)).all(1)
        )
        if not inside.any():
            return
        alpha = _draw_bars((y1 - y0, x1 - x0), corners[inside] - (x0, y0), width_px[inside])
        light = self.light.ambient if light is None else light
        shown = self.tint(color, light, float(np.median(depth)))
        self.paint(x0, y0, shown, alpha, label, instance)


def _cut_at_near(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of lines, of which the part before the near plane is left out."""
    span = np.where(a[:, 2] == b[:, 2], 1.0, b[:, 2] - a[:, 2])
    cut = ((NEAR - a[:, 2]) / span)[:, None]
    return (
        np.where(a[:, 2:] < NEAR, a + cut * (b - a), a),
        np.where(b[:, 2:] < NEAR, a + cut * (b - a), b),
    )


def _draw_bars(shape, corners: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Coverage of thin bars, drawn at twice the size.

    Args:
      shape: (h, w) of the answer.
      corners: (N, 2, 2) ends in pixels.
      widths: (N, 2) widths at the ends in pixels.

    Returns:
      (h, w) uint8 coverage.
    """
    h, w = shape
    fine = np.zeros((2 * h, 2 * w), np.uint8)
    limit = 4 * (h + w)
    scaled = np.clip(corners, -limit, limit + 1) * 2 - 0.5
    thick = widths.max(1) > 3
    mean = widths.mean(1)
    thickness = np.maximum(1, np.round(mean * 2)).astype(int)
    value = np.clip(np.ceil(mean * 2 * 5) * 51, 51, 255).astype(int)
    value[thickness > 1] = 255
    fixed = np.round(scaled * 2**_FIXED).astype(np.int32)
    kinds = set(zip(value[~thick].tolist(), thickness[~thick].tolist(), strict=True))
    for shade, width in sorted(kinds):  # faint twigs first: they must not thin a strong branch
        chosen = (thickness == width) & (value == shade) & ~thick
        cv2.polylines(fine, list(fixed[chosen]), False, shade, width, cv2.LINE_AA, _FIXED)
    for bar, width in zip(scaled[thick], widths[thick], strict=True):
        run = bar[1] - bar[0]
        run = run / max(np.hypot(*run), 1e-6)
        across = np.array([-run[1], run[0]])
        ends = bar + run * np.array([[-0.15], [0.15]]) * min(width) * 2  # joints leave no gap
        quad = np.concatenate(
            [ends + across * width[:, None], (ends - across * width[:, None])[::-1]]
        )
        outline = np.round(quad * 2**_FIXED).astype(np.int32)
        cv2.fillPoly(fine, [outline], 255, cv2.LINE_AA, _FIXED)
    return cv2.resize(fine, (w, h), interpolation=cv2.INTER_AREA)
