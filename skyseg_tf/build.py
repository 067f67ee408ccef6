"""skyseg build: from a dataset tree to sharded TFRecords, their manifest and rgb_stats.json.

Each photo is decoded and resized once. Without statistics at hand, normalized records cannot be
written yet: the pass over the photos then writes uint8 shards into .build/ and sums the colours
as it goes; a second pass, over those small files, normalizes. Every shard is written aside and
renamed, with a note of its content beside it, so that a killed build goes on where it was.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path

from skyseg_tf.quiet import import_tensorflow_quietly

import_tensorflow_quietly()

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from skyseg_tf.cli import run_command
from skyseg_tf.data.layouts import detect_layout, source_root
from skyseg_tf.data.records import (
    MANIFEST,
    STORAGES,
    Manifest,
    Shard,
    Split,
    encode_record,
    extract_cityscape_data_info,
    load_pair,
    read_manifest,
    stored_pixels,
    write_manifest,
    write_records,
)
from skyseg_tf.data.rgb_stats import RgbSums, read_rgb_stats, rgb_stats, sum_image, write_rgb_stats
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.images import write_aside
from skyseg_tf.labels import IGNORE, SCHEMES, get_scheme
from skyseg_tf.settings import BuildConfig

SHARD_BYTES = 100_000_000
WORK = ".build"
_AT_LEAST = {"frames": 1, "shards": 1, "workers": 1, "seed": 0}


def build(config: BuildConfig) -> Manifest:
    """Builds the records of all splits that have masks.

    Args:
      config: see BuildConfig.

    Returns:
      The manifest; it lies in `config.out` beside the shards and rgb_stats.json. Records that
      are already there, built from the same source with the same settings, are kept.

    Raises:
      InputError: bad input (see records.extract_cityscape_data_info), or `config.out` holds
        something else.
    """
    out = Path(config.out)
    scheme = get_scheme(config.scheme)
    if config.storage not in STORAGES:
        raise InputError(not_among("storage", config.storage, STORAGES))
    if min(config.image_size) < 1:
        size = " ".join(map(str, config.image_size))
        raise InputError(f"--image-size is {size}: height and width must be at least 1")
    for name, minimum in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"--{name} is {value}: give at least {minimum}")
    source = source_root(config.source)
    layout = config.layout or detect_layout(source)
    infos = extract_cityscape_data_info(
        source, scheme=config.scheme, layout=layout, encoding=config.encoding,
        frames=config.frames, seed=config.seed,
    )  # fmt: skip
    given_stats = read_rgb_stats(config.rgb_stats) if config.rgb_stats else None
    identity = _identity(config, layout, infos, given_stats)
    with _locked(out, identity):
        if (out / MANIFEST).exists():
            return read_manifest(out)
        shards = _plan_shards(infos, config)
        in_one_pass = config.storage != "normalized" or given_stats is not None

        def load(name: str) -> Iterator[tuple]:
            for info in shards[name]:
                image, mask = load_pair(info, config.image_size, scheme)
                yield info["name"], image, mask

        first = _write_shards(
            out if in_one_pass else out / WORK / "uint8", shards, load, scheme.num_classes,
            config.storage if in_one_pass else "uint8", given_stats, out / WORK / "first", config,
            "decode and resize",
        )  # fmt: skip
        sums = sum(
            (_sums(note) for name, note in first.items() if name.startswith("train")), RgbSums()
        )
        if given_stats is None and not sums.pixels:
            raise InputError(
                f"{source}: no train split to take the statistics of; give --rgb-stats"
            )
        stats = given_stats or rgb_stats(sums)
        final = first if in_one_pass else _normalize_shards(out, shards, stats, scheme, config)
        manifest = _manifest(identity, scheme, stats, shards, first, final)
        write_rgb_stats(out / "rgb_stats.json", stats, split="train", pixels=sums.pixels)
        write_manifest(out, manifest)
        shutil.rmtree(out / WORK)
    return manifest


# --- what is to be built ---


def _identity(config: BuildConfig, layout: str, infos: list[dict], stats: dict | None) -> dict:
    """All that decides about the records' bytes, as it stands in the manifest."""
    lines = []
    for info in sorted(infos, key=lambda info: (info["split"], info["name"])):
        sizes = [_file_size(path) for path in (*info["frame_paths"], info["mask_path"])]
        lines.append(f"{info['split']} {info['name']} {sizes}")
    identity = {
        "scheme": config.scheme
        if config.scheme in SCHEMES
        else get_scheme(config.scheme).as_dict(),
        "storage": config.storage,
        "image_size": list(config.image_size),
        "frames": config.frames,
        "seed": config.seed,
        "layout": layout,
        "encoding": infos[0]["encoding"],
        "source_sha256": sha256("\n".join(lines).encode()).hexdigest(),
        "given_rgb_stats": stats,
        "given_shards": config.shards,
    }
    return json.loads(json.dumps(identity))  # as it will be read: a table of classes as lists


def _file_size(path: str) -> int:
    # A zip's members are told apart by their names; the archive stands for their content.
    return os.stat(path.split(ZIP_MARK)[0] + ".zip" if ZIP_MARK in path else path).st_size


@contextmanager
def _locked(out: Path, identity: dict) -> Iterator[None]:
    """Holds the folder for this build, and refuses one that holds another build.

    An unfinished build whose source has changed since, as by the repair of the photo at which it
    stopped, begins anew.
    """
    work = out / WORK
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file of that name is in the way; choose another --out")
    settings = out / "build.json"
    changed = []
    if settings.exists():
        known = json.loads(settings.read_text())
        changed = [key for key in identity if known.get(key) != identity[key]]
        if changed and (changed != ["source_sha256"] or (out / MANIFEST).exists()):
            raise InputError(
                f"{out}: holds records of another build ({changed[0]} was {known.get(changed[0])}, "
                f"now {identity[changed[0]]}); choose another --out or delete that folder"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(
            f"{out}: the folder is not empty and holds no records; choose another --out"
        )
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{out}: another build is writing there; wait for it") from None
        for left in [*out.glob(".*.tmp"), *work.rglob(".*.tmp")]:
            left.unlink()  # of a killed build
        if changed:
            for left in [*out.glob("*.tfrecord"), *(f for f in work.rglob("*") if f.is_file())]:
                if left.name != "lock":
                    left.unlink()
        if changed or not settings.exists():
            with write_aside(settings) as aside:
                aside.write_text(json.dumps(identity, indent=1) + "\n")
        yield
        shutil.rmtree(work, ignore_errors=True)


def _plan_shards(infos: list[dict], config: BuildConfig) -> dict[str, list[dict]]:
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


# --- writing ---


def _write_shards(
    folder: Path, shards: dict, load: Callable, num_classes: int, storage: str,
    stats: dict | None, notes: Path, config: BuildConfig, title: str,
) -> dict[str, dict]:  # fmt: skip
    """Writes all shards that are not there yet; returns each one's note.

    Each thread writes a shard of its own: decoding, resizing and hashing release the GIL, so no
    queue and no second process are needed, and memory is one photo per thread.
    """
    total = sum(len(members) for members in shards.values())
    with tqdm(total=total, desc=title, unit="img", disable=config.quiet, leave=False) as bar:

        def write(name: str) -> dict:
            note_path, path = notes / f"{name}.json", folder / name
            if note_path.exists():
                note = json.loads(note_path.read_text())
                if path.exists() and path.stat().st_size == note["shard"]["bytes"]:
                    bar.update(len(shards[name]))
                    return note
            sums, pixels = RgbSums(), np.zeros(256, np.int64)

            def records() -> Iterator[bytes]:
                nonlocal sums, pixels
                for record_name, image, mask in load(name):
                    encoded, seen = stored_pixels(image, storage)
                    sums += sum_image(seen)
                    pixels += np.bincount(mask.ravel(), minlength=256)
                    yield encode_record(image, mask, record_name, storage, stats, encoded)
                    bar.update()

            count = write_records(path, records())
            with open(path, "rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            note = {
                "shard": asdict(Shard(name, count, path.stat().st_size, digest)),
                "sums": asdict(sums),
                "class_pixels": pixels[:num_classes].tolist(),
                "ignored_pixels": int(pixels[IGNORE]),
            }
            with write_aside(note_path) as aside:
                aside.write_text(json.dumps(note))
            return note

        with ThreadPoolExecutor(config.workers or os.cpu_count()) as pool:
            try:
                return dict(zip(shards, pool.map(write, shards), strict=True))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # the first error is the answer
                raise


def _normalize_shards(out: Path, shards: dict, stats: dict, scheme, config: BuildConfig) -> dict:
    """Second pass: the uint8 shards of .build/ to normalized ones."""

    def load(name: str) -> Iterator[tuple]:
        shape = (config.frames, *config.image_size)
        path = str(out / WORK / "uint8" / name)
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            feature = tf.train.Example.FromString(serialized).features.feature
            frames = feature["image"].bytes_list.value
            image = np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
            mask = np.frombuffer(feature["mask"].bytes_list.value[0], np.uint8)
            record_name = feature["name"].bytes_list.value[0].decode()
            yield record_name, image.reshape(*shape, 3), mask.reshape(config.image_size)

    return _write_shards(
        out, shards, load, scheme.num_classes, "normalized", stats, out / WORK / "final", config,
        "normalize",
    )  # fmt: skip


def _sums(note: dict) -> RgbSums:
    sums = note["sums"]
    return RgbSums(sums["pixels"], tuple(sums["values"]), tuple(sums["squares"]))


def _manifest(
    identity: dict, scheme, stats: dict, shards: dict, first: dict, final: dict
) -> Manifest:
    splits = {}
    for split in dict.fromkeys(name.split("-")[0] for name in shards):
        notes = [first[name] for name in shards if name.startswith(f"{split}-")]
        splits[split] = Split(
            count=sum(note["shard"]["count"] for note in notes),
            class_pixels=np.sum([note["class_pixels"] for note in notes], axis=0).tolist(),
            ignored_pixels=sum(note["ignored_pixels"] for note in notes),
            shards=[Shard(**final[note["shard"]["file"]]["shard"]) for note in notes],
        )
    facts = {key: value for key, value in identity.items() if not key.startswith("given_")}
    facts["image_size"] = tuple(facts["image_size"])  # JSON has made a list of it
    facts["scheme"] = scheme
    return Manifest(
        **facts,
        image_depth=3,
        mask_depth=1,
        image_dtype="float32" if identity["storage"] == "normalized" else "uint8",
        rgb_stats=stats,
        splits=splits,
    )


def _build_and_report(config: BuildConfig) -> None:
    manifest = build(config)
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        print(
            f"{name:<6}{split.count:>7} records {len(split.shards):>4} shards {size / 1e6:>9.1f} MB"
        )
    print(f"records and rgb_stats.json are in {config.out}")


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.build") -> None:
    """Entry point of the command."""
    run_command(_build_and_report, BuildConfig, argv, prog)


if __name__ == "__main__":
    main()
