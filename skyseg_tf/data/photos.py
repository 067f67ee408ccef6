"""One labeled photo at a time, from records or at full size from a dataset tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.data.clips import clip_frames
from skyseg_tf.data.integrity import verify_files
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.records import read_manifest, read_tfrecord
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.images import read_image, read_mask
from skyseg_tf.labels import Encoding, LabelScheme, decode_mask
from skyseg_tf.scoring.instances import read_instances


@dataclass(frozen=True)
class LabeledPhoto:
    """A photo and what is known about it.

    Attributes:
      name: unique in its split.
      image: (H, W, 3) uint8, or a clip (T, H, W, 3) whose last frame is labeled.
      truth: (H, W) uint8 class ids, 255 = ignored; None where there is no mask.
      instances: (H, W) int32 instanceIds; None where there are none.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray | None
    instances: np.ndarray | None = None

    @property
    def photo(self) -> np.ndarray:
        """(H, W, 3) uint8: the labeled frame."""
        return self.image if self.image.ndim == 3 else self.image[-1]


def photos_of_records(records: str | Path, split: str) -> Iterator[LabeledPhoto]:
    """Photos as the records hold them.

    Args:
      records: folder of `skyseg build`.
      split: a split of its manifest.

    Returns:
      LabeledPhoto at the records' size, without instances; one at a time.

    Raises:
      InputError: no such folder or split, or a damaged file.
    """
    manifest = read_manifest(records)
    if split not in manifest.splits:
        raise InputError(f"{records}: {not_among('split', split, manifest.splits)}")
    verify_files(Path(records), manifest, split)
    files = [str(Path(records) / shard.file) for shard in manifest.splits[split].shards]
    classes = manifest.scheme.num_classes
    pairs = read_tfrecord(files, num_classes=classes).as_numpy_iterator()
    if manifest.storage == "normalized":
        pairs = (p | {"image": denormalize(p["image"], manifest.rgb_stats)} for p in pairs)
    return (LabeledPhoto(p["name"].decode(), p["image"], p["mask"]) for p in pairs)


def photos_of_pairs(
    pairs: list[Pair], encoding: Encoding | None, scheme: LabelScheme, frames: int = 1
) -> Iterator[LabeledPhoto]:
    """Photos at their own size.

    Args:
      pairs: of scan.find_pairs.
      encoding: of the masks; None where no pair has one.
      scheme: the wanted classes.
      frames: T > 1 gives clips.

    Yields:
      LabeledPhoto, with instances where the tree has instanceIds.

    Raises:
      InputError: a damaged file, or a mask or instanceIds of another size than the photo.
    """
    for pair in pairs:
        if frames > 1:
            image = np.stack([read_image(path) for path in clip_frames(pair, frames)])
        else:
            image = read_image(pair.image)
        truth = instances = None
        if pair.mask:
            truth = decode_mask(read_mask(pair.mask), encoding, scheme, pair.mask)
            instances = read_instances(pair.mask)
        for what, picture in (("mask", truth), ("instanceIds", instances)):
            if picture is not None and picture.shape != image.shape[-3:-1]:
                height, width = image.shape[-3:-1]
                raise InputError(
                    f"{pair.mask}: the {what} picture is {picture.shape[1]} x {picture.shape[0]}, "
                    f"its photo {width} x {height}; export it at the photo's size"
                )
        yield LabeledPhoto(pair.name, image, truth, instances)
