import io

import numpy as np
import pytest
from PIL import Image

from skyseg_tf.images import decode_image
from skyseg_tf.images.jpeg import decode_jpeg


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
