"""report.html of an evaluation: one file that can be sent to someone, made from the run folder.

Everything in it is read from RUN (config.json, environment.json, history.csv, plots/) and from
RUN/evaluation/<name>; pictures are inside the file, and it loads nothing from elsewhere. What it
says stands in the template beside this file.
"""

import base64
import csv
import json
import re
from pathlib import Path

from skyseg_tf.errors import InputError, counted
from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.templates import render_html
from skyseg_tf.runs.model_folders import evaluations_of, run_of
from skyseg_tf.scoring.comparison import read_evaluation

_TEMPLATE = Path(__file__).with_suffix(".html")
_PLOTS = ("iou_scores", "outline", "reliability", "image_iou", "confusion_matrix", "worst")


def write_report(run: str | Path, name: str) -> Path:
    """Writes report.html into an evaluation.

    Args:
      run: run folder, model file, or name of a packaged model.
      name: of an evaluation in it.

    Returns:
      The file.

    Raises:
      InputError: no such evaluation.
    """
    folder = evaluations_of(run) / name
    scores = read_evaluation(run, name)
    kind, run = "run" if run_of(run) else "model", run_of(run) or Path(run)
    plots = {plot: _base64(folder / "plots" / f"{plot}.png") for plot in _PLOTS}
    page = render_html(
        _TEMPLATE,
        name=name,
        kind=kind,
        run=run.resolve().name,
        scores=scores,
        plots=plots | {"learning_curves": _base64(run / "plots" / "learning_curves.png")},
        history=_read_history(run / "history.csv"),
        settings={
            "Settings of the training": _read_json(run / "config.json"),
            "Settings of the evaluation": scores["settings"],
            "Machine and versions": _read_json(run / "environment.json"),
        },
        dumps=json.dumps,
        counted=counted,
    )
    with write_aside(folder / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""


def _read_json(path: Path) -> dict:
    return read_object(path, "restore it or train again") if path.is_file() else {}


def _read_history(path: Path) -> list[list[str]]:
    """The lines of history.csv, the head first; four decimals are enough to read."""
    if not path.is_file():
        return []
    try:
        with open(path, newline="") as file:
            return [[_rounded(cell) for cell in line] for line in csv.reader(file)]
    except (ValueError, csv.Error):
        raise InputError(f"{path}: damaged; restore it or train again") from None


def _rounded(cell: str) -> str:
    return f"{float(cell):.4f}" if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", cell) else cell
