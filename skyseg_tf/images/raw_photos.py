"""Raw photos of cameras, by the optional package rawpy (LibRaw).

Most of them are TIFF files whose first page is a thumbnail, which a reader of TIFF would take for
the photo. Here they are told apart, by what they hold and not by their names alone.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS

RAW_SUFFIXES = (
    ".3fr",
    ".arw",
    ".cr2",
    ".cr3",
    ".crw",
    ".dcr",
    ".dng",
    ".erf",
    ".fff",
    ".gpr",
    ".iiq",
    ".kdc",
    ".mef",
    ".mos",
    ".mrw",
    ".nef",
    ".nrw",
    ".orf",
    ".pef",
    ".raf",
    ".rw2",
    ".rwl",
    ".sr2",
    ".srf",
    ".srw",
    ".x3f",
)
_MAGIC = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_WIDTH, _HEIGHT, _KIND, _SUB_PAGES, _DNG_VERSION = 256, 257, 254, 330, 50706
_MASK_OR_DEPTH = 4 | 8  # bits of _KIND: pages as large as the picture that are none
_MOST_PAGES = 64


@dataclass(frozen=True)
class _Page:
    area: int  # in pixels
    below: bool  # a sub-page of another page
    dng: bool


def raw_is_read() -> bool:
    """Whether the package for raw photos is installed."""
    return find_spec("rawpy") is not None


def is_raw(file: BinaryIO, where: str | Path) -> bool:
    """Whether a file is a raw photo.

    Args:
      file: open for reading; it is left at its start.
      where: its name.

    Raises:
      InputError: a TIFF of several pages of which the first is not the largest.
    """
    file.seek(0)
    head = file.read(16)
    raw = head.startswith(_MAGIC) or head[4:11] == b"ftypcrx" or head[6:14] == b"HEAPCCDR"
    if not raw and head[:4] in TiffImagePlugin.PREFIXES:
        raw = head[8:10] == b"CR" or PurePath(where).suffix.lower() in RAW_SUFFIXES
        raw = raw or _first_page_is_no_picture(file, head, where)
    file.seek(0)
    return raw


def _first_page_is_no_picture(file: BinaryIO, head: bytes, where: str | Path) -> bool:
    """Whether a TIFF is a DNG, or a thumbnail whose photo lies below it."""
    try:
        first, *others = _pages(file, head)
    except Exception:  # Pillow's reader of TIFF, which comes next, says what is wrong
        return False
    if first.dng or any(page.below and page.area > first.area for page in others):
        return True
    if any(page.area >= first.area for page in others):
        raise InputError(
            f"{where}: a TIFF of {1 + len(others)} pages, of which the first is not the largest; "
            "export the page that you mean"
        )
    return False


def _pages(file: BinaryIO, head: bytes) -> list[_Page]:
    directory = TiffImagePlugin.ImageFileDirectory_v2(head[: 16 if 43 in head[2:4] else 8])
    waiting, seen, pages = [(directory.next, False)], {0}, []
    while waiting and len(seen) <= _MOST_PAGES:
        offset, below = waiting.pop(0)
        if offset in seen:
            continue
        seen.add(offset)
        file.seek(offset)
        directory.load(file)
        if not pages or not directory.get(_KIND, 0) & _MASK_OR_DEPTH:
            area = directory.get(_WIDTH, 0) * directory.get(_HEIGHT, 0)
            pages.append(_Page(area, below, _DNG_VERSION in directory))
        inner = directory.get(_SUB_PAGES, ())
        inner = inner if isinstance(inner, tuple) else (inner,)
        waiting += [*((place, True) for place in inner), (directory.next, below)]
    return pages


def raw_size(file: BinaryIO, where: str | Path) -> tuple[int, int]:
    """(height, width) as `read_raw` will give it, from the head of the file.

    Raises:
      InputError: rawpy is not installed, or it cannot read the file.
    """
    with _opened(file, where) as raw:
        height, width = raw.sizes.iheight, raw.sizes.iwidth
        return (width, height) if raw.sizes.flip & 4 else (height, width)


def read_raw(file: BinaryIO, where: str | Path) -> np.ndarray:
    """Develops a raw photo at its full size, with the camera's white balance, and upright.

    Args:
      file: open for reading, at its start.
      where: its name, for the error message.

    Returns:
      (H, W, 3) uint8 sRGB.

    Raises:
      InputError: rawpy is not installed, or it cannot read the file.
    """
    with _opened(file, where) as raw:
        raw.unpack()
        return raw.postprocess(use_camera_wb=True, output_bps=8)


@contextmanager
def _opened(file: BinaryIO, where: str | Path):
    """Yields the rawpy.RawPy of a file whose pixels are within the limit."""
    if not raw_is_read():
        raise InputError(
            f"{where}: a raw photo; pip install 'skyseg_tf[raw]' to read those, or export it as JPEG"
        )
    import rawpy

    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(file)
            if raw.sizes.raw_height * raw.sizes.raw_width > MAX_PIXELS:
                raise InputError(f"{where}: its pixels exceed the limit of {MAX_PIXELS:,}")
            yield raw
    except rawpy.LibRawError as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise InputError(
            f"{where}: a raw photo that LibRaw cannot read ({reason}); export it as JPEG"
        ) from None
