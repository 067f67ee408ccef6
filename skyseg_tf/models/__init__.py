"""The networks: `build_model(name, num_classes)` and `load_torch_weights(model, state)`.

A network takes normalized float32 images (B, H, W, 3) and gives a dict of float32 logits
(B, H, W, C) at the input's size: "logits" is the answer, "aux_1", ... serve only the loss. A new
one is a file with a build function and an entry in `skyseg_tf.models.networks.MODELS`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from skyseg_tf.errors import InputError
from skyseg_tf.models.mmsegmentation import renamed
from skyseg_tf.models.networks import MODELS, Network, Recipe, find_network
from skyseg_tf.models.options import options_of, parse_options

__all__ = [
    "MODELS",
    "Network",
    "Recipe",
    "build_model",
    "check_size",
    "load_torch_weights",
    "parse_model_options",
]


def build_model(
    name: str,
    num_classes: int,
    *,
    size: tuple[int | None, int | None] = (None, None),
    **options,
) -> keras.Model:
    """Builds a network with fresh weights.

    Args:
      name: a key of MODELS.
      num_classes: logit channels; 1 for sky or not sky.
      size: (height, width) of the images; None where any will do.
      **options: the network's own, see its build function.

    Returns:
      A model from normalized float32 (B, H, W, 3), or (B, T, H, W, 3) for a sequence model, to a
      dict of float32 logits (B, H, W, num_classes).

    Raises:
      InputError: no such network or option, or a size that it cannot take.
    """
    network = find_network(name)
    build = network.build
    known = options_of(build)
    if unknown := sorted(set(options) - set(known)):
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise InputError(f"{name}: no option {', '.join(unknown)}; {has}")
    if num_classes < 1:
        raise InputError(f"{name}: num_classes is {num_classes}, must be at least 1")
    check_size(name, size)
    return build(num_classes, tuple(size), **options)


def parse_model_options(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """The options of `build_model` that a command was given.

    Args:
      name: a key of MODELS.
      texts: NAME=VALUE each, such as `depth=101`.

    Raises:
      InputError: no such network or option, or a value that it does not take.
    """
    return parse_options(name, find_network(name).build, texts)


def check_size(name: str, size: tuple[int | None, int | None]) -> None:
    """Refuses an image size that the network cannot take.

    Args:
      name: a key of MODELS.
      size: (height, width); None passes.

    Raises:
      InputError: with the nearest size that fits.
    """
    divisor = find_network(name).divisor
    if any(n is not None and n < 1 for n in size):
        raise InputError(
            f"{name}: image size {size[0]} x {size[1]} is not positive; give two sides above 0"
        )
    wrong = [
        side
        for side, n in zip(("height", "width"), size, strict=True)
        if n is not None and n % divisor
    ]
    if wrong:
        fit = " ".join(str(-(-n // divisor) * divisor) for n in size if n is not None)
        use = f"use {f'--image-size {fit}' if None not in size else fit}"
        raise InputError(f"{name}: {' and '.join(wrong)} must be divisible by {divisor}: {use}")


def load_torch_weights(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Copies a published PyTorch state dict into a model of `build_model`.

    Layers are matched by name, which is the published module path, never by order or shape. The
    model is left as it was if anything does not fit. Of mmsegmentation's checkpoints those of
    BiSeNetV2 and PSPNet fit the networks built with `variant="mmseg"`.

    Args:
      model: from `build_model`; its name tells the network.
      state: published parameter name -> array, as `{k: v.numpy() for k, v in sd.items()}`.

    Raises:
      InputError: the differences: missing and unexpected names, and shapes that differ.
    """
    state = renamed(model.name, state)
    copies = [copy for layer in model.layers for copy in _copies(layer)]
    wanted = {name for names, _, _ in copies for name in names}
    known = re.compile(
        "|".join([r"(.*\.)?num_batches_tracked", *find_network(model.name).ignorable])
    )
    complete = [copy for copy in copies if state.keys() >= set(copy[0])]
    values = [
        _converted(convert, [state[name] for name in names]) for names, _, convert in complete
    ]
    differences = {
        "missing": sorted(wanted - state.keys()),
        "unexpected": [name for name in state if name not in wanted and not known.fullmatch(name)],
        "of another shape": [
            f"{names[0]} {'x'.join(map(str, np.shape(state[names[0]])))}"
            for (names, variable, _), value in zip(complete, values, strict=True)
            if value is None or value.shape != tuple(variable.shape)
        ],
    }
    _refuse_differences(model.name, differences, len(complete))
    for (_, variable, _), value in zip(complete, values, strict=True):
        variable.assign(value)


def _refuse_differences(name: str, differences: dict[str, list[str]], compared: int) -> None:
    """Raises InputError, if there are any of so many weights; of each kind it names three."""
    told = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for what, names in differences.items()
        if names
    ]
    if 4 * len(differences["of another shape"]) > compared:  # more than the layers of the classes
        raise InputError(
            f"{name}: the weights do not fit: {'; '.join(told)}; it is another network with layers of "
            "the same names: give its --model"
        )
    if told and not (differences["missing"] or differences["unexpected"]):
        raise InputError(
            f"{name}: the weights do not fit: {'; '.join(told)}; it is this network with other "
            "classes (--num-classes) or options: give its own"
        )
    if told:
        raise InputError(
            f"{name}: the weights do not fit: {'; '.join(told)}; give a checkpoint of this network, "
            "or the options that it was built with"
        )


def _converted(convert: Callable, arrays: list) -> np.ndarray | None:
    try:
        return convert(*map(np.asarray, arrays))
    except ValueError:  # not even the number of axes is right
        return None


def _copies(layer: layers.Layer) -> list[tuple[tuple[str, ...], keras.Variable, Callable]]:
    """How a layer's variables come from PyTorch: (published names, variable, conversion)."""
    if not layer.weights or isinstance(layer, layers.Dropout):  # dropout keeps only its seed
        return []
    rules = {
        layers.BatchNormalization: _batch_norm_rules,
        layers.DepthwiseConv2D: _depthwise_rules,
        layers.Conv2D: _conv_rules,
        layers.Conv2DTranspose: _conv_rules,
        layers.LSTM: _lstm_rules,
    }
    rule = next(rule for kind, rule in rules.items() if isinstance(layer, kind))
    return [
        (tuple(f"{layer.name}.{key}" for key in keys.split()), variable, convert)
        for keys, variable, convert in rule(layer)
    ]


def _batch_norm_rules(layer):
    names = ("weight", "bias", "running_mean", "running_var")
    variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    return [(name, variable, np.asarray) for name, variable in zip(names, variables, strict=True)]


def _conv_rules(layer):
    # (out, in, h, w) -> (h, w, in, out), and transposed: (in, out, h, w) -> (h, w, out, in)
    rules = [("weight", layer.kernel, lambda weight: weight.transpose(2, 3, 1, 0))]
    return rules + ([("bias", layer.bias, np.asarray)] if layer.use_bias else [])


def _depthwise_rules(layer):
    def convert(weight):  # (C x multiplier, 1, h, w) -> (h, w, C, multiplier)
        weight = weight.squeeze(1)
        shape = (-1, layer.depth_multiplier, *weight.shape[1:])
        return weight.reshape(shape).transpose(2, 3, 0, 1)

    return [("weight", layer.kernel, convert)]


def _lstm_rules(layer):
    cell = layer.cell  # both have the gates in the order input, forget, cell, output
    return [
        ("weight_ih_l0", cell.kernel, np.transpose),
        ("weight_hh_l0", cell.recurrent_kernel, np.transpose),
        ("bias_ih_l0 bias_hh_l0", cell.bias, lambda *both: np.sum(both, 0, "float64")),
    ]
