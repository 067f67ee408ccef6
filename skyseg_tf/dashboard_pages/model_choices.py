"""The models that the dashboard offers: all that is found where files are dropped.

Nothing here knows Streamlit or imports TensorFlow.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.dashboard_pages.folders import Folders
from skyseg_tf.data.listing import is_junk, walk_files
from skyseg_tf.masking.runtime import model_suffixes
from skyseg_tf.runs.packaged import WEIGHTS, packaged_files, read_packaged

_NOT_RUNS = {"checkpoints", "plots", "evaluation", "exports", "tensorboard"}
_RUN_FILES = ("config.json", "history.csv", "metrics.json", "model.keras")


@dataclass(frozen=True)
class ModelChoice:
    """A model that can be picked.

    Attributes:
      label: for people.
      source: what runtime.load_runtime takes.
      stamp: changes when its files do; caches are keyed on it.
    """

    label: str
    source: str
    stamp: int


def find_models(folders: Folders) -> list[ModelChoice]:
    """All models: of the package, of run folders, and of the folder for more of them."""
    index = read_packaged()
    names = sorted(index["models"], key=lambda name: name != index["default"])
    found = [
        ModelChoice(f"{name} (built in)", name, stamp_of(packaged_files(WEIGHTS / name)))
        for name in names
    ]
    for root in (folders.runs, folders.models):
        found += [
            ModelChoice(_below(run, root), str(run), stamp_of(_model_files(run)))
            for run in find_runs(root)
            if _model_files(run)
        ]
    in_runs = {Path(choice.source) for choice in found}
    for path in _listed(folders.models):
        loose = path.suffix.lower() in model_suffixes() and path.is_file()
        if loose and path.parent not in in_runs and path.parent.parent not in in_runs:
            found.append(ModelChoice(_below(path, folders.models), str(path), stamp_of([path])))
    return found


def find_runs(root: Path) -> list[Path]:
    """Run folders below a folder, three levels deep, those changed last first."""
    runs = list(_runs_below(Path(root), 3))
    return sorted(runs, key=lambda run: -stamp_of(run / name for name in _RUN_FILES))


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not there, or not to be read: nothing below it is shown
        return
    for entry in entries:
        if not entry.is_dir() or is_junk(entry.name) or entry.name in _NOT_RUNS:
            continue
        if any((entry / name).is_file() for name in _RUN_FILES) or (entry / "exports").is_dir():
            yield entry
        if depth > 1:  # trials of a search and trainings of several seeds lie one level down
            yield from _runs_below(entry, depth - 1)


def _model_files(run: Path) -> list[Path]:
    exports = (run / "exports").glob("*") if (run / "exports").is_dir() else ()
    files = [run / "model.keras", *sorted(exports)]
    return [path for path in files if path.is_file() and path.suffix in model_suffixes()]


def stamp_of(paths: Iterable[Path]) -> int:
    """When the last of files changed, in nanoseconds; 0 where none is there."""
    stamps = []
    for path in paths:
        with suppress(OSError):  # a training may put another one in its place right now
            stamps.append(path.stat().st_mtime_ns)
    return max(stamps, default=0)


def _below(path: Path, root: Path) -> str:
    """A short name: the path from its folder's own name on."""
    return (Path(root.resolve().name) / path.relative_to(root)).as_posix()


def _listed(folder: Path) -> list[Path]:
    return sorted(walk_files(folder, depth=3)) if folder.is_dir() else []
