"""What becomes of a video: the settings, and which file or folder they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.data.listing import VIDEO_SUFFIXES
from skyseg_tf.errors import InputError, flag_of
from skyseg_tf.files.aside import check_folder
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.masking.formats import SOFTWARE
from skyseg_tf.masking.settings import VideoSettings
from skyseg_tf.video.addresses import is_stream, video_name
from skyseg_tf.video.encoders import CONTAINERS
from skyseg_tf.video.formats import find_format
from skyseg_tf.video.read import maker_of

# An --out that ends in one of these is a file, any other a folder.
_FILES = frozenset({*IMAGE_SUFFIXES, *VIDEO_SUFFIXES})


@dataclass(frozen=True, kw_only=True)
class VideoConfig(VideoSettings):
    """What becomes of a video: where to, what it shows, and VideoSettings' fields.

    Attributes:
      out: a video file (one of CONTAINERS), a folder, or "-" for standard output.
      format: key of VIDEO_FORMATS.
      threshold: probability from which a pixel is sky; None for the model's own.
      quiet: no progress bar.
    """

    out: str
    format: str = "overlay"
    threshold: float | None = None
    quiet: bool = False


def check_settings(config: VideoConfig) -> None:
    """Refuses what lies out of range.

    Raises:
      InputError: a setting does.
    """
    for name, low, high in (
        ("opacity", 0, 1),
        ("smooth", 0, 60),
        ("quality", 0, 51),
        ("codec_threads", 1, 64),
        ("max_frames", 1, None),
        ("threshold", 0, 1),
    ):
        value = getattr(config, name)
        if value is not None and (value < low or (high is not None and value > high)):
            allowed = f"{low} to {high}" if high is not None else f"at least {low}"
            raise InputError(f"{flag_of(name)} {value}: give {allowed}")


def find_target(
    config: VideoConfig, source: Path | str | int, others: Sequence[str | int] = ()
) -> tuple[Path | str, str]:
    """Where the output goes, and what it is: a key of CONTAINERS, ".png", "mjpeg" or "raw".

    Args:
      config: what is asked for.
      source: the video, or the number of a camera.
      others: more videos of the same command, which are not to be overwritten either.

    Raises:
      InputError: a suffix that is no video or another container's, a folder that cannot be written
        into, one of the videos itself, or a file beside them that was not written here.
    """
    stem = f"camera{source}" if isinstance(source, int) else video_name(str(source))
    if config.out == "-":
        return "-", "mjpeg" if config.container == "auto" else config.container
    if config.container in ("mjpeg", "raw"):
        raise InputError(f"{config.container} goes to standard output: give --out -")
    out, suffix = Path(config.out), Path(config.out).suffix.lower()
    if suffix in _FILES and not out.is_dir():
        if config.container == "png" or config.container not in ("auto", suffix[1:]):
            raise InputError(
                f"--out {out} names a file, and --container {config.container} means another: give "
                "a folder, or leave --container out"
            )
        target = out
    elif config.container == "png":
        folder = out if isinstance(source, int) or out.name == stem else out / stem
        check_folder(folder)
        return folder, ".png"
    else:
        alpha = find_format(config.format).kind == "alpha"
        chosen = ("mov" if alpha else "mp4") if config.container == "auto" else config.container
        target, suffix = out / f"{stem}.{chosen}", f".{chosen}"
    if suffix not in CONTAINERS:
        raise InputError(f"{out}: give a folder or a video file ({', '.join(CONTAINERS)})")
    check_folder(target.parent)
    if target.is_file():
        _refuse_overwriting(target, [source, *others])
    return target, suffix


def _refuse_overwriting(target: Path, sources: Sequence[Path | str | int]) -> None:
    files = [Path(s) for s in sources if not isinstance(s, int) and not is_stream(str(s))]
    if any(target.samefile(file) for file in files):
        raise InputError(f"{target}: is the video itself; name another file or folder")
    # Beside the videos a file that was not written here may be one that was not asked for.
    folders = {file.parent.resolve() for file in files}
    if target.parent.resolve() in folders and maker_of(target) != SOFTWARE:
        raise InputError(
            f"{target} lies among the videos, was not written here, and would be overwritten: give "
            "another --out, or move it away"
        )
