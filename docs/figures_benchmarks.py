"""Tables and plots of speeds: against peers, and as work grows.

`docs/figures/benchmarks/` holds what the scripts of that name wrote with --out (`make bench`), one
comparison a row; docs/benchmarks.png is drawn from them. `growth.json` is written by
benchmarks/growth.py with --out.
"""

import statistics

from figures_source import FIGURES, read, table
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from benchmarks.compare import Row

BENCHMARKS = sorted(path.stem for path in (FIGURES / "benchmarks").glob("*.json"))


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def benchmark(name: str) -> str:
    """The rows of a file of docs/figures/benchmarks, with where and how they were measured."""
    found = read(f"benchmarks/{name}")
    rows = []
    for row in (Row(**row) for row in found["rows"]):
        own, other = (statistics.median(part) for part in (row.values, row.peer_values))
        ratio = statistics.median(row.ratios)
        aim = f"{row.wanted:g}" if row.wanted else ""
        rows.append(
            (
                f"{row.what}, {row.unit}",
                f"{row.ours}: {_three_digits(own)}",
                f"{row.peer}: {_three_digits(other)}",
                f"{ratio:.2f}",
                f"{min(row.ratios):.2f} to {max(row.ratios):.2f}",
                f"**{aim}**" if ratio < row.wanted else aim,
            )
        )
    head = ("task", "ours", "peer", "times as fast", "spread", "aim")
    versions = f"; {found['versions']}" if found["versions"] else ""
    rounds = len(found["rows"][0]["values"])
    about = f"{found['machine']}{versions}; medians of {rounds} rounds; `{found['command']}`"
    return f"{table(head, rows, 3)}\n\n{about}"


def plot_benchmarks() -> Figure:
    """All ratios as bars from 1, to the right where we are faster, by file."""
    rows = [Row(**row) for name in BENCHMARKS for row in read(f"benchmarks/{name}")["rows"]]
    ratios = [statistics.median(row.ratios) for row in rows]
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    spread = [
        [ratio - min(row.ratios) for row, ratio in zip(rows, ratios, strict=True)],
        [max(row.ratios) - ratio for row, ratio in zip(rows, ratios, strict=True)],
    ]
    reached = [ratio >= (row.wanted or 1) for row, ratio in zip(rows, ratios, strict=True)]
    colors = ["#2c7fb8" if is_reached else "#d95f0e" for is_reached in reached]
    places = range(len(rows))
    lengths = [ratio - 1 for ratio in ratios]
    axes.barh(places, lengths, left=1, xerr=spread, color=colors, ecolor="#333333")
    axes.set_yticks(places, [f"{row.what}: {row.ours} vs {row.peer}" for row in rows])
    column = axes.get_yaxis_transform()  # of values, where no bar and no mark is
    for place, ratio in zip(places, ratios, strict=True):
        axes.text(1.01, place, f"{ratio:.2f}", va="center", fontsize=9, transform=column)
    aims = [(row.wanted, place) for place, row in zip(places, rows, strict=True) if row.wanted]
    axes.plot(*zip(*aims, strict=True), "|", color="black", markersize=13, label="aim")
    axes.set_xscale("log")
    axes.set_xlim(
        min(min(row.ratios) for row in rows) / 1.3, 1.5 * max(max(row.ratios) for row in rows)
    )
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 32], ["1/4", "1/2", "1", "2", "4", "8", "32"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color="#555555", linewidth=1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        "times as fast as the peer (log scale), median; line: smallest and largest round\n"
        "blue: the aim is reached, or the peer where there is none; orange: not",
        x=1,
        ha="right",
    )
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1 + 1.2 / len(rows)), frameon=False)
    return figure


def growth() -> str:
    """What a process takes at the ends of each line of growth.json, and between them."""
    rows = []
    for line in read("growth")["lines"]:
        what, name = line["name"].split(": ", 1)
        x, seconds, memory = line["x"], line["seconds"], line["peak_mb"]
        rows.append(
            (
                f"{what} ({name})",
                f"{x[0]:g} to {x[-1]:g}",
                f"{x[-1] / x[0]:.0f}",
                f"{seconds[-1] / seconds[0]:.2g}",
                f"{seconds[0]:.3g} to {seconds[-1]:.3g}",
                f"{memory[0]:,.0f} to {memory[-1]:,.0f}",
            )
        )
    head = ("what grows", "from, to", "times", "time grows", "seconds", "peak MB")
    return f"{table(head, rows)}\n\n{read('growth')['machine']}; `python benchmarks/growth.py`"


def plot_growth() -> Figure:
    """Seconds and memory over what grows; a dotted line each shows what grows alike."""
    lines = read("growth")["lines"]
    kinds = list(dict.fromkeys(line["name"].split(": ")[0] for line in lines))
    figure = Figure(figsize=(3 * len(kinds), 6.4), layout="constrained")
    axes = figure.subplots(2, len(kinds), sharex="col", squeeze=False)
    for column, kind in zip(axes.T, kinds, strict=True):
        for line in (line for line in lines if line["name"].startswith(f"{kind}: ")):
            x, seconds = line["x"], line["seconds"]
            label = line["name"].removeprefix(f"{kind}: ")
            (drawn,) = column[0].plot(x, seconds, "o-", label=label, markersize=4)
            ideal = [seconds[0] * (x[0] / each if kind == "cores" else each / x[0]) for each in x]
            column[0].plot(x, ideal, ":", color=drawn.get_color(), linewidth=1)
            column[1].plot(x, line["peak_mb"], "o-", color=drawn.get_color(), markersize=4)
        for each in column:
            each.set_xscale("log")
            each.spines[["top", "right"]].set_visible(False)
        column[0].set_yscale("log")
        column[0].yaxis.set_major_formatter("{x:g}")
        column[0].yaxis.set_minor_formatter(NullFormatter())
        column[1].set_ylim(0, 1.08 * column[1].dataLim.y1)
        column[1].set_xlabel(kind)
        ticks = sorted({x for line in lines if line["name"].startswith(kind) for x in line["x"]})
        ticks = ticks if len(ticks) < 7 else ticks[::2]
        column[1].set_xticks(
            ticks, [f"{tick:.2g}" if tick < 10 else f"{tick:.0f}" for tick in ticks]
        )
        column[1].xaxis.set_minor_locator(NullLocator())
        column[0].legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    axes[0, 0].set_ylabel("seconds (dotted: in proportion)")
    axes[1, 0].set_ylabel("peak memory, MB")
    return figure
