"""Two models of how a photo's color tells sky from what is not: the edges of `refine`.

Both are linear in the pixel's RGB and fitted in wide windows of the shrunken photo:

1. the guided filter: probability = a . rgb + b by ridge regression, so that edges of roofs and
   trees fall where the photo has them;
2. thin things: a wire, one pixel wide in the photo, is gone in the small map, and no regression
   brings it back. But the sky around it is smooth: a median of the small photo shows it without
   the wire, and a pixel that is darker than that sky, by more than the sky's own texture, is
   covered in proportion to how far it lies on the way to the colors of what is not sky.

Reference: He and Sun, "Fast Guided Filter", arXiv 1505.00996 (1; in color, coefficients at a
fraction of the size). 2 is the compositing equation I = alpha S + (1 - alpha) F of matting
(Levin et al., "A Closed-Form Solution to Natural Image Matting", PAMI 2008) with S and F known
from the neighbourhood.
"""

from collections.abc import Sequence

import cv2
import numpy as np

RADIUS = 12  # of the windows of both models, in pixels of the fit, as are the next two
MEDIAN = 5  # side of the median's window
FAR = 24  # radius in which a sky color is looked for
RIDGE = 1e-4  # of the regression, on colors 0-1
REACH = 6  # how far an edge may move beyond where the network saw sky, in pixels of the small photo
NOISE, TEXTURE = 0.024, 3.0  # what is never a thing: camera noise; so many median deviations
DARKENING = 0.5  # a thing of unknown color has this share of the sky's brightness
LIMIT = 10  # the plane that is no coefficient
# The coefficients are fitted on colors 0-1 and used on bytes.
_PER_BYTE = np.float32([1, 1, 1, 255, 1, 1, 1, 255, 1, 255])[:, None, None] / 255
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def fit(small: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Fits both models to a small photo and its sky probabilities.

    Args:
      small: (h, w, 3) uint8.
      p: (h, w) float32 in 0-1.

    Returns:
      (11, h, w) float32, what `evaluate` needs of each pixel. Plane LIMIT is the most that its answer
      may be: the largest of `p` within REACH.
    """
    # The windows are so wide that half of the pixels a side tell as much.
    rgb, half_p = _halved(small.astype(np.float32) / 255), _halved(p)
    fitted = [*guided_coefficients(rgb, half_p), *_thing_coefficients(rgb, half_p)]
    planes = np.empty((len(fitted) + 1, *p.shape), np.float32)
    for values, plane in zip(fitted, planes[:LIMIT], strict=True):
        cv2.resize(values, p.shape[::-1], plane, interpolation=cv2.INTER_LINEAR)
    planes[:LIMIT] *= _PER_BYTE
    planes[LIMIT] = cv2.dilate(p, np.ones((2 * REACH + 1,) * 2, np.uint8))
    return planes


def evaluate(planes: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What both models say of pixels.

    Args:
      planes: (11, h, w) float32, of `fit` or enlarged; used up.
      image: (h, w, 3) uint8.

    Returns:
      (h, w) float32 in 0-1 twice: how much of a pixel is sky, and how much thin things cover.
    """
    # OpenCV's functions make one pass where NumPy's operators make two, and a plane at a time stays
    # in the cache.
    if image.shape[:2] == (1, 1):  # OpenCV takes an array of one value for a scalar, which is four
        twice = evaluate(planes.repeat(2, axis=1), image.repeat(2, axis=0))
        return twice[0][:1], twice[1][:1]
    colors = [plane.astype(np.float32) for plane in cv2.split(image)]
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sky = _along(planes[:3], colors, planes[3])
    cv2.min(cv2.max(sky, 0, sky), planes[LIMIT], sky)
    covered = _along(planes[4:7], colors, planes[7])
    cv2.max(covered, _along(planes[8:9], [luma], planes[9]), covered)
    cv2.min(cv2.max(covered, 0, covered), 1, covered)
    sky *= 1 - covered
    return sky, covered


def _along(weights: np.ndarray, colors: Sequence[np.ndarray], total: np.ndarray) -> np.ndarray:
    """`total`, to which the products of weights and colors are added."""
    for weight, color in zip(weights, colors, strict=True):
        cv2.accumulateProduct(weight, color, total)
    return total


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)


def guided_coefficients(rgb: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """Four planes: a and b of the color guided filter, averaged over all windows of a pixel."""
    r, g, b = cv2.split(rgb)
    mr, mg, mb, mp = (_mean(plane, RADIUS) for plane in (r, g, b, p))
    rr, gg, bb = (
        np.maximum(_mean(x * x, RADIUS) - m * m, 0) + RIDGE for x, m in ((r, mr), (g, mg), (b, mb))
    )
    rg, rb, gb = (
        _mean(x * y, RADIUS) - m * n
        for x, y, m, n in ((r, g, mr, mg), (r, b, mr, mb), (g, b, mg, mb))
    )
    vr, vg, vb = (_mean(x * p, RADIUS) - m * mp for x, m in ((r, mr), (g, mg), (b, mb)))
    # Solved by the factors L D L^T of the 3 x 3 covariance, all pixels at once; the floor under D
    # holds where a grey photo makes it singular.
    l10, l20 = rg / rr, rb / rr
    d1 = np.maximum(gg - l10 * rg, RIDGE)
    left = gb - l10 * rb
    l21 = left / d1
    d2 = np.maximum(bb - l20 * rb - l21 * left, RIDGE)
    y1 = vg - l10 * vr
    y2 = vb - l20 * vr - l21 * y1
    a2 = y2 / d2
    a1 = y1 / d1 - l21 * a2
    a0 = vr / rr - l10 * a1 - l20 * a2
    shift = mp - a0 * mr - a1 * mg - a2 * mb
    return [_mean(plane, RADIUS) for plane in (a0, a1, a2, shift)]


def _halved(values: np.ndarray) -> np.ndarray:
    size = tuple(max(1, side // 2) for side in values.shape[1::-1])
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


def _thing_coefficients(rgb: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """How the share of a pixel that a thin thing covers follows from its color.

    Args:
      rgb: (h, w, 3) float32 in 0-1.
      p: (h, w) sky probabilities.

    Returns:
      Six planes: covered = c . rgb + d towards the color of what is not sky (4), and
      e * luma + f towards darkness (2).
    """
    weight = np.clip(2 * p - 1, 0, 1)
    sky, has_sky = _sky_around(rgb, p, weight)
    deviation = (p > 0.5) * np.maximum.reduce(cv2.split(cv2.absdiff(rgb, sky)))
    texture = cv2.medianBlur((deviation * 255).astype(np.uint8), MEDIAN).astype(np.float32) / 255
    guard = np.sqrt(NOISE**2 + (TEXTURE * _mean(texture, MEDIAN // 2)) ** 2)

    away = (1 - p) ** 2
    known = _mean(away, RADIUS)[..., None]
    other = (_mean(rgb * away[..., None], RADIUS) + 0.02 * DARKENING * sky) / (known + 0.02)
    axis = sky - other
    length = np.sqrt(np.einsum("hwc,hwc->hw", axis, axis) + 1e-6)
    # Along the axis, less the guard: ((sky - rgb) . axis / length - guard) / length
    gain = has_sky / (length * np.sqrt(length**2 + 4e-3))
    c = -gain[..., None] * axis
    d = gain * (np.einsum("hwc,hwc->hw", sky, axis) - length * guard)
    luma = sky @ _LUMA
    e = -has_sky / ((1 - DARKENING) * luma + 0.02)
    f = -e * (luma - guard)
    return [*cv2.split(c), d, e, f]


def _sky_around(
    rgb: np.ndarray, p: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sky's color without thin things before it, and whether there is sky near, 0-1."""
    weighted = cv2.merge([*cv2.split(rgb * weight[..., None]), weight])
    near, far = _mean(weighted, RADIUS // 2), _mean(weighted, FAR)
    trust = np.clip(8 * near[..., 3:], 0, 1)
    mean = trust * near[..., :3] / (near[..., 3:] + 1e-4)
    mean += (1 - trust) * far[..., :3] / (far[..., 3:] + 1e-4)
    filled = np.where((p > 0.5)[..., None], rgb, mean)
    sky = cv2.medianBlur((filled * 255 + 0.5).astype(np.uint8), MEDIAN).astype(np.float32) / 255
    return sky, np.clip(30 * far[..., 3], 0, 1)
