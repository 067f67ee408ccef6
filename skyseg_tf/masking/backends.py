"""One loader per runtime: LOADERS, each from a model file to a Runtime."""

import json
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES, LabelScheme
from skyseg_tf.masking.model_facts import METADATA_PREFIX, ModelFacts, sha256_of
from skyseg_tf.masking.onnx_file import read_metadata, read_weights

_ROUNDING = 1e-2  # of a probability in float16 or in eight bits


class Runtime:
    """A model that is ready to run; made by `load_runtime`. Calls from more threads queue up.

    Attributes:
      backend: one of BACKENDS.
      streams: how many calls it works on at the same time.
      path: the model file.
      facts: everything the file says; the most used are attributes here too.
      network: the keras.Model that it runs; None in the other backends.
      name, scheme, threshold, working_size, frames: see ModelFacts.
      class_names, colors: of the scheme.
    """

    def __init__(
        self, backend: str, path: Path, facts: ModelFacts, infer: Callable, batch=None, streams=1,
        network=None,
    ):  # fmt: skip
        """Wraps `infer`: float32 (batch or any B, ...) -> (B, H, W, C); `streams` may call it."""
        self.network = network
        self.backend, self.path, self.facts = backend, path, facts
        self.name, self.scheme = facts.name, facts.scheme
        self.class_names, self.colors = facts.scheme.class_names, facts.scheme.colors
        self.threshold, self.working_size = facts.threshold, facts.working_size
        self.frames, self.streams = facts.frames, streams
        self._infer, self._batch, self._free = infer, batch, threading.Semaphore(streams)

    @property
    def sky_channel(self) -> int | None:
        """Which channel of the probabilities is sky; None for a model that does not know it."""
        return self.scheme.sky_channel

    @property
    def channels(self) -> int:
        """Of the probabilities: 1 for sky or not sky, else one per class."""
        return self.scheme.num_logits

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to which a photo is shrunk or enlarged for the network.

        A fixed size where the model has one. Else the long side becomes `facts.long_side`, more
        for a panorama, so that the short side keeps half of it; both are rounded to multiples of
        the divisor, by which the aspect changes a little.
        """
        if self.working_size:
            return self.working_size
        long_side, divisor = self.facts.long_side, self.facts.divisor
        scale = long_side / max(height, width)
        scale *= min(4, max(1, long_side / 2 / (min(height, width) * scale)))
        return tuple(max(1, round(side * scale / divisor)) * divisor for side in (height, width))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of a batch.

        Args:
          images: (B, H, W, 3), or clips (B, T, H, W, 3) for a model of T frames; RGB 0-255, uint8
            or float, at `working_size` or at multiples of `facts.divisor`, as `size_for` gives it.

        Returns:
          (B, H, W, C) float32 in 0-1: sky for C = 1, else summing to 1 over the classes.

        Raises:
          InputError: a shape that the model cannot take, or an answer that is no probability.
        """
        self._check(images.shape)
        return self.infer(images)

    def infer(self, images: np.ndarray) -> np.ndarray:
        """As a call, at any size that the network itself can take."""
        images = np.ascontiguousarray(images, np.float32)
        step = self._batch or len(images)
        with self._free:
            parts = [
                np.asarray(self._infer(images[i : i + step]), np.float32)
                for i in range(0, len(images), step)
            ]
        probs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._check_answer(probs)
        return probs

    def _check(self, shape: tuple[int, ...]) -> None:
        clip = self.frames > 1
        if len(shape) != 4 + clip or shape[-1] != 3 or (clip and shape[1] != self.frames):
            wanted = f"(B, {self.frames}, H, W, 3)" if clip else "(B, H, W, 3)"
            raise InputError(f"{self.name}: takes {wanted}, this is {shape}")
        size, divisor = tuple(shape[-3:-1]), self.facts.divisor
        if self.working_size and size != self.working_size:
            raise InputError(
                f"{self.name}: is fixed to {self.working_size}, this is {size}; resize the photos"
            )
        if not self.working_size and any(side % divisor or not side for side in size):
            raise InputError(
                f"{self.name}: sizes must be multiples of {divisor}, this is {size}; resize the "
                "photos to `size_for` theirs"
            )

    def _check_answer(self, probs: np.ndarray) -> None:
        if probs.ndim != 4 or probs.shape[-1] != self.channels:
            raise InputError(
                f"{self.path}: gives an array of {probs.shape} for {self.channels} channel(s) of "
                f"{', '.join(self.class_names)}; it is no export of `skyseg export`"
            )
        if not (probs.min() >= -_ROUNDING and probs.max() <= 1 + _ROUNDING):  # NaN is neither
            raise InputError(
                f"{self.path}: gives values outside 0-1 or no numbers, so no probabilities: its "
                "weights are damaged, or it lacks the final activation; train or export it again"
            )


# --- (path, threads, streams) -> Runtime ---


def _load_onnxruntime(path: Path, threads: int | None, streams: int) -> Runtime:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if streams > 1:
        threads = max(1, (threads or os.cpu_count()) // streams)
    options.intra_op_num_threads = threads or 0
    known = ort.get_available_providers()
    providers = [
        name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known
    ]
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise not_loaded(path, "onnxruntime", error) from None
    facts = ModelFacts.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    entry = session.get_inputs()[0]
    as_bytes = entry.type == "tensor(uint8)"

    def infer(images: np.ndarray) -> np.ndarray:
        feed = images.astype(np.uint8) if as_bytes else images
        return session.run(None, {entry.name: feed})[0]

    return Runtime("onnxruntime", path, facts, infer, _fixed(entry.shape[0]), streams)


def _load_openvino(path: Path, threads: int | None, streams: int) -> Runtime:
    import openvino as ov

    # Its default computes in bfloat16 where the CPU can: up to 0.12 off.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if streams > 1:  # a stream that is bound to a core stands still while a decoder has it
        settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": streams}
        settings |= {"ENABLE_CPU_PINNING": False}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    try:
        core = ov.Core()
        network = core.read_model(path)
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as error:
        raise not_loaded(path, "OpenVINO", error) from None
    if path.suffix == ".onnx":  # OpenVINO drops its metadata
        metadata = read_metadata(path)
    else:
        metadata = {key: str(value.value) for key, value in network.get_rt_info().items()
                    if key.startswith(METADATA_PREFIX)}  # fmt: skip
    facts = ModelFacts.from_metadata(metadata, path)
    port = compiled.input(0)
    as_bytes = port.element_type == ov.Type.u8
    batch = port.partial_shape[0]
    requests = queue.SimpleQueue()
    for _ in range(streams):
        requests.put(compiled.create_infer_request())

    def infer(images: np.ndarray) -> np.ndarray:
        request = requests.get()
        try:
            answer = request.infer(
                images.astype(np.uint8) if as_bytes else images,
                share_inputs=True,
                share_outputs=True,
            )
            return np.array(answer[0])
        finally:
            requests.put(request)

    fixed = batch.get_length() if batch.is_static else None
    return Runtime("openvino", path, facts, infer, fixed, streams)


def _load_litert(path: Path, threads: int | None, streams: int) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        raise InputError(f"{beside}: is missing; make both files with `skyseg export`")
    facts = ModelFacts.from_metadata(json.loads(beside.read_text()), path)
    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise not_loaded(path, "LiteRT", error) from None
    entry, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def infer(images: np.ndarray) -> np.ndarray:
        # Full-int8 files hold value = scale * (stored - zero) at both ends.
        interpreter.set_tensor(entry["index"], _quantized(images, entry))
        interpreter.invoke()
        stored = interpreter.get_tensor(answer["index"])
        scale, zero = answer["quantization"]
        return (stored.astype(np.float32) - zero) * scale if scale else stored

    return Runtime("litert", path, facts, infer, int(entry["shape"][0]))


def _quantized(images: np.ndarray, entry: dict) -> np.ndarray:
    scale, zero = entry["quantization"]
    if not scale:
        return images.astype(entry["dtype"])
    limits = np.iinfo(entry["dtype"])
    return np.clip(np.round(images / scale) + zero, limits.min, limits.max).astype(entry["dtype"])


def _load_keras(path: Path, threads: int | None, streams: int) -> Runtime:
    keras = _import_keras(threads)
    try:
        network = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise not_loaded(path, "Keras", error) from None
    return _keras_runtime(path, network, _facts_of_run(path, network))


def load_boxed_network(path: Path, entry: dict):
    """Rebuilds a boxed network by its name; its weights are the ONNX file's own.

    Returns:
      keras.Model of models.build_model: normalized images -> dict of logits.
    """
    _import_keras(None)
    from skyseg_tf.models import build_model
    from skyseg_tf.models.folded import load_folded_weights

    network = build_model(entry["network"], entry["num_classes"], **entry["options"])
    constants = read_weights(path)
    names = json.loads(read_metadata(path)[f"{METADATA_PREFIX}weights"])
    load_folded_weights(network, {key: constants[name] for key, name in names.items()})
    return network


def load_box_in_keras(path: Path, entry: dict) -> Runtime:
    """A boxed network in the Keras runtime."""
    network = load_boxed_network(path, entry)
    from skyseg_tf.runs.folder import make_saved_model

    facts = ModelFacts.from_metadata(read_metadata(path), path)
    return _keras_runtime(path, make_saved_model(network, entry["stats"]), facts)


def _import_keras(threads: int | None):
    from skyseg_tf.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    import_module("skyseg_tf.models")  # its layers must be known before a file names them
    return import_module("keras")


def _keras_runtime(path: Path, network, facts: ModelFacts) -> Runtime:
    from skyseg_tf.runs.folder import predictor

    return Runtime("keras", path, facts, predictor(network), network=network)


def _facts_of_run(path: Path, network) -> ModelFacts:
    """What model.keras and the files beside it tell."""
    from skyseg_tf.runs.folder import read_json, read_run_data

    _check_network(path, network)
    run, channels, shape = path.parent, network.output_shape[-1], network.input_shape
    data = read_run_data(run)
    if data and data.scheme.num_logits == channels:
        scheme = data.scheme
    else:
        scored = tuple(read_json(run / "metrics.json").get("iou", ()))
        scheme = _scheme_of_channels(path, channels, scored)
    facts = ModelFacts(
        run.resolve().name if (run / "config.json").is_file() else path.stem,
        scheme,
        working_size=tuple(shape[-3:-1]) if shape[-3] and shape[-2] else None,
        frames=shape[1] if len(shape) == 5 else 1,
        sha256=sha256_of(path),
    )
    return replace(facts, long_side=max(data.image_size)) if data else facts


def _check_network(path: Path, network) -> None:
    """Refuses what takes no photos or gives no probabilities, such as a file of import_weights."""
    taken, given = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    photos = isinstance(taken, tuple) and len(taken) in (4, 5) and taken[-1] == 3
    if not (photos and isinstance(given, tuple) and len(given) == 4):
        raise InputError(
            f"{path}: is no network from RGB (B, H, W, 3) to probabilities (B, H, W, C); give a "
            "run of `skyseg train` (which takes a file of import_weights by --init)"
        )


def _scheme_of_channels(path: Path, channels: int, scored: tuple[str, ...]) -> LabelScheme:
    """Classes of a model.keras that came without its dataset.json."""
    fitting = [scheme for scheme in SCHEMES.values() if scheme.num_logits == channels]
    for scheme in fitting:
        if not scored or scheme.class_names == scored:
            return scheme
    raise InputError(
        f"{path}: nothing tells what its {channels} classes are; keep dataset.json of its run "
        "beside it"
    )


def _fixed(size) -> int | None:
    return size if isinstance(size, int) and size > 0 else None


def not_loaded(path: Path, runtime: str, error: Exception) -> InputError:
    """The error of a file that a library refuses; of the library's words the first line."""
    lines = (line.strip() for line in str(error).splitlines())
    reason = next(filter(None, lines), "no reason")
    return InputError(f"{path}: {runtime} cannot load it ({reason}); export or download it again")


LOADERS: dict[str, Callable[[Path, int | None, int], Runtime]] = {
    "openvino": _load_openvino,
    "onnxruntime": _load_onnxruntime,
    "litert": _load_litert,
    "keras": _load_keras,
}
