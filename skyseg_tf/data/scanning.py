"""A file of records from its first byte to its last: framing, checksums, and what each record holds.

TensorFlow says of a damaged file neither its name nor the record, and dies of an absurd length. So
the lengths are walked here, and every record is read by itself.
"""

import os
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from skyseg_tf.data.examples import RecordSpec, parse_record
from skyseg_tf.data.manifest import MANIFEST, Manifest, advice
from skyseg_tf.errors import InputError
from skyseg_tf.labels import IGNORE

NUMBERS = ("frames", "height", "width", "image_depth", "mask_depth")


class RecordFile(NamedTuple):
    """A TFRecord file and what its records must be.

    Attributes:
      path: of the file.
      spec: what all its records have in common.
      num_classes: ids of its masks; None if they are not known.
      count: of its records; None if it is not known.
    """

    path: str
    spec: RecordSpec
    num_classes: int | None = None
    count: int | None = None


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


def record_files(folder: Path, manifest: Manifest, split: str | None = None) -> list[RecordFile]:
    """The files of one split of a folder, or of all."""
    splits = [manifest.splits[split]] if split else manifest.splits.values()
    classes = len(manifest.class_names)
    return [
        RecordFile(str(folder / shard.file), manifest.spec, classes, shard.count)
        for part in splits
        for shard in part.shards
    ]


def advice_on(path: str) -> str:
    """What to do about a damaged file."""
    folder = Path(path).parent
    if (folder / MANIFEST).is_file():
        return advice(folder)
    return "copy it again, or write it again with `skyseg build` or write_tfrecord"


# --- the file's framing ---

# A record is its length (uint64), the length's checksum (uint32), the data, and its checksum.
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4


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
        header = os.pread(file.fileno(), _HEADER.size, offset)
        if len(header) < _HEADER.size:
            raise Torn(Fault(file.name, "cut off", count))
        length, crc = _HEADER.unpack(header)
        if _masked_crc(header[:8]) != crc:
            raise Torn(Fault(file.name, "its length is damaged", count))
        end = offset + _HEADER.size + length + _FOOTER_BYTES
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
      InputError: a length is damaged or leads beyond the file's end.
    """
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
      path: the file; it may be missing or torn, where those records are among the ones left out.
      count: of the records that belong there.
      left_out: numbers of records.
    """
    offsets = []
    with suppress(FileNotFoundError, Torn), open(path, "rb", buffering=0) as file:
        for number, (offset, _) in enumerate(walk_records(file)):
            if number < count and number not in left_out:
                offsets.append(offset)
    return offsets


def read_at(path: bytes, offset: int) -> bytes:
    """The data of the record that begins there; for tf.numpy_function.

    Raises:
      ValueError: it does not fit its checksum; TensorFlow makes an InvalidArgumentError of it.
    """
    try:
        return tf_record_random_reader(path.decode()).read(int(offset))[0]
    except (tf.errors.OpError, IndexError) as error:
        raise ValueError(str(error)) from None


# --- its records ---


class Scanned(NamedTuple):
    """A record that was read.

    Attributes:
      name: empty where it cannot be read.
      fault: what is wrong with it, else None.
      image: as it is stored, (T, H, W, 3) or for one frame (H, W, 3); None of a record with a fault.
      counts: (256,) how often each value stands in its mask.
    """

    name: str
    fault: Fault | None
    image: np.ndarray | None = None
    counts: np.ndarray | None = None


def scan_file(
    file: RecordFile, on_bytes: Callable[[bytes], object] = lambda content: None
) -> Iterator[Scanned]:
    """Reads a file once, record by record, and checks each; a damaged one does not end it.

    Args:
      file: what is read.
      on_bytes: gets all bytes of the file in their order.

    Yields:
      Every record.

    Raises:
      FileNotFoundError: no such file.
      Torn: the framing is damaged.
    """
    with open(file.path, "rb", buffering=0) as content:
        reader = tf_record_random_reader(file.path)
        for index, (offset, length) in enumerate(walk_records(content)):
            start = offset + _HEADER.size
            what = None
            try:
                data, _ = reader.read(offset)  # checks the data's checksum, in C++
            except (tf.errors.DataLossError, IndexError):
                data = os.pread(content.fileno(), length, start)
                what = "its bytes do not fit their checksum"
            on_bytes(os.pread(content.fileno(), _HEADER.size, offset))
            on_bytes(data)
            on_bytes(os.pread(content.fileno(), _FOOTER_BYTES, start + length))
            yield _scanned(data, file, index, what)


def first_fault(file: RecordFile) -> Fault | None:
    """What is wrong with a file first; what the manifest says of it is not looked at.

    Raises:
      FileNotFoundError: no such file.
    """
    try:
        return next((one.fault for one in scan_file(file) if one.fault), None)
    except Torn as torn:
        return torn.fault


def _scanned(data: bytes, file: RecordFile, index: int, what: str | None) -> Scanned:
    """One record, of whose bytes `what` is known to be wrong."""
    try:
        feature = tf.train.Example.FromString(data).features.feature
    except DecodeError:
        return Scanned("", Fault(file.path, what or "no tf.train.Example", index))
    names = feature["name"].bytes_list.value
    name = names[0].decode(errors="replace") if names else ""
    what = what or _fault_of_facts(feature, name, file.spec)
    if what:
        return Scanned(name, Fault(file.path, what, index, name))
    try:
        image, mask = _pixels(data, feature, file.spec)
    except (tf.errors.OpError, ValueError):
        what = f"its image or mask is no {file.spec.storage} picture of the size that it names"
        return Scanned(name, Fault(file.path, what, index, name))
    counts = np.bincount(mask.ravel(), minlength=256)
    if what := _fault_of_pixels(image, counts, file.num_classes):
        return Scanned(name, Fault(file.path, what, index, name))
    return Scanned(name, None, image, counts)


def _pixels(data: bytes, feature, spec: RecordSpec) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask; raises ValueError or an error of TensorFlow where they are none."""
    if spec.storage not in ("normalized", "uint8"):
        pair = parse_record(tf.constant(data), spec)
        return pair["image"].numpy(), pair["mask"].numpy()
    # What parse_record does, at a fifth of the time that eager TensorFlow takes.
    frames, masks = (list(feature[key].bytes_list.value) for key in ("image", "mask"))
    if (len(frames), len(masks)) != (spec.frames, 1):
        raise ValueError
    dtype = np.float32 if spec.storage == "normalized" else np.uint8
    pixels = b"".join(frames) if len(frames) > 1 else frames[0]
    image = np.frombuffer(pixels, dtype).reshape(spec.frames, *spec.image_size, 3)
    return image, np.frombuffer(masks[0], np.uint8).reshape(spec.image_size)


def _fault_of_facts(feature, name: str, spec: RecordSpec) -> str | None:
    """What a record says of itself that is not what all records of its file are."""
    wanted = dict(zip(NUMBERS, (spec.frames, *spec.image_size, 3, 1), strict=True))
    for key, number in wanted.items():
        there = list(feature[key].int64_list.value)
        if there != [number]:
            return f"{key} is {there[0] if there else 'missing'}, not {number}"
    if not name:
        return "has no name"
    if list(feature["storage"].bytes_list.value) != [spec.storage.encode()]:
        return f"is not stored as {spec.storage}"
    return None


def _fault_of_pixels(image: np.ndarray, counts: np.ndarray, num_classes: int | None) -> str | None:
    if image.dtype != np.uint8 and not np.isfinite(image).all():
        return "its image holds values that are no numbers"
    classes = IGNORE if num_classes is None else num_classes
    strange = np.flatnonzero(counts[classes:IGNORE])
    if not strange.size:
        return None
    return (
        f"its mask holds class id {classes + strange[0]} in {counts[classes:IGNORE].sum()} pixels, "
        f"where there are only {num_classes} classes"
    )
