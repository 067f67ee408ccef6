"""The model zoo: finished trainings of which the repository keeps what tells about them, and a page.

    python tools/zoo.py                                      writes docs/zoo.md anew
    python tools/zoo.py --keep runs/camvid11_skyline_lite0   and first keeps a run, in zoo/NAME/

Kept is a run folder: settings, history, scores, and of networks that are small enough the weights, in
exports/model_f32.onnx, so that `--model zoo/NAME` is a model. The page shows all of zoo/ and of the
package. Runs that were scored under one protocol share a table; unlike protocols never do. What a
network costs is measured by benchmarks/networks.py, for all of them alike.
"""

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.cli import run_command
from skyseg_tf.dashboard_pages.run_facts import Group, ScoredRun, group_scores, trains_for_sky
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.files.aside import write_aside
from skyseg_tf.runs.history import read_history
from skyseg_tf.runs.packaged import WEIGHTS
from skyseg_tf.scoring.plots import plot_learning_curves, save_figure
from tools.box import halve_onnx, settings_of

ROOT = Path(__file__).parents[1]
_KEPT = ("dataset.json", "environment.json", "history.csv", "metrics.json")
_MOST_BYTES = 10_000_000  # of weights, in the repository
_WEIGHTS = ("model.keras", "exports/model_f32.onnx")
_LOG_ROWS = 8  # epochs that a page shows of a training
_HEAD = (
    "# Model zoo\n\n"
    "Trainings with their commands and scores, made by `python tools/zoo.py` from the run folders in "
    "`zoo/` and in the package. `--model zoo/NAME` runs one whose weights are there; where they are "
    "too large for the repository, the command trains them again. What each network costs: "
    "[Results](results.md#networks). Scores stand in one table only if they were made alike; *truth* is "
    "a fingerprint of the labels. Weights that were trained on CamVid or IDD-lite are for research and "
    "non-commercial use only."
)
_COLUMNS = ("network", "sky IoU", "mean IoU", "run")


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """Keep runs in the zoo, and write its page. To keep one needs the extra `export`."""

    keep: tuple[Path, ...] = ()
    """Run folders of finished trainings that are added to the zoo, each under its name."""
    folder: Path = ROOT / "zoo"
    """The zoo."""
    packaged: Path = WEIGHTS
    """Folder of the packaged runs."""
    out: Path = ROOT / "docs" / "zoo.md"
    """The page; pictures of it go into a folder of its name beside it."""


def zoo(config: ZooConfig) -> Path:
    """Keeps runs and writes the page.

    Args:
      config: see ZooConfig.

    Returns:
      The page.

    Raises:
      InputError: no run, a run without scores, two runs of one name, a wrong setting.
    """
    for run in config.keep:
        keep(run, config.folder)
    folders = (config.folder, config.packaged)
    runs = sorted(path.parent for folder in folders for path in folder.glob("*/config.json"))
    _check(runs)
    groups, damaged = group_scores(runs)
    if damaged:
        raise InputError("; ".join(damaged))
    parts = [_HEAD, *(_table(group) for group in groups), "## Runs"]
    pictures = config.out.with_suffix("")
    parts += [_run_section(run, run.parent == config.packaged, pictures) for run in runs]
    with write_aside(config.out) as aside:
        aside.write_text("\n\n".join(parts) + "\n")
    print(f"{config.out}: {len(runs)} runs under {len(groups)} protocols")
    return config.out


def keep(run: Path, folder: Path) -> Path:
    """Keeps a run.

    Args:
      run: of a finished training.
      folder: the zoo.

    Returns:
      Its folder, `<folder>/<name of the run>`.

    Raises:
      InputError: no run, or one that is not finished.
    """
    from skyseg_tf.console.dependencies import import_tensorflow_quietly
    from skyseg_tf.runs.folder import write_json

    for name in ("config.json", "model.keras", *_KEPT):
        if not (run / name).is_file():
            raise InputError(f"{run}: {name} is missing; is the training finished?")
    import_tensorflow_quietly()
    from skyseg_tf.exporters.export import export
    from skyseg_tf.exporters.settings import ExportConfig

    kept = folder / _name(run)
    kept.mkdir(parents=True, exist_ok=True)
    write_json(kept / "config.json", {k: _without_place(v) for k, v in settings_of(run).items()})
    for name in _KEPT:
        shutil.copyfile(run / name, kept / name)
    weights = kept / _WEIGHTS[1]
    if (run / "model.keras").stat().st_size < 2 * _MOST_BYTES:  # float16 takes half of that
        weights.parent.mkdir(exist_ok=True)
        export(ExportConfig(model=str(run), format="onnx", out=weights))
        halve_onnx(weights)
    return kept


def _without_place(value: Any) -> Any:
    """Of a path its name: where a training read and wrote on its machine tells nobody anything."""
    if isinstance(value, tuple):
        return tuple(map(_without_place, value))
    return Path(value.name) if isinstance(value, Path) else value


def _check(runs: Sequence[Path]) -> None:
    if not runs:
        raise InputError("no run in the zoo: keep one by --keep RUN")
    for run in runs:
        if not (run / "metrics.json").is_file():
            raise InputError(f"{run}: metrics.json is missing; is the training finished?")
    names = [_name(run) for run in runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two runs are called {', '.join(sorted(twice))}: rename a folder")


def _name(run: Path) -> str:
    return run.resolve().name


# --- the page ---


def _table(group: Group) -> str:
    rows = [_row(scored) for scored in group.runs]
    lines = [f"| {' | '.join(cells)} |" for cells in (_COLUMNS, ["---"] * len(_COLUMNS), *rows)]
    head, _, rest = group.protocol.partition(", ")
    return "\n".join([f"## {head}", "", *([f"{rest}:", ""] if rest else ()), *lines])


def _row(scored: ScoredRun) -> Sequence[str]:
    settings = json.loads((scored.run / "config.json").read_text())
    name = _name(scored.run)
    return (
        f"`{settings.get('model')}`",
        _score(scored.scores["iou"].get("sky")),
        _score(scored.scores["mean_iou"]),
        f"[{name}](#{_anchor(name)})",
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _anchor(name: str) -> str:
    """That of the heading "Run NAME", on the site and on GitHub alike."""
    return f"run-{''.join(c for c in name.lower() if c.isalnum() or c in '-_')}"


def _run_section(run: Path, is_packaged: bool, pictures: Path) -> str:
    name = _name(run)
    command = "see the [model card](model_card.md)" if is_packaged else _command(run)
    parts = [
        f"### Run {name}",
        f"- command: {command}\n- weights: {_weights(run)}\n- made with {_environment(run)}",
    ]
    if (run / "history.csv").is_file():
        parts += [_curves(run, pictures), _log(run)]
    return "\n\n".join(parts)


def _weights(run: Path) -> str:
    there = [run / name for name in _WEIGHTS if (run / name).is_file()]
    if not there:
        return "too large for the repository"
    told = (
        f"`{path.relative_to(run).as_posix()}`, {path.stat().st_size / 1e6:.1f} MB, sha256 "
        f"`{sha256_of(path)}`"
        for path in there
    )
    return "; ".join(told)


def _command(run: Path) -> str:
    from skyseg_tf.runs.folder import read_config
    from skyseg_tf.training.search import command_line
    from skyseg_tf.training.settings import TrainConfig

    try:
        return f"`{command_line(read_config(run, TrainConfig))}`"
    except InputError:  # settings that have since been renamed
        return "of another version of this program: see config.json in the run"


def _environment(run: Path) -> str:
    path = run / "environment.json"
    facts = json.loads(path.read_text()) if path.is_file() else {}
    versions = facts.get("versions", {})
    told = [
        f"{key} {versions[key]}"
        for key in ("skyseg_tf", "tensorflow", "keras", "jax")
        if key in versions
    ]
    told.append(f"Python {facts.get('python', 'unknown')}")
    commit = facts.get("git_commit")
    return ", ".join([*told, f"commit {commit[:12]}" if commit else "commit unknown"])


def _curves(run: Path, pictures: Path) -> str:
    """The picture of loss and IoU by epoch."""
    columns = read_history(run)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path = pictures / f"{_name(run)}.png"
    measure = "sky IoU" if trains_for_sky(run) else "mean IoU"
    save_figure(plot_learning_curves(rows, _name(run), measure), path)
    what = f"loss and {measure} of train and val by epoch"
    return f"![{_name(run)}: {what}]({path.relative_to(pictures.parent).as_posix()})"


def _log(run: Path) -> str:
    """Some epochs of history.csv, the first and the last among them."""
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) > _LOG_ROWS:
        last = len(rows) - 1
        rows = [rows[round(i * last / (_LOG_ROWS - 1))] for i in range(_LOG_ROWS)]
    keys = ("epoch", "loss", "val_loss", "val_iou", "seconds")
    lines = [f"| {' | '.join(cells)} |" for cells in (keys, ["---"] * len(keys))]
    lines += [f"| {' | '.join(_short(row.get(key, '')) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def _short(text: str) -> str:
    return f"{float(text):.4g}" if text else ""


def main(argv: list[str] | None = None, prog: str = "python tools/zoo.py") -> None:
    """Entry point of the command."""
    run_command(zoo, ZooConfig, argv, prog)


if __name__ == "__main__":
    main()
