"""The framing of a TFRecord file: where its records begin, how long they are, and their checksums.

TensorFlow says of a damaged file neither its name nor the record, and dies of an absurd length. So
the lengths are walked here.

Reference: tensorflow/core/lib/io/record_writer.h.
"""

import os
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from skyseg_tf.data.manifest import MANIFEST, advice
from skyseg_tf.errors import InputError
from skyseg_tf.files import check_file

# A record is its length (uint64), the length's checksum (uint32), the data, and its checksum.
HEADER = struct.Struct("<QI")
FOOTER_BYTES = 4


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a file.

    Attributes:
      path: of the file.
      what: is wrong.
      record: its number in the file; None for the file as a whole.
      photo: the record's name, where it can be read.
    """

    path: str
    what: str
    record: int | None = None
    photo: str = ""

    def __str__(self) -> str:
        """One line without advice."""
        photo = f" ({self.photo[:80]!a})" if self.photo else ""
        record = "" if self.record is None else f" record {self.record}{photo}:"
        return f"{self.path}:{record} {self.what}"


def advice_on(path: str) -> str:
    """What to do about a damaged file."""
    folder = Path(path).parent
    if (folder / MANIFEST).is_file():
        return advice(folder)
    return "copy it again, or write it again with `skyseg build` or write_tfrecord"


def _crc_row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = [_crc_row(byte) for byte in range(256)]


def _masked_crc(data: bytes) -> int:
    """CRC-32C, turned and shifted as TFRecord files store it (tensorflow/core/lib/hash/crc32c.h)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Torn(Exception):
    """The framing of a file is damaged: what follows can be read no more."""

    def __init__(self, fault: Fault):
        super().__init__(fault)
        self.fault = fault


def walk_records(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """(offset, length of the data) of each record, without reading them.

    Args:
      file: opened without a buffer.

    Raises:
      Torn: a length is damaged or leads beyond the file's end.
    """
    count = offset = 0
    size = os.fstat(file.fileno()).st_size
    while offset < size:
        header = os.pread(file.fileno(), HEADER.size, offset)
        if len(header) < HEADER.size:
            raise Torn(Fault(file.name, "cut off", count))
        length, crc = HEADER.unpack(header)
        if _masked_crc(header[:8]) != crc:
            raise Torn(Fault(file.name, "its length is damaged", count))
        end = offset + HEADER.size + length + FOOTER_BYTES
        if end > size:
            what = f"has a length of {length} bytes, which leads beyond the file's end"
            raise Torn(Fault(file.name, what, count))
        yield offset, length
        offset, count = end, count + 1


def check_framing(path: str) -> int:
    """Walks a TFRecord file from length to length, without reading the records.

    Args:
      path: the file.

    Returns:
      The number of records.

    Raises:
      FileNotFoundError: no such file.
      InputError: a length is damaged or leads beyond the file's end; or it is no file: a pipe would
        be waited for.
    """
    check_file(path, sys.maxsize)
    facts = os.stat(path)
    try:
        return _count_records(path, facts.st_size, facts.st_mtime_ns)
    except Torn as torn:
        raise InputError(f"{torn.fault}; {advice_on(path)}") from None


@lru_cache(maxsize=65536)
def _count_records(path: str, size: int, modified: int) -> int:
    # `modified` is part of the key, so that a file that was replaced is walked again.
    with open(path, "rb", buffering=0) as file:
        return sum(1 for _ in walk_records(file))


def whole_offsets(path: str, count: int, left_out: Collection[int]) -> list[int]:
    """Where the records of a file begin, without some of them.

    Args:
      path: the file; it may be missing, torn or none, where those records are among the ones left out.
      count: of the records that belong there.
      left_out: numbers of records.
    """
    offsets = []
    if not os.path.isfile(path):
        return offsets
    with suppress(Torn), open(path, "rb", buffering=0) as file:
        for number, (offset, _) in enumerate(walk_records(file)):
            if number < count and number not in left_out:
                offsets.append(offset)
    return offsets


def read_records(path: str | Path) -> Iterator[bytes]:
    """The data of each record of a file that is known to be whole, in their order.

    A tf.data.TFRecordDataset does the same, and takes 20 ms of the processor to be made.
    """
    reader, offset = tf_record_random_reader(str(path)), 0
    with suppress(IndexError):  # the file's end
        while True:
            data, offset = reader.read(offset)
            yield data


def read_at(path: bytes, offset: int) -> bytes:
    """The data of the record that begins there; for tf.numpy_function.

    Raises:
      ValueError: it does not fit its checksum; TensorFlow makes an InvalidArgumentError of it.
    """
    try:
        return tf_record_random_reader(path.decode()).read(int(offset))[0]
    except (tf.errors.OpError, IndexError) as error:
        raise ValueError(str(error)) from None
