"""SkyNet, the small network of this project: a U-Net of two levels without normalization."""

import keras
from keras import layers

from skyseg_tf.models import blocks


def double_conv(x, filters: int, name: str):
    """Two 3x3 convolutions, each with bias and ReLU."""
    for index in (0, 2):
        x = blocks.relu(blocks.conv(x, filters, 3, f"{name}.{index}", bias=True))
    return x


def up_conv(x, filters: int, name: str):
    """A 2x2 transposed convolution with stride 2: twice the height and width."""
    return layers.Conv2DTranspose(filters, 2, 2, kernel_initializer="he_normal", name=name)(x)


def skynet(num_classes: int, size: tuple[int | None, int | None]) -> keras.Model:
    """Builds SkyNet: 1,862,849 parameters for one class.

    Args:
      num_classes: logit channels.
      size: (height, width), multiples of 4, or None for any such.

    Returns:
      A model from (B, H, W, 3) to {"logits": (B, H, W, num_classes)}.

    Reference:
      Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation",
      MICCAI 2015, arXiv 1505.04597. Two levels instead of four, padded convolutions, and the
      upsampling convolution keeps half the channels.
    """
    image = keras.Input((*size, 3), name="image")
    level1 = double_conv(image, 64, "conv1")  # (B, H, W, 64)
    level2 = double_conv(layers.MaxPooling2D()(level1), 128, "conv2")  # (B, H/2, W/2, 128)
    x = double_conv(layers.MaxPooling2D()(level2), 256, "bottleneck")  # (B, H/4, W/4, 256)
    x = layers.Concatenate()([up_conv(x, 128, "upsample1"), level2])
    x = double_conv(x, 128, "conv3")  # (B, H/2, W/2, 128)
    x = layers.Concatenate()([up_conv(x, 64, "upsample2"), level1])
    x = double_conv(x, 64, "conv4")  # (B, H, W, 64)
    logits = blocks.conv(x, num_classes, 1, "outputConv", bias=True, dtype=blocks.logits_dtype())
    return keras.Model(image, {"logits": logits}, name="skynet")
