"""How time and memory grow with photos, pixels, classes, batch and cores.

    python benchmarks/growth.py [--rounds 3] [--out FILE]

Every measurement is a process of its own, as a user would start it: the seconds are those of the work
without the start, medians of the rounds, the memory is the process' peak resident set. 20 drawn scenes
of 512x1024 are linked under as many names as are needed: neither time nor memory knows that they look
alike. Training steps are those of `skyline` (of `bisenetv2`, which has five heads at full size, for the
classes).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
from compare import describe_machine

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.files.aside import write_aside

SCENES, SCENE = 20, (512, 1024)
PHOTOS = (20, 200, 2000)
MEGAPIXELS = (0.5, 2, 8, 32, 128)
CLASSES = (2, 19, 50, 150)
HEIGHTS = (128, 256, 512, 1024)  # twice as wide
BATCHES = (1, 2, 4, 8, 16, 32)
FEW = 200  # photos, where cores are compared
STEPS = 5


# --- what a process measures of itself: seconds of the work ---


def build_seconds(tree: str, out: str) -> float:
    """Of records of 256x512."""
    from skyseg_tf.build import BuildConfig, build
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    started = time.perf_counter()
    build(BuildConfig(out=Path(out), source=Path(tree), quiet=True))
    return time.perf_counter() - started


def stream_seconds(records: str) -> float:
    """Of an epoch of batches of 8, augmented as by default."""
    from skyseg_tf.data.augment.camera import augment
    from skyseg_tf.data.pipeline import make_dataset

    started = time.perf_counter()
    for _ in make_dataset(records, "train", 8, shuffle=True, augment=augment):
        pass
    return time.perf_counter() - started


def predict_seconds(photos: str, out: str) -> float:
    """Of masks of a folder, or of one photo."""
    from skyseg_tf.masking.photo_jobs import predict_photos
    from skyseg_tf.masking.settings import PredictConfig

    started = time.perf_counter()
    assert predict_photos(PredictConfig(inputs=(photos,), out=out, quiet=True)) == 0
    return time.perf_counter() - started


def step_seconds(name: str, classes: str, height: str, batch: str) -> float:
    """Of a training step."""
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    from training_step import make_step

    step = make_step(name, int(classes), (int(height), 2 * int(height)), int(batch), "float32")
    step()
    step()
    return statistics.median(step() for _ in range(STEPS)) / 1e3


MEASURES = {
    "build": build_seconds,
    "stream": stream_seconds,
    "predict": predict_seconds,
    "step": step_seconds,
}


def run(cores: int | None, kind: str, *words: object) -> tuple[float, float]:
    """Seconds and peak MB of a process, on the first of the cores or on all."""
    command = [sys.executable, __file__, "--measure", kind, *map(str, words)]
    there = sorted(os.sched_getaffinity(0))[:cores]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, there),
    )
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{kind}: the measured process failed with status {status}")
    return float(told.split()[-1]), usage.ru_maxrss / 1024


# --- what is measured ---


def link_tree(drawn: Path, out: Path, count: int) -> None:
    """A Cityscapes tree of `count` photos out of a smaller one."""
    pairs = [pair for pair in find_pairs(drawn) if pair.split == "train"]
    for i in range(count):
        pair, name = pairs[i % len(pairs)], f"linkstadt_{i:06d}_000019"
        for source, kind, suffix in (
            (pair.image, "leftImg8bit", "leftImg8bit"),
            (pair.mask, "gtFine", "gtFine_labelIds"),
        ):
            target = out / kind / "train" / "linkstadt" / f"{name}_{suffix}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)


def series(folder: Path) -> dict[str, dict[object, Callable]]:
    """Name of a line -> what grows -> its measurement; the photos are drawn first."""
    write_scenes(folder / "drawn", SCENES, size=SCENE, splits=(("train", 1.0),))
    for count in PHOTOS:
        link_tree(folder / "drawn", folder / f"{count}", count)
    for pixels in MEGAPIXELS:
        size = round((pixels * 1e6 / 2) ** 0.5), round((pixels * 1e6 * 2) ** 0.5)
        scene = cv2.resize(draw_scene(3, SCENE).image[..., ::-1], size[::-1])
        cv2.imwrite(str(folder / f"{pixels}.jpg"), scene)
    photos = lambda n: folder / f"{n}" / "leftImg8bit"  # noqa: E731
    build = lambda n, cores=None: run(cores, "build", folder / f"{n}", new(folder))  # noqa: E731
    records = {n: folder / f"records{n}" for n in PHOTOS}
    for n, out in records.items():
        run(None, "build", folder / f"{n}", out)
    work = {
        "build": build,
        "stream": lambda n, cores=None: run(cores, "stream", records[n]),
        "predict": lambda n, cores=None: run(cores, "predict", photos(n), new(folder)),
    }
    found = {f"photos: {name}": {n: partial(one, n) for n in PHOTOS} for name, one in work.items()}
    found["megapixels: predict, one photo"] = {
        m: partial(run, None, "predict", folder / f"{m}.jpg", new(folder)) for m in MEGAPIXELS
    }
    found["megapixels: training step of 2"] = {
        2 * h * h / 1e6: partial(run, None, "step", "skyline", 2, h, 2) for h in HEIGHTS
    }
    found["classes: training step of 8, 128x256"] = {
        c: partial(run, None, "step", "bisenetv2", c, 128, 8) for c in CLASSES
    }
    found["batch: training step, 128x256"] = {
        b: partial(run, None, "step", "skyline", 2, 128, b) for b in BATCHES
    }
    for name, one in work.items():
        found[f"cores: {name}, {FEW} photos"] = {c: partial(one, FEW, c) for c in _cores()}
    found["cores: training step of 8, 128x256"] = {
        c: partial(run, c, "step", "skyline", 2, 128, 8) for c in _cores()
    }
    return found


def _cores() -> list[int]:
    most = len(os.sched_getaffinity(0))
    return [1 << n for n in range(most.bit_length()) if 1 << n <= most]


def new(folder: Path) -> Path:
    """A folder that is not there yet."""
    return Path(tempfile.mkdtemp(dir=folder)) / "out"


def main() -> None:
    """Prints a line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(MEASURES[args.measure[0]](*args.measure[1:]))
        return
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, points in series(Path(folder)).items():
            line = {"name": name, "x": [], "seconds": [], "peak_mb": []}
            for x, measure in points.items():
                taken = [measure() for _ in range(args.rounds)]
                seconds, peak = (statistics.median(part) for part in zip(*taken, strict=True))
                print(f"{name:<45}{x:>8.5g}{seconds:9.3f} s{peak:8.0f} MB", flush=True)
                for key, value in (("x", x), ("seconds", seconds), ("peak_mb", peak)):
                    line[key].append(round(value, 4))
            lines.append(line)
    if args.out:
        with write_aside(args.out) as aside:
            figures = {"machine": describe_machine(), "rounds": args.rounds, "lines": lines}
            aside.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors("growth.py"):
        main()
