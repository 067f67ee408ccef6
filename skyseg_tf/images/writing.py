"""Files that are written whole or not at all, and pictures in them."""

import io
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from skyseg_tf.errors import InputError, NoFolder
from skyseg_tf.files import is_of_disk
from skyseg_tf.files.locks import lock_if_can_be
from skyseg_tf.files.places import is_remote, place, uploaded
from skyseg_tf.images.metadata import EXIF_HEAD, NO_METADATA, PhotoMetadata
from skyseg_tf.images.png import find_chunk, write_png

_JPEG_SEGMENT = 65_533  # most bytes that a JPEG holds in one piece
_ASIDES: set[Path] = set()  # files that write_aside has begun
_ASIDE = re.compile(r"\..*\.\d+-\d+\.tmp(\.\w+)?")


@contextmanager
def write_aside(path: str | Path, suffix: str = ".tmp") -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it there when all went well.

    The folder is created. After an error or a kill nothing is left under the final name, and what a
    kill has left aside goes when the next process writes into that folder. A URL (see places) is
    written to when all went well.

    Args:
      path: the file.
      suffix: of the temporary path, for writers that insist on one: it begins with ".tmp".
    """
    if is_remote(path):
        with uploaded(place(path)) as aside:
            yield aside
        return
    path = place(path)
    make_folder(path.parent)
    _remove_left_once(path.parent)
    # Short, since `path` itself may have as long a name as the disk allows.
    # By chance, since processes of several containers on one disk may have the same number.
    number = secrets.randbelow(10**12)
    aside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{number}{suffix}")
    _ASIDES.add(aside)
    try:
        with _locked(aside):
            yield aside
            os.replace(aside, path)
    except OSError as error:
        # A write to a full disk does not say where, and of the temporary file nobody has heard.
        if str(error.filename) == str(aside) or (is_of_disk(error) and not error.filename):
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)
        _ASIDES.discard(aside)


@contextmanager
def _locked(aside: Path) -> Iterator[None]:
    """Inside, others see that somebody is at work on a file; on a disk without locks they cannot."""
    held = lock_if_can_be(aside)
    while held and not aside.exists():  # taken for a dead one's, in the moment before it was locked
        held.close()
        held = lock_if_can_be(aside)
    with held or nullcontext():
        yield


def remove_left(folder: str | Path) -> None:
    """Removes what processes that were killed have begun to write in a folder, and no live one's."""
    for left in Path(folder).glob(".*"):
        if _ASIDE.fullmatch(left.name) and (held := lock_if_can_be(left)):
            with held, suppress(OSError):
                left.unlink()


# A folder may hold a million files, so a process looks once at each.
_remove_left_once = lru_cache(maxsize=None)(remove_left)


def discard_asides() -> None:
    """Removes what `write_aside` has begun, for a process that ends without its threads."""
    for aside in tuple(_ASIDES):
        aside.unlink(missing_ok=True)


def check_folder(folder: str | Path) -> None:
    """Refuses a folder that could not be written into, before hours of work for it.

    Args:
      folder: it need not exist; nothing is made.

    Raises:
      InputError: a file is in the way, or no permission to write there.
    """
    if is_remote(folder):
        return  # what a storage allows is known when it is asked to
    folder = Path(folder)
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise InputError(f"{folder}: a file is in the way ({there}); choose another folder")
        effective = os.access in os.supports_effective_ids
        may_write = os.access(there, os.W_OK | os.X_OK, effective_ids=effective)
    except PermissionError:  # a folder above it may not even be looked into
        there, may_write = folder.parent, False
    if not may_write:
        raise InputError(f"{folder}: no permission to write in {there}; choose another folder")


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are not there already.

    Raises:
      NoFolder: a file is in the way, or the system lets none be made there.
      OSError: a full or failing disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_of_disk(error):
            raise
        raise NoFolder(
            f"{folder}: no such folder can be made ({error.strerror}); choose another"
        ) from None


def write_image(
    path: str | Path,
    image: np.ndarray,
    metadata: PhotoMetadata = NO_METADATA,
    software: str | None = None,
) -> None:
    """Writes (H, W), (H, W, 3) or (H, W, 4) as PNG or JPEG (by the suffix), whole or not at all.

    Args:
      path: the file.
      image: uint8; of a PNG also uint16 grey.
      metadata: of the photo that it was made of: its profile and EXIF block are written along.
      software: what a PNG says of its maker, in the chunk that `software_of` reads.
    """
    suffix = place(path).suffix.lower()
    with write_aside(path) as aside, open(aside, "wb") as file:
        if suffix == ".png":
            write_png(file, image, png_notes(metadata, software))
        else:
            _write_jpeg(file, image, metadata)


def png_notes(metadata: PhotoMetadata, software: str | None) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG, in the order that the format asks for."""
    notes = []
    if metadata.icc_profile:
        notes.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)))
    if software:
        notes.append((b"tEXt", b"Software\0" + software.encode("latin1")))
    if metadata.exif:
        notes.append((b"eXIf", metadata.exif.removeprefix(EXIF_HEAD)))
    return notes


def _write_jpeg(file: BinaryIO, image: np.ndarray, metadata: PhotoMetadata) -> None:
    exif = metadata.exif or b""
    if len(exif) > _JPEG_SEGMENT:  # as a PNG or TIFF may have it
        exif = b""
    profile, content = metadata.icc_profile, io.BytesIO()
    # Into a file Pillow writes by itself, and sees no error where only a part of the end had room.
    Image.fromarray(image).save(content, "jpeg", quality=95, icc_profile=profile, exif=exif)
    file.write(content.getbuffer())


def software_of(path: str | Path) -> str | None:
    """What a PNG says first of its maker; None of all other files, and of what cannot be read.

    Files of a URL are not asked, since that is a request each.
    """
    if is_remote(path):
        return None
    try:
        with open(path, "rb") as file:
            text = find_chunk(file, b"tEXt") or b""
    except OSError:
        return None
    key, _, value = text.partition(b"\0")
    return value.decode("latin1") if key == b"Software" else None
