"""The streams of a training: batches of the train split by epoch, and those of the val split."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment.camera import make_augment
from skyseg_tf.data.augment.mixing import make_mix
from skyseg_tf.data.augment.settings import Classes
from skyseg_tf.data.framing import Torn
from skyseg_tf.data.pipeline import Share, make_dataset
from skyseg_tf.data.records import Manifest, read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.data.scanning import record_files, scan_file
from skyseg_tf.labels import LabelScheme
from skyseg_tf.training.bad_records import Skipped
from skyseg_tf.training.devices import evened
from skyseg_tf.training.settings import TrainConfig


@dataclass(frozen=True)
class Batches:
    """What a training reads: batches of images (B, H, W, 3) or clips, and masks (B, H, W).

    Attributes:
      train: (epoch from 0, batches to skip) -> the rest of the epoch; of several processes each
        has its share of the batches.
      val: the val split, to each process the whole; its last batch may be filled up, see evened.
    """

    train: Callable[[int, int], tf.data.Dataset]
    val: tf.data.Dataset

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return int(self.train(0, 0).cardinality())


def make_batches(
    settings: TrainConfig, scheme: LabelScheme, skipped: Skipped | None = None
) -> Batches:
    """Opens the records.

    Args:
      settings: with the records, see TrainConfig.
      scheme: the records' classes.
      skipped: damaged records that are left out; None: there must be none.

    Raises:
      InputError: a damaged file, or fewer records than a batch.
    """
    classes, augment, mix = Classes.of(scheme), None, None
    # Without either, records go through as they are, with no detour over 0-255.
    if settings.augment != "none" or settings.open_crowns:
        augment = make_augment(settings.augment, classes, open_trees=settings.open_crowns)
        mix = make_mix(settings.augment, classes.sky)

    known = _known_classes(settings)
    # A run that goes on has had its records' digests compared when it began.
    checks = {"digests": not settings.resume, "left_out": skipped}

    def train(epoch: int, skip_batches: int) -> tf.data.Dataset:
        return make_dataset(
            settings.records,
            "train",
            settings.batch_size,
            shuffle=True,
            seed=settings.seed,
            epoch=epoch,
            augment=augment,
            mix=mix,
            extra=settings.extra_records,
            classes=known,
            drop_remainder=True,
            skip_batches=skip_batches,
            share=Share(settings.process_id, settings.num_processes),
            **checks,
        )

    val = make_dataset(settings.records, "val", settings.batch_size, **checks)
    return Batches(train, evened(val, settings.devices))


def class_pixels(settings: TrainConfig, skipped: Skipped | None = None) -> np.ndarray:
    """(C,) labeled pixels of each class in all train splits, less those that are left out.

    Args:
      settings: with the records, see TrainConfig.
      skipped: as for `make_batches`; their pixels are not counted either.
    """
    folders = map(Path, (settings.records, *settings.extra_records))
    counts = np.sum([_train_pixels(folder, skipped or {}) for folder in folders], axis=0)
    known = _known_classes(settings)
    return counts if known is None else np.where(np.isin(np.arange(len(counts)), known), counts, 0)


def _train_pixels(folder: Path, skipped: Skipped) -> np.ndarray:
    """(C,) labeled pixels of each class in one folder's train split."""
    manifest = read_manifest(folder, shards_are_there=False)
    files = record_files(folder, manifest, "train")
    if not any(skipped.get(file.path) for file in files):
        return np.array(manifest.splits["train"].class_pixels)
    # The manifest has sums alone, and what a damaged mask added to them nobody can tell.
    counts = np.zeros(256, np.int64)
    for file in files:
        left_out = skipped.get(file.path, ())
        with suppress(FileNotFoundError, Torn):
            for number, record in enumerate(islice(scan_file(file), file.count)):
                if number not in left_out and record.counts is not None:
                    counts += record.counts
    return counts[: manifest.scheme.num_classes]


def _known_classes(settings: TrainConfig) -> list[int] | None:
    """Those that the records' own masks show; None: all count, also what extra records show."""
    if settings.extra_classes != "known":
        return None
    manifest = read_manifest(settings.records, shards_are_there=False)
    shown = manifest.splits["train"].class_pixels
    return [class_id for class_id, pixels in enumerate(shown) if pixels]


def pick_photos(
    val: tf.data.Dataset, manifest: Manifest, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos from all over the val split: its first batch may be one street.

    Args:
      val: batches of (images, masks).
      manifest: of the records.
      count: how many at most.

    Returns:
      (N, H, W, 3) uint8 photos (of a clip the last), the images as the network takes them, and
      (N, H, W) uint8 masks.
    """
    every = max(1, manifest.splits["val"].count // count)
    picked = list(val.unbatch().shard(every, 0).take(count).as_numpy_iterator())
    images, masks = (np.stack(part) for part in zip(*picked, strict=True))
    photos = denormalize(images if images.ndim == 4 else images[:, -1], manifest.rgb_stats)
    return photos, images, masks
