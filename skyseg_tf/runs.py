"""The run folder: what a training leaves behind, and the way back from it to a network.

config.json        the command's settings
environment.json   versions, git commit, machine
model.keras        raw RGB 0-255 in, probabilities out: all that others need
checkpoints/       weights, optimizer and random states, to go on from
history.csv        one line per epoch
metrics.json       scores with their protocol
plots/
"""

import csv
import json
import os
import platform
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside

_PACKAGES = ("skyseg_tf", "tensorflow", "keras", "numpy", "jax", "opencv-python-headless", "pillow")


def write_json(path: str | Path, content: Any) -> None:
    """Writes a dict or dataclass as JSON, whole or not at all; NaN becomes null."""

    def plain(value: Any) -> Any:
        if is_dataclass(value):
            value = asdict(value)
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not np.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    with write_aside(path) as aside:
        aside.write_text(json.dumps(plain(content), indent=2) + "\n")


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


def save_model(path: str | Path, network: keras.Model, stats: dict[str, float]) -> None:
    """Writes model.keras, whole or not at all."""
    with write_aside(Path(path)) as aside:
        renamed = aside.with_suffix(".keras")  # Keras insists on the suffix
        make_saved_model(network, stats).save(renamed)
        os.replace(renamed, aside)


# --- checkpoints ---


def save_checkpoint(path: str | Path, model: keras.Model, facts: dict[str, Any]) -> None:
    """Writes everything that a training needs to go on exactly: an .npz of plain arrays.

    Args:
      path: the file.
      model: compiled; its variables (random states of Dropout included) and its optimizer's.
      facts: JSON-able, such as the epoch and the history.
    """
    arrays = {f"v{i}:{v.name}": keras.ops.convert_to_numpy(v) for i, v in _variables(model)}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with write_aside(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)


def load_checkpoint(path: str | Path, model: keras.Model) -> dict[str, Any]:
    """Inverts `save_checkpoint`; returns the facts.

    Raises:
      InputError: torn, or of another network or optimizer.
    """
    with _open_checkpoint(path) as file:
        arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays.pop("facts").tobytes())
    variables = {f"v{i}:{v.name}": v for i, v in _variables(model)}
    wrong = sorted(variables.keys() ^ arrays.keys()) or [
        name for name in variables if arrays[name].shape != tuple(variables[name].shape)
    ]
    if wrong:
        raise InputError(
            f"{path}: a checkpoint of another network or optimizer ({wrong[0].split(':')[1]} differs)"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return facts


def load_initial_weights(run: str | Path, model: keras.Model) -> list[str]:
    """Copies the weights of another run of the same network, to start from.

    Args:
      run: run folder (its best epoch is taken), a checkpoint of one, or a .keras file of
        `skyseg import_weights`.
      model: of models.build_model; its class count may differ from the run's.

    Returns:
      Paths of the variables that kept their fresh values because their shape differs: the heads,
      where the classes differ.

    Raises:
      InputError: no checkpoint there, or of another network.
    """
    path = Path(run) / "checkpoints" / "best.npz" if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise InputError(f"{run}: no run to start from ({path.name} is missing)")
    if path.suffix == ".keras":
        source = keras.models.load_model(path, compile=False)
        arrays = [keras.ops.convert_to_numpy(v) for v in source.variables]
        names = [v.name for v in source.variables]
    else:
        with _open_checkpoint(path) as file:
            arrays = [file[name] for name in file.files[: len(model.variables)]]
            names = [name.split(":")[-1] for name in file.files]
    variables = model.variables
    if len(arrays) < len(variables) or names[: len(variables)] != [v.name for v in variables]:
        raise InputError(f"{path}: of another network than {model.name}")
    fits = [a.shape == tuple(v.shape) for a, v in zip(arrays, variables, strict=False)]
    kept = sum(array.size for array, fit in zip(arrays, fits, strict=False) if fit)
    if kept < model.count_params() / 2:
        raise InputError(f"{path}: of another network than {model.name}")
    for variable, array, fit in zip(variables, arrays, fits, strict=False):
        if fit:
            variable.assign(array)
    return [v.path for v, fit in zip(variables, fits, strict=False) if not fit]


@contextmanager
def _open_checkpoint(path: str | Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a whole checkpoint ({error.__class__.__name__})") from None


def _variables(model: keras.Model) -> list:
    found = [*model.variables, *model.optimizer.variables]
    return list(enumerate({id(v): v for v in found}.values()))
