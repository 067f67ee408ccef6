"""Tiny datasets in every layout, for the tests of finding, checking and flattening."""

import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (8, 16)
NAMES = ("aachen_000000_000019", "bonn_000001_000019", "bonn_000002_000019")


def write_photo(path: Path, seed: int, size=SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG" if "j" in path.suffix.lower() else "PNG")
    return path


def write_mask(path: Path, values=(7, 23), size=SIZE, mode=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.resize(np.array(values, np.uint8), size)
    Image.fromarray(mask).convert(mode or "L").save(path, format="PNG")
    return path


def cityscapes(root: Path, test: tuple[int, ...] | None = None) -> Path:
    """Two cities in train, one in val; with `test`, a test split whose masks hold those values."""
    for split, city, seeds in (
        ("train", "aachen", [0]),
        ("train", "bonn", [1, 2]),
        ("val", "ulm", [3]),
    ):
        for seed in seeds:
            add_scene(root, split, city, seed)
    for seed in (4, 5) if test else ():
        add_scene(root, "test", "berlin", seed, test)
    return root


def add_scene(root: Path, split: str, city: str, seed: int, values=(7, 23), size=SIZE) -> str:
    name = f"{city}_{seed:06d}_000019"
    write_photo(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", seed, size)
    masks = root / f"gtFine/{split}/{city}"
    write_mask(masks / f"{name}_gtFine_labelIds.png", values, size)
    for kind in ("instanceIds", "labelTrainIds"):
        write_mask(masks / f"{name}_gtFine_{kind}.png", (0, 10))
    write_mask(masks / f"{name}_gtFine_color.png", (70,), mode="RGBA")
    (masks / f"{name}_gtFine_polygons.json").write_text("{}")
    return name


def zipped(tree: Path, root: Path) -> Path:
    """The official archives of a Cityscapes tree."""
    root.mkdir(parents=True)
    for folder in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(root / f"{folder}_trainvaltest.zip", "w") as archive:
            archive.writestr("license.txt", "free for research")
            archive.writestr(f"__MACOSX/{folder}/train/aachen/._x.png", b"")
            for path in sorted((tree / folder).rglob("*")):
                archive.write(path, path.relative_to(tree))
    return root


def flat(root: Path, names=("one", "two", "three"), split="", values=(0, 255)) -> Path:
    for index, name in enumerate(names):
        write_photo(root / "images" / split / f"{name}.jpg", 100 * len(split) + index)
        write_mask(root / "masks" / split / f"{name}.png", values)
    return root


def camvid(root: Path) -> Path:
    for seed, split in enumerate(("train", "val", "test")):
        write_photo(root / split / f"0016E5_{seed:05d}.png", seed)
        write_mask(root / f"{split}annot" / f"0016E5_{seed:05d}.png", (0, 3, 8))
    return root


def snapshot(root: Path) -> dict:
    """Everything that must not change in a source: names, times and contents."""
    return {
        path.relative_to(root): (os.stat(path).st_mtime_ns, path.is_file() and path.read_bytes())
        for path in [root, *sorted(root.rglob("*"))]
    }
