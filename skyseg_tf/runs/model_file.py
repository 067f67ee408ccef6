"""model.keras of a run: the network with everything around it, so that whoever loads it needs no more."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.files.aside import write_aside


def make_saved_model(network: keras.Model, stats: dict[str, float]) -> keras.Model:
    """Wraps a network so that nobody downstream needs the statistics.

    Args:
      network: of models.build_model; its auxiliary outputs are left out.
      stats: six numbers of rgb_stats.json.

    Returns:
      A float32 model that shares the network's weights: RGB on 0-255, uint8 or float, (B, H, W, 3)
      -> probabilities (B, H, W, C): sigmoid for C = 1, else softmax.
    """
    mean, std = mean_and_std(stats)
    body = keras.Model(network.inputs, network.output["logits"], name=network.name)
    pixels = keras.Input(network.input_shape[1:], name="rgb", dtype="float32")
    scale = keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), dtype="float32")
    logits = body(scale(pixels))
    final = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    probs = keras.layers.Activation(final, dtype="float32", name="probabilities")(logits)
    return keras.Model(pixels, probs, name=f"{network.name}_from_rgb")


def predictor(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A saved model as a function of arrays of any size that it takes.

    For each pair of sizes `predict_on_batch` traces a graph that leaves open what differs, such as
    (B, None, 192, 3), and there TensorFlow 2.21 folds wrong paddings into dilated convolutions:
    U2-Net failed at 160x192 after 128x192. Here all that the model leaves open is open at once.

    Args:
      model: of make_saved_model, or loaded from its file.

    Returns:
      A function from RGB on 0-255, (B, H, W, 3) or clips, to its probabilities, float32.
    """
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    (shape,) = (entry.shape for entry in model.inputs)
    traced = tf.function(
        lambda pixels: model(pixels, training=False),
        input_signature=[tf.TensorSpec((None, *shape[1:]), tf.float32)],
    )
    return lambda pixels: traced(np.asarray(pixels, np.float32)).numpy()


def save_keras(path: str | Path, model: keras.Model) -> None:
    """Writes a .keras file, whole or not at all."""
    with write_aside(path, ".tmp.keras") as aside:  # Keras insists on the suffix
        model.save(aside)


def save_model(path: str | Path, network: keras.Model, stats: dict[str, float]) -> None:
    """Writes model.keras: see `make_saved_model`, `save_keras`."""
    save_keras(path, make_saved_model(network, stats))
