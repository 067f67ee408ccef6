import numpy as np
import pytest

from skyseg_tf.images import resize_image, shrink_photo


def photo(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: noise over a gradient, so that no two area means are alike."""
    rng = np.random.default_rng(height)
    slope = np.linspace(0, 200, width)[None, :, None]
    return (slope + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


@pytest.mark.parametrize("sides", [(640, 960), (644, 960), (641, 963), (130, 200), (64, 96)])
def test_a_shrunken_photo_is_its_area_mean(sides):
    image, size = photo(*sides), (60, 92)
    difference = shrink_photo(image, size).astype(int) - resize_image(image, size)
    assert np.abs(difference).max() <= 3
    assert abs(difference.mean()) < 0.5  # halves are rounded up


def test_photos_that_are_not_much_larger_are_resized_at_once():
    image = photo(230, 380)
    assert np.array_equal(shrink_photo(image, (64, 96)), resize_image(image, (64, 96)))


def test_enlarging_is_as_ever():
    image = photo(20, 30)
    assert np.array_equal(shrink_photo(image, (64, 96)), resize_image(image, (64, 96)))
