"""One record: an image/mask pair as a tf.train.Example.

image        bytes, one per frame (one for photos): float32, uint8, PNG or JPEG
mask         bytes: uint8 class ids, raw, or PNG for storage "png" and "jpeg"
height, width, image_depth, mask_depth, frames   int64
storage, name                                    bytes (text)
"""

from dataclasses import dataclass

import cv2
import numpy as np
import tensorflow as tf

from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.data.rgb_stats import normalize as normalize_image
from skyseg_tf.labels import IGNORE

STORAGES = {
    "normalized": "float32, (x - mean) / std: nothing left to compute, 4x the disk of uint8",
    "uint8": "raw bytes: fast and exact",
    "png": "lossless and small, slower to read",
    "jpeg": "quality 95: smallest, not exact",
}


@dataclass(frozen=True)
class RecordSpec:
    """What all records of a file have in common."""

    storage: str
    image_size: tuple[int, int]
    frames: int = 1

    @property
    def dtype(self) -> tf.DType:
        """Of the images as stored."""
        return tf.float32 if self.storage == "normalized" else tf.uint8


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
    return _serialized_example(values, numbers | {"mask_depth": 1})


def _serialized_example(values: dict[str, list[bytes]], numbers: dict[str, int]) -> bytes:
    """A tf.train.Example, its features in the order of their keys.

    Written here, the pixels are copied once; into protobuf's message and out of it, thrice.

    Reference: tensorflow/core/example/feature.proto, and the encoding of protocol buffers.
    """
    features = []
    # As protobuf sorts them: "image_depth" comes before "image".
    for key in sorted(values.keys() | numbers.keys(), key="{}~".format):
        if key in values:
            items = [part for value in values[key] for part in _delimited(1, [value])]
            feature = _delimited(1, items)  # a BytesList
        else:
            feature = _delimited(3, _delimited(1, [_varint(numbers[key])]))  # an Int64List, packed
        features += _delimited(1, _delimited(1, [key.encode()]) + _delimited(2, feature))
    return b"".join(_delimited(1, features))


def _delimited(field: int, parts: list[bytes]) -> list[bytes]:
    """The parts behind the head of a field of that number and their length."""
    return [_varint(field << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def parse_record(serialized: tf.Tensor, spec: RecordSpec) -> dict[str, tf.Tensor]:
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
        image = tf.io.decode_raw(feature["image"], spec.dtype)
        mask = tf.io.decode_raw(feature["mask"], tf.uint8)
    else:
        decode = _decode_jpeg if spec.storage == "jpeg" else tf.io.decode_png
        image = tf.stack([decode(frame, 3) for frame in tf.unstack(feature["image"])])
        mask = tf.io.decode_png(feature["mask"], 1)
    image = tf.reshape(image, (spec.frames, height, width, 3))
    return {
        "image": image if spec.frames > 1 else image[0],
        "mask": tf.reshape(mask, (height, width)),
        "name": feature["name"],
    }


def _decode_jpeg(frame: tf.Tensor, channels: int) -> tf.Tensor:
    # The slow DCT is the one that OpenCV uses, so that the statistics fit.
    return tf.io.decode_jpeg(frame, channels, dct_method="INTEGER_ACCURATE")


def checked_values(
    pair: dict[str, tf.Tensor], num_classes: int | None = None
) -> dict[str, tf.Tensor]:
    """The result of `parse_record`; reading it fails where its values mean nothing.

    Args:
      pair: of `parse_record`.
      num_classes: ids that the mask may hold, beside 255; None: any.

    Returns:
      The same, whose iteration raises tf.errors.InvalidArgumentError for a class id that is none
      and for pixels that are no numbers. A record of 256x512 takes 0.1 ms.
    """
    image, mask = pair["image"], pair["mask"]
    if image.dtype == tf.float32:
        image = tf.debugging.check_numerics(image, "pixels")
    if num_classes is not None and num_classes < IGNORE:
        are_classes = tf.reduce_all((mask < num_classes) | (mask == IGNORE))
        with tf.control_dependencies([tf.debugging.Assert(are_classes, ["no such class id"])]):
            mask = tf.identity(mask)
    return pair | {"image": image, "mask": mask}


def normalize_tensor(image: tf.Tensor, stats: dict[str, float]) -> tf.Tensor:
    """rgb_stats.normalize for tensors: (..., 3) uint8 or 0-255 float -> float32, to the bit."""
    mean, std = mean_and_std(stats)
    rows = tf.cast(_rows(image), tf.float32)
    rows = (rows - _along(image, mean)) * _along(image, np.float32(1) / std)
    return tf.ensure_shape(tf.reshape(rows, tf.shape(image)), image.shape)


def denormalize_tensor(image: tf.Tensor, stats: dict[str, float]) -> tf.Tensor:
    """rgb_stats.denormalize for tensors, left as float32: whole numbers on 0-255."""
    mean, std = mean_and_std(stats)
    rows = _rows(image) * _along(image, std) + _along(image, mean)
    values = tf.clip_by_value(tf.round(rows), 0.0, 255.0)
    return tf.ensure_shape(tf.reshape(values, tf.shape(image)), image.shape)


# TensorFlow broadcasts three values over pixels four times as slowly as a row of them over rows.


def _rows(image: tf.Tensor) -> tf.Tensor:
    """(..., W, 3) -> (..., W * 3)."""
    return tf.reshape(image, tf.concat([tf.shape(image)[:-2], [-1]], 0))


def _along(image: tf.Tensor, values: np.ndarray) -> np.ndarray:
    """A value for each channel, as often as a row of the image has pixels: (W * 3,)."""
    return np.tile(values, image.shape[-2])
