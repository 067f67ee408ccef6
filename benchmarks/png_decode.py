"""Milliseconds to decode a PNG: ours (images.png), Pillow, OpenCV, and the libpng of imagecodecs.

    python benchmarks/png_decode.py [--size 1024 2048] [--rounds 15]

A drawn street photo (RGB), its mask (grey), and a photo with the noise of a sensor, compressed as
Pillow does by default. The decoders take turns, and the processor's time is counted;
medians over rounds. Every decoder must give the same pixels first.
"""

import argparse
import io
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
import numpy as np
from imagecodecs import png_decode
from PIL import Image

from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.images.png import decode_png


def encode(array: np.ndarray) -> bytes:
    """A PNG of Pillow's default compression."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def draw_pictures(size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) or (H, W) uint8."""
    scene = draw_scene(3, size)
    noise = np.random.default_rng(0).normal(0, 4, scene.image.shape)
    noisy = np.clip(scene.image + noise, 0, 255).astype(np.uint8)
    return {"photo": scene.image, "photo with noise": noisy, "mask": scene.label_ids}


def decode_with_pillow(content: bytes) -> np.ndarray:
    """As images.decoders reads what is no plain PNG."""
    return np.asarray(Image.open(io.BytesIO(content)))


def decode_with_opencv(content: bytes) -> np.ndarray:
    """libpng with zlib."""
    color = content[25] == 2  # the header's color type
    flag = cv2.IMREAD_COLOR_RGB if color else cv2.IMREAD_GRAYSCALE
    return cv2.imdecode(np.frombuffer(content, np.uint8), flag)


DECODERS = {  # name -> function from the bytes of a PNG to its pixels
    "ours": decode_png,
    "pillow": decode_with_pillow,
    "opencv": decode_with_opencv,
    "libpng": png_decode,
}


def measure(content: bytes, wanted: np.ndarray, rounds: int) -> dict[str, float]:
    """Median milliseconds of each decoder."""
    times = {name: [] for name in DECODERS}
    for name, decode in DECODERS.items():
        assert np.array_equal(decode(content), wanted), name
    for _ in range(rounds):
        for name, decode in DECODERS.items():
            start = time.process_time()
            decode(content)
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Prints the table."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--size", type=int, nargs=2, default=(1024, 2048), metavar=("H", "W"))
    flags.add_argument("--rounds", type=int, default=15)
    given = flags.parse_args()
    print(f"{'picture':<18}{'MB':>6}" + "".join(f"{name:>13}" for name in DECODERS))
    for name, picture in draw_pictures(tuple(given.size)).items():
        content = encode(picture)
        times = measure(content, picture, given.rounds)
        row = "".join(f"{value:>10.1f} ms" for value in times.values())
        print(f"{name:<18}{len(content) / 1e6:>6.2f}{row}")


if __name__ == "__main__":
    main()
