"""Which mask is which photo's: the files of a layout, and pairs of those that share a name."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from skyseg_tf.data.layouts import FRAME, MASK_KINDS, SPLIT_NAMES, Layout
from skyseg_tf.data.listing import archive_members, walk_files
from skyseg_tf.errors import InputError
from skyseg_tf.files.places import below, is_remote

_OTHER_MASK = re.compile(r"_gtFine_(?:instanceIds|polygons)|_instanceTrainIds")
# What tools add to a mask's or a photo's name; what is left makes the two a pair.
_MASK_MARK = re.compile(
    r"[_-](?:masks?|labels?|gt|seg|segmentation|annotation|ground_?truth|labelIds|L)$",
    re.IGNORECASE,
)
_PHOTO_MARK = re.compile(r"[_-](?:image|img|photo|rgb|sat)$", re.IGNORECASE)


def _at(root: Path, folder: str) -> Path:
    return root if folder == "." else root / folder  # a URL keeps the point


def has_folder(root: Path, folder: str, layout: Layout) -> bool:
    """Whether a folder of a layout is there, or its archive."""
    archive = layout.archives.get(folder)
    return _at(root, folder).is_dir() or (archive is not None and (root / archive).is_file())


def _present(root: Path, folders: tuple[str, ...], layout: Layout) -> list[str]:
    """The folders that are there, each once: links and some disks give one several names."""
    there = {}
    for folder in folders:
        if has_folder(root, folder, layout):
            path, identity = _at(root, folder), folder
            if not is_remote(path) and path.is_dir():
                facts = path.stat()
                identity = facts.st_dev, facts.st_ino
            there.setdefault(identity, folder)
    return list(there.values())


def _files(root: Path, folder: str, layout: Layout) -> Iterator[tuple[str, str]]:
    """(path below the root, path to read) of every file of a folder or of its archive."""
    archive = layout.archives.get(folder)
    if _at(root, folder).is_dir():
        for path in walk_files(_at(root, folder), layout.depth):
            yield below(path, root), str(path)
    elif archive and (root / archive).is_file():
        for member in archive_members(root / archive):
            if member.startswith(f"{folder}/"):
                yield member, f"{root / archive}!{member}"


@dataclass(frozen=True)
class Found:
    """A photo or a mask.

    Attributes:
      path: to read it.
      split: "" where the tree has none.
      folder: below that of the split, or "".
      name: what its mask or photo is called, too.
      kind: of a mask: a key of MASK_KINDS, or "".
    """

    path: str
    split: str
    folder: str
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


def find_files(root: Path, folders: tuple[str, ...], pattern: str, layout: Layout) -> list[Found]:
    """The files that fit a pattern, sorted by path.

    Args:
      root: of the tree.
      folders: below it, in which files are looked for; those that are not there are passed over.
      pattern: regular expression of paths below the root, with groups `name` and, where the layout
        has them, `split`, `city` and `kind`.
      layout: how the tree is laid out.

    Raises:
      InputError: none does.
    """
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
                found.append(Found(path, split, city, name, parts.get("kind") or ""))
    if not found:
        raise InputError(
            f"{root}: nothing in {', '.join(there or folders[:1])} is laid out as {layout.about}; "
            "move the files there or choose another --layout"
        )
    return sorted(found, key=lambda item: item.path)


def _choose(found: list[Found]) -> tuple[dict[tuple, Found], list[tuple[str, str]]]:
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


def match_masks(
    photos: list[Found], masks: list[Found], layout: Layout
) -> tuple[dict[str, str], list[str], list[tuple[str, str]]]:
    """Makes pairs of the photos and masks of a tree.

    Args:
      photos, masks: of `find_files`.
      layout: how the tree is laid out; of a general one marks such as `_mask` are taken off names
        that fit no other as they are.

    Returns:
      {path of a photo: path of its mask}, paths of masks without a photo, and pairs of masks that
      claim the same name.
    """
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


def _without(mark: re.Pattern, found: Found) -> Found:
    return replace(found, name=mark.sub("", found.name))
