"""What `skyseg build` does: from a dataset tree to sharded TFRecords, their manifest and rgb_stats.json.

Each photo is decoded and resized once. Without statistics at hand, normalized records cannot be
written yet: the pass over the photos then writes uint8 shards into .build/ and sums the colours
as it goes; a second pass, over those small files, normalizes. See shards.py for both.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from skyseg_tf.data.encodings import claimed_encoding
from skyseg_tf.data.estimates import check_room
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, Split, read_manifest, write_manifest
from skyseg_tf.data.rgb_stats import RgbSums, read_rgb_stats, rgb_stats, write_rgb_stats
from skyseg_tf.data.scan import detect_layout, source_root
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.data.shards import (
    WORK,
    Engine,
    Shards,
    Threads,
    decoding,
    digests_of,
    normalizing,
    plan_shards,
    remove_strays,
    write_shards,
)
from skyseg_tf.data.sources import extract_cityscape_data_info, labeled_photos
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.locks import lock
from skyseg_tf.files.places import is_remote, place, refresh, remove_tree
from skyseg_tf.files.room import check_picture_size
from skyseg_tf.images import write_aside
from skyseg_tf.labels import SCHEMES, LabelScheme, get_scheme

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
    identity = _identity(config, layout, infos, given_stats)
    out, engine = place(config.out), engine or Threads(config.workers)
    check_room(config, len(infos), two_passes=given_stats is None)
    with _locked(out, identity):
        if (out / MANIFEST).exists():
            return _kept(out, infos, plan_shards(infos, config), engine)
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


def _source_sha256(digests: dict[str, str]) -> str:
    lines = [f"{key} {digest}" for key, digest in sorted(digests.items())]
    return sha256("\n".join(lines).encode()).hexdigest()


def _sha256_of_sizes(infos: list[dict]) -> str:
    """What source_sha256 was in builds of before it knew contents."""
    lines = []
    if any(is_remote(info["mask_path"]) for info in infos):
        return ""  # such builds had none
    for info in sorted(infos, key=lambda info: (info["split"], info["name"])):
        paths = [path.split(ZIP_MARK) for path in (*info["frame_paths"], info["mask_path"])]
        sizes = [os.stat(f"{one[0]}.zip" if len(one) > 1 else one[0]).st_size for one in paths]
        lines.append(f"{info['split']} {info['name']} {sizes}")
    return sha256("\n".join(lines).encode()).hexdigest()


def _digests(shard: str, infos: list[dict], tell: Callable[[int], object]) -> dict[str, str]:
    return digests_of(infos)


def _kept(out: Path, infos: list[dict], shards: Shards, engine: Engine) -> Manifest:
    """The manifest of finished records; raises InputError if their source is not today's."""
    manifest = read_manifest(out)
    counts = dict.fromkeys(shards, 0)
    parts = engine.map(_digests, shards, counts, lambda count: None).values()
    now = _source_sha256({key: digest for part in parts for key, digest in part.items()})
    if manifest.source_sha256 != now and manifest.source_sha256 != _sha256_of_sizes(infos):
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
    refresh(out)
    _changed_settings(out, identity)  # refuses before anything is written into a foreign folder
    with _alone(out):
        changed = _changed_settings(out, identity)  # another build may just have ended
        if _is_torn(out / MANIFEST):
            (out / MANIFEST).unlink()
        _remove_asides(out)  # of a killed build
        if changed:
            remove_strays(out, {})
            with write_aside(out / "build.json") as aside:
                aside.write_text(json.dumps(identity, indent=1) + "\n")
        yield
        _remove_asides(out)  # of machines that died
        remove_tree(out / WORK)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other builds out of a folder; object stores know no locks: nobody is kept out there."""
    if is_remote(out):
        yield
        return
    (out / WORK).mkdir(parents=True, exist_ok=True)
    held = lock(out / WORK / "lock")
    if held is None:
        raise InputError(f"{out}: another build is writing there; wait for it")
    with held:
        yield


def _remove_asides(out: Path) -> None:
    """Removes what processes that were killed had begun; on object stores there is nothing."""
    if not is_remote(out):
        for left in [*out.glob(".*.tmp"), *(out / WORK).rglob(".*.tmp")]:
            left.unlink()


def _changed_settings(out: Path, identity: dict) -> list[str]:
    """What a build in that folder had otherwise; refuses what must not be written over."""
    settings = out / "build.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file of that name is in the way; choose another --out")
    # A build that was killed at once, or found no space, leaves no more than its work folder.
    others = [] if not out.is_dir() else [p for p in out.iterdir() if not p.name.startswith(".")]
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
