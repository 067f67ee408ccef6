"""What `skyseg build` does: from a dataset tree to sharded TFRecords, their manifest and rgb_stats.json.

Each photo is decoded and resized once. Without statistics at hand, normalized records cannot be
written yet: the pass over the photos then writes uint8 shards into .build/ and sums the colors
as it goes; a second pass, over those small files, normalizes. See shards.py for both.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from skyseg_tf.data.estimates import check_room
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.identity import identity_of, kept_records, locked, source_sha256
from skyseg_tf.data.manifest import (
    MANIFEST,
    Manifest,
    Shard,
    Split,
    tuples_again,
    write_manifest,
)
from skyseg_tf.data.mask_values import claimed_encoding
from skyseg_tf.data.rgb_stats import RgbSums, read_rgb_stats, rgb_stats, write_rgb_stats
from skyseg_tf.data.scan import detect_layout, source_root
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.data.shards import (
    Engine,
    Threads,
    decoding,
    normalizing,
    plan_shards,
    remove_strays,
    write_shards,
)
from skyseg_tf.data.sources import extract_cityscape_data_info, labeled_photos
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files.places import place
from skyseg_tf.files.room import check_picture_size
from skyseg_tf.labels import LabelScheme, get_scheme

_AT_LEAST = {"frames": 1, "shards": 1, "workers": 1, "seed": 0}


def build(config: BuildConfig, engine: Engine | None = None) -> Manifest:
    """Builds the records of all splits that have masks.

    Args:
      config: see BuildConfig.
      engine: who reads the photos and writes the shards; None: threads of this process, before
        which the head of every file is looked at here. The result is the same to the byte.

    Returns:
      The manifest; it lies in `config.out` beside the shards and rgb_stats.json. Records that
      are already there, built from the same source with the same settings, are kept.

    Raises:
      InputError: bad input (see sources.extract_cityscape_data_info), or `config.out` holds
        something else.
    """
    scheme = get_scheme(config.scheme)
    _check(config)
    source = source_root(config.source)
    layout = config.layout or detect_layout(source)
    find = labeled_photos if engine else extract_cityscape_data_info
    infos = find(
        source,
        scheme=config.scheme,
        layout=layout,
        encoding=config.encoding,
        frames=config.frames,
        seed=config.seed,
    )
    given_stats = read_rgb_stats(config.rgb_stats) if config.rgb_stats else None
    identity = identity_of(config, layout, infos, given_stats)
    out, engine = place(config.out), engine or Threads(config.workers)
    check_room(config, len(infos), two_passes=given_stats is None)
    with locked(out, identity):
        if (out / MANIFEST).exists():
            return kept_records(out, infos, plan_shards(infos, config), engine)
        return _write(config, engine, source, scheme, infos, identity, given_stats)


def _write(
    config: BuildConfig,
    engine: Engine,
    source: Path,
    scheme: LabelScheme,
    infos: list[dict],
    identity: dict,
    given_stats: dict | None,
) -> Manifest:
    """All files of the records, the manifest last."""
    out, shards = place(config.out), plan_shards(infos, config)
    remove_strays(out, shards)
    write = partial(
        write_shards,
        shards=shards,
        num_classes=scheme.num_classes,
        engine=engine,
        quiet=config.quiet,
    )
    in_one_pass = config.storage != "normalized" or given_stats is not None
    first = write(decoding(config, scheme, given_stats, last=in_one_pass), shards)
    train = [_sums(note) for name, note in first.items() if name.startswith("train-")]
    sums = sum(train, RgbSums())
    if given_stats is None and not sums.pixels:
        raise InputError(f"{source}: no train split to take the statistics of; give --rgb-stats")
    told = config.encoding or claimed_encoding(infos[0]["mask_path"])
    told = told or not isinstance(infos[0]["encoding"], str)
    _check_classes(_class_pixels(first, "train"), scheme, str(source), bool(told))
    stats = given_stats or rgb_stats(sums)
    uint8 = {shard: note["shard"]["sha256"] for shard, note in first.items()}
    final = first if in_one_pass else write(normalizing(config, stats), uint8)
    manifest = _manifest(identity, scheme, stats, shards, first, final)
    write_rgb_stats(out / "rgb_stats.json", stats, split="train", pixels=sums.pixels)
    write_manifest(out, manifest)
    return manifest


# --- what is to be built ---


def _check(config: BuildConfig) -> None:
    if config.storage not in STORAGES:
        raise InputError(not_among("storage", config.storage, STORAGES))
    if min(config.image_size) < 1:
        size = " ".join(map(str, config.image_size))
        raise InputError(f"--image-size is {size}: height and width must be at least 1")
    check_picture_size("--image-size", config.image_size)
    for name, minimum in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"--{name} is {value}: give at least {minimum}")


# --- what was built ---


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
    return Manifest(
        **(facts | tuples_again(facts) | {"scheme": scheme}),
        source_sha256=source_sha256(digests),
        image_depth=3,
        mask_depth=1,
        image_dtype="float32" if identity["storage"] == "normalized" else "uint8",
        rgb_stats=stats,
        splits=splits,
    )
