"""Checkpoints: plain .npz files that hold everything a training needs to go on exactly.

Two generations lie in a run, `last.npz` and `previous.npz`, each written aside, flushed to disk and
renamed. Each holds a SHA-256 of its content, so that a torn one is recognised; the older one then
serves. `best.npz` is of the epoch with the best val IoU and holds the network's variables alone:
those of the optimizer are two or three times as many, and nothing goes on from there.
"""

import hashlib
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import write_aside
from skyseg_tf.masking.backends.keras import load_network
from skyseg_tf.runs.reached import GENERATIONS

_FACTS_BYTES = 64 << 20  # the history of a hundred thousand epochs
# What numpy and zipfile raise for files that are cut off, altered, or no .npz at all.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    KeyError,
    tokenize.TokenError,  # of the header of an array
    AttributeError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


def save_checkpoint(
    path: str | Path, model: keras.Model, facts: dict[str, Any], *, optimizer: bool = True
) -> None:
    """Writes the variables of a training, whole or not at all.

    Args:
      path: the file.
      model: compiled; its variables (random states of Dropout included).
      facts: JSON-able, such as the epoch and the history.
      optimizer: also its variables.

    Raises:
      FloatingPointError: a weight is no finite number; what was there is left then.
    """
    variables = _variables(model, optimizer)
    arrays = {name: keras.ops.convert_to_numpy(v) for name, v in variables.items()}
    if broken := _not_finite(arrays.values(), model.variables):
        raise FloatingPointError(f"weights of {broken} are no finite numbers")
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    arrays["sha256"] = _digest(arrays)
    with write_aside(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())  # renamed before its content is on the disk, it could end up torn


def load_checkpoint(
    path: str | Path, model: keras.Model, *, optimizer: bool = True
) -> dict[str, Any]:
    """Inverts `save_checkpoint`; returns the facts.

    Args:
      path: the file.
      model: compiled like the one that was saved.
      optimizer: also its variables; without, those in the file are left there.

    Raises:
      InputError: torn, or of another network or optimizer; the model is as it was then.
    """
    return _assign(path, _read(path, model), model, optimizer)


def save_generation(folder: str | Path, model: keras.Model, facts: dict[str, Any]) -> None:
    """Writes `last.npz`; what was there becomes `previous.npz`. See `save_checkpoint`."""
    finish_generation(folder)
    save_checkpoint(Path(folder) / GENERATIONS[0], model, facts)
    finish_generation(folder)


def finish_generation(folder: str | Path) -> None:
    """Ends a renaming, also one amid which a process was killed; nothing where there is none."""
    newest, last, previous = (Path(folder) / name for name in GENERATIONS)
    if newest.exists():
        if last.exists():
            os.replace(last, previous)
        os.replace(newest, last)


def load_latest(folder: str | Path, model: keras.Model) -> dict[str, Any] | None:
    """Loads the newest whole generation of a run and says so where that is not the last one.

    Args:
      folder: `checkpoints` of a run.
      model: compiled like the one that was saved.

    Returns:
      Its facts; None where no checkpoint was written yet.

    Raises:
      InputError: all are torn, or they are of another network or optimizer.
    """
    found = [path for name in GENERATIONS if (path := Path(folder) / name).exists()]
    for path in found:
        try:
            arrays = _read(path, model)
        except InputError as error:
            older = "going on from the older one" if path is not found[-1] else "no older one"
            print(f"{error}; {older}", flush=True)
            continue
        return _assign(path, arrays, model)
    if found:
        raise InputError(f"{folder}: no whole checkpoint; train again, in another --run")
    return None


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
    path = Path(run)
    if path.is_dir():
        kept = path / "checkpoints" / "best.npz", path / "model.keras"  # the latter may be all
        path = next((file for file in kept if file.is_file()), kept[0])
    if not path.is_file():
        raise InputError(
            f"{run}: no run to start from ({path.name} is missing); give a run of `skyseg train`, "
            "a file of `skyseg import_weights` or the name of a packaged model"
        )
    if path.suffix not in (".keras", ".npz"):
        raise InputError(
            f"{path}: no run, .npz or .keras; of a published checkpoint `skyseg import_weights` "
            "makes one"
        )
    is_network = path.suffix == ".keras"
    names, arrays = _of_network(path) if is_network else _of_checkpoint(path, model)
    return copy_weights(arrays, names, model, path)


def copy_weights(
    arrays: Sequence[np.ndarray], names: Sequence[str], model: keras.Model, where: str | Path
) -> list[str]:
    """Copies the variables of a network of the same kind, but for those of another shape.

    Args:
      arrays: one per variable, in the order of `model.variables`; more are passed over.
      names: of the variables.
      model: see `load_initial_weights`.
      where: what they are from, for errors.

    Returns:
      See `load_initial_weights`.

    Raises:
      InputError: of another network, or no finite numbers.
    """
    variables = model.variables
    other = InputError(
        f"{where}: of another network than {model.name}, or with other --model-options; give one "
        "of that network; of a published checkpoint `skyseg import_weights` makes one"
    )
    if names[: len(variables)] != [v.name for v in variables]:
        raise other
    if broken := _not_finite(arrays, variables):
        raise InputError(f"{where}: weights of {broken} are no finite numbers; give another run")
    fits = [a.shape == tuple(v.shape) for a, v in zip(arrays, variables, strict=False)]
    kept = sum(array.size for array, fit in zip(arrays, fits, strict=False) if fit)
    if kept < model.count_params() / 2:
        raise other
    for variable, array, fit in zip(variables, arrays, fits, strict=False):
        if fit:
            variable.assign(array)
    return [v.path for v, fit in zip(variables, fits, strict=False) if not fit]


def _of_network(path: Path) -> tuple[list[str], list[np.ndarray]]:
    """Names and values of the variables in a .keras file."""
    variables = load_network(path).variables
    return [v.name for v in variables], [keras.ops.convert_to_numpy(v) for v in variables]


def _of_checkpoint(path: Path, model: keras.Model) -> tuple[list[str], list[np.ndarray]]:
    """Names of all variables in a checkpoint, and the values of the first, which are a network's."""
    # The head may have other classes, and a last.npz has an optimizer's slots as well.
    with _open(path, 4 * _numbers_in(model.variables)) as file:
        arrays = [_array(file, name) for name in file.files[: len(model.variables)]]
        return [name.split(":")[-1] for name in file.files], arrays


def _numbers_in(variables: Iterable[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


@contextmanager
def _open(path: str | Path, numbers: int) -> Iterator[np.lib.npyio.NpzFile]:
    """A checkpoint; refuses one that holds far more than so many numbers."""
    try:
        with np.load(path, allow_pickle=False) as file:
            limit = 8 * numbers + _FACTS_BYTES
            if sum(member.file_size for member in file.zip.infolist()) > limit:
                raise InputError(
                    f"{path}: far larger than a checkpoint of this network; give another"
                )
            yield file
    except InputError:
        raise
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file system's own errors speak for themselves
        raise InputError(f"{path}: not a whole checkpoint; give another file") from None


def _array(file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    if isinstance(array := file[name], bytes):  # what numpy makes of a member that is none
        raise ValueError(name)
    return array


def _read(path: str | Path, model: keras.Model) -> dict[str, np.ndarray]:
    """All arrays of a whole checkpoint, facts included."""
    with _open(path, _numbers_in(_variables(model, True).values())) as file:
        arrays = {name: _array(file, name) for name in file.files}
        if not np.array_equal(arrays.pop("sha256"), _digest(arrays)):
            raise InputError(f"{path}: not a whole checkpoint (its SHA-256 differs)")
        if not isinstance(json.loads(arrays["facts"].tobytes()), dict):
            raise InputError(f"{path}: not a whole checkpoint (its facts are none)")
        network = [array for name, array in arrays.items() if name != "facts"]
        if broken := _not_finite(network, model.variables):
            raise InputError(f"{path}: weights of {broken} are no finite numbers")
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)


def _not_finite(arrays: Iterable[np.ndarray], variables: Sequence[keras.Variable]) -> str | None:
    """The path of a network's first variable whose array holds NaN or infinity.

    Those of the optimizer are left out: a second moment that overflows only stills its weight.
    """
    for variable, array in zip(variables, arrays, strict=False):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return variable.path
    return None


def _assign(
    path: str | Path, arrays: dict[str, np.ndarray], model: keras.Model, optimizer: bool = True
) -> dict[str, Any]:
    facts = json.loads(arrays.pop("facts").tobytes())
    variables = _variables(model, optimizer)
    if not optimizer:
        arrays = {name: arrays[name] for name in arrays if name in variables}
    wrong = sorted(variables.keys() ^ arrays.keys()) or [
        name for name in variables if arrays[name].shape != tuple(variables[name].shape)
    ]
    if wrong:
        raise InputError(
            f"{path}: a checkpoint of another network or optimizer ({wrong[0].split(':')[1]} "
            "differs); choose another --run"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return facts


def _variables(model: keras.Model, optimizer: bool) -> dict[str, Any]:
    """By the names that they have in a checkpoint; a network's come first."""
    optimizer = optimizer and getattr(model, "optimizer", None)
    found = [*model.variables, *(optimizer.variables if optimizer else ())]
    return {f"v{i}:{v.name}": v for i, v in enumerate({id(v): v for v in found}.values())}
