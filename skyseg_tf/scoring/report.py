"""report.html of an evaluation: one file that can be sent to someone, made from the run folder.

Everything in it is read from RUN (config.json, environment.json, history.csv, plots/) and from
RUN/evaluation/<name>; pictures are inside the file, and it loads nothing from elsewhere.
"""

import base64
import csv
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from skyseg_tf.images import write_aside
from skyseg_tf.runs.model_folders import evaluations_of, run_of
from skyseg_tf.scoring.comparison import read_evaluation

# File name of a plot, heading, and what to look for.
_PLOTS = (
    ("iou_scores", "IoU by class", "The dashed line is the mean."),
    ("outline", "Edges of the sky",
     "Left: the share of the sky's outline that is found within a few pixels (F score). Right: IoU "
     "inside a band along the true outline, where segmentation is hard."),
    ("reliability", "Calibration",
     "On the diagonal, a probability of 0.8 means sky in 8 of 10 cases. Below the diagonal the "
     "network says sky too readily, above it too rarely."),
    ("image_iou", "Photo by photo", "A high mean can hide photos that fail: look at the left end."),
    ("confusion_matrix", "What is taken for what", "Rows are the truth; each adds up to 100 %."),
    ("worst", "The worst photos", "Photos with next to no sky, true or predicted, are left out."),
)  # fmt: skip
_STYLE = """
:root{--ink:#1c2530;--dim:#5d6b7a;--line:#dde3ea;--paper:#fff;--card:#f5f8fb;--accent:#2c7fb8}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa7b4;--line:#30363d;
--paper:#12171d;--card:#1a2129;--accent:#6cb6e6}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;
padding:2rem 1rem 4rem;max-width:62rem}
h1{margin:0;font-size:1.7rem;overflow-wrap:anywhere}h2{margin:2.5rem 0 .3rem;font-size:1.2rem}
p{margin:.3rem 0 .8rem}.dim{color:var(--dim)}
.protocol{border-left:3px solid var(--accent);padding:.2rem .8rem;margin:1rem 0;color:var(--dim)}
.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem 1rem;
min-width:8.5rem}.card b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}
.card small{color:var(--dim)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child{text-align:left}th{color:var(--dim);font-weight:600}
img{max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:.4rem}
details{margin:.8rem 0}summary{cursor:pointer}td.text{text-align:left;overflow-wrap:anywhere}
"""


def write_report(run: str | Path, name: str) -> Path:
    """Writes report.html into an evaluation.

    Args:
      run: run folder, model file, or name of a boxed model.
      name: of an evaluation in it.

    Returns:
      The file.

    Raises:
      InputError: no such evaluation.
    """
    folder = evaluations_of(run) / name
    scores = read_evaluation(run, name)
    kind, run = "run" if run_of(run) else "model", run_of(run) or Path(run)
    parts = [
        f"<h1>{escape(scores['network'])}: {escape(scores['protocol_facts']['data'])}</h1>",
        f"<p class=dim>{kind} {escape(run.resolve().name)}</p>",
        f"<p class=protocol>{escape(scores['protocol'])}</p>",
        _cards(scores),
        _notes(scores),
    ]
    plots = {file: _plot(folder / "plots" / f"{file}.png", *text) for file, *text in _PLOTS}
    parts += [plots["iou_scores"], _class_table(scores), _category_table(scores)]
    parts += [plots["outline"], plots["reliability"], plots["image_iou"], _sky_table(scores)]
    parts += [plots["confusion_matrix"], plots["worst"], _training(run, scores)]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(scores['network'])}: {escape(name)}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
    with write_aside(folder / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _number(value: float | str | None, digits: int = 3) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.{digits}f}"


def _between(interval: Sequence | None) -> str:
    if not interval or None in interval:
        return ""
    return f"{interval[0]:.3f} – {interval[1]:.3f}"


def _cards(scores: dict) -> str:
    """The few figures that one looks at first."""
    intervals = scores.get("confidence_intervals", {})
    cards = [("mean IoU", scores["mean_iou"], intervals.get("mean_iou"))]
    if sky := scores.get("sky"):
        between = intervals.get("iou", {}).get("sky")
        cards.append(("sky IoU", sky["iou"], between))
        between = intervals.get("boundary_f", {}).get("2")
        cards.append(("sky boundary F, 2 px", sky["boundary_f"]["2"], between))
        cards.append(("calibration error", sky["calibration_error"], None))
    cards.append(("pixel accuracy", scores["pixel_accuracy"], intervals.get("pixel_accuracy")))
    for key, label in (
        ("mean_category_iou", "mean IoU, categories"),
        ("mean_iiou", "mean iIoU"),
        ("mean_category_iiou", "mean iIoU, categories"),
    ):
        if key in scores:
            cards.append((label, scores[key], None))
    shown = "".join(
        f"<div class=card><small>{label}</small><b>{_number(value)}</b>"
        f"<small>{_between(interval)}</small></div>"
        for label, value, interval in cards
    )
    return f"<div class=cards>{shown}</div>"


def _notes(scores: dict) -> str:
    """How to read the figures."""
    notes = [f"{scores['images']} photos."]
    if intervals := scores.get("confidence_intervals"):
        notes.append(
            f"Ranges are {100 * intervals['level']:.0f} % bootstrap intervals over photos "
            f"({intervals['resamples']} resamples): other photos of the same kind, the same network."
        )
    if scores["settings"].get("split") == "val":
        notes.append(
            "If the training chose its epoch by this split, the figures flatter it a little."
        )
    return f"<p class=dim>{escape(' '.join(notes))}</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: bool = False) -> str:
    """An HTML table; cells are escaped here."""
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    mark = " class=text" if text else ""
    body = "".join(
        f"<tr>{''.join(f'<td{mark}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<div class=wide><table><tr>{heads}</tr>{body}</table></div>"


def _class_table(scores: dict) -> str:
    intervals = scores.get("confidence_intervals", {}).get("iou", {})
    matrix = scores["confusion_matrix"]
    total = max(1, sum(map(sum, matrix)))
    head = ["class", "IoU", *(["95 % interval"] if intervals else []), "Dice"]
    head += [*(["iIoU"] if "iiou" in scores else []), "share of pixels"]
    rows = []
    for i, (name, value) in enumerate(scores["iou"].items()):
        row = [name, _number(value), *([_between(intervals.get(name))] if intervals else [])]
        row.append(_number(scores["dice"][name]))
        row += [_number(scores["iiou"].get(name))] if "iiou" in scores else []
        rows.append([*row, f"{100 * sum(matrix[i]) / total:.2f} %"])
    return _table(head, rows)


def _category_table(scores: dict) -> str:
    if "category_iou" not in scores:
        return ""
    weighted = scores.get("category_iiou", {})
    rows = [
        [name, _number(value), *([_number(weighted.get(name))] if weighted else [])]
        for name, value in scores["category_iou"].items()
    ]
    head = ["category", "IoU", *(["iIoU"] if weighted else [])]
    return f"<h2>Categories</h2>{_table(head, rows)}"


def _sky_table(scores: dict) -> str:
    if "sky" not in scores:
        return ""
    sky, without = scores["sky"], scores["sky"]["photos_without_sky"]
    rows = [
        ("precision / recall", f"{_number(sky['precision'])} / {_number(sky['recall'])}"),
        *((f"boundary F, {key} px", _number(value)) for key, value in sky["boundary_f"].items()),
        *((f"trimap IoU, {key} px", _number(value)) for key, value in sky["trimap_iou"].items()),
        ("expected calibration error", _number(sky["calibration_error"], 4)),
    ]
    spread = sky["image_iou"]
    if spread["images"]:
        keys = ("min", "p05", "p25", "median", "p75", "p95")
        rows.append(("photos with sky", str(spread["images"])))
        rows += [(f"sky IoU of a photo, {key}", _number(spread[key])) for key in keys]
    rows.append(("photos without sky", str(without["images"])))
    if without["images"]:
        share, worst = without["false_sky_share"], without["worst_share"]
        rows += [
            ("false sky in them, all pixels", f"{100 * share:.2f} %"),
            ("false sky, worst photo", f"{100 * worst:.2f} %"),
            ("photos with more than 1 % false sky", str(without["images_above_1_percent"])),
        ]
    return f"<h2>Sky in figures</h2>{_table(('', 'value'), rows)}"


def _plot(path: Path, heading: str, text: str) -> str:
    if not path.is_file():
        return ""
    content = base64.b64encode(path.read_bytes()).decode()
    return (
        f"<h2>{escape(heading)}</h2><p class=dim>{escape(text)}</p>"
        f"<img alt='{escape(heading)}' src='data:image/png;base64,{content}'>"
    )


def _training(run: Path, scores: dict) -> str:
    """Curves, settings and machine of the training, and settings of the evaluation."""
    parts = [_plot(run / "plots" / "learning_curves.png", "Training", "Loss and IoU by epoch.")]
    history = run / "history.csv"
    if history.is_file():
        with open(history, newline="") as file:
            head, *lines = csv.reader(file)
        rows = [[_rounded(cell) for cell in line] for line in lines]
        parts.append(_folded("Epochs", _table(head, rows)))
    for title, settings in (
        ("Settings of the training", _read(run / "config.json")),
        ("Settings of the evaluation", scores["settings"]),
        ("Machine and versions", _read(run / "environment.json")),
    ):
        if settings:
            rows = [(key, _plain(value)) for key, value in settings.items()]
            parts.append(_folded(title, _table(("", ""), rows, text=True)))
    return "".join(parts)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _rounded(cell: str) -> str:
    """Four decimals are enough to read; history.csv has them all."""
    return f"{float(cell):.4f}" if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", cell) else cell


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
