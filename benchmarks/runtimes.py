"""One network in every runtime, side by side: ms, fps, and whether the masks are still the same.

    python benchmarks/runtimes.py [--run RUN ...] [--torch-python PATH] [--out FILE]

BiSeNetV2 and --model at 256x512 and 512x1024, uint8 RGB in, probabilities out, batch 1, the same
weights and photos in each row. Weights come from --run (a run of that network); otherwise the
network is trained for --train-seconds on scenes that are drawn here: int8 needs weights and batch
statistics that have settled to mean anything. Rounds are interleaved, so that a busy moment of the
machine hits all rows alike; ms is the median over all rounds, agreement the share of pixels with
the class that Keras gives in float32. The last comparison of a network and size is with the peak:
the time its multiplications and additions would take at the rate of a large matrix product on the
same cores, measured in the same rounds. PyTorch (another Python, --torch-python) is never a
dependency: without it its rows are left out.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
import tensorflow as tf
from compare import Peer, Row, report
from runtimes_sides import (
    Side,
    keras_side,
    litert_side,
    onnx_sides,
    openvino_sides,
    peak_side,
    torch_sides,
    torch_weights,
)

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.exporters.agreement import agreement
from skyseg_tf.exporters.formats import FORMATS
from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.images import resize_image
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import ModelFacts
from skyseg_tf.models import build_model
from skyseg_tf.runs.model_file import make_saved_model

ROUNDS = 5
SCRIPT = Path(__file__).with_name("torch_peer.py")
TARGET_RATIO, TARGET_AGREEMENT = 6.0, 0.995


# --- the network and its photos ---


def runs_by_network(runs: list[Path]) -> dict[str, tuple[Path, Path | None]]:
    """Network -> its run and the records of that; None where it names none, as a packaged run does."""
    found = {}
    for run in runs:
        settings = json.loads((run / "config.json").read_text())
        records = settings.get("records")
        found[settings["model"]] = run, Path(records) if records else None
    return found


def draw_records(records: Path) -> None:
    """Draws scenes, and builds records of them."""
    tree = records.with_name("tree")
    write_scenes(tree, 64, size=(256, 512), seed=1)
    build(BuildConfig(out=records, source=tree, image_size=(128, 256), storage="uint8", quiet=True))


def settled(name: str, records: Path, seconds: float) -> keras.Model:
    """A network trained on drawn scenes for some seconds."""
    keras.utils.set_random_seed(0)
    network = build_model(name, 1)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(2e-3), dict.fromkeys(network.output, loss))
    end, epoch, steps = time.time() + seconds, 0, 0
    while time.time() < end:
        for images, masks in make_dataset(records, "train", 8, shuffle=True, epoch=epoch):
            sky = tf.cast(masks[..., None] == 1, tf.float32)
            network.train_on_batch(images, dict.fromkeys(network.output, sky))
            steps += 1
            if time.time() > end:
                break
        epoch += 1
    print(f"{name}: {steps} steps on drawn scenes", flush=True)
    return make_saved_model(network, read_manifest(records).rgb_stats)


def read_photos(records: Path, split: str, count: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 at the records' size."""
    stats = read_manifest(records).rgb_stats
    pairs = make_dataset(records, split, 1, shuffle=True).take(count)
    return [denormalize(image[0].numpy(), stats) for image, _ in pairs]


# --- the measurement ---


def compare(
    name: str, model: keras.Model, size, calibration, photos, arguments: argparse.Namespace
) -> list[Row]:
    """Measures all sides of one network and size and prints their table."""
    resized = [
        [resize_image(photo, size)[None] for photo in group] for group in (calibration, photos)
    ]
    calibration, photos = resized[0], np.concatenate(resized[1])
    facts = ModelFacts(name, SCHEMES["sky"], working_size=size)
    threads = arguments.threads
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))

        def write(form: str, precision: str) -> Path:
            path = folder / FORMATS[form].name.format(precision=precision, size="")
            FORMATS[form].write(ExportJob(model, facts, precision, path, calibration))
            return path

        sides = [keras_side(model, photos), *onnx_sides(write, photos, threads)]
        sides += [*openvino_sides(write, photos, threads), litert_side(write, photos, threads)]
        if arguments.torch_python:
            given = folder / "weights.npz", folder / "photos.npy"
            np.savez(given[0], **torch_weights(model))
            np.save(given[1], photos)
            peer = Peer(arguments.torch_python, SCRIPT, name, *given, folder, threads)
            sides += torch_sides(stack.enter_context(peer), folder)
        peak = peak_side(model, size)
        measure_by_turns([*sides, peak], arguments.seconds)
    wanted = sides[0].probs
    results = [
        {"network": name, "size": list(size), "row": side.name}
        | {"ms": statistics.median(side.times), "runs": len(side.times)}
        | asdict(agreement([(wanted, side.probs)]))
        for side in sides
    ]
    print_table(name, size, results)
    return list(comparisons(name, size, [*sides, peak], results))


def measure_by_turns(sides: list[Side], seconds: float) -> None:
    """Fills the times of all sides, each of which gets so many seconds in all."""
    for _ in range(ROUNDS):
        for side in sides:
            time.sleep(0.2)  # idle threads of the side before spin for a while
            times = side.measure(seconds / ROUNDS)
            side.times += times
            side.rounds.append(statistics.median(times))


def stands_for_us(result: dict) -> bool:
    """Whether a row may stand beside PyTorch's: one picture at a time, and the masks of Keras."""
    of_others = result["row"].startswith("PyTorch") or result["row"].endswith(" streams")
    return not of_others and 1 - result["changed"] >= TARGET_AGREEMENT


def comparisons(name: str, size, sides: list[Side], results: list[dict]) -> Iterator[Row]:
    """The fastest of ours that agrees, beside PyTorch and the peak of the cores."""
    names = {result["row"] for result in results if stands_for_us(result)}
    ours = (side for side in sides if side.name in names)
    best = min(ours, key=lambda side: statistics.median(side.rounds))
    aims = {"PyTorch eager": TARGET_RATIO, "peak of the cores": 0.0}
    ms = {result["row"]: result["ms"] for result in results}
    for side in sides:
        if side.name.endswith("bfloat16") and ms[side.name] > ms["PyTorch compiled"]:
            continue  # of a processor without such instructions, it says nothing about PyTorch
        if side.name.startswith("PyTorch") or side.name in aims:
            what = f"inference of {name}, {size[0]}x{size[1]}"
            wanted = aims.get(side.name, 1.0)
            yield Row(what, "ms", best.name, side.name, best.rounds, side.rounds, wanted)


def print_table(name: str, size, results: list[dict]) -> None:
    """A markdown table, and how the best of ours stands beside PyTorch."""
    eager = next((r["ms"] for r in results if r["row"] == "PyTorch eager"), None)
    print(f"\n{name}, {size[0]}x{size[1]}\n")
    print("| runtime | ms | fps | x PyTorch eager | pixels as Keras f32 | max dp |")
    print("|---|---:|---:|---:|---:|---:|")
    for r in results:
        ratio = f"{eager / r['ms']:.2f}" if eager else "-"
        print(f"| {r['row']} | {r['ms']:.1f} | {1000 / r['ms']:.1f} | {ratio} | "
              f"{100 * (1 - r['changed']):.3f} % | {r['max_dp']:.2g} |")  # fmt: skip
    ours = [r for r in results if stands_for_us(r)]
    if eager and ours:
        best = min(ours, key=lambda r: r["ms"])
        print(f"\nbest with {100 * TARGET_AGREEMENT:g} % agreement: {best['row']}, "
              f"{eager / best['ms']:.2f}x PyTorch eager (target on bisenetv2 512x1024: "
              f"{TARGET_RATIO:g}x)", flush=True)  # fmt: skip


def main() -> None:
    """Prints one table per network and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", default=[], help="trained network")
    parser.add_argument("--model", default="skyline_lite0", help="the network beside BiSeNetV2")
    parser.add_argument("--only", help="one network instead of both")
    parser.add_argument("--size", type=int, nargs=2, action="append", help="height width")
    parser.add_argument("--records", type=Path, help="photos; default: scenes drawn here")
    parser.add_argument("--photos", type=int, default=8, help="for the agreement")
    parser.add_argument("--calibration-photos", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10, help="per row")
    parser.add_argument("--train-seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch-python", help="a Python that has torch")
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    if not arguments.torch_python:
        print("no --torch-python: PyTorch's rows are left out")
    runs = runs_by_network(arguments.run)
    results = []
    with TemporaryDirectory() as folder:
        drawn = Path(folder) / "records"
        names = [arguments.only] if arguments.only else ["bisenetv2", arguments.model]
        if not all(arguments.records or runs.get(name, (None, None))[1] for name in names):
            draw_records(drawn)
        for name in names:
            run, records = runs.get(name, (None, None))
            records = arguments.records or records or drawn
            model = (
                keras.models.load_model(run / "model.keras", compile=False)
                if run
                else settled(name, records, arguments.train_seconds)
            )
            calibration = read_photos(records, "train", arguments.calibration_photos)
            photos = read_photos(records, "val", arguments.photos)
            for size in arguments.size or [(256, 512), (512, 1024)]:
                results += compare(name, model, tuple(size), calibration, photos, arguments)
    report(results, arguments.out, f"TensorFlow {tf.__version__}")


if __name__ == "__main__":
    with one_line_errors("runtimes.py"):
        main()
