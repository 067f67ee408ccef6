"""Puts all city folders of a dataset into one folder of images and one of annotations per split.

    skyseg flatten --source DIR --out flat

`OUT/train/images/aachen_000000_000019_leftImg8bit.png` and
`OUT/train/annotations/aachen_000000_000019_gtFine_labelIds.png`, and so on: files keep their
names. They are hard links where the disk allows it and need no space; from archives and across
disks they are copies. A hard link and its source are one file: do not edit it in place.
"""

import filecmp
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from skyseg_tf.data.encodings import classes_file, guess_mask_encoding
from skyseg_tf.data.layouts import LAYOUTS, Pair
from skyseg_tf.data.scan import detect_layout, find_pairs, source_root
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import ZIP_MARK, read_bytes
from skyseg_tf.files.aside import check_folder, make_folder, write_aside
from skyseg_tf.files.places import is_remote, resolved
from skyseg_tf.labels import value_names


@dataclass(frozen=True)
class Flattened:
    """What `flatten_dataset` did.

    Attributes:
      out: the filled folder.
      photos: split -> number of photos.
      masks: split -> number of masks.
      linked: files that were hard-linked.
      copied: files that were copied or taken out of an archive.
      present: files that were there already.
    """

    out: str
    photos: dict[str, int]
    masks: dict[str, int]
    linked: int
    copied: int
    present: int

    def __str__(self) -> str:
        """The result in a few lines for people."""
        lines = [
            f"{self.out}/{split}: {counted(count, 'image')}, "
            f"{counted(self.masks.get(split, 0), 'annotation')}"
            for split, count in self.photos.items()
        ]
        done = f"{self.linked} hard-linked, {self.copied} copied, {self.present} already there"
        return "\n".join([*lines, done])


def flatten_dataset(
    source: str | Path | None,
    out: str | Path,
    layout: str | None = None,
    copy: bool = False,
    progress: bool = True,
) -> Flattened:
    """Puts all city folders of a dataset into one folder of images and annotations per split.

    The source is never changed, and no file in `out` is ever overwritten, so it is safe to run
    again. Masks of the test split that are placeholders are left out.

    Args:
      source: the dataset's folder; None takes the variable CITYSCAPES_DATASET.
      out: the folder to fill; `find_pairs(out)` reads it back.
      layout: key of layouts.LAYOUTS, or None to detect it.
      copy: copy even where a hard link is possible.
      progress: show a bar on stderr, if that is a terminal.

    Returns:
      Counts of what was done.

    Raises:
      InputError: the source is a URL, `out` lies in it, two files would get one name, or another file is
        there already; nothing has been written then.
    """
    root, out = source_root(source), Path(out).expanduser()
    if is_remote(root):
        raise InputError(f"source {root}: files of a URL cannot be linked; copy it to this machine")
    layout = layout or detect_layout(root)
    pairs = find_pairs(root, layout)
    plan = _plan(pairs, out, LAYOUTS[layout].names_by_city)
    classes = _classes_json(pairs, layout)
    _refuse_overlap(root, {out, *(target.parent for target in plan)})
    check_folder(out)
    missing = {target: path for target, path in plan.items() if not _is_there(path, target)}
    new_classes = classes is not None and not _holds(out / "classes.json", classes, layout)
    done = Counter(present=len(plan) - len(missing))
    done.update(_put_all(missing, copy, progress))
    if new_classes:
        with write_aside(out / "classes.json") as aside:
            aside.write_bytes(classes)
    return Flattened(
        out=str(out),
        photos=dict(Counter(pair.split for pair in pairs)),
        masks=dict(Counter(pair.split for pair in pairs if pair.mask)),
        linked=done["linked"],
        copied=done["copied"],
        present=done["present"],
    )


def _put_all(missing: dict[Path, str], copy: bool, progress: bool) -> Counter:
    """Puts files where they are missing, and counts how."""
    for folder in {target.parent for target in missing}:
        make_folder(folder)
    bar = tqdm(missing.items(), "flattening", unit=" files", disable=None if progress else True)
    return Counter(_put(path, target, copy) for target, path in bar)


def _plan(pairs: list[Pair], out: Path, by_city: bool) -> dict[Path, str]:
    """Target -> source of every file; raises InputError if two sources want one target.

    Files keep their names, but where two folders use the same ones (`by_city`) the pair's.
    """
    plan = {}
    for pair in pairs:
        for folder, path in (("images", pair.image), ("annotations", pair.mask)):
            if path is None:
                continue
            name = path.replace(os.sep, "/").rsplit("/", 1)[-1]
            if by_city:
                name = pair.name + Path(name).suffix
            target = out / pair.split / folder / name
            if target in plan:
                raise InputError(
                    f"{plan[target]} and {path} would both become {target}; rename one"
                )
            plan[target] = path
    return plan


def _classes_json(pairs: list[Pair], layout: str) -> bytes | None:
    """What the mask values mean, where neither the files' names nor the new folders tell it."""
    masks = [pair.mask for pair in pairs if pair.mask]
    file = classes_file(masks[0], layout) if masks else None
    if file:
        return file.read_bytes()
    usual = LAYOUTS[layout].encoding
    if not masks or not usual or guess_mask_encoding(pairs, layout) != usual:
        return None
    return json.dumps(value_names(usual), indent=1).encode()


def _refuse_overlap(root: Path, folders: Iterable[Path]) -> None:
    """Raises InputError if a folder to be filled is, or by a link leads to, the source."""
    real = resolved(root)
    for folder in folders:
        if resolved(folder).is_relative_to(real):
            raise InputError(f"{folder} lies in the source {root}; choose --out outside of it")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; choose another --out")


def _is_there(path: str, target: Path) -> bool:
    """Whether the target holds the source's content; raises InputError if it holds another."""
    if not os.path.lexists(target):
        return False
    if target.is_file():
        if ZIP_MARK in path:
            if target.read_bytes() == read_bytes(path):
                return True
        elif os.path.samefile(path, target) or filecmp.cmp(path, target, shallow=False):
            return True
    raise InputError(f"{target} is there already and differs from {path}; choose another --out")


def _holds(target: Path, content: bytes, layout: str) -> bool:
    """Whether a written-out file is there with this content; another content is an InputError."""
    if not os.path.lexists(target):
        return False
    if target.read_bytes() != content:
        raise InputError(
            f"{target} is there already and differs from that of the source (layout '{layout}'); "
            "choose another --out"
        )
    return True


def _put(path: str, target: Path, copy: bool) -> str:
    """Links or copies one file to a free target; returns what was done: linked, copied, present."""
    if ZIP_MARK in path:
        content = read_bytes(path)
        with write_aside(target) as aside:
            aside.write_bytes(content)
        return "copied"
    if not copy:
        try:
            # A link to a symbolic link would break when the link moves: link what it points to.
            os.link(os.path.realpath(path), target)
            return "linked"
        except FileExistsError:  # another flatten wrote it just now
            _is_there(path, target)
            return "present"
        except OSError:
            pass  # another disk, or a file system or owner that allows no links
    with write_aside(target) as aside:
        shutil.copyfile(path, aside)
    return "copied"
