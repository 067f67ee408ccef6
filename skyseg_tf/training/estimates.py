"""What a training step takes of memory, told before the first one."""

import math

import keras

from skyseg_tf.files.room import check_memory, free_memory, largest_size
from skyseg_tf.models import build_model
from skyseg_tf.training.job import Job
from skyseg_tf.training.precision import has_gpu

# No network of ours makes more numbers of a pixel; what fits in any case is not estimated.
_MOST_NUMBERS = 3000
# Bytes that a step takes for each number that a layer of the network gives: measured 5.4 (Skyline).
_BYTES = 4


def check_step(job: Job) -> None:
    """Refuses a batch that memory does not hold, on a machine that trains on its CPU.

    GPUs have memory of their own, whose lack TensorFlow tells in words.

    Args:
      job: what is to be trained.

    Raises:
      InputError: says which batch or which size would fit.
    """
    settings, manifest = job.settings, job.manifest
    height, width = manifest.image_size
    batch_size = settings.batch_size // settings.num_processes
    pixels = batch_size * height * width * manifest.frames
    if pixels * _MOST_NUMBERS * _BYTES < free_memory() or has_gpu():
        return
    numbers = _numbers_per_photo(job)
    check_memory(
        _BYTES * batch_size * numbers,
        f"a training step of {settings.model} with --batch-size {settings.batch_size} at "
        f"{height} x {width}",
        lambda share: _advice(job, share),
    )


def _numbers_per_photo(job: Job) -> int:
    """Of all outputs of the network's layers, for one photo or clip of the records' size."""
    size, options = job.manifest.image_size, job.network_options
    network = build_model(job.settings.model, job.scheme.num_logits, size=size, **options)
    outputs = [tensor for layer in network.layers for tensor in keras.tree.flatten(layer.output)]
    return sum(math.prod(tensor.shape[1:]) for tensor in outputs)


def _advice(job: Job, share: float) -> str:
    fits = int(job.settings.batch_size * share)
    if fits:
        return f"give --batch-size {fits}, and --accumulate where a step shall be of as many photos"
    size = largest_size(job.manifest.image_size, share * job.settings.batch_size, 32)
    return f"build records of at most --image-size {size}, and give --batch-size 1"
