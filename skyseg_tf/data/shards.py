"""Sharded TFRecords, written in passes over all records, and what is noted of each shard.

Every shard is written aside and renamed, with a note of its content beside it, so that a killed
build goes on where it was.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from skyseg_tf.data.examples import encode_record, stored_pixels
from skyseg_tf.data.manifest import Shard
from skyseg_tf.data.records import write_records
from skyseg_tf.data.rgb_stats import RgbSums, sum_image
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.data.sources import load_pair, source_bytes
from skyseg_tf.errors import InputError
from skyseg_tf.files.json_file import read_object
from skyseg_tf.images import write_aside
from skyseg_tf.labels import IGNORE, LabelScheme

SHARD_BYTES = 100_000_000
WORK = ".build"
Shards = dict[str, list[dict]]  # file name: dicts of `extract_cityscape_data_info`


@dataclass(frozen=True)
class Pass:
    """One pass over all records.

    Attributes:
      title: of the progress bar.
      folder: where the shards go.
      notes: where their notes go.
      storage: key of STORAGES.
      stats: six numbers of rgb_stats.json; needed for "normalized".
      load: (shard, dict to fill with what it was made from) -> name, image and mask of each record.
      source_of: shard -> what that dict will hold, without loading.
    """

    title: str
    folder: Path
    notes: Path
    storage: str
    stats: dict | None
    load: Callable[[str, dict], Iterator[tuple[str, np.ndarray, np.ndarray]]]
    source_of: Callable[[str], dict]


def plan_shards(infos: list[dict], config: BuildConfig) -> Shards:
    """{file name: its infos}, balanced to within one record."""
    shards = {}
    height, width = config.image_size
    record_bytes = height * width * 3 * config.frames * (4 if config.storage == "normalized" else 1)
    for split in sorted({info["split"] for info in infos}):
        members = [info for info in infos if info["split"] == split]
        count = config.shards or max(16, -(-len(members) * record_bytes // SHARD_BYTES))
        count = min(count, len(members))
        edges = [round(len(members) * i / count) for i in range(count + 1)]
        for i in range(count):
            shards[f"{split}-{i:05d}-of-{count:05d}.tfrecord"] = members[edges[i] : edges[i + 1]]
    return shards


def remove_strays(out: Path, shards: dict) -> None:
    """Removes what an unfinished build left of shards that are no longer planned."""
    for left in [*out.glob("*.tfrecord"), *(out / WORK).rglob("*.tfrecord*")]:
        if left.name.removesuffix(".json") not in shards:
            left.unlink()


def key_of(info: dict) -> str:
    """Of a record, unique in the build."""
    return f"{info['split']} {info['name']}"


def digest_of(info: dict) -> str:
    """Of the content of a record's files, as `load_pair` shows it."""
    digest = sha256()
    for content in source_bytes(info):
        digest.update(content)
    return digest.hexdigest()


def decoding(
    config: BuildConfig, shards: Shards, scheme: LabelScheme, stats: dict | None, *, last: bool
) -> Pass:
    """The pass over the photos.

    Args:
      config: of the build.
      shards: all there are.
      scheme: the wanted classes.
      stats: those that are given.
      last: whether its shards are the result; else they are uint8, to be normalized.
    """

    def load(shard: str, digests: dict) -> Iterator[tuple]:
        for info in shards[shard]:
            digest = sha256()
            image, mask = load_pair(info, config.image_size, scheme, digest.update)
            digests[key_of(info)] = digest.hexdigest()
            yield info["name"], image, mask

    out = Path(config.out)
    return Pass(
        title="decode and resize",
        folder=out if last else out / WORK / "uint8",
        notes=out / WORK / "first",
        storage=config.storage if last else "uint8",
        stats=stats,
        load=load,
        source_of=lambda shard: {key_of(info): digest_of(info) for info in shards[shard]},
    )


def normalizing(config: BuildConfig, first: dict[str, dict], stats: dict) -> Pass:
    """The pass over the uint8 shards of .build/.

    Args:
      config: of the build.
      first: notes of those shards.
      stats: six numbers of rgb_stats.json.
    """
    out = Path(config.out)

    def source_of(shard: str) -> dict:
        return {"shard": first[shard]["shard"]["sha256"], "stats": stats}

    def load(shard: str, source: dict) -> Iterator[tuple]:
        source.update(source_of(shard))
        shape = (config.frames, *config.image_size)
        path = str(out / WORK / "uint8" / shard)
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            feature = tf.train.Example.FromString(serialized).features.feature
            frames = feature["image"].bytes_list.value
            image = np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
            mask = np.frombuffer(feature["mask"].bytes_list.value[0], np.uint8)
            name = feature["name"].bytes_list.value[0].decode()
            yield name, image.reshape(*shape, 3), mask.reshape(config.image_size)

    return Pass("normalize", out, out / WORK / "final", "normalized", stats, load, source_of)


def write_shards(
    one: Pass, shards: Shards, num_classes: int, *, workers: int | None, quiet: bool
) -> dict[str, dict]:
    """Writes all shards that are not there yet, or from another source; returns each one's note.

    Each thread writes a shard of its own: decoding, resizing and hashing release the GIL, so no
    queue and no second process are needed, and memory is one photo per thread.
    """
    total = sum(len(members) for members in shards.values())
    with tqdm(total=total, desc=one.title, unit="img", disable=quiet, leave=False) as bar:

        def write(shard: str) -> dict:
            note = _note_of(one.notes / f"{shard}.json", one.folder / shard)
            if note and note.get("source") == one.source_of(shard):
                bar.update(len(shards[shard]))
                return note
            return _write_shard(one, shard, num_classes, bar.update)

        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            try:
                return dict(zip(shards, pool.map(write, shards), strict=True))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # the first error is the answer
                raise


def _write_shard(one: Pass, shard: str, num_classes: int, on_record: Callable[[], None]) -> dict:
    """Writes a shard, then its note."""
    path = one.folder / shard
    sums, pixels, source = RgbSums(), np.zeros(256, np.int64), {}

    def records() -> Iterator[bytes]:
        nonlocal sums, pixels
        for name, image, mask in one.load(shard, source):
            encoded, seen = stored_pixels(image, one.storage)
            sums += sum_image(seen)
            pixels += np.bincount(mask.ravel(), minlength=256)
            yield encode_record(image, mask, name, one.storage, one.stats, encoded)
            on_record()

    count = write_records(path, records())
    note = {
        "shard": asdict(Shard(shard, count, path.stat().st_size, _sha256(path))),
        "source": source,
        "sums": asdict(sums),
        "class_pixels": pixels[:num_classes].tolist(),
        "ignored_pixels": int(pixels[IGNORE]),
    }
    with write_aside(one.notes / f"{shard}.json") as aside:
        aside.write_text(json.dumps(note))
    return note


def _note_of(note_path: Path, path: Path) -> dict | None:
    """The note of a shard that lies there as it was written; else None."""
    try:
        note = read_object(note_path, "")
        return note if note["shard"]["sha256"] == _sha256(path) else None
    except (FileNotFoundError, InputError, KeyError, TypeError):
        return None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
