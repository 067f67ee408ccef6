import io

import numpy as np
import pytest
from PIL import Image

from skyseg_tf.images.png import decode_png


def encoded(array, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (64, 400, 3), (33, 2000), (1, 1)])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_equals_pillow(shape, level):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, shape, np.uint8)
    smooth = np.cumsum(noise // 250, axis=0).astype(np.uint8)  # makes the encoder use every filter
    for array in (noise, smooth):
        assert np.array_equal(decode_png(encoded(array, compress_level=level)), array)


def test_other_kinds_are_left_to_others():
    array = np.zeros((4, 4, 3), np.uint8)
    assert decode_png(encoded(np.zeros((4, 4, 4), np.uint8))) is None
    assert decode_png(encoded(np.zeros((4, 4), np.uint16))) is None
    buffer = io.BytesIO()
    Image.fromarray(array).convert("P").save(buffer, "PNG")
    assert decode_png(buffer.getvalue()) is None


def test_every_truncation_and_every_flipped_byte_is_refused():
    rng = np.random.default_rng(1)
    array = rng.integers(0, 256, (6, 7, 3), np.uint8)
    content = encoded(array)
    for cut in range(len(content)):
        with pytest.raises(OSError, match=r"truncated|not a PNG"):
            decode_png(content[:cut])
    for i in range(len(content)):
        damaged = bytearray(content)
        damaged[i] ^= 0x55
        with pytest.raises(OSError, match=r"checksum|truncated|not a PNG"):
            decode_png(bytes(damaged))
