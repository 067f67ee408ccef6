import io

import numpy as np
import pytest
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.images import decode_image
from skyseg_tf.images.jpeg import MAX_SCANS, decode_jpeg
from skyseg_tf.images.reading import decode_values


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    return Image.fromarray(noise).resize((170, 120), Image.BICUBIC)


def encoded(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2, "quality": 30},
        {"progressive": True},
        {"optimize": True},
        {"keep_rgb": True},
        {"restart_marker_rows": 1},
    ],
)
def test_equals_pillow(picture, options):
    content = encoded(picture, **options)
    assert np.array_equal(decode_jpeg(content), np.asarray(Image.open(io.BytesIO(content))))


def test_several_pictures_in_one_file_give_the_first(picture):
    buffer = io.BytesIO()
    other = Image.new("RGB", picture.size)
    picture.save(buffer, "MPO", save_all=True, append_images=[other])
    first = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    assert np.array_equal(decode_image(buffer.getvalue(), "x"), first)


def test_whatever_is_not_whole_is_left_to_pillow(picture):
    content = encoded(picture)
    middle = len(content) // 2
    for damaged in (
        content[:middle],
        content[:-2],
        content[:middle] + b"\xff\xd9",
        b"",
    ):
        assert decode_jpeg(damaged) is None


def test_other_colors_are_converted_as_by_pillow(picture):
    for mode in ("L", "CMYK"):
        content = encoded(picture.convert(mode))
        wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert np.array_equal(decode_image(content, "x"), wanted)


def of_many_scans(content: bytes, scans: int, between: bytes = b"") -> bytes:
    """A progressive JPEG with its last scan again and again, up to so many."""
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    again = (between + content[last:end]) * (scans - content.count(b"\xff\xda"))
    return content[:end] + again + content[end:]


@pytest.mark.parametrize("read", [decode_image, decode_values])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_thousands_of_scans_are_refused_before_anything_is_decoded(
    picture, mode, read, monkeypatch
):
    """A few hundred kilobytes of them took minutes."""
    content = encoded(picture.convert(mode), progressive=True)
    assert read(of_many_scans(content, MAX_SCANS), "x.jpg").shape[:2] == (120, 170)
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("was decoded"))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    for many in (MAX_SCANS + 1, 3000):
        for between in (b"", b"\xff\x01\xff\xff", b"\xff\xd0x", b"\xff\xfe\x00\x04\xff\xd9"):
            given = of_many_scans(content, many, between)
            with pytest.raises(InputError, match=r"x\.jpg: a JPEG of more than 100 scans.*save it"):
                read(given, "x.jpg")


def test_what_stands_beside_the_picture_is_no_scan_of_it(picture):
    """A phone puts thumbnails before it and a video behind it."""
    content, scans = encoded(picture), b"\xff\xda" * 5000
    noted = encoded(picture, comment=scans)
    for given in (content + scans, noted, encoded(picture, exif=b"Exif\0\0" + scans)):
        assert np.array_equal(decode_image(given, "x"), decode_image(content, "x"))
