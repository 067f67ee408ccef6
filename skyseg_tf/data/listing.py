"""Lists the files of folders and zip archives, without what operating systems leave there."""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files import open_archive
from skyseg_tf.files.places import is_remote, list_remote
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.images.raw_photos import RAW_SUFFIXES

VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".m2ts",
    ".wmv",
    ".flv",
    ".3gp",
    ".ogv",
    ".mjpeg",
    ".y4m",
)
_JUNK = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"}
LeftOut = dict[str, list[Path]]  # why files are left out, in words that follow their number


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden (`.DS_Store`, `._x.png`) or no part of any dataset."""
    return name.startswith(".") or name in _JUNK


def walk_files(folder: Path, depth: int) -> Iterator[Path]:
    """Files at most `depth` folders down; links are followed, but to no folder that they lie in."""
    if not is_remote(folder):
        real = folder.resolve()
        yield from _walk_files(folder, depth, {_identity(path) for path in (real, *real.parents)})
        return
    for path, is_folder, _ in list_remote(folder):
        if not is_junk(path.name) and (depth or not is_folder):
            yield from walk_files(path, depth - 1) if is_folder else [path]


def _walk_files(folder: Path, depth: int, above: set[tuple[int, int]]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_junk(entry.name):
                continue
            if not os.path.isdir(entry):  # entry.is_dir() fails at a link in a circle
                yield Path(entry.path)
            elif depth and (identity := _identity(entry)) not in above:
                yield from _walk_files(Path(entry.path), depth - 1, above | {identity})


def _identity(path: os.PathLike) -> tuple[int, int]:
    """What all names of a file or folder have in common."""
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def walk_tree(folder: Path) -> Iterator[Path]:
    """Every file below a folder; what lies behind links comes last.

    A folder is entered once, however many links lead to it. Those that may not be opened and those
    that are junk are yielded in place of their files.
    """
    seen, own, linked = set(), [folder], []
    while own or linked:
        here = own.pop() if own else linked.pop(0)
        try:
            identity = _identity(here)
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            yield here
            continue
        if identity in seen:
            continue
        seen.add(identity)
        for entry in entries:
            path = Path(entry.path)
            if is_junk(entry.name) or not os.path.isdir(path):
                yield path
            else:
                (linked if entry.is_symlink() else own).append(path)


def choose_photos(paths: Iterable[Path]) -> tuple[list[Path], LeftOut]:
    """Tells the photos among files.

    Args:
      paths: files, and folders that could not be entered.

    Returns:
      Those that are read, and all others by the reason. Of a raw photo and a picture of the same
      name, which a camera made together, the raw photo is left out.
    """
    photos, left_out = [], {}
    for path in paths:
        if reason := _why_not(path):
            left_out.setdefault(reason, []).append(path)
        else:
            photos.append(path)
    raw = [path for path in photos if path.suffix.lower() in RAW_SUFFIXES]
    developed = {path.with_suffix("") for path in set(photos) - set(raw)}
    if double := [path for path in raw if path.with_suffix("") in developed]:
        left_out["raw beside a picture of their name"] = double
    return [path for path in photos if path not in set(double)], left_out


def _why_not(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if is_junk(path.name):
        return "hidden"
    if not is_remote(path):  # there nothing else is listed
        if os.path.isdir(path):
            return "folders that may not be opened"
        if not os.path.isfile(path):
            return "broken links, pipes or devices"
    if suffix in VIDEO_SUFFIXES:
        return "videos (give their names, such as 'DIR/*.mp4')"
    if suffix in IMAGE_SUFFIXES:
        return None
    if suffix in RAW_SUFFIXES:
        return "raw photos (pip install 'skyseg_tf[raw]' to read them)"
    return suffix or "without a suffix"


@lru_cache(maxsize=8)
def _members(archive: str, modified: int) -> frozenset[str]:
    # `modified` is part of the key, so that an archive that was replaced is read again.
    with open_archive(archive) as opened:
        names = opened.namelist()
    return frozenset(name for name in names if not any(map(is_junk, name.split("/"))))


def archive_members(archive: Path) -> frozenset[str]:
    """Names of the files in a zip archive.

    Raises:
      InputError: it is no whole zip archive, or not on this machine.
    """
    if is_remote(archive):
        raise InputError(f"{archive}: archives are read on this machine alone; unpack it there")
    return _members(str(archive), archive.stat().st_mtime_ns)
