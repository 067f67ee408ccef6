"""Damaged records: found before they are streamed where that is cheap, and named in one line.

TensorFlow says of a damaged file neither its name nor the record, and dies of an absurd length. So
the lengths are walked first, and files of a manifest are compared with its digests, once per
process. What is found only on the way, as in a file that changed under a training, ends the
iteration; the files are then read again, one record at a time, for the culprit.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.data.ops.iterator_ops import OwnedIterator

from skyseg_tf.data.examples import STORAGES, RecordSpec, parse_record
from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, advice, read_manifest
from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS
from skyseg_tf.labels import IGNORE

# What TensorFlow raises over the content of files; running out of memory, say, is none of it.
_DAMAGE = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)


class RecordFile(NamedTuple):
    """A TFRecord file and what its records must be.

    Attributes:
      path: of the file.
      spec: what all its records have in common.
      num_classes: ids of its masks; None if they are not known.
    """

    path: str
    spec: RecordSpec
    num_classes: int | None = None


def record_files(folder: Path, manifest: Manifest, split: str | None = None) -> list[RecordFile]:
    """The files of one split of a folder, or of all."""
    splits = [manifest.splits[split]] if split else manifest.splits.values()
    classes = len(manifest.class_names)
    return [
        RecordFile(str(folder / shard.file), manifest.spec, classes)
        for part in splits
        for shard in part.shards
    ]


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
    return _count_records(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=65536)
def _count_records(path: str, size: int, modified: int) -> int:
    # `modified` is part of the key, so that a file that was replaced is walked again.
    count = offset = 0
    with open(path, "rb", buffering=0) as file:
        while offset < size:
            header = os.pread(file.fileno(), _HEADER.size, offset)
            if len(header) < _HEADER.size:
                raise InputError(f"{path}: record {count}: cut off; {_advice(path)}")
            length, crc = _HEADER.unpack(header)
            if _masked_crc(header[:8]) != crc:
                raise InputError(f"{path}: record {count}: its length is damaged; {_advice(path)}")
            offset += _HEADER.size + length + _FOOTER_BYTES
            if offset > size:
                raise InputError(
                    f"{path}: record {count}: has a length of {length} bytes, which leads beyond "
                    f"the file's end; {_advice(path)}"
                )
            count += 1
    return count


def _advice(path: str) -> str:
    folder = Path(path).parent
    if (folder / MANIFEST).is_file():
        return advice(folder)
    return "copy it again, or write it again with `skyseg build` or write_tfrecord"


# --- before streaming ---


@lru_cache(maxsize=65536)
def _digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def verify_files(folder: Path, manifest: Manifest, split: str) -> None:
    """Compares the files of a split with what the manifest says of them; once per process.

    Args:
      folder: of the records.
      manifest: its own.
      split: one of the manifest's.

    Raises:
      InputError: a file was damaged, changed, or exchanged for another; names the record too,
        unless every record is whole.
    """
    shards = manifest.splits[split].shards
    files = record_files(folder, manifest, split)

    def verify(shard: Shard, file: RecordFile) -> None:
        count, facts = check_framing(file.path), os.stat(file.path)
        if _digest(file.path, facts.st_size, facts.st_mtime_ns) == shard.sha256:
            if count == shard.count:
                return
            fault = f"{file.path}: {count} records, where {MANIFEST} says {shard.count}"
        else:
            fault = _fault_of_file(file) or (
                f"{file.path}: not the file that was built (another SHA-256), as if it were "
                "exchanged for one of another split or build"
            )
        raise InputError(f"{fault}; {_advice(file.path)}")

    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
        list(pool.map(verify, shards, files))


def spec_of_file(path: str) -> RecordSpec:
    """What the first record of a file says of all of them.

    Raises:
      InputError: no such file, no record in it, or none of these records.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file of records; write it with `skyseg build`")
    if not check_framing(path):
        raise InputError(f"{path}: no records in it; write it with `skyseg build`")
    try:
        serialized = next(iter(tf.data.TFRecordDataset(path).take(1))).numpy()
        feature = tf.train.Example.FromString(serialized).features.feature
        number = {key: feature[key].int64_list.value[0] for key in _NUMBERS}
        storage = feature["storage"].bytes_list.value[0].decode()
    except tf.errors.DataLossError:
        raise InputError(f"{_unlike_checksum(path, 0)}; {_advice(path)}") from None
    except (DecodeError, IndexError, ValueError):
        raise InputError(f"{path}: record 0: damaged or of another kind; {_advice(path)}") from None
    size = number["height"], number["width"]
    sizes_are_good = min(size) > 0 and size[0] * size[1] <= MAX_PIXELS and number["frames"] > 0
    depths = number["image_depth"], number["mask_depth"]
    if storage not in STORAGES or not sizes_are_good or depths != (3, 1):
        raise InputError(
            f"{path}: record 0: says storage {storage[:20]!r}, {size[0]} x {size[1]}, "
            f"{number['frames']} frames, depths {depths[0]} and {depths[1]}, which no record has; "
            f"{_advice(path)}"
        )
    return RecordSpec(storage, size, number["frames"])


# --- after an error ---

_NUMBERS = ("frames", "height", "width", "image_depth", "mask_depth")


def find_damage(files: Iterable[RecordFile]) -> str | None:
    """Reads files of records, one record at a time.

    Args:
      files: in the order of reading.

    Returns:
      The first damage in one line that names file and record, or None.
    """
    for file in files:
        try:
            fault = _fault_of_file(file)
        except FileNotFoundError:
            fault = f"{file.path}: missing"
        except InputError as error:  # of the framing; it says what to do
            return str(error)
        if fault:
            return f"{fault}; {_advice(file.path)}"
    return None


def _fault_of_file(file: RecordFile) -> str | None:
    """What is wrong with a file whose framing is whole, without advice."""
    check_framing(file.path)
    records = iter(tf.data.TFRecordDataset(file.path).as_numpy_iterator())
    index = 0
    while True:
        try:
            serialized = next(records, None)
        except tf.errors.DataLossError:
            return _unlike_checksum(file.path, index)
        if serialized is None:
            return None
        name, fault = _fault_of_record(serialized, file)
        if fault:
            return f"{file.path}: record {index}{_quoted(name)}: {fault}"
        index += 1


def _quoted(name: str) -> str:
    return f" ({name[:80]!a})" if name else ""


def _unlike_checksum(path: str, index: int) -> str:
    """The fault of a record whose checksum is wrong; its name where it can still be read."""
    with open(path, "rb") as file:
        for _ in range(index):
            length, _ = _HEADER.unpack(file.read(_HEADER.size))
            file.seek(length + _FOOTER_BYTES, os.SEEK_CUR)
        data = file.read(_HEADER.unpack(file.read(_HEADER.size))[0])
    try:
        names = tf.train.Example.FromString(data).features.feature["name"].bytes_list.value
    except DecodeError:
        names = []
    name = names[0].decode(errors="replace") if names else ""
    return f"{path}: record {index}{_quoted(name)}: its bytes do not fit their checksum"


def _fault_of_record(serialized: bytes, file: RecordFile) -> tuple[str, str]:
    """(name, what is wrong) of one record; both may be empty."""
    spec = file.spec
    try:
        feature = tf.train.Example.FromString(serialized).features.feature
    except DecodeError:
        return "", "no tf.train.Example"
    texts = {key: list(feature[key].bytes_list.value) for key in ("name", "storage")}
    name = texts["name"][0].decode(errors="replace") if texts["name"] else ""
    wanted = dict(zip(_NUMBERS, (spec.frames, *spec.image_size, 3, 1), strict=True))
    for key, number in wanted.items():
        there = list(feature[key].int64_list.value)
        if there != [number]:
            return name, f"{key} is {there[0] if there else 'missing'}, not {number}"
    if not name:
        return name, "has no name"
    if texts["storage"] != [spec.storage.encode()]:
        return name, f"is not stored as {spec.storage}"
    try:
        pair = parse_record(tf.constant(serialized), spec)
    except tf.errors.OpError:
        return name, f"its image or mask is no {spec.storage} picture of the size that it names"
    if not np.isfinite(pair["image"].numpy()).all():
        return name, "its image holds values that are no numbers"
    strange = pair["mask"].numpy().astype(int)
    strange = strange[(strange >= (file.num_classes or IGNORE)) & (strange != IGNORE)]
    if strange.size:
        return name, (
            f"its mask holds class id {strange[0]} in {strange.size} pixels, where there are only "
            f"{file.num_classes} classes"
        )
    return name, ""


@contextmanager
def naming_damage(*folders: str | Path) -> Iterator[None]:
    """Inside, TensorFlow's errors over the records of these folders become InputErrors.

    Args:
      folders: of `skyseg build`.

    Raises:
      InputError: names the damaged file and record; other errors pass.
    """
    try:
        yield
    except _DAMAGE:
        for folder in map(Path, folders):
            if fault := find_damage(record_files(folder, read_manifest(folder))):
                raise InputError(fault) from None
        raise


class _NamingIterator(OwnedIterator):
    """An iterator that names the record at which it ends."""

    files: list[RecordFile]

    def __next__(self):
        """The next element."""
        try:
            return super().__next__()
        except _DAMAGE:
            if fault := find_damage(self.files):
                raise InputError(fault) from None
            raise


class NamingDataset(tf.data.Dataset):
    """A dataset of records, and all that is made of it by the usual methods, whose iteration ends
    in an InputError that names the damaged record.

    In a loop of Keras, which iterates inside TensorFlow, `naming_damage` does the same.

    Args:
      dataset: what comes of the files.
      files: those that it reads.
    """

    def __init__(self, dataset: tf.data.Dataset, files: list[RecordFile]):
        self._dataset, self._files = dataset, files
        super().__init__(dataset._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    def element_spec(self):
        """As of the dataset."""
        return self._dataset.element_spec

    def __iter__(self):
        """An iterator over the elements."""
        if not tf.executing_eagerly():
            return super().__iter__()
        iterator = _NamingIterator(self)
        iterator.files = self._files
        return iterator


def _passed_on(method: str):
    def made(self, *args, **options):
        return NamingDataset(getattr(tf.data.Dataset, method)(self, *args, **options), self._files)

    made.__name__, made.__doc__ = method, f"As of any dataset: see tf.data.Dataset.{method}."
    return made


_METHODS = "batch cache enumerate filter map prefetch repeat shard shuffle skip take unbatch"
for _method in _METHODS.split():
    setattr(NamingDataset, _method, _passed_on(_method))
