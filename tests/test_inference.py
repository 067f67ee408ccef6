from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.errors import InputError
from skyseg_tf.images import resize_image
from skyseg_tf.masking.views import Views, predict_probs, resize_probs


def photo(size=(40, 60), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def by_pixel(pixels):
    """A network that looks at each pixel alone: its red and green, 0-1."""
    assert pixels.dtype == np.float32
    return pixels[..., :2] / 255


def by_place(pixels):
    """A network that says how far right a pixel lies in what it is shown."""
    height, width = pixels.shape[1:3]
    ramp = (np.arange(width) + 0.5) / width
    return np.broadcast_to(ramp[None, None, :, None], (1, height, width, 1)).astype(np.float32)


def test_one_view_is_the_network_itself():
    image = photo()
    probs = predict_probs(by_pixel, image, Views((40, 60)), (40, 60))
    np.testing.assert_array_equal(probs, image[..., :2] / np.float32(255))
    small = predict_probs(by_pixel, image, Views((20, 30)), (20, 30))
    np.testing.assert_array_equal(
        small, resize_image(image, (20, 30))[..., :2].astype(np.float32) / 255
    )


@pytest.mark.parametrize("channels", [1, 3, 19])
def test_probabilities_are_resized_as_tensorflow_does(channels):
    probs = np.random.default_rng(0).random((12, 17, channels)).astype(np.float32)
    ours = resize_probs(probs, (31, 50))
    np.testing.assert_allclose(ours, tf.image.resize(probs, (31, 50)).numpy(), atol=1e-5)


def test_mirrored_views_are_mirrored_back():
    image = photo()
    views = Views((40, 60), flip=True)
    np.testing.assert_allclose(
        predict_probs(by_pixel, image, views, (40, 60)), image[..., :2] / 255, atol=1e-6
    )
    np.testing.assert_allclose(predict_probs(by_place, image, views, (40, 60)), 0.5, atol=1e-6)


def test_scales_are_averaged_at_the_wanted_size():
    image = photo()
    shown = []

    def network(pixels):
        shown.append(pixels.shape[1:3])
        return by_pixel(pixels)

    views = Views((20, 32), scales=(0.75, 1.0, 1.25), divisor=4)
    probs = predict_probs(network, image, views, (40, 60))
    assert shown == [(16, 24), (20, 32), (24, 40)]
    each = [
        tf.image.resize(resize_image(image, size)[..., :2] / np.float32(255), (40, 60)).numpy()
        for size in shown
    ]
    np.testing.assert_allclose(probs, np.mean(each, 0), atol=1e-5)


def test_sizes_of_views():
    views = Views((16, 32), scales=(0.2, 1.0, 1.6), divisor=8)
    views.check()
    assert views.sizes() == [(8, 8), (16, 32), (24, 48)]  # never less than one multiple
    assert views.mean_size((20, 900)) == (20, 48)
    assert Views((16, 32)).mean_size((20, 900)) == (16, 32)
    assert Views(flip=True).at((8, 9)) == Views((8, 9), flip=True)
    assert views.at((8, 9)) == views
    windows = Views((40, 60), window=(16, 20), overlap=0.25, flip=True)
    told = "single scale, windows of 16x20 with 25 % overlap, mirrored too"
    assert windows.describe() == told


def test_windows_as_large_as_the_view_are_one():
    shown = []

    def network(pixels):
        shown.append(pixels.shape[1:3])
        return by_pixel(pixels)

    views = Views((40, 60), scales=(0.5, 1.0), window=(40, 60))
    views.check()
    predict_probs(network, photo(), views, (40, 60))
    assert shown == [(20, 30), (40, 60)]  # what is smaller than a window is seen whole


@pytest.mark.parametrize(("window", "overlap"), [((16, 20), 1 / 3), ((40, 25), 0), ((7, 60), 0.5)])
def test_windows_cover_the_photo(window, overlap):
    image = photo()
    seen = np.zeros((40, 60), int)
    places = []

    def network(pixels):
        assert pixels.shape[1:3] == window
        match = np.lib.stride_tricks.sliding_window_view(image[..., 0], window)
        top, left = np.argwhere((match == pixels[0, ..., 0]).all((2, 3)))[0]
        places.append((top, left))
        seen[top : top + window[0], left : left + window[1]] += 1
        return by_pixel(pixels)

    views = Views((40, 60), window=window, overlap=overlap)
    probs = predict_probs(network, image, views, (40, 60))
    assert seen.min() >= 1
    np.testing.assert_allclose(probs, image[..., :2] / 255, atol=1e-6)
    for axis in (0, 1):
        starts = sorted({place[axis] for place in places})
        assert all(b - a <= np.ceil(window[axis] * (1 - overlap)) for a, b in pairwise(starts))


def test_clips_are_shown_whole():
    clip = np.stack([photo(seed=i) for i in range(3)])

    def network(pixels):
        assert pixels.shape == (1, 3, 20, 30, 3)
        return by_pixel(pixels[:, -1])

    probs = predict_probs(network, clip, Views((20, 30)), (20, 30))
    last = resize_image(clip[-1], (20, 30))
    np.testing.assert_array_equal(probs, last[..., :2].astype(np.float32) / 255)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (Views((40, 60), scales=(1, -0.5)), "--multi-scale 1 -0.5: give one or more above 0"),
        (Views((40, 60), scales=(0, 1)), "--multi-scale 0 1: give one or more above 0"),
        (Views((40, 60), scales=()), "--multi-scale : give one or more above 0"),
        (Views((40, 60), overlap=-0.1), "--overlap is -0.1"),
        (Views((0, 60)), "--image-size 0 60: the network takes multiples of 1 above 0"),
        (Views((42, 60), divisor=4), "--image-size 42 60: the network takes multiples of 4"),
        (Views((40, 60), window=(40, 61)), "--window 40 61 is larger than the view of 40 x 60"),
        (Views((40, 60), overlap=1.0), "--overlap is 1.0"),
        (Views((40, 62), divisor=4), "--image-size 40 62: the network takes multiples of 4"),
        (Views((40, 60), window=(48, 60)), "--window 48 60 is larger than the view of 40 x 60"),
    ],
)
def test_impossible_views_are_refused(views, message):
    with pytest.raises(InputError, match=message):
        views.check()
