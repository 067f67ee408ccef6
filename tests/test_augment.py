import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.data import augment as aug


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 20, 3)).astype(np.float32)
    # The mask can be told from the image, so that it is seen whether they move together.
    return image, (image[..., 0] > 127).astype(np.uint8)


def warp(image, mask, **options):
    matrix = aug.placement(mask.shape, **options)
    moved, mask = aug.warp(tf.constant(image)[None], tf.constant(mask), matrix)
    return moved[0].numpy(), mask.numpy()


def test_warp_by_nothing_is_exact(pair):
    image, mask = warp(*pair)
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
    image, mask = warp(*pair, **options)
    inside = mask != 255
    assert inside.mean() > 0.6
    np.testing.assert_allclose(image[inside], reference(pair[0])[inside], atol=0.1)
    assert np.array_equal(mask[inside], reference(pair[1])[inside])


def test_what_comes_from_outside_is_ignored(pair):
    image, mask = warp(*pair, scale=0.5)
    assert (mask == 255).mean() == pytest.approx(0.75, abs=0.05)
    assert (image[mask == 255] == 0).all()


def test_image_and_mask_move_together(pair):
    big = np.kron(pair[0], np.ones((8, 8, 1), np.float32))
    mask = (big[..., 0] > 127).astype(np.uint8)
    for seed in range(8):
        picked = tf.constant([seed, 1])
        image, moved = aug.augment(tf.constant(big), tf.constant(mask), picked)
        again, _ = aug.augment(tf.constant(big), tf.constant(mask), picked)
        assert np.array_equal(image, again)
        assert image.shape == big.shape
        assert 0 <= image.numpy().min() <= image.numpy().max() <= 255
        red, moved = image.numpy()[..., 0], moved.numpy()
        if (moved == 1).any() and (moved == 0).any():
            assert np.median(red[moved == 1]) > np.median(red[moved == 0])


def test_photometric_operations_against_numpy(pair):
    image = pair[0]
    np.testing.assert_allclose(aug.gamma(image, 0.5), 255 * np.sqrt(image / 255), rtol=1e-5)
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    colors = lambda **options: aug.adjust_colors(image[None], **options)[0]  # noqa: E731
    np.testing.assert_allclose(colors(saturation=0.0), grey.repeat(3, -1), atol=1e-2)
    np.testing.assert_allclose(colors(), image, atol=1e-2)
    np.testing.assert_allclose(colors(contrast=0.0), np.full_like(image, grey.mean()), atol=1e-2)
    np.testing.assert_allclose(colors(brightness=9.0), np.minimum(image + 9, 255), atol=1e-2)


def test_eager_and_inside_tf_data_agree(pair):
    image, mask = (tf.constant(part) for part in pair)
    dataset = tf.data.Dataset.range(3).map(
        lambda i: aug.augment(image, mask, tf.stack([3, tf.cast(i, tf.int32)]))
    )
    for i, (streamed, streamed_mask) in enumerate(dataset):
        eager, eager_mask = aug.augment(image, mask, tf.constant([3, i]))
        np.testing.assert_allclose(streamed, eager, atol=1e-3)
        assert np.array_equal(streamed_mask, eager_mask)
