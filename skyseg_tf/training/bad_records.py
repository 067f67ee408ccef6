"""Training on records of which some are damaged: which ones are skipped, and where a run says so.

What is skipped is settled before the first step and kept in the run, so that a resumed training
sees the same records in the same order.
"""

from dataclasses import replace
from pathlib import Path

from skyseg_tf.data.manifest import Manifest, read_manifest
from skyseg_tf.data.verification import damaged_records
from skyseg_tf.files.json_types import typed
from skyseg_tf.runs.folder import read_json, write_json
from skyseg_tf.training.settings import TrainConfig

SKIPPED = "skipped_records.json"  # in the run: {folder's place among all: {file: numbers}}
Skipped = dict[str, set[int]]  # by a file's path


def _folders(config: TrainConfig) -> list[Path]:
    return [Path(config.records), *map(Path, config.extra_records)]


def skipped_records(config: TrainConfig, anew: bool = False) -> Skipped | None:
    """The records that a training leaves out; None where it is to stop at a damaged one.

    Args:
      config: completed, see settle.settle.
      anew: read all records again, whatever the run says of them.

    Raises:
      InputError: the run's own list is damaged.
    """
    if config.on_bad_record == "stop":
        return None
    path = Path(config.run) / SKIPPED
    if config.resume and path.exists() and not anew:
        stored = typed(read_json(path), dict[str, dict[str, list[int]]], path, "it")
        return {
            str(folder / file): set(numbers)
            for place, folder in enumerate(_folders(config))
            for file, numbers in stored.get(str(place), {}).items()
        }
    found = {}
    for folder in _folders(config):
        manifest = read_manifest(folder, shards_are_there=False)
        found |= damaged_records(folder, manifest, anew=anew)
    return found


def keep_skipped(config: TrainConfig, skipped: Skipped | None) -> None:
    """Writes the list into the run, where there is one."""
    if skipped is None:
        return
    content = {
        place: {
            Path(path).name: sorted(numbers)
            for path, numbers in skipped.items()
            if Path(path).parent == folder
        }
        for place, folder in enumerate(_folders(config))
    }
    write_json(Path(config.run) / SKIPPED, content)


def count(skipped: Skipped | None) -> int:
    """How many records are left out."""
    return sum(map(len, (skipped or {}).values()))


def told(skipped: Skipped | None) -> dict[str, int]:
    """What environment.json and metrics.json say of it: nothing where a training stops instead."""
    return {} if skipped is None else {"skipped_records": count(skipped)}


def without(manifest: Manifest, folder: Path, skipped: Skipped | None) -> Manifest:
    """A manifest whose splits count the records that are left alone.

    Args:
      manifest: of the records.
      folder: where they lie.
      skipped: damaged records; None: there are none.
    """
    splits = {
        name: replace(
            split,
            count=split.count
            - sum(len((skipped or {}).get(str(folder / shard.file), ())) for shard in split.shards),
        )
        for name, split in manifest.splits.items()
    }
    return replace(manifest, splits=splits)
