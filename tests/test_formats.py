import csv
import errno
import io
import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_files import CAMERA, camera_exif, encode_stored, wide_gamut
from drawn_models import blue_photo
from PIL import ExifTags, Image, ImageOps

from skyseg_tf.images import SKY_TINT, UNTURNED, decode_photo, software_of, turn, write_image
from skyseg_tf.images.metadata import PhotoMetadata
from skyseg_tf.labels import SCHEMES, parse_scheme
from skyseg_tf.masking.coco import coco_image, encode_rle, render_coco
from skyseg_tf.masking.formats import (
    FORMATS,
    SOFTWARE,
    Table,
    default_format,
    encode_prediction,
    in_words,
    output_name,
    without_outputs,
)
from skyseg_tf.masking.prediction import Prediction
from skyseg_tf.masking.settings import SOFT_FORMATS
from skyseg_tf.masking.sky_facts import horizon_line, sky_facts


def prediction(share=1 / 3, scheme="sky"):
    """Sky at 0.8 in the upper part of the photo, 0.1 below."""
    photo = blue_photo()
    sky = np.full(photo.shape[:2], 0.1, np.float32)
    sky[: round(share * len(sky))] = 0.8
    classes = SCHEMES[scheme]
    sky_id = classes.class_names.index("sky")
    ids = np.where(sky > 0.5, sky_id, 0).astype(np.uint8)
    return Prediction(photo, ids, sky, classes, "m")


def written(kind, tmp_path, given=None):
    name, content = encode_prediction(kind, given or prediction(), "street.JPG")
    path = tmp_path / name
    path.write_bytes(content)
    return np.asarray(Image.open(path)) if path.suffix == ".png" else path


def test_formats_that_take_no_threshold_are_those_that_none_changes():
    without_sky = replace(prediction(), ids=np.zeros_like(prediction().ids))
    same = {
        kind
        for kind in FORMATS
        if encode_prediction(kind, prediction(), "x.jpg")
        == encode_prediction(kind, without_sky, "x.jpg")
    }
    assert same == set(SOFT_FORMATS)


# format: value in the sky, value below, file name
POLARITY = {
    "mask": (255, 0, "street.png"),
    "keep-mask": (0, 255, "street.png"),
    "colmap": (0, 255, "street.JPG.png"),
    "nerfstudio": (0, 255, "street.png"),
    "odm": (0, 255, "street_mask.png"),
    "opensfm": (0, 255, "street.JPG.png"),
    "metashape": (0, 255, "street_mask.png"),
    "alpha8": (204, 26, "street.png"),
    "alpha16": (52428, 6554, "street.png"),
    "labelids": (23, 0, "street.png"),
    "color": ((70, 130, 180), (0, 0, 0), "street.png"),
    "rgba-sky": ((90, 150, 230, 204), (120, 90, 60, 26), "street.png"),
    "rgba-nosky": ((90, 150, 230, 51), (120, 90, 60, 229), "street.png"),
}


@pytest.mark.parametrize("kind", POLARITY)
def test_polarity_and_name(kind, tmp_path):
    above, below, name = POLARITY[kind]
    picture = written(kind, tmp_path)
    assert output_name(kind, Path("a/street.JPG")) == Path("a") / name
    assert (picture[:20] == above).all()
    assert (picture[20:] == below).all()
    assert picture.dtype == (np.uint16 if kind == "alpha16" else np.uint8)


def test_overlay_shows_on_every_sky(tmp_path):
    """Its tint is far from the sky's own color, by day, under clouds, at dusk and at night."""
    drawn = prediction()
    for sky in ((70, 130, 180), (135, 206, 235), (250, 250, 250), (230, 150, 90), (8, 10, 25)):
        photo = drawn.image.copy()
        photo[:20] = sky
        tinted = written("overlay", tmp_path, replace(drawn, image=photo)).astype(int)
        assert np.abs(tinted[:19] - np.add(sky, SKY_TINT) / 2).max() <= 0.5
        assert np.abs(tinted[:19] - sky).sum(-1).min() > 100
        assert (tinted[19] == SKY_TINT).all()  # the outline
        assert (tinted[20:] == drawn.image[20:]).all()


def test_overlay_of_many_classes_has_their_colors(tmp_path):
    many = prediction(scheme="cityscapes19")
    assert (written("overlay", tmp_path, many)[:20] == (80, 140, 205)).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_are_those_of_the_file(kind, tmp_path):
    name, content = encode_prediction(kind, prediction(), "../../etc/photo.jpg")
    assert name == FORMATS[kind].name.format(name="photo.jpg", stem="photo")
    if isinstance(FORMATS[kind], Table):
        assert b"photo.jpg" in content
        return
    FORMATS[kind].write(prediction(), tmp_path / name)
    assert content == (tmp_path / name).read_bytes()
    long = "x" * 300 + ".jpg"  # no file system takes it
    assert encode_prediction(kind, prediction(), long)[1] == content
    assert encode_prediction(kind, prediction(), "")[0].startswith("photo")


@pytest.mark.parametrize("suffix", ["npy", "png", "jpg"])
def test_a_file_that_has_no_room_for_its_end_is_an_error_of_the_disk(suffix, tmp_path):
    """An .npy told no errno, so all other photos were tried; a .jpg was kept without its end."""
    given, path = prediction(), tmp_path / f"a.{suffix}"

    def write() -> None:
        if suffix == "npy":
            FORMATS["npy"].write(given, path)
        else:
            write_image(path, given.image)

    write()
    before, room = resource.getrlimit(resource.RLIMIT_FSIZE), path.stat().st_size - 10
    path.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_no_sky_is_an_empty_mask_and_said(tmp_path):
    none = prediction(share=0)
    assert not written("mask", tmp_path, none).any()
    assert (written("keep-mask", tmp_path, none) == 255).all()
    assert written("alpha8", tmp_path, none).max() == 26  # not stretched
    facts = json.loads(written("json", tmp_path, none).read_text())
    assert (facts["sky"], facts["sky_share"], facts["horizon"]) == (False, 0, None)
    coco = json.loads(written("coco-rle", tmp_path, none).read_text())
    assert (len(coco["images"]), coco["annotations"]) == (1, [])


def test_figures(tmp_path):
    facts = sky_facts(prediction())
    assert facts["sky"] is True
    assert facts["sky_share"] == pytest.approx(1 / 3, abs=1e-6)
    assert facts["confidence"] == pytest.approx((0.8 + 2 * 0.9) / 3, abs=1e-4)
    assert facts["classes"] == {
        "not sky": pytest.approx(2 / 3, abs=1e-6),
        "sky": facts["sky_share"],
    }
    assert facts["horizon"] == {side: pytest.approx(1 / 3, abs=1e-3) for side in ("left", "right")}
    rows = list(csv.DictReader(written("csv", tmp_path).open()))
    assert float(rows[0]["sky_share"]) == facts["sky_share"]
    assert (rows[0]["file"], rows[0]["sky"]) == ("street.JPG", "True")
    np.testing.assert_array_equal(np.load(written("npy", tmp_path)), prediction().sky)


def test_the_horizon_is_a_line_that_towers_do_not_bend():
    y, x = np.mgrid[:200, :300]
    is_sky = y < 80 + x * 0.1
    is_sky[40:, 100:130] = False
    line = horizon_line(is_sky)
    assert line["left"] == pytest.approx(0.4, abs=0.01)
    assert line["right"] == pytest.approx(0.55, abs=0.01)
    assert horizon_line(np.zeros((20, 20), bool)) is None
    # Down a slope of 45 degrees each column's sky ends half a pixel under the column's centre.
    y, x = np.mgrid[:20, :20]
    assert horizon_line(y <= x) == {"left": 0.025, "right": 1.025}
    few = np.zeros((20, 20), bool)
    few[:5, 3:5] = True
    assert horizon_line(few) == {"left": 0.25, "right": 0.25}
    assert horizon_line(few[:, :4]) is None  # of one column there is no line


def test_many_classes_each_have_their_color(tmp_path):
    scheme = SCHEMES["cityscapes19"]
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    ids[-1, -1] = 255
    given = Prediction(np.zeros((4, 5, 3), np.uint8), ids, None, scheme, "m")
    color = written("color", tmp_path, given).reshape(-1, 3)
    assert color[:19].tolist() == [list(c) for c in scheme.colors]
    assert color[19].tolist() == [0, 0, 0]
    label_ids = written("labelids", tmp_path, given).ravel()
    assert (label_ids[0], label_ids[10], label_ids[18], label_ids[19]) == (7, 23, 33, 0)
    coco = json.loads(written("coco-rle", tmp_path, given).read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    found = [names[one["category_id"]] for one in coco["annotations"]]
    assert found == list(names.values()) == list(scheme.class_names)
    assert min(names) == 1  # as COCO counts
    assert all(one["area"] == 1 for one in coco["annotations"])


def test_annotations_of_several_photos_count_on_and_name_their_photo():
    ids = np.zeros((4, 6), np.uint8)
    ids[:2], ids[2:, :3] = 10, 2
    given = Prediction(np.zeros((4, 6, 3), np.uint8), ids, None, SCHEMES["cityscapes19"], "m")
    sky = replace(given, ids=np.full((4, 6), 10, np.uint8))
    photos = [coco_image(name, one) for name, one in (("a", given), ("b", sky))]
    coco = json.loads(render_coco(photos))
    assert [(one["id"], one["file_name"]) for one in coco["images"]] == [(1, "a"), (2, "b")]
    found = [
        (one["id"], one["image_id"], one["category_id"], one["area"], one["bbox"])
        for one in coco["annotations"]
    ]
    assert found == [
        (1, 1, 1, 6, [3, 2, 3, 2]),
        (2, 1, 3, 6, [0, 2, 3, 2]),
        (3, 1, 11, 12, [0, 0, 6, 2]),
        (4, 2, 11, 24, [0, 0, 6, 4]),
    ]


def decode_rle(rle):
    """The inverse, after rleFrString and rleDecode of the COCO API."""
    counts, text, at = [], rle["counts"], 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << (5 * shift)
            more = bool(bits & 0x20)
            at, shift = at + 1, shift + 1
            if not more and bits & 0x10:
                value |= -1 << (5 * shift)
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    flat = np.concatenate([np.full(n, i % 2, bool) for i, n in enumerate(counts)])
    return flat.reshape(rle["size"], order="F")


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
def test_run_lengths_decode_to_the_mask(share):
    mask = np.random.default_rng(1).random((61, 83)) < share
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)
    wide = np.zeros((500, 400), bool)
    wide[100:300, 50:350] = share
    np.testing.assert_array_equal(decode_rle(encode_rle(wide)), wide)


def test_a_known_run_length_text():
    # Of pycocotools: encode(np.asfortranarray([[0, 1], [0, 1]])) and of all ones.
    assert encode_rle(np.array([[0, 1], [0, 1]], bool))["counts"] == "22"
    assert encode_rle(np.ones((2, 2), bool))["counts"] == "04"


# --- photos that EXIF turns ---

# What becomes of the pixels of each format; a new one must be decided here too.
STORED = {"colmap", "nerfstudio", "metashape"}
PICTURES = [kind for kind in FORMATS if Path(FORMATS[kind].name).suffix == ".png"]


def turned(orientation):
    """A prediction of an upright drawing whose file stores its pixels otherwise."""
    drawn = prediction()
    sky, ids = drawn.sky.copy(), drawn.ids.copy()
    sky[:20, :30], ids[:20, :30] = 0.1, 0  # no symmetry that would hide a wrong turn
    return replace(drawn, sky=sky, ids=ids, metadata=PhotoMetadata(orientation))


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_format_lies_as_its_reader_sees_the_photo(kind, orientation, tmp_path):
    upright = written(kind, tmp_path, turned(1))
    found = written(kind, tmp_path, turned(orientation))
    wanted = turn(upright, UNTURNED[orientation]) if kind in STORED else upright
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("orientation", [1, 6])
def test_arrays_and_figures_are_upright(orientation, tmp_path):
    given = turned(orientation)
    assert np.array_equal(np.load(written("npy", tmp_path, given)), given.sky)
    assert json.loads(written("json", tmp_path, given).read_text())["height"] == 60
    coco = json.loads(written("coco-rle", tmp_path, given).read_text())
    mask = decode_rle(coco["annotations"][0]["segmentation"])
    assert np.array_equal(mask, given.is_sky)
    assert coco["annotations"][0]["bbox"] == [30, 0, 60, 20]
    assert coco["annotations"][0]["area"] == 60 * 20
    assert coco["images"][0] == {"id": 1, "file_name": "street.JPG", "height": 60, "width": 90}


def test_what_is_not_turned_says_so():
    for kind, form in FORMATS.items():
        assert ("not turned by EXIF" in form.about) == (kind in STORED), kind
        assert "`" not in form.about, kind  # it is shown to people


@pytest.mark.parametrize("kind", ["rgba-sky", "rgba-nosky", "overlay"])
@pytest.mark.parametrize("file_kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_pictures_of_the_photo_keep_its_colors_and_its_camera(kind, file_kind, tmp_path):
    """Saturation 128 became 103 where the profile was lost; turned twice, a cut-out lay aside."""
    profile = wide_gamut()
    content = encode_stored(blue_photo(), file_kind, 6, camera_exif(60, 90), icc_profile=profile)
    photo = decode_photo(content, "x")
    given = replace(prediction(), image=photo.image, metadata=photo.metadata)
    with Image.open(io.BytesIO(encode_prediction(kind, given, "x.jpg")[1])) as picture:
        assert picture.info["icc_profile"] == profile
        exif = picture.getexif()
        assert exif.get_ifd(CAMERA)[ExifTags.Base.FocalLength] == 26.5
        seen = np.asarray(ImageOps.exif_transpose(picture))  # what a viewer shows
    assert seen.shape[:2] == (60, 90)
    assert np.array_equal(seen[25:, :, :3], photo.image[25:])  # the very values of the file


def test_masks_carry_no_camera():
    given = replace(prediction(), metadata=PhotoMetadata(1, wide_gamut(), b"Exif\0\0MM\0*"))
    for kind in ("mask", "colmap", "alpha16", "labelids"):
        info = Image.open(io.BytesIO(encode_prediction(kind, given, "x")[1])).info
        assert not {"exif", "icc_profile"} & set(info)


# --- outputs beside the photos ---


@pytest.mark.parametrize("kind", PICTURES)
def test_what_is_written_here_is_no_photo(kind, tmp_path):
    photo, target = tmp_path / "street.JPG", tmp_path / output_name(kind, Path("street.JPG"))
    Image.fromarray(blue_photo()).save(photo)
    FORMATS[kind].write(prediction(), target)
    assert software_of(target) == SOFTWARE
    assert without_outputs([photo, target]) == [photo]


def test_masks_of_others_are_known_by_their_names_alone(tmp_path):
    names = ["a.jpg", "a_mask.png", "a.jpg.png", "a.png", "b_mask.png", "mask.png", "c.webp"]
    for name in names:
        Image.fromarray(blue_photo()).save(tmp_path / name)
    found = without_outputs([tmp_path / name for name in names])
    assert [path.name for path in found] == ["a.jpg", "a.png", "b_mask.png", "mask.png", "c.webp"]


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"\x89PNG\r\n\x1a\n" + bytes(10_000_000)])
def test_looking_for_the_mark_ends_soon_in_damaged_files(content, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    assert software_of(tmp_path / "x.png") is None


def test_what_a_format_says_of_several_classes():
    streets, sky = SCHEMES["idd7"], SCHEMES["sky"]
    assert "drivable #804080, " in in_words("color", streets)
    assert in_words("labelids", streets).endswith(
        "0 is also what has no labelId there: non-drivable, roadside objects, far objects"
    )
    for kind in ("color", "labelids", "mask"):
        assert in_words(kind, sky) == FORMATS[kind].about


def test_what_is_written_where_nobody_says():
    rows = [{"name": "sky"}, {"name": "rest", "labels": ["road"]}]
    sky_first = parse_scheme({"classes": rows}, "x")
    without = parse_scheme({"classes": [{"name": "leaf"}, {"name": "pest"}]}, "x")
    schemes = SCHEMES["sky"], sky_first, SCHEMES["cityscapes19"], without
    assert [default_format(scheme) for scheme in schemes] == ["mask", "mask", "color", "color"]


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_that_need_no_probabilities_write_the_same_without(kind):
    ids = np.zeros((40, 60), np.uint8)
    ids[:20, 10:] = 1
    whole = Prediction(blue_photo(40, 60), ids, 0.8 * ids.astype(np.float32), SCHEMES["sky"], "m")
    one, other = (encode_prediction(kind, p, "a.jpg")[1] for p in (whole, replace(whole, sky=None)))
    assert (one == other) is not FORMATS[kind].needs_probabilities
