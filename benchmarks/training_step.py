"""A training step of every network beside the same network in PyTorch.

    python benchmarks/training_step.py --torch-python PATH [--only NETWORK ...] [--size 128 256]
                                       [--batch 8] [--rounds 5] [--precisions float32 bfloat16]
                                       [--compiled] [--out FILE]

Both sides: the same batch, 19 classes, the same heads and losses at full size, the same optimizer, in
float32 and bfloat16 (PyTorch's autocast, channels last), on all cores; the running confusion matrix
that a training shows is part of our step. Each side's faster precision counts. The steps take
turns. Without AMX or AVX-512 bfloat16 is several times slower on both sides: leave it out there by
--precisions float32. With --compiled XLA and torch.compile are tried as well (they compile for minutes).

KERAS_BACKEND=jax measures JAX. Where there is a GPU both sides use it; ten minutes are enough for
    --only u2net deeplabv3_xception --size 512 1024 --batch 4
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
from compare import Peer, Row, report, take_turns

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.models import MODELS, build_model
from skyseg_tf.training.optimizer import compile_model

CLASSES = 19
SCRIPT = Path(__file__).with_name("step_peer.py")
PUBLISHED = (
    "u2net",
    "u2netp",
    "deeplabv3_xception",
    "bisenetv2",
    "pspnet",
    "resnet_lstm",
    "unet_efficientnet_b2",
    "skynet",
)
COMPILED = ", compiled"
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def make_step(
    name: str, classes: int, size: tuple[int, int], batch: int, mode: str
) -> Callable[[], float]:
    """A function that takes one step of ours and returns its milliseconds."""
    keras.config.set_dtype_policy(POLICIES[mode.removesuffix(COMPILED)])
    keras.utils.set_random_seed(0)
    sequence = MODELS[name].sequence
    network = build_model(name, classes, size=size if sequence else (None, None))
    recipe, xla = MODELS[name].recipe, mode.endswith(COMPILED)
    model = compile_model(network, recipe, steps=1000, xla=xla)
    keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    frames = (4,) if sequence else ()
    images = rng.standard_normal((batch, *frames, *size, 3))
    images = keras.ops.convert_to_tensor(images, "float32")
    masks = keras.ops.convert_to_tensor(rng.integers(0, classes, (batch, *size)), "uint8")

    def step() -> float:
        begun = time.perf_counter()
        model.train_on_batch(images, masks)
        return 1e3 * (time.perf_counter() - begun)

    return step


def compare(name: str, args: argparse.Namespace) -> Row:
    """The faster precision of ours beside the faster mode of the peer."""
    size, recipe = tuple(args.size), MODELS[name].recipe
    asked = [name, CLASSES, args.batch, *size, recipe.loss[1], recipe.optimizer, os.cpu_count()]
    modes = [*args.precisions, *(mode + COMPILED for mode in args.precisions if args.compiled)]
    with Peer(args.torch_python, SCRIPT, *asked) as peer:
        sides = {f"ours {mode}": make_step(name, CLASSES, size, args.batch, mode) for mode in modes}
        sides |= {f"PyTorch {mode}": lambda mode=mode: float(peer.ask(mode)) for mode in modes}
        times = take_turns(sides, args.rounds, warm=2)
    for side, values in times.items():
        print(f"{name:<22}{side:<28}{statistics.median(values):8.0f} ms", flush=True)
    ours, theirs = (
        min(
            (side for side in times if side.startswith(who)),
            key=lambda s: statistics.median(times[s]),
        )
        for who in ("ours", "PyTorch")
    )
    what = f"training step of {name}"
    return Row(what, "ms", ours.removeprefix("ours "), theirs, times[ours], times[theirs])


def main() -> None:
    """Prints all modes, and a row per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", type=Path, required=True, help="a Python with torch")
    parser.add_argument("--only", nargs="+", choices=PUBLISHED, default=PUBLISHED)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256), help="height width")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    rows = []
    for name in args.only:
        rows.append(compare(name, args))
        keras.backend.clear_session()
    ask = "import torch; print('PyTorch', torch.__version__.split('+')[0])"
    torch = subprocess.run([args.torch_python, "-c", ask], capture_output=True, text=True)
    backend = keras.backend.backend()
    report(rows, args.out, f"{backend} {version(backend)}, {torch.stdout.strip()}")


if __name__ == "__main__":
    with one_line_errors("training_step.py"):
        main()
