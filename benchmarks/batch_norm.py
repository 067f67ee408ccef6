"""A training step of U2-Net-p with our batch normalization against Keras' own, in one process.

python benchmarks/batch_norm.py [--size 144 192]
"""

import argparse
import statistics
import time

import keras
import numpy as np

from skyseg_tf.losses import MaskLoss, ce_dice
from skyseg_tf.models import blocks, build_model


def step_seconds(size: tuple[int, int], steps: int = 5) -> float:
    """Median seconds of a step of batch 4 after a warm-up step."""
    keras.utils.set_random_seed(0)
    model = build_model("u2netp", 1)
    model.compile(
        "adam", loss={name: MaskLoss(ce_dice) for name in model.output}, jit_compile=False
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, *size, 3)).astype(np.float32)
    mask = rng.integers(0, 2, (4, *size, 1)).astype(np.uint8)
    masks = dict.fromkeys(model.output, mask)
    model.train_on_batch(images, masks)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        model.train_on_batch(images, masks)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Prints both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(144, 192))
    size = tuple(parser.parse_args().size)
    ours = step_seconds(size)
    blocks.BatchNormalization.call = keras.layers.BatchNormalization.call
    theirs = step_seconds(size)
    print(f"U2-Net-p training step, batch 4 at {size[0]}x{size[1]}: fused {ours * 1e3:.0f} ms, "
          f"keras.layers.BatchNormalization {theirs * 1e3:.0f} ms, ratio {theirs / ours:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
