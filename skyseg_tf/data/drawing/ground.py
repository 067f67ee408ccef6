"""The ground of drawn street scenes."""

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.canvas import Canvas, encode
from skyseg_tf.data.drawing.noise import noise_tile

_ROUGH = {"road": 0.07, "sidewalk": 0.06, "terrain": 0.2, "parking": 0.07, "rail track": 0.15}
_GRAIN = (  # spots per metre, see noise.noise_tile, strength
    (1.5, 1.2, 1.0),  # stains
    (18.0, 0.7, 1.0),
    (70.0, 0.3, 1.2),  # grit
)
_POOL = ((10, 60), (7, 110), (4.5, 170), (2.5, 240))  # below a lamp: radius in metres, light 0-255


def paint_ground(canvas: Canvas, base, strips, shadows, pools, seed: int) -> None:
    """Paints everything that lies flat, in one go.

    Args:
      canvas: to paint on.
      base: (display color, label) of the land that nothing else covers.
      strips: list of (list of (N, 3) polygons, display color, label or None for mere paint).
      shadows: list of (N, 3) polygons the sun does not reach, or that are dark underneath.
      pools: (N, 3) points on the ground below lamps.
      seed: of the grain.
    """
    rng = np.random.default_rng([seed, 31])
    far = 4000.0
    land = canvas.camera.position * [1, 0, 1] + np.array(
        [[-far, 0, -far], [far, 0, -far], [far, 0, far], [-far, 0, far]]
    )
    found = canvas.outline(land)
    if found is None:
        return
    (x0, y0, x1, y1), corners, _, _ = found
    box = (x0, y0, y1 - y0, x1 - x0)
    alpha = np.zeros(box[2:], np.uint8)
    cv2.fillPoly(alpha, [corners], 255, cv2.LINE_AA, 4)
    canvas.mark(x0, y0, alpha, base[1])
    texture, rough = _paint_strips(canvas, box, alpha, base, strips)
    shade, distance = _shade(canvas, box, shadows)
    patch = cv2.LUT(texture, canvas.table(np.ones(3), 0))
    patch *= (1 + rough * _grain(canvas, box, distance, rng)).clip(0.2, 2)[..., None]
    patch *= _light(canvas, shade, bool(shadows))
    if canvas.light.night:
        pool = _pool_light(canvas, box, pools) * shade
        patch += pool[..., None] * np.float32([0.1, 0.07, 0.04])
    haze = 1 - np.exp(-canvas.light.haze * distance)[..., None]
    patch += haze * (canvas.light.horizon.astype(np.float32) - patch)
    canvas.paint(x0, y0, np.ascontiguousarray(patch, np.float32), alpha, None)


def _paint_strips(canvas: Canvas, box, alpha, base, strips) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) uint8 texture and (h, w) float32 strength of the grain; marks the strips' labels."""
    x0, y0, h, w = box
    texture = np.empty((h, w, 3), np.uint8)
    texture[:] = encode(base[0])
    rough = np.full((h, w), _ROUGH[base[1]], np.float32)
    cover = np.zeros((h, w), np.uint8)
    for polygons, color, label in strips:
        cover[:] = 0
        for polygon in polygons:
            outline = canvas.outline(polygon)
            if outline is None:
                continue
            placed = [_placed(outline, box)]
            cv2.fillPoly(texture, placed, encode(color).tolist(), cv2.LINE_AA, 4)
            if label is not None:
                cv2.fillPoly(cover, placed, 255, cv2.LINE_AA, 4)
        if label is not None:
            seen = cv2.bitwise_and(cover, alpha)
            canvas.mark(x0, y0, seen, label)
            rough[seen > 127] = _ROUGH.get(label, 0.07)
    return texture, rough


def _placed(outline, box) -> np.ndarray:
    """The corners of a canvas's outline, (M, 1, 2) int32 with four fractional bits, in a box."""
    shift = (np.array(outline[0][:2]) - box[:2]) * 16
    return (outline[1] + shift).astype(np.int32)


def _light(canvas: Canvas, shade: np.ndarray, has_shadows: bool) -> np.ndarray:
    """(h, w, 3) light on flat ground: of the sky alone in shadows, or dim where there is no sun."""
    lit = canvas.light.on(UP).astype(np.float32)
    full = canvas.light.ambient.mean() * 0.75 / max(lit.mean(), 1e-6)
    if has_shadows and full < 0.9:
        dark = (canvas.light.ambient * 0.75).astype(np.float32)
        return dark + (lit - dark) * shade[..., None]
    return lit * (0.35 + 0.65 * shade[..., None])


def _shade(canvas, box, shadows):
    """(h, w) float32 share of light left by shadows, and (h, w) distance in metres."""
    x0, y0, h, w = box
    height, width = canvas.size
    coarse = (max(2, height // 8), max(2, width // 8))
    down = np.maximum(-canvas.camera.rays(coarse)[..., 1], 1e-3)
    distance = np.minimum(canvas.camera.position[1] / down, 4000).astype(np.float32)
    distance = cv2.resize(distance, (width, height))[y0 : y0 + h, x0 : x0 + w]
    shade = np.full((h, w), 255, np.uint8)
    for polygon in shadows:
        outline = canvas.outline(polygon)
        if outline is not None:
            cv2.fillPoly(shade, [_placed(outline, box)], 0, cv2.LINE_8, 4)
    blur = max(3, int(width / 250) | 1)
    return cv2.blur(shade, (blur, blur)).astype(np.float32) / 255, distance


def _grain(canvas, box, distance, rng) -> np.ndarray:
    """(h, w) float32 texture of the ground in perspective: stains, grains, cracks."""
    x0, y0, h, w = box
    camera = canvas.camera
    eye = camera.position
    to_pixel = camera.matrix @ np.array(
        [[1, 0, -eye[0]], [0, 0, -eye[1]], [0, 1, -eye[2]]], np.float64
    )  # (x, z, 1) on the ground -> pixel
    to_ground = np.linalg.inv(to_pixel) @ np.array([[1, 0, x0 + 0.5], [0, 1, y0 + 0.5], [0, 0, 1]])
    total = np.zeros((h, w), np.float32)
    for per_metre, beta, strength in _GRAIN:
        shift = np.array(
            [[per_metre, 0, rng.uniform(0, 512)], [0, per_metre, rng.uniform(0, 512)], [0, 0, 1]]
        )
        layer = cv2.warpPerspective(
            noise_tile(beta),
            shift @ to_ground,
            (w, h),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        # Past the distance where one grain is one pixel there is nothing left to see.
        reach = camera.focal / per_metre * 1.5
        total += layer * (strength / (1 + (distance / reach) ** 2))
    return total


def _pool_light(canvas, box, pools) -> np.ndarray:
    """(h, w) float32 light of street lamps on the ground."""
    light = np.zeros(box[2:], np.uint8)
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
    for spot in pools:
        for radius, value in _POOL:
            outline = canvas.outline(np.asarray(spot) * [1, 0, 1] + ring * radius)
            if outline is not None:
                cv2.fillPoly(light, [_placed(outline, box)], value, cv2.LINE_8, 4)
    size = max(3, int(canvas.size[1] / 30) | 1)
    return cv2.blur(light, (size, size)).astype(np.float32) / 255
