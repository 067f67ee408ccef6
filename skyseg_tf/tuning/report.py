"""What a search says of its trials: the table, the plots, and which is the best."""

import csv
from collections.abc import Sequence
from pathlib import Path

from skyseg_tf.errors import InputError, counted
from skyseg_tf.files.aside import write_aside
from skyseg_tf.runs.folder import read_json
from skyseg_tf.scoring import plots
from skyseg_tf.tuning.plots import plot_heat_map, plot_parallel_coordinates
from skyseg_tf.tuning.space import Parameter
from skyseg_tf.tuning.trials import TrialRow, trial_folder

_SCORES = ("mean_iou", "val_iou")  # columns of trials.csv


def ordered(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """The best first; those on the way, pruned and failed after the finished ones."""
    states = ("finished", "running", "pruned", "waiting", "failed")
    return sorted(rows, key=lambda row: (states.index(row.state), -(row.score or 0), row.number))


def _scores(row: TrialRow) -> tuple[float | None, float | None]:
    """Mean IoU, of a finished trial alone, and the best IoU of its epochs: of the sky scheme sky's."""
    return row.score if row.state == "finished" else None, max(row.curve.values(), default=None)


def write_table(path: Path, rows: Sequence[TrialRow], space: Sequence[Parameter]) -> None:
    """Writes trials.csv, the best first."""
    names = [parameter.name for parameter in space]
    with write_aside(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", *_SCORES, *names, "epochs", "seconds", "reason"])
        for row in ordered(rows):
            values = ["none" if row.params.get(n) is None else row.params[n] for n in names]
            scores = ["" if score is None else score for score in _scores(row)]
            seconds = round(row.seconds, 1)
            ending = [len(row.curve), seconds, row.reason]
            writer.writerow([row.number, row.state, *scores, *values, *ending])


def table(rows: Sequence[TrialRow], space: Sequence[Parameter]) -> str:
    """The trials for a terminal, the best first."""
    names = [parameter.name for parameter in space]
    lines = [["trial", "mean IoU", "val IoU", *names, "epochs", "min", "state"]]
    for row in ordered(rows):
        values = [str(row.params.get(name, "-")) for name in names]
        ending = f"{row.state}: {row.reason[:80]}" if row.reason else row.state
        epochs, minutes = str(len(row.curve)), f"{row.seconds / 60:.1f}"
        scores = ["-" if score is None else f"{score:.4f}" for score in _scores(row)]
        lines.append([str(row.number), *scores, *values, epochs, minutes, ending])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(c.rjust(w) for c, w in zip(line, widths, strict=False)), line[-1]])
        for line in lines
    )


def write_report(folder: Path, rows: Sequence[TrialRow], space: Sequence[Parameter]) -> TrialRow:
    """Writes table and plots; prints the table and which trial is the best.

    Args:
      folder: of the search.
      rows: its trials.
      space: what was varied.

    Returns:
      The best trial.

    Raises:
      InputError: no trial finished.
    """
    write_table(folder / "trials.csv", rows, space)
    print(table(rows, space))
    best = ordered(rows)[0]
    if best.state != "finished":
        reasons = [f"trial {row.number}: {row.reason}" for row in rows if row.reason]
        raise InputError(
            f"{folder}: no trial finished ({(reasons or ['still running'])[0]}); narrow "
            "--space or give more --trials"
        )
    running = sum(row.state == "running" for row in rows)
    if running:
        told = f"{counted(running, 'trial')} still at work in other processes"
        print(f"{told}: the last one to end reports")
    run = trial_folder(folder, best.number)
    protocol = read_json(run / "metrics.json").get("protocol", "")
    title = f"{folder.name}, {counted(len(rows), 'trial')}"
    figures = {"parallel_coordinates": plot_parallel_coordinates(rows, space, title, protocol)}
    if pair := heat_map_axes(space):
        figures["heat_map"] = plot_heat_map(rows, *pair, title, protocol)
    for name, figure in figures.items():
        plots.save_figure(figure, folder / "plots" / f"{name}.png")
    print(f"({protocol})\nlook at {folder / 'plots'} and {folder / 'trials.csv'}")
    print(f"best: trial {best.number}, mean IoU {best.score:.4f}, {run}")
    return best


def heat_map_axes(space: Sequence[Parameter]) -> tuple[Parameter, Parameter] | None:
    """Batch size and learning rate where both are searched, else the first two; None for one."""
    named = {parameter.name: parameter for parameter in space}
    if {"batch_size", "learning_rate"} <= named.keys():
        return named["batch_size"], named["learning_rate"]
    return (space[0], space[1]) if len(space) > 1 else None
