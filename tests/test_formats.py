import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_models import blue_photo
from PIL import Image

from skyseg_tf.formats import (
    FORMATS,
    encode_prediction,
    encode_rle,
    horizon_line,
    output_name,
    sky_facts,
)
from skyseg_tf.images import SKY_TINT
from skyseg_tf.labels import SCHEMES
from skyseg_tf.prediction import Prediction


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
    path = tmp_path / output_name(kind, Path("street.JPG"))
    FORMATS[kind].write(given or prediction(), path)
    return np.asarray(Image.open(path)) if path.suffix == ".png" else path


# format: value in the sky, value below, file name
POLARITY = {
    "mask": (255, 0, "street.png"),
    "keep-mask": (0, 255, "street.png"),
    "colmap": (0, 255, "street.JPG.png"),
    "odm": (0, 255, "street_mask.png"),
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
    """Its tint is far from the sky's own colour, by day, under clouds, at dusk and at night."""
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
    FORMATS[kind].write(prediction(), tmp_path / name)
    assert content == (tmp_path / name).read_bytes()
    long = "x" * 300 + ".jpg"  # no file system takes it
    assert encode_prediction(kind, prediction(), long)[1] == content
    assert encode_prediction(kind, prediction(), "")[0].startswith("photo")


def test_no_sky_is_an_empty_mask_and_said(tmp_path):
    none = prediction(share=0)
    assert not written("mask", tmp_path, none).any()
    assert (written("keep-mask", tmp_path, none) == 255).all()
    assert written("alpha8", tmp_path, none).max() == 26  # not stretched
    facts = json.loads(written("json", tmp_path, none).read_text())
    assert (facts["sky"], facts["sky_share"], facts["horizon"]) == (False, 0, None)
    assert json.loads(written("coco-rle", tmp_path, none).read_text()) == []


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
    assert rows[0]["sky"] == "True"
    np.testing.assert_array_equal(np.load(written("npy", tmp_path)), prediction().sky)


def test_the_horizon_is_a_line_that_towers_do_not_bend():
    y, x = np.mgrid[:200, :300]
    is_sky = y < 80 + x * 0.1
    is_sky[40:, 100:130] = False
    line = horizon_line(is_sky)
    assert line["left"] == pytest.approx(0.4, abs=0.01)
    assert line["right"] == pytest.approx(0.55, abs=0.01)
    assert horizon_line(np.zeros((20, 20), bool)) is None


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
    annotations = json.loads(written("coco-rle", tmp_path, given).read_text())
    assert [a["category"] for a in annotations] == list(scheme.class_names)
    assert all(a["area"] == 1 for a in annotations)


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
