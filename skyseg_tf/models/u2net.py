"""U2-Net: a U of U-shaped blocks, in its full and its small size."""

import keras
from keras import layers

from skyseg_tf.models import blocks

# stage: (levels of the block, or 0 for the dilated block; middle and output channels)
FULL = {
    "stage1": (7, 32, 64),
    "stage2": (6, 32, 128),
    "stage3": (5, 64, 256),
    "stage4": (4, 128, 512),
    "stage5": (0, 256, 512),
    "stage6": (0, 256, 512),
    "stage5d": (0, 256, 512),
    "stage4d": (4, 128, 256),
    "stage3d": (5, 64, 128),
    "stage2d": (6, 32, 64),
    "stage1d": (7, 16, 64),
}
SMALL = {stage: (levels, 16, 64) for stage, (levels, _, _) in FULL.items()}


def conv_bn_relu(x, filters: int, name: str, dilation: int = 1):
    """Convolution 3x3 with bias, batch normalization, ReLU (REBNCONV in the code)."""
    names = f"{name}.conv_s1", f"{name}.bn_s1"
    return blocks.relu(blocks.conv_bn(x, filters, 3, *names, dilation=dilation, bias=True))


def pool(x):
    """Halves the height and width, rounding up: no row or column of an odd image is lost."""
    return layers.MaxPooling2D(2, 2, "same")(x)


def u_block(x, levels: int, middle: int, filters: int, name: str):
    """The residual U-block RSU-L: a small U-Net whose input projection is added at the end."""
    start = conv_bn_relu(x, filters, f"{name}.rebnconvin")
    x, skips = start, []
    for level in range(1, levels):
        x = conv_bn_relu(pool(x) if skips else x, middle, f"{name}.rebnconv{level}")
        skips.append(x)
    x = conv_bn_relu(x, middle, f"{name}.rebnconv{levels}", dilation=2)
    for level in range(levels - 1, 0, -1):
        x = layers.Concatenate()([blocks.resize_like(x, skips[level - 1]), skips[level - 1]])
        x = conv_bn_relu(x, middle if level > 1 else filters, f"{name}.rebnconv{level}d")
    return layers.Add()([x, start])


def dilated_block(x, middle: int, filters: int, name: str):
    """The residual block RSU-4F: dilation in place of pooling, for maps already small."""
    start = conv_bn_relu(x, filters, f"{name}.rebnconvin")
    x, skips = start, []
    for level, dilation in enumerate((1, 2, 4), 1):
        x = conv_bn_relu(x, middle, f"{name}.rebnconv{level}", dilation)
        skips.append(x)
    x = conv_bn_relu(x, middle, f"{name}.rebnconv4", dilation=8)
    for level, dilation in ((3, 4), (2, 2), (1, 1)):
        x = layers.Concatenate()([x, skips[level - 1]])
        x = conv_bn_relu(x, middle if level > 1 else filters, f"{name}.rebnconv{level}d", dilation)
    return layers.Add()([x, start])


def _build(name: str, stages: dict, num_classes: int, size) -> keras.Model:
    image = keras.Input((*size, 3), name="image")

    def stage(x, key):
        levels, *channels = stages[key]
        return u_block(x, levels, *channels, key) if levels else dilated_block(x, *channels, key)

    skips = [stage(image, "stage1")]
    for depth in range(2, 7):  # (B, H/2, W/2, ...) to (B, H/32, W/32, ...)
        skips.append(stage(pool(skips[-1]), f"stage{depth}"))
    x = skips[-1]
    sides = [x]  # the deepest side output looks at the encoder: there is no sixth decoder
    for depth in range(5, 0, -1):  # (B, H/16, W/16, ...) to (B, H, W, 64)
        skip = skips[depth - 1]
        x = stage(layers.Concatenate()([blocks.resize_like(x, skip), skip]), f"stage{depth}d")
        sides.append(x)

    head = {"bias": True, "kernel_initializer": "glorot_uniform", "dtype": blocks.logits_dtype()}
    logits = [
        blocks.resize_like(
            blocks.conv(x, num_classes, 3, f"side{depth}", **head), image, dtype=head["dtype"]
        )  # (B, H, W, num_classes)
        for depth, x in enumerate(reversed(sides), 1)
    ]
    fused = layers.Concatenate(dtype=head["dtype"])(logits)
    outputs = {"logits": blocks.conv(fused, num_classes, 1, "outconv", **head)}
    outputs |= {f"aux_{depth}": side for depth, side in enumerate(logits, 1)}
    return keras.Model(image, outputs, name=name)


def u2net(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds the full U2-Net: 44,009,869 parameters for one class.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None.

    Returns:
      A model from (B, H, W, 3) to {"logits": fused output, "aux_1": ..., "aux_6": side outputs},
      each (B, H, W, num_classes).

    Reference:
      Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection",
      Pattern Recognition 106 (2020), arXiv 2005.09007; code xuebinqin/U-2-Net. The sigmoid is
      left to the loss. The dictionary's order is the code's (fused, side 1, ..., side 6).
    """
    return _build("u2net", FULL, num_classes, size)


def u2netp(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds the small U2-Net: 1,131,181 parameters for one class.

    All blocks have 16 middle and 64 output channels; the rest, arguments and result are those of
    `u2net`.
    """
    return _build("u2netp", SMALL, num_classes, size)
