"""What a photo's file says beside its pixels: orientation, colors, camera and place.

Read once with the photo, and handed to whoever writes a picture that is made of it.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image

from skyseg_tf.images.png import png_exif

EXIF_HEAD = b"Exif\x00\x00"
_ORIENTATION, _EXIF, _GPS = ExifTags.Base.Orientation, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
# In a TIFF the tags of the photo stand among those of how the file stores it (StripOffsets, ...).
_OF_TIFF_PHOTOS = (
    "ImageDescription",
    "Make",
    "Model",
    "XResolution",
    "YResolution",
    "ResolutionUnit",
    "Software",
    "DateTime",
    "Artist",
    "Copyright",
    "ExifOffset",
    "GPSInfo",
)
_KEPT_OF_TIFF = frozenset(ExifTags.Base[name] for name in _OF_TIFF_PHOTOS)
_SHORT = 3  # a type
# Where a thumbnail lies and how long it is: one that is a JPEG, one that is not compressed.
_THUMBNAIL = (
    (ExifTags.Base.JpegIFOffset, ExifTags.Base.JpegIFByteCount),
    (ExifTags.Base.StripOffsets, ExifTags.Base.StripByteCounts),
)


@dataclass(frozen=True)
class PhotoMetadata:
    """What is kept of a photo's file in pictures that are made of it.

    Attributes:
      orientation: EXIF, 1-8: how the stored pixels lie; 1 is upright.
      icc_profile: of the colors; None is sRGB, and all that is no RGB when it is stored: of grey
        or CMYK photos the pixels that are read are no longer the profile's.
      exif: the EXIF block (camera, focal length, place) as it belongs to upright pixels: orientation
        1, sizes exchanged where the photo was turned, no thumbnail: it may show what was cut off.
        None where there is none, or none that can be read.
    """

    orientation: int = 1
    icc_profile: bytes | None = None
    exif: bytes | None = None


NO_METADATA = PhotoMetadata()


def photo_metadata(picture: Image.Image, file: BinaryIO, orientation: int) -> PhotoMetadata:
    """Collects it from a photo that is opened and not loaded yet.

    Args:
      picture: the photo.
      file: its file.
      orientation: EXIF, 1-8, of its stored pixels.
    """
    profile = picture.info.get("icc_profile")
    if not profile or profile[16:20] != b"RGB ":  # the data's color space, ICC.1:2022, table 15
        profile = None
    try:
        if picture.format == "PNG":  # Pillow's own way there decodes all pixels before the block
            block = png_exif(file)
        else:
            block = picture.info.get("exif") or _of_photo(picture.getexif()).tobytes()
        exif = _upright(block, turned=orientation >= 5) if block else None
    except Exception:  # damaged notes are no reason to refuse the pixels
        exif = None
    return PhotoMetadata(orientation, profile, exif)


def _of_photo(exif: Image.Exif) -> Image.Exif:
    """Without the tags by which a TIFF stores its pixels (StripOffsets, ...)."""
    kept = Image.Exif()
    kept.endian = exif.endian
    for tag in _KEPT_OF_TIFF & exif.keys():
        kept[tag] = dict(exif.get_ifd(tag)) if tag in (_EXIF, _GPS) else exif[tag]
    return kept


def _upright(block: bytes, turned: bool) -> bytes | None:
    """An EXIF block as it belongs to upright pixels.

    Patched in its place: Pillow's own way to write one loses letters that are not ASCII, and moves
    the makers' notes, whose offsets count from its start.

    Reference: Exif 2.32, 4.5 and 4.6: directories of 12 bytes an entry (tag, type, count, value).
    """
    data = bytearray(block.removeprefix(EXIF_HEAD))
    order = "<" if data[:2] == b"II" else ">"
    main, end = _entries(data, order, at=4)
    if not main:
        return None
    if _ORIENTATION in main:
        struct.pack_into(f"{order}HHIHH", data, main[_ORIENTATION], _ORIENTATION, 3, 1, 1, 0)
    if turned and _EXIF in main:
        camera, _ = _entries(data, order, at=main[_EXIF] + 8)
        if _WIDTH in camera and _HEIGHT in camera:
            wide, high = (slice(camera[tag] + 2, camera[tag] + 12) for tag in (_WIDTH, _HEIGHT))
            data[wide], data[high] = data[high], data[wide]
    with suppress(struct.error, ValueError):  # a directory or a thumbnail that is not there
        if any(data[end : end + 4]):
            _remove_thumbnail(data, order, end)
    data[end : end + 4] = bytes(4)  # where the thumbnail's directory is
    return EXIF_HEAD + bytes(data)


def _entries(data: bytes, order: str, at: int) -> tuple[dict[int, int], int]:
    """Tag -> place of each entry of the directory whose place stands at `at`; and their end."""
    (start,) = struct.unpack_from(f"{order}I", data, at)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    end = start + 2 + 12 * count
    places = range(start + 2, end, 12)
    return {struct.unpack_from(f"{order}H", data, place)[0]: place for place in places}, end


def _remove_thumbnail(data: bytearray, order: str, end: int) -> None:
    """Takes a thumbnail's bytes off the block's end, or makes them zeros where others follow."""
    second, _ = _entries(data, order, at=end)
    for pair in (pair for pair in _THUMBNAIL if second.keys() >= set(pair)):
        starts, lengths = (_numbers(data, order, second[tag]) for tag in pair)
        start = min(starts)
        stop = max(map(sum, zip(starts, lengths, strict=True)))
        if start > end and stop < len(data):
            data[start:stop] = bytes(stop - start)
        elif start > end:  # else damaged: these are the tags themselves
            del data[start:]


def _numbers(data: bytes, order: str, place: int) -> tuple[int, ...]:
    """The whole numbers of an entry."""
    kind, count = struct.unpack_from(f"{order}HI", data, place + 2)
    form = f"{order}{count}{'H' if kind == _SHORT else 'I'}"
    if struct.calcsize(form) > 4:
        (there,) = struct.unpack_from(f"{order}I", data, place + 8)
    else:
        there = place + 8
    return struct.unpack_from(form, data, there)
