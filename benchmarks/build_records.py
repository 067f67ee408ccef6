"""Building records: images/s from 2048x1024 pairs to 256x512 records, beside a plain loop and its floor.

    python benchmarks/build_records.py [--count 48 192] [--rounds 3] [--out FILE]

The sides take turns on the same drawn Cityscapes trees, with a warm file cache, for photos in PNG and
in JPEG. A build begins with 50 masks that tell the encoding: of few pairs that is much, so trees of
several sizes are measured.
  ours         skyseg_tf.build: statistics and normalized records
  plain loop   Pillow decodes, its own box filter takes the area mean (the fastest way of a plain
               loop), statistics in a first pass, normalized float32 through one TFRecordWriter in a
               second
  floor        decoding and resizing alone, on all cores, nothing written
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import numpy as np
import PIL
import tensorflow as tf
from compare import Row, report, take_turns
from PIL import Image

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.records import extract_cityscape_data_info, load_pair
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.labels import SCHEMES, class_id_table

SIZE = (256, 512)


def load_plain(pair) -> tuple[np.ndarray, np.ndarray]:
    """One pair as a first program would read it."""
    image = np.asarray(Image.open(pair.image).convert("RGB").resize(SIZE[::-1], Image.BOX))
    mask = np.asarray(Image.open(pair.mask).resize(SIZE[::-1], Image.NEAREST))
    return image, class_id_table("labelIds", SCHEMES["sky"])[mask]


def plain_loop(pairs, out: Path) -> None:
    """Two passes, one writer."""
    sums, squares, pixels = np.zeros(3), np.zeros(3), 0
    for pair in pairs:
        image = load_plain(pair)[0].astype(np.float64)
        sums, squares = sums + image.sum((0, 1)), squares + (image**2).sum((0, 1))
        pixels += image.shape[0] * image.shape[1]
    mean = sums / pixels
    std = np.sqrt(squares / pixels - mean**2)
    with tf.io.TFRecordWriter(str(out)) as writer:
        for pair in pairs:
            image, mask = load_plain(pair)
            image = ((image - mean) / std).astype(np.float32)
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "mask": tf.train.Feature(bytes_list=tf.train.BytesList(value=[mask.tobytes()])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def as_jpeg(tree: Path) -> None:
    """Photos of a tree become JPEG files."""
    for photo in sorted(tree.rglob("*_leftImg8bit.png")):
        Image.open(photo).save(photo.with_suffix(".jpg"), quality=95)
        photo.unlink()


def compare(tree: Path, kind: str, rounds: int) -> list[Row]:
    """Ours beside the loop and the floor, on one tree."""
    pairs, infos = find_pairs(tree), extract_cityscape_data_info(tree)
    out = tree.with_name("out")

    def ours() -> None:
        build(BuildConfig(out=out, source=tree, image_size=SIZE, quiet=True))

    def floor() -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda info: load_pair(info, SIZE, SCHEMES["sky"]) and None, infos))

    def plain() -> None:
        out.mkdir()
        plain_loop(pairs, out / "plain.tfrecord")

    def rate(job: Callable[[], None]) -> float:
        shutil.rmtree(out, ignore_errors=True)
        begun = time.perf_counter()
        job()
        return len(pairs) / (time.perf_counter() - begun)

    jobs = {"skyseg build": ours, "plain loop": plain, "decode and resize": floor}
    sides = {name: partial(rate, job) for name, job in jobs.items()}
    rates = take_turns(sides, rounds, warm=1)
    what, own = f"{len(pairs)} records from 2048x1024 {kind} pairs", rates.pop("skyseg build")
    wanted = {"plain loop": 4.0, "decode and resize": 0.9}
    return [
        Row(what, "images/s", "skyseg build", peer, own, rates[peer], wanted[peer])
        for peer in wanted
    ]


def main() -> None:
    """Prints a row per peer and kind of photo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, nargs="+", default=[48, 192], help="pairs of a tree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in args.count:
            tree = Path(folder) / f"tree{count}"
            write_scenes(tree, count)
            rows += compare(tree, "PNG", args.rounds)
            as_jpeg(tree)
            rows += compare(tree, "JPEG", args.rounds)
    report(rows, args.out, f"Pillow {PIL.__version__}, TensorFlow {tf.__version__}")


if __name__ == "__main__":
    main()
