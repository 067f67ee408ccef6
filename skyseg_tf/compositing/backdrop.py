"""A new sky of any size, made of another photo's sky and of nothing else that it shows.

The other photo's land is overlaid with a smooth continuation of its sky before a pixel is moved:
none can come through. Its sky is then laid where it covers most of what is needed. What stays bare
is covered by further copies, each shifted in color to what lies there already, so that no seam
shows; the last corners get the smooth continuation.

Reference: continuation by pull-push, Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4;
the shift of colors is the membrane of Perez et al., "Poisson Image Editing", SIGGRAPH 2003, here
from the same pull-push.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.images import resize_image

SURE = 0.7  # probability from which a pixel of the other photo is its sky
_PART = 0.03  # regions below this share of the largest are windows, puddles and mistakes
_FEATHER = 40  # copies fade out over this part of the plate's long side
_SMOOTH_SIDE = 512  # long side, in pixels, at which all that is smooth is computed
_SEARCH_SIDE = 64  # the same for places
_SCALES = 2.0 ** np.arange(-1, 2.6, 0.5)  # tried sizes; 1 is as wide as the photo
_COPIES = 5
# What a place loses: by a doubling of the scale, by mirroring, by a sky that ends too high or low
_SCALED, _MIRRORED, _OFF_HORIZON = 0.08, 0.03, 0.1


@dataclass(frozen=True)
class _Place:
    """Where a copy lies: `scale` times as large, mirrored about its middle or not, then moved."""

    scale: float
    right: float
    down: float
    mirrored: bool

    def lay(
        self,
        plate: np.ndarray,
        size: tuple[int, int],
        factor: float = 1.0,
        border: int = cv2.BORDER_REPLICATE,
    ) -> np.ndarray:
        """The plate at its place in a picture of `size`; `factor` shrinks them both."""
        scale = self.scale * factor
        plate = np.ascontiguousarray(plate[:, ::-1] if self.mirrored else plate)
        sides = np.array(plate.shape[:2])
        shrunk_sides = np.maximum(1, np.round(sides * min(scale, 1))).astype(int)
        shrunk = resize_image(plate, tuple(shrunk_sides))
        zoom_y, zoom_x = scale * sides / shrunk_sides
        # Pixels lie at their centers.
        right = self.right * factor + 0.5 * zoom_x - 0.5
        down = self.down * factor + 0.5 * zoom_y - 0.5
        matrix = np.array([[zoom_x, 0, right], [0, zoom_y, down]])
        method = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
        return cv2.warpAffine(shrunk, matrix, size[::-1], flags=method, borderMode=border)


def sure_sky(sky: np.ndarray) -> np.ndarray:
    """What of a photo is surely sky: large regions, without their mixed and ringing edges.

    Args:
      sky: (H, W) float32 in 0-1.

    Returns:
      (H, W) bool.
    """
    margin = 1 + round(max(sky.shape) / 150)
    sure = cv2.erode((sky >= SURE).astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(sure)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= _PART * areas[1:].max(initial=0)
    kept[0] = False
    return kept[labels]


def fill_smoothly(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Continues values smoothly to where they have no weight.

    Args:
      values: (H, W, C) float32.
      weight: (H, W) float32 in 0-1, not 0 everywhere.

    Returns:
      (H, W, C) float32: the values where the weight is 1; elsewhere mixed with means of what is
      around, the wider the farther it is.
    """
    levels = [np.dstack([values * weight[..., None], weight])]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(cv2.pyrDown(levels[-1]))
    filled = levels[-1][..., :-1] / levels[-1][..., -1:]
    for level in reversed(levels):
        if level is not levels[-1]:
            filled = cv2.pyrUp(filled, dstsize=level.shape[1::-1])
        filled = level[..., :-1] + (1 - level[..., -1:]) * filled
    return filled


def make_backdrop(image: np.ndarray, sure: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Lays a photo's sky wherever a sky is needed.

    Args:
      image: (h, w, 3) uint8, the other photo.
      sure: (h, w) bool, where it shows sky; not empty.
      needed: (H, W) bool, not empty.

    Returns:
      (H, W, 3) float32 0-255, sky everywhere.
    """
    size = needed.shape
    plate, own = _plate(image, sure)
    places, shares, base = _arrange(plate, own, needed)
    backdrop = resize_image(base, size)
    for place, share in zip(places, shares, strict=True):
        backdrop += resize_image(share, size)[..., None] * place.lay(plate, size)
    return np.clip(backdrop, 0, 255)


def _plate(image: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo with its sky continued over all else, and how much each pixel may be used, 0-1."""
    mask = sure.astype(np.uint8)
    small = smooth_size(sure.shape)
    part = resize_image(mask.astype(np.float32), small)
    sky = resize_image((image * mask[..., None]).astype(np.float32), small)
    smooth = fill_smoothly(sky / np.maximum(part[..., None], 1e-6), part)
    plate = resize_image(smooth, sure.shape)
    feather = max(1, max(sure.shape) / _FEATHER)  # no distance is less, and none is infinite then
    # The photo's frame is an edge of the copy, but none of its sky.
    blend = np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) / feather, 1)
    plate += blend[..., None] * (image - plate)
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    own = np.minimum(cv2.distanceTransform(framed, cv2.DIST_L2, 5) / feather, 1)
    return plate, np.ascontiguousarray(own[1:-1, 1:-1])


def _arrange(
    plate: np.ndarray, own: np.ndarray, needed: np.ndarray
) -> tuple[list[_Place], list[np.ndarray], np.ndarray]:
    """Places copies of the plate until all that is needed is covered.

    Returns:
      The places; the share of each copy in each pixel, (h, w) float32; and what is added to them,
      (h, w, 3) float32: the shifts of their colors, and the continuation where they do not reach.
      All at _SMOOTH_SIDE.
    """
    size = smooth_size(needed.shape)
    factor = size[1] / needed.shape[1]
    wanted = resize_image(needed.astype(np.float32), size)
    color, covered = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    base = np.zeros_like(color)
    places, shares = [], []
    bare = wanted
    while len(places) < _COPIES and bare.sum() > 0.005 * wanted.sum():
        place, gain = _best_place(own, bare, factor, places)
        if places and gain < 0.05:
            break
        copy = place.lay(plate, size, factor)
        share = place.lay(own, size, factor, cv2.BORDER_CONSTANT)
        share = np.clip(share, 0, 1) * (1 - covered)
        shift = _shift(color, covered, copy) if places else np.zeros_like(color)
        color += share[..., None] * (copy + shift)
        base += share[..., None] * shift
        covered += share
        bare = wanted * (1 - covered)
        places.append(place)
        shares.append(share)
    rest = fill_smoothly(color / np.maximum(covered[..., None], 1e-6), covered)
    return places, shares, base + (1 - covered[..., None]) * rest


def _shift(color: np.ndarray, covered: np.ndarray, copy: np.ndarray) -> np.ndarray:
    """What turns a copy's colors to those that lie there, continued to where none do."""
    sigma = max(covered.shape) / 40
    part = cv2.GaussianBlur(covered, None, sigma)[..., None]
    there = cv2.GaussianBlur(color, None, sigma) / np.maximum(part, 1e-6)
    return fill_smoothly(there - cv2.GaussianBlur(copy, None, sigma), covered)


def _best_place(
    own: np.ndarray, bare: np.ndarray, factor: float, earlier: list[_Place]
) -> tuple[_Place, float]:
    """Where a copy covers most of what is bare without being much enlarged.

    Returns:
      The place, in pixels of the photo, and which share of what is bare it covers.
    """
    reduction = min(1.0, _SEARCH_SIDE / max(bare.shape))
    bare = resize_image(bare, tuple(max(1, round(side * reduction)) for side in bare.shape))
    to_search = factor * reduction
    usual = earlier[0].scale if earlier else bare.shape[1] / to_search / own.shape[1]
    wanted, (top, left) = _box(bare)
    height, width = wanted.shape
    best = (-np.inf, None, 0.0)
    for scale in usual * _SCALES:
        sides = [max(1, round(side * scale * to_search)) for side in own.shape]
        cover, (first_row, first_column) = _box(resize_image(own, tuple(sides)))
        if min(cover.shape[0] / height, cover.shape[1] / width) > 2 and best[1]:
            break  # larger ones cover no more
        y, x = cover.shape[0] - 1, cover.shape[1] - 1
        room = cv2.copyMakeBorder(wanted, y, y, x, x, cv2.BORDER_CONSTANT)
        down, right = np.ogrid[-y:height, -x:width]
        off = np.abs(down + y + 1 - height) / len(bare)
        off = off + 0.2 * np.abs(right + (x + 1 - width) / 2) / bare.shape[1]
        for mirrored in (False, True):
            shape = np.ascontiguousarray(cover[:, ::-1]) if mirrored else cover
            gains = _correlation(room, shape)[: len(down), : right.size] / wanted.sum()
            lost = _SCALED * abs(np.log2(scale / usual)) + _MIRRORED * mirrored
            scores = gains - lost - _OFF_HORIZON * off
            i, j = np.unravel_index(scores.argmax(), scores.shape)
            if scores[i, j] > best[0]:
                skipped = sides[1] - first_column - x - 1 if mirrored else first_column
                at = (left + j - x - skipped) / to_search, (top + i - y - first_row) / to_search
                best = scores[i, j], _Place(scale, *at, mirrored), float(gains[i, j])
    return best[1:]


def _correlation(room: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Sums of `shape` times what is under it, its corner at each pixel of `room`."""
    size = tuple(cv2.getOptimalDFTSize(side) for side in room.shape)
    there, over = np.fft.rfft2(room, size), np.fft.rfft2(shape, size)
    return np.fft.irfft2(there * over.conj(), size)


def _box(part: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Cuts off rows and columns in which nothing is; and what was cut off above and left."""
    rows, columns = (np.flatnonzero(part.max(axis) > 0.05) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return part, (0, 0)
    cut = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(cut), (int(rows[0]), int(columns[0]))


def smooth_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size, of the same aspect, at which smooth things of a picture of `size` are computed."""
    factor = min(1.0, _SMOOTH_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
