"""Noise whose amplitude falls with its frequency, as that of clouds, walls and leaves does."""

from functools import cache

import cv2
import numpy as np

_TILE = 512


@cache
def noise_tile(beta: float) -> np.ndarray:
    """(512, 512) float32 noise that wraps around, mean 0, deviation 1, amplitude ~ 1 / f**beta."""
    rng = np.random.default_rng(int(beta * 100))
    fy, fx = np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * frequency**-beta
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (_TILE, _TILE))
    return (field / field.std()).astype(np.float32)


def noise(shape, cell, rng, beta=1.0, origin=(0.0, 0.0), aspect=1.0) -> np.ndarray:
    """Samples a noise tile.

    Args:
      shape: (h, w) of the answer.
      cell: pixels of the answer per pixel of the tile.
      rng: gives the place in the tile (two draws).
      beta: see `noise_tile`.
      origin: (x, y) pixel of the answer's corner, so that a part of a field can be sampled.
      aspect: above 1 the pattern is wider than high.

    Returns:
      (h, w) float32, mean about 0, deviation about 1.
    """
    ox, oy = rng.uniform(0, _TILE, 2)
    step = 1 / max(cell, 1e-3)
    matrix = np.array(
        [
            [step / aspect, 0, (ox + origin[0] * step / aspect) % _TILE],
            [0, step, (oy + origin[1] * step) % _TILE],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    return cv2.warpAffine(noise_tile(beta), matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP)
