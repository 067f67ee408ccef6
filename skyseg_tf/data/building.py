"""What `skyseg build` does: from a dataset tree to sharded TFRecords, their manifest and rgb_stats.json.

Each photo is decoded and resized once. Without statistics at hand, normalized records cannot be
written yet: the pass over the photos then writes uint8 shards into .build/ and sums the colours
as it goes; a second pass, over those small files, normalizes. Every shard is written aside and
renamed, with a note of its content beside it, so that a killed build goes on where it was.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from skyseg_tf.data.encodings import claimed_encoding
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
    source_bytes,
    stored_pixels,
    write_manifest,
    write_records,
)
from skyseg_tf.data.rgb_stats import RgbSums, read_rgb_stats, rgb_stats, sum_image, write_rgb_stats
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.json_file import read_object
from skyseg_tf.images import write_aside
from skyseg_tf.labels import IGNORE, SCHEMES, LabelScheme, get_scheme

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
            return _kept(out, infos)
        shards = _plan_shards(infos, config)
        _remove_strays(out, shards)
        in_one_pass = config.storage != "normalized" or given_stats is not None

        def load(name: str, digests: dict[str, str]) -> Iterator[tuple]:
            for info in shards[name]:
                digest = sha256()
                image, mask = load_pair(info, config.image_size, scheme, digest.update)
                digests[_key(info)] = digest.hexdigest()
                yield info["name"], image, mask

        first = _write_shards(
            out if in_one_pass else out / WORK / "uint8", shards, load,
            lambda name: {_key(info): _digest(info) for info in shards[name]},
            scheme.num_classes, config.storage if in_one_pass else "uint8", given_stats,
            out / WORK / "first", config, "decode and resize",
        )  # fmt: skip
        sums = sum(
            (_sums(note) for name, note in first.items() if name.startswith("train-")), RgbSums()
        )
        if given_stats is None and not sums.pixels:
            raise InputError(
                f"{source}: no train split to take the statistics of; give --rgb-stats"
            )
        told = config.encoding or claimed_encoding(infos[0]["mask_path"])
        told = told or not isinstance(infos[0]["encoding"], str)
        _check_classes(_class_pixels(first, "train"), scheme, str(source), bool(told))
        stats = given_stats or rgb_stats(sums)
        final = (
            first if in_one_pass else _normalize_shards(out, first, shards, stats, scheme, config)
        )
        manifest = _manifest(identity, scheme, stats, shards, first, final)
        write_rgb_stats(out / "rgb_stats.json", stats, split="train", pixels=sums.pixels)
        write_manifest(out, manifest)
        shutil.rmtree(out / WORK)
    return manifest


# --- what is to be built ---


def _identity(config: BuildConfig, layout: str, infos: list[dict], stats: dict | None) -> dict:
    """All that decides about the records' bytes but the content of the source."""
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
        "given_rgb_stats": stats,
        "given_shards": config.shards,
    }
    return json.loads(json.dumps(identity))  # as it will be read: a table of classes as lists


def _key(info: dict) -> str:
    return f"{info['split']} {info['name']}"


def _digest(info: dict) -> str:
    """Of the content of a record's files, as `load_pair` shows it."""
    digest = sha256()
    for content in source_bytes(info):
        digest.update(content)
    return digest.hexdigest()


def _source_sha256(digests: dict[str, str]) -> str:
    lines = [f"{key} {digest}" for key, digest in sorted(digests.items())]
    return sha256("\n".join(lines).encode()).hexdigest()


def _sha256_of_sizes(infos: list[dict]) -> str:
    """What source_sha256 was in builds of before it knew contents."""
    lines = []
    for info in sorted(infos, key=lambda info: (info["split"], info["name"])):
        paths = [path.split(ZIP_MARK) for path in (*info["frame_paths"], info["mask_path"])]
        sizes = [os.stat(f"{one[0]}.zip" if len(one) > 1 else one[0]).st_size for one in paths]
        lines.append(f"{info['split']} {info['name']} {sizes}")
    return sha256("\n".join(lines).encode()).hexdigest()


def _kept(out: Path, infos: list[dict]) -> Manifest:
    """The manifest of finished records; raises InputError if their source is not today's."""
    manifest = read_manifest(out)
    with ThreadPoolExecutor() as pool:
        now = _source_sha256(dict(zip(map(_key, infos), pool.map(_digest, infos), strict=True)))
    if manifest.source_sha256 not in (now, _sha256_of_sizes(infos)):
        raise InputError(
            f"{out}: holds records of another build (its source has changed since: source_sha256 "
            f"was {manifest.source_sha256}, now {now}); choose another --out or delete that folder"
        )
    return manifest


@contextmanager
def _locked(out: Path, identity: dict) -> Iterator[None]:
    """Holds the folder for this build, and refuses one that holds another, finished build.

    An unfinished build with other settings begins anew; so does one whose manifest is torn.
    """
    work, settings = out / WORK, out / "build.json"
    _changed_settings(out, identity)  # refuses before anything is written into a foreign folder
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{out}: another build is writing there; wait for it") from None
        changed = _changed_settings(out, identity)  # another build may just have ended
        if _is_torn(out / MANIFEST):
            (out / MANIFEST).unlink()
        for left in [*out.glob(".*.tmp"), *work.rglob(".*.tmp")]:
            left.unlink()  # of a killed build
        if changed:
            _remove_strays(out, {})
            with write_aside(settings) as aside:
                aside.write_text(json.dumps(identity, indent=1) + "\n")
        yield
        shutil.rmtree(work, ignore_errors=True)


def _changed_settings(out: Path, identity: dict) -> list[str]:
    """What a build in that folder had otherwise; refuses what must not be written over."""
    settings = out / "build.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file of that name is in the way; choose another --out")
    # A build that was killed at once, or found no space, leaves no more than its work folder.
    others = [] if not out.is_dir() else [p for p in out.iterdir() if p.name[0] != "."]
    if others and not settings.exists():
        raise InputError(
            f"{out}: the folder is not empty and holds no records of a build; choose another --out"
        )
    delete = "choose another --out or delete that folder"
    known = read_object(settings, delete) if settings.exists() else {}
    changed = [key for key in identity if known.get(key) != identity[key]]
    if changed and (out / MANIFEST).exists():
        raise InputError(
            f"{out}: holds records of another build ({changed[0]} was {known.get(changed[0])}, "
            f"now {identity[changed[0]]}); {delete}"
        )
    return changed


def _is_torn(path: Path) -> bool:
    """Whether a file is there and no JSON, as after a failure of power."""
    try:
        read_object(path, "")
    except (FileNotFoundError, InputError) as error:
        return isinstance(error, InputError)
    return False


def _remove_strays(out: Path, shards: dict) -> None:
    """Removes what an unfinished build left of shards that are no longer planned."""
    for left in [*out.glob("*.tfrecord"), *(out / WORK).rglob("*.tfrecord*")]:
        if left.name.removesuffix(".json") not in shards:
            left.unlink()


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
    folder: Path, shards: dict, load: Callable, source_of: Callable, num_classes: int,
    storage: str, stats: dict | None, notes: Path, config: BuildConfig, title: str,
) -> dict[str, dict]:  # fmt: skip
    """Writes all shards that are not there yet, or from another source; returns each one's note.

    Each thread writes a shard of its own: decoding, resizing and hashing release the GIL, so no
    queue and no second process are needed, and memory is one photo per thread.
    """
    total = sum(len(members) for members in shards.values())
    with tqdm(total=total, desc=title, unit="img", disable=config.quiet, leave=False) as bar:

        def write(name: str) -> dict:
            note_path, path = notes / f"{name}.json", folder / name
            note = _note_of(note_path, path)
            if note and note.get("source") == source_of(name):
                bar.update(len(shards[name]))
                return note
            sums, pixels, source = RgbSums(), np.zeros(256, np.int64), {}

            def records() -> Iterator[bytes]:
                nonlocal sums, pixels
                for record_name, image, mask in load(name, source):
                    encoded, seen = stored_pixels(image, storage)
                    sums += sum_image(seen)
                    pixels += np.bincount(mask.ravel(), minlength=256)
                    yield encode_record(image, mask, record_name, storage, stats, encoded)
                    bar.update()

            count = write_records(path, records())
            note = {
                "shard": asdict(Shard(name, count, path.stat().st_size, _sha256(path))),
                "source": source,
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


def _normalize_shards(
    out: Path, first: dict, shards: dict, stats: dict, scheme, config: BuildConfig
) -> dict[str, dict]:
    """Second pass: the uint8 shards of .build/ to normalized ones."""

    def source_of(name: str) -> dict:
        return {"shard": first[name]["shard"]["sha256"], "stats": stats}

    def load(name: str, source: dict) -> Iterator[tuple]:
        source.update(source_of(name))
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
        out, shards, load, source_of, scheme.num_classes, "normalized", stats,
        out / WORK / "final", config, "normalize",
    )  # fmt: skip


def _class_pixels(notes: dict[str, dict], split: str) -> np.ndarray:
    """(C,) labeled pixels of each class in a split; zeros where there is no such split."""
    counts = [n["class_pixels"] for name, n in notes.items() if name.startswith(f"{split}-")]
    return np.sum(counts, axis=0)


def _check_classes(pixels: np.ndarray, scheme: LabelScheme, source: str, told: bool) -> None:
    """Warns of classes that the train split never shows.

    Raises:
      InputError: no pixel is labeled, or there are only two classes, nobody has said what the
        masks hold (`told`), and they hold but one.
    """
    if not np.any(pixels):
        if np.size(pixels) > 1:
            raise InputError(
                f"{source}: no pixel of the train split is labeled; name the masks' encoding"
            )
        return  # no train split
    missing = [scheme.class_names[i] for i in np.flatnonzero(pixels == 0)]
    if not missing:
        return
    one = f", every labeled pixel is '{scheme.class_names[int(np.argmax(pixels))]}'"
    line = f"no pixel of the train split is {' or '.join(map(repr, missing))}"
    line += one if len(missing) == len(pixels) - 1 else ""
    if len(pixels) == 2 and not told:
        raise InputError(
            f"{source}: {line}, so nothing can be learned; if the masks are meant so, name their "
            "--encoding"
        )
    print(f"warning: {source}: {line}; is the masks' encoding right?", file=sys.stderr)


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
            class_pixels=_class_pixels(first, split).tolist(),
            ignored_pixels=sum(note["ignored_pixels"] for note in notes),
            shards=[Shard(**final[note["shard"]["file"]]["shard"]) for note in notes],
        )
    digests = {key: digest for note in first.values() for key, digest in note["source"].items()}
    facts = {key: value for key, value in identity.items() if not key.startswith("given_")}
    facts["image_size"] = tuple(facts["image_size"])  # JSON has made a list of it
    facts["scheme"] = scheme
    return Manifest(
        **facts,
        source_sha256=_source_sha256(digests),
        image_depth=3,
        mask_depth=1,
        image_dtype="float32" if identity["storage"] == "normalized" else "uint8",
        rgb_stats=stats,
        splits=splits,
    )
