"""Seconds from a command to its answer, in a new process, beside tools that do something alike.

    python benchmarks/cold_start.py [--rembg-python PATH] [--yolo-python PATH] [--rounds 5] [--out FILE]

The first is a Python with `rembg[cpu,cli]` from PyPI, the second one with `ultralytics`; they do not go
into one. Their help and imports are measured; what they answer of a photo is not, since both fetch
weights from the internet first.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
from compare import Row, report, take_turns

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.scenes import draw_scene
from tools.starting import environment


def seconds(command: list[str | Path]) -> float:
    """Of a command that must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment())
    return time.perf_counter() - begun


def main() -> None:
    """Prints a row per pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rembg-python", type=Path)
    parser.add_argument("--yolo-python", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    ours, rembg, yolo = Path(sys.executable), args.rembg_python, args.yolo_python
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        cv2.imwrite(str(photo), draw_scene(3, (768, 1024)).image[..., ::-1])
        skyseg = ours.with_name("skyseg")
        commands = {
            "import skyseg_tf": [ours, "-P", "-c", "import skyseg_tf"],
            "skyseg --help": [skyseg, "--help"],
            "skyseg predict photo.jpg": [
                skyseg,
                "predict",
                photo,
                "--out",
                photo.with_suffix(".png"),
            ],
        }
        if rembg:
            commands["import rembg"] = [rembg, "-c", "import rembg"]
            commands["rembg --help"] = [rembg.with_name("rembg"), "--help"]
        if yolo:
            commands["import ultralytics.YOLO"] = [yolo, "-c", "from ultralytics import YOLO"]
            commands["yolo help"] = [yolo.with_name("yolo"), "help"]
        sides = {name: partial(seconds, command) for name, command in commands.items()}
        times = take_turns(sides, args.rounds, warm=1)
    pairs = [
        ("import", "import skyseg_tf", "import rembg"),
        ("import", "import skyseg_tf", "import ultralytics.YOLO"),
        ("help", "skyseg --help", "rembg --help"),
        ("help", "skyseg --help", "yolo help"),
        ("a mask of a photo beside help alone", "skyseg predict photo.jpg", "rembg --help"),
        ("a mask of a photo beside help alone", "skyseg predict photo.jpg", "yolo help"),
    ]
    rows = [
        Row(what, "s", own, other, times[own], times[other], 1.0)
        for what, own, other in pairs
        if other in times
    ]
    report(rows, args.out)


if __name__ == "__main__":
    with one_line_errors("cold_start.py"):
        main()
