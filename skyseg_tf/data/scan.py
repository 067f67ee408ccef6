"""The photos and masks of a dataset's tree, found by its layout and made pairs of; nothing is written."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from skyseg_tf.data.layouts import LAYOUTS, SPLIT_NAMES, Layout, Pair
from skyseg_tf.data.listing import is_junk
from skyseg_tf.data.mask_values import claimed_encoding, evenly, is_dummy, read_values
from skyseg_tf.data.matching import find_files, has_folder, match_masks
from skyseg_tf.errors import InputError, missing_hint, not_among
from skyseg_tf.files.places import is_remote, place
from skyseg_tf.images.decoders import IMAGE_SUFFIXES

SOURCE_VARIABLE = "CITYSCAPES_DATASET"  # the variable of cityscapesScripts
VAL_PERCENT = 20  # of a folder without splits
_PAGE = "docs/choices.md, Folders of datasets"


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
            what = f"does not exist; {missing_hint(str(root))}"
        raise InputError(f"source {root}{said} {what}")
    return root


def recognise_layout(root: Path) -> str | None:
    """The first layout whose folders are there; of several of the same folders, one with pairs.

    Args:
      root: the dataset's folder.

    Returns:
      A key of LAYOUTS; None where no dataset is there.
    """
    fits = [
        name
        for name, layout in LAYOUTS.items()
        if any(has_folder(root, folder, layout) for folder in layout.image_folders)
        and any(has_folder(root, folder, layout) for folder in layout.mask_folders)
    ]
    with_pairs = (name for name in fits if _has_pairs(root, LAYOUTS[name]))
    named = [name for name in fits if LAYOUTS[name].depth]  # by folders of telling names
    return named[0] if len(named) == 1 else next(with_pairs, next(iter(named), None))


def _has_pairs(root: Path, layout: Layout) -> bool:
    try:
        photos = find_files(root, layout.image_folders, layout.image, layout)
        masks = find_files(root, layout.mask_folders, layout.mask, layout)
    except InputError:
        return False
    return bool(match_masks(photos, masks, layout)[0])


def detect_layout(root: str | Path) -> str:
    """Recognises the layout of a dataset by its folders.

    Args:
      root: the dataset's folder.

    Returns:
      A key of LAYOUTS.

    Raises:
      InputError: none fits; says which half of one is there, or what is there instead.
    """
    root = source_root(root)
    name = recognise_layout(root)
    if name:
        return name
    raise InputError(f"{root}: no dataset here{_what_is_wrong_with(root)}")


def _what_is_wrong_with(root: Path) -> str:
    """What a folder without a layout lacks, as far as it can be told, and what to do about it."""
    entries = sorted(entry.name for entry in root.iterdir() if not is_junk(entry.name))
    folders = [entry for entry in entries[:200] if (root / entry).is_dir()]
    if meant := next(filter(recognise_layout, (root / entry for entry in folders)), None):
        return f"; did you mean {meant}?"
    if whole := _dataset_around(root):
        return f", only half of one; give the folder that holds both: --source {whole}"
    if half := _half_a_layout(root):
        return half
    if any(entry.lower().endswith(IMAGE_SUFFIXES) for entry in entries):
        return (
            ": photos alone, and no masks of them, which `skyseg predict` would make; to learn from, "
            "put photos into images/ and their masks, of the same names, into masks/ (other ways: "
            f"{_PAGE})"
        )
    more = f" and {len(entries) - 4} more" if len(entries) > 4 else ""
    found = f"only {', '.join(entries[:4])}{more}" if entries else "the folder is empty"
    return (
        f": {found}; give the folder that holds images/ and masks/, or leftImg8bit/ and gtFine/ "
        f"(other ways: {_PAGE})"
    )


def _dataset_around(root: Path) -> Path | None:
    """The dataset whose folder of photos or of masks this is; None if it is of none with pairs."""
    name = root.resolve().name
    above = (
        root.parent if root.name == name else root.resolve().parent
    )  # as it was typed, or of "."
    layout = LAYOUTS.get(recognise_layout(above) or "")
    is_half = layout and name in (*layout.image_folders, *layout.mask_folders)
    return above if is_half and _has_pairs(above, layout) else None


def _half_a_layout(root: Path) -> str | None:
    """Which half of a layout is missing, where its photos or its masks are there; else None."""
    # images/ is rather that of a dataset of one's own than of the copy on Kaggle.
    for layout in sorted(LAYOUTS.values(), key=lambda layout: not layout.is_general):
        halves = (layout.image_folders, layout.mask_folders)
        for (half, other), what in ((halves, "masks"), (halves[::-1], "photos")):
            for folder in half:
                if folder not in (".", *SPLIT_NAMES) and has_folder(root, folder, layout):
                    missing = _named_beside(folder, other, layout)
                    return f": {folder}/ is there, but its {what} are not: no {missing} ({_PAGE})"
    return None


def _named_beside(folder: str, others: tuple[str, ...], layout: Layout) -> str:
    """The folders, or their archives, that may lie beside one of a layout, in words."""
    above = folder.rpartition("/")[0]
    names = [other for other in others if other.rpartition("/")[0] == above]
    names = [name for name in names if name == name.lower() or name.lower() not in names]
    known = [f"{name}/" for name in names]
    known += [layout.archives[name] for name in names if name in layout.archives]
    return " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))


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
    photos = find_files(root, facts.image_folders, facts.image, facts)
    masks = find_files(root, facts.mask_folders, facts.mask, facts)
    mask_of, alone, clashes = match_masks(photos, masks, facts)
    found = [Pair(p.path, mask_of.get(p.path), p.split, p.city, p.name) for p in photos]
    pairs, by_name = [], {}
    # Of their final split: a photo outside of all split folders may be drawn to one of its name.
    for pair in _with_splits(found):
        other = by_name.setdefault((pair.split, pair.name), pair.image)
        if other != pair.image:
            clashes.append((other, pair.image))
        else:
            pairs.append(pair)
    has_splits = all(pair.split for pair in found)
    pairs, dummies = _without_dummies(pairs)
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
