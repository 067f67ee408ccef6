import numpy as np
import pytest

from skyseg_tf import losses, metrics


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (2, 5, 7)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.3] = 255
    return mask, rng.normal(0, 3, (2, 5, 7, 1)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_binary_cross_entropy_against_numpy(batch):
    mask, logits = batch
    keep, probs = mask != 255, sigmoid(logits[..., 0])
    wanted = -np.where(mask == 1, np.log(probs), np.log(1 - probs))[keep].mean()
    assert float(losses.binary_cross_entropy(mask, logits)) == pytest.approx(wanted, rel=1e-5)


def test_dice_against_numpy(batch):
    mask, logits = batch
    keep = mask != 255
    truth, probs = (mask[keep] == 1).astype(float), sigmoid(logits[..., 0])[keep]
    wanted = 1 - (2 * (truth * probs).sum() + 1) / (truth.sum() + probs.sum() + 1)
    assert float(losses.dice_loss(mask, logits)) == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_against_numpy():
    rng = np.random.default_rng(1)
    mask = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    mask[0, 0] = 255
    logits = rng.normal(0, 3, (2, 5, 7, 4)).astype(np.float32)
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    keep = mask != 255
    wanted = -np.take_along_axis(log_probs[keep], mask[keep][:, None].astype(int), 1).mean()
    assert float(losses.cross_entropy(mask, logits)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_all_ignored_is_zero_with_zero_gradient(name):
    import tensorflow as tf

    logits = tf.Variable(np.full((1, 4, 4, 1 if "bce" in name else 3), 80.0, np.float32))
    with tf.GradientTape() as tape:
        loss = losses.LOSSES[name](np.full((1, 4, 4), 255, np.uint8), logits)
    assert float(loss) == 0.0
    assert np.abs(tape.gradient(loss, logits).numpy()).max() == 0.0


@pytest.mark.parametrize("name", losses.LOSSES)
def test_huge_logits_stay_finite(name):
    mask = np.array([[[0, 1]]], np.uint8)
    logits = np.array([1e4, -1e4], np.float32).reshape(1, 1, 2, 1)
    logits = logits if "bce" in name else np.concatenate([logits, -logits], -1)
    assert np.isfinite(float(losses.LOSSES[name](mask, logits)))


@pytest.mark.parametrize("channels", [1, 4])
def test_streaming_confusion_equals_the_metric(channels):
    rng = np.random.default_rng(2)
    classes = max(2, channels)
    streaming = losses.StreamingConfusion(classes)
    matrix = np.zeros((classes, classes), np.int64)
    for _ in range(3):
        mask = rng.integers(0, classes, (2, 6, 8)).astype(np.uint8)
        mask[rng.random(mask.shape) < 0.2] = 255
        logits = rng.normal(size=(2, 6, 8, channels)).astype(np.float32)
        streaming.update_state(mask[..., None], logits)
        pred = logits[..., 0] > 0 if channels == 1 else logits.argmax(-1)
        matrix += metrics.confusion_matrix(mask, pred, classes)
    assert np.array_equal(streaming.matrix(), matrix)
    wanted = metrics.iou(matrix)[1] if channels == 1 else metrics.mean_iou(matrix)
    assert float(streaming.result()) == pytest.approx(wanted, rel=1e-5)


def test_streaming_confusion_counts_past_int32():
    streaming = losses.StreamingConfusion(2)
    streaming.high.assign(np.full((2, 2), 400))  # 6.7e9 pixels each
    streaming.update_state(np.ones((1, 2, 2, 1), np.uint8), np.ones((1, 2, 2, 1), np.float32))
    assert streaming.matrix()[1, 1] == 400 * 2**24 + 4
