"""Peak memory of building and of streaming at 100 and at 1000 photos of 2048x1024.

    python benchmarks/memory.py

Each measurement is a process of its own; the figure is its peak resident set. 20 drawn scenes are
linked under as many names as are needed: memory does not know that they look alike.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.scan import find_pairs

BUILD = """
import sys; from pathlib import Path; from skyseg_tf.build import BuildConfig, build
build(BuildConfig(out=Path(sys.argv[2]), source=Path(sys.argv[1]), quiet=True))
"""
STREAM = """
import sys; from skyseg_tf.data.pipeline import make_dataset; from skyseg_tf.data.augment.camera import augment
for epoch in range(2):
    for batch in make_dataset(sys.argv[2], "train", 8, shuffle=True, epoch=epoch, augment=augment): pass
"""


def peak(code: str, *args: object) -> float:
    """Peak resident set of a Python process, in MB."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, args)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the measured process failed with status {status}")
    return usage.ru_maxrss / 1024


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


def main() -> None:
    """Prints a line per stage."""
    folder = Path(tempfile.mkdtemp())
    try:
        write_scenes(folder / "drawn", 20, splits=(("train", 1.0),))
        peaks = {"build": [], "stream": []}
        for count in (100, 1000):
            link_tree(folder / "drawn", folder / str(count), count)
            for stage, code in (("build", BUILD), ("stream", STREAM)):
                peaks[stage].append(peak(code, folder / str(count), folder / f"records{count}"))
        for stage, (small, large) in peaks.items():
            print(
                f"{stage:<8}{small:7.0f} MB at 100 photos {large:7.0f} MB at 1000   x{large / small:.2f}"
            )
        print(
            f"(this process itself: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB)"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
