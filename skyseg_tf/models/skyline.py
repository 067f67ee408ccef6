"""Skyline, the light network of this project: a residual encoder, a narrow decoder.

Dense 3x3 convolutions at a quarter of the size and below are what a CPU computes fastest, forward
and backward; depthwise ones and squeeze-and-excite, which save multiplications, cost more time.

`skyline_lite0` has EfficientNet-Lite0 in place of that encoder, which can start from ImageNet: a few
hundred photos of streets do not teach what a ceiling, a bed or a white van is, a million photos of a
thousand things do. Lite0 has neither squeeze-and-excite nor SiLU, which cost a CPU time.
"""

import keras
from keras import layers

from skyseg_tf.models import blocks
from skyseg_tf.models.efficientnet import blocks_of

STEM = 16
STAGES = ((1, 24), (2, 48), (2, 96), (2, 160))  # residual blocks, channels; strides 4 to 32
DECODER = (80, 56, 32)  # channels at strides 16, 8 and 4
CONTEXT_BINS = (1, 4)

LITE0_STEM = 32
# repeats, kernel, stride, channels out; the first stage does not expand, the others sixfold
LITE0_STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
)
LITE0_SKIPS = (0, 1, 2, 4)  # stages whose output the decoder sees


def residual(x, name: str):
    """Two 3x3 convolutions beside the identity, as in ResNet-18; (B, H, W, C) to the same."""
    y = blocks.conv_bn_relu(x, x.shape[-1], 3, f"{name}.0")
    y = blocks.conv(y, x.shape[-1], 3, f"{name}.1.conv")
    return blocks.relu(layers.Add()([blocks.batch_norm(y, f"{name}.1.bn"), x]))


def context(x, name: str):
    """Adds what the whole picture and its sixteenths say, as pyramid pooling does."""
    x, *branches = blocks.fork(x, 1 + len(CONTEXT_BINS))
    views = [x]
    for bins, branch in zip(CONTEXT_BINS, branches, strict=True):
        view = blocks.AveragePoolBins(bins)(branch)
        view = blocks.relu(blocks.conv(view, x.shape[-1], 1, f"{name}.{bins}", bias=True))
        views.append(blocks.resize_like(view, x))
    return layers.Add()(views)


def decode(skips: list, image, num_classes: int):
    """Context and decoder: maps at strides 2, 4, 8, 16 and 32 to logits at the image's size.

    Args:
      skips: the encoder's five maps, (B, H/2, W/2, C) first.
      image: (B, H, W, 3).
      num_classes: logit channels.

    Returns:
      (B, H, W, num_classes).
    """
    skips = list(skips)
    x = context(skips.pop(), "context")
    for level, filters in enumerate(DECODER):
        skip = skips.pop()
        x = blocks.conv(x, filters, 1, f"decoder.{level}.reduce")
        skip = blocks.conv(skip, filters, 1, f"decoder.{level}.lateral")
        x = layers.Add()([blocks.resize_like(x, skip), skip])
        x = blocks.relu(blocks.batch_norm(x, f"decoder.{level}.sum"))
        # (B, H/16, W/16, 80) to (B, H/4, W/4, 32)
        x = blocks.conv_bn_relu(x, filters, 3, f"decoder.{level}")
    # The last doublings are learned: thin things need more than a bilinear guess.
    stem = skips.pop()
    x = blocks.conv(x, stem.shape[-1], 1, "fine.reduce")
    x = layers.Add()([blocks.resize_like(x, stem), stem])
    x = blocks.conv_bn_relu(x, STEM, 3, "fine")  # (B, H/2, W/2, 16)
    dtype = blocks.logits_dtype()
    logits = layers.Conv2DTranspose(
        num_classes, 2, 2, kernel_initializer="he_normal", name="head", dtype=dtype
    )(x)
    return blocks.resize_like(logits, image, dtype=dtype)  # an odd side has been rounded up


def skyline(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds Skyline: 1,724,225 parameters for one class.

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
    x = blocks.conv_bn_relu(image, STEM, 3, "stem", stride=2)
    skips = [x]  # (B, H/2, W/2, 16)
    for stage, (repeats, filters) in enumerate(STAGES):
        x = blocks.conv_bn_relu(x, filters, 3, f"stages.{stage}.down", stride=2)
        for index in range(repeats):
            x = residual(x, f"stages.{stage}.{index}")
        skips.append(x)  # (B, H/4, W/4, 24) to (B, H/32, W/32, 160)
    logits = decode(skips, image, num_classes)
    return keras.Model(image, {"logits": logits}, name="skyline")


def relu6(x):
    """min(max(x, 0), 6)."""
    return layers.ReLU(6.0)(x)


def same_conv_bn(x, filters: int, kernel: int, conv_name: str, bn_name: str, *, stride=1):
    """Convolution without bias, padded as TensorFlow does, where Lite0 was trained; normalization."""
    x = layers.Conv2D(
        filters,
        kernel,
        stride,
        "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=conv_name,
    )(x)
    return blocks.batch_norm(x, bn_name, epsilon=1e-3)


def inverted_residual(x, filters: int, kernel: int, stride: int, expand: int, name: str):
    """Expand, depthwise convolution, project without activation; beside the identity where it can.

    Args:
      x: (B, H, W, C).
      filters: channels out.
      kernel: of the depthwise convolution.
      stride: of the depthwise convolution.
      expand: factor of the width inside; 1 leaves the expansion out.
      name: published module path.

    Returns:
      (B, ceil(H / stride), ceil(W / stride), filters).
    """
    start, width = x, x.shape[-1]
    if expand > 1:
        x = same_conv_bn(x, expand * width, 1, f"{name}._expand_conv", f"{name}._bn0")
        x = relu6(x)
    x = layers.DepthwiseConv2D(
        kernel,
        stride,
        "same",
        use_bias=False,
        dtype=blocks.depthwise_dtype(),
        name=f"{name}._depthwise_conv",
    )(x)
    x = relu6(blocks.batch_norm(x, f"{name}._bn1", epsilon=1e-3))
    x = same_conv_bn(x, filters, 1, f"{name}._project_conv", f"{name}._bn2")
    return layers.Add()([x, start]) if stride == 1 and filters == width else x


def skyline_lite0(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds Skyline on EfficientNet-Lite0: 2,559,745 parameters for one class.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None.

    Returns:
      A model from (B, H, W, 3) to {"logits": (B, H, W, num_classes)}.

    Reference:
      Encoder: Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog,
      2020; github.com/tensorflow/tpu, models/official/efficientnet/lite; up to its sixth stage.
      Decoder: `skyline`.
    """
    image = keras.Input((*size, 3), name="image")
    x = relu6(same_conv_bn(image, LITE0_STEM, 3, "encoder._conv_stem", "encoder._bn0", stride=2))
    skips = []
    for b in blocks_of(LITE0_STAGES):
        name = f"encoder._blocks.{b.number}"
        x = inverted_residual(x, b.filters, b.kernel, b.stride, b.expand, name)
        if b.is_last and b.stage in LITE0_SKIPS:
            skips.append(x)  # (B, H/2, W/2, 16), 24, 40, (B, H/16, W/16, 112)
    logits = decode([*skips, x], image, num_classes)
    return keras.Model(image, {"logits": logits}, name="skyline_lite0")
