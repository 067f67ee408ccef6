"""Exported models, weights and checkpoints."""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from fuzzing.parser import Seeds, read_all_ways

from skyseg_tf.errors import InputError


def onnx_files(folder: Path) -> Seeds:
    """ONNX files of one class, of many, and of a fixed size."""
    from drawn_models import blue_model

    names = {
        "sky.onnx": {},
        "many.onnx": {"scheme": "cityscapes19"},
        "fixed.onnx": {"size": (32, 64)},
    }
    return {n: blue_model(folder / n, **facts).read_bytes() for n, facts in names.items()}


def openvino_files(folder: Path) -> Seeds:
    """Both files of one OpenVINO model."""
    import openvino as ov
    from drawn_models import blue_model

    from skyseg_tf.masking.onnx_file import read_metadata

    source = blue_model(folder / "source.onnx")
    network = ov.convert_model(source)
    for key, text in read_metadata(source).items():
        network.set_rt_info(text, [key])
    ov.save_model(network, folder / "m.xml")
    return {name: (folder / name).read_bytes() for name in ("m.xml", "m.bin")}


def _keras_model():
    import keras

    pixels = keras.Input((None, None, 3), name="rgb")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(pixels)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(pixels, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))


def keras_files(folder: Path) -> Seeds:
    """A small network as `.keras`."""
    _keras_model().save(folder / "m.keras")
    return {"m.keras": (folder / "m.keras").read_bytes()}


def litert_files(folder: Path) -> Seeds:
    """A LiteRT model and the facts beside it."""
    import keras

    from skyseg_tf.labels import SCHEMES
    from skyseg_tf.masking.model_facts import FILE_SHA256, ModelFacts

    pixels = keras.Input((32, 64, 3), 1, name="rgb", dtype="uint8")
    x = keras.layers.Conv2D(1, 1, activation="sigmoid")(keras.ops.cast(pixels, "float32"))
    keras.Model(pixels, x).export(folder / "m.tflite", format="litert", verbose=False)
    facts = ModelFacts("m", SCHEMES["sky"], working_size=(32, 64)).to_metadata()
    model = (folder / "m.tflite").read_bytes()
    told = json.dumps(facts | {FILE_SHA256: sha256(model).hexdigest()}).encode()
    (folder / "m.tflite.json").write_bytes(told)
    return {"m.tflite": model, "m.tflite.json": told}


def read_model(*backends: str) -> Callable[[Path], None]:
    """A reader that loads a model, or the one that a file belongs to, in these runtimes."""

    def read(path: Path) -> None:
        model = path.with_suffix(".xml") if path.suffix == ".bin" else path
        model = model.with_suffix("") if path.suffix == ".json" else model
        photo = np.zeros((1, 32, 64, 3), np.uint8)
        read_all_ways(partial(_answer, model, backend, photo) for backend in backends)

    return read


def _answer(model: Path, backend: str, photo: np.ndarray) -> None:
    from skyseg_tf.masking.runtime import load_runtime

    load_runtime(model, backend)(photo)


def state_files(folder: Path) -> Seeds:
    """State dicts in both formats, and a checkpoint."""
    from safetensors.numpy import save_file

    from skyseg_tf.training.checkpoints import save_checkpoint

    arrays = {"a.weight": np.ones((2, 3), np.float32), "b.bias": np.zeros(4, np.float16)}
    save_file(arrays, folder / "s.safetensors")
    np.savez(folder / "s.npz", **arrays)
    model = _keras_model()
    model.compile("adam", "mse")
    save_checkpoint(folder / "last.npz", model, {"epoch": 1})
    return {name: (folder / name).read_bytes() for name in ("s.safetensors", "s.npz", "last.npz")}


def read_weights(path: Path) -> None:
    """Reads a state dict, or a checkpoint both as first weights and to go on from."""
    from skyseg_tf.models.state_dicts import read_state
    from skyseg_tf.training.checkpoints import load_checkpoint, load_initial_weights

    if path.name != "last.npz":
        read_state(path)
        return
    model = _keras_model()
    with suppress(InputError):
        load_initial_weights(path, model)
    load_checkpoint(path, model, optimizer=False)
