"""Bytes of files and of zip members, never more of them than a limit says.

A path may point into a zip archive: `archive.zip!folder/file.png`, or be a URL that fsspec reaches.
An archive of a few megabytes can inflate to any size, a file named .jpg can be a device that never
ends: every reader here knows how much there is before it takes any of it.
"""

import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from skyseg_tf.errors import InputError, NoFolder
from skyseg_tf.files.places import is_remote, place

ZIP_MARK = ".zip!"
MAX_PIXELS = 200_000_000  # of a picture: about 14000 x 14000
MAX_FILE_BYTES = 7 * MAX_PIXELS // 2  # of a file: so many pixels of three bytes, not compressed
_MAX_DIRECTORY_BYTES = 50_000_000  # of an archive; Cityscapes' 150,000 sequence frames need 25
_PIECE = 4_000_000
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeDecodeError)


def read_bytes(path: str | Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file, or of a zip member named `archive.zip!member`.

    Args:
      path: the file, which may be a URL (see places).
      limit: in bytes.

    Raises:
      FileNotFoundError: no such file or member.
      InputError: larger than the limit; no file but a folder, pipe or device; the archive is
        damaged there.
    """
    if is_remote(path):
        there = place(path)
        size = there.fs.size(there.path)
        _check_size(there, size or 0, limit)
        if size == 0:  # of which a storage has no part
            return b""
        # Not told where it ends, s3fs asks for the size once more: a third request for each file.
        return there.fs.cat_file(there.path, start=None if size is None else 0, end=size)
    path = str(path)
    if ZIP_MARK not in path:
        check_file(path, limit)
        return Path(path).read_bytes()
    archive, member = path.split(ZIP_MARK, 1)
    archive += ".zip"
    return read_member(_shared(archive, os.stat(archive).st_mtime_ns, os.getpid()), member, limit)


def read_stream(stream: BinaryIO, where: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """All that a stream gives until its end, which it need not have.

    Args:
      stream: a pipe or the like.
      where: its name, for the error message.
      limit: in bytes.

    Raises:
      InputError: it gives more than the limit.
    """
    content = io.BytesIO()
    while piece := stream.read(_PIECE):
        content.write(piece)
        _check_size(where, content.tell(), limit)
    return content.getvalue()


@lru_cache(maxsize=8)
def _shared(archive: str, modified: int, process: int) -> zipfile.ZipFile:
    # Threads may share one; processes may not, for a fork has its file's position in common.
    return open_archive(archive)


def check_file(path: str | Path, limit: int = MAX_FILE_BYTES) -> None:
    """Refuses what is no file, before opening it could wait for ever, and what is too large.

    Args:
      path: the file.
      limit: in bytes.

    Raises:
      FileNotFoundError: no such file.
      InputError: a folder, pipe, socket or device, or larger than the limit.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a folder; give a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: is a pipe, socket or device; give a file")
    _check_size(path, found.st_size, limit)


def is_of_disk(error: Exception) -> bool:
    """Whether a disk takes or gives nothing more, which concerns all files; others are one's own."""
    return isinstance(error, NoFolder) or (
        isinstance(error, OSError) and error.errno in _DISK_ERRORS
    )


def sha256_of(path: str | Path) -> str:
    """The hex digest of a file's content."""
    with place(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_archive(path: str | Path, limit: int | None = None) -> zipfile.ZipFile:
    """Opens a zip archive (an .npz and a .keras file are some) for reading.

    Args:
      path: the archive.
      limit: bytes of all members together, when all of them are to be read.

    Raises:
      FileNotFoundError: no such file.
      InputError: no whole zip archive, too many members, or a content above the limit.
    """
    try:
        if _directory_bytes(path) > _MAX_DIRECTORY_BYTES:
            raise InputError(f"{path}: too many members; split the archive or unpack it")
        archive = zipfile.ZipFile(path)
    except InputError:
        raise
    except (*_ZIP_ERRORS, NotImplementedError, ValueError):
        raise InputError(f"{path}: damaged or unfinished archive; download it again") from None
    if limit is not None:
        _check_size(path, sum(member.file_size for member in archive.infolist()), limit)
        for member in archive.infolist():
            _check_method(archive, member)
    return archive


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """The content of one member; no more is inflated than the archive's directory announces.

    Args:
      archive: of `open_archive`.
      name: the member.
      limit: in bytes.

    Raises:
      FileNotFoundError: no such member.
      InputError: larger than the limit, encrypted, damaged, or compressed in another way than zip
        archives usually are.
    """
    where = f"{archive.filename}!{name}"
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise FileNotFoundError(f"{where}: no such member in the archive") from None
    _check_size(where, member.file_size, limit)
    _check_method(archive, member)
    content = io.BytesIO()
    try:
        with archive.open(member) as file:
            shutil.copyfileobj(file, content, _PIECE)  # read(size) would hold it twice
    except _ZIP_ERRORS:
        content = None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or a newer kind of zip
        raise InputError(f"{where}: {error}; unpack the archive") from None
    if content is None or content.tell() < member.file_size:
        raise InputError(f"{where}: the archive is damaged there; download it again")
    return content.getvalue()


def _check_size(path: str | Path, size: int, limit: int) -> None:
    if size > limit:
        raise InputError(
            f"{path}: {size / 1e6:,.0f} MB exceed the limit of {limit / 1e6:,.0f} MB; give a "
            "smaller file"
        )


def _check_method(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Python inflates at most what is asked for only with these two."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"{archive.filename}!{member.filename}: neither stored nor deflated; zip it again "
            "without bzip2 or LZMA"
        )


def _directory_bytes(path: str | Path) -> int:
    """Length of a zip archive's list of members, which `zipfile` reads whole when it opens one.

    There are up to three places that tell it; what counts is which one `zipfile` believes.
    """
    with open(path, "rb") as file:
        try:
            end = zipfile._EndRecData(file)
        except OSError:  # it is told to look at a place where no file can be
            end = None
    if not end:
        raise zipfile.BadZipFile
    return end[zipfile._ECD_SIZE]
