"""PSPNet: a dilated ResNet with a pyramid of pooled context."""

from typing import Literal

import keras
from keras import layers

from skyseg_tf.errors import InputError
from skyseg_tf.models import blocks

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # depth: bottlenecks in the four stages


def bottleneck(x, width: int, name: str, *, stride=1, dilation=1):
    """1x1, 3x3 (with the stride or dilation), 1x1 to 4 x width, and a shortcut."""
    conv, bn = f"{name}.conv", f"{name}.bn"
    y = blocks.relu(blocks.conv_bn(x, width, 1, f"{conv}1", f"{bn}1"))
    y = blocks.conv_bn(y, width, 3, f"{conv}2", f"{bn}2", stride=stride, dilation=dilation)
    y = blocks.conv_bn(blocks.relu(y), 4 * width, 1, f"{conv}3", f"{bn}3")
    if name.endswith(".0"):
        down = f"{name}.downsample"
        x = blocks.conv_bn(x, 4 * width, 1, f"{down}.0", f"{down}.1", stride=stride)
    return blocks.relu(layers.Add()([y, x]))


def dilated_resnet(image, depth: int, mmseg: bool):
    """The features of stages 3 (1024 channels) and 4 (2048), both at (H/8, W/8)."""
    narrow, wide = (32, 64) if mmseg else (64, 128)
    x = blocks.relu(blocks.conv_bn(image, narrow, 3, "layer0.0", "layer0.1", stride=2))
    x = blocks.relu(blocks.conv_bn(x, narrow, 3, "layer0.3", "layer0.4"))  # (B, H/2, W/2, narrow)
    x = blocks.relu(blocks.conv_bn(x, wide, 3, "layer0.6", "layer0.7"))
    x = blocks.max_pool3(x)  # (B, H/4, W/4, wide)
    for stage, repeats in enumerate(BLOCKS[depth], 1):
        dilation = {3: 2, 4: 4}.get(stage, 1)
        for index in range(repeats):
            # The stage's first block is dilated as much, or with mmsegmentation half as much.
            half = mmseg and index == 0 and dilation > 1
            x = bottleneck(
                x,
                32 * 2**stage,
                f"layer{stage}.{index}",
                stride=2 if (stage, index) == (2, 0) else 1,
                dilation=dilation // 2 if half else dilation,
            )
        if stage == 3:
            x, middle = blocks.fork(x)
    return middle, x


def pyramid_pooling(x, aligned: bool):
    """Means over 1, 4, 9 and 36 areas beside the features: 2048 channels to 4096."""
    x, *branches = blocks.fork(x, 5)
    views = [x]
    for index, bins in enumerate((1, 2, 3, 6)):
        name = f"ppm.features.{index}"
        pooled = blocks.AveragePoolBins(bins)(branches[index])
        view = blocks.conv_bn(pooled, 512, 1, f"{name}.1", f"{name}.2")
        views.append(blocks.resize_like(blocks.relu(view), x, align_corners=aligned))
    return layers.Concatenate()(views)


def head(x, image, filters: int, num_classes: int, name: str, aligned: bool):
    """Logits at the image's size."""
    dtype = blocks.logits_dtype()
    x = blocks.relu(blocks.conv_bn(x, filters, 3, f"{name}.0", f"{name}.1"))
    x = layers.SpatialDropout2D(0.1)(x)
    x = blocks.conv(x, num_classes, 1, f"{name}.4", bias=True, dtype=dtype)
    return blocks.resize_like(x, image, align_corners=aligned, dtype=dtype)  # (B, H, W, C)


def pspnet(
    num_classes: int,
    size: tuple[int | None, int | None],
    *,
    depth: Literal[50, 101] = 50,
    variant: Literal["semseg", "mmseg"] = "semseg",
) -> keras.Model:
    """Builds PSPNet on ResNet-50: 46,715,347 parameters for 19 classes, 49,080,038 with aux.

    On ResNet-101: 65,707,475 and 68,072,166 parameters.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None; 8 k + 1 aligns all maps, as the authors demand.
      depth: of the ResNet, 50 or 101.
      variant: whose code it follows. mmsegmentation's stem is half as wide, the first blocks of its
        stages 3 and 4 are dilated half as much, and corners are not aligned.

    Returns:
      A model from (B, H, W, 3) to {"logits", "aux_1" (stage 3)}, each (B, H, W, num_classes).

    Raises:
      InputError: another depth.

    Reference:
      Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, arXiv 1612.01105; code
      hszhao/semseg: stem of three 3x3 convolutions, the stride on the 3x3 of a bottleneck, all
      blocks of stages 3 and 4 dilated, aligned corners.
    """
    if depth not in BLOCKS:
        raise InputError(
            f"pspnet: depth {depth} is not possible: use {' or '.join(map(str, BLOCKS))}"
        )
    image = keras.Input((*size, 3), name="image")
    mmseg = variant == "mmseg"
    middle, x = dilated_resnet(image, depth, mmseg)  # (B, H/8, W/8, 1024), (B, H/8, W/8, 2048)
    outputs = {
        "logits": head(pyramid_pooling(x, not mmseg), image, 512, num_classes, "cls", not mmseg),
        "aux_1": head(middle, image, 256, num_classes, "aux", not mmseg),
    }
    return keras.Model(image, outputs, name="pspnet")
