"""Masks of large photos: photos/s of `skyseg predict` on a folder of JPEGs, beside its floor.

    python benchmarks/photo_masks.py [--count 96] [--rounds 3] [--formats mask colmap overlay]
                                     [--out FILE]

The floor decodes the same photos (OpenCV, libjpeg-turbo) and writes a PNG of a mask of their size,
one photo a core: what nobody can do without, whatever marks the sky. Ours is the whole command, with
loading the model. Each has a process of its own: the command's keeps what it frees (files.memory),
the floor's is any program's. Photos of 12 and of 48 megapixels (a quarter as many): eight drawn scenes
with the noise of a sensor, which take turns under other names.
"""

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
import numpy as np
from compare import Row, report, take_turns

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.files.memory import keep_freed_memory
from skyseg_tf.images.png import write_png
from skyseg_tf.masking.photo_jobs import predict_photos
from skyseg_tf.masking.settings import PredictConfig

SIZES = {12: (3000, 4000), 48: (6000, 8000)}  # megapixels -> height, width
SCENES, WANTED = 8, 0.6


def draw_photos(folder: Path, size: tuple[int, int], count: int) -> Path:
    """Writes JPEGs; those above SCENES are links to the first ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"{index:04d}.jpg"
        if index >= SCENES:
            os.link(folder / f"{index % SCENES:04d}.jpg", path)
            continue
        scene = draw_scene(index, (750, 1000)).image[..., ::-1]
        large = cv2.resize(scene, size[::-1], interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 4, (512, 512, 3)).astype(np.float32)
        repeats = [-(-side // 512) for side in size]
        noise = np.tile(grain, (*repeats, 1))[: size[0], : size[1]]
        cv2.imwrite(str(path), cv2.add(large, noise, dtype=cv2.CV_8U))
    return folder


def floor(photos: list[Path]) -> None:
    """Decodes every photo, and encodes a mask as large."""
    height, width = cv2.imread(str(photos[0])).shape[:2]
    rows = height // 2 + (height / 20 * np.sin(np.arange(width) / 90)).astype(int)
    mask = np.where(np.arange(height)[:, None] < rows, np.uint8(255), np.uint8(0))

    def one(path: Path) -> None:
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        write_png(io.BytesIO(), mask)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, photos))


def ours(photos: list[Path], form: str) -> None:
    """The command's work on the folder that they lie in."""
    folder = photos[0].parent
    out = folder.with_name("out")
    config = PredictConfig(inputs=(str(folder),), out=str(out), format=form, quiet=True)
    assert predict_photos(config) == 0
    shutil.rmtree(out)


def timed(job: Callable[[], None]) -> float:
    """Seconds of a job."""
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def compare(photos: Path, megapixels: int, formats: list[str], rounds: int) -> list[Row]:
    """A row per format."""
    files, spawn = sorted(photos.iterdir()), get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawn, initializer=keep_freed_memory) as command,
        ProcessPoolExecutor(1, spawn) as program,
    ):

        def rate(process: ProcessPoolExecutor, job: Callable[[], None]) -> float:
            return len(files) / process.submit(timed, job).result()

        jobs = {form: partial(rate, command, partial(ours, files, form)) for form in formats}
        jobs["floor"] = partial(rate, program, partial(floor, files))
        rates = take_turns(jobs, rounds)
    what, peer = f"masks of {megapixels} megapixel JPEGs", "decode and encode"
    return [
        Row(what, "photos/s", f"--format {form}", peer, rates[form], rates["floor"], WANTED)
        for form in formats
    ]


def main() -> None:
    """Prints a row per size and format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=96, help="photos of 12 megapixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=["mask", "colmap", "overlay"])
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels, size in SIZES.items():
            count = max(2, args.count * 12 // megapixels)
            photos = draw_photos(Path(folder) / str(megapixels), size, count)
            rows += compare(photos, megapixels, args.formats, args.rounds)
    report(rows, args.out, f"OpenCV {cv2.__version__}")


if __name__ == "__main__":
    with one_line_errors("photo_masks.py"):
        main()
