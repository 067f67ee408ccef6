"""Losses on logits, and the streaming confusion matrix that training shows.

All take `mask` (B, H, W) integer class ids with 255 = ignored, and `logits` (B, H, W, C) float;
all return a scalar that is 0, not NaN, when every pixel is ignored. Only keras.ops, so that they
run on every backend.
"""

import keras
import numpy as np
from keras import ops

from skyseg_tf.labels import IGNORE


def _valid(mask):
    return ops.cast(ops.not_equal(mask, IGNORE), "float32")


def _mean(values, valid):
    return ops.sum(values * valid) / ops.maximum(ops.sum(valid), 1.0)


def binary_cross_entropy(mask, logits):
    """Mean sigmoid cross-entropy over labeled pixels; logits (B, H, W, 1), class ids 0 and 1."""
    valid = _valid(mask)
    truth = ops.cast(ops.equal(mask, 1), "float32")
    x = ops.cast(logits[..., 0], "float32")
    # max(x, 0) - x*t + log(1 + exp(-|x|)) neither overflows nor saturates.
    loss = ops.relu(x) - x * truth + ops.log1p(ops.exp(-ops.abs(x)))
    return _mean(loss, valid)


def dice_loss(mask, logits):
    """1 - Dice of the sigmoid probabilities over the whole batch; logits (B, H, W, 1).

    One is added above and below, so that a batch without sky rewards an empty mask.

    Reference: Milletari et al., "V-Net", 3DV 2016, eq. 1 (there with squared terms).
    """
    valid = _valid(mask)
    truth = ops.cast(ops.equal(mask, 1), "float32") * valid
    probs = ops.sigmoid(ops.cast(logits[..., 0], "float32")) * valid
    overlap = ops.sum(truth * probs)
    return (1.0 - (2.0 * overlap + 1.0) / (ops.sum(truth) + ops.sum(probs) + 1.0)) * ops.max(valid)


def bce_dice(mask, logits):
    """Sum of `binary_cross_entropy` and `dice_loss`: the default for one class."""
    return binary_cross_entropy(mask, logits) + dice_loss(mask, logits)


def cross_entropy(mask, logits):
    """Mean softmax cross-entropy over labeled pixels; logits (B, H, W, C): the default for C > 1."""
    valid = _valid(mask)
    class_id = ops.where(ops.equal(mask, IGNORE), ops.zeros_like(mask), mask)
    loss = ops.sparse_categorical_crossentropy(
        ops.cast(class_id, "int32"), ops.cast(logits, "float32"), from_logits=True
    )
    return _mean(loss, valid)


LOSSES = {"bce_dice": bce_dice, "bce": binary_cross_entropy, "cross_entropy": cross_entropy}


class MaskLoss(keras.losses.Loss):
    """Adapter for `compile`: a loss of this module on mask (B, H, W, 1), whose last axis keeps
    Keras from squeezing the logits of a single class."""

    def __init__(self, loss):
        """Wraps a function of (mask, logits)."""
        super().__init__(name=loss.__name__, reduction=None)
        self.loss = loss

    def call(self, mask, logits):
        """Scalar loss."""
        return self.loss(mask[..., 0], logits)


class StreamingConfusion(keras.metrics.Metric):
    """Confusion matrix over batches of mask (B, H, W, 1) and logits; `result()` is the mean IoU, or for one
    logit the IoU of class 1.

    The counts are kept in two int32 limbs, because JAX has no int64 by default and int32 alone
    overflows after 2^31 pixels of one class (1024 Cityscapes photos of road).

    Args:
      num_classes: class ids in the mask (2 for one logit).
    """

    _LIMB = 2**24

    def __init__(self, num_classes: int, name: str = "iou"):
        """Starts with empty counts."""
        super().__init__(name=name)
        self.num_classes = num_classes
        shape = (num_classes, num_classes)
        self.low = self.add_variable(shape, keras.initializers.Zeros(), dtype="int32", name="low")
        self.high = self.add_variable(shape, keras.initializers.Zeros(), dtype="int32", name="high")

    def update_state(self, mask, logits, sample_weight=None):
        """Adds a batch."""
        if logits.shape[-1] == 1:
            pred = ops.cast(logits[..., 0] > 0, "int32")
        else:
            pred = ops.cast(ops.argmax(logits, axis=-1), "int32")
        mask = ops.cast(mask[..., 0], "int32")
        size = self.num_classes**2
        # Ignored pixels go into one bin past the end, which is cut off.
        bins = ops.where(ops.equal(mask, IGNORE), size, mask * self.num_classes + pred)
        counts = ops.bincount(ops.reshape(bins, (-1,)), minlength=size + 1)[:size]
        low = self.low + ops.cast(ops.reshape(counts, self.low.shape), "int32")
        self.high.assign(self.high + low // self._LIMB)
        self.low.assign(low % self._LIMB)

    def matrix(self) -> np.ndarray:
        """(C, C) int64, rows are truth."""
        low, high = (ops.convert_to_numpy(limb).astype(np.int64) for limb in (self.low, self.high))
        return high * self._LIMB + low

    def result(self):
        """Scalar float32: IoU of class 1 for two classes, else the mean over classes that occur."""
        matrix = ops.cast(self.high, "float32") * self._LIMB + ops.cast(self.low, "float32")
        both = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - both
        values = both / ops.maximum(union, 1.0)
        if self.num_classes == 2:
            return values[1]
        return ops.sum(values) / ops.maximum(ops.sum(ops.cast(union > 0, "float32")), 1.0)
