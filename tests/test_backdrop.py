import cv2
import numpy as np
import pytest

from skyseg_tf.compositing.backdrop import fill_smoothly, make_backdrop, sure_sky

SKY, LAND = (90, 150, 230), (250, 20, 10)


def donor(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """A photo of blue sky and red land, and its sky."""
    sky = np.zeros((180, 240), np.uint8)
    if shape == "wide":
        sky[:80] = 1
    elif shape == "street":
        cv2.fillPoly(sky, [np.array([[90, 0], [150, 0], [120, 110]])], 1)
    elif shape == "tilted":
        cv2.fillPoly(sky, [np.array([[0, 0], [239, 0], [239, 170]])], 1)
    elif shape == "tree":
        sky[:100] = 1
        for x in range(10, 240, 35):
            cv2.line(sky, (x, 120), (x + 12, 15), 0, 5)
    else:
        cv2.circle(sky, (120, 90), 70, 1, -1)
    return np.where(sky[..., None] > 0, np.uint8(SKY), np.uint8(LAND)), sky.astype(np.float32)


@pytest.mark.parametrize("shape", ["wide", "street", "tilted", "tree", "circle"])
@pytest.mark.parametrize("size", [(120, 200), (300, 500), (400, 90)])
def test_nothing_but_sky_comes_from_the_other_photo(shape, size):
    image, sky = donor(shape)
    needed = np.zeros(size, bool)
    needed[: size[0] * 2 // 3] = True
    backdrop = make_backdrop(image, sure_sky(sky), needed)
    assert backdrop.shape == (*size, 3)
    # A single pixel of land that were mixed in by a hundredth would show.
    np.testing.assert_allclose(backdrop, np.broadcast_to(SKY, backdrop.shape), atol=0.6)


def test_what_a_narrow_sky_leaves_bare_has_no_stripes():
    rng = np.random.default_rng(3)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, (180, 240)).astype(np.float32), None, 5)
    clouds = (150 + 60 * clouds / np.abs(clouds).max())[..., None] * np.ones(3)
    sky = donor("street")[1]
    image = np.where(sky[..., None] > 0, clouds, LAND).astype(np.uint8)
    backdrop = make_backdrop(image, sure_sky(sky), np.ones((200, 400), bool)).mean(-1)
    across, along = (np.abs(np.diff(backdrop, axis=axis)).mean() for axis in (1, 0))
    assert 0.6 < across / along < 1.7  # one row that goes on is 0 along and any number across
    assert np.abs(np.diff(backdrop, axis=0)).max() < 25  # no seam between two copies
    assert np.abs(np.diff(backdrop, axis=1)).max() < 25
    assert backdrop.std() > 5  # clouds, not one color


def test_a_tiny_photo_that_is_all_sky():
    image, sure = np.full((1, 1, 3), SKY, np.uint8), np.ones((1, 1), bool)
    with np.errstate(over="raise"):
        backdrop = make_backdrop(image, sure, np.ones((30, 40), bool))
    assert np.abs(backdrop - SKY).max() < 1


def test_a_sky_that_fits_is_taken_as_it_is():
    rows = np.linspace(0, 200, 100).round().astype(np.uint8)
    image = np.broadcast_to(rows[:, None, None], (100, 150, 3)).copy()
    needed = np.zeros((100, 150), bool)
    needed[:60] = True
    backdrop = make_backdrop(image, np.ones((100, 150), bool), needed)
    steps = np.diff(backdrop[5:55, 75, 0])
    assert steps.mean() == pytest.approx(200 / 99, abs=0.25)  # neither enlarged nor shrunken


def test_edges_and_small_regions_are_not_surely_sky():
    sky = np.zeros((200, 300), np.float32)
    sky[:80] = 1
    sky[150:156, 100:112] = 1  # a window
    sky[80:85] = 0.6
    sure = sure_sky(sky)
    assert sure[:76].all()
    assert not sure[79:].any()
    assert not sure_sky(np.zeros((50, 60), np.float32)).any()


def test_filling_keeps_what_is_there_and_goes_on_smoothly():
    values = np.zeros((40, 70, 2), np.float32)
    values[:, :20], values[:, 50:] = (10, 200), (90, 100)
    weight = np.zeros((40, 70), np.float32)
    weight[:, :20] = weight[:, 50:] = 1
    filled = fill_smoothly(values, weight)
    np.testing.assert_allclose(filled[weight > 0], values[weight > 0], atol=1e-3)
    assert (np.diff(filled[20, 20:50, 0]) > -1).all()
    assert 30 < filled[20, 35, 0] < 70
    assert filled.min() > 9
