import numpy as np
import pytest
from drawn_clips import SIZE, draw_frame

from skyseg_tf.video.smoothing import Smoother, flicker

FPS = 25.0


def run(images, probs, seconds, fps=FPS):
    smoother = Smoother(seconds)
    masks = []
    for index, (image, prob) in enumerate(zip(images, probs, strict=True)):
        gains = smoother.look(image, index / fps)
        masks.append(smoother.smooth(prob[..., None], gains)[..., 0] >= 0.5)
    return np.array(masks), smoother


def noisy(images, rng, sigma=3.0):
    return np.clip(images + rng.normal(0, sigma, images.shape), 0, 255).astype(np.uint8)


def uncertain(truths, rng, sigma=0.25):
    """Probabilities that are right on average, and unsure from frame to frame."""
    means = np.where(truths, 0.7, 0.3)
    return np.clip(means + rng.normal(0, sigma, truths.shape), 0, 1).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_flicker_counts_changes_where_the_photo_stands_still():
    image, truth = draw_frame(0)
    images = np.stack([image] * 3)
    masks = np.stack([truth] * 3)
    assert flicker(masks, images) == 0
    masks[1, :16] ^= 1  # a quarter, there and back
    assert flicker(masks, images) == pytest.approx(0.25)
    images[1, :16] = 0  # but the photo changed there as well
    assert flicker(masks, images) < 0.01


def test_smoothing_kills_flicker(rng):
    image, truth = draw_frame(0)
    images = noisy(np.stack([image] * 40).astype(float), rng)
    probs = uncertain(np.stack([truth] * 40), rng)
    before = flicker(run(images, probs, 0.0)[0], images)
    masks, smoother = run(images, probs, 0.2)
    after = flicker(masks[5:], images[5:])
    assert before > 0.2
    assert after < before / 10
    assert (masks[5:] == truth).mean() > 0.99
    assert smoother.cuts == 0


def test_what_moves_does_not_lag(rng):
    frames = [draw_frame(i) for i in range(30)]
    images = noisy(np.stack([f[0] for f in frames]).astype(float), rng)
    truths = np.stack([f[1] for f in frames])
    probs = np.where(truths, 0.9, 0.1).astype(np.float32)
    masks, _ = run(images, probs, 0.2)
    assert (masks == truths).all()


def test_a_cut_is_answered_in_its_own_frame(rng):
    image, truth = draw_frame(0)
    images = np.concatenate([[image] * 10, [image[::-1, ::-1]] * 10])
    truths = np.concatenate([[truth] * 10, [truth[::-1, ::-1]] * 10])
    probs = np.where(truths, 0.9, 0.1).astype(np.float32)
    masks, smoother = run(noisy(images.astype(float), rng), probs, 0.5)
    assert smoother.cuts == 1
    assert (masks == truths).all()


def test_the_time_constant_is_in_seconds():
    image = np.zeros((*SIZE, 3), np.uint8)
    for fps in (10.0, 50.0):
        smoother = Smoother(0.5)
        for index in range(round(fps) + 1):
            gains = smoother.look(image, index / fps)
            value = smoother.smooth(np.full((*SIZE, 1), float(index > 0), np.float32), gains)
        assert value[0, 0, 0] == pytest.approx(1 - np.exp(-1 / 0.5), abs=1e-3)


def test_many_classes_keep_summing_to_one(rng):
    probs = rng.dirichlet(np.ones(19), (5, *SIZE)).astype(np.float32)
    smoother = Smoother(0.2)
    for index, prob in enumerate(probs):
        gains = smoother.look(draw_frame(index)[0], index / FPS)
        assert np.allclose(smoother.smooth(prob, gains).sum(-1), 1, atol=1e-5)
