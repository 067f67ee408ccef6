"""The devices that train: a batch split among several GPUs, and what is said where one cannot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

from skyseg_tf.errors import InputError, counted
from skyseg_tf.labels import IGNORE
from skyseg_tf.training.settings import TrainConfig


@contextmanager
def use_devices(count: int, batch_size: int, processes: int = 1) -> Iterator[None]:
    """Inside, networks are built for data-parallel training and trained so.

    TensorFlow mirrors the variables (tf.distribute.MirroredStrategy), JAX shards the batch
    (keras.distribution.DataParallel). Batch normalization has the statistics of each device's part
    on TensorFlow and of the whole batch on JAX; so have losses, which are means over pixels at most.

    Args:
      count: GPUs to use, or other devices where there is no GPU.
      batch_size: of all together.
      processes: that train together, with so many devices each (see processes.join); one of them
        with one device leaves all as it is.

    Raises:
      InputError: fewer devices, or a batch that cannot be split evenly.
    """
    if count * processes == 1:
        yield
        return
    on_jax = keras.backend.backend() == "jax"
    found = [_jax_devices(i) for i in range(processes)] if on_jax else [_tensorflow_devices()]
    if (least := min(map(len, found))) < count:
        raise InputError(
            f"--devices {count}: this machine has {_told(found[0], least)}: give no more"
        )
    if batch_size % (count * processes):
        fit = -(-batch_size // (count * processes)) * count * processes
        of = f" in each of {processes} processes" if processes > 1 else ""
        raise InputError(
            f"--devices {count}{of}: --batch-size {batch_size} is not a multiple of it; give {fit}"
        )
    if on_jax:
        before = keras.distribution.distribution()
        devices = [device for part in found for device in part[:count]]
        keras.distribution.set_distribution(_Parallel(processes, devices))
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)
    else:
        with tf.distribute.MirroredStrategy(found[0][:count]).scope():
            yield


class _Parallel(keras.distribution.DataParallel):
    """Batches shared by devices, of which those of several processes each feed their own part.

    Attributes:
      processes: how many there are.
      whole: whether each process feeds the whole batch instead, the same as the others do.
    """

    def __init__(self, processes: int, devices: list[str]):
        super().__init__(devices=devices, auto_shard_dataset=False)
        self.processes, self.whole = processes, False

    def get_data_layout(self, data_shape: tuple[int, ...]) -> keras.distribution.TensorLayout:
        """How a batch lies on the devices: split along its first axis, or all of it on each."""
        first = None if self.whole else self.batch_dim_name
        axes = [first, *[None] * (len(data_shape) - 1)]
        return keras.distribution.TensorLayout(axes, self.device_mesh)


def evened(batches: tf.data.Dataset, devices: int) -> tf.data.Dataset:
    """Batches of which each device gets as many photos: the last is filled with ignored ones.

    Args:
      batches: (images, masks), of any number.
      devices: that share each.
    """
    if devices == 1:
        return batches

    def fill(images, masks):
        missing = -tf.shape(masks)[0] % devices

        def filled(values, value):
            ends = [[0, missing], *[[0, 0]] * (values.shape.rank - 1)]
            return tf.pad(values, ends, constant_values=tf.cast(value, values.dtype))

        return filled(images, 0), filled(masks, IGNORE)

    return batches.map(fill)


@contextmanager
def whole_batches() -> Iterator[None]:
    """Inside, each of several processes feeds whole batches: the last one may not be divisible."""
    parallel = keras.distribution.distribution()
    together = isinstance(parallel, _Parallel) and parallel.processes > 1
    if together:
        parallel.whole = True
    try:
        yield
    finally:
        if together:
            parallel.whole = False


def _jax_devices(process: int) -> list[str]:
    """Names of a process' devices, as Keras knows them."""
    import jax

    return [f"{device.platform}:{device.id}" for device in jax.local_devices(process)]


def _tensorflow_devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    return [device.name for device in gpus or tf.config.list_logical_devices("CPU")]


def _told(names: Sequence[str], number: int) -> str:
    """So many devices in words: on a CPU "1" alone would leave open of what."""
    if "cpu" in names[0].lower():
        return f"no GPU, and its CPU is {counted(number, 'device')}"
    return counted(number, "GPU")


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
