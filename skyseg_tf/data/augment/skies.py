"""Skies exchanged, overexposed, fogged and darkened behind the things in front of them.

Pictures are (H, W, 3) on 0-255, uint8 or float32, and come back as the same type; `sky` is bool
(H, W), where the mask says sky.
Everything is built on one decomposition (`sky_matte`): a pixel is alpha * sky + (1 - alpha) *
thing, where the sky's color is smooth. A new sky is then added as alpha * (new - old): what is
finer than the old sky's color, such as twigs, wires and the sensor's grain, stays.

What is smooth is computed on a grid of 16 cells a height, and what is far from the sky is not
computed at all.
"""

from typing import NamedTuple

import cv2
import numpy as np

from skyseg_tf.data.augment.chances import Parameters
from skyseg_tf.data.augment.effects import as_type

_LIKE_SKY = 50.0  # color distance (0-255) beyond which a pixel next to the sky is no sky
_BORDER = cv2.BORDER_REPLICATE

# (zenith, horizon, cloud) colors, RGB 0-255, and the range of the clouds' share of the sky.
_SKIES = np.array(
    [
        [[70, 120, 200], [175, 205, 235], [245, 245, 250]],  # clear blue
        [[110, 150, 205], [205, 218, 232], [235, 235, 238]],  # hazy with clouds
        [[150, 158, 168], [205, 208, 210], [120, 126, 134]],  # overcast
        [[250, 250, 250], [255, 255, 255], [235, 238, 242]],  # blown out
        [[95, 110, 165], [250, 195, 140], [235, 150, 120]],  # low sun
        [[205, 207, 206], [228, 227, 222], [190, 192, 194]],  # bright haze
    ],
    np.float32,
)
_COVER = np.array([[0.0, 0.3], [0.2, 0.8], [0.4, 1.0], [0.0, 0.6], [0.1, 0.7], [0.0, 0.4]])


class Matte(NamedTuple):
    """What `sky_matte` finds, in the rows near the sky: elsewhere it has no share.

    Attributes:
      rows: those rows.
      alpha: (h, W) float32, share of sky in a pixel, 0-1.
      near: (h, W) float32, share of sky around a pixel, 0-1, smooth.
      color: (h, W, 3) float32, the sky's color, smooth, carried on behind what stands before it.
      like: (h, W) float32, how much a pixel near the sky has its color, 0-0.9.
    """

    rows: slice
    alpha: np.ndarray
    near: np.ndarray
    color: np.ndarray
    like: np.ndarray


def _mean(picture: np.ndarray, size: int) -> np.ndarray:
    return cv2.blur(picture, (size, size), borderType=_BORDER)


def as_rgb(channel: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3): numpy takes five times as long to broadcast one channel over three."""
    return cv2.merge((channel, channel, channel))


def _enlarged(picture: np.ndarray, size: tuple[int, int], method: int = cv2.INTER_LINEAR):
    return cv2.resize(picture, size[::-1], interpolation=method)


def sky_matte(image: np.ndarray, sky: np.ndarray) -> Matte:
    """Separates the sky's light from what stands before it.

    The mask's border is feathered by a pixel; next to the sky a pixel that has the sky's color
    counts as sky too, since masks draw a bare tree as one blob, through which the sky shines.
    """
    height, width = sky.shape
    cell = max(4, height // 16)
    # Three cells beyond the sky all shares are 0.
    seen = np.flatnonzero(sky.any(1)) // cell if sky.any() else np.zeros(1, int)
    rows = slice(max(0, int(seen[0]) - 3) * cell, min(height, (int(seen[-1]) + 4) * cell))
    part, sky = image[rows].astype(np.float32), sky[rows].view(np.uint8)
    grid = -(-width // cell), -(-len(sky) // cell)
    light, share = (
        cv2.resize(x, grid, interpolation=cv2.INTER_AREA)
        for x in (cv2.copyTo(part, sky), sky.astype(np.float32))
    )

    def spread(cells: np.ndarray) -> np.ndarray:
        # Where a cell has no sky its neighbours' counts, and where they have none the picture's.
        return cells + 0.03 * _mean(cells, 3) + 1e-4 * cells.mean((0, 1))

    color = _enlarged(spread(light) / (spread(share)[..., None] + 1e-9), sky.shape)
    near = _enlarged(_mean(share, 5), sky.shape)
    apart = cv2.subtract(part, color, part)
    squares = cv2.multiply(apart, apart, apart, 1 / _LIKE_SKY**2)
    unlike = cv2.transform(squares, np.ones((1, 3)))
    like = cv2.max(cv2.subtract(1.0, unlike, unlike), 0.0, unlike)
    like *= np.minimum(3 * near, np.float32(0.9))
    feathered = cv2.multiply(_mean(255 * sky, 3), 1.0, scale=1 / 255, dtype=cv2.CV_32F)
    return Matte(rows, cv2.max(feathered, like, feathered), near, color, like)


def blended(image: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The image, and the share `weight` (H, W) of the other one."""
    pixels = image.astype(np.float32)
    apart = cv2.subtract(other.astype(np.float32), pixels)
    apart = cv2.multiply(apart, as_rgb(weight), apart)
    return as_type(cv2.add(pixels, apart, apart), image.dtype)


def glare(image: np.ndarray, sky: np.ndarray, *, level: float, gain: float = 1.0) -> float:
    """The gain of a longer exposure: the sky's mean comes to `level`.

    Args:
      image: (H, W, 3).
      sky: (H, W).
      level: 0-255 and beyond.
      gain: of the exposure so far.

    Returns:
      What `gain` becomes, at most three times as much; skies darker than 20 are left.
    """
    light = gain * float(np.mean(cv2.mean(image, sky.astype(np.uint8))[:3]))
    return gain * float(np.clip(level / light, 1, 3)) if light > 20 else gain


def replace_sky(
    image: np.ndarray, matte: Matte, new: np.ndarray | tuple[float, float, float], spill: float
) -> np.ndarray:
    """Puts another sky behind the things of a picture.

    Args:
      image: (H, W, 3).
      matte: of this image.
      new: the sky, (H, W, 3) or one color; above 255 it eats into twigs, as a glaring one does.
      spill: share of its light that falls onto what is next to it, 0-1.
    """
    weight = cv2.max(matte.alpha, np.float32(spill) * matte.near)
    new = new[matte.rows] if isinstance(new, np.ndarray) else (*new, 0.0)
    change = cv2.subtract(new, matte.color)
    change = cv2.multiply(change, as_rgb(weight), change)
    change = cv2.add(change, image[matte.rows].astype(np.float32), change)
    replaced = image.copy()
    replaced[matte.rows] = as_type(change, image.dtype)
    return replaced


def overexpose_sky(image: np.ndarray, sky: np.ndarray, *, level: float, bloom: float) -> np.ndarray:
    """Blows the sky out to white or grey, with a bloom over what is thin before it.

    Args:
      image: (H, W, 3).
      sky: (H, W).
      level: brightness of the sky, 0-255 and beyond: the further, the more of the twigs it eats.
      bloom: share of its light on what is next to it, 0-1.
    """
    return replace_sky(image, sky_matte(image, sky), (level,) * 3, bloom)


def fog(
    image: np.ndarray,
    sky: np.ndarray,
    rng: np.random.Generator,
    *,
    density: float,
    light: tuple[float, float, float],
) -> np.ndarray:
    """Fog after Koschmieder: t * image + (1 - t) * light, with t = exp(-density * distance).

    Nobody knows the distances: the street is taken for a canyon with its vanishing point in the
    middle of the sky's lowest row (within the middle of the picture), so that ground and fronts
    come nearer towards the picture's edges; the sky is farthest. Patches vary the density by a
    third.

    Args:
      image: (H, W, 3).
      sky: (H, W).
      rng: of the patches.
      density: optical depth at the vanishing point.
      light: the fog's color.
    """
    height, width = sky.shape
    rows = np.arange(height, dtype=np.float32)
    lowest = np.flatnonzero(np.append(True, sky.mean(1)[1:] > 0.02))[-1]
    horizon = float(np.clip(lowest, 0.35 * height, 0.6 * height))
    ahead = (rows - horizon) / height
    ahead = np.maximum(ahead, -0.25 * ahead)[:, None]  # the ground, or what hangs above
    aside = 0.6 * np.abs(np.linspace(-0.5, 0.5, width, dtype=np.float32))
    distance = 0.08 / (0.08 + np.maximum(ahead, aside))  # (H, W), 1 at the vanishing point
    patches = rng.uniform(0.67, 1.33, (4, 6)).astype(np.float32)
    distance *= _enlarged(patches, sky.shape)
    distance += 3 * _mean(sky.astype(np.float32), 3)
    veil = 1 - cv2.exp(-np.float32(density) * distance)
    return blended(image, np.broadcast_to(np.float32(light), image.shape), veil)


def night(
    image: np.ndarray, sky: np.ndarray, rng: np.random.Generator, *, light: float, glow: float
) -> np.ndarray:
    """Darkens a street to night: a sky darker than the street, bluish dark, pools of warm light.

    Args:
      image: (H, W, 3).
      sky: (H, W).
      rng: of the lamps.
      light: share of the daylight that is left, 0-1.
      glow: brightness of the sky (a town's glow), 0-255; at most 255 light, for the night
        falls on it too.
    """
    color = glow * rng.uniform(0.8, 1.2, 3)
    matte = sky_matte(image, sky)
    image = replace_sky(image, matte, tuple(color / light), 0.0)
    dark = ((0.5 * np.eye(3) + 0.5 / 3) * [0.85, 0.95, 1.2]).T  # half grey, and bluish
    pixels = cv2.transform(image.astype(np.float32), dark)
    lamps = rng.random((7, 9), np.float32) ** 6
    lamps = np.maximum(_enlarged(lamps, sky.shape, cv2.INTER_CUBIC), 0)
    lamps[matte.rows] *= 1 - matte.alpha
    pools = cv2.merge([np.float32(light) + warm * lamps for warm in np.float32([1.2, 0.9, 0.54])])
    return as_type(cv2.multiply(pixels, pools, pools), image.dtype)


def synthetic_sky(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draws a sky: a gradient of one of six weathers' colors with clouds of three scales.

    Args:
      rng: of the sky.
      size: (height, width).

    Returns:
      (H, W, 3) float32 on 0-255.
    """
    full, size = size, tuple(-(-side // 4) for side in size)  # a sky has nothing fine
    kind = rng.integers(len(_SKIES))
    zenith, horizon, cloud = _SKIES[kind] + 24 * (rng.random(3, np.float32) - np.float32(0.5))
    rows = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    # The horizon lies somewhere between the middle and the lower edge.
    part = np.minimum(rows / rng.uniform(0.4, 1.0), 1).astype(np.float32)
    noise = np.zeros(size, np.float32)
    for cells, weight in ((3, 0.5), (6, 0.3), (14, 0.2)):
        field = rng.random((cells, cells), np.float32)
        noise += np.float32(weight) * _enlarged(field, size, cv2.INTER_CUBIC)
    cover, softness = rng.uniform(*_COVER[kind]), rng.uniform(0.05, 0.3)
    clouds = np.clip((noise - np.float32(0.8 - 0.6 * cover)) / np.float32(softness), 0, 1)
    clear = zenith + part * (horizon - zenith)  # (h, 1, 3)
    drawn = clear + clouds[..., None] * (cloud - clear)
    return _enlarged(np.clip(drawn, 0, 255), full)


def weather(image: np.ndarray, sky: np.ndarray, parameters: Parameters) -> np.ndarray:
    """What happens to the sky and the light of a frame, as it is drawn.

    Args:
      image: (H, W, 3).
      sky: (H, W).
      parameters: of the picture.
    """
    draws, strength = parameters.draws, parameters.strength
    other, spill, bloom, bright, blue, town = draws.weather
    if other < parameters.settings.new_sky:
        new = synthetic_sky(draws.rng("clouds"), sky.shape)
        image = replace_sky(image, sky_matte(image, sky), new, 0.2 * spill)
    if "overexposed_sky" in strength:
        level = strength["overexposed_sky"]
        image = overexpose_sky(image, sky, level=level, bloom=0.35 * bloom)
    if "fog" in strength:
        light = tuple((170 + 70 * bright) * np.array([1, 1, 1 + 0.06 * blue]))
        image = fog(image, sky, draws.rng("fog"), density=strength["fog"], light=light)
    if "night" in strength:
        options = {"light": strength["night"], "glow": 10 + 50 * town}
        image = night(image, sky, draws.rng("lamps"), **options)
    return image
