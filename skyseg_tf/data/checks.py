"""Looks a dataset over: counts, missing partners, damaged files, sizes, classes, duplicates.

Everything here reads; nothing ever writes into the dataset.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from skyseg_tf.data.check_report import PROBLEMS, Problem, Report
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.mask_values import claimed_encoding, evenly
from skyseg_tf.data.pair_facts import PairFacts, read_heads, read_pair
from skyseg_tf.data.scan import Scan, scan_tree, source_root
from skyseg_tf.errors import InputError, counted
from skyseg_tf.labels import CITYSCAPES_LABELS, Encoding

SAMPLE = 50  # masks that are read for the encoding, and for the classes of a fast check
_NUMBERED = re.compile(r"(.*?)(\d*)", re.DOTALL)
_VOID = {label.name for label in CITYSCAPES_LABELS if label.category == "void"}


def check_dataset(
    source: str | Path | None = None,
    layout: str | None = None,
    fast: bool = False,
    progress: bool = True,
) -> Report:
    """Looks a dataset over. Nothing is written.

    Args:
      source: the dataset's folder; None takes the variable CITYSCAPES_DATASET.
      layout: key of layouts.LAYOUTS, or None to detect it.
      fast: read only the files' headers and the pixels of SAMPLE masks: no file that is cut off
        below its header is found.
      progress: show a bar on stderr, if that is a terminal.

    Returns:
      A Report: print it, or ask it for `ok`, `problems`, `as_dict()`.

    Raises:
      InputError: no dataset there.
    """
    root = source_root(source)
    scan = scan_tree(root, layout)
    problems = defaultdict(list)
    problems["mask_without_photo"] = scan.masks_alone
    problems["name_clash"] = [f"{path} (as {other})" for other, path in scan.clashes]
    encoding = _encoding(scan, problems)
    sampled = set(evenly([pair for pair in scan.pairs if pair.mask], SAMPLE))

    def look(pair: Pair) -> PairFacts:
        return read_heads(pair, encoding, pair in sampled) if fast else read_pair(pair, encoding)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        bar = tqdm(
            pool.map(look, scan.pairs),
            "checking",
            len(scan.pairs),
            unit=" pairs",
            disable=None if progress else True,
        )
        facts = list(bar)
    notes = _notes(scan, facts, fast)
    _collect(scan, facts, problems, notes)
    return _report(root, scan, encoding, fast, facts, problems, notes)


def _encoding(scan: Scan, problems: dict[str, list[str]]) -> Encoding | None:
    if not any(pair.mask for pair in scan.pairs):
        return None
    try:
        return guess_mask_encoding(scan.pairs, scan.layout, SAMPLE, strict=False)
    except InputError as error:
        problems["mask_encoding"].append(str(error))
        return None


def _told_by(scan: Scan, encoding: Encoding | None) -> str:
    if encoding is None:
        return ""
    if not isinstance(encoding, str):
        return "classes.json"
    if any(pair.mask and claimed_encoding(pair.mask) for pair in scan.pairs):
        return "the file names"
    return "the values"


def _collect(
    scan: Scan, facts: list[PairFacts], problems: dict[str, list[str]], notes: list[str]
) -> None:
    """Adds what the pairs showed to the problems and the notes."""
    masked = {pair.split for pair in scan.pairs if pair.mask}
    for fact in facts:
        pair = fact.pair
        if pair.mask is None and (pair.split != "test" or "test" in masked):
            problems["photo_without_mask"].append(pair.image)
        problems["unreadable"] += fact.unreadable
        if fact.unknown:
            problems["unknown_values"].append(fact.unknown)
        if fact.belied:
            problems["belied_name"].append(fact.belied)
        if fact.photo_size and fact.mask_size and fact.photo_size != fact.mask_size:
            problems["size_mismatch"].append(
                f"{pair.mask}: {_size(fact.mask_size)}, its photo {_size(fact.photo_size)}"
            )
    _collect_copies(facts, problems, notes)


def _collect_copies(
    facts: list[PairFacts], problems: dict[str, list[str]], notes: list[str]
) -> None:
    """Photos in two splits are a problem, photos twice in one split a note."""
    same = defaultdict(list)
    for fact in facts:
        if fact.fingerprint:
            same[fact.fingerprint].append(fact.pair)
    twice = []
    for first, *others in same.values():
        across = [f"{pair.image} ({pair.split})" for pair in others if pair.split != first.split]
        if across:
            problems["photo_in_two_splits"].append(
                f"{first.image} ({first.split}) is also {', '.join(across)}"
            )
        elif others:
            twice.append(f"{first.image} is also {others[0].image}")
    if twice:
        told = counted(len(twice), "photo")
        notes.append(f"{told} more than once in the same split: e.g. {twice[0]}")


def _beside_train(pairs: Sequence[Pair]) -> int:
    """How many photos of val have a number before or after that of one of train."""
    numbered = [(*_NUMBERED.fullmatch(pair.name).groups(), pair.split) for pair in pairs]
    train = {
        (prefix, int(number)) for prefix, number, split in numbered if number and split == "train"
    }
    val = [(prefix, int(number)) for prefix, number, split in numbered if number and split == "val"]
    return sum(any((prefix, number + step) in train for step in (-1, 1)) for prefix, number in val)


def _notes(scan: Scan, facts: list[PairFacts], fast: bool) -> list[str]:
    notes = []
    if not scan.has_splits:
        notes.append("no split folders: a hash of each name puts it into train or val, for good")
        if near := _beside_train(scan.pairs):
            notes.append(
                f"{counted(near, 'photo')} of val numbered next to one of train: of frames of a video "
                "scores will flatter; give folders train/ and val/ with whole drives"
            )
    dummies = scan.dummies + sum(fact.dummy for fact in facts)
    if dummies:
        notes.append(
            f"{counted(dummies, 'mask')} of the test split with labelIds 0-3 alone, left out: what "
            "Cityscapes publishes in place of its secret test truth"
        )
    elif all(not pair.mask for pair in scan.pairs if pair.split == "test"):
        photos = sum(pair.split == "test" for pair in scan.pairs)
        if photos:
            notes.append(
                f"{counted(photos, 'photo')} of the test split without a mask: good to look at"
            )
    empty = [fact.pair.mask for fact in facts if fact.pixels and not set(fact.pixels) - _VOID]
    if empty:
        notes.append(f"{counted(len(empty), 'mask')} without one labeled pixel, e.g. {empty[0]}")
    train = [fact for fact in facts if fact.pixels and fact.pair.split == "train"]
    classes = {name for fact in train for name in fact.pixels} - _VOID
    if classes == {"sky"} or (classes and "sky" not in classes):
        what = "has anything but sky" if "sky" in classes else "has any sky"
        notes.append(
            f"no mask read of the train split {what}, e.g. {train[0].pair.mask}: is the encoding "
            "right?"
        )
    if fast:
        read = sum(bool(fact.pixels) for fact in facts)
        notes.append(
            f"fast check: headers of all files, pixels of {counted(read, 'mask')}; files cut off "
            "further down are found only without --fast"
        )
    return notes


def _report(
    root: Path,
    scan: Scan,
    encoding: Encoding | None,
    fast: bool,
    facts: list[PairFacts],
    problems: dict[str, list[str]],
    notes: list[str],
) -> Report:
    """Sums up."""
    pixels, masks = Counter(), Counter()
    read = [fact.pixels for fact in facts if fact.pixels]
    for count in read:
        pixels.update(count)
        masks.update(count.keys())
    total = sum(pixels.values())
    labeled = sum(count for name, count in pixels.items() if name not in _VOID)
    classes = {
        name: {"share": count / labeled, "masks": masks[name]}
        for name, count in pixels.most_common()
        if name not in _VOID
    }
    sizes = Counter(_size(fact.photo_size) for fact in facts if fact.photo_size)
    found = [kind for kind in PROBLEMS if problems[kind]]
    return Report(
        source=str(root),
        layout=scan.layout,
        fast=fast,
        encoding=encoding,
        encoding_by=_told_by(scan, encoding),
        splits=_splits(facts),
        sizes=dict(sizes.most_common()),
        classes=classes,
        sky_share=classes.get("sky", {"share": 0.0})["share"],
        ignored_share=1 - labeled / total if total else 0.0,
        masks_read=len(read),
        problems=[Problem(kind, len(problems[kind]), problems[kind]) for kind in found],
        notes=notes,
    )


def _splits(facts: list[PairFacts]) -> dict[str, dict[str, dict[str, int]]]:
    """Split -> city -> how many photos, and how many of them with a mask."""
    splits = defaultdict(lambda: defaultdict(lambda: {"photos": 0, "with_mask": 0}))
    for fact in facts:
        row = splits[fact.pair.split][fact.pair.city]
        row["photos"] += 1
        row["with_mask"] += fact.pair.mask is not None and not fact.dummy
    return {split: dict(sorted(cities.items())) for split, cities in sorted(splits.items())}


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
