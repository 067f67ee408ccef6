"""The sides of benchmarks/runtimes.py: a network in every runtime, with its masks and how long it takes."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from compare import Peer
from keras import layers
from networks import count_gmacs

from skyseg_tf.errors import InputError

PEAK_SIDE = 2048  # of the matrices whose product shows what the cores can do


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


def repeated(work: Callable[[], object], seconds: float, share: float = 1.0) -> list[float]:
    """Milliseconds of each call, as many as fit but one at least; `share` of a call is an inference."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3 * share)
    return times


def local_side(name: str, infer: Callable, photos: np.ndarray) -> Side:
    """A runtime of this process; `infer` maps (1, H, W, 3) uint8 to probabilities."""

    def measure(seconds: float) -> list[float]:
        infer(photos[:1])  # the threads of the row before are put to sleep, these wake up
        return repeated(lambda: infer(photos[:1]), seconds)

    return Side(name, measure, np.concatenate([np.array(infer(photo[None])) for photo in photos]))


def keras_side(model: keras.Model, photos: np.ndarray) -> Side:
    """tf.function for this one size."""
    spec = tf.TensorSpec((1, *photos.shape[1:]), tf.uint8)
    graph = tf.function(
        lambda rgb: model(tf.cast(rgb, tf.float32), training=False), input_signature=[spec]
    )
    return local_side("Keras (tf.function)", lambda rgb: graph(tf.constant(rgb)).numpy(), photos)


def onnx_sides(write: Callable, photos: np.ndarray, threads: int) -> list[Side]:
    """ONNX Runtime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    sides = []
    for precision in ("f32", "int8"):
        session = ort.InferenceSession(
            str(write("onnx", precision)), options, providers=["CPUExecutionProvider"]
        )
        sides.append(
            local_side(
                f"ONNX Runtime {precision}",
                lambda rgb, session=session: session.run(None, {"rgb": rgb})[0],
                photos,
            )
        )
    return sides


def openvino_sides(write: Callable, photos: np.ndarray, threads: int) -> list[Side]:
    """OpenVINO for latency; the last row has one frame per thread under way."""
    import openvino as ov

    core, sides = ov.Core(), []

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
        sides.append(
            local_side(
                f"OpenVINO {name}",
                lambda rgb, request=request: request.infer(
                    {0: rgb}, share_inputs=True, share_outputs=True
                )[0],
                photos,
            )
        )
    streams = compiled(small, "f32", PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS=threads)
    queue = ov.AsyncInferQueue(streams, threads)

    def burst() -> None:
        for _ in range(4 * threads):
            queue.start_async({0: photos[:1]}, share_inputs=True)
        queue.wait_all()

    def measure(seconds: float) -> list[float]:
        return repeated(burst, seconds, 1 / (4 * threads))

    sides.append(Side(f"OpenVINO int8, {threads} streams", measure, sides[-1].probs))
    return sides


def litert_side(write: Callable, photos: np.ndarray, threads: int) -> Side:
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

    return local_side("LiteRT int8", infer, photos)


def torch_sides(peer: Peer, folder: Path) -> list[Side]:
    """PyTorch in a process of its own, which sleeps while the others are measured."""
    sides = []
    for mode in ("eager", "eager, channels last", "compiled", "compiled, bfloat16"):

        def measure(seconds: float, mode=mode) -> list[float]:
            return json.loads(peer.ask(mode, seconds))

        try:
            measure(0)
        except InputError as error:  # torch.compile wants a C++ compiler
            print(f"  {error}: left out", flush=True)
            break
        sides.append(Side(f"PyTorch {mode}", measure, np.load(folder / f"{mode}.npy")))
    return sides


def peak_side(model: keras.Model, size: tuple[int, int]) -> Side:
    """The network's multiplications and additions, as fast as a matrix product does them."""
    share = count_gmacs(model, size) * 1e9 / PEAK_SIDE**3
    matrix = np.ones((PEAK_SIDE, PEAK_SIDE), np.float32)

    def measure(seconds: float) -> list[float]:
        return repeated(lambda: matrix @ matrix, seconds, share)

    return Side("peak of the cores", measure, np.empty(0))


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
