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
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
import tensorflow as tf
from compare import Peer, Row, report
from keras import layers
from networks import count_gmacs

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.errors import InputError
from skyseg_tf.exporters.agreement import agreement
from skyseg_tf.exporters.formats import FORMATS
from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.images import resize_image
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import ModelFacts
from skyseg_tf.models import build_model
from skyseg_tf.runs.folder import make_saved_model

ROUNDS = 5
TARGET_RATIO, TARGET_AGREEMENT = 6.0, 0.995
PEAK_SIDE = 2048  # of the matrices whose product shows what the cores can do
SCRIPT = Path(__file__).with_name("torch_peer.py")


@dataclass
class Side:
    """A way to run the network.

    Attributes:
      name: as printed.
      measure: seconds -> milliseconds of as many inferences as fit.
      probs: (N, H, W, C) of all photos.
      times: all measurements.
      rounds: the median of each round.
    """

    name: str
    measure: Callable[[float], list[float]]
    probs: np.ndarray
    times: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)


# --- the network and its photos ---


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


def torch_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights under the published names, as models.load_torch_weights reads them."""
    body = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    rescaling = next(layer for layer in model.layers if isinstance(layer, layers.Rescaling))
    std = 1 / np.array(rescaling.scale, np.float32)
    state = {"classes": model.output_shape[-1], "std": std}
    state["mean"] = -np.array(rescaling.offset, np.float32) * std
    for layer in (layer for layer in body.layers if layer.weights):
        if isinstance(layer, layers.BatchNormalization):
            state[f"{layer.name}.weight"], state[f"{layer.name}.bias"] = layer.gamma, layer.beta
            state[f"{layer.name}.running_mean"] = layer.moving_mean
            state[f"{layer.name}.running_var"] = layer.moving_variance
        elif isinstance(layer, layers.DepthwiseConv2D):
            kernel = np.asarray(layer.kernel).transpose(2, 3, 0, 1)  # (h, w, C, m) -> (C, m, h, w)
            state[f"{layer.name}.weight"] = kernel.reshape(-1, 1, *kernel.shape[2:])
        elif isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
            state[f"{layer.name}.weight"] = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
            if layer.use_bias:
                state[f"{layer.name}.bias"] = layer.bias
    return {name: np.asarray(array) for name, array in state.items()}


# --- the rows ---


def row(name: str, infer: Callable, photos: np.ndarray) -> Side:
    """A runtime of this process; `infer` maps (1, H, W, 3) uint8 to probabilities."""

    def measure(seconds: float) -> list[float]:
        infer(photos[:1])  # the threads of the row before are put to sleep, these wake up
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            infer(photos[:1])
            times.append((time.perf_counter() - start) * 1e3)
        return times

    return Side(name, measure, np.concatenate([np.array(infer(photo[None])) for photo in photos]))


def keras_row(model: keras.Model, photos: np.ndarray) -> Side:
    """tf.function for this one size."""
    spec = tf.TensorSpec((1, *photos.shape[1:]), tf.uint8)
    graph = tf.function(
        lambda rgb: model(tf.cast(rgb, tf.float32), training=False), input_signature=[spec]
    )
    return row("Keras (tf.function)", lambda rgb: graph(tf.constant(rgb)).numpy(), photos)


def onnx_rows(write: Callable, photos: np.ndarray, threads: int) -> list[Side]:
    """ONNX Runtime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    rows = []
    for precision in ("f32", "int8"):
        session = ort.InferenceSession(
            str(write("onnx", precision)), options, providers=["CPUExecutionProvider"]
        )
        rows.append(
            row(
                f"ONNX Runtime {precision}",
                lambda rgb, session=session: session.run(None, {"rgb": rgb})[0],
                photos,
            )
        )
    return rows


def openvino_rows(write: Callable, photos: np.ndarray, threads: int) -> list[Side]:
    """OpenVINO for latency; the last row has one frame per thread under way."""
    import openvino as ov

    core, rows = ov.Core(), []

    def compiled(path: Path, hint: str, **settings):
        settings |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
        return core.compile_model(core.read_model(path), "CPU", settings)

    exact, small = write("openvino", "f32"), write("openvino", "int8")
    for name, path, hint in (
        ("f32", exact, "f32"),
        ("bf16", exact, "bf16"),
        ("int8", small, "f32"),
    ):
        request = compiled(path, hint, PERFORMANCE_HINT="LATENCY").create_infer_request()
        rows.append(
            row(
                f"OpenVINO {name}",
                lambda rgb, request=request: request.infer(
                    {0: rgb}, share_inputs=True, share_outputs=True
                )[0],
                photos,
            )
        )
    streams = compiled(small, "f32", PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS=threads)
    queue = ov.AsyncInferQueue(streams, threads)

    def measure(seconds: float) -> list[float]:
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(4 * threads):
                queue.start_async({0: photos[:1]}, share_inputs=True)
            queue.wait_all()
            times.append((time.perf_counter() - start) * 1e3 / (4 * threads))
        return times

    rows.append(Side(f"OpenVINO int8, {threads} streams", measure, rows[-1].probs))
    return rows


def litert_row(write: Callable, photos: np.ndarray, threads: int) -> Side:
    """LiteRT, integers throughout."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(write("litert", "int8")), num_threads=threads)
    interpreter.allocate_tensors()
    (entry,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = answer["quantization"]

    def infer(rgb: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(entry["index"], rgb)
        interpreter.invoke()
        return (interpreter.get_tensor(answer["index"]).astype(np.float32) - zero) * scale

    return row("LiteRT int8", infer, photos)


def torch_rows(peer: Peer, folder: Path) -> list[Side]:
    """PyTorch in a process of its own, which sleeps while the others are measured."""
    rows = []
    for mode in ("eager", "eager, channels last", "compiled", "compiled, bfloat16"):

        def measure(seconds: float, mode=mode) -> list[float]:
            return json.loads(peer.ask(mode, seconds))

        try:
            measure(0)
        except InputError as error:  # torch.compile wants a C++ compiler
            print(f"  {error}: left out", flush=True)
            break
        rows.append(Side(f"PyTorch {mode}", measure, np.load(folder / f"{mode}.npy")))
    return rows


def peak_side(model: keras.Model, size: tuple[int, int]) -> Side:
    """The network's multiplications and additions, as fast as a matrix product does them."""
    share = count_gmacs(model, size) * 1e9 / PEAK_SIDE**3
    matrix = np.ones((PEAK_SIDE, PEAK_SIDE), np.float32)

    def measure(seconds: float) -> list[float]:
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            matrix @ matrix
            times.append((time.perf_counter() - start) * 1e3 * share)
        return times

    return Side("peak of the cores", measure, np.empty(0))


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

        rows = [keras_row(model, photos), *onnx_rows(write, photos, threads)]
        rows += [*openvino_rows(write, photos, threads), litert_row(write, photos, threads)]
        if arguments.torch_python:
            given = folder / "weights.npz", folder / "photos.npy"
            np.savez(given[0], **torch_weights(model))
            np.save(given[1], photos)
            peer = Peer(arguments.torch_python, SCRIPT, name, *given, folder, threads)
            rows += torch_rows(stack.enter_context(peer), folder)
        peak = peak_side(model, size)
        for _ in range(ROUNDS):
            for each in (*rows, peak):
                time.sleep(0.2)  # idle threads of the row before spin for a while
                times = each.measure(arguments.seconds / ROUNDS)
                each.times += times
                each.rounds.append(statistics.median(times))
    wanted = rows[0].probs
    results = [
        {"network": name, "size": list(size), "row": each.name}
        | {"ms": statistics.median(each.times), "runs": len(each.times)}
        | asdict(agreement([(wanted, each.probs)]))
        for each in rows
    ]
    print_table(name, size, results)
    return list(comparisons(name, size, [*rows, peak], results))


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
    runs = {}
    for run in arguments.run:
        settings = json.loads((run / "config.json").read_text())
        told = settings.get("records")  # a packaged run has none
        runs[settings["model"]] = run, Path(told) if told else None
    results = []
    with TemporaryDirectory() as folder:
        drawn = Path(folder) / "records"
        names = [arguments.only] if arguments.only else ["bisenetv2", arguments.model]
        if not all(arguments.records or runs.get(name, (None, None))[1] for name in names):
            tree = Path(folder) / "tree"
            write_scenes(tree, 64, size=(256, 512), seed=1)
            build(
                BuildConfig(
                    out=drawn, source=tree, image_size=(128, 256), storage="uint8", quiet=True
                )
            )
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
