"""Photos of many kinds: which of them the packaged sky models learn from, and which they are scored on.

    python benchmarks/domains.py TREE:COPIES... --out FOLDER [--seed 0]

writes crops of 240x320, as they were learned from, as one dataset of Cityscapes' layout with a city
for each TREE: COPIES of each photo of the train split, one of each photo held out. A photo looked up
through foliage has no side that is up: of trees whose name begins with "fisheye" crops are turned.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
import numpy as np

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.photos import LabeledPhoto, photos_of_pairs
from skyseg_tf.data.scan import scan_tree
from skyseg_tf.images import resize_image, resize_mask, write_image
from skyseg_tf.labels import get_scheme

SKY = get_scheme("sky")
SIZE = (240, 320)
LARGEST = 560  # long side of a photo that is cropped
ANY_SIDE_UP = "fisheye"
LABEL_IDS = np.zeros(256, np.uint8)  # void
LABEL_IDS[[0, 1]] = 11, 23  # building for all that is not sky


def split_pairs(tree: Path, every: int = 3) -> tuple[list, list]:
    """Pairs that the packaged models were trained with, and pairs that they have not seen."""
    scan = scan_tree(tree)
    if scan.has_splits:
        train = [pair for pair in scan.pairs if pair.split == "train"]
        return train, [pair for pair in scan.pairs if pair.split == "val"]
    # A flight's frames (a2-00.04..., a2-00.05...) are too much alike to be told apart.
    groups = sorted({_group(pair.name) for pair in scan.pairs})
    unseen = set(groups[every - 1 :: every])
    pairs = sorted(scan.pairs, key=lambda pair: pair.name)
    train = [pair for pair in pairs if _group(pair.name) not in unseen]
    return train, [pair for pair in pairs if _group(pair.name) in unseen]


def _group(name: str) -> str:
    return name.split("-")[0]


def load(pairs: list) -> list[LabeledPhoto]:
    """At full size."""
    return list(photos_of_pairs(pairs, guess_mask_encoding(pairs), SKY))


def crop(
    photo: LabeledPhoto, rng: np.random.Generator, turned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A part of SIZE of a shrunken photo, half of the times as much of it as fits."""
    image, truth = photo.image, photo.truth
    if turned:
        quarters = int(rng.integers(4))
        image, truth = (np.rot90(part, quarters) for part in (image, truth))
    least = max(SIZE[0] / image.shape[0], SIZE[1] / image.shape[1])
    most = max(least, min(1.3, LARGEST / max(image.shape[:2])))
    factor = least if rng.random() < 0.5 else math.exp(rng.uniform(*np.log((least, most))))
    size = tuple(
        max(side, round(factor * length))
        for side, length in zip(SIZE, image.shape[:2], strict=True)
    )
    y, x = (int(rng.integers(length - side + 1)) for side, length in zip(SIZE, size, strict=True))
    rows, columns = slice(y, y + SIZE[0]), slice(x, x + SIZE[1])
    image = resize_image(np.ascontiguousarray(image), size)
    truth = resize_mask(np.ascontiguousarray(truth), size)
    return image[rows, columns], truth[rows, columns]


def write_crops(tree: Path, copies: int, out: Path, rng: np.random.Generator) -> dict[str, int]:
    """Writes the crops of a tree; how many of each split."""
    counts = {}
    for split, pairs in zip(("train", "val"), split_pairs(tree), strict=True):
        number = 0
        for photo in load(pairs):
            for _ in range(copies if split == "train" else 1):
                image, truth = crop(photo, rng, tree.name.startswith(ANY_SIDE_UP))
                name = f"{tree.name.replace('_', '')}_{number:06d}_000019"
                for kind, end, array in (
                    ("leftImg8bit", "leftImg8bit", image),
                    ("gtFine", "gtFine_labelIds", LABEL_IDS[truth]),
                ):
                    path = out / kind / split / name.split("_")[0] / f"{name}_{end}.png"
                    write_image(path, np.ascontiguousarray(array))
                number += 1
        counts[split] = number
    return counts


def main() -> None:
    """Prints how many crops of each tree were written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", nargs="+", metavar="TREE:COPIES")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(flags.seed)
    for text in flags.trees:
        tree, _, copies = text.rpartition(":")
        if not (tree and copies.isdigit()):
            parser.error(f"{text}: say how many crops of each photo, as in {text or 'TREE'}:2")
        print(tree, write_crops(Path(tree), int(copies), flags.out, rng), flush=True)


if __name__ == "__main__":
    with one_line_errors("domains.py"):
        main()
