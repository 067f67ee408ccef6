"""Damaged records: found before they are streamed where that is cheap, and named in one line.

Lengths are walked always. Files of a manifest are compared with its digests once per process,
before a training begins. What is found only on the way, as in a file that changed under a
training, ends the iteration; the files are then read again, one record at a time, for the culprit.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.data.ops.iterator_ops import OwnedIterator

from skyseg_tf.data.examples import STORAGES, RecordSpec
from skyseg_tf.data.framing import advice_on, check_framing
from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, read_manifest
from skyseg_tf.data.scanning import NUMBERS, RecordFile, first_fault, record_files, scan_file
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import MAX_PIXELS, sha256_of

# What TensorFlow raises over the content of files; running out of memory, say, is none of it.
_DAMAGE = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    UnicodeDecodeError,  # of an error of TensorFlow's that quotes the record's bytes
)
CHANGED = (
    "not the file that was built (another SHA-256): its pixels were changed, or it was exchanged "
    "for one of another split or build"
)


class DamagedRecords(InputError):
    """Records that were whole once, and are not any more."""


# --- before streaming ---


# Once per process, since each epoch opens the files; one that was changed is read again.
@lru_cache(maxsize=65536)
def _digest(path: str, size: int, modified: int) -> str:
    return sha256_of(path)


def verify_files(folder: Path, manifest: Manifest, split: str, *, digests: bool = True) -> None:
    """Compares the files of a split with what the manifest says of them; once per process.

    Args:
      folder: of the records.
      manifest: its own.
      split: one of the manifest's.
      digests: read the files for their SHA-256; else only lengths and counts are compared.

    Raises:
      DamagedRecords: a file was damaged, changed, or exchanged for another; names the record too,
        unless every record is whole.
    """
    shards = manifest.splits[split].shards
    files = record_files(folder, manifest, split)

    def verify(shard: Shard, file: RecordFile) -> None:
        try:
            count, facts = check_framing(file.path), os.stat(file.path)
        except InputError as error:
            raise DamagedRecords(str(error)) from None
        if digests and _digest(file.path, facts.st_size, facts.st_mtime_ns) != shard.sha256:
            fault = first_fault(file) or f"{file.path}: {CHANGED}"
        elif count != shard.count:
            fault = f"{file.path}: {counted(count, 'record')}, where {MANIFEST} says {shard.count}"
        else:
            return
        raise DamagedRecords(f"{fault}; {advice_on(file.path)}")

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
        number = {key: feature[key].int64_list.value[0] for key in NUMBERS}
        storage = feature["storage"].bytes_list.value[0].decode()
    except tf.errors.DataLossError:
        record = next(scan_file(RecordFile(path, RecordSpec("uint8", (1, 1)))))
        raise InputError(f"{record.fault}; {advice_on(path)}") from None
    except (DecodeError, IndexError, ValueError):
        raise InputError(
            f"{path}: record 0: damaged or of another kind; {advice_on(path)}"
        ) from None
    size = number["height"], number["width"]
    pixels = size[0] * size[1] * number["frames"]
    sizes_are_good = min(*size, number["frames"]) > 0 and pixels <= MAX_PIXELS
    depths = number["image_depth"], number["mask_depth"]
    if storage not in STORAGES or not sizes_are_good or depths != (3, 1):
        raise InputError(
            f"{path}: record 0: says storage {storage[:20]!r}, {size[0]} x {size[1]}, "
            f"{counted(number['frames'], 'frame')}, depths {depths[0]} and {depths[1]}, which no record has; "
            f"{advice_on(path)}"
        )
    return RecordSpec(storage, size, number["frames"])


# --- after an error ---


def find_damage(files: Iterable[RecordFile]) -> str | None:
    """Reads files of records, one record at a time.

    Args:
      files: in the order of reading.

    Returns:
      The first damage in one line that names file and record, or None.
    """
    for file in files:
        try:
            fault = first_fault(file)
        except FileNotFoundError:
            fault = f"{file.path}: missing"
        if fault:
            return f"{fault}; {advice_on(file.path)}"
    return None


@contextmanager
def naming_damage(*folders: str | Path) -> Iterator[None]:
    """Inside, TensorFlow's errors over the records of these folders become DamagedRecords.

    Args:
      folders: of `skyseg build`.

    Raises:
      DamagedRecords: names the damaged file and record; other errors pass.
    """
    try:
        yield
    except _DAMAGE:
        for folder in map(Path, folders):
            manifest = read_manifest(folder, shards_are_there=False)
            if fault := find_damage(record_files(folder, manifest)):
                raise DamagedRecords(fault) from None
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
                raise DamagedRecords(fault) from None
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
