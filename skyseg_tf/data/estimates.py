"""What records take of memory and disk, told before the first photo is read."""

import os
from pathlib import Path

from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files.places import is_remote
from skyseg_tf.files.room import check_disk, check_memory, fewer_workers, largest_size

_MOST_RECORD = 2**31 - 2**20  # bytes: a protobuf message has less than 2 GB
_COPIES = 3  # of a record that each thread has in memory: pixels, encoded, serialized
# Bytes a pixel of a photo and of its mask; of compressed ones what the plainest take.
_STORED = {"normalized": (12, 1), "uint8": (3, 1), "png": (0.02, 0), "jpeg": (0.02, 0)}


def check_room(config: BuildConfig, count: int, *, two_passes: bool) -> None:
    """Refuses records that cannot be, or that memory or the disk do not hold.

    Args:
      config: of the build; what lies in its `out` already is taken off. Of a storage that `out`
        may be the URL of, nothing is known, and nothing of the memory of a cluster's machines.
      count: of records.
      two_passes: "normalized" records are written as uint8 first, and then both are there.

    Raises:
      InputError: says what would fit.
    """
    height, width = config.image_size
    pixels, (image, mask) = height * width * config.frames, _STORED[config.storage]
    record = pixels * image + height * width * mask
    shown = f"{height} x {width} in storage {config.storage}"

    def smaller(share: float) -> str:
        return f"at most --image-size {largest_size(config.image_size, share)}"

    if record > _MOST_RECORD:
        raise InputError(
            f"one record of {shown} with {counted(config.frames, 'frame')} is larger than 2 GB, which none "
            f"can be; give {smaller(_MOST_RECORD / record)}, or --storage jpeg"
        )
    workers = min(config.workers or os.cpu_count() or 1, count)
    if config.engine == "threads":
        check_memory(
            workers * pixels * max(3, image) * _COPIES,
            f"building records of {shown} in {counted(workers, 'thread')}",
            lambda share: fewer_workers(workers, share, smaller(share)),
        )
    if is_remote(config.out):
        return
    if config.storage == "normalized" and two_passes:
        record += pixels * 3 + height * width
    out = Path(config.out)
    there = sum(file.stat().st_size for file in out.rglob("*.tfrecord")) if out.is_dir() else 0
    check_disk(
        out,
        count * record - there,
        f"{counted(count, 'record')} of {shown}",
        lambda share: f"give --storage jpeg, or {smaller(share)}",
    )
