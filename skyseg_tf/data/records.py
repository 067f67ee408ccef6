"""Image/mask pairs as TFRecords: one pair, one file of pairs, and the manifest of a folder.

A record is a tf.train.Example:

    image        bytes, one per frame (one for photos): float32, uint8, PNG or JPEG
    mask         bytes: uint8 class ids, raw, or PNG for storage "png" and "jpeg"
    height, width, image_depth, mask_depth, frames   int64
    storage, name                                    bytes (text)

What is the same for all records of a folder stands in its manifest, dataset.json, which is
written last: a folder without one is unfinished.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from skyseg_tf.data.layouts import clip_frames, find_pairs, guess_mask_encoding
from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.data.rgb_stats import normalize as normalize_image
from skyseg_tf.errors import InputError
from skyseg_tf.images import (
    image_size,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    write_aside,
)
from skyseg_tf.labels import (
    LabelScheme,
    check_encoding,
    decode_mask,
    get_scheme,
    scheme_encoding,
    stored_scheme,
)

MANIFEST = "dataset.json"
SCHEMA_VERSION = 2  # 1 named the scheme alone
STORAGES = {
    "normalized": "float32, (x - mean) / std: nothing left to compute, 4x the disk of uint8",
    "uint8": "raw bytes: fast and exact",
    "png": "lossless and small, slower to read",
    "jpeg": "quality 95: smallest, not exact",
}


# --- from a dataset tree to info dictionaries ---


def extract_cityscape_data_info(
    root: str | Path,
    split: str | None = None,
    *,
    scheme: str | Path = "sky",
    layout: str | None = None,
    encoding: str | None = None,
    frames: int = 1,
    seed: int = 0,
) -> list[dict]:
    """Lists the labeled photos of a dataset tree.

    Args:
      root: the tree (any of layouts.LAYOUTS).
      split: "train", "val" or "test"; None: all splits that have masks.
      scheme: see labels.get_scheme.
      layout: key of layouts.LAYOUTS; None: detected.
      encoding: key of labels.ENCODINGS; None: what the scheme's file says of mask values, else
        found by the masks' values.
      frames: T > 1 adds the T - 1 frames before each photo.
      seed: of the shuffle. The order depends on it and on the names alone, so it stays when
        the tree is moved or copied.

    Returns:
      One dict per photo: name, split, city, image_path, mask_path, frame_paths (T paths, the
      photo last), height, width (as stored), image_depth (3), mask_depth (1), labels (the
      scheme's class names), encoding.

    Raises:
      InputError: wrong folder, empty split, a mask of another size than its photo, a missing
        frame.
    """
    labels = list(get_scheme(scheme).class_names)
    pairs = [pair for pair in find_pairs(root, layout, [split] if split else None) if pair.mask]
    if not pairs:
        raise InputError(f"{root}: no photo has a mask; run `skyseg check --source {root}`")
    encoding = encoding or scheme_encoding(scheme) or guess_mask_encoding(pairs, layout)
    check_encoding(encoding)
    infos = []
    for pair in sorted(pairs, key=lambda pair: _shuffle_key(seed, pair.name)):
        height, width = image_size(pair.image)
        mask_size = image_size(pair.mask)
        if mask_size != (height, width):
            raise InputError(
                f"{pair.mask}: the mask is {mask_size[1]} x {mask_size[0]}, its photo "
                f"{width} x {height}; export it at the photo's size"
            )
        infos.append(
            {
                "name": pair.name,
                "split": pair.split,
                "city": pair.city,
                "image_path": pair.image,
                "mask_path": pair.mask,
                "frame_paths": clip_frames(pair, frames) if frames > 1 else [pair.image],
                "height": height,
                "width": width,
                "image_depth": 3,
                "mask_depth": 1,
                "labels": labels,
                "encoding": encoding,
            }
        )
    return infos


def _shuffle_key(seed: int, name: str) -> bytes:
    return sha256(f"{seed} {name}".encode()).digest()


def load_image_rgb_data(path: str | Path) -> np.ndarray:
    """A photo as (H, W, 3) uint8 RGB: see images.read_image."""
    return read_image(path)


# --- one record ---


def load_pair(info: dict, size: tuple[int, int] | None, scheme: LabelScheme):
    """Reads and resizes one photo (or clip) and its mask.

    Args:
      info: one dict of `extract_cityscape_data_info`.
      size: (height, width) of the result; None: as stored.
      scheme: the wanted classes.

    Returns:
      image (T, H, W, 3) uint8, mask (H, W) uint8 class ids.

    Raises:
      InputError: a file is damaged, or a mask value is unknown.
    """
    size = size or (info["height"], info["width"])
    image = np.stack([resize_image(read_image(path), size) for path in info["frame_paths"]])
    stored = read_mask(info["mask_path"])
    if stored.ndim == 2:
        # Nearest neighbour picks ids, so it commutes with the lookup: resize first, 16x cheaper.
        stored = resize_mask(stored, size)
    mask = decode_mask(stored, info["encoding"], scheme, info["mask_path"])
    return image, resize_mask(mask, size)


def _encode_picture(array: np.ndarray, suffix: str) -> bytes:
    # Level 1 of zlib: three times as fast to write as the default, 10 % larger.
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 95]
    flipped = array[..., ::-1] if array.ndim == 3 else array  # OpenCV writes BGR
    return cv2.imencode(suffix, flipped, flags)[1].tobytes()


def stored_pixels(image: np.ndarray, storage: str) -> tuple[list[bytes] | None, np.ndarray]:
    """The bytes of pictures and the uint8 pixels that a reader will get from them.

    Args:
      image: (T, H, W, 3) uint8.
      storage: key of STORAGES.

    Returns:
      One byte string per frame (None for "normalized", whose bytes need the statistics), and
      (T, H, W, 3) uint8, which differs from `image` for "jpeg" alone.
    """
    if storage == "normalized":
        return None, image
    if storage == "uint8":
        return [frame.tobytes() for frame in image], image
    encoded = [_encode_picture(frame, ".png" if storage == "png" else ".jpg") for frame in image]
    if storage == "jpeg":
        decoded = [cv2.imdecode(np.frombuffer(e, np.uint8), cv2.IMREAD_COLOR_RGB) for e in encoded]
        image = np.stack(decoded)
    return encoded, image


def encode_record(
    image: np.ndarray,
    mask: np.ndarray,
    name: str,
    storage: str,
    stats: dict | None = None,
    encoded: list[bytes] | None = None,
) -> bytes:
    """Serializes one pair.

    Args:
      image: (T, H, W, 3) uint8, or (H, W, 3) for one frame.
      mask: (H, W) uint8 class ids.
      name: unique in its split.
      storage: key of STORAGES.
      stats: six numbers of rgb_stats.json; needed for "normalized".
      encoded: the first result of `stored_pixels`, if at hand.

    Returns:
      A serialized tf.train.Example; the same bytes for the same input.
    """
    image = image if image.ndim == 4 else image[None]
    if storage == "normalized":
        encoded = [normalize_image(frame, stats).tobytes() for frame in image]
    elif encoded is None:
        encoded, image = stored_pixels(image, storage)
    raw_mask = storage in ("normalized", "uint8")
    values = {
        "image": encoded,
        "mask": [mask.tobytes() if raw_mask else _encode_picture(mask, ".png")],
        "storage": [storage.encode()],
        "name": [name.encode()],
    }
    numbers = dict(zip(("frames", "height", "width", "image_depth"), image.shape, strict=True))
    feature = {
        k: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for k, v in values.items()
    }
    for key, number in (numbers | {"mask_depth": 1}).items():
        feature[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def parse_record(serialized: tf.Tensor, spec: "RecordSpec") -> dict[str, tf.Tensor]:
    """Inverts `encode_record`, up to normalization.

    Args:
      serialized: scalar string.
      spec: what all records of the file have in common.

    Returns:
      "image": (H, W, 3) or, for T > 1 frames, (T, H, W, 3): float32 normalized for storage
      "normalized", else uint8; "mask": (H, W) uint8; "name": string.
    """
    height, width = spec.image_size
    feature = tf.io.parse_single_example(
        serialized,
        {
            "image": tf.io.FixedLenFeature([spec.frames], tf.string),
            "mask": tf.io.FixedLenFeature([], tf.string),
            "name": tf.io.FixedLenFeature([], tf.string),
        },
    )
    if spec.storage in ("normalized", "uint8"):
        dtype = tf.float32 if spec.storage == "normalized" else tf.uint8
        image = tf.io.decode_raw(feature["image"], dtype)
        mask = tf.io.decode_raw(feature["mask"], tf.uint8)
    else:
        frames = tf.unstack(feature["image"])
        decode = tf.io.decode_png
        if spec.storage == "jpeg":

            def decode(frame, channels):
                # The slow DCT is the one that OpenCV uses, so that the statistics fit.
                return tf.io.decode_jpeg(frame, channels, dct_method="INTEGER_ACCURATE")

        image = tf.stack([decode(frame, 3) for frame in frames])
        mask = tf.io.decode_png(feature["mask"], 1)
    image = tf.reshape(image, (spec.frames, height, width, 3))
    return {
        "image": image if spec.frames > 1 else image[0],
        "mask": tf.reshape(mask, (height, width)),
        "name": feature["name"],
    }


def normalize_tensor(image: tf.Tensor, stats: dict[str, float]) -> tf.Tensor:
    """rgb_stats.normalize for tensors: (..., 3) uint8 or 0-255 float -> float32, to the bit."""
    mean, std = mean_and_std(stats)
    return (tf.cast(image, tf.float32) - mean) * (np.float32(1) / std)


def denormalize_tensor(image: tf.Tensor, stats: dict[str, float]) -> tf.Tensor:
    """rgb_stats.denormalize for tensors, left as float32: whole numbers on 0-255."""
    mean, std = mean_and_std(stats)
    return tf.clip_by_value(tf.round(image * std + mean), 0.0, 255.0)


# --- one file of records ---


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
    if storage == "normalized" and rgb_data is None:
        raise InputError("normalized records need rgb_data: give rgb_stats.json's numbers")
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
    count = 0
    with write_aside(path) as aside:
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
    path: str | Path | list, *, rgb_data: dict[str, float] | None = None
) -> tf.data.Dataset:
    """Streams the pairs of one or more TFRecord files, in their order.

    Depth, size and storage are taken from the first record.

    Args:
      path: file or files of `write_tfrecord`.
      rgb_data: six numbers of rgb_stats.json; None leaves the pixels as they are stored.

    Returns:
      Dataset of {"image": float32 normalized (uint8 as stored without rgb_data), "mask": uint8,
      "name": string}.

    Raises:
      InputError: no such file, or not a file of these records.
    """
    paths = [str(one) for one in (path if isinstance(path, list) else [path])]
    spec = _spec_of_file(paths[0])

    def parse(serialized):
        pair = parse_record(serialized, spec)
        if rgb_data is not None and spec.storage != "normalized":
            pair["image"] = normalize_tensor(pair["image"], rgb_data)
        return pair

    return tf.data.TFRecordDataset(paths).map(parse, num_parallel_calls=2, deterministic=True)


@dataclass(frozen=True)
class RecordSpec:
    """What all records of a file have in common."""

    storage: str
    image_size: tuple[int, int]
    frames: int = 1


def _spec_of_file(path: str) -> RecordSpec:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file of records; write it with `skyseg build`")
    try:
        serialized = next(iter(tf.data.TFRecordDataset(path).take(1)), None)
        feature = tf.train.Example.FromString(serialized.numpy()).features.feature
        number = {k: feature[k].int64_list.value[0] for k in ("height", "width", "frames")}
        storage = feature["storage"].bytes_list.value[0].decode()
    except Exception as error:  # a damaged file fails in protobuf, TensorFlow or here
        raise InputError(
            f"{path}: no records in it ({error.__class__.__name__}); write it with `skyseg build`"
        ) from None
    return RecordSpec(storage, (number["height"], number["width"]), number["frames"])


# --- a folder of records ---


@dataclass(frozen=True)
class Shard:
    """One file of a split; `file` is its name in the folder."""

    file: str
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split of a folder of records.

    Attributes:
      count: number of records.
      class_pixels: labeled pixels of each class id, at the records' size.
      ignored_pixels: pixels of value 255.
      shards: its files.
    """

    count: int
    class_pixels: list[int]
    ignored_pixels: int
    shards: list[Shard]


@dataclass(frozen=True)
class Manifest:
    """dataset.json: all that a reader must know, and what the records were made from.

    Attributes:
      scheme: the classes, whole, so that records outlive a change of the code.
      storage: key of STORAGES.
      image_size: (height, width).
      image_depth, mask_depth: 3 and 1.
      image_dtype: as stored: "float32" or "uint8".
      frames: pictures per record.
      rgb_stats: the six numbers that the images are normalized by.
      seed: of the order.
      layout, encoding: of the source.
      source_sha256: of the source's file names and sizes.
      splits: by name.
    """

    scheme: LabelScheme
    storage: str
    image_size: tuple[int, int]
    image_depth: int
    mask_depth: int
    image_dtype: str
    frames: int
    rgb_stats: dict[str, float]
    seed: int
    layout: str
    encoding: str
    source_sha256: str
    splits: dict[str, Split]
    schema_version: int = SCHEMA_VERSION

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the scheme."""
        return self.scheme.class_names

    @property
    def spec(self) -> RecordSpec:
        """The part that `parse_record` needs."""
        return RecordSpec(self.storage, self.image_size, self.frames)


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Writes dataset.json aside and renames it."""
    with write_aside(Path(folder) / MANIFEST) as aside:
        content = asdict(manifest) | {"scheme": manifest.scheme.as_dict()}
        aside.write_text(json.dumps(content, indent=1) + "\n")


def read_manifest(folder: str | Path) -> Manifest:
    """Reads dataset.json and checks that its shards are there.

    Raises:
      InputError: no manifest (wrong folder, or an unfinished build), another schema version, a
        shard that is missing or of another size.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder}: no {MANIFEST} there: a wrong folder, or a build that did not finish "
            "(run the same `skyseg build` again)"
        )
    try:
        raw = json.loads(path.read_text())
        version = raw["schema_version"]
        if version not in range(1, SCHEMA_VERSION + 1):
            raise InputError(
                f"{path}: schema version {version}, this program reads 1 to {SCHEMA_VERSION}; "
                "build the records again"
            )
        raw["scheme"] = stored_scheme(raw["scheme"], raw.pop("class_names", None), path)
        for split in raw["splits"].values():
            split["shards"] = [Shard(**shard) for shard in split["shards"]]
        raw["splits"] = {name: Split(**split) for name, split in raw["splits"].items()}
        raw["image_size"] = tuple(raw["image_size"])
        manifest = Manifest(**raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged ({error}); build the records again") from None
    for split in manifest.splits.values():
        for shard in split.shards:
            file = path.parent / shard.file
            if not file.is_file() or file.stat().st_size != shard.bytes:
                raise InputError(
                    f"{file}: missing or not {shard.bytes} bytes long; copy it again or delete "
                    f"{path} and run the same `skyseg build` again"
                )
    return manifest
