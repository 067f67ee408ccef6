"""Steadier masks over time: probabilities are averaged where the photo stands still."""

from itertools import pairwise

import cv2
import numpy as np

_BLUR = (5, 5)  # pixels of the working picture: sensor noise falls to a fifth
_STILL, _MOVED = 4, 16  # differences on 0-255 up to which a pixel is the same, from which another
_CUT_SHARE = 0.5  # of the pixels moved: a new scene


class Smoother:
    """Exponential smoothing of probabilities, pixel by pixel, gated by the photo.

    Each pixel's probability moves towards the network's by a gain. Where the photo does not change
    the gain is 1 - exp(-dt / seconds), so that flicker is averaged away; where it does, it rises to
    1, so that nothing lags behind what moves. At a cut everything starts anew.

    Attributes:
      cuts: scenes seen to change, so far.
    """

    def __init__(self, seconds: float):
        """Takes the time constant; 0 for no smoothing."""
        self.seconds, self.cuts = seconds, 0
        self._photo = self._state = None
        self._time = 0.0

    def look(self, image: np.ndarray, time: float) -> np.ndarray | None:
        """Compares the next picture with the one before it; may run ahead of `smooth`.

        Args:
          image: (H, W, 3) uint8 at the network's size.
          time: seconds, not falling.

        Returns:
          (H, W) float32 in 0-1: the gains, for `smooth`; None where a new scene begins, as at the
          first picture.
        """
        photo = cv2.blur(image, _BLUR)
        before, self._photo = self._photo, photo
        step, self._time = time - self._time, time
        if before is None:
            return None
        red, green, blue = cv2.split(cv2.absdiff(photo, before))
        change = cv2.max(cv2.max(red, green), blue)
        if (change >= _MOVED).mean() > _CUT_SHARE:
            self.cuts += 1
            return None
        return cv2.LUT(change, self._gains(step))

    def _gains(self, step: float) -> np.ndarray:
        """(256,) float32: gain by difference."""
        least = 1 - np.exp(-max(step, 0) / self.seconds) if self.seconds > 0 else 1.0
        ramp = np.clip((np.arange(256) - _STILL) / (_MOVED - _STILL), 0, 1)
        return (least + (1 - least) * ramp).astype(np.float32)

    def smooth(self, probs: np.ndarray, gains: np.ndarray | None) -> np.ndarray:
        """Takes in the probabilities of the next picture.

        Args:
          probs: (H, W, C) float32.
          gains: what `look` said of the same picture.

        Returns:
          (H, W, C) float32, of the same sums over C; not to be written to.
        """
        if gains is None or self.seconds <= 0:
            self._state = probs
        else:
            self._state = self._state + gains[..., None] * (probs - self._state)
        return self._state


def flicker(masks: np.ndarray, images: np.ndarray) -> float:
    """Share of pixels whose mask changes from one frame to the next where the photo does not.

    Args:
      masks: (T, H, W) class ids.
      images: (T, H, W, 3) uint8.

    Returns:
      0-1, over all pairs of consecutive frames; 0 where the photo changes everywhere.
    """
    blurred = [cv2.blur(image, _BLUR) for image in images]
    still = np.stack([cv2.absdiff(a, b).max(-1) <= _STILL for a, b in pairwise(blurred)])
    changed = masks[1:] != masks[:-1]
    return float((changed & still).sum() / max(still.sum(), 1))
