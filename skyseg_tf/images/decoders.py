"""Which picture formats are read, and by whom.

Files come from strangers: nothing but the readers named here ever sees one (others of Pillow's
start programs), none takes much more memory than its pixels need, and whatever they raise ends in
one line. What would have to be guessed, such as the white of floating-point values, is refused.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pi_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS
from skyseg_tf.images.png import png_exif
from skyseg_tf.images.raw_photos import RAW_SUFFIXES, raw_is_read

_READERS = (
    PngImagePlugin.PngImageFile,
    JpegImagePlugin.JpegImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    PpmImagePlugin.PpmImageFile,
    AvifImagePlugin.AvifImageFile,
    pi_heif.HeifImageFile,
)
FORMATS = tuple(reader.format for reader in _READERS)
_ORIENTATION, _BITS, _PHOTOMETRIC, _TILE = 0x0112, 258, 262, (322, 323)  # tags
_LEAST_TILE = 4_000_000  # pixels of a TIFF's tile that are never too many
_STRIP = 100_000  # pixels that are copied at once, in the processor's cache
_EXPORT = "export it as RGB of 8 or 16 bit"

pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this, and refuses above the double
PngImagePlugin.MAX_TEXT_CHUNK = 16_000_000  # inflated; some profiles are over Pillow's own limit
warnings.filterwarnings("ignore", module=r"PIL\.")  # of that, and of damaged metadata


def _suffixes() -> tuple[str, ...]:
    kinds = {*FORMATS, MpoImagePlugin.MpoImageFile.format}  # a JPEG of several pictures
    found = sorted(suffix for suffix, kind in Image.EXTENSION.items() if kind in kinds)
    return (*found, *(RAW_SUFFIXES if raw_is_read() else ()))


IMAGE_SUFFIXES = _suffixes()


@contextmanager
def open_picture(file: BinaryIO, where: str | Path) -> Iterator[Image.Image]:
    """Opens a picture of one of FORMATS and turns all that goes wrong inside into one line.

    Args:
      file: open for reading, at its start.
      where: its name, for the error message.

    Yields:
      The picture; nothing but its head has been read.

    Raises:
      InputError: no picture, a damaged one, or one above MAX_PIXELS.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            _check_tiles(picture, file)
            picture.info.pop("xmp", None)  # by which Pillow would turn a TIFF
            yield picture
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{where}: its pixels exceed the limit of {MAX_PIXELS:,}; scale it down"
        ) from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{where}: {_unidentified(file)}") from None
    except MemoryError:
        raise InputError(f"{where}: too large for this machine's memory; scale it down") from None
    except Exception as error:  # the readers raise whatever they stumble over
        if isinstance(error, OSError) and error.errno:
            raise  # the file system's own errors speak for themselves
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise InputError(
            f"{where}: the file is damaged ({reason}); download or export it again"
        ) from None


def _check_tiles(picture: Image.Image, file: BinaryIO) -> None:
    """Refuses tiles for which the readers of two formats would take far too much memory.

    Reference: TIFF 6.0, section 15; JPEG 2000 (ISO/IEC 15444-1), A.5.1: the marker SIZ.
    """
    area, most = picture.width * picture.height, MAX_PIXELS
    if picture.format == "TIFF":
        width, height = (picture.tag_v2.get(tag, 0) for tag in _TILE)
        most = area + _LEAST_TILE
    elif picture.format == "JPEG2000":
        stands = file.tell()
        file.seek(0)
        head = file.read(1 << 16)
        file.seek(stands)
        width, height = struct.unpack_from(">II", head, head.index(b"\xff\x4f\xff\x51") + 24)
        width, height = min(width, picture.width), min(height, picture.height)
        most = MAX_PIXELS // 4  # 16 bytes a pixel
    else:
        return
    if width * height > most:
        raise ValueError(f"tiles of {width} x {height} pixels")


def _unidentified(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(4)
    if not head:
        return "not a readable image (the file is empty); download or export it again"
    if head in TiffImagePlugin.PREFIXES:
        return f"not a readable image (damaged, or a TIFF of a rare kind); {_EXPORT}"
    return (
        "not a readable image (damaged, or no image at all); give another file, or download or "
        "export it again"
    )


def orientation_of(picture: Image.Image, file: BinaryIO) -> int:
    """How the stored pixels are turned, 1-8, by EXIF; 1 where nothing (sensible) is said.

    HEIF is 1: its readers turn the pixels by the container's own transformations, and its EXIF
    may repeat them. AVIF's transformations are given as if they stood in EXIF.

    Args:
      picture: of `open_picture`, before its pixels are loaded.
      file: the same file.

    Reference: EXIF 3.0, tag 0x0112; PNG 3, chunk eXIf, which may stand behind the pixels.
    """
    if picture.format == "TIFF":
        value = picture.tag_v2.get(_ORIENTATION)
    elif picture.format == "HEIF":
        return 1
    else:
        stored = png_exif(file) if picture.format == "PNG" else picture.info.get("exif")
        exif = Image.Exif()
        try:
            exif.load(stored)
            value = exif.get(_ORIENTATION)
        except Exception:  # damaged notes are no reason to refuse the pixels
            return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def stored_pixels(picture: Image.Image) -> np.ndarray:
    """The values of a label picture.

    Args:
      picture: of `open_picture`.

    Returns:
      (H, W) of the file's own dtype (a palette picture gives its indices, a bilevel one 0 and
      255), or (H, W, 3) uint8 of a color picture; alpha is dropped. Turned as they are stored,
      but a TIFF is upright already.
    """
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    elif picture.mode not in ("L", "P", "I", "F") and not picture.mode.startswith("I;16"):
        return _colors(picture)
    return np.asarray(picture)


def rgb_pixels(picture: Image.Image, where: str | Path) -> np.ndarray:
    """The pixels of a photo.

    Args:
      picture: of `open_picture`.
      where: its name, for the error message.

    Returns:
      (H, W, 3) uint8 RGB; alpha is dropped. Turned as they are stored, but a TIFF is upright
      already.

    Raises:
      InputError: values whose white nobody can tell, or colors that nothing here converts.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        grey = _float_grey(picture, where) if picture.mode == "F" else _deep_grey(picture, where)
        return np.repeat(grey[..., None], 3, axis=-1)
    if picture.mode == "LAB":
        raise InputError(f"{where}: stored as CIELAB; {_EXPORT}")
    sixteen_bit = ";16" in str(picture.tile)  # Pillow keeps the upper byte
    image = _colors(picture)
    if sixteen_bit:
        _refuse_darkness(image.max(initial=0) / 256, where)
    return image


def _colors(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, row by row: as a whole a picture would lie in memory three times."""
    picture.load()
    image = np.empty((picture.height, picture.width, 3), np.uint8)
    step = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, step):
        rows = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        image[top : top + step] = rows if rows.mode == "RGB" else rows.convert("RGB")
    return image


def _white_is_zero(picture: Image.Image) -> bool:
    """Whether grey values fall with brightness, which Pillow undoes for those of 8 bits alone."""
    return picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == 0


def _float_grey(picture: Image.Image, where: str | Path) -> np.ndarray:
    """(H, W) uint8 of floating-point values in 0-1."""
    inverted, values = _white_is_zero(picture), np.asarray(picture)
    low, high = values.min(initial=0), values.max(initial=0)
    if not (low >= 0 and high <= 1):  # as is not NaN either
        raise InputError(
            f"{where}: floating-point values from {low:g} to {high:g}, while a photo's lie in 0-1; "
            f"{_EXPORT}"
        )
    return ((1 - values if inverted else values) * 255 + 0.5).astype(np.uint8)


def _deep_grey(picture: Image.Image, where: str | Path) -> np.ndarray:
    """(H, W) uint8 of grey values of 12 or 16 bits."""
    tiff = picture.format == "TIFF"
    if tiff and picture.mode == "I":
        raise InputError(f"{where}: grey values of 32 bits or with a sign; {_EXPORT}")
    white = 2 ** picture.tag_v2[_BITS][0] - 1 if tiff else 65535  # to which others are scaled
    inverted, values = _white_is_zero(picture), np.asarray(picture)
    _refuse_darkness(values.max(initial=0) / (white + 1), where)
    table = (np.arange(white + 1) * 255 // white).astype(np.uint8)
    return table[::-1][values] if inverted else table[values]


def _refuse_darkness(brightest: float, where: str | Path) -> None:
    """Refuses what looks like 12-bit values in 16 bits: nothing tells where their white lies."""
    if 0 < brightest < 1 / 16:
        raise InputError(
            f"{where}: 16-bit values of which none exceeds a sixteenth of white (12-bit ones?); "
            "scale them to 16 bits"
        )
