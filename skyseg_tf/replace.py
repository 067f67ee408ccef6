"""skyseg replace: another sky in a photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tyro

from skyseg_tf.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.formats import horizon_line
from skyseg_tf.images import read_image, write_image
from skyseg_tf.prediction import Prediction, predict_image
from skyseg_tf.runtime import BACKENDS, load_runtime

LEAST_SKY = 0.01  # share of the photo under which there is nothing to replace
_SPREAD = (0.6, 1.6)  # bounds of the change of contrast: beyond, noise or posters come out
_ALPHA = (0.2, 0.8)  # probabilities outside are decided: a doubtful wall gets no haze of new sky
_SKY_COLOR_RADIUS = 1 / 40  # of the photo's long side


@dataclass(frozen=True)
class ReplaceConfig:
    """Put another sky into a photo, and let its light color the rest a little."""

    photo: tyro.conf.Positional[Path]
    """The photo whose sky goes."""
    sky: Path
    """A picture of a sky; if it shows land too, only what is above its horizon is used."""
    out: Path | None = None
    """PNG or JPEG; default: <photo>_sky.jpg in this folder."""
    strength: float = 0.4
    """How far the rest takes on the colors of the new sky, 0 (not at all) to 1."""
    model: str | None = None
    """As for `skyseg predict`."""
    backend: Literal[BACKENDS] | None = None
    """As for `skyseg predict`."""


def replace(config: ReplaceConfig) -> Path:
    """Writes the photo with the other sky.

    Args:
      config: see ReplaceConfig.

    Returns:
      The file.

    Raises:
      InputError: no sky in the photo, or a setting that cannot be used.
    """
    if not 0 <= config.strength <= 1:
        raise InputError(f"--strength {config.strength}: must lie between 0 and 1")
    out = config.out or Path(f"{config.photo.stem}_sky.jpg")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{out}: the name must end in .png or .jpg")
    for given in (config.photo, config.sky):
        if out.resolve() == given.resolve():
            raise InputError(
                f"{out}: is {given} itself and would be overwritten; give another --out"
            )
    photo, other = read_image(config.photo), read_image(config.sky)
    runtime = load_runtime(config.model, config.backend, quick=True)
    if runtime.sky_channel is None:
        raise InputError(f"{runtime.name} knows no sky: choose another --model")
    prediction = predict_image(runtime, photo)
    share = float(prediction.is_sky.mean())
    if share < LEAST_SKY:
        raise InputError(
            f"{config.photo}: no sky to replace ({100 * share:.1f} % of the photo); "
            "choose another photo or --model"
        )
    sky = crop_sky(predict_image(runtime, other))
    write_image(out, compose(prediction, sky, config.strength))
    print(f"{out}: {100 * share:.1f} % of {config.photo} replaced; model {runtime.name}")
    return out


def crop_sky(prediction: Prediction) -> np.ndarray:
    """What of a picture lies above its horizon.

    Args:
      prediction: of the picture.

    Returns:
      (h, W, 3) uint8: the rows above the first in which less than half is sky; the whole picture
      where the model sees (almost) no sky or hardly anything else.
    """
    rows = prediction.is_sky.mean(1)
    first = int(np.argmax(rows > 0.5)) if (rows > 0.5).any() else 0
    below = np.flatnonzero(rows[first:] < 0.5)
    last = first + int(below[0]) if len(below) else len(rows)
    return prediction.image[first:last] if last - first >= len(rows) / 8 else prediction.image


def compose(prediction: Prediction, sky: np.ndarray, strength: float) -> np.ndarray:
    """Lays a new sky behind what is not sky.

    Args:
      prediction: of the photo, with `sky` refined.
      sky: (h, w, 3) uint8, all of it sky.
      strength: of the color match, 0-1.

    Returns:
      (H, W, 3) uint8. In half-covered pixels the old sky's color is taken out before the new one
      comes in, so that no old sky shines round branches.
    """
    photo = prediction.image.astype(np.float32)
    alpha = np.clip((prediction.sky[..., None] - _ALPHA[0]) / (_ALPHA[1] - _ALPHA[0]), 0, 1)
    backdrop = place_sky(sky, prediction.is_sky)
    front = _without_old_sky(photo, alpha)
    front = match_colors(front, 1 - alpha[..., 0], backdrop, strength)
    mixed = alpha * backdrop + (1 - alpha) * front
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def place_sky(sky: np.ndarray, is_sky: np.ndarray) -> np.ndarray:
    """Scales a sky to cover the photo's sky, its lower edge at the photo's horizon.

    Args:
      sky: (h, w, 3) uint8.
      is_sky: (H, W) bool, not empty.

    Returns:
      (H, W, 3) float32 0-255; under the horizon its last row goes on.
    """
    height, width = is_sky.shape
    line = horizon_line(is_sky) or {"left": 1.0, "right": 1.0}
    end = round(height * min(1.0, max(line["left"], line["right"], 0.05)))
    scale = max(width / sky.shape[1], end / sky.shape[0])
    size = (max(width, round(sky.shape[1] * scale)), max(end, round(sky.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(sky, size, interpolation=method).astype(np.float32)
    left = (large.shape[1] - width) // 2
    large = large[large.shape[0] - end :, left : left + width]
    return cv2.copyMakeBorder(large, 0, height - end, 0, 0, cv2.BORDER_REPLICATE)


def _without_old_sky(photo: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Solves photo = alpha * old sky + (1 - alpha) * front for the front, gently."""
    radius = max(3, round(max(photo.shape) * _SKY_COLOR_RADIUS))
    weight = (alpha > 0.99).astype(np.float32)
    sums = cv2.blur(np.dstack([photo * weight, weight]), (2 * radius + 1,) * 2)
    old = sums[..., :3] / np.maximum(sums[..., 3:], 1e-3)
    near_sky = np.clip(sums[..., 3:] * 20, 0, 1)
    # Where the front is nearly covered, noise would be enlarged: at most fourfold.
    front = (photo - alpha * old) / np.maximum(1 - alpha, 0.25)
    return np.clip(photo + near_sky * (front - photo), 0, 255)


def match_colors(
    front: np.ndarray, weight: np.ndarray, backdrop: np.ndarray, strength: float
) -> np.ndarray:
    """Moves mean and spread of the front's colors towards those of the new sky, in Lab.

    Args:
      front: (H, W, 3) float32 0-255.
      weight: (H, W) in 0-1, which pixels count as front.
      backdrop: (H, W, 3) float32 0-255.
      strength: 0-1. Lightness follows at half of it: a landscape is not as bright as its sky.

    Returns:
      (H, W, 3) float32 0-255.

    Reference: Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001; in CIE Lab, and
      only a part of the way.
    """
    if strength == 0:
        return front
    lab = cv2.cvtColor(front / np.float32(255), cv2.COLOR_RGB2Lab)
    target = cv2.cvtColor(backdrop / np.float32(255), cv2.COLOR_RGB2Lab)
    mean, std = _moments(lab, weight)
    wanted_mean, wanted_std = _moments(target, np.ones_like(weight))
    share = strength * np.array([0.5, 1, 1], np.float32)
    gain = np.clip(wanted_std / np.maximum(std, 1e-3), *_SPREAD)
    # Contrast is the front's own; of its colors' spread and of all means a part is taken over.
    gain = 1 + share * np.array([0, 0.5, 0.5], np.float32) * (gain - 1)
    moved = (lab - mean) * gain + mean + share * 0.5 * (wanted_mean - mean)
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1) * 255


def _moments(lab: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = max(float(weight.sum()), 1.0)
    mean = np.einsum("hwc,hw->c", lab, weight) / total
    square = np.einsum("hwc,hw->c", (lab - mean) ** 2, weight) / total
    return mean.astype(np.float32), np.sqrt(square).astype(np.float32)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.replace") -> None:
    """Entry point of the command."""
    run_command(replace, ReplaceConfig, argv, prog)


if __name__ == "__main__":
    main()
