"""What a camera does to a picture: where it stands, its lens, its sensor, its processing.

Pictures are (H, W, 3) on 0-255, uint8 or float32, and come back as the same type; masks uint8
(H, W). Geometry moves image and mask in one call, the mask by nearest neighbour; what comes in from
outside the picture is ignored (255).

All of it is OpenCV and numpy on bytes: at the sizes of training a chain of TensorFlow's float ops
costs several times as much, half of it for starting ops and for memory.
"""

from functools import lru_cache

import cv2
import numpy as np

from skyseg_tf.labels import IGNORE

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_MOTION_SAMPLES = 9
_GRAIN_STARTS = 1 << 18


def as_bytes(values: np.ndarray) -> np.ndarray:
    """(..., H, W, 3) rounded and clipped to uint8."""
    if values.dtype == np.uint8:
        return values
    # This conversion rounds and saturates in one quick pass, but mirrors what is below 0.
    flat = cv2.convertScaleAbs(cv2.max(values.reshape(-1, *values.shape[-2:]), 0.0))
    return flat.reshape(values.shape)


def as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float32 clipped to 0-255, as a type of picture."""
    return as_bytes(values) if dtype == np.uint8 else np.clip(values, 0, 255, values)


# --- geometry ---


def placement(
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    angle: float = 0.0,
    perspective: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> np.ndarray:
    """The homography from pixels of the result to pixels of the source, about the center.

    Args:
      size: (height, width).
      scale: above 1 enlarges.
      shift: down and right, in pixels of the result.
      angle: radians, counter-clockwise.
      perspective: by how much the lower and the right edge shrink (the others grow), as a share.
      flip: left to right.

    Returns:
      (3, 3) float64, applied to (x, y, 1).
    """
    height, width = size
    center = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    mirror = -1.0 if flip else 1.0
    down, right = shift
    a, b = mirror * cosine, -mirror * sine
    # Perspective comes first (the last of the source's steps): rows of the result's plane.
    tilt = [perspective[1] / (width / 2), perspective[0] / (height / 2)]
    matrix = [
        [a, b, -a * right - b * down],
        [sine, cosine, -sine * right - cosine * down],
        [*tilt, 1.0],
    ]
    moved = center @ matrix @ np.linalg.inv(center)
    return moved / moved[2, 2]


def zoom(
    clip: np.ndarray,
    mask: np.ndarray,
    scale: float,
    place: tuple[float, float],
    flip: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarges and crops, or shrinks and pads, by whole pixels.

    What `warp` would do by a matrix without turns, in a quarter of its time.

    Args:
      clip: (T, H, W, 3).
      mask: (H, W) uint8.
      scale: above 1 enlarges.
      place: of the crop, or of the shrunken picture in the frame: 0 to 1, from the top and the left.
      flip: left to right.

    Returns:
      The same shapes; images are black and the mask 255 outside the source.
    """
    full = np.array(mask.shape)
    part = np.rint(full / max(scale, 1.0)).astype(int)  # of the source, and of the result
    filled = np.rint(full * min(scale, 1.0)).astype(int)
    (top, left), (above, beside) = (
        np.rint((full - size) * place).astype(int) for size in (part, filled)
    )
    margins = above, full[0] - filled[0] - above, beside, full[1] - filled[1] - beside
    seen = slice(top, top + part[0]), slice(left, left + part[1])

    def placed(picture: np.ndarray, method: int, fill: int) -> np.ndarray:
        size = (int(filled[1]), int(filled[0]))
        picture = cv2.resize(picture[seen], size, interpolation=method)
        picture = cv2.flip(picture, 1) if flip else picture
        if not any(margins):
            return picture
        return cv2.copyMakeBorder(picture, *margins, cv2.BORDER_CONSTANT, value=fill)

    frames = [placed(frame, cv2.INTER_LINEAR, 0) for frame in clip]
    return stacked(frames), placed(mask, cv2.INTER_NEAREST_EXACT, IGNORE)


def warp(clip: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves images and their mask by a homography.

    Args:
      clip: (T, H, W, 3).
      mask: (H, W) uint8.
      matrix: (3, 3) from pixels (x, y, 1) of the result to pixels of the source.

    Returns:
      The same shapes; images are black and the mask 255 outside the source.
    """
    size, flat = mask.shape[::-1], np.array_equal(matrix[2], (0.0, 0.0, 1.0))

    def project(picture: np.ndarray, method: int, fill: float) -> np.ndarray:
        options = {
            "flags": method | cv2.WARP_INVERSE_MAP,
            "borderMode": cv2.BORDER_CONSTANT,
            "borderValue": fill,
        }
        if flat:
            return cv2.warpAffine(picture, matrix[:2], size, **options)
        return cv2.warpPerspective(picture, matrix, size, **options)

    frames = [project(frame, cv2.INTER_LINEAR, 0) for frame in clip]
    return stacked(frames), project(mask, cv2.INTER_NEAREST, IGNORE)


def stacked(frames: list[np.ndarray]) -> np.ndarray:
    """(T, H, W, 3) of T frames, without a copy where there is one."""
    return frames[0][None] if len(frames) == 1 else np.stack(frames)


# --- lens and sensor ---


def defocus(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, edges mirrored.

    Args:
      image: (H, W, 3).
      sigma: pixels, above 0; the kernel reaches 3.5 times as far.
    """
    reach = min(int(np.ceil(3.5 * sigma)), *image.shape[:2])
    return cv2.GaussianBlur(image, (2 * reach + 1,) * 2, sigma, borderType=cv2.BORDER_REFLECT)


def motion_blur(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Mean of nine pictures along a line, edges mirrored.

    Args:
      image: (H, W, 3).
      length: of the line, pixels.
      angle: radians.
    """
    height, width = image.shape[:2]
    along = np.linspace(-0.5, 0.5, _MOTION_SAMPLES)[:, None]
    steps = np.rint(length * along * [np.sin(angle), np.cos(angle)]).astype(int)
    reach = min(int(np.abs(steps).max()), height, width)
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    offsets = reach + np.clip(steps, -reach, reach)
    exact = np.uint16 if image.dtype == np.uint8 else np.float32  # nine bytes fit
    padded = padded.astype(exact)
    total = np.zeros(image.shape, exact)
    for y, x in offsets:
        cv2.add(total, padded[y : y + height, x : x + width], total)
    if exact == np.float32:
        return total / _MOTION_SAMPLES
    return cv2.convertScaleAbs(total, alpha=1 / _MOTION_SAMPLES)


@lru_cache(maxsize=4)
def _grain(values: int) -> np.ndarray:
    """Normal numbers, always the same, from which each picture takes `values` that follow."""
    return np.random.default_rng(0).standard_normal(values + _GRAIN_STARTS, np.float32)


def sensor_noise(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Adds noise whose variance grows with the light, as photons and a sensor's readout give.

    Args:
      image: (H, W, 3) on 0-255.
      rng: of the noise.
      sigma: standard deviation at white; at black it is a third.
    """
    # One of 260,000 windows of the same noise: drawing it anew takes ten times as long.
    start = rng.integers(_GRAIN_STARTS)
    normal = _grain(image.size)[start : start + image.size].reshape(image.shape)
    light = image.astype(np.float32)
    variance = cv2.max(light, 0.0)
    variance *= sigma**2 * (8 / 9 / 255)
    variance += sigma**2 / 9
    deviation = cv2.sqrt(variance, variance)
    noisy = cv2.add(light, cv2.multiply(normal, deviation, deviation), light)
    return as_bytes(noisy) if image.dtype == np.uint8 else noisy


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What JPEG leaves of a picture.

    Args:
      image: (H, W, 3) uint8.
      quality: 0-100.
    """
    flipped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # as OpenCV writes it
    encoded = cv2.imencode(".jpg", flipped, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)


# --- picture processing ---


def gamma(values: np.ndarray, exponent: float) -> np.ndarray:
    """255 * (x / 255) ** exponent, of values clipped to 0-255; float32."""
    return 255 * (np.clip(values, 0, 255).astype(np.float32) / 255) ** np.float32(exponent)


def tone_table(gain: float, exponent: float) -> np.ndarray:
    """(256,) uint8: each byte times the sensor's gain, clipped, with a gamma."""
    return np.rint(gamma(np.arange(256) * gain, exponent)).astype(np.uint8)


def adjust_colors(
    image: np.ndarray,
    *,
    saturation: float = 1.0,
    hue: float = 0.0,
    contrast: float = 1.0,
    brightness: float = 0.0,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Saturation, hue, contrast, brightness and tint as one matrix.

    Args:
      image: (..., H, W, 3) on 0-255.
      saturation: factor of the distance to the luma (BT.601).
      hue: radians, a turn of the colors about the grey axis that keeps the luma.
      contrast: factor of the distance to the mean of all values.
      brightness: added.
      tint: factors of the channels.

    Returns:
      The image, clipped to 0-255.
    """
    grey = np.repeat(_LUMA[:, None], 3, 1)  # row vectors times this: the luma, three times
    axis = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) / np.sqrt(3)
    third = np.full((3, 3), 1 / 3)
    turn = third + np.cos(hue) * (np.eye(3) - third) + np.sin(hue) * axis
    chroma = (np.eye(3) - grey) @ turn @ (np.eye(3) - grey)  # no luma from the turn
    matrix = contrast * (grey + saturation * chroma) * tint
    flat = image.reshape(-1, *image.shape[-2:])
    offset = (1 - contrast) * np.mean(cv2.mean(flat)[:3]) + brightness
    # OpenCV multiplies column vectors; the fourth column is added.
    colors = cv2.transform(flat, np.column_stack([matrix.T, np.full(3, offset)]))
    colors = colors if image.dtype == np.uint8 else np.clip(colors, 0, 255)
    return colors.reshape(image.shape)
