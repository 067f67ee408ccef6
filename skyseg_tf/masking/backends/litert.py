"""LiteRT (TensorFlow Lite): phones and small boards."""

from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.files.json_file import read_object
from skyseg_tf.masking.backends.interface import Backend, Runtime
from skyseg_tf.masking.model_facts import FILE_SHA256, ModelFacts
from skyseg_tf.masking.model_files import reading, starts_with

_check = starts_with("LiteRT", 4, b"TFL3")


def load(path: Path, threads: int | None, streams: int) -> Runtime:
    """Loads a model file into LiteRT.

    Raises:
      InputError: no such model, or one that does not say what its classes are.
    """
    from ai_edge_litert.interpreter import Interpreter

    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        raise InputError(f"{beside}: is missing; make both files with `skyseg export`")
    told = read_object(beside, "export the model again")
    facts = ModelFacts.from_metadata(told, path)
    with reading(path, "LiteRT", _check):
        # Damage that its format allows for makes the library end the process.
        if told.get(FILE_SHA256, wanted := sha256_of(path)) != wanted:
            raise InputError(
                f"{path}: its sha256 is not the one in {beside.name} (damaged or altered); export the "
                "model again"
            )
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
        entry, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def infer(images: np.ndarray) -> np.ndarray:
        # Full-int8 files hold value = scale * (stored - zero) at both ends.
        interpreter.set_tensor(entry["index"], _quantized(images, entry))
        interpreter.invoke()
        stored = interpreter.get_tensor(answer["index"])
        scale, zero = answer["quantization"]
        return (stored.astype(np.float32) - zero) * scale if scale else stored

    # No streams: an interpreter has one set of tensors, so calls go one after the other.
    return Runtime("litert", path, facts, infer, int(entry["shape"][0]))


def _quantized(images: np.ndarray, entry: dict) -> np.ndarray:
    scale, zero = entry["quantization"]
    if not scale:
        return images.astype(entry["dtype"])
    limits = np.iinfo(entry["dtype"])
    return np.clip(np.round(images / scale) + zero, limits.min, limits.max).astype(entry["dtype"])


BACKEND = Backend(
    "litert",
    suffixes=(".tflite",),
    package="ai_edge_litert",
    distributions=("ai-edge-litert",),
    install="pip install ai-edge-litert",
    load=load,
    start_rank=2,
)
