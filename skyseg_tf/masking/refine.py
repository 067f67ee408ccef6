"""Edges at the photo's own size: a small map of sky probabilities meets the full-size photo.

Models of the photo's colors (edge_models) are fitted to the shrunken photo; only their coefficients
are enlarged, and they are evaluated on the full-size pixels, in those tiles where there is doubt.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.images import shrink_photo
from skyseg_tf.masking.edge_models import LIMIT, evaluate, fit

SMALL_SIDE = 512  # long side, in pixels, of the shrunken photo; the models are fitted at half of it
TILE = 8  # side of the full-size tiles, in pixels of the small photo
PATCH = 64  # and at most so many pixels of the photo
RUN = 8  # times as wide are neighbouring tiles that are computed at once: more leave the cache
SURE = 0.05  # tiles of surer sky, or of less, are only enlarged
_ROUNDING = 1e-5  # of what is enlarged
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
    tiles = _Tiles.of(image, probs)
    out = np.empty(image.shape[:2], np.float32)

    def work(number: int) -> None:
        strip = out[tiles.rows(number)]
        strip[:] = tiles.enlarged(tiles.guess, number, slice(None))[0]
        for columns, sky in tiles.asked(number):
            strip[:, columns] = sky

    _do(work, len(tiles.doubtful), threads)
    return out


def refined_sky(
    image: np.ndarray, probs: np.ndarray, threshold: float, threads: int | None = None
) -> np.ndarray:
    """(H, W) bool: where `refine` of the same gives `threshold` or more.

    It takes a quarter of the memory and half of the time: what lies far from the sky's edge is not
    enlarged.
    """
    tiles = _Tiles.of(image, probs)
    out = np.empty(image.shape[:2], bool)
    least, most = tiles.bounds()
    is_sky = least >= threshold + _ROUNDING
    undecided = ~is_sky & (most >= threshold - _ROUNDING) & ~tiles.doubtful

    def work(number: int) -> None:
        strip = out[tiles.rows(number)]
        strip[:] = is_sky[number].repeat(tiles.side * tiles.factor)[: strip.shape[1]]
        for columns in tiles.runs(undecided[number]):
            strip[:, tiles.pixels(columns)] = (
                tiles.enlarged(tiles.guess, number, columns)[0] >= threshold
            )
        for columns, sky in tiles.asked(number):
            strip[:, columns] = sky >= threshold

    _do(work, len(tiles.doubtful), threads)
    return out


def _do(work: Callable[[int], None], count: int, threads: int | None) -> None:
    """Calls it with 0, 1 and so on below `count`, in so many threads."""
    if threads == 1:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for _ in pool.map(work, range(count)):
            pass  # its errors are raised here


@dataclass(frozen=True)
class _Tiles:
    """A photo in square tiles, which are enlarged, or asked for their own pixels.

    Attributes:
      image: (H, W, 3) uint8.
      guess: (1, h + 2, w + 2) float32, the small photo's sky, with a border of one pixel.
      coefficients: (11, h + 2, w + 2) float32 of `fit`, or none of them.
      factor: pixels of the photo along one of the small photo's.
      side: of a tile in pixels of the small photo.
      doubtful: (rows, columns) bool: the tiles in which the photo's own pixels decide.
    """

    image: np.ndarray
    guess: np.ndarray
    coefficients: np.ndarray
    factor: int
    side: int
    doubtful: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, probs: np.ndarray) -> "_Tiles":
        """Those of a photo and its probabilities, see `refine`."""
        factor = max(1, round(max(image.shape[:2]) / SMALL_SIDE))
        small, p = _shrink(image, probs, factor)
        side = min(TILE, max(1, PATCH // factor))
        guess, coefficients = p, np.empty((0, *p.shape), np.float32)
        doubtful = np.zeros([-(-length // side) for length in p.shape], bool)
        if p.max() >= SURE:
            coefficients = fit(small, p)
            guess, covered = evaluate(coefficients.copy(), small)
            if factor > 1:
                doubtful = _doubtful_tiles(guess, coefficients[LIMIT], covered, side)
        guess, coefficients = (
            np.pad(planes, ((0, 0), (1, 1), (1, 1)), "edge")
            for planes in (guess[None], coefficients)
        )
        return cls(image, guess, coefficients, factor, side, doubtful)

    def rows(self, number: int) -> slice:
        """The photo's rows of a row of tiles."""
        size = self.side * self.factor
        return slice(number * size, min((number + 1) * size, len(self.image)))

    def pixels(self, columns: slice) -> slice:
        """The photo's columns of columns of the small photo."""
        return slice(
            columns.start * self.factor, min(columns.stop * self.factor, self.image.shape[1])
        )

    def runs(self, marked: np.ndarray) -> Iterator[slice]:
        """The small photo's columns of marked tiles that are neighbours, (columns) bool."""
        longest = max(1, PATCH * RUN // (self.side * self.factor))
        ends = np.flatnonzero(np.diff(marked, prepend=False, append=False)).reshape(-1, 2)
        width = self.guess.shape[2] - 2
        for first, behind in ends:
            for start in range(int(first), int(behind), longest):
                stop = min(start + longest, int(behind))
                yield slice(start * self.side, min(stop * self.side, width))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) float32 twice: the least and the most that enlarging gives in each tile."""
        rows, columns = self.doubtful.shape
        # A pixel is enlarged from neighbours, which may lie in the next tile.
        kernel, whole = np.ones((3, 3), np.uint8), (rows * self.side, columns * self.side)
        bounds = []
        for spread, reduce in ((cv2.erode, np.min), (cv2.dilate, np.max)):
            spread = spread(self.guess[0], kernel)[1:-1, 1:-1]
            short = [(0, want - have) for want, have in zip(whole, spread.shape, strict=True)]
            tiles = np.pad(spread, short, "edge").reshape(rows, self.side, columns * self.side)
            # First what lies far apart in memory: NumPy goes along whole rows then.
            bounds.append(reduce(reduce(tiles, 1).reshape(rows, columns, self.side), 2))
        return bounds[0], bounds[1]

    def enlarged(self, planes: np.ndarray, number: int, columns: slice) -> np.ndarray:
        """`guess` or `coefficients` in a row of tiles at the photo's size.

        It lies in memory that the thread's next call writes anew.
        """
        top, factor = number * self.side, self.factor
        left, right, _ = columns.indices(planes.shape[2] - 2)
        rows, pixels = self.rows(number), self.pixels(slice(left, right))
        around = planes[:, top : top + self.side + 2, left : right + 2]
        count, high, wide = around.shape
        # One below the other: of what is enlarged across two planes nothing is taken.
        out = _scratch(count * high * factor, wide * factor)
        cv2.resize(around.reshape(-1, wide), out.shape[::-1], out, interpolation=cv2.INTER_LINEAR)
        out = out.reshape(count, high * factor, -1)
        height, width = rows.stop - rows.start, pixels.stop - pixels.start
        return out[:, factor : factor + height, factor : factor + width]

    def asked(self, number: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The doubtful tiles of a row: the photo's columns, and (rows, columns) float32 in 0-1."""
        rows = self.rows(number)
        for columns in self.runs(self.doubtful[number]):
            planes, pixels = self.enlarged(self.coefficients, number, columns), self.pixels(columns)
            yield pixels, evaluate(planes, self.image[rows, pixels])[0]


def _scratch(height: int, width: int) -> np.ndarray:
    """Memory of this thread, until it asks again: the pages of fresh memory cost more than the sums."""
    size = height * width
    if getattr(_of_thread, "memory", np.empty(0)).size < size:
        _of_thread.memory = np.empty(size, np.float32)
    return _of_thread.memory[:size].reshape(height, width)


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
