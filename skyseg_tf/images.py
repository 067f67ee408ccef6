"""Photos and masks between disk and arrays.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8; sizes are (height, width). A path may point
into a zip archive: `archive.zip!folder/file.png`. No TensorFlow here, so that everything that
only touches pictures starts at once.
"""

import io
import itertools
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from skyseg_tf.errors import InputError
from skyseg_tf.png import decode_png

# Over a sky of any hour: no sky is magenta, while Cityscapes' own blue is a clear day's.
SKY_TINT = (255, 0, 150)
MAX_PIXELS = 200_000_000  # about 14000 x 14000; refuses decompression bombs
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
ZIP_MARK = ".zip!"

Image.MAX_IMAGE_PIXELS = None  # the limit is checked below, with a message that says what to do
cv2.setNumThreads(1)  # the callers run one image per thread
_local = threading.local()
_ASIDES: set[Path] = set()  # files that write_aside has begun
_ASIDE_NUMBERS = itertools.count()


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, or of a zip member named `archive.zip!member`.

    Raises:
      FileNotFoundError: no such file or member.
      InputError: the archive is damaged there.
    """
    path = str(path)
    if ZIP_MARK not in path:
        return Path(path).read_bytes()
    archive, member = path.split(ZIP_MARK, 1)
    archive += ".zip"
    archives = _local.__dict__.setdefault("archives", {})
    try:
        if archive not in archives:
            archives[archive] = zipfile.ZipFile(archive)  # one per thread: they share no seek
        return archives[archive].read(member)
    except KeyError:
        raise FileNotFoundError(f"{path}: no such member in the archive") from None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise InputError(f"{path}: the archive is damaged there; download it again") from None


def _open(source: bytes | Path, where: str | Path) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file system's own errors speak for themselves
        raise InputError(
            f"{where}: not a readable image (damaged, or no image at all); give another file, or "
            "download or export it again"
        ) from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{where}: {width} x {height} pixels exceed the limit of {MAX_PIXELS:,}; scale it down"
        )
    return picture


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) as `read_image` will give it (EXIF orientation applied), from the header.

    Raises:
      InputError: not an image, or above MAX_PIXELS.
    """
    with _open(read_bytes(path) if ZIP_MARK in str(path) else Path(path), path) as picture:
        # Pillow has turned the size of a TIFF already.
        exif = picture.getexif() if picture.format not in ("PNG", "TIFF") else {}
        turned = exif.get(0x0112, 1) >= 5
        return (picture.width, picture.height) if turned else (picture.height, picture.width)


def decode_image(content: bytes, where: str | Path) -> np.ndarray:
    """Decodes a photo of any kind (grey, RGBA, CMYK, 16 bit; turned by EXIF, but for PNG).

    Args:
      content: the file's bytes.
      where: its name, for the error message.

    Returns:
      (H, W, 3) uint8 RGB. Alpha is dropped; 16-bit values are divided by 257.

    Raises:
      InputError: unreadable, truncated, or above MAX_PIXELS.
    """
    picture = _open(content, where)
    try:
        if picture.mode == "RGB" and picture.format == "PNG":
            image = decode_png(content)
            if image is not None:
                return image
        # Of a PNG it could stand behind the pixels: no camera writes it there, and `image_size`
        # would have to decode the whole file.
        if picture.format != "PNG":
            picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):
            values = np.asarray(picture).astype(np.uint32)
            grey = (values // 257 if values.max(initial=0) > 255 else values).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=-1)
        return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, cv2.error) as error:
        raise InputError(f"{where}: {_reason(error)}; download or export it again") from None


def decode_mask_file(content: bytes, where: str | Path) -> np.ndarray:
    """Decodes a label picture without interpreting it.

    Args:
      content: the file's bytes.
      where: its name, for the error message.

    Returns:
      (H, W) uint8 stored values (a palette picture gives its indices, a bilevel one 0 and 255),
      or (H, W, 3) uint8 for a colour mask.

    Raises:
      InputError: unreadable, truncated, or values above 255.
    """
    picture = _open(content, where)
    try:
        if picture.mode == "L" and picture.format == "PNG":
            mask = decode_png(content)
            if mask is not None:
                return mask
        if picture.mode == "1":
            picture = picture.convert("L")
        if picture.mode in ("RGBA", "LA"):
            picture = picture.convert(picture.mode[:-1])
        mask = np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{where}: {_reason(error)}; download or export it again") from None
    if mask.dtype != np.uint8:
        if mask.size and (mask.min() < 0 or mask.max() > 255):
            raise InputError(
                f"{where}: values up to {mask.max()} are no class ids (instanceIds?); "
                "give the labelIds file"
            )
        mask = mask.astype(np.uint8)
    return mask


def _reason(error: Exception) -> str:
    return f"the file is damaged ({str(error).splitlines()[0][:80]})"


def read_image(path: str | Path) -> np.ndarray:
    """Reads a photo: see `decode_image`."""
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

    The folder is created. After an error or a kill nothing is left under the final name.
    """
    path = Path(path)
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


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes (H, W, 3) or (H, W) uint8 as PNG or JPEG (by the suffix), whole or not at all."""
    suffix = Path(path).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    with write_aside(path) as aside:
        Image.fromarray(image).save(aside, format=suffix, quality=95)
