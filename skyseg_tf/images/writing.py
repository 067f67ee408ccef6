"""Pictures into files, whole or not at all."""

import io
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.places import is_remote, place
from skyseg_tf.images.metadata import EXIF_HEAD, NO_METADATA, PhotoMetadata
from skyseg_tf.images.png import find_chunk, write_png

_JPEG_SEGMENT = 65_533  # most bytes that a JPEG holds in one piece


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
