"""Photos as files: each way to store one, with what cameras write beside the pixels."""

import io

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from skyseg_tf.images import UNTURNED, turn

KINDS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")
EXACT = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}
CAMERA, PLACE = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo


def encode_stored(upright: np.ndarray, kind="JPEG", orientation=1, exif=None, **options) -> bytes:
    """A file whose stored pixels a viewer turns into `upright`."""
    exif = exif or Image.Exif()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(turn(upright, UNTURNED[orientation]))
    buffer = io.BytesIO()
    block = exif.tobytes() if exif else b""
    stored.save(buffer, kind, exif=block, **EXACT.get(kind, {}), **options)
    return buffer.getvalue()


def camera_exif(width: int, height: int) -> Image.Exif:
    """What a phone writes: camera, focal length, place, sizes, a maker's note."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Model 7"
    exif[CAMERA] = {
        ExifTags.Base.FocalLength: 26.5,
        ExifTags.Base.ExifImageWidth: width,
        ExifTags.Base.ExifImageHeight: height,
        ExifTags.Base.MakerNote: b"\x01\x00note\xff",
    }
    exif[PLACE] = {1: "N", 2: (48.0, 8.0, 12.25), 3: "E", 4: (11.0, 34.0, 5.5)}
    return exif


def wide_gamut() -> bytes:
    """An RGB profile that is not sRGB, as bytes of its own."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"drawn in P3!"  # its date: no reader minds
    return bytes(profile)


def behind_the_pixels(png: bytes) -> bytes:
    """The same PNG with its eXIf chunk after the IDAT, where it may stand too."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    iend = png.index(b"IEND") - 4
    return png[:start] + png[end:iend] + png[start:end] + png[iend:]


def text_of(png: bytes) -> dict[str, str]:
    """The text chunks of a PNG."""
    picture = Image.open(io.BytesIO(png))
    assert isinstance(picture, PngImagePlugin.PngImageFile)
    return dict(picture.text)
