"""Each effect against OpenCV, Pillow or numpy."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from skyseg_tf.data.augment import effects

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 20, 3)).astype(np.float32)
    # The mask can be told from the image, so that it is seen whether they move together.
    return image, (image[..., 0] > 127).astype(np.uint8)


@pytest.fixture
def smooth():
    """(48, 64, 3): noise on the scale of a few pixels."""
    noise = np.random.default_rng(1).uniform(0, 255, (48, 64, 3)).astype(np.float32)
    return np.clip(128 + 4 * (cv2.GaussianBlur(noise, None, 3) - 128), 0, 255)


def warp(image, mask, **options):
    matrix = effects.placement(mask.shape, **options)
    moved, mask = effects.warp(image[None], mask, matrix)
    return moved[0], mask, matrix


def test_warp_by_nothing_is_exact(pair):
    image, mask, _ = warp(*pair)
    assert np.array_equal(image, pair[0])
    assert np.array_equal(mask, pair[1])


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({"flip": True}, lambda a: a[:, ::-1]),
        ({"angle": np.float32(np.pi)}, lambda a: a[::-1, ::-1]),
        ({"shift": (2.0, 3.0)}, lambda a: np.roll(a, (2, 3), (0, 1))),
    ],
)
def test_warp_against_numpy(pair, options, reference):
    image, mask, _ = warp(*pair, **options)
    inside = mask != 255
    assert inside.mean() > 0.6
    np.testing.assert_allclose(image[inside], reference(pair[0])[inside], atol=0.1)
    assert np.array_equal(mask[inside], reference(pair[1])[inside])


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 1.7, "shift": (5.0, -8.0)},
        {"scale": 0.6, "shift": (3.0, 4.0), "flip": True},
        {"scale": 1.2, "angle": 0.3, "shift": (2.0, 1.0)},
        {"angle": -0.1, "perspective": (0.15, -0.1), "flip": True},
        {"perspective": (-0.2, 0.1)},
    ],
)
def test_warp_against_opencv(smooth, options):
    mask = (smooth[..., 1] > 127).astype(np.uint8)
    image, moved, matrix = warp(smooth, mask, **options)
    size, inverse = mask.shape[::-1], cv2.WARP_INVERSE_MAP
    expected = cv2.warpPerspective(smooth, matrix, size, flags=inverse | cv2.INTER_LINEAR)
    labels = cv2.warpPerspective(
        mask, matrix, size, flags=inverse | cv2.INTER_NEAREST, borderValue=255
    )
    # OpenCV may round coordinates to 1/32 pixel, and the outermost pixels fade to the outside.
    inside = cv2.erode((labels != 255).astype(np.uint8), np.ones((5, 5)), borderValue=0) > 0
    assert inside.mean() > 0.2
    assert np.abs(image - expected)[inside].max() < 3
    assert (moved == labels)[inside].mean() > 0.97
    assert ((moved == 255) == (labels == 255)).mean() > 0.93


@pytest.mark.parametrize(("scale", "flip"), [(2.0, False), (2.0, True), (0.5, True), (1.0, True)])
def test_zoom_is_the_warp_without_turns(smooth, scale, flip):
    mask = (smooth[..., 1] > 127).astype(np.uint8)
    away = abs(scale - 1) / 2
    # An enlarged picture that lies low shows its upper part; a small one that lies high lies high.
    shift = (away * 48, 0.0) if scale > 1 else (-away * 48, 0.0)
    image, labels, _ = warp(smooth, mask, scale=scale, shift=shift, flip=flip)
    place = (0.0, 0.5)
    zoomed, moved = effects.zoom(smooth[None], mask, scale, place, flip)
    assert (moved == labels).mean() > 0.97
    assert np.abs(zoomed[0] - image)[2:-2, 2:-2].mean() < 1.5


def test_perspective_shrinks_the_named_edges(smooth):
    width_of_row = lambda m, y: np.diff([(m[0] @ p) / (m[2] @ p) for p in ([0, y, 1], [63, y, 1])])  # noqa: E731
    matrix = effects.placement((48, 64), perspective=(0.2, 0.0))
    # The lower edge shows less of the source.
    assert width_of_row(matrix, 47) < 63 < width_of_row(matrix, 0)


def test_what_comes_from_outside_is_ignored(pair):
    image, mask, _ = warp(*pair, scale=0.5)
    assert (mask == 255).mean() == pytest.approx(0.75, abs=0.07)
    assert (image[mask == 255] == 0).all()


def test_defocus_against_opencv(smooth):
    blurred = effects.defocus(smooth, 1.3)
    expected = cv2.GaussianBlur(smooth, (11, 11), 1.3, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(blurred, expected, atol=0.02)


@pytest.mark.parametrize("upright", [False, True])
def test_motion_blur_against_opencv(smooth, upright):
    angle = np.float32(np.pi / 2 if upright else 0)
    blurred = effects.motion_blur(smooth, 8.0, angle)
    kernel = np.full((9, 1) if upright else (1, 9), 1 / 9, np.float32)
    expected = cv2.filter2D(smooth, -1, kernel, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(blurred, expected, atol=0.02)


def test_sensor_noise_is_normal_and_grows_with_the_light():
    spread = {}
    for level in (0.0, 255.0):
        flat, rng = np.full((128, 128, 3), level, np.float32), np.random.default_rng((1, 2))
        noisy = np.stack([effects.sensor_noise(flat, rng, 9.0) for _ in range(2)]) - level
        spread[level] = noisy.std()
        assert abs(noisy.mean()) < 0.1
        # 68.3 % and 95.4 % of a normal distribution, and no pixel, channel or frame like the next.
        assert (np.abs(noisy) < noisy.std()).mean() == pytest.approx(0.683, abs=0.03)
        assert (np.abs(noisy) < 2 * noisy.std()).mean() == pytest.approx(0.954, abs=0.02)
        for other in (noisy[:, 1:, 1:], noisy[..., ::-1], noisy[::-1]):
            cut = noisy[:, : other.shape[1], : other.shape[2]]
            assert abs(np.corrcoef(cut[..., 0].ravel(), other[..., 0].ravel())[0, 1]) < 0.02
    assert spread[255.0] == pytest.approx(9, rel=0.02)
    assert spread[0.0] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("quality", [15, 60, 92])
def test_jpeg_against_pillow(smooth, quality):
    file = io.BytesIO()
    Image.fromarray(np.rint(smooth).astype(np.uint8)).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file), np.float32)
    squeezed = effects.jpeg(np.rint(smooth).astype(np.uint8), quality).astype(np.float32)
    assert np.abs(squeezed - expected).mean() < 0.5 < np.abs(squeezed - smooth).mean() + 0.4


def test_gamma_against_numpy(pair):
    np.testing.assert_allclose(
        effects.gamma(pair[0], 0.5), 255 * np.sqrt(pair[0] / 255), rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(effects.gamma(np.float32([-3, 0, 300]), 1.5), [0, 0, 255], atol=1e-3)


def turned(image, degrees):
    """Rodrigues' rotation of the colors about grey, then the old luma again."""
    grey = np.ones(3) / np.sqrt(3)
    matrix, _ = cv2.Rodrigues(grey * np.deg2rad(degrees))
    chroma = (image - (image @ LUMA)[..., None]) @ matrix  # as row vectors: the inverse turn
    return chroma - (chroma @ LUMA)[..., None] + (image @ LUMA)[..., None]


def test_colors_against_numpy(smooth):
    image = (64 + smooth / 2).astype(np.float32)  # far from clipping
    grey = (image @ LUMA)[..., None]
    same = lambda given, expected: np.testing.assert_allclose(  # noqa: E731
        effects.adjust_colors(image, **given), expected, atol=0.02
    )
    same({}, image)
    same({"saturation": 0.0}, grey.repeat(3, -1))
    same({"saturation": 1.5}, grey + 1.5 * (image - grey))
    same({"contrast": 0.0}, np.full_like(image, image.mean()))
    same({"contrast": 1.3}, image.mean() + 1.3 * (image - image.mean()))
    same({"brightness": -9.0}, image - 9)
    same({"tint": (1.1, 1.0, 0.9)}, image * [1.1, 1.0, 0.9])
    same({"hue": np.float32(np.deg2rad(25))}, turned(image, -25))
    assert effects.adjust_colors(image, brightness=300.0).max() == 255


@pytest.mark.parametrize(
    "effect",
    [
        lambda image: effects.defocus(image, 1.3),
        lambda image: effects.motion_blur(image, 8.0, 0.7),
        lambda image: effects.sensor_noise(image, np.random.default_rng(3), 9.0),
        lambda image: effects.adjust_colors(image, saturation=1.4, hue=0.2, contrast=0.8),
        lambda image: warp(image, image[..., 0], scale=1.5, angle=0.1)[0],
    ],
)
def test_bytes_are_the_rounded_floats(smooth, effect):
    image = np.rint(smooth).astype(np.uint8)
    exact, quick = effect(image.astype(np.float32)), effect(image)
    assert quick.dtype == np.uint8
    np.testing.assert_allclose(quick, np.clip(exact, 0, 255), atol=1.6)


def test_tones_of_a_table(pair):
    image = pair[0].astype(np.uint8)
    table = effects.tone_table(1.4, 0.6)
    np.testing.assert_allclose(table[image], effects.gamma(1.4 * image, 0.6), atol=0.5)
