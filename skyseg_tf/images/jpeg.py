"""JPEG decoded twice as fast as by Pillow, which gives pixels of four bytes that must be copied twice.

libjpeg-turbo decodes in both; here straight into an array, to the same values.
"""

import re
from pathlib import Path

import numpy as np
import simplejpeg

from skyseg_tf.errors import InputError

MAX_SCANS = 100  # libtiff's limit too; progressive encoders write about ten
_SCAN, _END = 0xDA, 0xD9
# Markers with a length behind them, and the end; those without (restarts, reserved ones) tell nothing.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")


def check_scans(content: bytes, where: str | Path) -> None:
    """Refuses a JPEG of so many scans that a small file keeps a processor busy for minutes.

    A scan costs as much as the whole picture, however few bytes it has.

    Args:
      content: the file's bytes; of several pictures in it the first counts.
      where: its name, for the error message.

    Raises:
      InputError: more than MAX_SCANS.

    Reference: ITU-T T.81, B.1.1.2, B.1.1.4 and table B.1: inside a scan no marker but restarts.
    """
    # Other pictures and videos in the file count here too, but most files need no closer look.
    if content.count(bytes([0xFF, _SCAN])) <= MAX_SCANS:
        return
    scans, place = 0, 0
    while found := _MARKER.search(content, place):
        place, marker = found.end(), content[found.end() - 1]
        if marker == _END:
            return
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise InputError(
                f"{where}: a JPEG of more than {MAX_SCANS} scans, which takes too long to decode; "
                "save it again with an image editor"
            )
        place += int.from_bytes(content[place : place + 2], "big")


def decode_jpeg(content: bytes) -> np.ndarray | None:
    """Decodes a color JPEG.

    Args:
      content: the file's bytes; of several pictures in it the first is taken.

    Returns:
      (H, W, 3) uint8 RGB, turned as it is stored; None where libjpeg stumbles over anything, be it a
      harmless one: such files are Pillow's to read or to refuse.
    """
    try:
        return simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)
    except ValueError:
        return None
