"""What a tree of drawn scenes takes of memory and disk, told before the first one is drawn."""

from pathlib import Path

from skyseg_tf.errors import counted
from skyseg_tf.files.room import check_disk, check_memory, fewer_workers, largest_size

# Measured at 512 x 1024: drawing takes 72 to 134 bytes a pixel, files 0.9 to 1.6 and 0.06 to 0.2.
_MEMORY_PER_PIXEL, _PROCESS_BYTES = 60, 100e6
_PHOTO_PER_PIXEL, _MASKS_PER_PIXEL = 0.8, 0.05
_JOB_BYTES = 150  # of one scene in the list of what is to be drawn


def check_list(count: int) -> None:
    """Refuses more scenes than memory can list.

    Args:
      count: of scenes.

    Raises:
      InputError: says how many it can.
    """
    check_memory(
        count * _JOB_BYTES,
        f"a list of {counted(count, 'scene')}",
        lambda share: f"give at most --count {int(count * share)}",
    )


def check_room(out: Path, count: int, size: tuple[int, int], frames: int, workers: int) -> None:
    """Refuses scenes that memory or the disk do not hold.

    Args:
      out: the tree's folder.
      count: scenes that are to be drawn.
      size: (height, width).
      frames: of the snippet before each of them.
      workers: processes.

    Raises:
      InputError: says what would fit.
    """
    height, width = size

    def smaller(share: float) -> str:
        return f"at most --size {largest_size(size, share)}"

    check_memory(
        workers * (_PROCESS_BYTES + height * width * _MEMORY_PER_PIXEL),
        f"drawing {height} x {width} in {counted(workers, 'process', 'processes')}",
        lambda share: fewer_workers(workers, share, smaller(share)),
    )
    one = height * width * ((frames + 1) * _PHOTO_PER_PIXEL + _MASKS_PER_PIXEL)
    check_disk(
        out,
        count * one,
        f"{counted(count, 'scene')} of {height} x {width}",
        lambda share: f"give at most --count {int(count * share)}, or {smaller(share)}",
    )
