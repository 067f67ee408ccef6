"""What `skyseg verify --repair` does: broken files of a folder of records, made anew from their source.

Only what is broken is written, each file aside; a shard takes its place only where its bytes are
those that the manifest names by their SHA-256.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, read_manifest
from skyseg_tf.data.records import (
    encode_record,
    extract_cityscape_data_info,
    fill_file,
    load_pair,
)
from skyseg_tf.data.rgb_stats import write_rgb_stats
from skyseg_tf.data.scan import source_root
from skyseg_tf.data.shards import Threads
from skyseg_tf.data.verification import RGB_STATS
from skyseg_tf.data.verification_report import Report
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import sha256_of
from skyseg_tf.files.aside import write_aside


def repair_records(report: Report, source: str | Path | None, quiet: bool = False) -> list[str]:
    """Makes the broken files of a folder of records anew.

    Args:
      report: of verification.verify_records.
      source: what the records were built from.
      quiet: no progress bar.

    Returns:
      Names of the files that were written.

    Raises:
      InputError: the manifest itself is broken, or the source is not the one of the records any
        more; what is whole stays as it is, and so does what is broken.
    """
    folder, broken = report.folder, {Path(fault.path).name for fault in report.faults}
    if MANIFEST in broken:
        raise InputError(
            f"{folder / MANIFEST}: cannot be repaired, for all else is known by it; delete it and "
            "run the same `skyseg build` again"
        )
    manifest = read_manifest(folder, shards_are_there=False)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    wanted = [shard for shard in shards if shard.file in broken]
    if wanted:
        _write_shards(folder, manifest, wanted, source, quiet)
    if RGB_STATS in broken:
        _write_stats(folder, manifest)
    return [shard.file for shard in wanted] + [RGB_STATS] * (RGB_STATS in broken)


def _write_shards(
    folder: Path, manifest: Manifest, wanted: list[Shard], source: str | Path | None, quiet: bool
) -> None:
    root = source_root(source)
    members = _members(folder, manifest, root)
    items = {shard.file: (shard, members[shard.file]) for shard in wanted}
    counts = {shard.file: shard.count for shard in wanted}
    write = partial(_write_shard, folder, manifest, root)
    total = sum(counts.values())
    with tqdm(total=total, desc="repair", unit="img", disable=quiet, leave=False) as bar:
        Threads().map(write, items, counts, bar.update)


def _write_shard(
    folder: Path,
    manifest: Manifest,
    root: Path,
    name: str,
    item: tuple[Shard, list[dict]],
    tell: Callable[[int], object],
) -> None:
    """Writes one shard of its photos, if these give the bytes that it had."""
    (shard, infos), path = item, folder / name
    with write_aside(path) as aside:
        fill_file(aside, _records(manifest, infos, tell), path)
        if sha256_of(aside) != shard.sha256:
            raise InputError(
                f"{path}: {root} gives other bytes today than it did when the records were built, "
                "so nothing was repaired there; give the source as it was, or build the records "
                "again into another folder"
            )


def _records(
    manifest: Manifest, infos: list[dict], tell: Callable[[int], object]
) -> Iterator[bytes]:
    for info in infos:
        image, mask = load_pair(info, manifest.image_size, manifest.scheme)
        yield encode_record(image, mask, info["name"], manifest.storage, manifest.rgb_stats)
        tell(1)


def _members(folder: Path, manifest: Manifest, root: Path) -> dict[str, list[dict]]:
    """The photos of each shard, by its file; see building, which deals them out in this order."""
    infos = extract_cityscape_data_info(
        root,
        layout=manifest.layout,
        encoding=manifest.encoding,
        frames=manifest.frames,
        seed=manifest.seed,
    )
    members = {}
    for name, split in manifest.splits.items():
        of_split = [info for info in infos if info["split"] == name]
        if len(of_split) != split.count:
            raise InputError(
                f"{root}: not what {folder} was built from: {counted(len(of_split), 'photo')} of the split "
                f"'{name}', where the records have {split.count}; give the same --source as `build`"
            )
        start = 0
        for shard in split.shards:
            members[shard.file] = of_split[start : start + shard.count]
            start += shard.count
    return members


def _write_stats(folder: Path, manifest: Manifest) -> None:
    height, width = manifest.image_size
    train = manifest.splits.get("train")
    pixels = train.count * manifest.frames * height * width if train else 0
    write_rgb_stats(folder / RGB_STATS, manifest.rgb_stats, split="train", pixels=pixels)
