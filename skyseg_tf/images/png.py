"""PNGs: their pixels, and what their chunks hold beside them."""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3}  # color types: grey and RGB
_MOST = 1 << 24  # bytes of a chunk that is looked up: a damaged length may say anything
_MOST_PACKED = 2  # bytes of packed data per byte of rows; what cannot be packed takes 1.001
_MORE_PACKED = 65535  # bytes of packed data that a small picture may take beside


def decode_png(content: bytes) -> np.ndarray | None:
    """Decodes an 8-bit grey or RGB PNG by libpng, a fifth faster than Pillow.

    libpng writes what it finds odd to stderr. So it sees no damage, since checksums are looked at
    before, and no chunk but those of the pixels: many a photo has a colour profile that it minds.

    Args:
      content: the file's bytes.

    Returns:
      (H, W) or (H, W, 3) uint8; None for PNGs of other kinds (palette, alpha, 16 bit, interlaced),
      which the caller reads in another way.

    Raises:
      OSError: truncated, a checksum does not fit, or more data than the header's size needs.
    """
    chunks = _chunks(content)
    kind, header = next(chunks)
    if kind != b"IHDR" or len(header) != 25:
        raise OSError("it does not begin with a header")
    width, height, depth, color, _, _, interlace = struct.unpack_from(">IIBBBBB", header, 8)
    size = height * (1 + width * _CHANNELS.get(color, 1))
    special, packed, parts = depth != 8 or color not in _CHANNELS or interlace, 0, [header]
    for kind, chunk in chunks:
        special = special or kind in (b"tRNS", b"acTL")
        if kind in (b"IDAT", b"IEND"):
            parts.append(chunk)
            packed += len(chunk)
        if packed > _MOST_PACKED * size + _MORE_PACKED and not special:
            raise OSError(f"more data than {width} x {height} pixels need")
    if special:
        return None
    pixels = np.frombuffer(b"".join([_SIGNATURE, *parts]), np.uint8)
    image = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB if color == 2 else cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise OSError("its rows cannot be decoded")
    return image


def png_exif(file: BinaryIO) -> bytes:
    """The EXIF block of a PNG, which may stand behind the pixels; empty where there is none.

    Args:
      file: open for reading.

    Reference: PNG specification, third edition, 11.3.4.5.
    """
    return find_chunk(file, b"eXIf") or b""


def find_chunk(file: BinaryIO, wanted: bytes) -> bytes | None:
    """The data of the first chunk of a kind, without a look at the pixels; None if there is none.

    Args:
      file: a PNG, which may be cut off, damaged, or none at all; it is left where it stands.
      wanted: the chunk's four letters.
    """
    stands, start, kind = file.tell(), len(_SIGNATURE), _SIGNATURE[1:4]
    try:
        end = file.seek(0, os.SEEK_END)
        if _read_at(file, 0, start) != _SIGNATURE:
            return None
        while kind.isalpha() and len(head := _read_at(file, start, 8)) == 8:
            first = kind != b"IDAT"
            length, kind = struct.unpack(">I4s", head)
            if kind == wanted:
                return file.read(min(length, _MOST))
            step = 12 + length
            if kind == b"IDAT" and first:  # of hundreds, as a rule of one length but for the last
                last = (end - 13 - start) // step * step
                step = last if _read_at(file, start + last + 4, 4) == b"IDAT" else step
            start += step or 12 + length
        return None
    finally:
        file.seek(stands)


def _read_at(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields (kind, chunk with length and checksum) up to IEND."""
    if content[:8] != _SIGNATURE:
        raise OSError("not a PNG")
    view, start, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        length, kind = (
            struct.unpack_from(">I4s", content, start) if start + 8 <= len(content) else (0, b"")
        )
        end = start + 12 + length
        if not kind or end > len(content):
            raise OSError("the file is truncated")
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise OSError(f"wrong checksum in chunk {kind.decode('latin1')} at byte {start}")
        yield kind, view[start:end]
        start = end
