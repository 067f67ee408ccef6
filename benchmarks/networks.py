"""Every network side by side: parameters, GMACs, ms of a forward pass and of a training step.

    python benchmarks/networks.py [--only NETWORK ...] [--size 256 512] [--batch-size 8]
                                  [--out docs/figures/networks.json]

With --out the figures of networks that --only leaves out stay as they are in that file.

One logit, random weights, float32, TensorFlow on all cores. Parameters: trainable, with auxiliary
heads (those of resnet_lstm grow with the image and are of --size). GMACs: multiply-accumulates of a
forward pass at 512x1024, as TensorFlow's profiler counts its graph. Forward: one image of --size (a
clip of four for resnet_lstm), the median of --repeats. Training step: --batch-size images of half
that height and width, with the network's own recipe (auxiliary heads, losses, optimizer). Each
network is measured in a process of its own, one after the other.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.files.aside import write_aside

GMAC_SIZE = (512, 1024)


def count_gmacs(model, size: tuple[int, int]) -> float:
    """Multiply-accumulates of one forward pass, in 1e9.

    Args:
      model: a Keras model of one image or clip input, of any size or of this one.
      size: (height, width).

    Returns:
      Half of the floating-point operations that TensorFlow's profiler counts in the frozen graph.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler.model_analyzer import profile
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    shape = (1, *model.input_shape[1:-3], *size, 3)
    answer = tf.function(lambda images: model(images, training=False))
    frozen = convert_variables_to_constants_v2(
        answer.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    )
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation()).with_empty_output()
    return profile(frozen.graph, options=options.build()).total_float_ops / 2e9


def median_ms(call, repeats: int) -> float:
    """Median wall time of a call after two that are not counted (tracing, first touch)."""
    times = []
    for repeat in range(repeats + 2):
        start = time.perf_counter()
        call()
        if repeat > 1:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def build(name: str, size: tuple[int, int], batch: int):
    """A network of one logit and the shape of its input."""
    from skyseg_tf.models import MODELS, build_model

    frames = (4,) if MODELS[name].sequence else ()
    network = build_model(name, 1, size=size if MODELS[name].sequence else (None, None))
    return network, (batch, *frames, *size, 3)


def measure(name: str, size: tuple[int, int], batch: int, repeats: int) -> dict:
    """The figures of one network."""
    import_tensorflow_quietly()
    import keras
    import numpy as np
    import tensorflow as tf

    from skyseg_tf.models import MODELS
    from skyseg_tf.training.optimizer import compile_model

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    network, shape = build(name, size, 1)
    image = tf.constant(rng.standard_normal(shape), tf.float32)
    forward = tf.function(lambda x: network(x, training=False)["logits"])
    row = {"network": name}
    row["parameters"] = sum(math.prod(weight.shape) for weight in network.trainable_variables)
    whole, _ = build(name, GMAC_SIZE, 1)
    row["gmacs"] = count_gmacs(keras.Model(whole.input, whole.output["logits"]), GMAC_SIZE)
    row["forward_ms"] = median_ms(lambda: forward(image).numpy(), repeats)
    half = (size[0] // 2, size[1] // 2)
    network, shape = build(name, half, batch)
    model = compile_model(network, MODELS[name].recipe, steps=1000)
    images = rng.standard_normal(shape).astype("float32")
    masks = rng.integers(0, 2, (batch, *half)).astype("uint8")
    row["step_ms"] = median_ms(lambda: model.train_on_batch(images, masks), max(repeats // 2, 3))
    return row


def keep(out: Path, size: Sequence[int], batch_size: int, found: dict[str, dict]) -> None:
    """Writes figures of networks; those of others, made with the same settings, stay in the file."""
    settings = {"size": list(size), "gmac_size": list(GMAC_SIZE), "batch_size": batch_size}
    before = json.loads(out.read_text()) if out.is_file() else {}
    others = before.pop("networks", {}) if before.items() >= settings.items() else {}
    with write_aside(out) as aside:
        aside.write_text(json.dumps(settings | {"networks": others | found}, indent=1) + "\n")


def main() -> None:
    """Prints the table, markdown; the same figures as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="networks; default: all")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 512), help="height width")
    parser.add_argument("--batch-size", type=int, default=8, help="of the training step")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="one line per network instead")
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    arguments = parser.parse_args()
    settings = (tuple(arguments.size), arguments.batch_size, arguments.repeats)
    if arguments.json:
        for name in arguments.only:
            print(json.dumps(measure(name, *settings)))
        return
    from skyseg_tf.models import MODELS

    height, width = arguments.size
    print(f"| network | parameters | GMACs at {GMAC_SIZE[0]}x{GMAC_SIZE[1]} | "
          f"forward, {height}x{width}, ms | training step of {arguments.batch_size}, "
          f"{height // 2}x{width // 2}, ms |")  # fmt: skip
    print("|---|---:|---:|---:|---:|", flush=True)
    found = {}
    for name in arguments.only or MODELS:
        flags = ["--size", *map(str, arguments.size), "--batch-size", str(arguments.batch_size)]
        flags += ["--repeats", str(arguments.repeats), "--json", "--only", name]
        done = subprocess.run([sys.executable, __file__, *flags], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-2000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        found[row.pop("network")] = {
            "parameters": row["parameters"],
            "gmacs": round(row["gmacs"], 2),
            "forward_ms": round(row["forward_ms"]),
            "step_ms": round(row["step_ms"]),
        }
        print(f"| `{name}` | {row['parameters']:,} | {row['gmacs']:.2f} | {row['forward_ms']:.0f} "
              f"| {row['step_ms']:.0f} |", flush=True)  # fmt: skip
    if arguments.out:
        keep(arguments.out, arguments.size, arguments.batch_size, found)


if __name__ == "__main__":
    main()
