"""What a command leaves, as far as it must be equal each time."""

import csv
import io
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np

from killing.processes import fork, status_of

PHOTO = np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)


class Folder:
    """The folder in which all is done, with what was in it at the beginning."""

    def __init__(self, path: Path) -> None:
        """Takes what is there for the commands' input."""
        self.path, self.given = path, set()
        self.given = set(self.files())

    def files(self) -> list[Path]:
        """Everything in it that was not given, relative to it."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*"))
        return sorted(path for path in found if path not in self.given and not _is_autograph(path))

    def contents(self) -> dict[str, object]:
        """What can be compared of each file; None of a folder."""
        return {_stable(name): content_of(self.path / name) for name in self.files()}

    def clear(self) -> None:
        """Removes all that was not given."""
        for name in reversed(self.files()):
            path = self.path / name
            path.rmdir() if path.is_dir() else path.unlink()


def _is_autograph(name: Path) -> bool:
    """Whether TensorFlow has put it into the folder for temporary files, as it does in every run."""
    return name.parts[0] == "tmp" and ("autograph" in name.name or name.name == "__pycache__")


def _stable(name: Path) -> str:
    """A file's name without the time and process of TensorBoard's."""
    return re.sub(r"(tfevents)\..*", r"\1", name.as_posix())


def content_of(path: Path) -> object:
    """What must be equal of a file; exports, databases and logs are only there or not."""
    if path.is_dir() or path.suffix in (".db", ".html") or "tfevents" in path.name:
        return None
    if "exports" in path.parts:
        return None
    if path.suffix == ".npz":
        with np.load(path) as file:
            kept = [name for name in file.files if name not in ("facts", "sha256")]
            return {name: file[name].tobytes() for name in kept}
    if path.suffix == ".keras":
        return weights_of(path)
    if path.name == "environment.json":
        return (
            path.read_text().replace("\n", "").partition('"git_commit"')[0]
        )  # somebody may commit
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text()))
        return [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in rows]
    return path.read_bytes()


def weights_of(path: Path) -> list[bytes]:
    """The arrays of a .keras file; its layers' names hang on how many the process has made before."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    arrays = []
    with h5py.File(content) as file:
        file.visititems(
            lambda _, item: arrays.append(item[()].tobytes()) if hasattr(item, "dtype") else None
        )
    return sorted(arrays)


def answers_of(folder: Path) -> np.ndarray | None:
    """What the export in a run computes of a photo; None where there is none."""
    target = folder.with_name("answers.npy")
    target.unlink(missing_ok=True)
    if (folder / "run/exports").exists():
        status_of(fork(folder, lambda: np.save(target, _answers(folder))))
    return np.load(target) if target.exists() else None


def _answers(folder: Path) -> np.ndarray:
    for path in sorted((folder / "run/exports").glob("*")):
        if path.is_dir():
            from skyseg_tf.exporters.saved_model import load_saved_model

            return load_saved_model(path)(PHOTO)
        if path.suffix in (".onnx", ".xml", ".tflite"):
            from skyseg_tf.masking.runtime import load_runtime

            return load_runtime(path)(PHOTO)
    raise FileNotFoundError
