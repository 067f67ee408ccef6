"""The model zoo page: what each run is and what it scores, made from run folders alone.

    python tools/zoo.py --runs runs/skyline_sky runs/bisenetv2 --out docs/zoo.md

Runs that were scored under one protocol share a table; unlike protocols never do. What a network
costs is measured by benchmarks/networks.py, for all of them alike.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.console.cli import run_command
from skyseg_tf.dashboard_pages.run_facts import Group, ScoredRun, group_scores
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.images import write_aside

_LOG_ROWS = 8  # epochs that a page shows of a training
_HEAD = (
    "# Model zoo\n\n"
    "Trainings with their commands and scores, made by `python tools/zoo.py` from run folders. The "
    "weights are not published; each command trains its network again. What each network costs: "
    "[Results](results.md#networks). Scores stand in one table only if they were made alike."
)
_COLUMNS = ("network", "sky IoU", "mean IoU", "run")


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """Write the model zoo page from run folders."""

    runs: tuple[Path, ...]
    """Run folders of `skyseg train`; each needs model.keras and metrics.json."""
    out: Path = Path("docs/zoo.md")
    """The page."""


def zoo(config: ZooConfig) -> Path:
    """Writes the page.

    Args:
      config: see ZooConfig.

    Returns:
      The page.

    Raises:
      InputError: no run, a run without scores or model, two runs of one name, a wrong setting.
    """
    _check(config)
    groups, damaged = group_scores(list(config.runs))
    if damaged:
        raise InputError("; ".join(damaged))
    parts = [_HEAD, *(_table(group) for group in groups), "## Runs"]
    parts += [_run_section(run) for run in config.runs]
    with write_aside(config.out) as aside:
        aside.write_text("\n\n".join(parts) + "\n")
    print(f"{config.out}: {len(config.runs)} runs under {len(groups)} protocols")
    return config.out


def _check(config: ZooConfig) -> None:
    if not config.runs:
        raise InputError("no run given: name run folders by --runs")
    for run in config.runs:
        for name in ("config.json", "metrics.json", "model.keras"):
            if not (run / name).is_file():
                raise InputError(f"{run}: {name} is missing; is the training finished?")
    names = [_name(run) for run in config.runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two runs are called {', '.join(sorted(twice))}: rename a folder")


def _name(run: Path) -> str:
    return run.resolve().name


# --- the page ---


def _table(group: Group) -> str:
    rows = [_row(scored) for scored in group.runs]
    lines = [f"| {' | '.join(cells)} |" for cells in (_COLUMNS, ["---"] * len(_COLUMNS), *rows)]
    return "\n".join([f"## {group.protocol}", "", *lines])


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
    return f"run-{''.join(c if c.isalnum() or c in '-_' else '-' for c in name.lower())}"


def _run_section(run: Path) -> str:
    weights, name = run / "model.keras", _name(run)
    parts = [
        f"### {name} {{#{_anchor(name)}}}",
        f"- command: {_command(run)}\n"
        f"- weights: `model.keras`, {weights.stat().st_size / 1e6:.1f} MB, sha256 "
        f"`{sha256_of(weights)}`\n"
        f"- made with {_environment(run)}",
    ]
    return "\n\n".join([*parts, _log(run)]).rstrip()


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


def _log(run: Path) -> str:
    """Some epochs of history.csv, the first and the last among them."""
    path = run / "history.csv"
    if not path.is_file():
        return ""
    with open(path, newline="") as file:
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
