"""Does `skyseg predict clip.mp4` end, every time? Real starts of the command on a busy machine.

    python benchmarks/starts.py [--count 200] [--load 2] [--seconds 120] [--backend B]

A drawn clip of ten frames, a new process for each start, and beside them processes that only keep
the processor busy: two threads that meet at a runtime's first call meet there by chance, more often
where they are interrupted. A start that takes longer than `--seconds` counts as hung.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import av
import numpy as np

from tools.starting import skyseg

SIZE, FRAMES = (64, 64), 10


def draw_clip(path: Path) -> Path:
    """Writes sky over ground, with a tower that walks."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((*SIZE, 3), (120, 170, 250), np.uint8)
            picture[32:] = picture[16:, 4 * index : 4 * index + 8] = (60, 70, 40)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def start(source: Path, target: Path, flags: list[str], seconds: float) -> float | None:
    """Seconds of one start; None if it hung.

    Raises:
      CalledProcessError: it failed.
    """
    command = skyseg("predict", source, "--out", target, "--quiet", *flags)
    begun = time.perf_counter()
    try:
        subprocess.run(**command, check=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - begun


def main() -> int:
    """Prints how many hung; the exit status is 1 if any did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--load", type=int, default=2, help="busy processes beside it")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--backend", default=None, help="default: the faster one, by a trial")
    args = parser.parse_args()
    flags = ["--backend", args.backend] if args.backend else []
    taken: list[float | None] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for _ in range(args.load):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        source = draw_clip(folder / "clip.mp4")
        for index in range(args.count):
            target = folder / f"{index}.mp4"
            taken.append(start(source, target, flags, args.seconds))
            if taken[-1] is None:
                print(f"start {index + 1} hung", flush=True)
            else:
                target.unlink()
    ended = [seconds for seconds in taken if seconds is not None]
    print(
        f"{args.count} starts beside {args.load} busy processes: {taken.count(None)} hung"
        + (f"; the others took {median(ended):.1f} s, {max(ended):.1f} at most" if ended else "")
    )
    return int(None in taken)


if __name__ == "__main__":
    sys.exit(main())
