import cv2
import numpy as np
import pytest
from drawn_models import blue_model, blue_photo
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.prediction import Prediction
from skyseg_tf.replace import ReplaceConfig, compose, crop_sky, match_colors, place_sky, replace


def seen(photo, sky):
    scheme = SCHEMES["sky"]
    ids = (sky > 0.5).astype(np.uint8)
    return Prediction(photo, ids, sky.astype(np.float32), scheme, "m")


def test_a_sky_changes_and_the_rest_stays(tmp_path):
    model = str(blue_model(tmp_path / "m.onnx", long_side=128))
    Image.fromarray(blue_photo(240, 360)).save(tmp_path / "photo.png")
    Image.new("RGB", (50, 40), (160, 20, 255)).save(tmp_path / "sky.png")
    config = ReplaceConfig(
        tmp_path / "photo.png", tmp_path / "sky.png", tmp_path / "new.png", 0, model
    )
    result = np.asarray(Image.open(replace(config))).astype(int)
    assert np.abs(result[:75] - (160, 20, 255)).max() <= 3
    assert np.abs(result[90:] - (120, 90, 60)).max() <= 3
    Image.new("RGB", (90, 90), (90, 90, 60)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="no sky to replace"):
        replace(config)
    with pytest.raises(InputError, match="strength"):
        replace(ReplaceConfig(tmp_path / "photo.png", tmp_path / "sky.png", strength=2.0))


def test_no_old_sky_shines_round_branches():
    old, new, branch = (
        np.array([200, 220, 250.0]),
        np.array([250, 140, 60]),
        np.array([40, 30, 20.0]),
    )
    alpha = np.ones((120, 160), np.float32)
    alpha[:, 50:53] = (0.6, 0.35, 0.6)
    photo = (alpha[..., None] * old + (1 - alpha[..., None]) * branch).round().astype(np.uint8)
    sky = np.broadcast_to(new, (60, 60, 3)).astype(np.uint8)
    result = compose(seen(photo, 0.2 + 0.6 * alpha), sky, 0.0)
    truth = alpha[..., None] * new + (1 - alpha[..., None]) * branch
    assert np.abs(result - truth).max() < 6


def test_the_new_sky_covers_and_ends_at_the_horizon():
    is_sky = np.zeros((100, 200), bool)
    is_sky[:40] = True
    ramp = np.repeat(np.arange(50, dtype=np.uint8)[:, None, None] * 5, 20, 1).repeat(3, 2)
    placed = place_sky(ramp, is_sky)
    assert placed.shape == (100, 200, 3)
    assert placed[39].mean() == pytest.approx(245, abs=3)
    np.testing.assert_array_equal(placed[40:], np.broadcast_to(placed[39], (60, 200, 3)))
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[:40] = 9
    assert (crop_sky(seen(photo, is_sky)) == 9).all()
    assert crop_sky(seen(photo, is_sky)).shape == (40, 200, 3)
    assert crop_sky(seen(photo, np.zeros((100, 200)))).shape == photo.shape


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
