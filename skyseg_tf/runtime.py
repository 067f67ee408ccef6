"""Runs a trained network on photos, in whichever runtime is installed.

    runtime = load_runtime()                        # the model in the box, fastest runtime
    probs = runtime(images)                         # (B, H, W, 3) uint8 -> (B, H, W, C) float32

Every model here takes raw RGB 0-255 and gives probabilities. One class is sky (C = 1), more are a
softmax. Nothing imports TensorFlow before the Keras runtime is asked for.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES, LabelScheme
from skyseg_tf.onnx_file import read_metadata, read_weights

BACKENDS = ("openvino", "onnxruntime", "litert", "keras")  # in order of preference
_QUICK = ("onnxruntime", "litert", "openvino", "keras")  # in order of the time to load them
PACKAGES = {
    "openvino": ("openvino", "pip install openvino"),
    "onnxruntime": ("onnxruntime", "pip install onnxruntime"),
    "litert": ("ai_edge_litert", "pip install ai-edge-litert"),
    "keras": ("tensorflow", "pip install tensorflow keras"),
}  # backend: the module to look for, how to get it
BOX = Path(__file__).parent / "weights"
METADATA_PREFIX = "skyseg."
_SUFFIXES = {
    ".keras": ("keras",),
    ".onnx": ("openvino", "onnxruntime"),
    ".xml": ("openvino",),
    ".tflite": ("litert",),
}  # model file: who can run it
_PRECISIONS = ("f32", "f16", "int8")


@dataclass(frozen=True)
class ModelFacts:
    """What a model file must say about itself; exports carry it, `to_metadata` tells how.

    Where it is written: ONNX `metadata_props`, one entry per key; OpenVINO `rt_info`, one
    `model.set_rt_info(text, [key])` per key; for LiteRT the same dict as JSON in
    `<file>.tflite.json`.

    Attributes:
      name: network or run, for people.
      class_names: of every class id; two for a model of one output channel.
      colors: (R, G, B) 0-255 of every class id.
      threshold: probability from which a pixel is sky; of one-channel models only.
      working_size: (height, width) that the file is fixed to, or None where any will do.
      long_side: for free sizes, the photo is shrunk to about this long side in pixels: the scale
        that the network was trained at.
      divisor: for free sizes, what height and width must be multiples of.
      frames: 1, or T for a network that takes clips (B, T, H, W, 3).
      sha256: hex digest of the run's model.keras that the file was made from; "" if of no run.
    """

    name: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    threshold: float = 0.5
    working_size: tuple[int, int] | None = None
    long_side: int = 512
    divisor: int = 32
    frames: int = 1
    sha256: str = ""

    def to_metadata(self) -> dict[str, str]:
        """Key -> text, as files hold it: "skyseg." + attribute, each value as JSON."""
        return {f"{METADATA_PREFIX}{key}": json.dumps(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_metadata(metadata: dict[str, str], where: str | Path) -> "ModelFacts":
        """Inverts `to_metadata`; keys of others are passed over.

        Raises:
          InputError: not written by `skyseg export`, or damaged.
        """
        known = {field.name for field in fields(ModelFacts)}
        try:
            values = {
                key.removeprefix(METADATA_PREFIX): json.loads(text)
                for key, text in metadata.items()
                if key.removeprefix(METADATA_PREFIX) in known and key.startswith(METADATA_PREFIX)
            }
            values["class_names"] = tuple(values["class_names"])
            values["colors"] = tuple(tuple(color) for color in values["colors"])
            if values.get("working_size"):
                values["working_size"] = tuple(values["working_size"])
            return ModelFacts(**values)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{where}: does not say what its classes are; make it with `skyseg export`"
            ) from None

    @staticmethod
    def from_scheme(scheme: LabelScheme, name: str, **facts) -> "ModelFacts":
        """Facts of a model of one of labels.SCHEMES; `facts` are the other attributes."""
        return ModelFacts(name, scheme.class_names, scheme.colors, **facts)


class Runtime:
    """A model that is ready to run; made by `load_runtime`. Calls from several threads queue up.

    Attributes:
      backend: one of BACKENDS.
      path: the model file.
      facts: everything the file says; the most used are attributes here too.
      name, class_names, colors, threshold, working_size, frames: see ModelFacts.
    """

    def __init__(self, backend: str, path: Path, facts: ModelFacts, infer: Callable, batch=None):
        """Wraps `infer`: float32 (batch or any B, ...) -> (B, H, W, C)."""
        self.backend, self.path, self.facts = backend, path, facts
        self.name, self.class_names, self.colors = facts.name, facts.class_names, facts.colors
        self.threshold, self.working_size = facts.threshold, facts.working_size
        self.frames = facts.frames
        self._infer, self._batch, self._lock = infer, batch, threading.Lock()

    @property
    def sky_channel(self) -> int | None:
        """Which channel of the probabilities is sky; None for a model that does not know it."""
        if len(self.class_names) == 2:
            return 0
        return self.class_names.index("sky") if "sky" in self.class_names else None

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
          InputError: a shape that the model cannot take.
        """
        self._check(images.shape)
        images = np.ascontiguousarray(images, np.float32)
        step = self._batch or len(images)
        with self._lock:
            parts = [
                np.asarray(self._infer(images[i : i + step]), np.float32)
                for i in range(0, len(images), step)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _check(self, shape: tuple[int, ...]) -> None:
        clip = self.frames > 1
        if len(shape) != 4 + clip or shape[-1] != 3 or (clip and shape[1] != self.frames):
            wanted = f"(B, {self.frames}, H, W, 3)" if clip else "(B, H, W, 3)"
            raise InputError(f"{self.name}: takes {wanted}, this is {shape}")
        size, divisor = tuple(shape[-3:-1]), self.facts.divisor
        if self.working_size and size != self.working_size:
            raise InputError(f"{self.name}: is fixed to {self.working_size}, this is {size}")
        if not self.working_size and any(side % divisor or not side for side in size):
            raise InputError(f"{self.name}: sizes must be multiples of {divisor}, this is {size}")


def class_ids(probs: np.ndarray, threshold: float) -> np.ndarray:
    """(..., C) probabilities -> (...) uint8 class ids: 1 for sky where C = 1, else the largest."""
    if probs.shape[-1] == 1:
        return (probs[..., 0] >= threshold).astype(np.uint8)
    return probs.argmax(-1).astype(np.uint8)


def installed(backend: str) -> bool:
    """Whether a backend's package is there; nothing is imported."""
    return find_spec(PACKAGES[backend][0]) is not None


def load_runtime(
    model: str | Path | None = None,
    backend: str | None = None,
    *,
    threads: int | None = None,
    quick: bool = False,
) -> Runtime:
    """Loads a model into a runtime.

    Args:
      model: None for the model in the box, or the name of one in it; a run folder (its exports/,
        or its model.keras); a .keras, .onnx, .xml (OpenVINO) or .tflite file.
      backend: one of BACKENDS; None for the first of them that is installed and can run it.
      threads: how many the runtime uses; None for all cores.
      quick: without `backend`, take the one that loads fastest, for a few photos.

    Returns:
      The runtime. A run folder's export is taken only if it was made from its model.keras of now.

    Raises:
      InputError: no such model or backend, not installed, a model that fails its checksum, an
        export older than its run.
    """
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"no backend '{backend}': there are {', '.join(BACKENDS)}")
    files = _model_files(model)
    if backend is None:
        order = _QUICK if quick else BACKENDS
        backend = next((name for name in order if name in files and installed(name)), None)
        if backend is None:
            raise InputError(
                f"{_shown(model)}: needs {' or '.join(files)}: `{PACKAGES[next(iter(files))][1]}`"
            )
    elif backend not in files:
        raise InputError(
            f"{_shown(model)}: {backend} cannot run it, but {', '.join(files)} can; "
            "`skyseg export` makes files for the others"
        )
    elif not installed(backend):
        raise InputError(f"{backend} is not installed: `{PACKAGES[backend][1]}`")
    path = files[backend]
    entry = _box_entry(model)
    if entry:
        check_sha256(path, entry["sha256"])
    loaded = (
        _load_box_in_keras(path, entry)
        if entry and backend == "keras"
        else _LOADERS[backend](path, threads)
    )
    if model is not None and Path(model).is_dir():
        _check_fresh(Path(model), loaded)
    return loaded


def _shown(model: str | Path | None) -> str:
    return "the model in the box" if model is None else str(model)


# --- which file ---


def read_box() -> dict:
    """models.json of the box: {"default": name, "models": {name: facts}}; empty if there is none.

    Of each model: file, sha256, bytes, network, num_classes and options (for build_model), stats
    (as rgb_stats.json), data, terms.
    """
    index = BOX / "models.json"
    return json.loads(index.read_text()) if index.is_file() else {"default": None, "models": {}}


def _box_entry(model: str | Path | None) -> dict | None:
    box = read_box()
    name = box["default"] if model is None else str(model)
    return None if model and Path(model).exists() else box["models"].get(name)


def _model_files(model: str | Path | None) -> dict[str, Path]:
    """Backend -> the file that it would run, in order of preference."""
    entry = _box_entry(model)
    if entry:
        return dict.fromkeys(("openvino", "onnxruntime", "keras"), BOX / entry["file"])
    if model is None:
        raise InputError("this installation has no model in the box: give --model RUN or FILE")
    path = Path(model)
    if path.is_dir():
        files = {"keras": path / "model.keras"} if (path / "model.keras").is_file() else {}
        found = sorted((path / "exports").glob("*"), key=_by_precision, reverse=True)
        for file in found:
            files |= dict.fromkeys(_SUFFIXES.get(file.suffix, ()), file)
        for file in found:  # a file of its own format goes before one that OpenVINO reads too
            files |= {"openvino": file} if file.suffix == ".xml" else {}
        if not files:
            raise InputError(f"{path}: neither model.keras nor exports/ in it; is it a run folder?")
        return {name: files[name] for name in BACKENDS if name in files}
    if not path.exists():
        names = ", ".join(read_box()["models"])
        boxed = f"; in the box there are: {names}" if names else ""
        raise InputError(f"{path}: no such run folder or model file{boxed}")
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path}: not {', '.join(_SUFFIXES)} or a run folder")
    return dict.fromkeys(_SUFFIXES[path.suffix], path)


def _by_precision(file: Path) -> tuple[int, str]:
    """Full precision first; a quantized export is run when it is named."""
    ranks = [i for i, precision in enumerate(_PRECISIONS) if precision in file.stem]
    return (ranks[0] if ranks else 0, file.name)


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | Path, wanted: str) -> None:
    """Refuses a file that is not the pinned one.

    Raises:
      InputError: missing, or of another content.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: is missing; install skyseg_tf again")
    if sha256_of(path) != wanted:
        raise InputError(
            f"{path}: its sha256 is not the one in models.json (damaged or altered); "
            "install skyseg_tf again"
        )


def _check_fresh(run: Path, loaded: Runtime) -> None:
    source, made_from = run / "model.keras", loaded.facts.sha256
    if loaded.path == source or not source.is_file() or not made_from:
        return
    if sha256_of(source) != made_from:
        raise InputError(
            f"{loaded.path}: was exported from another model.keras than the one beside it; "
            "run `skyseg export` again or give --backend keras"
        )


# --- one loader per backend: (path, threads) -> Runtime ---


def _load_onnxruntime(path: Path, threads: int | None) -> Runtime:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    known = ort.get_available_providers()
    providers = [
        name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known
    ]
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise InputError(f"{path}: onnxruntime cannot load it ({_first_line(error)})") from None
    facts = ModelFacts.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    entry = session.get_inputs()[0]
    as_bytes = entry.type == "tensor(uint8)"

    def infer(images: np.ndarray) -> np.ndarray:
        feed = images.astype(np.uint8) if as_bytes else images
        return session.run(None, {entry.name: feed})[0]

    return Runtime("onnxruntime", path, facts, infer, _fixed(entry.shape[0]))


def _load_openvino(path: Path, threads: int | None) -> Runtime:
    import openvino as ov

    # Its default computes in bfloat16 where the CPU can: up to 0.12 off.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    try:
        core = ov.Core()
        network = core.read_model(path)
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as error:
        raise InputError(f"{path}: OpenVINO cannot load it ({_first_line(error)})") from None
    if path.suffix == ".onnx":  # OpenVINO drops its metadata
        metadata = read_metadata(path)
    else:
        metadata = {key: str(value.value) for key, value in network.get_rt_info().items()
                    if key.startswith(METADATA_PREFIX)}  # fmt: skip
    facts = ModelFacts.from_metadata(metadata, path)
    port = compiled.input(0)
    as_bytes = port.element_type == ov.Type.u8
    batch = port.partial_shape[0]

    def infer(images: np.ndarray) -> np.ndarray:
        return np.array(compiled(images.astype(np.uint8) if as_bytes else images)[0])

    return Runtime("openvino", path, facts, infer, batch.get_length() if batch.is_static else None)


def _load_litert(path: Path, threads: int | None) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        raise InputError(f"{beside}: is missing; make both files with `skyseg export`")
    facts = ModelFacts.from_metadata(json.loads(beside.read_text()), path)
    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: LiteRT cannot load it ({_first_line(error)})") from None
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


def _load_keras(path: Path, threads: int | None) -> Runtime:
    keras = _import_keras(threads)
    try:
        network = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise InputError(f"{path}: Keras cannot load it ({_first_line(error)})") from None
    return _keras_runtime(path, network, _facts_of_run(path, network))


def _load_box_in_keras(path: Path, entry: dict) -> Runtime:
    """Rebuilds a boxed network by its name; its weights are the ONNX file's own."""
    _import_keras(None)
    from skyseg_tf.models import build_model
    from skyseg_tf.models.folded import load_folded_weights
    from skyseg_tf.runs import make_saved_model

    network = build_model(entry["network"], entry["num_classes"], **entry["options"])
    metadata, constants = read_metadata(path), read_weights(path)
    names = json.loads(metadata[f"{METADATA_PREFIX}weights"])
    load_folded_weights(network, {key: constants[name] for key, name in names.items()})
    facts = ModelFacts.from_metadata(metadata, path)
    return _keras_runtime(path, make_saved_model(network, entry["stats"]), facts)


def _import_keras(threads: int | None):
    from skyseg_tf.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    import_module("skyseg_tf.models")  # its layers must be known before a file names them
    return import_module("keras")


def _keras_runtime(path: Path, network, facts: ModelFacts) -> Runtime:
    return Runtime("keras", path, facts, network.predict_on_batch)


def _facts_of_run(path: Path, network) -> ModelFacts:
    """What model.keras and the files beside it tell."""
    channels = network.output_shape[-1]
    scheme = next(s for s in SCHEMES.values() if s.num_logits == channels)
    beside = {name: _json(path.with_name(f"{name}.json")) for name in ("metrics", "config")}
    names = tuple(beside["metrics"].get("iou", ()))
    scheme = next((s for s in SCHEMES.values() if s.class_names == names), scheme)
    manifest = _json(Path(beside["config"].get("records") or path.parent) / "dataset.json")
    shape = network.input_shape
    facts = ModelFacts.from_scheme(
        scheme,
        path.parent.name if beside["config"] else path.stem,
        working_size=tuple(shape[-3:-1]) if shape[-3] and shape[-2] else None,
        frames=shape[1] if len(shape) == 5 else 1,
        sha256=sha256_of(path),
    )
    if manifest.get("image_size"):
        facts = replace(facts, long_side=max(manifest["image_size"]))
    return facts


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _fixed(size) -> int | None:
    return size if isinstance(size, int) and size > 0 else None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")


_LOADERS = {
    "openvino": _load_openvino,
    "onnxruntime": _load_onnxruntime,
    "litert": _load_litert,
    "keras": _load_keras,
}
