"""Encoders that start from the ImageNet weights of keras.applications: `--init imagenet`.

Only EfficientNet-B2 is the same network there. Three differences remain, two of which are taken
into the weights: its normalization of the input goes into the first convolution and the mean behind
it, and its larger epsilon into the variances. The third cannot be: on even sizes keras.applications
pads a strided convolution at the bottom and the right alone, where this network pads all sides, so
that maps are shifted by up to a pixel; on sizes of 32 k + 1 the features are equal.
"""

import keras
import numpy as np

from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.errors import InputError
from skyseg_tf.models.unet_efficientnet import STAGES

IMAGENET = "imagenet"
_OTHERS = {
    "deeplabv3_xception": "its aligned Xception-65 has 16 middle blocks, strided convolutions in "
    "place of pooling and a normalization inside each separable convolution; keras.applications' "
    "Xception has 8 and neither",
    "pspnet": "its ResNet starts with three 3x3 convolutions to 128 channels and strides on the 3x3 "
    "of a block; keras.applications' has one 7x7 to 64 and strides on the 1x1",
    "resnet_lstm": "keras.applications has no ResNet-18",
}


def check_imagenet(name: str) -> None:
    """Refuses networks whose encoder is none of keras.applications.

    Args:
      name: key of models.MODELS.

    Raises:
      InputError: with the reason.
    """
    if name != "unet_efficientnet_b2":
        why = _OTHERS.get(
            name, "its encoder is a design of its own, never trained on ImageNet there"
        )
        raise InputError(
            f"--init imagenet: not for {name}: {why}; unet_efficientnet_b2 can, and "
            "`skyseg import_weights` takes published checkpoints of this network"
        )


def load_imagenet(
    model: keras.Model, stats: dict[str, float], weights: str | None = IMAGENET
) -> None:
    """Sets the encoder to that of keras.applications' EfficientNet-B2.

    Args:
      model: unet_efficientnet_b2 of models.build_model.
      stats: the six numbers that its images are normalized by.
      weights: of keras.applications, which downloads them on the first call; a file; or None for
        random ones.

    Raises:
      InputError: another network, or no weights to be had.
    """
    check_imagenet(model.name)
    try:
        source = keras.applications.EfficientNetB2(include_top=False, weights=weights)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise InputError(
            f"--init imagenet: the weights could not be downloaded ({str(error)[:120]}); on a "
            "machine with internet keras.applications.EfficientNetB2(include_top=False) puts them "
            "into ~/.keras/models: copy that file to the same place here"
        ) from None
    copy_encoder(source, model, stats)


def copy_encoder(source: keras.Model, model: keras.Model, stats: dict[str, float]) -> None:
    """Copies every weight of the encoder.

    Args:
      source: keras.applications.EfficientNetB2 without its top.
      model: unet_efficientnet_b2.
      stats: of the images that `model` takes.
    """
    for theirs, ours in _layer_pairs():
        there, here = source.get_layer(theirs), model.get_layer(ours)
        values = there.get_weights()
        if isinstance(here, keras.layers.BatchNormalization):
            values[3] = values[3] + there.epsilon - here.epsilon  # their function to the last bit
        here.set_weights(values)
    # They see scale x image + offset where this network sees (image - mean) / std.
    scale, offset = _input_normalization(source)
    mean, std = mean_and_std(stats)
    stem, norm = model.get_layer("encoder.conv_stem"), model.get_layer("encoder.bn1")
    kernel = np.asarray(stem.kernel)  # (3, 3, RGB, 32)
    constant = np.einsum("hwio,i->o", kernel, scale * mean + offset)
    stem.kernel.assign(kernel * (scale * std)[:, None])
    norm.moving_mean.assign(np.asarray(norm.moving_mean) - constant)


def _input_normalization(source: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """(3,) scale and offset of what happens to pixels before the first convolution."""
    start = keras.Model(source.input, source.get_layer("stem_conv_pad").input)
    shape = [n or 32 for n in source.input_shape[1:]]
    zero, full = (
        start.predict_on_batch(np.full((1, *shape), value, np.float32))[0, 0, 0].astype(float)
        for value in (0.0, 255.0)
    )
    return (full - zero) / 255.0, zero


def _layer_pairs() -> list[tuple[str, str]]:
    """Names of the layers that hold weights, in keras.applications and here."""
    pairs = [("stem_conv", "encoder.conv_stem"), ("stem_bn", "encoder.bn1")]
    for stage, (repeats, *_) in enumerate(STAGES):
        names = {"dwconv": "conv_dw", "se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
        if stage == 0:  # no expansion
            names |= {"bn": "bn1", "project_conv": "conv_pw", "project_bn": "bn2"}
        else:
            names |= {"expand_conv": "conv_pw", "expand_bn": "bn1", "bn": "bn2"}
            names |= {"project_conv": "conv_pwl", "project_bn": "bn3"}
        for index in range(repeats):
            there, here = f"block{stage + 1}{chr(97 + index)}_", f"encoder.blocks.{stage}.{index}."
            pairs += [(there + name, here + ours) for name, ours in names.items()]
    return pairs
