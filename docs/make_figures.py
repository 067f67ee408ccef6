"""Writes the tables of figures into the pages, from docs/figures/ and the code.

python docs/make_figures.py

A table lies between `<!-- figures: NAME -->` and `<!-- end -->`; what stands there by hand is
written over. docs/figures/ holds what was measured: `demo.json` is the metrics.json of `make train`,
`networks.json` and `packaged.json` are written by benchmarks/networks.py and
benchmarks/boxed_model.py with --out, `faults.json`, `server.json` and `fuzzing.json` by
benchmarks/faults.py, benchmarks/server.py and tools/fuzz.py; the others hold the rows that benchmarks/training.py
(`hour.json`) and the trainings of docs/results.md (`longer.json`) printed.
`failures.json` is written by tools/failures_picture.py. `streets.json` holds the metrics.json that
`skyseg evaluate` wrote of the packaged `streets`, by dataset, and `idd.json` those of all networks that
were trained on IDD-lite, with what they cost. `benchmarks/` holds what the scripts of that name wrote with --out (`make bench`), one comparison a
row; docs/benchmarks.png is drawn from them. `growth.json` is written by benchmarks/growth.py with --out.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from skyseg_tf.images import write_aside
from skyseg_tf.labels import SCHEMES
from skyseg_tf.models.networks import MODELS
from skyseg_tf.runs.packaged import WEIGHTS, read_packaged
from skyseg_tf.scoring.plots import save_figure
from skyseg_tf.training.settings import TrainConfig

DOCS = Path(__file__).parent
sys.path.append(str(DOCS.parent / "benchmarks"))
from compare import Row

BENCHMARKS = sorted(path.stem for path in (DOCS / "figures" / "benchmarks").glob("*.json"))
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.S)
_PHOTOS = {
    "camvid_cityscapes": "CamVid val drive (101)",
    "labelmefacade": "LabelMeFacade, a third (33)",
    "ade20k_sky": "ADE20K, a third (33, most without sky)",
    "idd_lite": "IDD-lite val (204)",
    "horizon_uav": "Horizon-UAV, from the air, a third (122)",
    "skyfinder": "SkyFinder, by day and night, a third (40)",
    "msrc": "MSRC, objects, a third (131, most without sky)",
    "fisheye": "up through foliage, a third (15)",
}
_CAMVID11 = DOCS.parent / "zoo" / "camvid11_skyline_lite0" / "metrics.json"
_CLIENTS = {
    "quick": "send their photo at once",
    "stalled": "stop in the middle of it",
    "trickling": "send a byte now and then",
    "half headers": "never end their headers",
    "hanging up": "close the connection in the middle",
}
_IN_README = ("camvid_cityscapes", "labelmefacade", "ade20k_sky", "horizon_uav", "skyfinder")


def read(name: str) -> dict | list:
    """A file of docs/figures."""
    return json.loads((DOCS / "figures" / f"{name}.json").read_text())


def table(head: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """A table of Markdown.

    Args:
      head: names of the columns.
      rows: the cells.
      words: so many columns from the left hold words, the others numbers.
    """
    lines = [head, ["---"] * words + ["---:"] * (len(head) - words), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def paper(name: str) -> str:
    """Where a network is published, without the authors' names."""
    return MODELS[name].paper or "a design of this package"


def networks() -> str:
    """What each network costs."""
    facts, learned = read("networks")["networks"], read("idd")
    rows = [
        (
            f"`{name}`",
            paper(name),
            f"{facts[name]['parameters'] / 1e6:.1f}",
            facts[name]["forward_ms"],
            f"{learned[name]['mean_iou']:.3f}" if name in learned else "-",
        )
        for name in MODELS
    ]
    return table(("`--model`", "paper", "parameters, 10⁶", "ms", "IDD-lite mIoU"), rows, 2)


def all_of_networks() -> str:
    """What each network costs."""
    costs = read("networks")
    sizes = ["x".join(map(str, costs[key])) for key in ("gmac_size", "size")]
    half = "x".join(str(side // 2) for side in costs["size"])
    head = (
        "`--model`",
        "parameters",
        f"GMACs, {sizes[0]}",
        f"forward ms, {sizes[1]}",
        f"train step ms, {costs['batch_size']} of {half}",
    )
    rows = []
    for name in MODELS:
        fact = costs["networks"][name]
        cells = (f"{fact['parameters']:,}", fact["gmacs"], fact["forward_ms"], fact["step_ms"])
        rows.append((f"`{name}`", *cells))
    return table(head, rows)


def hour_summary() -> tuple[tuple[str, str], tuple[str, str]]:
    """Means over the seeds of the hour beside PyTorch: (sky IoU, mean IoU) of ours and theirs."""
    sides = read("hour").values()
    return tuple(
        tuple(f"{statistics.mean(row[key] for row in rows):.3f}" for key in ("sky_iou", "mean_iou"))
        for rows in sides
    )


def _demo_row() -> tuple[str, ...]:
    demo = read("demo")
    what = f"drawn streets, `make train` ({TrainConfig().epochs} epochs)"
    return what, "`skyline`", f"{demo['iou']['sky']:.3f}", f"{demo['mean_iou']:.3f}"


def _several_classes_rows() -> list[tuple[str, ...]]:
    """Of IDD-lite the best network, of CamVid the public split."""
    name, row = max(read("idd").items(), key=lambda item: item[1]["mean_iou"])
    camvid = json.loads(_CAMVID11.read_text())
    told = (
        (f"IDD-lite, 7 classes, from {row['start']}, {row['minutes']} minutes", name, row),
        ("CamVid, 11 classes, 85 minutes", "skyline_lite0", camvid),
    )
    return [
        (what, f"`{network}`", f"{found['iou']['sky']:.3f}", f"{found['mean_iou']:.3f}")
        for what, network, found in told
    ]


def _hour_rows() -> list[tuple[str, ...]]:
    network, (ours, theirs) = "`unet_efficientnet_b2`", hour_summary()
    return [
        ("CamVid, classes cityscapes19, an hour (3 seeds)", network, *ours),
        ("the same with segmentation_models.pytorch", network, *theirs),
    ]


_TRAINED = ("trained on", "network", "sky IoU", "mean IoU")


def results() -> str:
    """The scores of the trainings that are told on the page of results."""
    longer = [
        (
            f"{row['data']}, {row['minutes']} minutes",
            f"`{row['network']}`",
            f"{row['sky_iou']:.3f}",
            f"{row['mean_iou']:.3f}",
        )
        for row in read("longer")
    ]
    return table(_TRAINED, [_demo_row(), *longer, *_several_classes_rows(), *_hour_rows()], 2)


def in_short() -> str:
    """The rows of the page of results that a reader looks for first."""
    return table(_TRAINED, [_demo_row(), *_several_classes_rows(), *_hour_rows()], 2)


def hour() -> str:
    """An hour of training, ours and PyTorch's."""
    rows = []
    for side, seeds in read("hour").items():
        for i, row in enumerate(seeds):
            scores = (f"{row['sky_iou']:.3f}", f"{row['mean_iou']:.3f}")
            rows.append(
                (side if i == 0 else "", row["seed"], row["epochs"] or "", row["minutes"], *scores)
            )
        spread = []
        for key in ("sky_iou", "mean_iou"):
            values = [row[key] for row in seeds]
            spread.append(f"**{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}**")
        rows.append(("", "**mean and spread**", "", "", *spread))
    return table(("", "seed", "epochs", "minutes", "sky IoU", "mean IoU"), rows)


def idd() -> str:
    """What networks learned from IDD-lite, of its own val split."""
    rows = [
        (
            f"`{name}`",
            row["start"],
            "x".join(map(str, row["size"])),
            row["epochs"],
            row["minutes"],
            *(f"{row['iou'][label]:.3f}" for label in SCHEMES["idd7"].class_names),
            f"**{row['mean_iou']:.3f}**",
        )
        for name, row in read("idd").items()
    ]
    head = ("network", "starts from", "size", "epochs", "minutes", *SCHEMES["idd7"].class_names)
    return table((*head, "mean"), rows, 2)


def camvid11() -> str:
    """IoU of each class of the network that was trained on CamVid's public split."""
    found = json.loads(_CAMVID11.read_text())
    scores = (f"{value:.3f}" for value in found["iou"].values())
    return table((*found["iou"], "mean"), [(*scores, f"**{found['mean_iou']:.3f}**")], 0)


def streets() -> str:
    """IoU of each class of the packaged `streets`."""
    rows = []
    for photos, found in read("streets").items():
        scores = (f"{value:.3f}" for value in (*found["iou"].values(), found["mean_iou"]))
        rows.append((_PHOTOS[photos], *scores))
    return table(("photos", *SCHEMES["idd7"].class_names, "mean"), rows)


def packaged() -> str:
    """Sky IoU and boundary F of the packaged networks with refinement."""
    found = read("packaged")
    names = [name for name in read_packaged()["models"] if name in found]
    rows = []
    for photos in _IN_README:
        cells = []
        for name in names:
            (row,) = (r for r in found[name] if r["photos"] == photos and r["refined"])
            cells.append(f"{row['iou']:.3f} / {row['f_2px']:.3f}")
        rows.append((_PHOTOS[photos].replace(", a third", ""), *cells))
    return table(("sky IoU / boundary F at 2 px", *(f"`{name}`" for name in names)), rows)


def all_of_packaged() -> str:
    """All rows of the networks in the package and of the peer."""
    head = ("photos", "network", "", "IoU", "F 1 px", "2 px", "4 px", "false sky", "ECE")
    rows = []
    for name, found in read("packaged").items():
        shown = (
            f"`{name}`"
            if name in read_packaged()["models"]
            else "U-Net of segmentation_models.pytorch"
        )
        for row in found:
            edges = (row[f"f_{pixels}px"] for pixels in (1, 2, 4))
            false = "-" if row["false_sky"] is None else f"{row['false_sky']:.2%}"
            rows.append(
                (
                    _PHOTOS[row["photos"]],
                    shown,
                    "refined" if row["refined"] else "plain",
                    f"{row['iou']:.3f}",
                    *("-" if edge is None else f"{edge:.3f}" for edge in edges),
                    false,
                    "-"
                    if row.get("calibration_error") is None
                    else f"{row['calibration_error']:.3f}",
                )
            )
    return table(head, rows, 3)


def packaged_costs() -> str:
    """What the packaged networks are."""
    costs = read("networks")["networks"]
    rows = []
    for name, packaged in read_packaged()["models"].items():
        network = json.loads((WEIGHTS / name / "config.json").read_text())["model"]
        size = (WEIGHTS / name / "exports" / "model_f32.onnx").stat().st_size / 1e6
        millions = f"{packaged['parameters'] / 1e6:.2f}"
        gmacs = costs[network]["gmacs"]
        rows.append((f"`{name}`", f"`{network}`", millions, f"{size:.1f}", gmacs))
    return table(("name", "network", "parameters, 10⁶", "MB as ONNX", "GMACs, 512x1024"), rows, 2)


def failures() -> str:
    """The line below the picture of failures."""
    scenes, rooms = (read("failures")[name] for name in ("scenes", "rooms"))
    return (
        f"*The worst {scenes['shown']} of {scenes['drawn']} drawn scenes in all conditions and the "
        f"worst {rooms['shown']} of {rooms['drawn']} drawn rooms, of a seed that no training saw. "
        f"On average {scenes['wrong']:.1%} and {rooms['wrong']:.1%} of the pixels are wrong.*"
    )


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


def faults() -> str:
    """What became of commands that were killed and run again."""
    kinds = ("at a renaming", "at random")
    tries = [row for row in read("faults")["rows"] if row["tries"]]
    rows = []
    for command in dict.fromkeys(row["command"] for row in tries):
        own = [row for row in tries if row["command"] == command]
        killed = (sum(row["tries"] for row in own if row["fault"] == kind) for kind in kinds)
        found = (sum(row[key] for row in own) for key in ("lost", "unequal", "left"))
        rows.append((f"`{command}`", *killed, *found))
    head = ("command", *(f"killed {kind}" for kind in kinds), "lost", "unequal", "left behind")
    return table(head, rows)


def server() -> str:
    """What 200 clients get of a server, and what they cost it."""
    found = read("server")
    names = {"mask": "masks", "refusal": "refusals", "health": "answers of `/health`"}
    rows = [
        (names[key], found[key]["count"], found[key]["p50_ms"], found[key]["p99_ms"])
        for key in names
    ]
    answers = {kind: [] for kind in found["clients"]}  # /health is asked by none of the 200
    for name, count in found["answers"].items():
        kind, status = name.rsplit(" ", 1)
        told = f"{count:,} times {'no answer' if status == 'none' else status}"
        answers.get(kind, []).append(told)
    clients = [
        (kind, _CLIENTS[kind], count, ", ".join(answers[kind]))
        for kind, count in found["clients"].items()
    ]
    memory = found["memory_mb"]
    about = (
        f"{found['seconds']:.0f} s on {found['cores']} cores, photos of {found['photo']}. Memory of "
        f"the server: {memory['before']} MB before, {memory['most']} MB at most, {memory['after']} "
        f"MB afterwards. Lines in its log: {found['lines_in_the_log']}."
    )
    lines = ["| clients | that | number | got |", "| --- | --- | ---: | --- |"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in clients]
    times = table(("", "number", "p50 ms", "p99 ms"), rows)
    return "\n\n".join((times, "\n".join(lines), about))


def fuzzing() -> str:
    """How many changed files each parser was given, and how many kinds of findings there were."""
    rows = [
        (
            f"`{name}`",
            row["about"],
            f"{row['seconds'] / 60:.1f}",
            f"{row['files']:,}",
            len(row["findings"]),
        )
        for name, row in read("fuzzing").items()
    ]
    return table(("parser", "files of", "minutes", "read", "kinds of findings"), rows, 2)


def plot_benchmarks() -> Figure:
    """All ratios as bars from 1, to the right where we are faster, by file."""
    rows = [Row(**row) for name in BENCHMARKS for row in read(f"benchmarks/{name}")["rows"]]
    ratios = [statistics.median(row.ratios) for row in rows]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    spread = [
        [ratio - min(row.ratios) for row, ratio in zip(rows, ratios, strict=True)],
        [max(row.ratios) - ratio for row, ratio in zip(rows, ratios, strict=True)],
    ]
    reached = [ratio >= (row.wanted or 1) for row, ratio in zip(rows, ratios, strict=True)]
    colors = ["#2e7d32" if is_reached else "#b0651d" for is_reached in reached]
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
        "green: the aim is reached, or the peer where there is none",
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
        column[1].set_ylim(0, 1.08 * column[1].dataLim.y1)
        column[1].set_xlabel(kind)
        ticks = sorted({x for line in lines if line["name"].startswith(kind) for x in line["x"]})
        ticks = ticks if len(ticks) < 7 else ticks[::2]
        column[1].set_xticks(
            ticks, [f"{tick:.2g}" if tick < 10 else f"{tick:.0f}" for tick in ticks]
        )
        column[1].xaxis.set_minor_locator(NullLocator())
        column[0].legend(fontsize=7, frameon=False, loc="best")
    axes[0, 0].set_ylabel("seconds (dotted: in proportion)")
    axes[1, 0].set_ylabel("peak memory, MB")
    return figure


def named(*makers: Callable[[], str]) -> dict[str, Callable[[], str]]:
    """Tables by the names under which pages ask for them."""
    return {maker.__name__: maker for maker in makers}


PAGES = {
    DOCS.parent / "README.md": named(packaged, networks, in_short),
    DOCS / "results.md": named(results, camvid11, idd, all_of_networks, hour),
    DOCS / "model_card.md": named(failures, packaged_costs, streets, all_of_packaged),
    DOCS / "explanation" / "faults.md": named(faults, server, fuzzing),
    DOCS / "benchmarks.md": {
        **{name: partial(benchmark, name) for name in BENCHMARKS},
        **named(growth),
    },
}
OPEN = DOCS / "benchmarks.md"  # takes a table for whatever `make bench` has measured


def page(path: Path) -> str:
    """The page with its tables as they should be.

    Raises:
      LookupError: a table is missing, or one that nobody makes.
    """
    makers, text = PAGES[path], path.read_text()
    if path == OPEN:
        new = [name for name in makers if f"<!-- figures: {name} -->" not in text]
        text += "".join(
            f"\n## `{name}.py`\n\n<!-- figures: {name} -->\n<!-- end -->\n" for name in new
        )
    there = [name for _, name, _ in _BLOCK.findall(text)]
    if sorted(there) != sorted(makers):
        raise LookupError(f"{path.name} has the tables {there}, not {list(makers)}")
    return _BLOCK.sub(lambda block: f"{block[1]}{makers[block[2]]()}\n{block[3]}", text)


if __name__ == "__main__":
    for path in PAGES:
        with write_aside(path) as aside:
            aside.write_text(page(path))
        print(path)
    save_figure(plot_benchmarks(), DOCS / "benchmarks.png")
    save_figure(plot_growth(), DOCS / "growth.png")
