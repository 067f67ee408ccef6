"""Opening a split of records: which files are read, after it was checked that they can be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from skyseg_tf.data.integrity import NamingDataset, verify_files
from skyseg_tf.data.manifest import Manifest, read_manifest
from skyseg_tf.data.scanning import RecordFile, record_files
from skyseg_tf.errors import InputError, not_among

LeftOut = Mapping[str, Collection[int]]  # by a file's path: the numbers of records


@dataclass(frozen=True)
class OpenSplit:
    """One split of a folder of records, and of those that are mixed in.

    Attributes:
      manifest: of the first folder, which the others are like.
      files: of all folders.
      count: records that are read.
      bytes: of all files.
      left_out: records that are not read.
    """

    manifest: Manifest
    files: list[RecordFile]
    count: int
    bytes: int
    left_out: LeftOut

    def naming_damage(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset of these files, whose iteration names a record that is damaged meanwhile."""
        return NamingDataset(dataset, self.files)


def open_split(
    folders: list[Path], split: str, *, digests: bool = True, left_out: LeftOut | None = None
) -> OpenSplit:
    """Checks the files of a split, and that folders can be mixed.

    Args:
      folders: of `skyseg build`.
      split: of their manifests.
      digests, left_out: see pipeline.make_dataset.

    Raises:
      InputError: see pipeline.make_dataset.
    """
    strict, left_out = left_out is None, left_out or {}
    manifests = [read_manifest(folder, shards_are_there=strict) for folder in folders]
    files, count, size = [], 0, 0
    for folder, manifest in zip(folders, manifests, strict=True):
        if split not in manifest.splits:
            raise InputError(f"{folder}: {not_among('split', split, manifest.splits)}")
        _check_alike(folder, manifest, folders, manifests[0])
        part = manifest.splits[split]
        if strict:
            verify_files(folder, manifest, split, digests=digests)
        here = record_files(folder, manifest, split)
        files += here
        count += part.count - sum(len(left_out.get(file.path, ())) for file in here)
        size += sum(shard.bytes for shard in part.shards)
    if not count:
        raise InputError(
            f"{folders[0]}: split '{split}' has no whole record left; repair it: `skyseg verify "
            f"{folders[0]} --repair --source DIR`"
        )
    return OpenSplit(manifests[0], files, count, size, left_out)


def _check_alike(folder: Path, manifest: Manifest, folders: list[Path], first: Manifest) -> None:
    """Refuses records that cannot be mixed with those of the first folder."""
    for fact in ("scheme", "image_size", "frames", "storage"):
        here, there = getattr(manifest, fact), getattr(first, fact)
        if here != there:
            if fact == "scheme":
                here, there = str(here), str(there)
            raise InputError(
                f"{folder}: {fact} is {here}, but {there} in {folders[0]}; build both alike"
            )
    if len(folders) > 1 and manifest.storage == "normalized":
        raise InputError(
            f"{folder}: normalized by statistics of its own; records that are to be mixed need "
            "--storage uint8, png or jpeg"
        )
