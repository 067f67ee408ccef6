"""PNGs of every kind that the standard allows, written here byte by byte, read as Pillow reads them.

Reference: PNG specification, third edition: 7 (samples), 8 (interlacing), 9 (filters), 11 (chunks).
"""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skyseg_tf.images import decode_values
from skyseg_tf.images.png import decode_png

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *((color, depth) for color in (RGB, GREY_ALPHA, RGBA) for depth in (8, 16)),
]
# First row, first column, and steps of the seven passes.
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]  # fmt: skip
BEFORE = {  # what may stand before the pixels
    b"gAMA": struct.pack(">I", 45455),
    b"sRGB": b"\0",
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"tEXt": b"Comment\0drawn",
    b"zTXt": b"Comment\0\0" + zlib.compress(b"drawn"),
    b"iTXt": b"Comment\0\0\0\0\0drawn",
    b"prVt": b"IDAT of nobody",
}
BEHIND = {
    b"tIME": struct.pack(">HBBBBB", 2026, 11, 29, 0, 0, 0),
    b"eXIf": b"MM\0*\0\0\0\x08\0\0\0\0\0\0",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def packed_rows(samples: np.ndarray, depth: int) -> list[np.ndarray]:
    """The bytes of each row of (H, W, C) samples."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        return list(rows.astype(">u2").view(np.uint8))
    bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return list(np.packbits(bits.reshape(len(rows), -1), axis=-1))


def paeth(left, up, corner):
    guess = left + up - corner
    far = [abs(guess - other) for other in (left, up, corner)]
    return np.where(
        (far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], up, corner)
    )


def filtered(rows: list[np.ndarray], step: int, rng) -> bytes:
    """Rows behind a filter each, drawn at random; `step` is the bytes of a pixel."""
    parts, above = [], np.zeros_like(rows[0])
    for row in rows:
        left, corner = (np.concatenate([np.zeros(step, np.uint8), r])[: len(r)] for r in (row, above))  # fmt: skip
        left, up, corner = (values.astype(int) for values in (left, above, corner))
        guesses = [0, left, up, (left + up) // 2, paeth(left, up, corner)]
        kind = int(rng.integers(5))
        parts.append(
            bytes([kind]) + ((row.astype(int) - guesses[kind]) % 256).astype(np.uint8).tobytes()
        )
        above = row
    return b"".join(parts)


def write_png(samples, color, depth, interlaced, chunks, pieces, rng) -> bytes:
    """A PNG of (H, W, C) samples whose packed data lie in so many pieces."""
    grids = [samples]
    if interlaced:
        grids = [samples[y::down, x::across] for y, x, down, across in PASSES]
    step = max(1, samples.shape[2] * depth // 8)
    raw = b"".join(filtered(packed_rows(grid, depth), step, rng) for grid in grids if grid.size)
    packed = zlib.compress(raw, int(rng.integers(10)))
    cuts = [0, *sorted(rng.integers(0, len(packed) + 1, pieces - 1)), len(packed)]
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    parts += [chunk(kind, BEFORE[kind]) for kind in chunks if kind in BEFORE]
    if color == PALETTE:
        parts.append(chunk(b"PLTE", rng.bytes(3 * 2**depth)))
    if b"tRNS" in chunks and color in (GREY, RGB, PALETTE):
        parts.append(chunk(b"tRNS", b"\0" * {GREY: 2, RGB: 6, PALETTE: 1}[color]))
    parts += [chunk(b"IDAT", packed[a:b]) for a, b in pairwise(cuts)]
    parts += [chunk(kind, BEHIND[kind]) for kind in chunks if kind in BEHIND]
    return b"".join([*parts, chunk(b"IEND", b"")])


def wanted_values(samples: np.ndarray, color: int, depth: int) -> np.ndarray:
    """What decode_values says of samples: indices, grey of its own depth, or 8-bit colors."""
    if color == PALETTE:
        return samples[..., 0]
    if color == GREY:
        return samples[..., 0] if depth > 8 else samples[..., 0] * (255 // (2**depth - 1))
    eight = samples >> 8 if depth == 16 else samples
    if color == GREY_ALPHA:  # Pillow knows 16 bits of it as RGBA alone
        return eight[..., 0] if depth == 8 else eight[..., [0, 0, 0]]
    return eight[..., :3]


PICTURES = {
    "kind": st.sampled_from(KINDS),
    "size": st.tuples(st.integers(1, 20), st.integers(1, 20)),
    "interlaced": st.booleans(),
    "chunks": st.lists(st.sampled_from([*BEFORE, *BEHIND, b"tRNS"]), unique=True),
    "pieces": st.integers(1, 5),
    "smooth": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}


def check_picture(kind, size, interlaced, chunks, pieces, smooth, seed) -> None:
    rng, (color, depth) = np.random.default_rng(seed), kind
    samples = rng.integers(0, 2**depth, (*size, CHANNELS[color]), np.uint16)
    if smooth:
        samples[:] = samples[:1]
    if size != (1, 1):  # grey of one value under an alpha that varies is refused
        samples[0, 0, 0] = samples[-1, -1, 0] ^ 1 << (depth - 1)
    content = write_png(samples, color, depth, interlaced, chunks, pieces, rng)
    read = Image.open(io.BytesIO(content))
    mine = decode_png(content)
    plain = depth == 8 and color in (GREY, RGB) and not interlaced and b"tRNS" not in chunks
    assert (mine is not None) == plain
    if plain:
        np.testing.assert_array_equal(mine, np.asarray(read))
    if color in (GREY_ALPHA, RGBA) and size == (1, 1):
        return  # one value: whether its alpha is the mask, nobody can tell
    values = decode_values(content, "drawn.png")
    np.testing.assert_array_equal(values, wanted_values(samples, color, depth))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(**PICTURES)
def test_pngs_of_every_kind_are_read_as_they_were_written(**picture):
    check_picture(**picture)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(**PICTURES)
def test_twenty_thousand_pngs_are_read_as_they_were_written(**picture):
    check_picture(**picture)
