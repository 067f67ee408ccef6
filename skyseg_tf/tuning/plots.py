"""Pictures of a search: a heat map over two settings, and all settings side by side."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from skyseg_tf.scoring.plots_frame import framed
from skyseg_tf.tuning.space import Parameter
from skyseg_tf.tuning.trials import TrialRow

_BINS, _COLORS, _GREY = 6, "viridis", "#8a8a8a"
_LABEL = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}


def cells(parameter: Parameter) -> tuple[list[str], Any]:
    """Cuts a setting into cells of a heat map.

    Args:
      parameter: one searched setting.

    Returns:
      The cells' labels, and a function from a value to its cell: one per listed value, equal
      parts of a range (on its own scale).
    """
    if parameter.kind == "listed":
        values = sorted(parameter.values, key=_order)
        return [_text(value) for value in values], values.index
    bins = min(_BINS, int(parameter.high - parameter.low) + 1) if parameter.kind == "int" else _BINS
    edges = [_at(parameter, i / bins) for i in range(bins + 1)]
    labels = [f"{a:.2g}\nto {b:.2g}" for a, b in pairwise(edges)]
    return labels, lambda value: min(int(position(parameter, value) * bins), bins - 1)


def position(parameter: Parameter, value: Any) -> float:
    """Where a value lies between the ends of its setting's axis, in 0-1."""
    if parameter.kind == "listed":
        values = sorted(parameter.values, key=_order)
        return values.index(value) / (len(values) - 1) if len(values) > 1 else 0.5
    scale = np.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return float((scale(value) - low) / (high - low))


def _at(parameter: Parameter, share: float) -> float:
    """Inverts `position` of a range."""
    low, high = parameter.low, parameter.high
    return low * (high / low) ** share if parameter.log else low + share * (high - low)


def _order(value: Any) -> tuple:
    """Numbers by size, before names; none first."""
    if value is None:
        return (0, 0.0, "")
    number = isinstance(value, int | float)
    return (1, float(value), "") if number else (2, 0.0, str(value))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_ON_THE_WAY = {"pruned": "stopped early", "running": "still running"}


def plot_heat_map(
    rows: Sequence[TrialRow], down: Parameter, across: Parameter, title: str, subtitle: str
) -> Figure:
    """The best score by two settings.

    Args:
      rows: trials; those without a score are left out.
      down: the setting of the rows.
      across: the setting of the columns.
      title: what was searched.
      subtitle: the protocol of the scores.
    """
    (rows_labels, row_of), (column_labels, column_of) = cells(down), cells(across)
    in_cell = defaultdict(list)
    for trial in (row for row in rows if row.score is not None):
        in_cell[row_of(trial.params[down.name]), column_of(trial.params[across.name])].append(trial)
    best = {cell: max(trials, key=_rank) for cell, trials in in_cell.items()}
    scores = np.full((len(rows_labels), len(column_labels)), np.nan)
    for cell, trial in best.items():
        if trial.state == "finished":  # the color scale is theirs alone
            scores[cell] = trial.score
    figure = Figure(
        figsize=(max(3.4 + 1.25 * len(column_labels), 7.5), 2.6 + 0.75 * len(rows_labels)),
        layout="constrained",
    )
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")
    picture = axes.imshow(scores, cmap=_COLORS, aspect="auto")
    for (row, column), trial in best.items():
        light = trial.state != "finished" or picture.norm(trial.score) > 0.55
        text = _cell_text(trial, len(in_cell[row, column]))
        color = "#111111" if light else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    if best:
        row, column = max(best, key=lambda cell: _rank(best[cell]))
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#e03131", linewidth=3)
        )
    axes.set_xticks(range(len(column_labels)), column_labels)
    axes.set_yticks(range(len(rows_labels)), rows_labels)
    axes.set_xlabel(across.name.replace("_", " "))
    axes.set_ylabel(down.name.replace("_", " "))
    figure.colorbar(picture, ax=axes, label="mean IoU on val")
    framed(figure, f"{title}: red is the best; grey: none trained to the end", subtitle)
    return figure


def _cell_text(trial: TrialRow, of: int) -> str:
    """What stands in a cell of the heat map, whose best trial of so many this is."""
    lines = [f"{trial.score:.4f}"]
    if trial.state in _ON_THE_WAY:
        lines = [f"val IoU {trial.score:.4f}", _ON_THE_WAY[trial.state]]
    if of > 1:
        lines.append(f"best of {of}")
    return "\n".join(lines)


def plot_parallel_coordinates(
    rows: Sequence[TrialRow], space: Sequence[Parameter], title: str, subtitle: str
) -> Figure:
    """One line per trial through all its settings to its score.

    Args:
      rows: trials; those without a score are left out.
      space: the searched settings, one axis each.
      title: what was searched.
      subtitle: the protocol of the scores.
    """
    known = sorted((row for row in rows if row.score is not None), key=_rank)
    scores = [row.score for row in known if row.state == "finished"]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1e-6)
    figure = Figure(figsize=(2.6 + 1.9 * (len(space) + 1), 5.2), layout="constrained")
    axes = figure.subplots()
    xs = np.arange(len(space) + 1)
    for i, row in enumerate(known):
        # Fanned out a little: trials that share a listed value would hide each other.
        fan = (i / max(len(known) - 1, 1) - 0.5) * 0.05
        ys = [position(p, row.params[p.name]) + fan * (p.kind == "listed") for p in space]
        ending = max(float(norm(row.score)), -0.05)  # below all finished ones: below the axis
        x, y = _smooth(xs, np.array([*ys, ending]))
        if row.state == "finished":
            color = ScalarMappable(norm, _COLORS).to_rgba(row.score)
            axes.plot(x, y, color=color, linewidth=1.6, alpha=0.9, zorder=2)
        else:
            axes.plot(x, y, "--", color=_GREY, linewidth=0.8, alpha=0.6, zorder=1)
    if scores:
        axes.plot(x, y, color="#e03131", linewidth=3, zorder=3)  # the last is the best
    for i, parameter in enumerate(space):
        _ticks(axes, i, *_labels(parameter))
    marks = np.linspace(0, 1, 6) if high > low else [0]
    _ticks(axes, len(space), marks, [f"{low + mark * (high - low):.3f}" for mark in marks])
    axes.set(xlim=(-0.45, len(space) + 0.45), ylim=(-0.06, 1.06), yticks=[])
    names = [p.name.replace("_", " ") + "\n(log scale)" * p.log for p in space]
    axes.set_xticks(xs, [*names, "mean IoU on val"], fontweight="bold")
    axes.tick_params(length=0, pad=8)
    axes.spines[:].set_visible(False)
    framed(figure, f"{title}: red is the best; dashed: not trained to the end", subtitle)
    return figure


def _rank(row: TrialRow) -> tuple[bool, float]:
    """Finished trials above all others: a score on the way is no result."""
    return row.state == "finished", row.score


def _smooth(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat where it crosses an axis, so that the eye can follow it through shared points."""
    t = np.linspace(0, 1, 30)
    ease = t * t * (3 - 2 * t)
    steps = zip(xs, xs[1:], ys, ys[1:], strict=False)
    x, y = zip(*[(a + (b - a) * t, c + (d - c) * ease) for a, b, c, d in steps], strict=True)
    return np.concatenate(x), np.concatenate(y)


def _labels(parameter: Parameter) -> tuple[Sequence[float], list[str]]:
    if parameter.kind == "listed":
        values = sorted(parameter.values, key=_order)
        return [position(parameter, value) for value in values], [_text(v) for v in values]
    marks = np.linspace(0, 1, 5)
    return marks, [f"{_at(parameter, mark):.2g}" for mark in marks]


def _ticks(axes, x: float, ys: Sequence[float], labels: Sequence[str]) -> None:
    axes.axvline(x, color="#333333", linewidth=1, zorder=4)
    for y, label in zip(ys, labels, strict=True):
        axes.plot([x - 0.02, x + 0.02], [y, y], color="#333333", linewidth=1, zorder=4)
        axes.text(x + 0.035, y, label, va="center", fontsize=9, zorder=5, bbox=_LABEL)
