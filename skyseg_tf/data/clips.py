"""The frames of Cityscapes' video snippets that lead up to a labeled photo."""

from pathlib import Path

from skyseg_tf.data.layouts import FRAME, Pair
from skyseg_tf.data.listing import archive_members
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.places import place

_FRAMES = "leftImg8bit_sequence"


def clip_frames(pair: Pair, frames: int = 4) -> list[str]:
    """The frames of leftImg8bit_sequence that lead up to a labeled photo.

    Args:
      pair: the photo, named `<city>_<sequence>_<frame>`, of a tree that holds
        leftImg8bit_sequence or its official archive.
      frames: length of the clip.

    Returns:
      `frames` paths in order of time; the last one is the labeled photo's frame.

    Raises:
      InputError: a frame is missing (named), or the photo is from no sequence.
    """
    match = FRAME.fullmatch(pair.name)
    if not match:
        raise InputError(
            f"{pair.image}: not named <city>_<sequence>_<frame>, so it has no clip; use single "
            "photos"
        )
    root = _root_of(pair)
    folder = root / _FRAMES
    archive = root / f"{_FRAMES}_trainvaltest.zip"
    if not folder.is_dir() and not archive.is_file():
        raise InputError(
            f"{folder}: missing, and so is {archive.name}; clips need one of them: get it or use "
            "single photos"
        )
    last = int(match["frame"])
    if last + 1 < frames:
        raise InputError(
            f"{pair.name}: only {counted(last, 'frame')} before it, a clip of {frames} needs "
            f"{frames - 1}; shorten the clip or leave this photo out"
        )
    start = f"{pair.split}/{pair.city}/{match['city']}_{match['sequence']}"
    names = [f"{start}_{n:06d}_leftImg8bit.png" for n in range(last - frames + 1, last + 1)]
    if folder.is_dir():
        paths = [str(folder / name) for name in names]
        missing = [path for path in paths if not place(path).is_file()]
    else:
        members = archive_members(archive)
        paths = [f"{archive}!{_FRAMES}/{name}" for name in names]
        missing = [path for path in paths if path.split(ZIP_MARK)[1] not in members]
    if missing:
        raise InputError(
            f"{missing[0]}: frame missing; the clip of {pair.name} needs {counted(frames, 'frame')} "
            f"(shorten the clip or complete {_FRAMES})"
        )
    return paths


def _root_of(pair: Pair) -> Path:
    """The tree's: the photo lies in <root>/leftImg8bit/<split>/<city>/ or an archive in <root>."""
    above = place(pair.image.split(ZIP_MARK)[0]).parents
    return above[0 if ZIP_MARK in pair.image else min(3, len(above) - 1)]
