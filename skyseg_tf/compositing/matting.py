"""How much of each pixel is sky, and what color the rest of it has.

A network's probability says where the sky is, not what share of a pixel it fills: through bare
branches it falls from one to zero over the width of the crown. Here each pixel's color has a say:

1. the probability is weighed against how likely a sky pixel has that color (Bayes), given the
   sky's color around it: the gaps of a crown are sky, and its twigs are not;
2. a pixel beside both is a mixture, I = alpha B + (1 - alpha) F: alpha follows from the colors B
   and F around it, and F is what is left when B is taken out.

What varies slowly is computed on the shrunken photo.

Reference: the mixture and its solution along B - F are those of Chuang et al., "A Bayesian
Approach to Digital Matting", CVPR 2001, with one sample of each in place of clusters.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from skyseg_tf.compositing.backdrop import fill_smoothly, smooth_size
from skyseg_tf.images import resize_image

_EDGE_SIDE = 1500  # long side of a photo whose edges are about a pixel wide
_NOISE = 6.0  # least deviation of the sky's colors, of 255
_FOR, _AGAINST = 3.0, 6.0  # log-odds of a color that is the sky's own, and of any other
_DECIDED = (0.2, 0.8)  # probabilities outside are: a doubtful wall gets no haze of new sky
_CERTAIN = (0.9, 0.98)  # from here on sky may have any color
_GAPS = 0.25  # probability of sky in gaps of things before it, where the network saw none
_GAPS_REACH = 1 / 25  # how far they lie from what it saw, of the long side
_CONTRAST = (20.0, 60.0)  # standard deviations, of 255, of no such things and surely of some
_THIN = 7  # what is thinner, in widths of an edge, has no pixel that is not mixed
_AROUND = 21  # side of the window for the color of what stands before the sky
_TILE = 256


class _Clues(NamedTuple):
    """What is known around each pixel, (h, w) or (h, w, 3) float32 each.

    Attributes:
      old: color of the sky.
      deviation: of its pixels from that.
      floor: least probability of sky.
      front: color of what stands before it.
      mixed: where pixels may be mixed, 0-1.
    """

    old: np.ndarray
    deviation: np.ndarray
    floor: np.ndarray
    front: np.ndarray
    mixed: np.ndarray


def sky_matte(image: np.ndarray, sky: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Separates a photo into its sky and what stands before it.

    Args:
      image: (H, W, 3) uint8.
      sky: (H, W) float32 in 0-1, probabilities, not 0 everywhere.

    Returns:
      alpha (H, W) float32 in 0-1, the sky's share of each pixel; and front (H, W, 3) float32
      0-255, the color of the rest of it.
    """
    factor = 1 + round(max(sky.shape) / _EDGE_SIDE)
    size = tuple(-(-side // factor) for side in sky.shape)
    clues = _clues(resize_image(image.astype(np.float32), size), resize_image(sky, size))
    clues = [resize_image(clue, sky.shape) for clue in clues]
    alpha = (sky > 0.5).astype(np.float32)
    front = image.astype(np.float32)

    def separate(tile: tuple[slice, slice]) -> None:
        around = _Clues(*(clue[tile] for clue in clues))
        alpha[tile], front[tile] = _separate(front[tile], sky[tile], around)

    tiles = [
        np.s_[y : y + _TILE, x : x + _TILE]
        for y in range(0, sky.shape[0], _TILE)
        for x in range(0, sky.shape[1], _TILE)
    ]
    doubtful = (
        tile
        for tile in tiles
        if sky[tile].min() < _CERTAIN[1] and max(sky[tile].max(), clues[2][tile].max()) > 0.01
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(separate, doubtful))
    return alpha, front


def _clues(photo: np.ndarray, sky: np.ndarray) -> _Clues:
    """All from the photo, (h, w, 3) float32, shrunken until its edges are a pixel wide."""
    old, deviation, near = _sky_around(photo, sky)
    floor = _GAPS * near * _ramp(_contrast(photo, 9), *_CONTRAST)
    away = np.abs(photo - old).max(-1)
    other = 1 - _weighed(np.maximum(sky, floor), away / deviation)
    # The color farthest from the sky's is the least mixed.
    purest = cv2.dilate(away * other, np.ones((_AROUND, _AROUND), np.uint8))
    purity = other * np.minimum(away / np.maximum(purest, 1), 1) ** 4
    total = cv2.blur(purity, (_AROUND, _AROUND))[..., None]
    front = cv2.blur(photo * purity[..., None], (_AROUND, _AROUND)) / np.maximum(total, 1e-4)
    thick = cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((_THIN, _THIN), np.uint8))
    inner = cv2.erode(thick, np.ones((5, 5), np.uint8))
    apart = np.sqrt(((old - front) ** 2).sum(-1)) / deviation
    mixed = (1 - inner) * _ramp(apart, 2, 4) * np.minimum(100 * total[..., 0], 1)
    return _Clues(old, deviation, floor, front, mixed)


def _sky_around(photo: np.ndarray, sky: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sky's color at each pixel, its pixels' deviation from it, and how near it is, 0-1."""
    size = smooth_size(sky.shape)
    surest = float(sky.max())
    weight = _ramp(sky, surest / 2, surest) ** 2
    part = resize_image(weight, size)
    color = resize_image(photo * weight[..., None], size) / np.maximum(part[..., None], 1e-6)
    old = fill_smoothly(color, part)
    off = np.abs(color - cv2.GaussianBlur(old, None, 3)).max(-1)
    deviation = _NOISE + fill_smoothly(off[..., None], part)[..., 0]
    reach = (2 * round(max(size) * _GAPS_REACH) + 1,) * 2
    near = cv2.blur(cv2.dilate(part, np.ones(reach, np.uint8)), reach)
    return (
        resize_image(old, sky.shape),
        resize_image(deviation, sky.shape),
        resize_image(near, sky.shape),
    )


def _separate(photo: np.ndarray, sky: np.ndarray, clues: _Clues) -> tuple[np.ndarray, np.ndarray]:
    """`sky_matte` of a part of the photo, (h, w, 3) float32."""
    away = np.abs(photo - clues.old).max(-1)
    alpha = _weighed(np.maximum(sky, clues.floor), away / clues.deviation)
    axis = clues.old - clues.front
    along = ((clues.old - photo) * axis).sum(-1) / np.maximum((axis * axis).sum(-1), 1)
    trust = clues.mixed * (1 - _ramp(sky, *_CERTAIN))
    alpha += trust * (1 - np.clip(along, 0, 1) - alpha)
    share = alpha[..., None]
    # Where little is left, its noise would be enlarged: there it is what stands around.
    left = np.clip((photo - share * clues.old) / np.maximum(1 - share, 0.25), 0, 255)
    return alpha, left + (clues.mixed * np.minimum(2 * alpha, 1))[..., None] * (clues.front - left)


def _weighed(prior: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Sky's share by probability and by distance from the sky's color, in deviations."""
    evidence = np.maximum(_FOR - 0.5 * distance**2, -_AGAINST)
    evidence *= 1 - _ramp(prior, *_CERTAIN)
    prior = np.clip(prior, 0.005, 0.995)
    odds = np.log(prior / (1 - prior)) + evidence
    return _ramp(1 / (1 + np.exp(-odds)), *_DECIDED)


def _contrast(photo: np.ndarray, side: int) -> np.ndarray:
    grey = photo.mean(-1)
    mean = cv2.blur(grey, (side, side))
    return np.sqrt(np.maximum(cv2.blur(grey * grey, (side, side)) - mean * mean, 0))


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)
