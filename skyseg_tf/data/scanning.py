"""A file of records from its first byte to its last: its checksums, and what each record holds.

Every record is read by itself, so that a damaged one does not hide those behind it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from skyseg_tf.data.examples import RecordSpec, parse_record
from skyseg_tf.data.framing import FOOTER_BYTES, HEADER, Fault, Torn, walk_records
from skyseg_tf.data.manifest import Manifest
from skyseg_tf.errors import counted
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


def record_files(folder: Path, manifest: Manifest, split: str | None = None) -> list[RecordFile]:
    """The files of one split of a folder, or of all."""
    splits = [manifest.splits[split]] if split else manifest.splits.values()
    classes = len(manifest.class_names)
    return [
        RecordFile(str(folder / shard.file), manifest.spec, classes, shard.count)
        for part in splits
        for shard in part.shards
    ]


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
            start = offset + HEADER.size
            what = None
            try:
                data, _ = reader.read(offset)  # checks the data's checksum, in C++
            except (tf.errors.DataLossError, IndexError):
                data = os.pread(content.fileno(), length, start)
                what = "its bytes do not fit their checksum"
            on_bytes(os.pread(content.fileno(), HEADER.size, offset))
            on_bytes(data)
            on_bytes(os.pread(content.fileno(), FOOTER_BYTES, start + length))
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
        f"its mask holds class id {classes + strange[0]} in "
        f"{counted(counts[classes:IGNORE].sum(), 'pixel')}, "
        f"where there are only {num_classes} classes"
    )
