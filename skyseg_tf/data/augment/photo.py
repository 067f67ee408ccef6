"""One photo on disk, its gamma and saturation changed as the training changes them."""

import math
from pathlib import Path

import numpy as np

from skyseg_tf.data.augment import effects
from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.images import read_photo, write_image

_WRITTEN = (".png", ".jpg", ".jpeg")
_DRAWN = AUGMENTATIONS["light"]


def augment_image(
    path: str | Path,
    gamma: float | None = None,
    saturation: float | None = None,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
) -> Path:
    """Writes a photo with another gamma and saturation.

    Args:
      path: the photo; it is not changed.
      gamma: exponent of the values as shares of 255, above 0: below 1 is brighter, above 1 darker.
        None: uniform in 0.5-1.5, as `--augment light` draws it.
      saturation: factor of the distance to grey, from 0 (grey) on. None: uniform in 0.5-1.5.
      out: PNG or JPEG; default: `<name>_augmented` beside the photo, with its suffix (.png if it is
        of another kind). What is there is overwritten.
      seed: the same seed draws the same numbers; None: others each time.

    Returns:
      The file that was written. It keeps the photo's color profile and EXIF data.

    Raises:
      FileNotFoundError: no such photo.
      InputError: not a photo, a number out of range, or a file that cannot be written.
    """
    out = _output(path, out)
    ranges = np.array([_DRAWN.gamma[:2], _DRAWN.saturation[:2]])
    drawn = np.random.default_rng(seed).uniform(*ranges.T)
    gamma, saturation = (
        float(number) if given is None else given
        for number, given in zip(drawn, (gamma, saturation), strict=True)
    )
    if not (math.isfinite(gamma) and gamma > 0):
        raise InputError(f"gamma {gamma}: must be a number above 0, such as 0.5 to 1.5")
    if not (math.isfinite(saturation) and saturation >= 0):
        raise InputError(
            f"saturation {saturation}: must be 0 or a number above, such as 0.5 to 1.5"
        )
    photo = read_photo(path)
    # In floats: the training, which has no time for them, is off by one here and there.
    pixels = effects.adjust_colors(effects.gamma(photo.image, gamma), saturation=saturation)
    write_image(out, effects.as_bytes(pixels), photo.metadata)
    return out


def _output(path: str | Path, out: str | Path | None) -> Path:
    if out is None:
        if ZIP_MARK in str(path):
            raise InputError(
                f"{path}: lies in an archive, beside which nothing is written; give out"
            )
        path = Path(path)
        suffix = path.suffix if path.suffix.lower() in _WRITTEN else ".png"
        return path.with_name(f"{path.stem}_augmented{suffix}")
    out = Path(out)
    if out.suffix.lower() not in _WRITTEN:
        raise InputError(f"{out}: the name must end in .png or .jpg")
    if out.resolve() == Path(path).resolve():
        raise InputError(f"{out}: is the photo itself and would be overwritten; give another out")
    return out
