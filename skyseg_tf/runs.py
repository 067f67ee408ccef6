"""The run folder: what a training leaves behind, and the way back from it to a network.

config.json        the command's settings
environment.json   versions, git commit, machine
dataset.json       what the records were: classes, size, statistics (see RunData)
model.keras        raw RGB 0-255 in, probabilities out: all that others need
checkpoints/       weights, optimizer and random states, to go on from (see checkpoints)
history.csv        one line per epoch
metrics.json       scores with their protocol
plots/
"""

import csv
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import keras
import numpy as np

from skyseg_tf.data.records import MANIFEST, Manifest
from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside
from skyseg_tf.labels import LabelScheme, stored_scheme

_PACKAGES = ("skyseg_tf", "tensorflow", "keras", "numpy", "jax", "opencv-python-headless", "pillow")


def write_json(path: str | Path, content: Any) -> None:
    """Writes a dict or dataclass as JSON, whole or not at all; NaN becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, LabelScheme):
            value = value.as_dict()
        if is_dataclass(value):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not np.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    with write_aside(path) as aside:
        aside.write_text(json.dumps(plain(content), indent=2) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON file of a run; empty where there is none.

    Raises:
      InputError: damaged.
    """
    try:
        content = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged; restore it or train again")
    return content


def read_config(run: str | Path, config: type) -> Any:
    """Inverts `write_json` of a command's settings.

    Args:
      run: run folder.
      config: the dataclass that config.json was written from.

    Returns:
      An instance of it.

    Raises:
      InputError: no run there, a damaged one, or the settings of another version.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        raise InputError(f"{run}: no run (config.json is missing); give a folder of `skyseg train`")
    values, types = read_json(path), get_type_hints(config)
    if unknown := sorted(values.keys() - types.keys()):
        raise InputError(
            f"{path}: of another version of this program ({', '.join(unknown)}); use that version "
            "or train again"
        )
    return config(**{name: _typed(value, types[name]) for name, value in values.items()})


def _typed(value: Any, kind: Any) -> Any:
    """What JSON has made of a path or a tuple, as it was."""
    inner = [part for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if isinstance(value, list):
        kind = next((part for part in inner if get_args(part)), kind)
        return tuple(_typed(item, get_args(kind)[0]) for item in value)
    return Path(value) if isinstance(value, str) and Path in (kind, *inner) else value


@dataclass(frozen=True)
class RunData:
    """What a run was trained on, so that the run stands alone when its records are gone.

    Attributes:
      scheme, image_size, frames, rgb_stats, layout, source_sha256: of the records'
        manifest, see data.records.Manifest.
      photos: by split, how many.
      records_sha256: of the content of all records, those mixed in included.
    """

    scheme: LabelScheme
    image_size: tuple[int, int]
    frames: int
    rgb_stats: dict[str, float]
    layout: str
    source_sha256: str
    photos: dict[str, int]
    records_sha256: str = ""

    @staticmethod
    def of(manifest: Manifest, records_sha256: str) -> "RunData":
        """The part of a manifest that outlives the records."""
        shared = {f.name for f in fields(RunData)} & {f.name for f in fields(Manifest)}
        values = {name: getattr(manifest, name) for name in shared}
        photos = {name: split.count for name, split in manifest.splits.items()}
        return RunData(**values, photos=photos, records_sha256=records_sha256)


def read_run_data(run: str | Path) -> RunData | None:
    """What a run was trained on: of its dataset.json, or (runs of version 0.1) of its records'.

    Args:
      run: run folder.

    Returns:
      None where neither is there, as beside a model.keras that came alone.

    Raises:
      InputError: damaged.
    """
    config = Path(run) / "config.json"
    try:
        records = json.loads(config.read_text()).get("records") if config.is_file() else None
        for folder in filter(None, (run, records)):
            path = Path(folder) / MANIFEST
            if path.is_file():
                values = json.loads(path.read_text())
                counts = {key: split["count"] for key, split in values.get("splits", {}).items()}
                values = {"photos": counts} | values
                scheme = stored_scheme(values["scheme"], values.get("class_names"), path)
                values = {f.name: values[f.name] for f in fields(RunData) if f.name in values}
                values |= {"scheme": scheme, "image_size": tuple(values["image_size"])}
                return RunData(**values)
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError):
        raise InputError(f"{run}: {config.name} or {MANIFEST} is damaged; train again") from None
    return None


def environment(seed: int) -> dict[str, Any]:
    """What decides about a result beside its settings: versions, commit, backend, machine."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return {
        "versions": versions,
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "git_commit": git.stdout.strip() or None,
        "seed": seed,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def write_history(path: str | Path, history: Sequence[dict]) -> None:
    """Writes history.csv: one line per epoch."""
    with write_aside(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.DictWriter(file, history[0])
        writer.writeheader()
        writer.writerows(history)


# --- the model that others use ---


def make_saved_model(network: keras.Model, stats: dict[str, float]) -> keras.Model:
    """Wraps a network so that nobody downstream needs the statistics.

    Args:
      network: of models.build_model; its auxiliary outputs are left out.
      stats: six numbers of rgb_stats.json.

    Returns:
      A float32 model that shares the network's weights: RGB on 0-255, uint8 or float, (B, H, W, 3)
      -> probabilities (B, H, W, C): sigmoid for C = 1, else softmax.
    """
    mean, std = mean_and_std(stats)
    body = keras.Model(network.inputs, network.output["logits"], name=network.name)
    pixels = keras.Input(network.input_shape[1:], name="rgb", dtype="float32")
    scale = keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), dtype="float32")
    logits = body(scale(pixels))
    final = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    probs = keras.layers.Activation(final, dtype="float32", name="probabilities")(logits)
    return keras.Model(pixels, probs, name=f"{network.name}_from_rgb")


def predictor(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A saved model as a function of arrays of any size that it takes.

    For each pair of sizes `predict_on_batch` traces a graph that leaves open what differs, such as
    (B, None, 192, 3), and there TensorFlow 2.21 folds wrong paddings into dilated convolutions:
    U2-Net failed at 160x192 after 128x192. Here all that the model leaves open is open at once.

    Args:
      model: of make_saved_model, or loaded from its file.

    Returns:
      A function from RGB on 0-255, (B, H, W, 3) or clips, to its probabilities, float32.
    """
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    (shape,) = (entry.shape for entry in model.inputs)
    traced = tf.function(
        lambda pixels: model(pixels, training=False),
        input_signature=[tf.TensorSpec((None, *shape[1:]), tf.float32)],
    )
    return lambda pixels: traced(np.asarray(pixels, np.float32)).numpy()


def save_model(path: str | Path, network: keras.Model, stats: dict[str, float]) -> None:
    """Writes model.keras, whole or not at all."""
    with write_aside(Path(path)) as aside:
        renamed = aside.with_suffix(".keras")  # Keras insists on the suffix
        make_saved_model(network, stats).save(renamed)
        os.replace(renamed, aside)
