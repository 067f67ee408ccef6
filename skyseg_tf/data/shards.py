"""Sharded TFRecords, written in passes over all records, and what is noted of each shard.

Every shard is written aside and renamed, with a note of its content beside it, so that a killed
build goes on where it was. Who writes them, threads or other machines, is an Engine's affair; where
they go may be a URL (see files.places).
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from skyseg_tf.data.examples import encode_record, stored_pixels
from skyseg_tf.data.framing import read_records
from skyseg_tf.data.manifest import Shard
from skyseg_tf.data.records import fill_file
from skyseg_tf.data.rgb_stats import RgbSums, sum_image
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.data.sources import load_pair, source_bytes
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.places import check_seen, local_copy, place
from skyseg_tf.labels import IGNORE, LabelScheme

SHARD_BYTES = 100_000_000
WORK = ".build"
Shards = dict[str, list[dict]]  # file name: dicts of `extract_cityscape_data_info`
Records = Iterator[tuple[str, np.ndarray, np.ndarray]]  # name, image and mask of each


class Engine(Protocol):
    """Who does a piece of work for each of many shards."""

    def map(
        self,
        function: Callable[[str, Any, Callable[[int], object]], Any],
        items: Mapping[str, Any],
        counts: Mapping[str, int],
        tell: Callable[[int], object],
    ) -> dict[str, Any]:
        """Calls a function for each shard.

        Args:
          function: (shard, its item, function that is told how many records are done) -> result.
          items: shard -> what the function needs beside its name.
          counts: shard -> how many records it has.
          tell: is told how many records are done.

        Returns:
          shard -> result.

        Raises:
          InputError: of a function; nothing of what was begun goes on.
        """


class Threads:
    """An engine of this process.

    Decoding, resizing and hashing release the GIL, so no second process is needed, and memory is
    one photo per thread.

    Args:
      workers: threads; None: all cores.
    """

    def __init__(self, workers: int | None = None):
        self.workers = workers or os.cpu_count()

    def map(self, function, items, counts, tell):
        """See Engine."""
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                results = pool.map(lambda shard: function(shard, items[shard], tell), items)
                return dict(zip(items, results, strict=True))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # the first error is the answer
                raise


@dataclass(frozen=True)
class Pass:
    """One pass over all records. It goes to other processes, so it holds nothing of single shards.

    Attributes:
      title: of the progress bar.
      folder: where the shards go.
      notes: where their notes go.
      storage: key of STORAGES.
      stats: six numbers of rgb_stats.json; needed for "normalized".
      load: (shard, its item, dict to fill with what it was made from) -> its records.
      source_of: item of a shard -> what that dict will hold, without loading.
      counted: whether the notes also say what the photos and masks hold.
    """

    title: str
    folder: Path
    notes: Path
    storage: str
    stats: dict | None
    load: Callable[[str, Any, dict], Records]
    source_of: Callable[[Any], dict]
    counted: bool


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


def digests_of(infos: list[dict]) -> dict[str, str]:
    """The digest of each record's files, by its key."""
    return {key_of(info): digest_of(info) for info in infos}


def decoding(config: BuildConfig, scheme: LabelScheme, stats: dict | None, *, last: bool) -> Pass:
    """The pass over the photos; its items are the shards' infos.

    Args:
      config: of the build.
      scheme: the wanted classes.
      stats: those that are given.
      last: whether its shards are the result; else they are uint8, to be normalized.
    """
    out = place(config.out)
    return Pass(
        title="decode and resize",
        folder=out if last else out / WORK / "uint8",
        notes=out / WORK / "first",
        storage=config.storage if last else "uint8",
        stats=stats,
        load=partial(_load_photos, config.image_size, scheme),
        source_of=digests_of,
        counted=True,
    )


def _load_photos(
    size: tuple[int, int], scheme: LabelScheme, shard: str, infos: list[dict], digests: dict
) -> Records:
    for info in infos:
        digest = sha256()
        image, mask = load_pair(info, size, scheme, digest.update)
        digests[key_of(info)] = digest.hexdigest()
        yield info["name"], image, mask


def normalizing(config: BuildConfig, stats: dict) -> Pass:
    """The pass over the uint8 shards of .build/; its items are their digests.

    Args:
      config: of the build.
      stats: six numbers of rgb_stats.json.
    """
    out = place(config.out)
    source_of = partial(_uint8_source, stats)
    load = partial(_load_uint8, out / WORK / "uint8", config, source_of)
    return Pass(
        title="normalize",
        folder=out,
        notes=out / WORK / "final",
        storage="normalized",
        stats=stats,
        load=load,
        source_of=source_of,
        counted=False,  # by the pass before
    )


def _uint8_source(stats: dict, digest: str) -> dict:
    return {"shard": digest, "stats": stats}


def _load_uint8(
    folder: Path,
    config: BuildConfig,
    source_of: Callable[[str], dict],
    shard: str,
    digest: str,
    source: dict,
) -> Records:
    source.update(source_of(digest))
    shape = (config.frames, *config.image_size)
    with local_copy(folder / shard) as path:
        for serialized in read_records(path):
            feature = tf.train.Example.FromString(serialized).features.feature
            frames = feature["image"].bytes_list.value
            image = np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
            mask = np.frombuffer(feature["mask"].bytes_list.value[0], np.uint8)
            name = feature["name"].bytes_list.value[0].decode()
            yield name, image.reshape(*shape, 3), mask.reshape(config.image_size)


def write_shards(
    pass_: Pass,
    items: Mapping[str, Any],
    shards: Shards,
    num_classes: int,
    *,
    engine: Engine,
    quiet: bool,
) -> dict[str, dict]:
    """Writes all shards that are not there yet, or from another source.

    Args:
      pass_: what is done to each record.
      items: shard -> what the pass needs beside its name.
      shards: the plan.
      num_classes: of the masks.
      engine: who does it.
      quiet: no progress bar.

    Returns:
      shard -> its note: the manifest's entry, what it was made from, and sums over its records.

    Raises:
      InputError: a record cannot be made, or other machines write where this one does not see it.
    """
    counts = {shard: len(members) for shard, members in shards.items()}
    total = sum(counts.values())
    with tqdm(total=total, desc=pass_.title, unit="img", disable=quiet, leave=False) as bar:
        notes = engine.map(partial(_write_if_new, pass_, num_classes), items, counts, bar.update)
    check_seen(pass_.folder / shard for shard in notes)
    return notes


def _write_if_new(
    pass_: Pass, num_classes: int, shard: str, item: Any, tell: Callable[[int], object]
) -> dict:
    """The note of a shard that is there from this source, or is written now."""
    note = _note_of(pass_.notes / f"{shard}.json", pass_.folder / shard)
    if note and note.get("source") == pass_.source_of(item):
        tell(note["shard"]["count"])
        return note
    return _write_shard(pass_, shard, item, num_classes, tell)


def _write_shard(
    pass_: Pass, shard: str, item: Any, num_classes: int, tell: Callable[[int], object]
) -> dict:
    """Writes a shard, then its note."""
    path = pass_.folder / shard
    sums, pixels, source = RgbSums(), np.zeros(256, np.int64), {}

    def records() -> Iterator[bytes]:
        nonlocal sums, pixels
        for name, image, mask in pass_.load(shard, item, source):
            encoded, seen = stored_pixels(image, pass_.storage)
            if pass_.counted:
                sums += sum_image(seen)
                pixels += np.bincount(mask.ravel(), minlength=256)
            yield encode_record(image, mask, name, pass_.storage, pass_.stats, encoded)
            tell(1)

    with write_aside(path) as aside:
        count = fill_file(aside, records(), path)
        written = Shard(shard, count, aside.stat().st_size, sha256_of(aside))
    note = {"shard": asdict(written), "source": source}
    if pass_.counted:
        note["sums"] = asdict(sums)
        note["class_pixels"] = pixels[:num_classes].tolist()
        note["ignored_pixels"] = int(pixels[IGNORE])
    with write_aside(pass_.notes / f"{shard}.json") as aside:
        aside.write_text(json.dumps(note))
    return note


def _note_of(note_path: Path, path: Path) -> dict | None:
    """The note of a shard that lies there as it was written; else None."""
    try:
        note = read_object(note_path, "")
        return note if note["shard"]["sha256"] == sha256_of(path) else None
    except (FileNotFoundError, InputError, KeyError, TypeError):
        return None
