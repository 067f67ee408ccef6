"""Edges of masks at full size: our refinement, the fast guided filter and bilinear enlargement.

python benchmarks/refine.py [--seeds 1 2 5 13] [--size 1024 2048] [--factor 4]

On drawn scenes with exact labels. The coarse prediction is simulated from the truth: shrunk by
area, blurred, its outline moved by smooth noise, and steepened, so that things thinner than one of
its pixels are lost.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
import numpy as np

from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.labels import IGNORE, LABEL_ID
from skyseg_tf.masking.refine import refine
from skyseg_tf.scoring import metrics

TOLERANCES = (1, 2, 4)
LAST_VOID = 3  # labelIds up to it are no part of the scene


def coarse_prediction(truth: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool -> (H / factor, W / factor) float32 in 0-1."""
    size = truth.shape[1] // factor, truth.shape[0] // factor
    small = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2)
    noise = rng.normal(size=(max(1, size[1] // 8), max(1, size[0] // 8))).astype(np.float32)
    noise = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return 1 / (1 + np.exp(-8 * (small - 0.5 + 0.12 * noise)))


def bilinear(image: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Enlargement that does not look at the photo."""
    return cv2.resize(probs, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def fast_guided_filter(image: np.ndarray, probs: np.ndarray, radius=8, ridge=1e-4) -> np.ndarray:
    """He and Sun, arXiv 1505.00996, with a grey guide, coefficients at the size of `probs`."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = cv2.resize(grey, probs.shape[::-1], interpolation=cv2.INTER_AREA)
    mean_i, mean_p = mean(small), mean(probs)
    a = (mean(small * probs) - mean_i * mean_p) / (mean(small * small) - mean_i**2 + ridge)
    b = mean_p - a * mean_i
    return np.clip(bilinear(image, mean(a)) * grey + bilinear(image, mean(b)), 0, 1)


METHODS = {"bilinear": bilinear, "fast guided filter": fast_guided_filter, "refine": refine}


def main() -> None:
    """Prints sky IoU, boundary F and seconds of each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 5, 13))
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048))
    parser.add_argument("--factor", type=int, default=4)
    flags = parser.parse_args()
    matrices = {name: np.zeros((2, 2), np.int64) for name in METHODS}
    counts = {(name, t): np.zeros(4, np.int64) for name in METHODS for t in TOLERANCES}
    seconds = {name: [] for name in METHODS}
    for index, seed in enumerate(flags.seeds):
        scene = draw_scene(seed, tuple(flags.size))
        is_sky = scene.label_ids == LABEL_ID["sky"]
        truth = np.where(scene.label_ids <= LAST_VOID, IGNORE, is_sky).astype(np.uint8)
        probs = coarse_prediction(is_sky, flags.factor, np.random.default_rng(index))
        for name, method in METHODS.items():
            start = time.perf_counter()
            pred = (method(scene.image, probs) >= 0.5).astype(np.uint8)
            seconds[name].append(time.perf_counter() - start)
            matrices[name] += metrics.confusion_matrix(truth, pred, 2)
            for t in TOLERANCES:
                counts[name, t] += metrics.boundary_counts(truth, pred, 1, t)
    print(
        f"{len(flags.seeds)} scenes of {flags.size[0]}x{flags.size[1]}, prediction 1/{flags.factor}"
    )
    for name in METHODS:
        edges = "  ".join(f"{t} px {metrics.boundary_f(counts[name, t]):.3f}" for t in TOLERANCES)
        print(f"{name:<20} sky IoU {metrics.iou(matrices[name])[1]:.4f}  boundary F {edges}  "
              f"{1e3 * np.median(seconds[name]):.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
