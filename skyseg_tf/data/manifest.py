"""The manifest of a folder of records, dataset.json: what all its records have in common.

It is written last: a folder without one is unfinished. A manifest may come from anywhere, so
reading it checks every field: no path leads out of the folder, no number is absurd.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skyseg_tf.data.examples import STORAGES, RecordSpec
from skyseg_tf.data.rgb_stats import check_rgb_stats
from skyseg_tf.errors import InputError, counted, missing_hint
from skyseg_tf.files import MAX_PIXELS
from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.places import place
from skyseg_tf.labels import SCHEMES, Encoding, LabelScheme, stored_scheme

MANIFEST = "dataset.json"
SCHEMA_VERSION = 2  # 1 named the scheme alone


@dataclass(frozen=True)
class Shard:
    """One file of a split; `file` is its name in the folder."""

    file: str
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split of a folder of records.

    Attributes:
      count: number of records.
      class_pixels: labeled pixels of each class id, at the records' size.
      ignored_pixels: pixels of value 255.
      shards: its files.
    """

    count: int
    class_pixels: list[int]
    ignored_pixels: int
    shards: list[Shard]


@dataclass(frozen=True)
class Manifest:
    """dataset.json: all that a reader must know, and what the records were made from.

    Attributes:
      scheme: the classes, whole, so that records outlive a change of the code.
      storage: key of STORAGES.
      image_size: (height, width).
      image_depth, mask_depth: 3 and 1.
      image_dtype: as stored: "float32" or "uint8".
      frames: pictures per record.
      rgb_stats: the six numbers that the images are normalized by.
      seed: of the order.
      layout, encoding: of the source.
      source_sha256: of the source's file names and contents.
      splits: by name.
    """

    scheme: LabelScheme
    storage: str
    image_size: tuple[int, int]
    image_depth: int
    mask_depth: int
    image_dtype: str
    frames: int
    rgb_stats: dict[str, float]
    seed: int
    layout: str
    encoding: Encoding
    source_sha256: str
    splits: dict[str, Split]
    schema_version: int = SCHEMA_VERSION

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the scheme."""
        return self.scheme.class_names

    @property
    def spec(self) -> RecordSpec:
        """The part that `parse_record` needs."""
        return RecordSpec(self.storage, self.image_size, self.frames)


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Writes dataset.json aside and renames it."""
    with write_aside(place(folder) / MANIFEST) as aside:
        content = asdict(manifest) | {"scheme": manifest.scheme.as_dict()}
        aside.write_text(json.dumps(content, indent=1) + "\n")


def read_manifest(folder: str | Path, *, shards_are_there: bool = True) -> Manifest:
    """Reads dataset.json and checks that its shards are there.

    Args:
      folder: of `skyseg build`.
      shards_are_there: refuse a folder where one is missing or of another size; else nobody looks.

    Raises:
      InputError: no manifest (wrong folder, or an unfinished build), another schema version, a
        field that is missing or means nothing, a shard that is missing or of another size.
    """
    path = place(folder) / MANIFEST
    if path.parent.is_file():
        raise InputError(f"{folder}: is a file; give the folder of `skyseg build` it lies in")
    if not path.parent.exists():
        raise InputError(f"{folder}: no such folder of records; {missing_hint(str(folder))}")
    if not path.is_file():
        raise InputError(
            f"{folder}: no dataset.json there: not a folder of `skyseg build`, or its build has not "
            "finished; run that first, and give its --out here"
        )
    raw = read_object(path, "build the records again")
    version = raw.pop("schema_version", None)
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {str(version)[:20]}, this program reads 1 to "
            f"{SCHEMA_VERSION}; build the records again"
        )
    names = raw.pop("class_names", None)
    if names is not None and not _are_texts(names):
        raise InputError(f"{path}: 'class_names' are no list of names; build the records again")
    manifest = _parse(raw, names, str(path))
    for split in manifest.splits.values() if shards_are_there else ():
        for shard in split.shards:
            file = path.parent / shard.file
            if not file.is_file() or file.stat().st_size != shard.bytes:
                raise InputError(
                    f"{file}: missing or not {shard.bytes} bytes long; {advice(path.parent)}"
                )
    return manifest


def advice(folder: str | Path) -> str:
    """What to do about a damaged file of records."""
    return (
        f"copy it again, or repair the folder from its source: `skyseg verify {folder} --repair "
        "--source DIR`"
    )


# --- what the fields may be ---


def _is_count(value: object, minimum: int = 0) -> bool:
    return type(value) is int and minimum <= value < 2**53


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _is_size(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_count(side, 1) for side in value)
        and value[0] * value[1] <= MAX_PIXELS
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_encoding(value: object) -> bool:
    return _is_text(value) or (
        isinstance(value, list)
        and all(isinstance(row, list) and len(row) == 2 for row in value)
        and all(_is_count(number) and number < 256 and _is_text(name) for number, name in value)
    )


_Check = Callable[[Any], bool]
_FIELDS: dict[str, tuple[_Check, str]] = {
    "scheme": (
        lambda value: isinstance(value, dict) or (_is_text(value) and value in SCHEMES),
        "a table of classes, or the name of a known one",
    ),
    "storage": (
        lambda value: _is_text(value) and value in STORAGES,
        f"one of {', '.join(STORAGES)}",
    ),
    "image_size": (_is_size, f"[height, width] of at most {MAX_PIXELS:,} pixels"),
    "image_depth": (lambda value: value == 3, "3"),
    "mask_depth": (lambda value: value == 1, "1"),
    "image_dtype": (lambda value: value in ("float32", "uint8"), "float32 or uint8"),
    "frames": (lambda value: _is_count(value, 1), "a number from 1 on"),
    "rgb_stats": (lambda value: True, ""),  # by check_rgb_stats
    "seed": (_is_count, "a number from 0 on"),
    "layout": (_is_text, "a name"),
    "encoding": (_is_encoding, "a name, or a table of mask values and their names"),
    "source_sha256": (_is_text, "a digest"),
    "splits": (lambda value: isinstance(value, dict) and bool(value), "a table of splits"),
}
_SPLIT_FIELDS: dict[str, tuple[_Check, str]] = {
    "count": (lambda value: _is_count(value, 1), "a number from 1 on"),
    "class_pixels": (
        lambda value: isinstance(value, list) and all(map(_is_count, value)),
        "a list of numbers from 0 on",
    ),
    "ignored_pixels": (_is_count, "a number from 0 on"),
    "shards": (lambda value: isinstance(value, list) and bool(value), "a list of shards"),
}
_SHARD_FIELDS: dict[str, tuple[_Check, str]] = {
    "file": (
        lambda value: _is_text(value) and bool(re.fullmatch(r"[\w-][\w.-]*", value)),
        "the name of a file in this folder",
    ),
    "count": (lambda value: _is_count(value, 1), "a number from 1 on"),
    "bytes": (lambda value: _is_count(value, 1), "a number from 1 on"),
    "sha256": (
        lambda value: _is_text(value) and bool(re.fullmatch("[0-9a-f]{64}", value)),
        "64 hexadecimal digits",
    ),
}


def _check_fields(raw: object, wanted: dict[str, tuple[_Check, str]], where: str) -> dict:
    """The fields of one JSON object; raises InputError for the first that cannot be used."""
    if not isinstance(raw, dict):
        raise InputError(f"{where}: no table of fields; build the records again")
    for key, (is_good, words) in wanted.items():
        if key not in raw:
            raise InputError(f"{where}: '{key}' is missing; build the records again")
        if not is_good(raw[key]):
            raise InputError(
                f"{where}: '{key}' is {str(raw[key])[:60]!r}, but must be {words}; build the "
                "records again"
            )
    if strange := set(raw) - set(wanted):
        raise InputError(
            f"{where}: '{min(strange)}' is no field of schema version {SCHEMA_VERSION}; build the "
            "records again"
        )
    return raw


def _parse(raw: dict, class_names: list[str] | None, where: str) -> Manifest:
    """A manifest whose every field is what it must be."""
    _check_fields(raw, _FIELDS, where)
    stats = check_rgb_stats(raw["rgb_stats"], f"{where}: 'rgb_stats'", "build the records again")
    try:
        scheme = stored_scheme(raw["scheme"], class_names, where)
    except InputError as error:
        again = "; build the records again"
        raise InputError(f"{str(error).removesuffix(again)}{again}") from None
    pixels = raw["image_size"][0] * raw["image_size"][1]
    if pixels * raw["frames"] > MAX_PIXELS:
        raise InputError(
            f"{where}: 'frames' is {raw['frames']}, but a record holds at most {MAX_PIXELS:,} "
            "pixels; build the records again"
        )
    splits = {
        name: _parse_split(split, scheme.num_classes, pixels, f"{where}: split '{name}'")
        for name, split in raw["splits"].items()
    }
    files = [shard.file for split in splits.values() for shard in split.shards]
    if len(set(files)) < len(files):
        raise InputError(f"{where}: names one file of records twice; build the records again")
    parsed = {"scheme": scheme, "rgb_stats": stats, "splits": splits}
    return Manifest(**(raw | tuples_again(raw) | parsed))


def tuples_again(raw: dict) -> dict:
    """The fields of a manifest of whose tuples JSON has made lists."""
    table = raw["encoding"]
    return {
        "image_size": tuple(raw["image_size"]),
        "encoding": table if isinstance(table, str) else tuple(map(tuple, table)),
    }


def _parse_split(raw: object, num_classes: int, pixels: int, where: str) -> Split:
    raw = _check_fields(raw, _SPLIT_FIELDS, where)
    shards = [
        Shard(**_check_fields(shard, _SHARD_FIELDS, f"{where}: shard {number}"))
        for number, shard in enumerate(raw["shards"])
    ]
    split = Split(**(raw | {"shards": shards}))
    if split.count != sum(shard.count for shard in shards):
        raise InputError(
            f"{where}: {counted(split.count, 'record')}, but {sum(shard.count for shard in shards)} in its "
            "shards; build the records again"
        )
    told = sum(split.class_pixels) + split.ignored_pixels
    if len(split.class_pixels) != num_classes or told != split.count * pixels:
        raise InputError(
            f"{where}: 'class_pixels' are not those of {counted(split.count, 'mask')} of {num_classes} "
            "classes; build the records again"
        )
    return split
