"""Skyline, the light network of this project: a residual encoder, a narrow decoder.

Dense 3x3 convolutions at a quarter of the size and below are what a CPU computes fastest, forward
and backward; depthwise ones and squeeze-and-excite, which save multiplications, cost more time.
"""

import keras
from keras import layers

from skyseg_tf.models import blocks

STEM = 16
STAGES = ((1, 24), (2, 48), (2, 96), (2, 160))  # residual blocks, channels; strides 4 to 32
DECODER = (80, 56, 32)  # channels at strides 16, 8 and 4
CONTEXT_BINS = (1, 4)


def conv_bn_relu(x, filters: int, kernel: int, name: str, *, stride=1):
    """Convolution without bias, batch normalization, ReLU."""
    x = blocks.conv(x, filters, kernel, f"{name}.conv", stride=stride)
    return blocks.relu(blocks.batch_norm(x, f"{name}.bn"))


def residual(x, name: str):
    """Two 3x3 convolutions beside the identity, as in ResNet-18; (B, H, W, C) to the same."""
    y = conv_bn_relu(x, x.shape[-1], 3, f"{name}.0")
    y = blocks.conv(y, x.shape[-1], 3, f"{name}.1.conv")
    return blocks.relu(layers.Add()([blocks.batch_norm(y, f"{name}.1.bn"), x]))


def context(x, name: str):
    """Adds what the whole picture and its sixteenths say, as pyramid pooling does."""
    views = [x]
    for bins in CONTEXT_BINS:
        view = blocks.AveragePoolBins(bins)(x)
        view = blocks.relu(blocks.conv(view, x.shape[-1], 1, f"{name}.{bins}", bias=True))
        views.append(blocks.resize_like(view, x))
    return layers.Add()(views)


def skyline(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds Skyline: 1,724,225 parameters for one class, 3.67 GMACs at 512x1024.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None.

    Returns:
      A model from (B, H, W, 3) to {"logits": (B, H, W, num_classes)}.

    Reference:
      The project's own. Blocks of He et al., arXiv 1512.03385; lateral connections of Lin et al.,
      "Feature Pyramid Networks", arXiv 1612.03144; pooled context of Zhao et al., arXiv 1612.01105.
    """
    image = keras.Input((*size, 3), name="image")
    x = conv_bn_relu(image, STEM, 3, "stem", stride=2)
    skips = [x]  # (B, H/2, W/2, 16)
    for stage, (repeats, filters) in enumerate(STAGES):
        x = conv_bn_relu(x, filters, 3, f"stages.{stage}.down", stride=2)
        for index in range(repeats):
            x = residual(x, f"stages.{stage}.{index}")
        skips.append(x)  # (B, H/4, W/4, 24) to (B, H/32, W/32, 160)
    x = context(skips.pop(), "context")
    for level, filters in enumerate(DECODER):
        skip = skips.pop()
        x = blocks.conv(x, filters, 1, f"decoder.{level}.reduce")
        skip = blocks.conv(skip, filters, 1, f"decoder.{level}.lateral")
        x = layers.Add()([blocks.resize_like(x, skip), skip])
        x = blocks.relu(blocks.batch_norm(x, f"decoder.{level}.sum"))
        # (B, H/16, W/16, 80) to (B, H/4, W/4, 32)
        x = conv_bn_relu(x, filters, 3, f"decoder.{level}")
    # The last doublings are learned: thin things need more than a bilinear guess.
    stem = skips.pop()
    x = blocks.conv(x, STEM, 1, "fine.reduce")
    x = layers.Add()([blocks.resize_like(x, stem), stem])
    x = conv_bn_relu(x, STEM, 3, "fine")  # (B, H/2, W/2, 16)
    dtype = blocks.logits_dtype()
    logits = layers.Conv2DTranspose(
        num_classes, 2, 2, kernel_initializer="he_normal", name="head", dtype=dtype
    )(x)
    logits = blocks.resize_like(logits, image, dtype=dtype)  # an odd side has been rounded up
    return keras.Model(image, {"logits": logits}, name="skyline")
