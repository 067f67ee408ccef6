import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from skyseg_tf.images import image_size
from skyseg_tf.images.png import decode_png, png_exif, write_png


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


def test_a_file_that_ends_anywhere_has_no_exif_and_the_size_of_its_head(tmp_path):
    """One that ended behind the head of its pixels was "Invalid argument", without a name."""
    content, path = encoded(np.zeros((6, 7, 3), np.uint8)), tmp_path / "cut.png"
    for cut in range(len(content)):
        assert png_exif(io.BytesIO(content[:cut])) == b""
    path.write_bytes(content[: content.index(b"IDAT") + 8])
    assert image_size(path) == (6, 7)


def chunk(kind: bytes, data: bytes) -> bytes:
    length, checksum = len(data).to_bytes(4), zlib.crc32(kind + data).to_bytes(4)
    return length + kind + data + checksum


def in_pieces(array: np.ndarray, packed: bytes, size: int) -> bytes:
    """A PNG whose packed data lie in pieces of a size."""
    head = encoded(array)[:33]
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    return head + b"".join(chunk(b"IDAT", piece) for piece in pieces) + chunk(b"IEND", b"")


def test_data_of_thousands_of_pieces_are_read_and_those_of_other_rows_refused():
    array = np.random.default_rng(3).integers(0, 256, (60, 70, 3), np.uint8)
    rows = np.pad(array.reshape(60, -1), ((0, 0), (1, 0))).tobytes()
    assert np.array_equal(decode_png(in_pieces(array, zlib.compress(rows), 3)), array)
    for raw in (rows[:-1], b"\7" + rows[1:]):
        with pytest.raises(OSError, match="cannot be decoded"):
            decode_png(in_pieces(array, zlib.compress(raw), 999))
    with pytest.raises(OSError, match="cannot be decoded"):
        decode_png(in_pieces(array, zlib.compress(rows)[:-1] + b"x", 999))


@pytest.mark.parametrize(
    ("channels", "dtype"), [((), np.uint8), ((), np.uint16), ((3,), np.uint8), ((4,), np.uint8)]
)
@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (900, 1300)])
def test_what_is_written_is_read_by_others(size, channels, dtype):
    """The largest has several strips of rows."""
    rng = np.random.default_rng(2)
    noise = rng.integers(0, np.iinfo(dtype).max + 1, (*size, *channels), dtype)
    for array in (noise, np.where(noise > 60_000 % (np.iinfo(dtype).max + 1), noise, 0)):
        buffer = io.BytesIO()
        write_png(buffer, array.astype(dtype))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(buffer.getvalue()))), array)
        by_opencv = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
        if channels:
            by_opencv = cv2.cvtColor(
                by_opencv, (cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGBA)[channels == (4,)]
            )
        assert np.array_equal(by_opencv, array)


def test_masks_take_about_as_many_bytes_as_by_pillow():
    y, x = np.mgrid[:600, :800]
    mask = np.where(y < 300 + 60 * np.sin(x / 40), 255, 0).astype(np.uint8)
    buffer = io.BytesIO()
    write_png(buffer, mask)
    assert len(buffer.getvalue()) < 1.2 * len(encoded(mask))


def test_turned_and_cut_arrays_are_written():
    array = np.arange(60, dtype=np.uint8).reshape(6, 10)
    for view in (array.T, array[::-1, ::2]):
        buffer = io.BytesIO()
        write_png(buffer, view)
        assert np.array_equal(decode_png(buffer.getvalue()), view)
