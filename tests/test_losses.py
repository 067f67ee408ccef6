import numpy as np
import pytest

from skyseg_tf.labels import class_ids
from skyseg_tf.scoring import metrics
from skyseg_tf.training import losses


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (2, 5, 7)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.3] = 255
    return mask, rng.normal(0, 3, (2, 5, 7, 1)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def pixel_losses(mask, logits):
    """(N,) cross-entropies of the labeled pixels, in float64."""
    keep = mask != 255
    if logits.shape[-1] == 1:
        probs = sigmoid(logits[..., 0])
        probs = np.where(mask == 1, probs, 1 - probs)[keep]
    else:
        shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
        probs = shifted / shifted.sum(-1, keepdims=True)
        probs = np.take_along_axis(probs[keep], mask[keep][:, None].astype(int), 1)[:, 0]
    return -np.log(probs)


@pytest.fixture(params=[1, 4])
def either(request):
    """A batch for one logit or for four."""
    rng = np.random.default_rng(1)
    mask = rng.integers(0, max(2, request.param), (2, 5, 7)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.3] = 255
    return mask, rng.normal(0, 3, (2, 5, 7, request.param)).astype(np.float32)


def test_cross_entropy_against_numpy(either):
    wanted = pixel_losses(*either).mean()
    assert float(losses.cross_entropy(*either)) == pytest.approx(wanted, rel=1e-5)


def test_one_labeled_pixel_is_a_mean():
    mask = np.full((1, 4, 4), 255, np.uint8)
    mask[0, 1, 2] = 1
    loss = losses.cross_entropy(mask, np.zeros((1, 4, 4, 1), np.float32))
    assert float(loss) == pytest.approx(np.log(2))


def test_the_gradient_of_cross_entropy_is_probability_less_truth():
    import tensorflow as tf

    rng = np.random.default_rng(4)
    mask = rng.integers(0, 5, (2, 4, 6))
    mask[0, 0] = 255
    logits = tf.Variable(rng.normal(0, 30, (2, 4, 6, 5)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = losses.cross_entropy(mask, logits)
    exps = np.exp(logits.numpy() - logits.numpy().max(-1, keepdims=True))
    truth = np.eye(256)[mask][..., :5]
    wanted = (exps / exps.sum(-1, keepdims=True) - truth) * (mask != 255)[..., None]
    wanted /= (mask != 255).sum()
    np.testing.assert_allclose(tape.gradient(loss, logits), wanted, atol=1e-7)


@pytest.mark.parametrize("scale", [0.01, 1.0, -1.0])  # hard, mixed and easy
def test_ohem_against_numpy(either, scale):
    mask, logits = either
    if scale < 0:  # push all logits to the truth
        truth = np.where(mask == 255, 0, mask)
        logits = np.where(truth[..., None] == (1 if logits.shape[-1] == 1 else np.arange(4)), 4, -4)
        logits = logits + np.random.default_rng(2).normal(0, 0.3, logits.shape)
    logits = (logits * abs(scale)).astype(np.float32)
    values = np.sort(pixel_losses(mask, logits))[::-1]
    kept = values[values > -np.log(0.7)]
    wanted = int((mask != 255).sum() // 16)
    kept = kept if len(kept) >= wanted else values[:wanted]
    assert float(losses.ohem_cross_entropy(mask, logits)) == pytest.approx(kept.mean(), rel=1e-4)


def test_focal_against_numpy(either):
    values = pixel_losses(*either)
    wanted = ((1 - np.exp(-values)) ** 2 * values).mean()
    assert float(losses.focal_loss(*either)) == pytest.approx(wanted, rel=1e-4)


def jaccard_extension(errors, truth):
    """Lovász extension by its definition: sum of error x (change of the Jaccard loss)."""
    order = np.argsort(-errors, kind="stable")
    total, before = 0.0, 0.0
    for count in range(1, len(order) + 1):
        wrong = np.zeros(len(order), bool)
        wrong[order[:count]] = True
        missed, false = (wrong & (truth == 1)).sum(), (wrong & (truth == 0)).sum()
        after = 1 - (truth.sum() - missed) / max(truth.sum() + false, 1e-7)
        total += max(errors[order[count - 1]], 0) * (after - before)
        before = after
    return total


def test_lovasz_against_its_definition(either):
    mask, logits = either
    keep = mask != 255
    if logits.shape[-1] == 1:
        truth = mask[keep].astype(int)
        wanted = jaccard_extension(1 - logits[keep][:, 0] * (2.0 * truth - 1), truth)
    else:
        shifted = np.exp(logits[keep].astype(np.float64))
        probs = shifted / shifted.sum(-1, keepdims=True)
        each = [
            jaccard_extension(
                np.abs((mask[keep] == c) - probs[:, c]), (mask[keep] == c).astype(int)
            )
            for c in np.unique(mask[keep])
        ]
        wanted = np.mean(each)
    assert float(losses.lovasz(mask, logits)) == pytest.approx(wanted, rel=1e-4)


def test_class_weights_and_weighted_cross_entropy(either):
    mask, logits = either
    classes = max(2, logits.shape[-1])
    counts = np.bincount(mask[mask != 255], minlength=classes)
    weights = losses.class_weights(counts)
    share = counts / counts.sum()
    assert (weights * share).sum() == pytest.approx(1)
    assert np.argmax(weights) == np.argmin(counts)
    assert losses.class_weights([5, 0])[1] == 0
    # Of shares of 3/4 and 1/4 the weights are as 1 / ln 1.77 to 1 / ln 1.27.
    first, second = losses.class_weights([3, 1])
    assert second / first == pytest.approx(2.38887, rel=1e-5)
    pixel_weights = weights[mask[mask != 255]]
    wanted = (pixel_losses(mask, logits) * pixel_weights).sum() / pixel_weights.sum()
    result = float(losses.weighted_cross_entropy(weights)(mask, logits))
    assert result == pytest.approx(wanted, rel=1e-4)


def test_dice_against_numpy(batch):
    mask, logits = batch
    keep = mask != 255
    truth, probs = (mask[keep] == 1).astype(float), sigmoid(logits[..., 0])[keep]
    wanted = 1 - (2 * (truth * probs).sum() + 1) / (truth.sum() + probs.sum() + 1)
    assert float(losses.dice_loss(mask, logits)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("channels", "present"), [(3, (0, 2)), (2, (0, 1)), (2, (1,))])
def test_dice_of_classes_is_the_mean_over_those_in_the_batch(channels, present):
    rng = np.random.default_rng(3)
    mask = rng.choice([*present, 255], (2, 5, 7)).astype(np.uint8)
    logits = rng.normal(size=(2, 5, 7, channels)).astype(np.float32)
    keep = mask != 255
    probs = np.exp(logits[keep]) / np.exp(logits[keep]).sum(-1, keepdims=True)
    shares = []
    for class_id in present:
        truth, given = mask[keep] == class_id, probs[:, class_id]
        shares.append((2 * given[truth].sum() + 1) / (truth.sum() + given.sum() + 1))
    assert float(losses.dice_loss(mask, logits)) == pytest.approx(1 - np.mean(shares), rel=1e-5)


BOTH = [(name, channels) for name in losses.LOSSES for channels in (1, 3)]


@pytest.mark.parametrize(("name", "channels"), BOTH)
def test_all_ignored_is_zero_with_zero_gradient(name, channels):
    import tensorflow as tf

    logits = tf.Variable(np.full((1, 4, 4, channels), 80.0, np.float32))
    with tf.GradientTape() as tape:
        loss = losses.LOSSES[name](np.full((1, 4, 4), 255, np.uint8), logits)
    assert float(loss) == 0.0
    assert np.abs(tape.gradient(loss, logits).numpy()).max() == 0.0


@pytest.mark.parametrize(("name", "channels"), BOTH)
def test_huge_logits_stay_finite(name, channels):
    mask = np.array([[[0, 1]]], np.uint8)
    logits = np.array([1e4, -1e4], np.float32)[None, None, :, None] * np.ones(channels)
    assert np.isfinite(float(losses.LOSSES[name](mask, logits.astype(np.float32))))


@pytest.mark.parametrize("channels", [1, 4])
def test_streaming_confusion_equals_the_metric(channels):
    rng = np.random.default_rng(2)
    classes = max(2, channels)
    streaming = losses.StreamingConfusion(channels)
    matrix = np.zeros((classes, classes), np.int64)
    for _ in range(3):
        mask = rng.integers(0, classes, (2, 6, 8)).astype(np.uint8)
        mask[rng.random(mask.shape) < 0.2] = 255
        logits = rng.normal(size=(2, 6, 8, channels)).astype(np.float32)
        logits[0] = 0  # neither sky nor not, neither class before the other
        streaming.update_state(mask, logits)
        pred = class_ids(logits, threshold=0)
        matrix += metrics.confusion_matrix(mask, pred, classes)
    assert np.array_equal(streaming.matrix(), matrix)
    wanted = metrics.iou(matrix)[1] if channels == 1 else metrics.mean_iou(matrix)
    assert float(streaming.result()) == pytest.approx(wanted, rel=1e-5)


def test_streaming_confusion_counts_past_int32():
    streaming = losses.StreamingConfusion(2)
    streaming.high.assign(np.full((2, 2), 400))  # 6.7e9 pixels each
    streaming.update_state(np.ones((1, 2, 2), np.uint8), np.ones((1, 2, 2, 1), np.float32))
    assert streaming.matrix()[1, 1] == 400 * 2**24 + 4
