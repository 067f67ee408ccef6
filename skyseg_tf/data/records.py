"""Image/mask pairs as TFRecords: files of pairs, and all that one needs to make and read them.

Where pairs come from is in sources.py, what one record holds in examples.py, what a folder of them
has in common in manifest.py, and what is done about damaged ones in integrity.py.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from skyseg_tf.data.copies import local_file
from skyseg_tf.data.examples import (
    STORAGES,
    RecordSpec,
    checked_values,
    denormalize_tensor,
    encode_record,
    normalize_tensor,
    parse_record,
    stored_pixels,
)
from skyseg_tf.data.framing import check_framing
from skyseg_tf.data.integrity import NamingDataset, spec_of_file
from skyseg_tf.data.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    Shard,
    Split,
    read_manifest,
    write_manifest,
)
from skyseg_tf.data.rgb_stats import check_rgb_stats, read_rgb_stats
from skyseg_tf.data.scanning import RecordFile
from skyseg_tf.data.sources import extract_cityscape_data_info, load_pair, source_bytes
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files.aside import write_aside
from skyseg_tf.labels import get_scheme

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "STORAGES",
    "Manifest",
    "RecordSpec",
    "Shard",
    "Split",
    "denormalize_tensor",
    "encode_record",
    "extract_cityscape_data_info",
    "load_image_rgb_data",
    "load_pair",
    "normalize_tensor",
    "parse_record",
    "read_manifest",
    "read_tfrecord",
    "source_bytes",
    "stored_pixels",
    "write_manifest",
    "write_records",
    "write_tfrecord",
]


def load_image_rgb_data(path: str | Path) -> dict[str, float]:
    """Reads rgb_stats.json: the mean and standard deviation of a dataset's colors.

    Args:
      path: the file, as `skyseg build` writes it.

    Returns:
      {"R_MEAN", "G_MEAN", "B_MEAN", "R_STD", "G_STD", "B_STD"}: floats on the 0-255 scale, what
      `write_tfrecord` and `read_tfrecord` take as `rgb_data`.

    Raises:
      FileNotFoundError: no such file.
      InputError: not such a file. Photos are read by images.read_image.
    """
    return read_rgb_stats(path)


def write_tfrecord(
    data: Iterable[dict],
    path: str | Path,
    *,
    rgb_data: dict[str, float] | None = None,
    normalize: bool = True,
    storage: str | None = None,
    size: tuple[int, int] | None = (256, 512),
    scheme: str | Path = "sky",
) -> int:
    """Writes photos and masks into one TFRecord file, whole or not at all.

    Args:
      data: dicts of `extract_cityscape_data_info`.
      path: the file.
      rgb_data: six numbers of rgb_stats.json.
      normalize: store float32 (x - mean) / std; False stores uint8.
      storage: key of STORAGES, in place of what `normalize` says.
      size: (height, width) of the records; None: as the photos are.
      scheme: see labels.get_scheme.

    Returns:
      The number of records.

    Raises:
      InputError: normalization without statistics, a damaged file, a full disk.
    """
    storage = storage or ("normalized" if normalize else "uint8")
    if storage not in STORAGES:
        raise InputError(not_among("storage", storage, STORAGES))
    if rgb_data is not None:
        rgb_data = check_rgb_stats(rgb_data, "rgb_data")
    elif storage == "normalized":
        raise InputError(
            "normalized records need rgb_data: give what load_image_rgb_data(path) reads from "
            "rgb_stats.json"
        )
    classes = get_scheme(scheme)

    def records() -> Iterator[bytes]:
        for info in data:
            image, mask = load_pair(info, size, classes)
            yield encode_record(image, mask, info["name"], storage, rgb_data)

    return write_records(path, records())


def write_records(path: str | Path, records: Iterable[bytes]) -> int:
    """Writes serialized records to a TFRecord file, whole or not at all.

    Args:
      path: the file.
      records: results of `encode_record`.

    Returns:
      Their number.

    Raises:
      InputError: the file cannot be written, as on a full disk.
    """
    with write_aside(path) as aside:
        return fill_file(aside, records, path)


def fill_file(aside: Path, records: Iterable[bytes], path: str | Path) -> int:
    """Writes serialized records to a file that is not the final one yet; see `write_records`.

    Args:
      aside: what is written to.
      records: results of `encode_record`.
      path: what it will be, for the error message.

    Returns:
      The number of records.

    Raises:
      InputError: the file cannot be written, as on a full disk.
    """
    count = 0
    try:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for record in records:
                writer.write(record)
                count += 1
    except tf.errors.OpError as error:
        raise InputError(
            f"{path}: cannot be written ({error.message.splitlines()[0]}); "
            "free some space and run the same command again"
        ) from None
    return count


def read_tfrecord(
    path: str | Path | list,
    image_depth: int | None = None,
    mask_depth: int | None = None,
    image_dtype: Any = None,
    *,
    rgb_data: dict[str, float] | None = None,
    num_classes: int | None = None,
    copies: str | Path | None = None,
) -> tf.data.Dataset:
    """Streams the pairs of one or more TFRecord files, in their order.

    Depth, size and storage are taken from the first record; who knows them may say so, and they
    are checked.

    Args:
      path: file or files of `write_tfrecord`, or URLs of files of `skyseg build`.
      image_depth: channels of the images; None: as the file says.
      mask_depth: channels of the masks; None: as the file says.
      image_dtype: of the images as stored, as text, numpy or tf dtype: float32 of normalized
        records, uint8 of all others; None: as the file says.
      rgb_data: six numbers of rgb_stats.json; None leaves the pixels as they are stored.
      num_classes: ids of the masks, of which others are refused; None: any.
      copies: folder below which files that are URLs are copied first, see data.copies.

    Returns:
      Dataset of {"image": float32 normalized (uint8 as stored without rgb_data), "mask": uint8,
      "name": string}. Its iteration ends in an InputError that names a damaged record.

    Raises:
      InputError: no such file, not a file of these records, or other depths or another dtype.
    """
    given = path if isinstance(path, (list, tuple)) else [path]
    paths = [local_file(one, copies) for one in given]
    if not paths:
        raise InputError("read_tfrecord: no files given; give at least one")
    if rgb_data is not None:
        rgb_data = check_rgb_stats(rgb_data, "rgb_data")
    spec = spec_of_file(paths[0])
    _check_told(paths[0], spec, image_depth, mask_depth, image_dtype)
    for one in paths:  # TensorFlow does not survive an absurd length
        if not Path(one).is_file():
            raise InputError(f"{one}: no such file of records; write it with `skyseg build`")
        check_framing(one)

    def parse(serialized):
        pair = checked_values(parse_record(serialized, spec), num_classes)
        if rgb_data is not None and spec.storage != "normalized":
            pair["image"] = normalize_tensor(pair["image"], rgb_data)
        return pair

    pairs = tf.data.TFRecordDataset(paths).map(parse, num_parallel_calls=2, deterministic=True)
    return NamingDataset(pairs, [RecordFile(one, spec, num_classes) for one in paths])


def _check_told(path: str, spec: RecordSpec, image_depth, mask_depth, image_dtype) -> None:
    """Compares what the caller says of a file with what it holds."""
    there = {"image_depth": 3, "mask_depth": 1, "image_dtype": spec.dtype}
    told = {"image_depth": image_depth, "mask_depth": mask_depth, "image_dtype": image_dtype}
    for key, value in told.items():
        if value is None:
            continue
        if key == "image_dtype":
            try:
                value = tf.as_dtype(value)
            except TypeError:
                raise InputError(
                    f"{path}: image_dtype is {value!r}, no dtype; give uint8 or float32"
                ) from None
        if value != there[key]:
            shown = getattr(there[key], "name", there[key])
            raise InputError(
                f"{path}: {key} is {shown} there, not {getattr(value, 'name', value)}; leave {key} "
                "out or read the right file"
            )
