import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from skyseg_tf import images
from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.scoring.plots import plot_iou_scores, plot_predictions, prediction_pictures


def encoded(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def test_png_is_read_exactly(photo, tmp_path):
    images.write_image(tmp_path / "a b" / "ü.png", photo)
    assert np.array_equal(images.read_image(tmp_path / "a b" / "ü.png"), photo)
    assert images.image_size(tmp_path / "a b" / "ü.png") == (12, 20)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(photo, mode):
    picture = Image.fromarray(photo).convert(mode)
    content = encoded(picture, format="TIFF" if mode == "CMYK" else "PNG")
    image = images.decode_image(content, "x")
    assert image.shape == (12, 20, 3)
    assert image.dtype == np.uint8


def test_sixteen_bit_grey_keeps_its_range():
    values = np.array([[0, 257 * 7, 65535]], np.uint16)
    image = images.decode_image(encoded(Image.fromarray(values), format="PNG"), "x")
    assert image[0, :, 0].tolist() == [0, 7, 255]


def test_exif_orientation_turns_the_photo(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "tif", "webp"):
        Image.fromarray(photo).save(tmp_path / f"a.{suffix}", exif=exif)
        assert images.read_image(tmp_path / f"a.{suffix}").shape == (20, 12, 3)
        assert images.image_size(tmp_path / f"a.{suffix}") == (20, 12)


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_truncated_files_are_refused_and_named(photo, suffix):
    big = np.kron(photo, np.ones((8, 8, 1), np.uint8))
    content = encoded(Image.fromarray(big), format=suffix)
    for cut in (10, len(content) // 2, len(content) - 20):
        with pytest.raises(InputError, match="street"):
            images.decode_image(content[:cut], "street")


def test_a_flipped_byte_inside_a_png_is_refused(photo):
    content = bytearray(encoded(Image.fromarray(photo), format="PNG"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged"):
        images.decode_image(bytes(content), "street")


def test_palette_masks_keep_their_indices():
    picture = Image.fromarray(np.array([[0, 1, 11]], np.uint8), "P")
    picture.putpalette([9] * 768)
    assert images.decode_mask_file(encoded(picture, format="PNG"), "x").tolist() == [[0, 1, 11]]


def test_instance_ids_are_refused_as_masks():
    with pytest.raises(InputError, match="labelIds"):
        images.decode_mask_file(
            encoded(Image.fromarray(np.array([[26001]], np.uint16)), format="PNG"), "x"
        )


def test_pixel_limit(monkeypatch, photo):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="exceed the limit"):
        images.decode_image(encoded(Image.fromarray(photo), format="PNG"), "x")


def test_zip_members(photo, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b/c.png", encoded(Image.fromarray(photo), format="PNG"))
    assert np.array_equal(images.read_image(f"{tmp_path}/a.zip!b/c.png"), photo)
    assert images.image_size(f"{tmp_path}/a.zip!b/c.png") == (12, 20)
    with pytest.raises(FileNotFoundError, match="no such member"):
        images.read_image(f"{tmp_path}/a.zip!b/d.png")


def test_area_mean_and_nearest_centres():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    assert images.resize_image(image, (2, 2))[0, 0, 0] in (2, 3)  # mean of 0 1 4 5
    mask = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert images.resize_mask(mask, (1, 1))[0, 0] == 4


def test_overlay_keeps_ignored_pixels(photo):
    mask = np.full((12, 20), 255, np.uint8)
    assert np.array_equal(images.overlay(photo, mask, np.zeros((256, 3), np.uint8)), photo)


def test_a_size_of_some_height_keeps_the_aspect():
    assert images.size_of_height(128, (1024, 2048)) == (128, 256)
    assert images.size_of_height(128, (720, 960)) == (128, 160)  # 170.7 is between 160 and 192
    assert images.size_of_height(96, (3000, 500)) == (96, 32)


def test_outline_lies_inside_and_leaves_the_pictures_edge_alone():
    mask = np.zeros((40, 60), np.uint8)
    mask[:20, 10:] = 1
    edge = images.outline(mask, 3)
    wanted = mask.copy()
    wanted[:17, 13:] = 0
    assert np.array_equal(edge, wanted)
    assert [images.outline_width((rows, 4 * rows)) for rows in (9, 500, 1080, 3000)] == [1, 1, 2, 6]


def test_overlay_of_the_sky_is_the_mean_with_its_tint():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    is_sky = np.zeros((40, 60), bool)
    is_sky[:20] = True
    before = photo.copy()
    tinted = images.overlay_sky(photo, is_sky, 0.25)
    wanted = 0.75 * photo + 0.25 * np.array(images.SKY_TINT)
    assert np.abs(tinted - wanted)[:19].max() <= 0.51
    assert (tinted[19] == images.SKY_TINT).all()
    assert np.array_equal(tinted[20:], photo[20:])
    assert np.array_equal(photo, before)
    assert np.array_equal(images.overlay_sky(photo, np.zeros_like(is_sky)), photo)


def test_a_prediction_shows_on_a_sky_of_the_classes_own_color():
    scheme = SCHEMES["sky"]
    photo = np.full((40, 60, 3), scheme.colors[1], np.uint8)
    truth = np.ones((40, 60), np.uint8)
    pred = truth.copy()
    pred[20:] = 0
    shown = prediction_pictures(photo, truth, pred, scheme)[2]
    assert (np.abs(shown[:20].astype(int) - photo[:20]).max(-1) > 50).all()
    assert np.array_equal(shown[20:], photo[20:])
    many = images.draw_overlay(photo, pred, SCHEMES["streets11"])
    assert np.array_equal(many, images.overlay(photo, pred, SCHEMES["streets11"].palette))


def test_bars_tell_classes_without_an_iou_from_those_that_are_not_labeled():
    """A class that is predicted though never labeled has an IoU of 0, and a bar."""
    scheme = SCHEMES["idd7"]
    values = np.array([0.9, 0.0, np.nan, 0.5, 0.4, 0.3, np.nan])
    figure = plot_iou_scores(values, 0.42, scheme, "a network", "how it was measured")
    title, below = (text.get_text() for text in figure.texts)
    assert title == "a network: mean IoU 0.420"
    assert below == "how it was measured\nneither labeled nor predicted: living things, sky"
    shown = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert shown == set(scheme.class_names) - {"living things", "sky"}


def test_a_sheet_of_predictions_says_what_its_pictures_are(photo):
    ids = np.zeros(photo.shape[:2], np.uint8)
    sheets = ([photo], [ids], [ids], SCHEMES["sky"], "a network")
    for options, told in (({}, "photo"), ({"first": "drawing"}, "drawing")):
        assert plot_predictions(*sheets, **options).axes[0].get_title() == told
