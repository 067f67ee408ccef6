"""tf.data from a folder of records: shuffled, augmented, batched, the same for the same seed.

An epoch is a dataset of its own, whose order and augmentations follow from (seed, epoch) alone:
a resumed training asks for the epoch that it was in and skips the batches that it had.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from skyseg_tf.data.examples import (
    checked_values,
    denormalize_tensor,
    normalize_tensor,
    parse_record,
)
from skyseg_tf.data.framing import read_at, whole_offsets
from skyseg_tf.data.manifest import Manifest
from skyseg_tf.data.opening import LeftOut, OpenSplit, open_split
from skyseg_tf.data.scanning import RecordFile
from skyseg_tf.errors import InputError, counted
from skyseg_tf.labels import IGNORE

SHUFFLE_BYTES = 256_000_000  # of encoded records held in memory
Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Share(NamedTuple):
    """The part of every batch that one of several processes reads; a batch's parts lie in a row.

    Attributes:
      index: of the process, from 0.
      count: of the processes; a divisor of the batch size.
    """

    index: int
    count: int


WHOLE = Share(0, 1)


def make_dataset(
    records: str | Path,
    split: str,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    augment: Augment | None = None,
    mix: Augment | None = None,
    extra: Sequence[str | Path] = (),
    classes: Sequence[int] | None = None,
    drop_remainder: bool = False,
    skip_batches: int = 0,
    digests: bool = True,
    left_out: LeftOut | None = None,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Streams one epoch of a split.

    Args:
      records: folder of `skyseg build`.
      split: a split of its manifest.
      batch_size: B.
      shuffle: shards, then records within a buffer of SHUFFLE_BYTES encoded bytes.
      seed: of order and augmentation.
      epoch: counts from 0; every epoch has an order of its own.
      augment: (image float32 0-255 (H, W, 3), mask uint8 (H, W), seed int32 (2,)) -> the same
        two; of clips (T, H, W, 3) all frames go through one call. One with an attribute `dtype`,
        as camera.make_augment gives, takes images of that type.
      mix: the same for a whole batch, (B, H, W, 3) or (B, T, H, W, 3) and (B, H, W), such as
        mixing.make_mix gives; comes after `augment`.
      extra: further folders whose records of this split are mixed in; they are normalized by the
        statistics of `records`.
      classes: class ids that the masks keep, pixels of others are ignored; default: all.
      drop_remainder: leave out the last incomplete batch.
      skip_batches: batches of this epoch that were had already; one at least is left.
      digests: compare the files with the manifest's SHA-256 first; else their lengths alone.
      left_out: damaged records, which are not read (see verification.damaged_records); nothing is
        compared then. None: there must be none.
      share: of each batch, which must be a full one; only the records of that part are read. What
        `mix` mixes is then of that part, all else is as it is in the whole batch.

    Returns:
      Dataset of image float32 normalized (B, H, W, 3), or (B, T, H, W, 3) for clips, and mask
      uint8 (B, H, W). Its iteration ends in an InputError if a file is damaged on the way.

    Raises:
      InputError: not a finished folder of records, no such split, a damaged file, fewer records
        than a batch that must be full, or `extra` records of another scheme, size or storage.
    """
    folders = [Path(records), *map(Path, extra)]
    source = open_split(folders, split, digests=digests, left_out=left_out)
    manifest = source.manifest
    count = _batch_count(source, batch_size, drop_remainder, f"{records}: split '{split}'")
    # An epoch whose records were damaged meanwhile is shorter: its last batch is left then.
    batches = range(min(skip_batches, count - 1), count)
    order = np.random.default_rng([seed, epoch])
    dataset = _numbered(source, order if shuffle else None, batches, batch_size, share)
    augment_seed, mix_seed = (int(number) for number in order.integers(2**31, size=2))

    as_stored = augment is None and mix is None and manifest.storage == "normalized"
    prepare = _preparing(
        manifest, classes, augment, augment_seed, None if as_stored else _dtype(augment or mix)
    )

    def finish(number, batch):
        images, masks = batch if mix is None else mix(*batch, _seed(mix_seed, number))
        return normalize_tensor(images, manifest.rgb_stats), masks

    cores = os.cpu_count() or 1
    # Deterministic: threads finish in any order, but a resumed training must get the same batches.
    dataset = dataset.map(prepare, num_parallel_calls=cores, deterministic=True)
    dataset = dataset.batch(batch_size // share.count, drop_remainder=drop_remainder)
    if not as_stored:  # normalized last: until then a picture is a quarter of the bytes
        dataset = dataset.enumerate(batches.start).map(finish, cores, deterministic=True)
    return source.naming_damage(_finished(dataset, len(batches)))


def _numbered(
    source: OpenSplit,
    order: np.random.Generator | None,
    batches: range,
    batch_size: int,
    share: Share,
) -> tf.data.Dataset:
    """(number in the epoch, serialized) of the records of some batches, of a share their part.

    Args:
      source: the records.
      order: what they are shuffled by; None: they come as they lie.
      batches: numbers of the batches, the last of which is the epoch's last.
      batch_size: of the whole batch.
      share: see make_dataset.
    """
    # Of a share the places come first, alone: most records are some other process' to read.
    stream = _serialized if share.count == 1 else _places
    dataset = _shuffled(source, order, 4 * batch_size, stream) if order else stream(source)
    # Skipping before decoding costs reading alone.
    dataset = dataset.enumerate().skip(batches.start * batch_size)
    if share.count == 1:
        return dataset
    return _own(dataset.take(len(batches) * batch_size), share, batch_size)


def _preparing(
    manifest: Manifest,
    classes: Sequence[int] | None,
    augment: Augment | None,
    seed: int,
    dtype: tf.DType | None,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """What is done to each record: (its number in the epoch, serialized) -> image, mask.

    Args:
      manifest: of the records.
      classes, augment: see make_dataset.
      seed: of the epoch's augmentation.
      dtype: of images on 0-255; None: normalized ones stay as they are stored.
    """

    def prepare(index, serialized):
        pair = checked_values(parse_record(serialized, manifest.spec), len(manifest.class_names))
        image, mask = pair["image"], pair["mask"]
        if classes is not None:
            mask = tf.gather(_kept(classes), tf.cast(mask, tf.int32))
        if dtype is None:
            return image, mask
        if manifest.storage == "normalized":
            image = denormalize_tensor(image, manifest.rgb_stats)
        image = tf.cast(image, dtype)
        return (image, mask) if augment is None else augment(image, mask, _seed(seed, index))

    return prepare


def _batch_count(source: OpenSplit, batch_size: int, drop_remainder: bool, where: str) -> int:
    """Batches of an epoch."""
    if not drop_remainder:
        return -(-source.count // batch_size)
    if source.count < batch_size:
        raise InputError(
            f"{where} has {counted(source.count, 'record')}, fewer than one batch of {batch_size}; use "
            f"--batch-size {source.count}"
        )
    return source.count // batch_size


def _shuffled(
    source: OpenSplit,
    order: np.random.Generator,
    at_least: int,
    stream: Callable[[OpenSplit], tf.data.Dataset],
) -> tf.data.Dataset:
    """A stream of records, or of their places, in another order: of files, then within a buffer.

    The order hangs on numbers and not on content, so both streams get the same.
    """
    order.shuffle(source.files)  # in place: damage is looked for in the order of reading
    buffer = min(source.count, max(SHUFFLE_BYTES * source.count // source.bytes, at_least))
    seed = int(order.integers(2**62))
    return stream(source).shuffle(buffer, seed, reshuffle_each_iteration=False)


def _own(places: tf.data.Dataset, share: Share, batch_size: int) -> tf.data.Dataset:
    """The serialized records of a share of each batch, with their numbers, from all places."""
    first = share.index * (batch_size // share.count)

    def is_own(number: tf.Tensor, place: tuple) -> tf.Tensor:
        within = number % batch_size - first
        return (within >= 0) & (within < batch_size // share.count)

    def read(number: tf.Tensor, place: tuple) -> tuple[tf.Tensor, tf.Tensor]:
        return number, _record_at(*place)

    cores = os.cpu_count() or 1
    return places.filter(is_own).map(read, num_parallel_calls=cores, deterministic=True)


def _finished(dataset: tf.data.Dataset, batches: int) -> tf.data.Dataset:
    """Read ahead of the training, and of a length that Keras can know."""
    options = tf.data.Options()
    options.autotune.enabled = False  # it can stall for seconds when an iterator is destroyed
    # Two: one for the next step, and one against a batch that takes longer than a step.
    dataset = dataset.prefetch(2).with_options(options)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches))


def _serialized(source: OpenSplit) -> tf.data.Dataset:
    """The records in the order of the files, four files at a time, one by one."""
    paths = [file.path for file in source.files]
    if not source.left_out.keys() & set(paths):
        # 4 MB at once: of the default, 256 kB, a record would need several reads.
        return tf.data.Dataset.from_tensor_slices(paths).interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=4 << 20),
            **_four_of(source.files),
        )
    # TensorFlow leaves a file at its first damaged record: the whole ones are read by their places.
    cores = os.cpu_count() or 1
    return _places(source).map(_record_at, num_parallel_calls=cores, deterministic=True)


def _places(source: OpenSplit) -> tf.data.Dataset:
    """(path, offset) of the records, in the order of `_serialized`."""
    files, left_out = source.files, source.left_out
    offsets = tf.ragged.constant(
        [whole_offsets(f.path, f.count, left_out.get(f.path, ())) for f in files],
        tf.int64,
        ragged_rank=1,
    )

    def of_file(path: tf.Tensor, places: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(places).map(lambda offset: (path, offset))

    paths = [file.path for file in files]
    return tf.data.Dataset.from_tensor_slices((paths, offsets)).interleave(
        of_file, **_four_of(files)
    )


def _four_of(files: list[RecordFile]) -> dict:
    """How files are interleaved, the same each time."""
    return {
        "cycle_length": min(len(files), 4),
        "block_length": 1,
        "num_parallel_calls": min(len(files), os.cpu_count() or 1),
        "deterministic": True,
    }


def _record_at(path: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """The serialized record that begins there."""
    return tf.ensure_shape(tf.numpy_function(read_at, (path, offset), tf.string), ())


def _kept(classes: Sequence[int]) -> np.ndarray:
    """(256,) uint8: what each value of a mask becomes."""
    ids = np.arange(256, dtype=np.uint8)
    return np.where(np.isin(ids, classes), ids, np.uint8(IGNORE))


def _dtype(augment: Augment | None) -> tf.DType:
    """What an augmentation takes."""
    return getattr(augment, "dtype", tf.uint8 if augment is None else tf.float32)


def _seed(number: int, index: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(number), tf.cast(index, tf.int32)])
