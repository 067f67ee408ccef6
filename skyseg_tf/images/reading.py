"""Photos and masks from files to arrays, upright, and what their heads tell without decoding them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK, check_file, read_bytes
from skyseg_tf.files.places import is_remote
from skyseg_tf.images.decoders import open_picture, orientation_of, rgb_pixels, stored_pixels
from skyseg_tf.images.jpeg import check_scans, decode_jpeg
from skyseg_tf.images.metadata import NO_METADATA, PhotoMetadata, photo_metadata
from skyseg_tf.images.png import decode_png
from skyseg_tf.images.raw_photos import is_raw, raw_size, read_raw

# Orientation as in EXIF -> whether rows and columns change places, and which axes are flipped then.
_TURNS = {
    1: (False, None),
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
UNTURNED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # orientation -> what undoes it


def image_size(source: str | Path | bytes, where: str | Path = "picture") -> tuple[int, int]:
    """(height, width) as `read_image` will give it (upright), from the file's head.

    Args:
      source: a path, or the file's bytes.
      where: the name of those bytes, for the error message.

    Raises:
      InputError: no image, or above MAX_PIXELS.
    """
    with _opened(source) as file:
        where = where if isinstance(source, bytes) else source
        if is_raw(file, where):
            return raw_size(file, where)
        with open_picture(file, where) as picture:
            # Pillow has turned the size of a TIFF already.
            turned = picture.format != "TIFF" and orientation_of(picture, file) >= 5
            return picture.size if turned else picture.size[::-1]


def image_orientation(source: str | Path | bytes, where: str | Path = "picture") -> int:
    """How a file's pixels are turned, from its head.

    `read_image` gives pixels upright: `turn(stored, orientation)`. A reader that ignores EXIF sees
    them as stored: `turn(upright, UNTURNED[orientation])`.

    Args:
      source: a path, or the file's bytes.
      where: the name of those bytes, for the error message.

    Returns:
      1-8 as in EXIF: 1 upright, 3 upside down, 6 and 8 on its side. HEIC and raw photos are 1:
      every reader of those turns them by itself.

    Raises:
      InputError: no image, or above MAX_PIXELS.
    """
    with _opened(source) as file:
        where = where if isinstance(source, bytes) else source
        if is_raw(file, where):
            return 1
        with open_picture(file, where) as picture:
            return orientation_of(picture, file)


def _opened(source: str | Path | bytes) -> BinaryIO:
    if not isinstance(source, bytes) and (ZIP_MARK in str(source) or is_remote(source)):
        source = read_bytes(source)
    if isinstance(source, bytes):
        return io.BytesIO(source)
    check_file(source)
    return open(source, "rb")


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns stored pixels upright.

    Args:
      image: (H, W) or (H, W, C), of any dtype that OpenCV knows.
      orientation: 1-8, see `image_orientation`.

    Returns:
      The same array for 1, else a new one.

    Reference: EXIF 3.0, tag 0x0112.
    """
    swapped, axes = _TURNS[orientation]
    if swapped:
        image = cv2.transpose(image)
    return image if axes is None else cv2.flip(image, axes)


@dataclass(frozen=True)
class Photo:
    """A photo as it is worked with, and what its file says beside the pixels.

    Attributes:
      image: (H, W, 3) uint8, upright. The values are the file's own, whatever its color profile:
        networks see a wide-gamut photo a little paler, which moves no edge, and what is written
        with the profile has the photo's very colors.
      metadata: see PhotoMetadata.
    """

    image: np.ndarray
    metadata: PhotoMetadata


def decode_photo(content: bytes, where: str | Path) -> Photo:
    """Decodes a photo of any kind (grey, RGBA, CMYK, 16 bit, raw), upright.

    Args:
      content: the file's bytes.
      where: its name, for the error message.

    Returns:
      The photo. Alpha is dropped; 16-bit values are divided by 257.

    Raises:
      InputError: unreadable, truncated, above MAX_PIXELS, or of a kind whose white or colors are
        not known.
    """
    file = io.BytesIO(content)
    if is_raw(file, where):
        return Photo(read_raw(file, where), NO_METADATA)
    image, orientation, metadata = _photo_as_stored(content, where)
    return Photo(turn(image, orientation), metadata)  # by now Pillow's copy is gone


def _photo_as_stored(content: bytes, where: str | Path) -> tuple[np.ndarray, int, PhotoMetadata]:
    """A photo's pixels, how they are turned, and its metadata."""
    file = io.BytesIO(content)
    with open_picture(file, where) as picture:
        orientation = orientation_of(picture, file)
        metadata = photo_metadata(picture, file, orientation)
        image = _as_stored(picture, content, where, "RGB", partial(rgb_pixels, where=where))
        # Pillow has turned a TIFF already.
        return image, 1 if picture.format == "TIFF" else orientation, metadata


def _as_stored(
    picture: Image.Image,
    content: bytes,
    where: str | Path,
    quick: str,
    read: Callable[[Image.Image], np.ndarray],
) -> np.ndarray:
    """The pixels of a picture, by a fast decoder if there is one for it, else by `read`.

    Args:
      picture: opened.
      content: the file's bytes.
      where: its name, for the error message.
      quick: mode of the pictures that the fast decoders may read: "RGB" or "L".
      read: picture -> pixels.

    Raises:
      InputError: a JPEG of too many scans, which neither of the two may see.
    """
    image, is_jpeg = None, picture.format in ("JPEG", "MPO")
    if is_jpeg:
        check_scans(content, where)
    if picture.mode == quick and picture.format == "PNG":
        image = decode_png(content)
    elif picture.mode == quick == "RGB" and is_jpeg:
        image = decode_jpeg(content)
    return read(picture) if image is None else image


def decode_image(content: bytes, where: str | Path) -> np.ndarray:
    """The pixels alone of `decode_photo`: (H, W, 3) uint8 RGB."""
    return decode_photo(content, where).image


def decode_values(content: bytes, where: str | Path) -> np.ndarray:
    """Decodes a label picture of any depth without interpreting it, upright.

    Args:
      content: the file's bytes.
      where: its name, for the error message.

    Returns:
      (H, W) of the file's own dtype (a palette picture gives its indices, a bilevel one 0 and
      255), or (H, W, 3) uint8 for a color picture.

    Raises:
      InputError: unreadable or truncated, or a picture whose alpha channel alone varies.
    """
    file = io.BytesIO(content)
    if is_raw(file, where):
        raise InputError(f"{where}: a raw photo is no label picture; give its PNG")
    with open_picture(file, where) as picture:
        _refuse_alpha_masks(picture, where)
        orientation = orientation_of(picture, file)
        values = _as_stored(picture, content, where, "L", stored_pixels)
        return values if picture.format == "TIFF" else turn(values, orientation)


def _refuse_alpha_masks(picture: Image.Image, where: str | Path) -> None:
    if picture.mode not in ("RGBA", "LA"):
        return
    *colors, alpha = picture.getextrema()
    if alpha[0] < alpha[1] and all(least == most for least, most in colors):
        raise InputError(
            f"{where}: all classes lie in its alpha channel, its color is the same everywhere; "
            "export the alpha channel as a grey picture"
        )


def palette_colors(path: str | Path) -> list[tuple[int, ...]]:
    """The colors (R, G, B) in which a palette picture shows its values 0, 1, 2, ..., from its head.

    Raises:
      InputError: no image.
    """
    with _opened(path) as file, open_picture(file, path) as picture:
        numbers = (picture.getpalette() or []) if picture.mode == "P" else []
    return list(zip(*[iter(numbers)] * 3, strict=False))


def decode_mask_file(content: bytes, where: str | Path) -> np.ndarray:
    """Decodes a mask of class ids or colors: see `decode_values`.

    Returns:
      (H, W) or (H, W, 3) uint8.

    Raises:
      InputError: unreadable, truncated, or values that are no whole numbers in 0-255.
    """
    stored = decode_values(content, where)
    if stored.dtype == np.uint8:
        return stored
    mask = np.clip(np.nan_to_num(stored), 0, 255).astype(np.uint8)
    strange = stored[mask != stored]
    if strange.size:
        raise InputError(
            f"{where}: values such as {strange[0]:g} are no class ids (instanceIds?); give the "
            "labelIds file"
        )
    return mask


def read_photo(path: str | Path) -> Photo:
    """Reads a photo and what its file says of it: see `decode_photo`."""
    return decode_photo(read_bytes(path), path)


def read_image(path: str | Path) -> np.ndarray:
    """Reads a photo's pixels: see `decode_photo`."""
    return decode_image(read_bytes(path), path)


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a label picture: see `decode_mask_file`."""
    return decode_mask_file(read_bytes(path), path)
