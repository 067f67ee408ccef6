"""Several GPUs of one machine: the batch is split among them, and their gradients are summed up."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from skyseg_tf.errors import InputError


@contextmanager
def use_devices(count: int, batch_size: int) -> Iterator[None]:
    """Inside, networks are built for data-parallel training and trained so.

    TensorFlow mirrors the variables (tf.distribute.MirroredStrategy), JAX shards the batch
    (keras.distribution.DataParallel). Batch normalization has the statistics of each device's part
    on TensorFlow and of the whole batch on JAX; so have losses that are no mean over pixels.

    Args:
      count: GPUs to use, or other devices where there is no GPU; 1 leaves all as it is.
      batch_size: of all together.

    Raises:
      InputError: fewer devices, or a batch that cannot be split evenly.
    """
    if count == 1:
        yield
        return
    jax = keras.backend.backend() == "jax"
    found = keras.distribution.list_devices() if jax else _tensorflow_devices()
    if len(found) < count:
        raise InputError(f"--devices {count}: this machine has {len(found)}, give no more")
    if batch_size % count:
        fit = -(-batch_size // count) * count
        raise InputError(
            f"--devices {count}: --batch-size {batch_size} is not a multiple of it; give {fit}"
        )
    if jax:
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found[:count]))
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)
    else:
        with tf.distribute.MirroredStrategy(found[:count]).scope():
            yield


def _tensorflow_devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
