"""The run folder: what a training leaves behind, and how it is read again.

environment.json   versions, git commit, machine
dataset.json       what the records were: classes, size, statistics (see RunData)
config.json        the command's settings; written after the two above, it makes a folder a run
model.keras        the network of the best epoch so far, raw RGB 0-255 in, probabilities out; what the
                   classes are stands in dataset.json, and some of its layers are this package's
checkpoints/       weights, optimizer and random states, to go on from (see checkpoints)
history.csv        one line per epoch
plots/
metrics.json       scores with their protocol; written last, it makes a run a finished one
"""

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

import keras

from skyseg_tf.data.records import MANIFEST, Manifest
from skyseg_tf.errors import InputError, missing_hint
from skyseg_tf.files.aside import make_folder, remove_left, write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.json_types import typed
from skyseg_tf.files.locks import lock
from skyseg_tf.labels import Encoding, LabelScheme, stored_scheme

_PACKAGES = ("skyseg_tf", "tensorflow", "keras", "numpy", "jax", "opencv-python-headless", "pillow")


def write_json(path: str | Path, content: Any) -> None:
    """Writes a dict or dataclass as JSON, whole or not at all; NaN becomes null."""
    with write_aside(path) as aside:
        aside.write_text(json.dumps(_plain(content), indent=2) + "\n")


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, LabelScheme):
        value = value.as_dict()
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON file of a run; empty where there is none.

    Raises:
      InputError: damaged.
    """
    try:
        return read_object(path, "restore it or train again")
    except FileNotFoundError:
        return {}


def read_settings(run: str | Path, config: type) -> dict[str, Any]:
    """What config.json says, of the types of a command's settings; empty where there is none.

    Args:
      run: run folder.
      config: the dataclass that config.json was written from; what it does not know is left as it
        is.

    Raises:
      InputError: damaged.
    """
    path, types = Path(run) / "config.json", get_type_hints(config)
    return {
        name: typed(value, types[name], path, name) if name in types else value
        for name, value in read_json(path).items()
    }


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
    if not path.parent.exists():
        raise InputError(f"{run}: no such run folder; {missing_hint(run)}")
    if not path.is_file():
        raise InputError(f"{run}: no run (config.json is missing); give a folder of `skyseg train`")
    values = read_settings(run, config)
    if unknown := sorted(values.keys() - {field.name for field in fields(config)}):
        raise InputError(
            f"{path}: of another version of this program ({', '.join(unknown)}); use that version "
            "or train again"
        )
    return config(**values)


@dataclass(frozen=True)
class RunData:
    """What a run was trained on, so that the run stands alone when its records are gone.

    Attributes:
      scheme, image_size, frames, rgb_stats, layout, source_sha256, encoding: of the records'
        manifest, see data.records.Manifest; older runs do not tell the encoding.
      photos: by split, how many.
      records_sha256: of the content of all records, those mixed in included.
      long_side: to which photos are shrunk for prediction, in pixels; 0 for that of image_size.
    """

    scheme: LabelScheme
    image_size: tuple[int, int]
    frames: int
    rgb_stats: dict[str, float]
    layout: str
    source_sha256: str
    photos: dict[str, int]
    records_sha256: str = ""
    encoding: Encoding | None = None
    long_side: int = 0

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
    settings = read_json(Path(run) / "config.json")
    hints = get_type_hints(RunData)
    records = typed(settings.get("records"), str | None, Path(run) / "config.json", "records")
    for folder in filter(None, (run, records)):
        path = Path(folder) / MANIFEST
        values = read_json(path)
        if not values:
            continue
        try:
            counts = {key: split["count"] for key, split in values.get("splits", {}).items()}
        except (TypeError, AttributeError, KeyError):
            raise InputError(f"{path}: damaged: splits; restore it or train again") from None
        values = {"photos": counts} | values
        missing = [f.name for f in fields(RunData) if f.name not in values and f.default is MISSING]
        if missing:
            raise InputError(f"{path}: damaged: no {missing[0]} in it; restore it or train again")
        names = typed(values.get("class_names"), tuple[str, ...] | None, path, "class_names")
        scheme = stored_scheme(values.pop("scheme"), names, path)
        kept = {n: typed(values[n], hints[n], path, n) for n in hints if n in values}
        return RunData(scheme, **kept)
    return None


def network_of(run: str | Path) -> str | None:
    """The name of a run's network; None where its config.json tells none.

    Raises:
      InputError: damaged.
    """
    path = Path(run) / "config.json"
    return typed(read_json(path).get("model"), str | None, path, "model")


def scored_classes(run: str | Path) -> tuple[str, ...]:
    """The names of the classes that a run was scored by; empty where its metrics.json tells none.

    Raises:
      InputError: damaged.
    """
    path = Path(run) / "metrics.json"
    return tuple(
        typed(read_json(path).get("iou"), dict[str, float | None] | None, path, "iou") or ()
    )


def environment(seed: int) -> dict[str, Any]:
    """What decides about a result beside its settings: versions, commit, backend, machine."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "git_commit": _commit(),
        "seed": seed,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def _commit() -> str | None:
    """Of this code; None where it is not in a git repository, or git is not installed."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return git.stdout.strip() or None


@contextmanager
def training_in(run: Path) -> Iterator[None]:
    """Inside, this process alone trains in a run; what a killed one left half written is removed.

    Args:
      run: folder; made if absent, and gone again where nothing was written into it.

    Raises:
      InputError: another training is at work in it.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    make_folder(run)
    held = lock(run / ".training")
    if held is None:
        raise InputError(
            f"{run}: another training is at work there; wait for its end, or choose another --run"
        )
    try:
        with held:
            try:
                for folder in (run, run / "checkpoints", run / "plots"):
                    remove_left(folder)
                yield
            finally:
                with suppress(OSError):
                    (run / ".training").unlink()
    finally:
        for folder in made:  # of a training that was refused, whose folders are empty
            with suppress(OSError):
                folder.rmdir()
