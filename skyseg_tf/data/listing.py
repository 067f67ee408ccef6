"""Lists the files of folders and zip archives, without what operating systems leave there."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from skyseg_tf.files import open_archive

_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden (`.DS_Store`, `._x.png`) or no part of any dataset."""
    return name.startswith(".") or name in _JUNK


def walk_files(folder: Path, depth: int) -> Iterator[Path]:
    """Files at most `depth` folders down; links are followed, and the depth ends any circle."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_junk(entry.name):
                continue
            if not entry.is_dir():
                yield Path(entry.path)
            elif depth:
                yield from walk_files(Path(entry.path), depth - 1)


@lru_cache(maxsize=8)
def _members(archive: str, modified: int) -> frozenset[str]:
    # `modified` is part of the key, so that an archive that was replaced is read again.
    with open_archive(archive) as opened:
        names = opened.namelist()
    return frozenset(name for name in names if not any(map(is_junk, name.split("/"))))


def archive_members(archive: Path) -> frozenset[str]:
    """Names of the files in a zip archive.

    Raises:
      InputError: it is no whole zip archive.
    """
    return _members(str(archive), archive.stat().st_mtime_ns)
