"""Photos and masks between disk and arrays.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8; sizes are (height, width). A path may point
into a zip archive: `archive.zip!folder/file.png`. What is read is in decoders.py. No TensorFlow here, so that everything that
only touches pictures starts at once.
"""

import io
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK, check_file, read_bytes
from skyseg_tf.files.places import is_remote, place, uploaded
from skyseg_tf.images.decoders import open_picture, orientation_of, rgb_pixels, stored_pixels
from skyseg_tf.images.metadata import NO_METADATA, PhotoMetadata, photo_metadata
from skyseg_tf.images.png import decode_png, find_chunk
from skyseg_tf.images.raw_photos import is_raw, raw_size, read_raw

# Over a sky of any hour: no sky is magenta, while Cityscapes' own blue is a clear day's.
SKY_TINT = (255, 0, 150)
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
_JPEG_SEGMENT = 65_533  # most bytes that a JPEG holds in one piece
UNTURNED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # orientation -> what undoes it

cv2.setNumThreads(1)  # the callers run one image per thread
_ASIDES: set[Path] = set()  # files that write_aside has begun
_ASIDE_NUMBERS = itertools.count()


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
      image: (H, W, 3) uint8, upright. The values are the file's own, whatever its colour profile:
        networks see a wide-gamut photo a little paler, which moves no edge, and what is written
        with the profile has the photo's very colours.
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
      InputError: unreadable, truncated, above MAX_PIXELS, or of a kind whose white or colours are
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
        image = _as_stored(picture, content, "RGB", partial(rgb_pixels, where=where))
        # Pillow has turned a TIFF already.
        return image, 1 if picture.format == "TIFF" else orientation, metadata


def _as_stored(
    picture: Image.Image, content: bytes, quick: str, read: Callable[[Image.Image], np.ndarray]
) -> np.ndarray:
    """The pixels of a picture, by `decode_png` where they are of the mode `quick`, else by `read`."""
    image = decode_png(content) if (picture.format, picture.mode) == ("PNG", quick) else None
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
      255), or (H, W, 3) uint8 for a colour picture.

    Raises:
      InputError: unreadable or truncated, or a picture whose alpha channel alone varies.
    """
    file = io.BytesIO(content)
    if is_raw(file, where):
        raise InputError(f"{where}: a raw photo is no label picture; give its PNG")
    with open_picture(file, where) as picture:
        _refuse_alpha_masks(picture, where)
        orientation = orientation_of(picture, file)
        values = _as_stored(picture, content, "L", stored_pixels)
        return values if picture.format == "TIFF" else turn(values, orientation)


def _refuse_alpha_masks(picture: Image.Image, where: str | Path) -> None:
    if picture.mode not in ("RGBA", "LA"):
        return
    *colors, alpha = picture.getextrema()
    if alpha[0] < alpha[1] and all(least == most for least, most in colors):
        raise InputError(
            f"{where}: all classes lie in its alpha channel, its colour is the same everywhere; "
            "export the alpha channel as a grey picture"
        )


def decode_mask_file(content: bytes, where: str | Path) -> np.ndarray:
    """Decodes a mask of class ids or colours: see `decode_values`.

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


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W, C) uint8 to size: by area mean when shrinking, else bilinear."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)


def size_of_height(height: int, photo: tuple[int, int], divisor: int = 32) -> tuple[int, int]:
    """(height, width) of about a photo's aspect; the width is the nearest multiple of divisor."""
    return height, max(1, round(height * photo[1] / photo[0] / divisor)) * divisor


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W) uint8 class ids to size by nearest neighbour at pixel centres."""
    if mask.shape[:2] == tuple(size):
        return mask
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def colorize(mask: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(H, W) class ids and a (256, 3) palette -> (H, W, 3) uint8; ignored pixels are black."""
    return palette[mask]


def overlay(image: np.ndarray, mask: np.ndarray, palette: np.ndarray, alpha=0.5) -> np.ndarray:
    """Lays the mask's colours over the photo; ignored pixels keep the photo's own colour.

    Args:
      image: (H, W, 3) uint8.
      mask: (H, W) uint8 class ids, 255 = ignored.
      palette: (256, 3) uint8.
      alpha: weight of the mask's colour, 0-1.

    Returns:
      (H, W, 3) uint8.
    """
    mixed = (1 - alpha) * image + alpha * palette[mask]
    return np.where((mask == 255)[..., None], image, mixed.round().astype(np.uint8))


def outline_width(size: tuple[int, int]) -> int:
    """Pixels of an outline that shows as one or two on a screen: 1 below 750 rows, 2 at 1080."""
    return max(1, round(min(size) / 500))


def outline(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask within `width` of what is outside it; a picture's edge is no outside.

    Args:
      mask: (H, W) uint8, 0 and 1.
      width: in pixels.

    Returns:
      (H, W) uint8, 0 and 1.
    """
    return mask - cv2.erode(mask, np.ones((2 * width + 1,) * 2, np.uint8))


def overlay_sky(image: np.ndarray, is_sky: np.ndarray, alpha=0.5) -> np.ndarray:
    """Tints the sky in SKY_TINT and outlines it; all else is the photo.

    Args:
      image: (H, W, 3) uint8.
      is_sky: (H, W) bool.
      alpha: weight of the tint, 0-1; the outline has 1.

    Returns:
      (H, W, 3) uint8.
    """
    sky = np.asarray(is_sky, np.uint8)
    tint = np.full_like(image, SKY_TINT)
    tinted = cv2.copyTo(cv2.addWeighted(image, 1 - alpha, tint, alpha, 0), sky, image.copy())
    return cv2.copyTo(tint, outline(sky, outline_width(sky.shape)), tinted)


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it there when all went well.

    The folder is created. After an error or a kill nothing is left under the final name. A URL (see
    places) is written to when all went well.
    """
    if is_remote(path):
        with uploaded(place(path)) as aside:
            yield aside
        return
    path = place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since `path` itself may have as long a name as the disk allows.
    aside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{next(_ASIDE_NUMBERS)}.tmp")
    _ASIDES.add(aside)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
        _ASIDES.discard(aside)


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
    suffix = place(path).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    exif = metadata.exif
    if suffix == "jpeg" and exif and len(exif) > _JPEG_SEGMENT:  # as a PNG or TIFF may have it
        exif = None
    options = {"icc_profile": metadata.icc_profile, "exif": exif}
    if software:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Software", software)
    options = {key: value for key, value in options.items() if value}
    with write_aside(path) as aside:
        Image.fromarray(image).save(aside, format=suffix, quality=95, **options)


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
