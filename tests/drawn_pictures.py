"""Picture files that Pillow does not write: TIFFs of every kind, raw photos, HEIC."""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}  # TIFF's types of integers
RATIONAL = 5


def picture_bytes(array: np.ndarray, kind: str, **options) -> bytes:
    """A picture as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def zeros(megabytes: int) -> bytes:
    """So many megabytes of zeros, deflated to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(megabytes):
        checksum = zlib.adler32(bytes(1 << 20), checksum)
    return b"\x78\xda" + block * megabytes + b"\3\0" + struct.pack(">I", checksum)


def tiff_page(array: np.ndarray, photometric: int, bits: int | None = None, **more) -> dict:
    """The tags of one page; `more` are tags by number, as t258=(type, values), which go before."""
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    form = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    tags = {
        256: (4, [width]), 257: (4, [height]),
        258: (3, [bits or 8 * array.itemsize] * channels), 259: (3, [1]), 262: (3, [photometric]),
        277: (3, [channels]), 278: (4, [height]), 339: (3, [form] * channels),
    }  # fmt: skip
    return tags | {int(name[1:]): value for name, value in more.items()} | {"data": array.tobytes()}


def tiff(pages: Sequence[dict], big: bool = False) -> bytes:
    """A little-endian TIFF; a page's "data" is its one strip, "below" its sub-pages.

    Reference: TIFF 6.0, section 2; BigTIFF for `big`.
    """
    pointer, size = ("Q", 8) if big else ("I", 4)
    out = bytearray(b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4))

    def put(content: bytes) -> int:
        out.extend(bytes(-len(out) % 8))
        out.extend(content)
        return len(out) - len(content)

    def put_page(page: dict, following: int) -> int:
        tags = {key: value for key, value in page.items() if isinstance(key, int)}
        tags.setdefault(273, (4, [put(page["data"])]))
        tags.setdefault(279, (4, [len(page["data"])]))
        if "below" in page:
            tags[330] = (4, [put_page(inner, 0) for inner in page["below"]])
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            if kind == RATIONAL:
                parts = [part for v in values for part in Fraction(v).as_integer_ratio()]
                content = struct.pack(f"<{len(parts)}I", *parts)
            else:
                content = struct.pack(f"<{len(values)}{_LETTERS[kind]}", *values)
            if len(content) > size:
                content = struct.pack(f"<{pointer}", put(content))
            entries += struct.pack(f"<HH{pointer}", tag, kind, len(values))
            entries += content.ljust(size, b"\0")
        count = len(entries) // (20 if big else 12)
        head = struct.pack("<Q" if big else "<H", count)
        return put(head + entries + struct.pack(f"<{pointer}", following))

    following = 0
    for page in reversed(pages):
        following = put_page(page, following)
    struct.pack_into(f"<{pointer}", out, 8 if big else 4, following)
    return bytes(out)


def raw_page(grey: np.ndarray, orientation: int = 1) -> dict:
    """The page of a raw photo whose red, green and blue pixels all have the values of `grey`."""
    return tiff_page(
        grey.astype("<u2"), 32803,
        t271=(2, b"Camera\0"), t272=(2, b"Camera One\0"), t274=(3, [orientation]),
        t33421=(3, [2, 2]), t33422=(1, [0, 1, 1, 2]),
    )  # fmt: skip


def dng_tags() -> dict:
    """What makes a DNG of a raw photo."""
    return {
        50706: (1, [1, 4, 0, 0]), 50708: (2, b"Camera One\0"), 50717: (4, [65535]),
        50728: (RATIONAL, [1, 1, 1]), 50778: (3, [21]),
        50721: (RATIONAL, [1, 0, 0, 0, 1, 0, 0, 0, 1]),
    }  # fmt: skip


def _box(kind: str, *parts: bytes, version: int | None = None) -> bytes:
    body = b"".join(parts)
    if version is not None:
        body = struct.pack(">I", version << 24) + body
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def hevc_units(image: np.ndarray) -> list[bytes]:
    """The units of one picture in HEVC, the parameter sets first; needs PyAV."""
    import av

    encoder = av.CodecContext.create("libx265", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv444p", Fraction(1, 25)
    encoder.options = {"x265-params": "log-level=none:qp=4:keyint=1:info=0", "preset": "ultrafast"}
    frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv444p", dst_colorspace="itu601")
    stream = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1") if unit.strip(b"\0")]


def heic(
    image: np.ndarray, turns: Sequence[bytes] = (), size: tuple[int, int] | None = None,
    brand: bytes = b"heic",
) -> bytes:  # fmt: skip
    """A HEIC file of one picture.

    Args:
      image: (H, W, 3) uint8.
      turns: boxes irot and imir.
      size: announced (height, width); None for the picture's own.
      brand: of its first box.

    Reference: ISO/IEC 23008-12, sections 6.2, 6.5 and annex B.
    """
    units = hevc_units(image)
    sets = [unit for unit in units if unit[0] >> 1 in (32, 33, 34)]
    data = b"".join(struct.pack(">I", len(u)) + u for u in units if u[0] >> 1 < 32)
    config = b"\1\3\x70\0\0\0\0\0\0\0\0\0\x5d\xf0\0\xfc\xff\xf8\xf8\0\0\x0f" + bytes([len(sets)])
    for unit in sets:
        config += struct.pack(">BHH", 0x80 | unit[0] >> 1, 1, len(unit)) + unit
    height, width = size or image.shape[:2]
    properties = [_box("hvcC", config), _box("ispe", struct.pack(">II", width, height), version=0)]
    properties += turns
    numbers = bytes([0x80 | 1, 2, *(0x80 | 3 + i for i in range(len(turns)))])

    def meta(offset: int) -> bytes:
        place = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(data))
        entry = _box("infe", struct.pack(">HH4sB", 1, 0, b"hvc1", 0), version=2)
        own = struct.pack(">IHB", 1, 1, len(numbers)) + numbers
        return _box(
            "meta",
            _box("hdlr", bytes(4), b"pict", bytes(13), version=0),
            _box("pitm", struct.pack(">H", 1), version=0),
            _box("iloc", place, version=0),
            _box("iinf", struct.pack(">H", 1), entry, version=0),
            _box("iprp", _box("ipco", *properties), _box("ipma", own, version=0)),
            version=0,
        )  # fmt: skip

    start = _box("ftyp", brand, bytes(4), b"mif1heic")
    offset = len(start) + len(meta(0)) + 8
    return start + meta(offset) + _box("mdat", data)
