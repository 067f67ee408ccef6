import io
import struct
from functools import partial

import numpy as np
import pytest
from drawn_files import (
    CAMERA,
    KINDS,
    PLACE,
    behind_the_pixels,
    camera_exif,
    encode_stored,
    wide_gamut,
)
from PIL import ExifTags, Image, ImageOps

from skyseg_tf.images import (
    UNTURNED,
    decode_photo,
    image_orientation,
    image_size,
    turn,
    write_image,
)
from skyseg_tf.images.metadata import PhotoMetadata, photo_metadata

UPRIGHT = np.zeros((48, 64, 3), np.uint8)
UPRIGHT[:16, :32] = (200, 40, 40)  # a corner that tells all eight orientations apart
UPRIGHT[16:, :8] = (40, 40, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_back_is_the_inverse_of_what_viewers_do(orientation):
    drawn = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    stored = turn(drawn, UNTURNED[orientation])
    picture = Image.fromarray(np.ascontiguousarray(stored))
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(ImageOps.exif_transpose(picture), drawn)
    assert np.array_equal(turn(stored, orientation), drawn)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_all_kinds(kind, orientation, tmp_path):
    content = encode_stored(UPRIGHT, kind, orientation)
    photo = decode_photo(content, "x")
    assert np.abs(photo.image.astype(int) - UPRIGHT).mean() < 4
    assert photo.metadata.orientation == image_orientation(content) == orientation
    (tmp_path / "x").write_bytes(content)
    assert image_size(tmp_path / "x") == (48, 64)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_whose_orientation_stands_behind_its_pixels(depth):
    if depth == 16:  # another way through the decoder
        grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
        content = behind_the_pixels(encode_stored(grey, "PNG", 6))
        assert np.array_equal(decode_photo(content, "x").image[..., 0], grey // 257)
    else:
        content = behind_the_pixels(encode_stored(UPRIGHT, "PNG", 6))
        assert np.array_equal(decode_photo(content, "x").image, UPRIGHT)
    assert image_orientation(content) == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_profile_and_exif_go_along(kind, suffix, tmp_path):
    profile = wide_gamut()
    stored = camera_exif(48, 64)  # the stored size of an upright 64 x 48
    content = encode_stored(UPRIGHT, kind, 6, stored, icc_profile=profile)
    photo = decode_photo(content, "x")
    write_image(tmp_path / f"out.{suffix}", photo.image, photo.metadata)
    with Image.open(tmp_path / f"out.{suffix}") as picture:
        assert picture.info["icc_profile"] == profile
        exif = picture.getexif()
        camera, place = exif.get_ifd(CAMERA), exif.get_ifd(PLACE)
        assert np.array_equal(np.shape(ImageOps.exif_transpose(picture)), (48, 64, 3))
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Model]) == ("Maker", "Model 7")
    assert camera[ExifTags.Base.FocalLength] == 26.5
    assert camera[ExifTags.Base.MakerNote] == b"\x01\x00note\xff"
    assert (camera[ExifTags.Base.ExifImageWidth], camera[ExifTags.Base.ExifImageHeight]) == (64, 48)
    assert (place[1], place[2], place[4]) == ("N", (48.0, 8.0, 12.25), (11.0, 34.0, 5.5))
    assert set(exif) <= {*camera_exif(1, 1), ExifTags.Base.Orientation}  # no StripOffsets


@pytest.mark.parametrize("orientation", [1, 3])
def test_sizes_stay_where_the_photo_is_not_laid_on_its_side(orientation):
    content = encode_stored(UPRIGHT, "JPEG", orientation, camera_exif(64, 48))
    exif = Image.Exif()
    exif.load(decode_photo(content, "x").metadata.exif)
    camera = exif.get_ifd(CAMERA)
    assert (camera[ExifTags.Base.ExifImageWidth], camera[ExifTags.Base.ExifImageHeight]) == (64, 48)


def test_letters_and_notes_are_kept_byte_for_byte():
    """Written as Pillow would, they came out as question marks."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "xxxxxx"
    block = exif.tobytes().replace(b"xxxxxx", "Müller"[:5].encode())
    content = io.BytesIO()
    Image.fromarray(UPRIGHT).save(content, "JPEG", exif=block)
    assert decode_photo(content.getvalue(), "x").metadata.exif == block


def with_thumbnail(order: str, pieces: list[bytes], tags: tuple[int, int], rest: bytes) -> bytes:
    """An EXIF block of an artist and a thumbnail, of one piece as phones have it or of several."""
    starts = [78 + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    values = [starts, [len(piece) for piece in pieces]]
    entry, lists = partial(struct.pack, f"{order}HHII"), [56, 56 + 4 * len(pieces)]
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1)
    block += entry(315, 2, 6, 72) + struct.pack(f"{order}IH", 26, 2)
    for tag, place, value in zip(tags, lists, values, strict=True):
        block += entry(tag, 4, len(pieces), place if len(pieces) > 1 else value[0])
    block += bytes(4) + struct.pack(f"{order}{2 * len(pieces)}I", *values[0], *values[1])
    return b"Exif\0\0" + block.ljust(72, b"\0") + b"Sarah\0" + b"".join(pieces) + rest


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("rest", [b"", b"a maker's note"])
@pytest.mark.parametrize(
    ("pieces", "tags"), [([b"THUMB" * 9], (0x201, 0x202)), ([b"THUMB", b"THUMB"], (0x111, 0x117))]
)
def test_no_byte_of_a_thumbnail_goes_along(order, rest, pieces, tags):
    """It may show what was cut off the photo; readers find it by more than its directory."""
    block = with_thumbnail(order, pieces, tags, rest)
    content = io.BytesIO()
    Image.fromarray(UPRIGHT).save(content, "JPEG", exif=block)
    kept = decode_photo(content.getvalue(), "x").metadata.exif
    assert b"THUMB" not in kept
    length = sum(map(len, pieces))
    assert kept[84:] == (bytes(length) + rest if rest else b"")
    exif = Image.Exif()
    exif.load(kept)
    assert exif[ExifTags.Base.Artist] == "Sarah"
    assert not exif.get_ifd(ExifTags.IFD.IFD1)


@pytest.mark.parametrize("start", [0, 8, 5000])
def test_a_thumbnail_that_is_not_there_costs_no_tag(start):
    block = with_thumbnail("<", [b"THUMB"], (0x201, 0x202), b"")
    for damaged in (
        block.replace(struct.pack("<I", 78), struct.pack("<I", start)),
        block.replace(struct.pack("<IH", 26, 2), struct.pack("<IH", start, 2)),
    ):
        content = io.BytesIO()
        Image.fromarray(UPRIGHT).save(content, "JPEG", exif=damaged)
        kept = decode_photo(content.getvalue(), "x").metadata.exif
        assert kept == damaged[:28] + bytes(4) + damaged[32:]


def test_a_profile_of_other_than_rgb_is_dropped_with_its_pixels():
    grey = wide_gamut()
    grey = grey[:16] + b"GRAY" + grey[20:]
    content = encode_stored(UPRIGHT[..., 0], "JPEG", icc_profile=grey)
    assert decode_photo(content, "x").metadata == PhotoMetadata()


@pytest.mark.parametrize("cut", [3, 8, 11, 30])
def test_damaged_exif_costs_no_photo(cut):
    block = camera_exif(64, 48).tobytes()[:cut]
    content = io.BytesIO()
    Image.fromarray(UPRIGHT).save(content, "JPEG", exif=block, icc_profile=wide_gamut())
    photo = decode_photo(content.getvalue(), "x")
    assert photo.image.shape == UPRIGHT.shape
    assert photo.metadata.orientation == 1
    assert photo.metadata.icc_profile == wide_gamut()


def test_an_exif_block_that_no_jpeg_can_hold_is_left_out(tmp_path):
    write_image(tmp_path / "a.jpg", UPRIGHT, PhotoMetadata(exif=b"Exif\0\0" + bytes(70_000)))
    assert "exif" not in Image.open(tmp_path / "a.jpg").info


def test_only_the_header_is_read(monkeypatch):
    content = encode_stored(UPRIGHT, "PNG", 6, camera_exif(64, 48))
    picture = Image.open(io.BytesIO(behind_the_pixels(content)))
    monkeypatch.setattr(type(picture), "load", lambda self: pytest.fail("the pixels were decoded"))
    assert photo_metadata(picture, picture.fp, 6).exif is not None
