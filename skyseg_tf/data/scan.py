"""The photos and masks of a dataset's tree, found by its layout and made pairs of; nothing is written."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from skyseg_tf.data.encodings import claimed_encoding, evenly, is_dummy, read_values
from skyseg_tf.data.layouts import FRAME, LAYOUTS, MASK_KINDS, SPLIT_NAMES, Layout, Pair
from skyseg_tf.data.listing import archive_members, is_junk, walk_files
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files.places import below, is_remote, place

SOURCE_VARIABLE = "CITYSCAPES_DATASET"  # the variable of cityscapesScripts
VAL_PERCENT = 20  # of a folder without splits
_OTHER_MASK = re.compile(r"_gtFine_(?:instanceIds|polygons)|_instanceTrainIds")
# What tools add to a mask's or a photo's name; what is left makes the two a pair.
_MASK_MARK = re.compile(
    r"[_-](?:masks?|labels?|gt|seg|segmentation|annotation|ground_?truth|labelIds|L)$",
    re.IGNORECASE,
)
_PHOTO_MARK = re.compile(r"[_-](?:image|img|photo|rgb|sat)$", re.IGNORECASE)


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
    root = place(given)
    root = root if is_remote(root) else root.expanduser()
    if not root.is_dir():
        said = "" if path else f" (from {SOURCE_VARIABLE})"
        what = "is a file; give the folder it lies in"
        if not root.exists():
            what = "does not exist; check the path"
        raise InputError(f"source {root}{said} {what}")
    return root


def _folder(root: Path, folder: str) -> Path:
    return root if folder == "." else root / folder  # a URL keeps the point


def _holds(root: Path, folder: str, layout: Layout) -> bool:
    archive = layout.archives.get(folder)
    return _folder(root, folder).is_dir() or (archive is not None and (root / archive).is_file())


def _present(root: Path, folders: tuple[str, ...], layout: Layout) -> list[str]:
    """The folders that are there, each once: links and some disks give one several names."""
    there = {}
    for folder in folders:
        if _holds(root, folder, layout):
            path = _folder(root, folder)
            has_number = not is_remote(path) and path.is_dir()
            there.setdefault(path.stat().st_ino if has_number else folder, folder)
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
    if _folder(root, folder).is_dir():
        for path in walk_files(_folder(root, folder), layout.depth):
            yield below(path, root), str(path)
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
        frame = FRAME.fullmatch(self.name)
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
                split = SPLIT_NAMES.get(parts.get("split") or "", "")
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
