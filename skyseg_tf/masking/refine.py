"""Edges at the photo's own size: a small map of sky probabilities meets the full-size photo.

Two models of color, both linear in the pixel's RGB, are fitted in wide windows of the shrunken
photo; only their coefficients are enlarged, and they are evaluated on the full-size pixels:

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

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np

from skyseg_tf.images import shrink_photo

SMALL_SIDE = 512  # long side, in pixels, of the shrunken photo; the models are fitted at half of it
RADIUS = 12  # of the windows of both models, in pixels of the fit, as are the next two
MEDIAN = 5  # side of the median's window
FAR = 24  # radius in which a sky color is looked for
RIDGE = 1e-4  # of the regression, on colors 0-1
REACH = 6  # how far an edge may move beyond where the network saw sky, in pixels of the small photo
NOISE, TEXTURE = 0.024, 3.0  # what is never a thing: camera noise; so many median deviations
DARKENING = 0.5  # a thing of unknown color has this share of the sky's brightness
TILE = 8  # side of the full-size tiles, in pixels of the small photo
PATCH = 64  # and at most so many pixels of the photo
RUN = 8  # times as wide are neighbouring tiles that are computed at once: more leave the cache
SURE = 0.05  # tiles of surer sky, or of less, are only enlarged
# The coefficients are fitted on colors 0-1 and used on bytes.
_PER_BYTE = np.float32([1, 1, 1, 255, 1, 1, 1, 255, 1, 255])[:, None, None] / 255
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_of_thread = threading.local()


def refine(image: np.ndarray, probs: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Enlarges sky probabilities to the photo's size with edges that follow the photo.

    Args:
      image: (H, W, 3) uint8.
      probs: (h, w) float32 in 0-1, of the whole photo at any smaller size.
      threads: that work on the photo; default: one a core. Where several photos are refined at
        once, one each is a fifth faster.

    Returns:
      (H, W) float32 in 0-1: how much of the pixel is sky. Nowhere above the largest probability
      within REACH: without sky in `probs` there is none here.
    """
    out = np.empty(image.shape[:2], np.float32)
    for rows, strip in refined_strips(image, probs, threads):
        out[rows] = strip
    return out


def refined_strips(
    image: np.ndarray, probs: np.ndarray, threads: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """`refine` from top to bottom, for those who need not hold all of it: 190 MB at 48 megapixels.

    Yields:
      Rows of the photo, and (rows, W) float32.
    """
    factor = max(1, round(max(image.shape[:2]) / SMALL_SIDE))
    small, p = _shrink(image, probs, factor)
    side = min(TILE, max(1, PATCH // factor))
    guess, coefficients = p, np.empty((0, *p.shape), np.float32)
    tiles = np.zeros([-(-length // side) for length in p.shape], bool)
    if p.max() >= SURE:
        coefficients, limit = _fit(small, p)
        guess, covered = _evaluate(coefficients.copy(), small)
        if factor > 1:
            tiles = _doubtful_tiles(guess, limit, covered, side)
    guess, coefficients = (
        np.pad(planes, ((0, 0), (1, 1), (1, 1)), "edge") for planes in (guess[None], coefficients)
    )
    strip = partial(_strip, image, guess, coefficients, factor, side, tiles)
    if threads == 1:
        yield from map(strip, range(len(tiles)))
        return
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        yield from pool.map(strip, range(len(tiles)))


def _fit(small: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(11, h, w) for `_evaluate`, and the most (h, w) that the answer may be."""
    # The windows are so wide that half of the pixels a side tell as much.
    rgb, half_p = _halved(small.astype(np.float32) / 255), _halved(p)
    fitted = [*_guided_coefficients(rgb, half_p), *_thing_coefficients(rgb, half_p)]
    planes = np.empty((len(fitted) + 1, *p.shape), np.float32)
    for values, plane in zip(fitted, planes[:-1], strict=True):
        cv2.resize(values, p.shape[::-1], plane, interpolation=cv2.INTER_LINEAR)
    planes[-1] = limit = cv2.dilate(p, np.ones((2 * REACH + 1,) * 2, np.uint8))
    planes[:-1] *= _PER_BYTE
    return planes, limit


def _strip(
    image: np.ndarray,
    guess: np.ndarray,
    coefficients: np.ndarray,
    factor: int,
    side: int,
    tiles: np.ndarray,
    number: int,
) -> tuple[slice, np.ndarray]:
    """A row of tiles: the guess enlarged, and where there is doubt the photo's own pixels asked.

    `guess` and `coefficients` have a border of one pixel.
    """
    height, width = image.shape[:2]
    top = number * side
    rows = slice(top * factor, min((top + side) * factor, height))

    def enlarged(planes: np.ndarray, left: int, right: int) -> np.ndarray:
        around = planes[:, top : top + side + 2, left : right + 2]
        count, high, wide = around.shape
        # One below the other: of what is enlarged across two planes nothing is taken.
        out = _scratch(count * high * factor, wide * factor)
        cv2.resize(around.reshape(-1, wide), out.shape[::-1], out, interpolation=cv2.INTER_LINEAR)
        out = out.reshape(count, high * factor, -1)
        columns = min(right * factor, width) - left * factor
        return out[:, factor : factor + rows.stop - rows.start, factor : factor + columns]

    out = enlarged(guess, 0, guess.shape[2] - 2)[0].copy()
    longest = max(1, PATCH * RUN // (side * factor))
    for first, last in _runs(tiles[number], longest):
        left, right = first * side, min(last * side, guess.shape[2] - 2)
        columns = slice(left * factor, min(right * factor, width))
        patch = enlarged(coefficients, left, right)
        out[:, columns] = _evaluate(patch, image[rows, columns])[0]
    return rows, out


def _scratch(height: int, width: int) -> np.ndarray:
    """Memory of this thread, until it asks again: the pages of fresh memory cost more than the sums."""
    size = height * width
    if getattr(_of_thread, "memory", np.empty(0)).size < size:
        _of_thread.memory = np.empty(size, np.float32)
    return _of_thread.memory[:size].reshape(height, width)


def _runs(marked: np.ndarray, longest: int) -> list[tuple[int, int]]:
    """(first, behind the last) of what is marked in a row, in pieces of at most `longest`."""
    ends = np.flatnonzero(np.diff(marked, prepend=False, append=False)).reshape(-1, 2)
    return [
        (start, min(start + longest, int(last)))
        for first, last in ends
        for start in range(int(first), int(last), longest)
    ]


def _shrink(image: np.ndarray, probs: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo and probabilities at 1 / factor of the photo's size, rounded up."""
    height, width = image.shape[:2]
    short = -height % factor, -width % factor
    if any(short):  # a whole factor keeps tiles aligned
        image = cv2.copyMakeBorder(image, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE)
    size = (image.shape[1] // factor, image.shape[0] // factor)
    small = shrink_photo(image, size[::-1])
    # The probabilities are of the photo without its border.
    inner = tuple(max(1, round(side / factor)) for side in (width, height))
    p = cv2.resize(probs.astype(np.float32), inner, interpolation=cv2.INTER_LINEAR)
    more = size[1] - inner[1], size[0] - inner[0]
    if any(more):
        p = cv2.copyMakeBorder(p, 0, more[0], 0, more[1], cv2.BORDER_REPLICATE)
    return small, p


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)


def _guided_coefficients(rgb: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
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


def _evaluate(planes: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sky and covered, (h, w) float32 in 0-1; the planes of `_fit` are used up.

    OpenCV's functions make one pass where NumPy's operators make two, and a plane at a time stays in
    the cache.
    """
    if image.shape[:2] == (1, 1):  # OpenCV takes an array of one value for a scalar, which is four
        twice = _evaluate(planes.repeat(2, axis=1), image.repeat(2, axis=0))
        return twice[0][:1], twice[1][:1]
    colors = [plane.astype(np.float32) for plane in cv2.split(image)]
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sky = _along(planes[:3], colors, planes[3])
    cv2.min(cv2.max(sky, 0, sky), planes[10], sky)
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


def _doubtful_tiles(
    guess: np.ndarray, limit: np.ndarray, covered: np.ndarray, side: int
) -> np.ndarray:
    """(rows, columns) bool: the tiles that hold more than pure sky or no sky at all."""
    # A wire that covers a sixteenth of a small pixel has a bearing on it still.
    doubt = (limit > SURE) & ((guess < 1 - SURE) | (covered > 0))
    rows, columns = (-(-length // side) for length in doubt.shape)
    whole = np.zeros((rows * side, columns * side), np.uint8)
    whole[: doubt.shape[0], : doubt.shape[1]] = cv2.dilate(doubt.astype(np.uint8), np.ones((3, 3)))
    return whole.reshape(rows, side, columns, side).max((1, 3)) > 0
