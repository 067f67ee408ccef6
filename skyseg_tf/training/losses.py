"""Losses on logits, and the streaming confusion matrix that training shows.

All take `mask` (B, H, W) integer class ids with 255 = ignored, and `logits` (B, H, W, C) float;
all return a scalar that is 0, not NaN, when every pixel is ignored. Only keras.ops, so that they
run on every backend.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from skyseg_tf.labels import IGNORE


def _valid(mask):
    return ops.cast(ops.not_equal(mask, IGNORE), "float32")


def _mean(values, valid):
    return ops.sum(values * valid) / ops.maximum(ops.sum(valid), 1.0)


def _pixel_losses(mask, logits):
    """(B, H, W) float32: sigmoid cross-entropy of one logit, softmax of more; 0 where ignored."""
    valid, logits = _valid(mask), ops.cast(logits, "float32")
    if logits.shape[-1] == 1:
        truth, x = ops.cast(ops.equal(mask, 1), "float32"), logits[..., 0]
        # max(x, 0) - x*t + log(1 + exp(-|x|)) neither overflows nor saturates.
        return (ops.relu(x) - x * truth + ops.log1p(ops.exp(-ops.abs(x)))) * valid
    # 255 is no channel, of which TensorFlow makes NaN or an error: as class 0 it weighs nothing.
    class_id = ops.where(ops.equal(mask, IGNORE), ops.zeros_like(mask), mask)
    return _softmax_cross_entropy(ops.cast(class_id, "int32"), logits) * valid


def _softmax_cross_entropy(class_id, logits):
    """(...) cross-entropy of (..., C) logits; on a CPU 1.6 times as fast as TensorFlow's own."""

    @ops.custom_gradient
    def of_logits(logits):
        shifted = logits - ops.max(logits, -1, keepdims=True)
        exps = ops.exp(shifted)
        sums = ops.sum(exps, -1, keepdims=True)
        true = ops.take_along_axis(shifted, class_id[..., None], -1)

        def gradient(*upstreams, upstream=None):
            upstream = upstreams[0] if upstream is None else upstream
            truth = ops.one_hot(class_id, logits.shape[-1], dtype=logits.dtype)
            return (exps / sums - truth) * upstream[..., None]

        return (ops.log(sums) - true)[..., 0], gradient

    return of_logits(logits)


def cross_entropy(mask, logits):
    """Mean cross-entropy over labeled pixels: of the sigmoid for one logit, else of the softmax."""
    return _mean(_pixel_losses(mask, logits), _valid(mask))


def ohem_cross_entropy(mask, logits, *, threshold: float = 0.7, kept_share: float = 1 / 16):
    """Mean cross-entropy over the hard pixels (online hard example mining).

    Hard are pixels whose true class has a probability below `threshold`; where these are fewer
    than `kept_share` of the labeled ones, so many of the largest losses.

    Reference: Shrivastava et al., CVPR 2016; as in the BiSeNetV2 code of CoinCheung.
    """
    losses = ops.reshape(_pixel_losses(mask, logits), (-1,))
    hard = ops.cast(losses > -math.log(threshold), "float32")
    wanted = ops.floor(ops.sum(_valid(mask)) * kept_share)

    def mean_of_largest():  # sorting takes as long as all the rest of the loss
        largest = -ops.sort(-losses)
        first = ops.arange(ops.shape(losses)[0])
        return _mean(largest, ops.cast(ops.cast(first, "float32") < wanted, "float32"))

    return ops.cond(ops.sum(hard) >= wanted, lambda: _mean(losses, hard), mean_of_largest)


def focal_loss(mask, logits, *, gamma: float = 2.0):
    """Mean of (1 - p)^gamma x cross-entropy, p the probability of the true class.

    Reference: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4.
    """
    losses = _pixel_losses(mask, logits)
    return _mean((1.0 - ops.exp(-losses)) ** gamma * losses, _valid(mask))


def _lovasz(errors, truth, valid):
    """Lovász extension of the Jaccard loss for one class; all arguments (N,) float32."""
    # Ignored pixels go behind all others, where they change no earlier union and weigh nothing.
    order = ops.argsort(-ops.where(valid > 0, errors, -1e9))
    errors, truth = (ops.take(part, order) for part in (ops.relu(errors) * valid, truth * valid))
    total = ops.sum(truth)
    jaccard = 1.0 - (total - ops.cumsum(truth)) / ops.maximum(total + ops.cumsum(1.0 - truth), 1e-7)
    steps = jaccard - ops.concatenate([ops.zeros((1,)), jaccard[:-1]])
    return ops.sum(errors * ops.stop_gradient(steps))


def lovasz(mask, logits):
    """Lovász hinge for one logit, Lovász-softmax over the classes in the batch for more.

    Reference: Berman et al., "The Lovász-Softmax loss", CVPR 2018; over the pixels of a batch
      together, not photo by photo.
    """
    valid = ops.reshape(_valid(mask), (-1,))
    channels = logits.shape[-1]
    scores = ops.reshape(ops.cast(logits, "float32"), (-1, channels))
    flat = ops.reshape(mask, (-1,))
    if channels == 1:
        truth = ops.cast(ops.equal(flat, 1), "float32")
        return _lovasz(1.0 - scores[:, 0] * (2.0 * truth - 1.0), truth, valid)
    probs = ops.softmax(scores)
    values, present = [], []
    for class_id in range(channels):
        truth = ops.cast(ops.equal(flat, class_id), "float32")
        values.append(_lovasz(ops.abs(truth - probs[:, class_id]), truth, valid))
        present.append(ops.cast(ops.any(ops.equal(flat, class_id)), "float32"))
    values, present = ops.stack(values), ops.stack(present)
    return ops.sum(values * present) / ops.maximum(ops.sum(present), 1.0)


def dice_loss(mask, logits):
    """1 - Dice of the probabilities over the whole batch: of the sky, or the mean over the classes.

    One logit gives the sigmoid's, more the softmax's for the classes that the batch shows. One is
    added above and below, so that a batch without sky rewards an empty mask.

    Reference: Milletari et al., "V-Net", 3DV 2016, eq. 1 (there with squared terms).
    """
    valid, logits = _valid(mask)[..., None], ops.cast(logits, "float32")
    if logits.shape[-1] == 1:
        probs, truth = ops.sigmoid(logits), ops.cast(ops.equal(mask, 1), "float32")[..., None]
    else:
        probs, truth = ops.softmax(logits), ops.one_hot(mask, logits.shape[-1], dtype="float32")
    pixels = ops.sum(truth * valid, (0, 1, 2))
    overlap = ops.sum(truth * probs * valid, (0, 1, 2))
    dice = (2.0 * overlap + 1.0) / (pixels + ops.sum(probs * valid, (0, 1, 2)) + 1.0)
    counts = ops.cast(pixels > 0, "float32") if logits.shape[-1] > 1 else ops.max(valid)
    return ops.sum((1.0 - dice) * counts) / ops.maximum(ops.sum(counts), 1.0)


def ce_dice(mask, logits):
    """Sum of `cross_entropy` and `dice_loss`: the default for one class."""
    return cross_entropy(mask, logits) + dice_loss(mask, logits)


LOSSES = {
    "cross_entropy": cross_entropy,
    "ce_dice": ce_dice,
    "ohem": ohem_cross_entropy,
    "focal": focal_loss,
    "lovasz": lovasz,
}


def class_weights(class_pixels: Sequence[int]) -> np.ndarray:
    """Weights 1 / ln(1.02 + share) of classes by their share of the labeled pixels.

    Args:
      class_pixels: (C,) counts, as in a split of dataset.json.

    Returns:
      (C,) float32, scaled so that the mean over labeled pixels is 1; 0 for absent classes.

    Reference: Paszke et al., "ENet", arXiv 1606.02147, section 5.1.
    """
    counts = np.asarray(class_pixels, np.float64)
    share = counts / max(counts.sum(), 1)
    weights = np.where(counts > 0, 1 / np.log(1.02 + share), 0)
    return (weights / max((weights * share).sum(), 1e-12)).astype(np.float32)


def weighted_cross_entropy(weights: np.ndarray):
    """Cross-entropy in which every pixel weighs as its true class does.

    Args:
      weights: (C,), see `class_weights`.

    Returns:
      A loss of (mask, logits): sum of weight x loss over sum of weights.
    """

    def weighted(mask, logits):
        table = np.zeros(256, np.float32)  # ignored pixels look up 0
        table[: len(weights)] = weights
        weight = ops.take(table, ops.cast(mask, "int32"))
        return _mean(_pixel_losses(mask, logits), weight)

    return weighted


class StreamingConfusion(keras.metrics.Metric):
    """Confusion matrix over batches; `result()` is the mean IoU, or for one logit the IoU of class 1.

    The counts are kept in two int32 limbs, because JAX has no int64 by default and int32 alone
    overflows after 2^31 pixels of one class (1024 Cityscapes photos of road).

    Args:
      num_logits: C of the logits; 1 for masks of two classes.
    """

    _LIMB = 2**24

    def __init__(self, num_logits: int, name: str = "iou"):
        """Starts with empty counts."""
        super().__init__(name=name)
        self.num_logits, self.num_classes = num_logits, max(num_logits, 2)
        shape = (self.num_classes, self.num_classes)
        self.low = self.add_variable(shape, keras.initializers.Zeros(), dtype="int32", name="low")
        self.high = self.add_variable(shape, keras.initializers.Zeros(), dtype="int32", name="high")

    def update_state(self, mask, logits, sample_weight=None):
        """Adds a batch: mask (B, H, W) of class ids, logits (B, H, W, C)."""
        if logits.shape[-1] == 1:
            pred = ops.cast(logits[..., 0] >= 0, "int32")
        else:
            pred = ops.cast(ops.argmax(logits, axis=-1), "int32")
        mask = ops.cast(mask, "int32")
        size = self.num_classes**2
        # Ignored pixels go into one bin past the end, which is cut off.
        bins = ops.where(ops.equal(mask, IGNORE), size, mask * self.num_classes + pred)
        bins = ops.reshape(bins, (-1,))
        if keras.backend.backend() == "jax":  # whose bincount does not compile
            counts = ops.segment_sum(ops.ones_like(bins), bins, num_segments=size + 1)[:size]
        else:  # 15 times faster on a CPU
            counts = ops.bincount(bins, minlength=size + 1)[:size]
        low = self.low + ops.cast(ops.reshape(counts, self.low.shape), "int32")
        self.high.assign(self.high + low // self._LIMB)
        self.low.assign(low % self._LIMB)

    def matrix(self) -> np.ndarray:
        """(C, C) int64, rows are truth."""
        low, high = (ops.convert_to_numpy(limb).astype(np.int64) for limb in (self.low, self.high))
        return high * self._LIMB + low

    def result(self):
        """Scalar float32: IoU of class 1 for one logit, else the mean over classes that occur."""
        matrix = ops.cast(self.high, "float32") * self._LIMB + ops.cast(self.low, "float32")
        both = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - both
        values = both / ops.maximum(union, 1.0)
        if self.num_logits == 1:
            return values[1]
        return ops.sum(values) / ops.maximum(ops.sum(ops.cast(union > 0, "float32")), 1.0)
