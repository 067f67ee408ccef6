"""Which build a folder of records is of: one goes on with its own, and touches no other's."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from skyseg_tf.data.manifest import MANIFEST, Manifest, read_manifest
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.data.shards import WORK, Engine, Shards, digests_of, remove_strays
from skyseg_tf.errors import InputError, printable
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.aside import check_folder, make_folder, remove_left, write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.locks import lock
from skyseg_tf.files.places import is_remote, refresh, remove_tree
from skyseg_tf.labels import SCHEMES, get_scheme

_ELSEWHERE = "choose another --out (of `skyseg train`: --data) or delete that folder"


def identity_of(config: BuildConfig, layout: str, infos: list[dict], stats: dict | None) -> dict:
    """All that decides about the records' bytes but the content of the source.

    Args:
      config: of the build.
      layout: key of LAYOUTS.
      infos: dicts of `extract_cityscape_data_info`, at least one.
      stats: six numbers of rgb_stats.json that were given; None: they are to be measured.

    Returns:
      What build.json holds: only what JSON gives back as it was.
    """
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


def source_sha256(digests: dict[str, str]) -> str:
    """Of what all pairs are made of: their keys and digests, in the order of the keys."""
    lines = [f"{key} {digest}" for key, digest in sorted(digests.items())]
    return sha256("\n".join(lines).encode()).hexdigest()


def sha256_of_sizes(infos: list[dict]) -> str:
    """What source_sha256 was in builds of before it knew contents."""
    lines = []
    if any(is_remote(info["mask_path"]) for info in infos):
        return ""  # such builds had none
    for info in sorted(infos, key=lambda info: (info["split"], info["name"])):
        paths = [path.split(ZIP_MARK) for path in (*info["frame_paths"], info["mask_path"])]
        sizes = [os.stat(f"{one[0]}.zip" if len(one) > 1 else one[0]).st_size for one in paths]
        lines.append(f"{info['split']} {info['name']} {sizes}")
    return sha256("\n".join(lines).encode()).hexdigest()


def kept_records(out: Path, infos: list[dict], shards: Shards, engine: Engine) -> Manifest:
    """The manifest of finished records.

    Args:
      out: their folder.
      infos: of today's source.
      shards: the same, as a build would deal them out.
      engine: who reads them.

    Raises:
      InputError: their source is not today's.
    """
    manifest = read_manifest(out)
    counts = dict.fromkeys(shards, 0)
    parts = engine.map(_digests, shards, counts, lambda count: None).values()
    now = source_sha256({key: digest for part in parts for key, digest in part.items()})
    if manifest.source_sha256 != now and manifest.source_sha256 != sha256_of_sizes(infos):
        raise InputError(
            f"{out}: holds records of another build (its source has changed since: source_sha256 "
            f"was {manifest.source_sha256}, now {now}); {_ELSEWHERE}"
        )
    return manifest


def _digests(shard: str, infos: list[dict], tell: Callable[[int], object]) -> dict[str, str]:
    return digests_of(infos)


@contextmanager
def locked(out: Path, identity: dict) -> Iterator[None]:
    """Holds the folder for this build, and refuses one that holds another, finished build.

    An unfinished build with other settings begins anew; so does one whose manifest is torn.

    Raises:
      InputError: another build, or a folder of something else.
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
    check_folder(out)
    make_folder(out / WORK)
    held = lock(out / WORK / "lock")
    if held is None:
        raise InputError(f"{out}: another build is writing there; wait for it")
    with held:
        yield


def _remove_asides(out: Path) -> None:
    """Removes what processes that were killed had begun; on object stores there is nothing."""
    if not is_remote(out):
        for folder in (out, *(path for path in (out / WORK).rglob("*") if path.is_dir())):
            remove_left(folder)


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
    known = read_object(settings, _ELSEWHERE) if settings.exists() else {}
    changed = [key for key in identity if known.get(key) != identity[key]]
    if changed and (out / MANIFEST).exists():
        raise InputError(
            f"{out}: holds records of another build ({changed[0]} was "
            f"{printable(str(known.get(changed[0])))}, now {identity[changed[0]]}); {_ELSEWHERE}"
        )
    return changed


def _is_torn(path: Path) -> bool:
    """Whether a file is there and no JSON, as after a failure of power."""
    try:
        read_object(path, "")
    except (FileNotFoundError, InputError) as error:
        return isinstance(error, InputError)
    return False
