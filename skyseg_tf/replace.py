"""skyseg replace: another sky in a photo."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tyro
from PIL import Image, ImageCms

from skyseg_tf.cli import run_command
from skyseg_tf.compositing.backdrop import make_backdrop, sure_sky
from skyseg_tf.compositing.matting import sky_matte
from skyseg_tf.errors import InputError
from skyseg_tf.images import read_photo, write_image
from skyseg_tf.masking.prediction import Prediction, predict_image
from skyseg_tf.masking.runtime import BACKENDS, Runtime, load_runtime

LEAST_SKY = 0.01  # share of the photo under which there is nothing to replace
LEAST_NEW_SKY = 0.02  # share of the other photo under which its sky would be a blur of few pixels
_SPREAD = (0.6, 1.6)  # bounds of the change of contrast: beyond, noise or posters come out


@dataclass(frozen=True)
class ReplaceConfig:
    """Put another sky into a photo, and let its light color the rest a little."""

    photo: tyro.conf.Positional[Path]
    """The photo whose sky goes."""
    sky: Path
    """Another photo; of what it shows, only sky comes in."""
    out: Path | None = None
    """PNG or JPEG; default: <photo>_sky.jpg in this folder."""
    strength: float = 0.4
    """How far the rest takes on the colors of the new sky, 0 (not at all) to 1."""
    model: str | None = None
    """As for `skyseg predict`."""
    backend: Literal[tuple(BACKENDS)] | None = None
    """As for `skyseg predict`."""
    all_sky: bool = False
    """--sky shows nothing but sky: take all of it. Models know a sky by what stands below it."""


def replace(config: ReplaceConfig) -> Path:
    """Writes the photo with the other sky.

    Args:
      config: see ReplaceConfig.

    Returns:
      The file.

    Raises:
      InputError: no sky in one of the photos, or a setting that cannot be used.
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
    photo, other = read_photo(config.photo), read_photo(config.sky)
    runtime = load_runtime(config.model, config.backend, quick=True)
    if runtime.sky_channel is None:
        raise InputError(f"{runtime.name} knows no sky: choose another --model")
    prediction = predict_image(runtime, photo.image)
    share = float(prediction.is_sky.mean())
    if share < LEAST_SKY:
        raise InputError(
            f"{config.photo}: no sky to replace ({100 * share:.1f} % of the photo); "
            "choose another photo or --model"
        )
    sure = _where_sky(config, runtime, other.image)
    sky = in_profile(other.image, other.metadata.icc_profile, photo.metadata.icc_profile)
    write_image(out, compose(prediction, sky, sure, config.strength), photo.metadata)
    print(f"{out}: {100 * share:.1f} % of {config.photo} replaced; model {runtime.name}")
    return out


def _where_sky(config: ReplaceConfig, runtime: Runtime, other: np.ndarray) -> np.ndarray:
    """(h, w) bool: what of the other photo may be taken."""
    if config.all_sky:
        return np.ones(other.shape[:2], bool)
    sure = sure_sky(predict_image(runtime, other).sky)
    if sure.mean() < LEAST_NEW_SKY:
        raise InputError(
            f"{config.sky}: too little sky to take ({100 * sure.mean():.1f} % of it is surely "
            "sky); choose another --sky, or add --all-sky if it shows nothing else"
        )
    return sure


def in_profile(image: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """The same colors in the numbers of another ICC profile.

    Args:
      image: (H, W, 3) uint8.
      source: its profile; None is sRGB.
      target: the wanted one; None is sRGB.

    Returns:
      (H, W, 3) uint8; the image itself where the profiles are the same or one of them is damaged,
      as viewers then take the numbers as they are.
    """
    if source == target:
        return image
    try:
        profiles = [
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile
            else ImageCms.createProfile("sRGB")
            for profile in (source, target)
        ]
        return np.asarray(ImageCms.profileToProfile(Image.fromarray(image), *profiles))
    except (ImageCms.PyCMSError, OSError):
        return image


def compose(
    prediction: Prediction, other: np.ndarray, sure: np.ndarray, strength: float
) -> np.ndarray:
    """Lays a new sky behind what is not sky.

    Args:
      prediction: of the photo, with `sky` refined.
      other: (h, w, 3) uint8, the photo that the new sky comes from.
      sure: (h, w) bool, where that shows sky; not empty.
      strength: of the color match, 0-1.

    Returns:
      (H, W, 3) uint8. In half-covered pixels the old sky's color is taken out before the new one
      comes in, so that no old sky shines round branches.
    """
    alpha, front = sky_matte(prediction.image, prediction.sky)
    backdrop = make_backdrop(other, sure, alpha > 0)
    front = match_colors(front, 1 - alpha, backdrop, strength)
    mixed = front + alpha[..., None] * (backdrop - front)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


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
