"""The frames of Cityscapes' video snippets that lead up to a labelled photo."""

from skyseg_tf.data.layouts import FRAME, Pair
from skyseg_tf.data.listing import archive_members
from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.places import place


def clip_frames(pair: Pair, frames: int = 4) -> list[str]:
    """The frames of leftImg8bit_sequence that lead up to a labelled photo.

    Args:
      pair: the photo, named `<city>_<sequence>_<frame>`, of a tree that holds
        leftImg8bit_sequence or its official archive.
      frames: length of the clip.

    Returns:
      `frames` paths in order of time; the last one is the labelled photo's frame.

    Raises:
      InputError: a frame is missing (named), or the photo is from no sequence.
    """
    match = FRAME.fullmatch(pair.name)
    if not match:
        raise InputError(
            f"{pair.image}: not named <city>_<sequence>_<frame>, so it has no clip; use single "
            "photos"
        )
    # The photo lies in <root>/leftImg8bit/<split>/<city>/ or in an archive in <root>.
    zipped = ZIP_MARK in pair.image
    below_root = place(pair.image.split(ZIP_MARK)[0]).parents
    root = below_root[0 if zipped else min(3, len(below_root) - 1)]
    folder = root / "leftImg8bit_sequence"
    archive = root / "leftImg8bit_sequence_trainvaltest.zip"
    if not folder.is_dir() and not archive.is_file():
        raise InputError(
            f"{folder}: missing, and so is {archive.name}; clips need one of them: get it or use "
            "single photos"
        )
    last = int(match["frame"])
    if last + 1 < frames:
        raise InputError(
            f"{pair.name}: only {last} frames come before it, a clip of {frames} needs "
            f"{frames - 1}; shorten the clip or leave this photo out"
        )
    paths = []
    for number in range(last - frames + 1, last + 1):
        name = f"{match['city']}_{match['sequence']}_{number:06d}_leftImg8bit.png"
        below = f"{pair.split}/{pair.city}/{name}"
        if folder.is_dir():
            path, there = str(folder / below), (folder / below).is_file()
        else:
            member = f"{folder.name}/{below}"
            path, there = f"{archive}!{member}", member in archive_members(archive)
        if not there:
            raise InputError(
                f"{path}: frame missing; the clip of {pair.name} needs {frames} frames "
                f"(shorten the clip or complete {folder.name})"
            )
        paths.append(path)
    return paths
