"""Building records against the plain loop: images/s from 2048x1024 PNG pairs to 256x512 records.

    python benchmarks/build_records.py [--count 32]

The peers, on the same drawn Cityscapes tree, one after the other, each with a warm file cache:
  plain loop   Pillow decodes, numpy takes the area mean, statistics in a first pass, normalized
               float32 through one TFRecordWriter in a second
  Pillow BOX   the same with Pillow's own, faster area mean
  ours         skyseg_tf.build with the same result: statistics and normalized records
  ceiling      decoding and resizing alone, on all cores, nothing written
"""

import argparse
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.records import extract_cityscape_data_info, load_pair
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.labels import SCHEMES, class_id_table

SIZE = (256, 512)


def load_plain(pair, box: bool) -> tuple[np.ndarray, np.ndarray]:
    """One pair as a first program would read it."""
    photo = Image.open(pair.image).convert("RGB")
    if box:
        image = np.asarray(photo.resize(SIZE[::-1], Image.BOX))
    else:
        rows, columns = photo.height // SIZE[0], photo.width // SIZE[1]
        blocks = np.asarray(photo).reshape(SIZE[0], rows, SIZE[1], columns, 3)
        image = blocks.mean((1, 3)).round().astype(np.uint8)
    mask = np.asarray(Image.open(pair.mask).resize(SIZE[::-1], Image.NEAREST))
    return image, class_id_table("labelIds", SCHEMES["sky"])[mask]


def plain_loop(pairs, out: Path, box: bool) -> None:
    """Two passes, one writer."""
    sums, squares, pixels = np.zeros(3), np.zeros(3), 0
    for pair in pairs:
        image = load_plain(pair, box)[0].astype(np.float64)
        sums, squares = sums + image.sum((0, 1)), squares + (image**2).sum((0, 1))
        pixels += image.shape[0] * image.shape[1]
    mean = sums / pixels
    std = np.sqrt(squares / pixels - mean**2)
    with tf.io.TFRecordWriter(str(out)) as writer:
        for pair in pairs:
            image, mask = load_plain(pair, box)
            image = ((image - mean) / std).astype(np.float32)
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "mask": tf.train.Feature(bytes_list=tf.train.BytesList(value=[mask.tobytes()])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def main() -> None:
    """Prints one line per peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=32)
    count = parser.parse_args().count
    folder = Path(tempfile.mkdtemp())
    try:
        tree = folder / "tree"
        write_scenes(tree, count)
        pairs = find_pairs(tree)
        for pair in pairs:
            Path(pair.image).read_bytes(), Path(pair.mask).read_bytes()

        def ours() -> None:
            build(BuildConfig(out=folder / "ours", source=tree, image_size=SIZE, quiet=True))

        def ceiling() -> None:
            infos = extract_cityscape_data_info(tree)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda info: load_pair(info, SIZE, SCHEMES["sky"]) and None, infos))

        speeds = {}
        for name, job in (
            ("plain loop", lambda: plain_loop(pairs, folder / "plain", box=False)),
            ("Pillow BOX", lambda: plain_loop(pairs, folder / "box", box=True)),
            ("ours", ours),
            ("ceiling", ceiling),
        ):
            start = time.perf_counter()
            job()
            speeds[name] = count / (time.perf_counter() - start)
        for name, speed in speeds.items():
            print(
                f"{name:<12}{speed:8.2f} images/s   {speed / speeds['plain loop']:5.2f} x plain loop"
            )
        print(f"ours reaches {100 * speeds['ours'] / speeds['ceiling']:.0f} % of the ceiling")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
