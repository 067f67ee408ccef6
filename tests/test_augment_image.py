import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from skyseg_tf.data.augment.camera import augment
from skyseg_tf.data.augment.photo import augment_image
from skyseg_tf.data.augment.settings import Augmentation, Range
from skyseg_tf.errors import InputError


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_a_photo_gets_the_gamma_and_saturation_asked_for(photo):
    before = read(photo)
    out = augment_image(photo, 0.5, 1.0)
    assert out == photo.with_name("a_augmented.png")
    assert np.abs(read(out) - 255 * (before / 255) ** 0.5).max() <= 0.51
    np.testing.assert_array_equal(read(photo), before)
    grey = read(augment_image(photo, 1.0, 0.0))
    luma = before @ [0.299, 0.587, 0.114]
    assert np.abs(grey - luma[..., None]).max() <= 0.51
    np.testing.assert_array_equal(read(augment_image(photo, 1.0, 1.0)), before)


def test_it_is_what_the_training_sees(photo):
    settings = Augmentation(gamma=Range(0.7, 0.7), saturation=Range(1.4, 1.4))
    mask = tf.zeros((20, 30), tf.uint8)
    seen, _ = augment(
        tf.constant(read(photo), tf.float32), mask, tf.constant([0, 0]), settings=settings
    )
    assert np.abs(read(augment_image(photo, 0.7, 1.4)) - seen.numpy()).max() <= 1.01


def test_numbers_that_are_not_given_are_drawn_from_half_to_one_and_a_half(photo, monkeypatch):
    used = []
    monkeypatch.setattr(
        "skyseg_tf.data.augment.effects.gamma", lambda image, value: used.append(value) or image
    )
    for seed in range(200):
        augment_image(photo, saturation=1.0, seed=seed)
    assert 0.5 <= min(used) < 0.52
    assert 1.48 < max(used) <= 1.5
    assert np.mean(used) == pytest.approx(1.0, abs=0.07)


def test_a_seed_repeats(photo, tmp_path):
    first, same, other = (
        read(augment_image(photo, out=tmp_path / f"{i}.png", seed=seed))
        for i, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 5


def test_name_profile_and_camera(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "Maker"
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a.JPG", exif=exif)
    with Image.open(augment_image(tmp_path / "a.JPG")) as made:
        assert made.filename.endswith("a_augmented.JPG")
        assert made.size == (20, 30)
        assert made.getexif()[ExifTags.Base.Orientation] == 1
        assert made.getexif()[ExifTags.Base.Make] == "Maker"
    cv2.imwrite(str(tmp_path / "b.tif"), np.zeros((4, 5, 3), np.uint8))
    assert augment_image(tmp_path / "b.tif").name == "b_augmented.png"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gamma": 0.0}, "gamma 0.0: must be"),
        ({"gamma": float("nan")}, "gamma nan: must be"),
        ({"saturation": -1.0}, "saturation -1.0: must be"),
        ({"out": "x.gif"}, "must end in"),
        ({"out": "a.png"}, "is the photo itself"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(photo, options, says):
    if "out" in options:
        options = options | {"out": photo.with_name(options["out"])}
    with pytest.raises(InputError, match=says) as error:
        augment_image(photo, **options)
    assert "\n" not in str(error.value)
    assert [path.name for path in photo.parent.iterdir()] == ["a.png"]


def test_damaged_missing_and_archived_photos(photo):
    photo.write_bytes(photo.read_bytes()[:60])
    with pytest.raises(InputError, match=r"a\.png"):
        augment_image(photo)
    with pytest.raises(FileNotFoundError):
        augment_image(photo.with_name("none.png"))
    with pytest.raises(InputError, match="archive"):
        augment_image("photos.zip!a.png")
