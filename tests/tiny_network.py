"""A network for tests of the training: what makes resuming hard, and nothing that takes time."""

import keras
from keras import layers

from skyseg_tf.models import MODELS, Network, blocks


def tiny(num_classes, size):
    """Batch normalization and Dropout, under the name of a real network."""
    image = keras.Input((*size, 3), name="image")
    x = blocks.relu(blocks.batch_norm(blocks.conv(image, 8, 3, "conv"), "norm"))
    x = layers.SpatialDropout2D(0.3)(layers.Dropout(0.3)(x))
    logits = blocks.conv(x, num_classes, 1, "outputConv", bias=True, dtype=blocks.logits_dtype())
    return keras.Model(image, {"logits": logits}, name="skynet")


NETWORKS = MODELS | {"skynet": Network(tiny, divisor=4)}

if __name__ == "__main__":
    from skyseg_tf.train import main

    MODELS.update(NETWORKS)
    main()
