"""Training steps with our layers against the same networks with Keras' own, in one process.

    python benchmarks/own_layers.py [--size 144 192] [--batch 4]

Batch normalization: U2-Net-p, whose steps it rules. Depthwise convolutions: U-Net EfficientNet-B2
in mixed_bfloat16, where on CPUs ours compute in float32; the step in plain float32 is beside it.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np

from skyseg_tf.models import blocks, build_model
from skyseg_tf.models.networks import Recipe
from skyseg_tf.training.optimizer import compile_model


def step_seconds(name: str, size: tuple[int, int], batch: int, steps: int = 5) -> float:
    """Median seconds of a step after two for warming up."""
    keras.utils.set_random_seed(0)
    model = compile_model(build_model(name, 1), Recipe("adam"), steps=1000)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *size, 3)).astype(np.float32)
    masks = rng.integers(0, 2, (batch, *size)).astype(np.uint8)
    times = []
    for _ in range(2 + steps):
        start = time.perf_counter()
        model.train_on_batch(images, masks)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def with_keras(owner: object, name: str, theirs: Callable, measure: Callable) -> float:
    """What `measure` says while `theirs` is in place of our part."""
    ours = getattr(owner, name)
    setattr(owner, name, theirs)
    try:
        return measure()
    finally:
        setattr(owner, name, ours)


def main() -> None:
    """Prints each pair and its ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(144, 192))
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()

    def seconds(name: str, policy: str = "float32") -> float:
        keras.config.set_dtype_policy(policy)
        return step_seconds(name, tuple(args.size), args.batch)

    def u2netp() -> float:
        return seconds("u2netp")

    def unet(policy: str = "mixed_bfloat16") -> float:
        return seconds("unet_efficientnet_b2", policy)

    print(f"a training step, batch {args.batch} at {args.size[0]}x{args.size[1]}", flush=True)
    ours = u2netp()
    norm = keras.layers.BatchNormalization.call
    theirs = with_keras(blocks.BatchNormalization, "call", norm, u2netp)
    print(f"U2-Net-p: fused batch normalization {ours * 1e3:.0f} ms, "
          f"Keras' {theirs * 1e3:.0f} ms, ratio {theirs / ours:.2f}", flush=True)  # fmt: skip
    ours, plain = unet(), unet("float32")
    theirs = with_keras(blocks, "depthwise_dtype", lambda: None, unet)
    print(f"U-Net EfficientNet-B2, mixed_bfloat16: depthwise in float32 {ours * 1e3:.0f} ms, in "
          f"bfloat16 {theirs * 1e3:.0f} ms, ratio {theirs / ours:.2f}; all in float32 "
          f"{plain * 1e3:.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
