"""U-Net with an EfficientNet-B2 encoder."""

import keras
from keras import layers

from skyseg_tf.models import blocks
from skyseg_tf.models.efficientnet import blocks_of

# repeats, kernel, stride, channels out; the first stage does not expand, the others sixfold
STAGES = (
    (2, 3, 1, 16),
    (3, 3, 2, 24),
    (3, 5, 2, 48),
    (4, 3, 2, 88),
    (4, 5, 1, 120),
    (5, 5, 2, 208),
    (2, 3, 1, 352),
)
SKIPS = (1, 2, 4)  # stages whose output the decoder sees, beside the stem
DROP_PATH = 0.2  # of the last block, rising linearly from 0


# Of the encoder's start weights: standard deviation x sqrt(fan-in), PyTorch's default. Batch
# normalization takes their size away, but Adam's steps turn small weights faster than large ones:
# CamVid's mean IoU at 96x128 is 0.30 after 540 steps, with He's sqrt(2) after 900.
GAIN = 3**-0.5


def encoder_conv(x, filters: int, kernel: int, name: str, **options):
    """`blocks.conv` with the encoder's start weights."""
    start = keras.initializers.VarianceScaling(GAIN**2, "fan_in", "uniform")
    return blocks.conv(x, filters, kernel, name, kernel_initializer=start, **options)


def encoder_conv_bn(x, filters: int, kernel: int, conv_name: str, bn_name: str, *, stride=1):
    """`encoder_conv` without bias and batch normalization."""
    return blocks.batch_norm(encoder_conv(x, filters, kernel, conv_name, stride=stride), bn_name)


def silu(x):
    """x sigmoid(x)."""
    return layers.Activation("silu")(x)


def squeeze_excite(x, reduced: int, name: str):
    """Scales each channel by what the image's mean says: (B, H, W, C) to the same."""
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)  # (B, 1, 1, C)
    gate = silu(encoder_conv(mean, reduced, 1, f"{name}.conv_reduce", bias=True))
    gate = encoder_conv(gate, x.shape[-1], 1, f"{name}.conv_expand", bias=True)
    return layers.Multiply()([x, layers.Activation("sigmoid")(gate)])


def inverted_bottleneck(x, filters: int, kernel: int, stride: int, expand: int, name: str, drop):
    """MBConv: expand, depthwise convolution, squeeze and excite, project without activation.

    Args:
      x: (B, H, W, C).
      filters: channels out.
      kernel: of the depthwise convolution.
      stride: of the depthwise convolution.
      expand: factor of the width inside; 1 leaves the expansion out.
      name: published module path.
      drop: probability, per image, that training skips the block.

    Returns:
      (B, ceil(H / stride), ceil(W / stride), filters).
    """
    start, width = x, x.shape[-1]
    bn, project = 1, "conv_pw"  # without an expansion the names move up by one
    if expand > 1:
        x = silu(encoder_conv_bn(x, expand * width, 1, f"{name}.conv_pw", f"{name}.bn1"))
        bn, project = 2, "conv_pwl"
    x = blocks.depthwise(x, kernel, f"{name}.conv_dw", stride=stride, gain=GAIN)
    x = silu(blocks.batch_norm(x, f"{name}.bn{bn}"))
    x = squeeze_excite(x, width // 4, f"{name}.se")
    x = encoder_conv_bn(x, filters, 1, f"{name}.{project}", f"{name}.bn{bn + 1}")
    if stride > 1 or filters != width:
        return x
    return layers.Add()([layers.Dropout(drop, noise_shape=(None, 1, 1, 1))(x), start])


def encoder(image):
    """EfficientNet-B2 without its top: five maps of strides 2, 4, 8, 16, 32."""
    x = silu(encoder_conv_bn(image, 32, 3, "encoder.conv_stem", "encoder.bn1", stride=2))
    features = [x]  # (B, H/2, W/2, 32)
    total = sum(repeats for repeats, *_ in STAGES)
    for b in blocks_of(STAGES):
        name, drop = f"encoder.blocks.{b.stage}.{b.index}", DROP_PATH * b.number / total
        x = inverted_bottleneck(x, b.filters, b.kernel, b.stride, b.expand, name, drop)
        if b.is_last and b.stage in SKIPS:
            features.append(x)  # (B, H/4, W/4, 24), (B, H/8, W/8, 48), (B, H/16, W/16, 120)
    return [*features, x]  # (B, H/32, W/32, 352)


def unet_efficientnet_b2(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds a U-Net on EfficientNet-B2: 9,547,859 parameters for one class.

    The published state dict holds 498,432 more, which never run.

    Args:
      num_classes: logit channels.
      size: (height, width), any, or None. The reference takes multiples of 32 only.

    Returns:
      A model from (B, H, W, 3) to {"logits": (B, H, W, num_classes)}.

    Reference:
      Ronneberger et al., arXiv 1505.04597; Tan and Le, "EfficientNet: Rethinking Model Scaling
      for Convolutional Neural Networks", ICML 2019, arXiv 1905.11946; code
      segmentation_models.pytorch, encoder "timm-efficientnet-b2": the stem keeps 32 channels, all
      padding is symmetric, epsilon is 1e-5.
    """
    image = keras.Input((*size, 3), name="image")
    *skips, x = encoder(image)
    targets = [*reversed(skips), None]
    for index, (filters, skip) in enumerate(zip((256, 128, 64, 32, 16), targets, strict=True)):
        x = blocks.resize_like(x, image if skip is None else skip, "nearest")
        x = x if skip is None else layers.Concatenate()([x, skip])
        for part in ("conv1", "conv2"):  # (B, H/16, W/16, 256) to (B, H, W, 16)
            name = f"decoder.blocks.{index}.{part}"
            x = blocks.relu(blocks.conv_bn(x, filters, 3, f"{name}.0", f"{name}.1"))
    dtype = blocks.logits_dtype()
    logits = blocks.conv(x, num_classes, 3, "segmentation_head.0", bias=True, dtype=dtype)
    return keras.Model(image, {"logits": logits}, name="unet_efficientnet_b2")
