import dataclasses
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_models import blue_model, blue_photo
from PIL import ExifTags, Image, ImageCms

from skyseg_tf.compositing.replacement import compose, in_profile, match_colors
from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.prediction import Prediction
from skyseg_tf.replace import ReplaceConfig, replace


def seen(photo, sky):
    scheme = SCHEMES["sky"]
    ids = (sky > 0.5).astype(np.uint8)
    return Prediction(photo, ids, sky.astype(np.float32), scheme, "m")


def test_a_sky_changes_and_the_rest_stays(tmp_path):
    model = str(blue_model(tmp_path / "m.onnx", long_side=128))
    Image.fromarray(blue_photo(240, 360)).save(tmp_path / "photo.png")
    Image.new("RGB", (50, 40), (160, 20, 255)).save(tmp_path / "sky.png")
    config = ReplaceConfig(
        tmp_path / "photo.png",
        sky=tmp_path / "sky.png",
        out=tmp_path / "new.png",
        strength=0,
        model=model,
    )
    result = np.asarray(Image.open(replace(config))).astype(int)
    assert np.abs(result[:75] - (160, 20, 255)).max() <= 3
    assert np.abs(result[90:] - (120, 90, 60)).max() <= 3
    Image.new("RGB", (90, 90), (90, 90, 60)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="no sky to replace"):
        replace(config)
    (tmp_path / "album.jpg").mkdir()
    with pytest.raises(InputError, match=r"album\.jpg: is a folder; give the name of a file"):
        replace(dataclasses.replace(config, out=tmp_path / "album.jpg"))
    with pytest.raises(InputError, match="a file is in the way"):
        replace(dataclasses.replace(config, out=tmp_path / "new.png" / "deep.png"))
    with pytest.raises(InputError, match="strength"):
        replace(ReplaceConfig(tmp_path / "photo.png", sky=tmp_path / "sky.png", strength=2.0))


@pytest.mark.parametrize(
    ("photo", "written"),
    [("photos/a.jpg", "photos/a_sky.jpg"), ("photos/a.zip!b/c.png", "c_sky.jpg")],
)
def test_without_a_name_the_result_lies_beside_the_photo(tmp_path, monkeypatch, photo, written):
    monkeypatch.chdir(tmp_path)
    model = str(blue_model(tmp_path / "m.onnx", long_side=128))
    (tmp_path / "photos").mkdir()
    Image.fromarray(blue_photo()).save("photos/a.jpg")
    with zipfile.ZipFile("photos/a.zip", "w") as archive:
        archive.write("photos/a.jpg", "b/c.png")
    config = ReplaceConfig(Path(photo), sky=tmp_path / "photos/a.jpg", model=model)
    assert replace(config) == Path(written)
    assert (tmp_path / written).is_file()


def test_no_old_sky_shines_round_branches():
    old, new, branch = (
        np.array([200, 220, 250.0]),
        np.array([250, 140, 60]),
        np.array([40, 30, 20.0]),
    )
    alpha = np.ones((120, 160), np.float32)
    alpha[:, 50:57] = (0.6, 0.35, 0, 0, 0, 0.35, 0.6)
    photo = (alpha[..., None] * old + (1 - alpha[..., None]) * branch).round().astype(np.uint8)
    sky = np.broadcast_to(new, (60, 60, 3)).astype(np.uint8)
    result = compose(seen(photo, 0.2 + 0.6 * alpha), sky, np.ones((60, 60), bool), 0.0)
    truth = alpha[..., None] * new + (1 - alpha[..., None]) * branch
    assert np.abs(result - truth).max() < 12


def test_land_of_the_other_photo_stays_there(tmp_path):
    model = str(blue_model(tmp_path / "m.onnx", long_side=128))
    Image.fromarray(blue_photo(240, 360)).save(tmp_path / "photo.png")
    other = np.full((200, 300, 3), (250, 20, 10), np.uint8)  # a gap between red houses
    other[:60, 120:180] = (70, 100, 250)
    Image.fromarray(other).save(tmp_path / "other.png")
    config = ReplaceConfig(
        tmp_path / "photo.png",
        sky=tmp_path / "other.png",
        out=tmp_path / "new.png",
        strength=0,
        model=model,
    )
    result = np.asarray(Image.open(replace(config))).astype(int)
    assert np.abs(result[:75] - (70, 100, 250)).max() <= 4
    assert np.abs(result[90:] - (120, 90, 60)).max() <= 3
    Image.new("RGB", (90, 90), (90, 90, 60)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match=r"other\.png: too little sky to take \(0\.0 %"):
        replace(config)
    result = np.asarray(Image.open(replace(dataclasses.replace(config, all_sky=True))))
    assert np.abs(result[:75].astype(int) - (90, 90, 60)).max() <= 4


def test_profile_camera_and_place_are_the_photos_own(tmp_path):
    model = str(blue_model(tmp_path / "m.onnx", long_side=128))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "Maker"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLength] = 35.0
    stored = np.rot90(blue_photo(240, 360))  # orientation 6: turned by 90 degrees for display
    profile = swapped_profile()
    Image.fromarray(np.ascontiguousarray(stored)).save(
        tmp_path / "photo.jpg", exif=exif, icc_profile=profile, quality=98, subsampling=0
    )
    Image.new("RGB", (90, 60), (70, 100, 250)).save(tmp_path / "other.png")
    config = ReplaceConfig(
        tmp_path / "photo.jpg",
        sky=tmp_path / "other.png",
        out=tmp_path / "new.png",
        strength=0,
        model=model,
    )
    with Image.open(replace(config)) as made:
        assert made.size == (360, 240)
        assert made.info["icc_profile"] == profile
        tags = made.getexif()
        assert tags[ExifTags.Base.Orientation] == 1
        assert tags[ExifTags.Base.Make] == "Maker"
        assert tags.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
        assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLength] == 35


def swapped_profile() -> bytes:
    """sRGB's profile with the primaries of red and green exchanged."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return content.replace(b"rXYZ", b"____").replace(b"gXYZ", b"rXYZ").replace(b"____", b"gXYZ")


def test_the_new_sky_keeps_its_colors_in_another_profile():
    image = np.full((4, 5, 3), (200, 50, 120), np.uint8)
    moved = in_profile(image, None, swapped_profile())
    assert np.abs(moved.astype(int) - (50, 200, 120)).max() <= 2
    assert np.abs(in_profile(moved, swapped_profile(), None).astype(int) - image).max() <= 3
    np.testing.assert_array_equal(in_profile(image, None, b"damaged"), image)
    assert in_profile(image, b"same", b"same") is image


def test_colors_move_towards_the_new_sky_by_strength():
    rng = np.random.default_rng(0)
    front = rng.uniform(60, 140, (40, 50, 3)).astype(np.float32)
    backdrop = np.full((40, 50, 3), (250, 150, 90), np.float32)
    weight = np.ones((40, 50), np.float32)

    def warmth(image):
        return cv2.cvtColor(image / np.float32(255), cv2.COLOR_RGB2Lab)[..., 1:].mean(0).mean(0)

    at = [warmth(match_colors(front, weight, backdrop, s)) for s in (0.0, 0.4, 1.0)]
    assert (at[0] < at[1]).all()
    assert (at[1] < at[2]).all()
    assert (at[2] < warmth(backdrop)).all()
    np.testing.assert_array_equal(match_colors(front, weight, backdrop, 0), front)
