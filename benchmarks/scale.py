"""What a photo costs, in CPU seconds and bytes: the figures of docs/explanation/scale.md.

    python benchmarks/scale.py [--count 24]

Drawn Cityscapes photos of 1024x2048, PNG as published and JPEG as cameras write them; the processor
time of this process and all its threads, so that it does not matter what else the machine does:
  build    photo to record of 256x512, in each storage
  predict  photo to mask, with the default network
  list     what a build keeps of each photo in the process that gives the tasks
"""

import argparse
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from PIL import Image

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.shards import key_of
from skyseg_tf.data.sources import labeled_photos
from skyseg_tf.masking.settings import PredictConfig
from skyseg_tf.predict import predict


def cpu_seconds(work, count: int) -> float:
    """Of a photo."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / count


def write_jpegs(tree: Path, folder: Path) -> None:
    """The photos of a tree as JPEG of quality 95."""
    folder.mkdir()
    for path in sorted(tree.glob("leftImg8bit/*/*/*.png")):
        Image.open(path).save(folder / f"{path.stem}.jpg", quality=95)


def measure(count: int, folder: Path) -> None:
    """Prints a line for each kind of work."""
    tree = folder / "scenes"
    write_scenes(tree, count, size=(1024, 2048), workers=1)
    write_jpegs(tree, folder / "jpegs")
    found = len(list((folder / "jpegs").iterdir()))
    for name in ("leftImg8bit", "gtFine"):
        files = list((tree / name).rglob("*.png"))
        size = sum(path.stat().st_size for path in files) / found
        print(f"{name:<24}{size / 1e6:8.2f} MB a photo")
    build(BuildConfig(source=tree, out=folder / "warm", quiet=True))
    for storage in STORAGES:
        out = folder / storage
        config = BuildConfig(source=tree, out=out, storage=storage, workers=1, quiet=True)
        seconds = cpu_seconds(lambda config=config: build(config), found)
        size = sum(file.stat().st_size for file in out.glob("*.tfrecord")) / found
        print(f"build {storage:<18}{seconds:8.3f} CPU s{size / 1e3:9.1f} kB a record")
    measure_predict(folder / "jpegs", folder)
    measure_list(folder)


def measure_predict(photos: Path, folder: Path) -> None:
    """Of many photos and of few, so that what is done once is taken off."""
    many, times = folder / "many", 5
    for number in range(times):
        for photo in photos.iterdir():
            copy = many / str(number) / photo.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(photo)
    few = len(list(photos.iterdir()))
    spent = {}
    for inputs in (photos, photos, many):  # the first one warms up
        config = PredictConfig((str(inputs),), folder / f"masks_{inputs.name}", quiet=True)
        spent[inputs] = cpu_seconds(lambda config=config: predict(config), 1)
    seconds = (spent[many] - spent[photos]) / (few * (times - 1))
    masks = list((folder / "masks_many").rglob("*.png"))
    size = sum(mask.stat().st_size for mask in masks) / len(masks)
    print(f"{'predict':<24}{seconds:8.3f} CPU s{size / 1e3:9.1f} kB a mask")


def measure_list(folder: Path, count: int = 10_000) -> None:
    """What the process that gives a build's tasks spends on each photo, and keeps of it."""
    root = folder / "empty"
    for kind, suffix in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        (root / kind / "train/aachen").mkdir(parents=True)
        for number in range(count):
            name = f"aachen_{number:06d}_000019_{suffix}.png"
            (root / kind / "train/aachen" / name).touch()
    options = {"layout": "cityscapes", "encoding": "labelIds", "frames": 1, "seed": 0}
    started = time.process_time()
    labeled_photos(root, scheme="sky", **options)
    seconds = (time.process_time() - started) / count
    tracemalloc.start()
    infos = labeled_photos(root, scheme="sky", **options)
    digests = {key_of(info): f"{number:064x}" for number, info in enumerate(infos)}
    size = tracemalloc.get_traced_memory()[0] / len(digests)
    print(f"{'list':<24}{seconds:8.5f} CPU s{size / 1e3:9.1f} kB in memory")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.count, Path(folder))
