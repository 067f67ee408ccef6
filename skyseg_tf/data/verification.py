"""What `skyseg verify` does: every byte of a folder of records, compared with what its manifest says.

Each shard is read once, a thread a shard: SHA-256, framing, checksums, then what every record
holds, its name, and its pixels' sums, of which the manifest holds statistics.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skyseg_tf.data.framing import Fault, Torn
from skyseg_tf.data.integrity import CHANGED
from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, read_manifest
from skyseg_tf.data.rgb_stats import (
    RgbSums,
    denormalize,
    read_rgb_stats,
    rgb_stats,
    sum_image,
)
from skyseg_tf.data.scanning import RecordFile, record_files, scan_file
from skyseg_tf.data.verification_report import Report
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import check_file
from skyseg_tf.files.json_file import read_object
from skyseg_tf.labels import IGNORE

RGB_STATS, SETTINGS = "rgb_stats.json", "build.json"


@dataclass(frozen=True)
class ScannedShard:
    """What a shard holds.

    Attributes:
      count: of records, as the manifest says.
      faults: of it and its records.
      names: of its records, in their order; of one that cannot be read "".
      pixels: (256,) how often each value stands in the masks.
      sums: of the photos' colors.
      sha256: of the file, as far as it can be read.
    """

    count: int
    faults: tuple[Fault, ...]
    names: tuple[str, ...]
    pixels: np.ndarray
    sums: RgbSums
    sha256: str = ""

    @property
    def bad_records(self) -> set[int]:
        """Numbers of those that cannot be trusted: of a file that is another one, all."""
        every = set(range(self.count))
        bad = {fault.record for fault in self.faults} | (every - set(range(len(self.names))))
        return every if None in bad else bad & every


def verify_records(folder: str | Path, quiet: bool = False) -> Report:
    """Compares all that a folder of records holds with what its manifest says.

    Args:
      folder: of `skyseg build`.
      quiet: no progress bar.

    Returns:
      What is wrong: of a manifest that cannot be used, nothing but that.

    Raises:
      InputError: no manifest there.
    """
    folder, started = Path(folder), time.monotonic()
    if not (folder / MANIFEST).is_file():
        read_manifest(folder)  # says so
    try:
        manifest = read_manifest(folder, shards_are_there=False)
    except InputError as error:
        what = str(error).removeprefix(f"{folder / MANIFEST}: ")
        return Report(folder, (Fault(str(folder / MANIFEST), what),))
    scanned = scan_shards(folder, manifest, quiet)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    faults = [fault for one in scanned.values() for fault in one.faults]
    faults += _repeated_names(folder, manifest, scanned)
    if not faults:  # else the sums are of other records
        faults += _wrong_counts(folder, manifest, scanned)
        faults += _wrong_statistics(folder, manifest, scanned)
    faults += _wrong_stats_file(folder, manifest)
    return Report(
        folder,
        tuple(faults),
        len(shards),
        sum(shard.count for shard in shards),
        sum(shard.bytes for shard in shards),
        time.monotonic() - started,
    )


def damaged_records(
    folder: str | Path, manifest: Manifest, *, anew: bool = False
) -> dict[str, set[int]]:
    """The records that must not be trained on, by the path of their file.

    Files without a fault are left out; one with something behind its last record is there, with none.

    Args:
      folder: of the records.
      manifest: its own.
      anew: read files again that this process has read before.
    """
    if anew:  # a failing disk changes no file's time
        _scan.cache_clear()
    scanned = scan_shards(Path(folder), manifest, quiet=True)
    return {path: one.bad_records for path, one in scanned.items() if one.faults}


def scan_shards(folder: Path, manifest: Manifest, quiet: bool) -> dict[str, ScannedShard]:
    """Reads all shards of a folder, by their paths; once per process as long as they stay as they are."""
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    files = record_files(folder, manifest)
    names = {shard.sha256: shard.file for shard in shards}
    normalized = manifest.storage == "normalized"
    stats = tuple(manifest.rgb_stats.items()) if normalized else None
    total = sum(shard.bytes for shard in shards)
    with tqdm(
        total=total, desc="verify", unit="B", unit_scale=True, disable=quiet, leave=False
    ) as bar:

        def scan(shard: Shard, file: RecordFile) -> ScannedShard:
            try:
                check_file(file.path, sys.maxsize)
                facts = os.stat(file.path)
                found = _scan(file, shard, facts.st_size, facts.st_mtime_ns, stats)
            except FileNotFoundError:
                found = _unread(file, shard, "missing")
            except InputError as error:  # a folder, a pipe
                found = _unread(file, shard, str(error).removeprefix(f"{file.path}: "))
            bar.update(shard.bytes)
            return _exchanged_named(shard, found, names)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip((f.path for f in files), pool.map(scan, shards, files), strict=True))


@lru_cache(maxsize=65536)
def _scan(
    file: RecordFile, shard: Shard, size: int, modified: int, stats: tuple | None
) -> ScannedShard:
    # `size` and `modified` are part of the key, so that a file that was replaced is read again.
    digest, faults, names = sha256(), [], []
    pixels, sums = np.zeros(256, np.int64), RgbSums()
    try:
        for record in scan_file(file, digest.update):
            names.append(record.name)
            if record.fault:
                faults.append(record.fault)
                continue
            pixels += record.counts
            image = record.image
            sums += sum_image(denormalize(image, dict(stats)) if stats else image)
    except Torn as torn:
        faults.append(torn.fault)
    if len(names) > shard.count or (not faults and len(names) != shard.count):
        told = f"{counted(len(names), 'record')}, where {MANIFEST} says {shard.count}"
        faults.append(Fault(file.path, told))
    elif not faults and digest.hexdigest() != shard.sha256:
        faults.append(Fault(file.path, CHANGED))
    elif not faults and size != shard.bytes:
        faults.append(Fault(file.path, f"{size} bytes, where {MANIFEST} says {shard.bytes}"))
    digest = digest.hexdigest()
    return ScannedShard(shard.count, tuple(faults), tuple(names), pixels, sums, digest)


def _unread(file: RecordFile, shard: Shard, why: str) -> ScannedShard:
    faults = (Fault(file.path, why),)
    return ScannedShard(shard.count, faults, (), np.zeros(256, np.int64), RgbSums())


def _exchanged_named(shard: Shard, found: ScannedShard, names: dict[str, str]) -> ScannedShard:
    """Says which other shard lies there, where it is one of the same folder."""
    other = names.get(found.sha256, shard.file)
    if not found.faults or other == shard.file:
        return found
    path = found.faults[0].path
    return replace(found, faults=(Fault(path, f"holds what {other} should: exchanged"),))


# --- what only all shards together tell ---


def _repeated_names(
    folder: Path, manifest: Manifest, scanned: dict[str, ScannedShard]
) -> list[Fault]:
    faults = []
    for split_name, split in manifest.splits.items():
        first = {}
        for shard in split.shards:
            path = str(folder / shard.file)
            for number, name in enumerate(scanned[path].names):
                file, record = first.setdefault(name, (shard.file, number))
                if name and (file, record) != (shard.file, number):
                    what = f"the split '{split_name}' has it already: {file}, record {record}"
                    faults.append(Fault(path, what, number, name))
    return faults


def _wrong_counts(
    folder: Path, manifest: Manifest, scanned: dict[str, ScannedShard]
) -> list[Fault]:
    faults = []
    for name, split in manifest.splits.items():
        pixels = np.sum([scanned[str(folder / shard.file)].pixels for shard in split.shards], 0)
        for key, found in (
            ("class_pixels", pixels[: len(split.class_pixels)].tolist()),
            ("ignored_pixels", int(pixels[IGNORE])),
        ):
            if getattr(split, key) != found:
                what = f"split '{name}': '{key}' is {getattr(split, key)}, counted {found}"
                faults.append(Fault(str(folder / MANIFEST), what))
    return faults


def _wrong_statistics(
    folder: Path, manifest: Manifest, scanned: dict[str, ScannedShard]
) -> list[Fault]:
    """Of records whose build took them from the train split."""
    try:
        given = read_object(folder / SETTINGS, "").get("given_rgb_stats")
    except (InputError, FileNotFoundError):
        return []
    if given or "train" not in manifest.splits:
        return []
    shards = manifest.splits["train"].shards
    sums = sum((scanned[str(folder / shard.file)].sums for shard in shards), RgbSums())
    measured = rgb_stats(sums)
    return [
        Fault(
            str(folder / MANIFEST),
            f"'rgb_stats': {key} is {manifest.rgb_stats[key]}, measured {measured[key]}",
        )
        for key in measured
        if abs(measured[key] - manifest.rgb_stats[key]) > 1e-9
    ]


def _wrong_stats_file(folder: Path, manifest: Manifest) -> list[Fault]:
    path = folder / RGB_STATS
    try:
        stats = read_rgb_stats(path)
    except FileNotFoundError:
        return [Fault(str(path), "missing")]
    except InputError as error:
        return [Fault(str(path), str(error).removeprefix(f"{path}: "))]
    wrong = [key for key in stats if stats[key] != manifest.rgb_stats[key]]
    return [
        Fault(str(path), f"{key} is {stats[key]}, in {MANIFEST} {manifest.rgb_stats[key]}")
        for key in wrong
    ]
