"""The devices that train: a batch split among several GPUs, and what is said where one cannot."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from skyseg_tf.errors import InputError
from skyseg_tf.training.settings import TrainConfig


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


@contextmanager
def telling_device_errors(settings: TrainConfig) -> Iterator[None]:
    """Inside, it is said what to do where TensorFlow lacks memory or XLA an operation.

    Args:
      settings: of the training that is inside.

    Raises:
      InputError: as said, in one line.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise InputError(
            f"memory does not hold --batch-size {settings.batch_size}; give a smaller one, and "
            "--accumulate where a step shall be of as many photos"
        ) from None
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        if not settings.xla:
            raise
        raise InputError(
            f"--xla: XLA cannot compile a training step of {settings.model} in "
            f"{settings.precision} here; leave --xla out, or give --precision auto, which tries it"
        ) from None
