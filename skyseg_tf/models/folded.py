"""A network's weights as an exported graph holds them, and back.

Exporters fold a batch normalization into the convolution before it where they can. What is left
computes the same, so a network can be rebuilt from it: `scale` and `shift` are all that a batch
normalization does at inference.
"""

from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np
from keras import layers

from skyseg_tf.errors import InputError

# Axes of a Keras kernel in ONNX's order. DepthwiseConv2D keeps (h, w, C, 1) -> (C, 1, h, w).
_AXES = {
    layers.Conv2D: (3, 2, 0, 1),  # (h, w, in, out) -> (out, in, h, w)
    layers.Conv2DTranspose: (3, 2, 0, 1),  # (h, w, out, in) -> (in, out, h, w)
    layers.DepthwiseConv2D: (2, 3, 0, 1),
}


def match_weights(network: keras.Model, find: Callable[[np.ndarray], str | None]) -> dict[str, str]:
    """Finds each weight of a network among an exported graph's constants, by value.

    Args:
      network: of models.build_model.
      find: array -> name of the constant that holds it, or None. Sides of length 1 do not count.

    Returns:
      "<layer>.weight", "<layer>.bias", "<layer>.scale" or "<layer>.shift" -> the constant's name.
      The scale of a folded batch normalization is absent: it is in the weight before it.

    Raises:
      InputError: a kind of layer that this does not know, or a weight that is not in the graph.
    """
    names: dict[str, str | None] = {}
    scales = {}
    for layer in _weighted(network):
        if isinstance(layer, layers.BatchNormalization):
            scale, shift = _scale_and_shift(layer)
            names[f"{layer.name}.shift"] = find(shift)
            if found := find(scale):
                names[f"{layer.name}.scale"] = found
            else:
                scales[_layer_before(layer)] = scale
    for layer in _weighted(network):
        if isinstance(layer, layers.BatchNormalization):
            continue
        weight = np.asarray(layer.kernel).transpose(_AXES[type(layer)])
        if layer.name in scales:
            weight = weight * scales.pop(layer.name).reshape(-1, 1, 1, 1)
        names[f"{layer.name}.weight"] = find(weight)
        if layer.use_bias:
            names[f"{layer.name}.bias"] = find(np.asarray(layer.bias))
    missing = [name for name, found in names.items() if found is None] + [*scales]
    if missing:
        raise InputError(f"{network.name}: the exported graph lacks the weight {missing[0]}")
    return names


def load_folded_weights(network: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Copies what `match_weights` named into a fresh network, which then computes the same.

    Args:
      network: of models.build_model, the same as the one exported.
      weights: "<layer>.weight" and so on -> array, of any float type.

    Raises:
      InputError: of another network.
    """
    used = set()

    def get(name: str, shape: tuple[int, ...], default=None) -> np.ndarray:
        value = weights.get(name, default)
        if value is None or np.size(value) != np.prod(shape):
            raise InputError(f"{network.name}: the stored weights are of another network ({name})")
        used.add(name)
        return np.asarray(value, np.float32).reshape(shape)

    for layer in _weighted(network):
        if isinstance(layer, layers.BatchNormalization):
            shape = tuple(layer.gamma.shape)
            scale = get(f"{layer.name}.scale", shape, np.ones(shape))
            layer.gamma.assign(scale * np.sqrt(1 + layer.epsilon))
            layer.beta.assign(get(f"{layer.name}.shift", shape))
            layer.moving_mean.assign(np.zeros(shape))
            layer.moving_variance.assign(np.ones(shape))
            continue
        axes, shape = _AXES[type(layer)], tuple(layer.kernel.shape)
        stored = get(f"{layer.name}.weight", tuple(shape[axis] for axis in axes))
        layer.kernel.assign(stored.transpose(np.argsort(axes)))
        if layer.use_bias:
            layer.bias.assign(get(f"{layer.name}.bias", tuple(layer.bias.shape)))
    if unused := sorted(weights.keys() - used):
        raise InputError(f"{network.name}: the stored weights are of another network ({unused[0]})")


def restore_statistics(network: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Gives batch normalizations back the statistics that folding took, in place.

    Trained on, a batch normalization goes by the mean and variance of its batch, which in a folded
    network are not those that it states (0 and 1). Here it is told those of some images, and what
    it computes at inference stays the same.

    Args:
      network: of `load_folded_weights`.
      images: normalized float32 (B, H, W, 3) each, as the network is to be trained on.
    """
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    if not norms:
        return
    moments = []
    for layer in norms:
        x = keras.ops.cast(layer.input, "float32")
        moments.append(keras.ops.mean(x, (0, 1, 2)))
        moments.append(keras.ops.mean(keras.ops.square(x), (0, 1, 2)))
    look = keras.Model(network.inputs[0], moments)
    sums, count = [0.0] * len(moments), 0
    for batch in images:
        values = look(batch, training=False)
        sums = [
            total + np.asarray(value, np.float64) for total, value in zip(sums, values, strict=True)
        ]
        count += 1
    means = [total / count for total in sums]
    for layer, mean, square in zip(norms, means[::2], means[1::2], strict=True):
        scale, shift = _scale_and_shift(layer)
        variance = np.maximum(square - mean**2, 0)
        layer.gamma.assign(scale * np.sqrt(variance + layer.epsilon))
        layer.beta.assign(shift + scale * mean)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def _weighted(network: keras.Model) -> list[layers.Layer]:
    found = [layer for layer in network.layers if layer.weights]
    for layer in found:
        kind = layers.BatchNormalization if isinstance(layer, layers.BatchNormalization) else None
        if kind is None and type(layer) not in _AXES:
            raise InputError(
                f"{network.name}: '{layer.name}' is a {type(layer).__name__}, which the box of "
                "models cannot store; export it with `skyseg export` instead"
            )
    return found


def _scale_and_shift(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = (
        np.asarray(v, np.float64)
        for v in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _layer_before(layer: layers.Layer) -> str:
    return layer.input._keras_history.operation.name
