"""skyseg replace: another sky in a photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import BACKENDS, NETWORK, choices, default_is
from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.places import resolved

LEAST_SKY = 0.01  # share of the photo under which there is nothing to replace
LEAST_NEW_SKY = 0.02  # share of the other photo under which its sky would be a blur of few pixels


@dataclass(frozen=True)
class ReplaceConfig:
    """Put another sky into a photo, and tint the rest a little with its light.

    Example: skyseg replace photo.jpg --sky sunset.jpg
    """

    ARGUMENTS = ("photo",)

    photo: Path
    """Photo whose sky is replaced."""
    sky: Path
    """Photo that shows the new sky; only its sky is taken."""
    out: Annotated[Path | None, default_is("<photo>_sky.jpg beside the photo")] = None
    """File to write, .png or .jpg; one that is there is replaced."""
    strength: float = 0.4
    """How much the rest of the photo is tinted by the new sky, 0 (not at all) to 1."""
    model: Annotated[str | None, NETWORK, default_is("skyline, which is packaged")] = None
    """Model, as for `skyseg predict`."""
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest")] = None
    """Runtime, as for `skyseg predict`."""
    all_sky: bool = False
    """Take the whole of --sky, for a photo that shows nothing but sky: without ground in the
    picture the network may not recognize it."""


def replace(config: ReplaceConfig) -> Path:
    """Writes the photo with the other sky.

    Args:
      config: see ReplaceConfig.

    Returns:
      The file.

    Raises:
      InputError: no sky in one of the photos, or a setting that cannot be used.
    """
    from skyseg_tf.compositing.replacement import compose, in_profile
    from skyseg_tf.files.aside import check_folder
    from skyseg_tf.images import read_photo, write_image
    from skyseg_tf.masking.prediction import predict_image
    from skyseg_tf.masking.runtime import load_runtime

    if not 0 <= config.strength <= 1:
        raise InputError(f"--strength {config.strength}: must lie between 0 and 1")
    out = _output(config)
    check_folder(out.parent)
    photo, other = read_photo(config.photo), read_photo(config.sky)
    runtime = load_runtime(config.model, config.backend, quick=True)
    if runtime.sky_channel is None:
        raise InputError(f"{runtime.name} knows no sky: choose another --model")
    prediction = predict_image(runtime, photo.image)
    share = prediction.sky_share
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


def _output(config: ReplaceConfig) -> Path:
    """The file to write, which overwrites neither photo; here for a photo in an archive."""
    folder = Path() if ZIP_MARK in str(config.photo) else config.photo.parent
    out = config.out or folder / f"{config.photo.stem}_sky.jpg"
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{out}: the name must end in .png or .jpg")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give the name of a file")
    for given in (config.photo, config.sky):
        if resolved(out) == resolved(given):
            raise InputError(
                f"{out}: is {given} itself and would be overwritten; give another --out"
            )
    return out


def _where_sky(config: ReplaceConfig, runtime, other):
    """(h, w) bool: what of the other photo, (h, w, 3) uint8, may be taken."""
    import numpy as np

    from skyseg_tf.compositing.backdrop import sure_sky
    from skyseg_tf.masking.prediction import predict_image

    if config.all_sky:
        return np.ones(other.shape[:2], bool)
    sure = sure_sky(predict_image(runtime, other).sky)
    if sure.mean() < LEAST_NEW_SKY:
        raise InputError(
            f"{config.sky}: too little sky to take ({100 * sure.mean():.1f} % of it is surely "
            "sky); choose another --sky, or add --all-sky if it shows nothing else"
        )
    return sure


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.replace") -> None:
    """Entry point of the command."""
    run_command(replace, ReplaceConfig, argv, prog)


if __name__ == "__main__":
    main()
