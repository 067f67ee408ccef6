"""The faults of a camera: how drawn linear light becomes a photo."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.labels import LABEL_ID


@dataclass(frozen=True)
class Photo:
    """How a picture was taken. Ranges follow cheap and good cameras alike."""

    key: float  # brightness the exposure aims at
    sky_weight: float  # share of the sky in the metering: 0 burns it out
    warmth: np.ndarray  # (3,) white balance
    saturation: float
    shoulder: float  # linear value that still is not white
    contrast: float
    black: float
    vignette: float
    bloom: float
    blur: float  # pixels at a width of 2048
    motion: float
    noise: float  # deviation on the display scale
    jpeg: int  # quality, 0 = none


def draw_photo(rng: np.random.Generator, night: bool) -> Photo:
    """Picks a camera and its settings."""
    sharp = rng.random() < 0.55
    return Photo(
        key=float(np.exp(rng.normal(np.log(0.08 if night else 0.21), 0.35))),
        sky_weight=float(rng.uniform(0, 1.3)),
        warmth=1 + rng.normal(0, 0.02, 3) + np.array([1, 0.1, -1]) * rng.normal(0, 0.06),
        saturation=float(rng.uniform(0.6, 1.4)),
        shoulder=float(rng.uniform(1.1, 4)),
        contrast=float(rng.uniform(0.95, 1.55)),
        black=float(rng.uniform(0, 0.05)) * (rng.random() < 0.4),
        vignette=float(rng.uniform(0, 0.5)),
        bloom=float(rng.uniform(0.02, 0.15)),
        blur=float(rng.uniform(0, 0.9) if sharp else rng.uniform(0.9, 2.6)),
        motion=float(rng.uniform(2, 9)) * (rng.random() < 0.12),
        noise=float(np.exp(rng.uniform(np.log(0.002), np.log(0.05 if night else 0.022)))),
        jpeg=int(rng.uniform(45, 96)) * (rng.random() < 0.5),
    )


def develop(canvas: Canvas, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Turns linear light into a photo: metering, glare, lens, sensor, tone curve.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    image = canvas.image
    height, width = canvas.size
    small_size = (max(8, width // 8), max(8, height // 8))
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    is_sky = (canvas.labels == LABEL_ID["sky"]).astype(np.float32)
    is_sky = cv2.resize(is_sky, small_size, interpolation=cv2.INTER_AREA)
    weight = 1 - is_sky * (1 - photo.sky_weight) + 1e-3
    logs = np.log(small.mean(-1) + 1e-3)
    exposure = min(photo.key / float(np.exp((logs * weight).sum() / weight.sum())), 14.0)
    glare = np.clip(small * exposure - 0.9, 0, 12)
    wide = cv2.GaussianBlur(glare, (0, 0), width / 8 / 25)
    wide += 2 * cv2.GaussianBlur(glare, (0, 0), width / 8 / 120 + 0.3)
    wide = cv2.resize(wide * photo.bloom, (width, height), interpolation=cv2.INTER_LINEAR)
    gray = np.full((3, 3), (1 - photo.saturation) / 3) + np.eye(3) * photo.saturation
    image = cv2.transform(image, np.diag(photo.warmth * exposure) @ gray)
    image += wide
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image *= (1 - photo.vignette * 0.5 * (x * x + y * y) * 0.7).astype(np.float32)[..., None]
    scale = width / 2048
    if photo.blur * scale > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), photo.blur * scale)
    if photo.motion * scale > 1.5:
        image = cv2.blur(image, (int(photo.motion * scale), 1))
    return _expose(image, photo, rng)


def _expose(image: np.ndarray, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Tone curve, sensor noise and JPEG: (H, W, 3) float32 light -> uint8."""
    white = photo.shoulder
    np.clip(image, 0, 16, out=image)
    image *= (1 + image / (white * white)) / (0.9 + image)
    shown = cv2.sqrt(np.minimum(image, 1.0, out=image))
    shown = photo.black + (1 - photo.black) * (0.47 + (shown - 0.47) * photo.contrast)
    if photo.noise > 0.003:
        grain = rng.standard_normal(image.shape, np.float32) * np.float32(photo.noise)
        if photo.noise > 0.012:  # noise reduction of cheap cameras leaves blotches
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.9
        shown += grain
    photo8 = cv2.convertScaleAbs(np.clip(shown, 0, 1), alpha=255)
    if photo.jpeg:
        _, packed = cv2.imencode(".jpg", photo8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, photo.jpeg])
        photo8 = cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB)
    return photo8
