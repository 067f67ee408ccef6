"""Batches per second of training streams: ours beside torch's DataLoader and grain.

    python benchmarks/streaming.py --torch-python PATH [--size 256 512] [--photos 128] [--batch 8]
                                   [--rounds 5] [--seconds 4] [--out FILE]

Drawn scenes, as records (storage uint8) for ours and as PNG files of the same size for the peers,
whose Python needs torch and OpenCV, and grain and array-record for grain's rows (see
loader_peer.py). `same` has the transforms of the peers, as often and as strong; the presets are those
of a training, of which `default` does far more. Every loader has both cores. They take turns, a few
seconds each, in every round: the table has medians over the rounds, and the spread from the least to
the most. Where others use the machine the milliseconds of CPU per image (of all threads and workers)
say more than the rate.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import cv2
import tensorflow as tf
from compare import Peer, Row, report

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.augment.camera import make_augment
from skyseg_tf.data.augment.mixing import make_mix
from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.data.augment.settings import Augmentation, Classes, Range
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.photos import photos_of_records
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest

SCRIPT = Path(__file__).with_name("loader_peer.py")
WARM = 8
CITYSCAPES = 2975  # photos of its train split
Measure = Callable[[float], tuple[float, float]]  # seconds -> images per second, CPU ms per image
SETTINGS = {name: AUGMENTATIONS[name] for name in ("none", "light", "default", "strong")}
SETTINGS["same"] = Augmentation(
    flip=0.5,
    scales=Range(0.75, 2.0),
    gamma=Range(0.5, 1.5),
    saturation=Range(0.5, 1.5),
    defocus=Range(0.002, 0.008, 0.15),
    noise=Range(2.0, 14.0, 0.3),
)
_LOADERS = """
from importlib.util import find_spec
packages = (("torch", "torch"), ("grain", "array_record"))
print(*[name for name, package in packages if find_spec(package)])
"""


def prepare(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Writes records and the same pairs as PNG files, pairs/; the records."""
    records, pairs = folder / "records", folder / "pairs"
    if pairs.exists():
        return records
    write_scenes(folder / "tree", count, size=size, splits=(("train", 1.0),))
    build(
        BuildConfig(
            source=folder / "tree", out=records, image_size=size, storage="uint8", quiet=True
        )
    )
    unfinished = folder / "unfinished"
    unfinished.mkdir(exist_ok=True)
    for index, photo in enumerate(photos_of_records(records, "train")):
        cv2.imwrite(str(unfinished / f"image_{index}.png"), photo.image[..., ::-1])
        cv2.imwrite(str(unfinished / f"mask_{index}.png"), photo.truth)
    unfinished.rename(pairs)
    return records


def our_stream(records: Path, batch: int, settings: Augmentation) -> Iterator:
    """Batches without end, epoch by epoch, as a training asks for them.

    An epoch has about as many photos as that of Cityscapes: the records are read several times.
    """
    count = read_manifest(records).splits["train"].count
    classes = Classes.of(read_manifest(records).scheme)
    effects = {}
    if settings != SETTINGS["none"]:
        mix = make_mix(settings, classes.sky)
        effects = {"augment": make_augment(settings, classes), "mix": mix}
    epoch = 0
    while True:
        yield from make_dataset(
            records,
            "train",
            batch,
            shuffle=True,
            epoch=epoch,
            drop_remainder=True,
            digests=False,
            extra=[records] * (CITYSCAPES // count),
            **effects,
        )
        epoch += 1


def ours(records: Path, batch: int, settings: Augmentation) -> Measure:
    """Measures one augmentation."""
    stream = our_stream(records, batch, settings)

    def measure(seconds: float) -> tuple[float, float]:
        for _ in range(WARM):
            next(stream)
        steps, begun, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            next(stream)
            steps += 1
        elapsed, used = time.perf_counter() - begun, time.process_time() - used
        return steps * batch / elapsed, 1e3 * used / steps / batch

    return measure


def peers(peer: Peer, python: str) -> dict[str, Measure]:
    """The same of the loaders that this Python has."""
    found = subprocess.run([python, "-c", _LOADERS], capture_output=True, text=True, check=True)

    def asks(loader: str, transforms: str) -> Measure:
        return lambda seconds: json.loads(peer.ask(loader, transforms, seconds))

    return {
        f"{loader}, {transforms}": asks(loader, transforms)
        for loader in found.stdout.split()
        for transforms in ("plain", "default")
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="a Python with what loader_peer.py needs")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 512))
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--presets", nargs="+", default=SETTINGS, choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--work", type=Path, help="keep records and PNG files there")
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    with ExitStack() as stack:
        kept = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = kept / f"{args.photos}_{args.size[0]}x{args.size[1]}"
        records = prepare(folder, args.photos, tuple(args.size))
        sides = {
            f"ours, {name}": ours(records, args.batch, SETTINGS[name]) for name in args.presets
        }
        if python := args.torch_python:
            peer = stack.enter_context(Peer(python, SCRIPT, folder / "pairs", args.batch))
            sides |= peers(peer, python)
        rates = {side: [] for side in sides}
        for _ in range(args.rounds):
            for side, measure in sides.items():
                rates[side].append(measure(args.seconds))
    print(f"{args.size[0]}x{args.size[1]}, batches of {args.batch}, CPU ms an image:")
    for side, values in rates.items():
        print(f"{side:<18}{statistics.median(cpu for _, cpu in values):>8.2f}")
    report(list(comparisons(rates)), args.out, f"TensorFlow {tf.__version__}")


def comparisons(rates: dict[str, list[tuple[float, float]]]) -> Iterator[Row]:
    """Ours beside each loader: without transforms, with the same, and with all of `default`."""
    wanted = {"torch": {"none": 3.0, "same": 1.5, "default": 1.5}}
    tasks = {
        "none": ("plain", "batches without augmentation"),
        "same": ("default", "batches with the same transforms"),
        "default": ("default", "batches with the preset default"),
    }
    names = {"torch": "torch DataLoader", "grain": "Grain, ArrayRecord"}
    for loader, name in names.items():
        for preset, (transforms, what) in tasks.items():
            if {f"{loader}, {transforms}", f"ours, {preset}"} <= rates.keys():
                own, other = (
                    [rate for rate, _ in rates[side]]
                    for side in (f"ours, {preset}", f"{loader}, {transforms}")
                )
                least = wanted.get(loader, {}).get(preset, 1.0)
                yield Row(what, "images/s", "skyseg_tf", name, own, other, least)


if __name__ == "__main__":
    with one_line_errors("streaming.py"):
        main()
