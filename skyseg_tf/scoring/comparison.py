"""Evaluations of several models side by side, as long as they were scored alike."""

from collections.abc import Sequence
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.json_types import typed
from skyseg_tf.runs.model_folders import evaluations_of

# Facts of a protocol that decide whether figures may stand side by side. The data's name is not
# among them: `truth` is a hash of the labels themselves, wherever they lie.
COMPARED = ("classes", "photos", "truth", "protocol", "scored_at", "views", "void", "decision")

_TYPES = {  # of what a metrics.json says
    "protocol": str,
    "mean_iou": float | None,
    "iou": dict[str, float | None],
    "network": str,
    "protocol_facts": dict,
    "sky": dict | None,
    "boundary_f": float | None,
    "settings": dict,
    "pixel_accuracy": float | None,
}


def read_evaluation(run: str | Path, name: str) -> dict:
    """The metrics.json of an evaluation.

    Args:
      run: run folder, model file, or name of a packaged model.
      name: of the evaluation in `evaluations_of` it.

    Raises:
      InputError: no such evaluation (the message names those there are), or a damaged one.
    """
    folder = evaluations_of(run)
    path = folder / name / "metrics.json"
    if not path.is_file():
        there = sorted(p.parent.name for p in folder.glob("*/metrics.json"))
        raise InputError(
            f"{run}: no evaluation '{name}' (there: {', '.join(there) or 'none'}); run `skyseg "
            f"evaluate --model {run}` with the same options, or choose one by --name"
        )
    scores = read_scores(path)
    if "protocol_facts" not in scores:
        raise InputError(f"{path}: no protocol_facts in it; evaluate the run again")
    return scores


def read_scores(path: str | Path) -> dict:
    """A metrics.json, of a training or an evaluation.

    Raises:
      FileNotFoundError: no such file.
      InputError: damaged.
    """
    scores = read_object(path, "evaluate or train the run again")
    for name in ("protocol", "mean_iou", "iou"):
        if name not in scores:
            raise InputError(f"{path}: no {name} in it; evaluate or train the run again")
    types = {name: _TYPES[name] for name in scores.keys() & _TYPES.keys()}
    scores |= {name: typed(scores[name], kind, path, name) for name, kind in types.items()}
    if scores.get("sky"):
        typed(scores["sky"].get("boundary_f"), dict[str, float | None] | None, path, "boundary_f")
    return scores


def compare_evaluations(runs: Sequence[str | Path], name: str) -> str:
    """A table of scores by run.

    Args:
      runs: run folders, model files or names of packaged models, two or more.
      name: of the evaluation in each.

    Returns:
      Lines of text: the protocol, then one row per score and one column per run. `*` marks the
      best of a row. Confidence intervals stand in brackets where they were made.

    Raises:
      InputError: an evaluation is missing, or its protocol differs from the first one's.
    """
    evaluations = [read_evaluation(run, name) for run in runs]
    for run, scores in zip(runs, evaluations, strict=True):
        _check(run, scores)
    first = evaluations[0]["protocol_facts"]
    for run, scores in zip(runs[1:], evaluations[1:], strict=True):
        facts = scores["protocol_facts"]
        differing = [
            f"{key} is '{facts.get(key)}' there and '{first.get(key)}' here"
            for key in COMPARED
            if facts.get(key) != first.get(key)
        ]
        if differing:
            raise InputError(
                f"{run} was not scored as {runs[0]} was: {'; '.join(differing)}; evaluate both "
                "with the same options"
            )
    rows = _rows(evaluations)
    heads = ["", *_short_names(runs)]
    table = [heads, *([label, *_cells(values)] for label, values in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join([evaluations[0]["protocol"], "", lines[0], "-" * sum(widths), *lines[1:]])


def _check(run: str | Path, scores: dict) -> None:
    """Refuses an evaluation that cannot be shown."""
    try:
        for _, values in _rows([scores]):
            _cells(values)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(f"{run}: its evaluation is damaged; evaluate the run again") from None


def _short_names(runs: Sequence[str | Path]) -> list[str]:
    names = [Path(run).resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _rows(evaluations: list[dict]) -> list[tuple[str, list]]:
    """(label, one value per run): text, or (score, interval or None, whether less is better)."""

    def scores(*keys: str, interval: tuple[str, ...] = (), less: bool = False) -> list:
        return [
            (_at(run, keys), _at(run.get("confidence_intervals"), interval or keys), less)
            for run in evaluations
        ]

    rows = [
        ("network", [run["network"] for run in evaluations]),
        ("input", ["x".join(map(str, run["input_size"])) for run in evaluations]),
        ("mean IoU", scores("mean_iou")),
        ("pixel accuracy", scores("pixel_accuracy")),
    ]
    for key, label in (
        ("mean_category_iou", "mean IoU, categories"),
        ("mean_iiou", "mean iIoU"),
        ("mean_category_iiou", "mean iIoU, categories"),
    ):
        if key in evaluations[0]:
            rows.append((label, scores(key)))
    if sky := evaluations[0].get("sky"):
        for limit in sky["boundary_f"]:
            keys = ("sky", "boundary_f", limit)
            rows.append((f"sky boundary F, {limit} px", scores(*keys, interval=keys[1:])))
        for width in sky["trimap_iou"]:
            rows.append((f"sky trimap IoU, {width} px", scores("sky", "trimap_iou", width)))
        rows.append(("sky IoU, median photo", scores("sky", "image_iou", "median")))
        keys = ("sky", "photos_without_sky", "false_sky_share")
        rows.append(("false sky, photos without", scores(*keys, less=True)))
        rows.append(("sky calibration error", scores("sky", "calibration_error", less=True)))
    rows += [(f"IoU {name}", scores("iou", name)) for name in evaluations[0]["iou"]]
    return rows


def _at(scores: dict | None, keys: Sequence[str]):
    for key in keys:
        scores = scores.get(key) if isinstance(scores, dict) else None
    return scores


def _cells(values: list) -> list[str]:
    if isinstance(values[0], str):
        return values
    known = [value for value, _, _ in values if value is not None]
    best = (min if values[0][2] else max)(known) if len(set(known)) > 1 else None
    cells = []
    for value, interval, _ in values:
        cell = "-" if value is None else f"{value:.4f}"
        if interval and None not in interval:
            cell += f" [{interval[0]:.4f}, {interval[1]:.4f}]"
        cells.append(cell + ("*" if value is not None and value == best else " "))
    return cells
