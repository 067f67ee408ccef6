"""Photos and masks in every format."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from fuzzing.parser import PHOTO, Seeds, read_all_ways


def read_picture(path: Path) -> None:
    """Reads a photo or mask in every way that the package has."""
    from skyseg_tf import images

    content = path.read_bytes()
    readers = (
        images.image_size,
        images.image_orientation,
        images.decode_photo,
        images.decode_values,
        images.decode_mask_file,
    )
    read_all_ways(partial(read, content, path.name) for read in readers)


def of_pillow(*kinds: tuple[str, dict]) -> Callable[[Path], Seeds]:
    """Seeds in formats of Pillow, each in RGB and in grey."""

    def draw(folder: Path) -> Seeds:
        from drawn_pictures import picture_bytes
        from PIL import ExifTags, Image

        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        found = {}
        for kind, options in kinds:
            stored = options | ({"exif": exif} if kind not in ("BMP", "GIF", "PPM") else {})
            for name, array in (("rgb", PHOTO), ("grey", PHOTO[..., 0])):
                found[f"{len(found)}_{name}.{kind.lower()}"] = picture_bytes(array, kind, **stored)
        return found

    return draw


def pngs(folder: Path) -> Seeds:
    """Every kind of PNG: color type, depth, interlaced or not."""
    from test_png_fuzz import CHANNELS, KINDS, write_png

    found, rng = {}, np.random.default_rng(0)
    for color, depth in KINDS:
        for interlaced in (False, True):
            samples = rng.integers(0, 2**depth, (9, 12, CHANNELS[color]), np.uint16)
            chunks = [b"eXIf", b"tEXt", b"tRNS"]
            content = write_png(samples, color, depth, interlaced, chunks, 2, rng)
            found[f"{color}_{depth}_{interlaced}.png"] = content
    return found


def tiffs(folder: Path) -> Seeds:
    """TIFFs of several kinds and compressions, and a raw photo."""
    from drawn_pictures import dng_tags, picture_bytes, raw_page, tiff, tiff_page

    plain = tiff_page(PHOTO, 2, t274=(3, [6]))
    found = {
        "plain.tif": tiff([plain]),
        "big.tif": tiff([plain], big=True),
        "pages.tif": tiff([plain, plain]),
        "deep.tif": tiff([tiff_page(PHOTO[..., 0].astype(np.uint16), 1)]),
        "float.tif": tiff([tiff_page(PHOTO[..., 0].astype(np.float32) / 255, 1)]),
        "raw.dng": tiff([raw_page(np.full((32, 48), 9000)) | dng_tags()]),
    }
    for method in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        found[f"{method}.tif"] = picture_bytes(PHOTO, "TIFF", compression=method)
    return found


def heifs(folder: Path) -> Seeds:
    """A HEIC, and AVIFs."""
    from drawn_pictures import heic

    return {"photo.heic": heic(PHOTO)} | of_pillow(("AVIF", {"speed": 10}))(folder)
