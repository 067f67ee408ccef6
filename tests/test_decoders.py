import io
import os
import shutil
import struct
import subprocess
import sys
import zlib

import cv2
import drawn_pictures as drawn
import numpy as np
import pytest
from drawn_pictures import picture_bytes, tiff, tiff_page, zeros
from PIL import ExifTags, Image

from skyseg_tf import images
from skyseg_tf.errors import InputError
from skyseg_tf.images import decoders, raw_photos
from skyseg_tf.images.decoders import FORMATS, IMAGE_SUFFIXES

KINDS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.fixture(scope="module")
def photo():
    """Flat squares, which no lossy format changes by much."""
    colors = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    return np.kron(colors, np.ones((32, 32, 1), np.uint8))


def upright(stored, orientation):
    """As Pillow turns it, by its own names."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    if orientation == 1:
        return stored
    return np.asarray(Image.fromarray(stored).transpose(Image.Transpose(turns[orientation])))


def assert_close(image, wanted, most=6):
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).mean() < most


def attempt(read, content, name="torn"):
    """What a reader gives, or the one line that it refuses with."""
    try:
        return read(content, name)
    except InputError as error:
        return str(error)


# --- orientation ---


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_all_orientations_of_all_formats(photo, tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = picture_bytes(photo, kind, exif=exif, **KINDS[kind])
    path = tmp_path / "a.picture"
    path.write_bytes(content)
    image = images.read_image(path)
    assert_close(image, upright(photo, orientation))
    for source in (content, path):
        assert images.image_orientation(source) == orientation
        assert images.image_size(source) == image.shape[:2]
    assert images.read_mask(path).shape == image.shape
    stored = images.turn(image, images.UNTURNED[orientation])
    assert_close(stored, photo)


def transformations(orientation):
    """The boxes irot and imir that libavif, another library, writes for an orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = picture_bytes(np.zeros((16, 16, 3), np.uint8), "AVIF", exif=exif)
    places = [content.find(kind) for kind in (b"irot", b"imir")]
    return [content[place - 4 : place + 5] for place in places if place > 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_upright_by_its_own_transformations(photo, orientation, brand):
    turns = transformations(orientation)
    assert bool(turns) == (orientation > 1)
    content = drawn.heic(photo, turns, brand=brand)
    image = images.decode_image(content, "phone.heic")
    assert_close(image, upright(photo, orientation))
    assert images.image_size(content) == image.shape[:2]
    assert images.image_orientation(content) == 1


def png_with(photo, exif: bytes, before: bool) -> bytes:
    content = picture_bytes(photo, "PNG")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    place = content.index(b"IDAT") - 4 if before else len(content) - 12
    return content[:place] + chunk + content[place:]


@pytest.mark.parametrize("before", [True, False])
def test_orientation_of_png_before_and_behind_the_pixels(before):
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)  # many chunks
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    for stored in (noise, noise[..., 0], np.dstack([noise, noise[..., :1]])):
        content = png_with(stored, block, before)
        assert images.image_orientation(content) == 6
        assert images.image_size(content) == (300, 400)
        image = images.decode_image(content, "x")
        wanted = stored[..., :3] if stored.ndim == 3 else np.dstack([stored] * 3)
        assert np.array_equal(image, upright(np.ascontiguousarray(wanted), 6))


@pytest.mark.parametrize(
    "block", [b"", b"garbage", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x2a\0\0"]
)
def test_orientations_that_make_no_sense_are_none(photo, block):
    content = png_with(photo, block, True)
    assert images.image_orientation(content) == 1
    assert np.array_equal(images.decode_image(content, "x"), photo)


def test_xmp_turns_nothing(photo):
    """Only EXIF counts for the readers of photos; Pillow would take XMP's word in its place."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    page = tiff_page(photo, 2, t700=(1, xmp))
    for content in (tiff([page]), picture_bytes(photo, "WEBP", lossless=True, xmp=xmp)):
        assert images.image_orientation(content) == 1
        assert np.array_equal(images.decode_image(content, "x"), photo)


# --- which files ---


def test_nothing_but_the_named_readers_sees_a_file(tmp_path, monkeypatch):
    """An EPS called .jpg starts Ghostscript in Pillow."""
    started = tmp_path / "started"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    picture = Image.new("RGB", (8, 8))
    others = [eps]
    for kind in ("TGA", "PCX", "ICO", "SGI", "EPS"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        others.append(buffer.getvalue())
    for content in others:
        (tmp_path / "a.jpg").write_bytes(content)
        for read in (images.read_image, images.read_mask, images.image_size):
            with pytest.raises(InputError, match=r"a\.jpg: not a readable image"):
                read(tmp_path / "a.jpg")
    assert not started.exists()


def test_suffixes_are_those_of_the_readers():
    for suffix in (".jpg", ".jfif", ".jpe", ".png", ".webp", ".tif", ".bmp", ".gif", ".mpo", ".jp2",
                   ".avif", ".heic", ".heif", ".hif", ".ppm"):  # fmt: skip
        assert suffix in IMAGE_SUFFIXES
    assert (".dng" in IMAGE_SUFFIXES) == raw_photos.raw_is_read()
    assert not {".eps", ".ps", ".psd", ".pdf", ".tga", ".txt"} & set(IMAGE_SUFFIXES)
    assert "EPS" not in FORMATS


@pytest.mark.parametrize("kind", ["GIF", "BMP", "JPEG2000", "PPM", "MPO"])
def test_further_formats(photo, kind):
    options = {"irreversible": False} if kind == "JPEG2000" else {}
    content = picture_bytes(photo, kind, **options)
    assert_close(images.decode_image(content, "x"), photo, 8)
    assert images.image_size(content) == photo.shape[:2]


def flipped(content: bytes, rng) -> bytes:
    damaged = bytearray(content)
    for place in rng.integers(0, min(len(damaged), 600), 4):
        damaged[place] = rng.integers(0, 256)
    return bytes(damaged[: rng.integers(1, len(damaged) + 1)] if rng.random() < 0.3 else damaged)


@pytest.mark.parametrize("kind", [*KINDS, "GIF", "BMP", "JPEG2000", "PPM", "HEIC", "DNG"])
def test_damage_ends_in_one_line(photo, kind, capfd):
    small = np.ascontiguousarray(photo[::4, ::4])
    if kind == "HEIC":
        content = drawn.heic(photo)
    elif kind == "DNG":
        content = tiff([drawn.raw_page(np.full((32, 48), 9000)) | drawn.dng_tags()])
    else:
        content = picture_bytes(small, kind)
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = flipped(content, rng)
        for read in (images.image_size, images.image_orientation, images.decode_image,
                     images.decode_mask_file):  # fmt: skip
            told = attempt(read, damaged)
            if isinstance(told, str):
                assert told.startswith("torn: ")
                assert "\n" not in told
    assert "Traceback" not in capfd.readouterr().err


def test_no_file_and_an_empty_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png: .*the file is empty"):
        images.read_image(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    for read in (images.read_image, images.read_mask, images.image_size, images.image_orientation):
        with pytest.raises(InputError, match=r"b\.png: is a pipe"):
            read(tmp_path / "b.png")


# --- memory ---


def png(size, depth, color, packed, more=b"", interlace=0) -> bytes:
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, interlace)
    parts = [
        chunk(b"IHDR", header),
        more and chunk(*more),
        chunk(b"IDAT", packed),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(filter(None, parts))


@pytest.fixture(scope="module")
def bomb():
    return zeros(300)


def test_pngs_inflate_to_their_size_and_no_further(bomb, measured_memory):
    rows = zlib.compress((b"\0" + bytes(48)) * 16)
    rgba = zlib.compress((b"\0" + bytes(64)) * 16)
    square = (16, 16)
    with measured_memory(60e6):
        kinds = ((8, 0, 0), (8, 2, 0), (8, 2, 1), (8, 6, 0), (16, 0, 0), (16, 2, 0))
        for depth, color, interlace in kinds:
            for packed in (bomb, zeros(60)):  # the second is small enough to be inflated
                content = png(square, depth, color, packed, interlace=interlace)
                for read in (images.decode_image, images.decode_mask_file):
                    told = attempt(read, content)
                    assert "pixels" in told if isinstance(told, str) else told.shape[:2] == square
        for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
            for packed, color in ((rows, 2), (rgba, 6)):
                with pytest.raises(InputError, match="too large"):
                    images.decode_image(png(square, 8, color, packed, (kind, head + bomb)), "x")


def test_large_notes_are_no_bombs(photo):
    note = zlib.compress(os.urandom(3 << 20))
    rows = zlib.compress((b"\0" + bytes(48)) * 16)
    for kind, head in ((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        content = png((16, 16), 8, 2, rows, (kind, head + note))
        assert images.decode_image(content, "x").shape == (16, 16, 3)


def j2k(size, tile) -> bytes:
    head = struct.pack(">HHIIIIIIIIH", 47, 0, *size, 0, 0, *tile, 0, 0, 3) + b"\7\1\1" * 3
    rest = b"\xff\x52\0\x0c\0\0\0\1\1\5\4\4\0\1\xff\x5c\0\x13\x40" + bytes(16)
    data = b"\xff\x90\0\x0a\0\0" + struct.pack(">I", 100) + b"\0\1\xff\x93" + bytes(86)
    return b"\xff\x4f\xff\x51" + head + rest + data + b"\xff\xd9"


def announced(content: bytes, box: bytes, size) -> bytes:
    at = content.index(box) + len(box)
    return content[:at] + struct.pack(">II", *size) + content[at + 8 :]


def test_announced_sizes_are_not_believed(photo, bomb, measured_memory):
    page = tiff_page(photo[:16, :16], 2) | {259: (3, [8]), "data": bomb}
    tiles = {322: (4, [16000]), 323: (4, [16000]), 324: (4, [8]), 325: (4, [len(bomb)])}
    dng = drawn.raw_page(np.zeros((16, 16))) | drawn.dng_tags()
    avif = picture_bytes(photo, "AVIF")
    gif = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6)
    canvas = (65534).to_bytes(3, "little") * 2
    files = {
        "strip": tiff([page]),
        "tiles": tiff([page | tiles]),
        "length": tiff([page | {279: (4, [2**32 - 1])}]),
        "gif": gif + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2\x4c\1\0;",
        "webp": b"RIFF"
        + struct.pack("<I", 30)
        + b"WEBPVP8X\x0a\0\0\0\2\0\0\0"
        + canvas
        + bytes(99),
        "one large tile": j2k((14000, 14000), (14000, 14000)),
        "large tile": j2k((16, 16), (2**31, 2**31)),
        "heic that is larger": drawn.heic(np.zeros((2048, 2048, 3), np.uint8), size=(16, 16)),
        "heic that is smaller": drawn.heic(photo, size=(14000, 14000)),
        "avif": announced(avif, b"ispe\0\0\0\0", (2**31 - 1, 2**31 - 1)),
        "dng": tiff([dng | {256: (4, [60000]), 257: (4, [60000]), 278: (4, [60000])}]),
    }
    with measured_memory(150e6):
        for name, content in files.items():
            for read in (images.decode_image, images.decode_mask_file):
                told = attempt(read, content, name)
                if isinstance(told, str):
                    assert told.startswith(f"{name}: ")
                else:
                    assert told.shape[:2] == (16, 16)


# --- pixels of every kind ---


def grey_of(content: bytes) -> list:
    image = images.decode_image(content, "x")
    assert (image == image[..., :1]).all()
    return image[0, :, 0].tolist()


def test_deep_grey_values():
    deep = np.array([[0, 257 * 7, 257 * 128, 65535]], "<u2")
    for content in (picture_bytes(deep, "PNG"), tiff([tiff_page(deep, 1)]), picture_bytes(deep, "TIFF"),
                    tiff([tiff_page(deep, 1)], big=True), picture_bytes(deep, "JPEG2000")):  # fmt: skip
        assert grey_of(content) == [0, 7, 128, 255]
    assert grey_of(tiff([tiff_page(deep, 0)])) == [255, 248, 127, 0]  # white is zero
    assert grey_of(picture_bytes(deep, "TIFF", compression="tiff_lzw")) == [0, 7, 128, 255]
    twelve = np.array([0xF0, 0x0F, 0x80, 0xFF, 0xFF, 0xFF], np.uint8)  # f00, f80, fff, fff
    page = tiff_page(np.zeros((1, 4), "<u2"), 1, bits=12) | {"data": twelve.tobytes()}
    assert grey_of(tiff([page])) == [239, 247, 255, 255]


def test_float_grey_values():
    values = np.array([[0, 0.25, 0.5, 1]], np.float32)
    assert grey_of(tiff([tiff_page(values, 1)])) == [0, 64, 128, 255]
    assert grey_of(tiff([tiff_page(values, 0)])) == [255, 191, 128, 0]
    photo = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1))
    assert_close(images.decode_image(picture_bytes(photo, "TIFF"), "x")[..., 0], photo * 255, 1)
    for bad in ([[0, 255.0]], [[-0.5, 1]], [[np.nan, 1]], [[0, np.inf]]):
        with pytest.raises(InputError, match="floating-point values"):
            images.decode_image(tiff([tiff_page(np.array(bad, np.float32), 1)]), "x")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (tiff_page(np.zeros((2, 3), np.float64), 1), "TIFF of a rare kind"),
        (tiff_page(np.zeros((2, 3, 3), np.float32), 2), "TIFF of a rare kind"),
        (tiff_page(np.zeros((2, 3), np.float16), 1), "TIFF of a rare kind"),
        (tiff_page(np.full((2, 3), -5, np.int16), 1), "with a sign"),
        (tiff_page(np.full((2, 3), 70000, np.uint32), 1), "32 bits"),
        (tiff_page(np.full((2, 3), 4095, np.uint16), 1), "12-bit"),
        (tiff_page(np.full((2, 3, 3), 4095, np.uint16), 2), "12-bit"),
        (tiff_page(np.full((2, 3, 3), 90, np.uint8), 8), "CIELAB"),
    ],
)
def test_what_nobody_can_know_is_refused(page, words):
    with pytest.raises(InputError, match=words) as told:
        images.decode_image(tiff([page]), "scan.tif")
    assert str(told.value).startswith("scan.tif: ")


def test_tiffs_of_every_layout(photo):
    deep = photo.astype("<u2") * 257
    planes = np.ascontiguousarray(photo.transpose(2, 0, 1))
    planar = tiff_page(photo, 2, t284=(3, [2]))
    offsets = [8 + i * planes[0].size for i in range(3)]
    planar |= {"data": planes.tobytes(), 273: (4, offsets), 279: (4, [planes[0].size] * 3)}
    cmyk = np.dstack([255 - photo, np.zeros_like(photo[..., :1])])
    jpeg = picture_bytes(photo, "TIFF", compression="jpeg", quality=95)
    for content in (
        tiff([tiff_page(deep, 2)]), tiff([tiff_page(photo, 2)], big=True), tiff([planar]), jpeg,
        tiff([tiff_page(cmyk, 5)]), picture_bytes(photo, "TIFF", compression="tiff_deflate"),
        picture_bytes(photo, "TIFF", compression="packbits"),
    ):  # fmt: skip
        assert_close(images.decode_image(content, "x"), photo, 4)


def test_tiffs_of_several_pages(photo):
    small = tiff_page(np.ascontiguousarray(photo[::8, ::8]), 2)
    full = tiff_page(photo, 2)
    mask = tiff_page(photo[..., 0], 4, t254=(4, [4]))
    for pages in ([full, small], [full, mask], [full | {"below": [small]}]):
        assert np.array_equal(images.decode_image(tiff(pages), "x"), photo)
    for pages in ([small, full], [full, full]):
        for read in (images.decode_image, images.decode_mask_file, images.image_size):
            with pytest.raises(InputError, match="2 pages, of which the first is not the largest"):
                read(tiff(pages), "x")


def test_pngs_of_every_kind(photo):
    grey = photo[..., 0]
    palette = Image.fromarray(photo).quantize(24)
    indices, colors = np.asarray(palette), np.asarray(palette.convert("RGB"))
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=bytes(range(24)))
    assert np.array_equal(images.decode_image(buffer.getvalue(), "x"), colors)
    assert np.array_equal(images.decode_mask_file(buffer.getvalue(), "x"), indices)
    alpha = np.dstack([grey, grey])
    assert np.array_equal(images.decode_mask_file(picture_bytes(alpha, "PNG"), "x"), grey)
    assert np.array_equal(images.decode_image(picture_bytes(alpha, "PNG"), "x")[..., 1], grey)
    transparent = picture_bytes(photo, "PNG", transparency=(1, 2, 3))
    assert np.array_equal(images.decode_image(transparent, "x"), photo)
    bits = picture_bytes(photo[..., 0] > 127, "PNG")
    assert np.array_equal(images.decode_mask_file(bits, "x"), 255 * (photo[..., 0] > 127))
    deep = cv2.imencode(".png", photo[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(images.decode_image(deep, "x"), photo)


def test_jpegs_of_every_kind(photo):
    cmyk = Image.fromarray(photo).convert("CMYK")  # Pillow writes them inverted, as Adobe does
    buffer = io.BytesIO()
    cmyk.save(buffer, "JPEG", quality=95)
    assert_close(images.decode_image(buffer.getvalue(), "x"), photo)
    assert_close(
        images.decode_image(picture_bytes(photo, "JPEG", progressive=True), "x"), photo, 12
    )
    content = picture_bytes(photo, "JPEG")
    at = content.index(b"\xff\xc0") + 4
    with pytest.raises(InputError, match="x: "):
        images.decode_image(content[:at] + b"\x0c" + content[at + 1 :], "x")  # of 12 bit


@pytest.mark.parametrize("values", [[[0.5, 1]], [[np.nan, 1]], [[-1, 1]], [[0, 256]]])
def test_masks_of_no_whole_numbers_are_refused(values):
    with pytest.raises(InputError, match="no class ids"):
        images.decode_mask_file(tiff([tiff_page(np.array(values, np.float32), 1)]), "x")
    whole = tiff([tiff_page(np.array([[0, 23, 255]], np.float32), 1)])
    assert images.decode_mask_file(whole, "x").tolist() == [[0, 23, 255]]


# --- raw photos ---


def raw_files() -> dict[str, bytes]:
    """A thumbnail first, as cameras store it, and the raw photo, dark below and bright above."""
    grey = np.full((96, 128), 3000)
    grey[:48] = 50000
    thumbnail = tiff_page(np.full((12, 16, 3), 200, np.uint8), 2, t254=(4, [1]))
    main = drawn.raw_page(grey)
    return {
        "a.dng": tiff([thumbnail | drawn.dng_tags() | {"below": [main]}]),
        "b.dng": tiff([main | drawn.dng_tags()]),
        "c.nef": tiff([thumbnail | {"below": [main]}]),
        "d.arw": tiff([thumbnail | {"below": [main]}]),
        "called.tif": tiff([thumbnail | {"below": [main]}]),
    }


def test_raw_photos_are_never_their_thumbnails(tmp_path, monkeypatch):
    pytest.importorskip("rawpy")
    for name, content in raw_files().items():
        (tmp_path / name).write_bytes(content)
        image = images.read_image(tmp_path / name)
        assert image.shape == (96, 128, 3)
        assert images.image_size(tmp_path / name) == (96, 128)
        assert image[:40].mean() > image[56:].mean() + 100
    monkeypatch.setattr(raw_photos, "raw_is_read", lambda: False)
    for name in raw_files():
        for read in (images.read_image, images.image_size):
            with pytest.raises(InputError, match=rf"{name}: a raw photo; pip install"):
                read(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_raw_photos_are_turned_once(orientation):
    pytest.importorskip("rawpy")
    grey = np.full((96, 128), 3000)
    grey[:48, :64] = 50000
    content = tiff([drawn.raw_page(grey, orientation) | drawn.dng_tags()])
    image = images.decode_image(content, "x.dng")
    assert images.image_size(content, "x.dng") == image.shape[:2]
    assert images.image_orientation(content) == 1
    bright = upright((grey > 9000).astype(np.uint8), orientation)
    assert ((image[..., 1] > 128) == bright).mean() > 0.95


def test_cameras_other_containers_are_raw():
    for head in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"\0\0\0\x18ftypcrx ", b"IIU\0\x18"):
        with pytest.raises(InputError, match="a raw photo"):
            images.decode_image(head + bytes(100), "x")


def test_heic_needs_nothing_further():
    """The wheel that reads it is a dependency, not an extra, and takes little time to import."""
    code = "import pi_heif, sys; sys.exit('numpy' in sys.modules)"
    assert shutil.which(sys.executable)
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ".heic" in decoders.IMAGE_SUFFIXES
