"""DeepLabV3+ on the aligned Xception-65 backbone."""

from typing import Literal

import keras
from keras import layers

from skyseg_tf.errors import InputError
from skyseg_tf.models import blocks

# TF-slim's decay 0.9997 suits 90,000 steps; short trainings would test with untrained statistics.
BACKBONE_EPSILON = 1e-3
HEAD_EPSILON = 1e-5


def separable(x, filters: int, name: str, *, stride=1, dilation=1, inside=True, epsilon):
    """Depthwise 3x3 and pointwise convolution, each normalized.

    Args:
      x: (B, H, W, C).
      filters: channels out.
      name: published module path.
      stride: of the depthwise convolution.
      dilation: of the depthwise convolution.
      inside: ReLU after both parts (True), or one before them and none after (False).
      epsilon: of the batch normalizations.

    Returns:
      (B, ceil(H / stride), ceil(W / stride), filters).
    """
    x = x if inside else blocks.relu(x)
    x = blocks.depthwise(x, 3, f"{name}.depthwise", stride=stride, dilation=dilation)
    x = blocks.batch_norm(x, f"{name}.depthwise_BN", epsilon=epsilon)
    x = blocks.relu(x) if inside else x
    x = blocks.conv(x, filters, 1, f"{name}.pointwise")
    x = blocks.batch_norm(x, f"{name}.pointwise_BN", epsilon=epsilon)
    return blocks.relu(x) if inside else x


def xception_block(x, filters: tuple, name: str, *, stride=1, dilation=1, skip, inside=False):
    """Three separable convolutions, the last with the stride, and a shortcut.

    Args:
      x: (B, H, W, C).
      filters: channels of the three.
      name: published module path.
      stride: of the third.
      dilation: of all three.
      skip: "conv" (1x1 projection), "sum" (identity) or "none".
      inside: see `separable`.

    Returns:
      The block's output, and the second convolution's: the decoder looks at it before the ReLU.
    """
    start, outputs = x, []
    for index, channels in enumerate(filters):
        x = separable(
            x,
            channels,
            f"{name}.sep.{index}",
            stride=stride if index == 2 else 1,
            dilation=dilation,
            inside=inside,
            epsilon=BACKBONE_EPSILON,
        )
        outputs.append(x)
    if skip == "conv":
        start = blocks.conv(start, filters[2], 1, f"{name}.shortcut", stride=stride)
        start = blocks.batch_norm(start, f"{name}.shortcut_BN", epsilon=BACKBONE_EPSILON)
    return (x if skip == "none" else layers.Add()([x, start])), outputs[1]


def xception65(image, output_stride: int):
    """The backbone: features at `output_stride` (2048 channels) and at stride 4 (256)."""
    # At output stride 8 the last stride becomes a dilation of everything behind it.
    rate = 16 // output_stride
    epsilon = BACKBONE_EPSILON
    x = blocks.conv_bn_relu(image, 32, 3, "conv1_1", stride=2, epsilon=epsilon)  # (B, H/2, W/2, 32)
    x = blocks.conv_bn_relu(x, 64, 3, "conv1_2", epsilon=epsilon)
    x, _ = xception_block(x, (128,) * 3, "entry1", stride=2, skip="conv")  # (B, H/4, W/4, 128)
    x, low = xception_block(x, (256,) * 3, "entry2", stride=2, skip="conv")  # (B, H/8, W/8, 256)
    x, _ = xception_block(x, (728,) * 3, "entry3", stride=2 // rate, skip="conv")  # (.., 728)
    for index in range(16):
        x, _ = xception_block(x, (728,) * 3, f"middle.{index}", dilation=rate, skip="sum")
    x, _ = xception_block(x, (728, 1024, 1024), "exit1", dilation=rate, skip="conv")
    widths = (1536, 1536, 2048)
    x, _ = xception_block(x, widths, "exit2", dilation=2 * rate, skip="none", inside=True)
    return x, low


def atrous_pyramid(x, output_stride: int):
    """ASPP: image pooling and four views of different reach, 2048 channels to 256."""
    x, *branches = blocks.fork(x, 5)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)  # (B, 1, 1, 2048)
    pooled = blocks.conv_bn_relu(pooled, 256, 1, "image_pooling", epsilon=HEAD_EPSILON)
    views = [blocks.resize_like(pooled, x, align_corners=True)]
    views.append(blocks.conv_bn_relu(branches[0], 256, 1, "aspp0", epsilon=HEAD_EPSILON))
    for index in (1, 2, 3):
        rate = index * 6 * 16 // output_stride
        views.append(
            separable(branches[index], 256, f"aspp{index}", dilation=rate, epsilon=HEAD_EPSILON)
        )
    x = blocks.conv_bn_relu(
        layers.Concatenate()(views), 256, 1, "concat_projection", epsilon=HEAD_EPSILON
    )
    return layers.Dropout(0.1)(x)


def deeplabv3_xception(
    num_classes: int, size: tuple[int | None, int | None], *, output_stride: Literal[8, 16] = 16
) -> keras.Model:
    """Builds DeepLabV3+ with Xception-65: 41,050,273 parameters for one class.

    Output stride 8 takes 3.3 times the multiply-accumulates of 16.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None; 8 k + 1 aligns all maps, as the authors train.
      output_stride: 16, or 8 for finer features at over three times the cost.

    Returns:
      A model from (B, H, W, 3) to {"logits": (B, H, W, num_classes)}.

    Raises:
      InputError: another output stride.

    Reference:
      Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
      Segmentation", ECCV 2018, arXiv 1802.02611; Chollet, arXiv 1610.02357; code
      tensorflow/models research/deeplab, which it follows down to the padding, the two epsilons
      and the aligned corners. The batch norm momentum is 0.9 in place of 0.9997.
    """
    if output_stride not in (8, 16):
        raise InputError(
            f"deeplabv3_xception: output_stride {output_stride} is not possible: use 8 or 16"
        )
    image = keras.Input((*size, 3), name="image")
    x, low = xception65(image, output_stride)  # (B, H/16, W/16, 2048), (B, H/4, W/4, 256)
    x = atrous_pyramid(x, output_stride)  # (B, H/16, W/16, 256)
    low = blocks.conv_bn_relu(low, 48, 1, "feature_projection0", epsilon=HEAD_EPSILON)
    x = layers.Concatenate()([blocks.resize_like(x, low, align_corners=True), low])
    x = separable(x, 256, "decoder_conv0", epsilon=HEAD_EPSILON)  # (B, H/4, W/4, 256)
    x = separable(x, 256, "decoder_conv1", epsilon=HEAD_EPSILON)
    dtype = blocks.logits_dtype()
    x = blocks.conv(x, num_classes, 1, "logits", bias=True, dtype=dtype)
    logits = blocks.resize_like(x, image, align_corners=True, dtype=dtype)  # (B, H, W, C)
    return keras.Model(image, {"logits": logits}, name="deeplabv3_xception")
