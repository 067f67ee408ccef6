"""BiSeNetV2: a wide shallow branch for detail, a deep narrow one for meaning, and their fusion."""

from typing import Literal

import keras
from keras import layers

from skyseg_tf.models import blocks


def detail_branch(image):
    """Three stages at full width: (B, H, W, 3) to (B, H/8, W/8, 128)."""
    x = image
    for stage, filters, repeats in (("S1", 64, 2), ("S2", 64, 3), ("S3", 128, 3)):
        for index in range(repeats):
            stride = 2 if index == 0 else 1
            x = blocks.conv_bn_relu(x, filters, 3, f"detail.{stage}.{index}", stride=stride)
    return x


def stem(image):
    """Two ways of halving, joined: (B, H, W, 3) to (B, H/4, W/4, 16)."""
    x = blocks.conv_bn_relu(image, 16, 3, "segment.S1S2.conv", stride=2)  # (B, H/2, W/2, 16)
    left = blocks.conv_bn_relu(x, 8, 1, "segment.S1S2.left.0")
    left = blocks.conv_bn_relu(left, 16, 3, "segment.S1S2.left.1", stride=2)  # (B, H/4, W/4, 16)
    x = layers.Concatenate()([left, blocks.max_pool3(x)])
    return blocks.conv_bn_relu(x, 16, 3, "segment.S1S2.fuse")


def expand(x, name: str, *, multiplier=1, stride=1):
    """Depthwise 3x3 and batch normalization, the first two members of a published sequence."""
    x = blocks.depthwise(x, 3, f"{name}.0", stride=stride, multiplier=multiplier)
    return blocks.batch_norm(x, f"{name}.1")


def gather_expand(x, filters: int, name: str):
    """Gather and expand, stride 1: a residual block that works at six times the width."""
    y = blocks.conv_bn_relu(x, filters, 3, f"{name}.conv1")
    y = blocks.relu(expand(y, f"{name}.dwconv", multiplier=6))
    y = blocks.conv_bn(y, filters, 1, f"{name}.conv2.0", f"{name}.conv2.1")
    return blocks.relu(layers.Add()([y, x]))


def gather_expand_down(x, filters: int, name: str):
    """Gather and expand, stride 2: (B, H, W, C) to (B, H/2, W/2, filters)."""
    y = blocks.conv_bn_relu(x, x.shape[-1], 3, f"{name}.conv1")
    y = expand(y, f"{name}.dwconv1", multiplier=6, stride=2)
    y = blocks.relu(expand(y, f"{name}.dwconv2"))
    y = blocks.conv_bn(y, filters, 1, f"{name}.conv2.0", f"{name}.conv2.1")
    x = expand(x, f"{name}.shortcut", stride=2)
    x = blocks.conv(x, filters, 1, f"{name}.shortcut.2")
    return blocks.relu(layers.Add()([y, blocks.batch_norm(x, f"{name}.shortcut.3")]))


def context_embedding(x):
    """Adds the mean over the image to every pixel: (B, H/32, W/32, 128) to the same."""
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)  # (B, 1, 1, 128)
    mean = blocks.batch_norm(mean, "segment.S5_5.bn")
    mean = blocks.conv_bn_relu(mean, 128, 1, "segment.S5_5.conv_gap")
    return blocks.conv_bn_relu(layers.Add()([mean, x]), 128, 3, "segment.S5_5.conv_last")


def semantic_branch(image):
    """The outputs of the stem and stages 3, 4, 5 (for the auxiliary heads) and of the context."""
    x, kept = blocks.fork(stem(image))
    stages = [kept]
    for stage, filters, repeats in (("S3", 32, 2), ("S4", 64, 2), ("S5_4", 128, 4)):
        x = gather_expand_down(x, filters, f"segment.{stage}.0")
        for index in range(1, repeats):
            x = gather_expand(x, filters, f"segment.{stage}.{index}")
        x, kept = blocks.fork(x)
        stages.append(kept)  # (B, H/8, W/8, 32), (B, H/16, W/16, 64), (B, H/32, W/32, 128)
    return stages, context_embedding(x)


def guided_aggregation(detail, semantic, mmseg: bool):
    """Each branch gated by the other, at both resolutions: (B, H/8, W/8, 128)."""
    enlarging = "bilinear" if mmseg else "nearest"
    left1 = blocks.conv(expand(detail, "bga.left1"), 128, 1, "bga.left1.2", bias=mmseg)
    left2 = blocks.conv(detail, 128, 3, "bga.left2.0", stride=2)  # (B, H/16, W/16, 128)
    left2 = blocks.batch_norm(left2, "bga.left2.1")
    # Padding by hand: the mean counts the border's zeros, as in the reference.
    left2 = layers.AveragePooling2D(3, 2)(layers.ZeroPadding2D(1)(left2))  # (B, H/32, W/32, 128)
    right1 = blocks.conv_bn(semantic, 128, 3, "bga.right1.0", "bga.right1.1")
    right1 = blocks.resize_like(right1, left1, enlarging)  # (B, H/8, W/8, 128)
    right2 = blocks.conv(expand(semantic, "bga.right2"), 128, 1, "bga.right2.2", bias=mmseg)
    left = layers.Multiply()([left1, layers.Activation("sigmoid")(right1)])
    right = layers.Multiply()([left2, layers.Activation("sigmoid")(right2)])
    x = layers.Add()([left, blocks.resize_like(right, left, enlarging)])
    return blocks.relu(blocks.conv_bn(x, 128, 3, "bga.conv.0", "bga.conv.1"))


def head(x, image, filters: int, num_classes: int, name: str, up: int = 0, again: bool = False):
    """Logits at the image's size.

    An auxiliary head works once more: with up > 0 at twice the size, with `again` as it is.
    """
    dtype = blocks.logits_dtype()
    dropout = layers.Dropout(0.1)  # made first: the order decides which random numbers a seed gives
    x = blocks.conv_bn_relu(x, filters, 3, f"{name}.conv")
    if again:
        x = blocks.conv_bn_relu(x, filters, 3, f"{name}.conv2")
    x = dropout(x)
    if up:
        x = blocks.conv_bn_relu(layers.UpSampling2D(2)(x), up**2, 3, f"{name}.conv_out.0.1")
    x = blocks.conv(x, num_classes, 1, f"{name}.conv_out.1", bias=True, dtype=dtype)
    return blocks.resize_like(x, image, dtype=dtype)  # (B, H, W, num_classes)


def bisenetv2(
    num_classes: int,
    size: tuple[int | None, int | None],
    *,
    variant: Literal["coincheung", "mmseg"] = "coincheung",
) -> keras.Model:
    """Builds BiSeNetV2: 3,340,177 parameters for one class, 5,188,485 with the auxiliary heads.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None. The reference takes multiples of 32 only.
      variant: whose code it follows. mmsegmentation's enlarges bilinearly in the fusion, where two
        convolutions have biases, and its auxiliary heads are two convolutions of 16, 64, 256 and
        1024 channels.

    Returns:
      A model from (B, H, W, 3) to {"logits", "aux_1" (stem), "aux_2", "aux_3", "aux_4" (stage 5)},
      each (B, H, W, num_classes). Training wants more than one image in a batch: the context
      embedding normalizes a 1x1 map.

    Reference:
      Yu et al., "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic
      Segmentation", IJCV 2021, arXiv 2004.02147. The authors' code is not public; details
      (the head's 1024 channels, ReLUs in the expansion, nearest upsampling in the fusion, the
      auxiliary heads) follow CoinCheung/BiSeNet.
    """
    image = keras.Input((*size, 3), name="image")
    stages, semantic = semantic_branch(image)
    mmseg = variant == "mmseg"
    fused = guided_aggregation(detail_branch(image), semantic, mmseg)
    outputs = {"logits": head(fused, image, 1024, num_classes, "head")}
    # Name, by how much the second convolution enlarges its logits, its channels in mmsegmentation.
    heads = (("aux2", 4, 16), ("aux3", 8, 64), ("aux4", 16, 256), ("aux5_4", 32, 1024))
    for index, ((name, up, wide), stage) in enumerate(zip(heads, stages, strict=True), 1):
        outputs[f"aux_{index}"] = (
            head(stage, image, wide, num_classes, name, again=True)
            if mmseg
            else head(stage, image, 128, num_classes, name, up)
        )
    return keras.Model(image, outputs, name="bisenetv2")
