"""What run folders tell: curves, scores under their protocols, worst photos. No Streamlit here."""

import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.dashboard_pages.sample_choices import Sample, sample_of_pair
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.json_types import typed
from skyseg_tf.labels import Encoding, check_encoding, stored_scheme
from skyseg_tf.scoring.comparison import COMPARED, read_evaluation, read_scores
from skyseg_tf.scoring.evaluation import RANKED_SHARE


@dataclass(frozen=True)
class ScoredRun:
    """One run's scores under one protocol.

    Attributes:
      run: the run folder.
      evaluation: name of the evaluation in it; None for the scores at the end of the training.
      scores: as in metrics.json.
      when: seconds since 1970 at which they were written.
    """

    run: Path
    evaluation: str | None
    scores: dict
    when: float


@dataclass(frozen=True)
class Group:
    """Runs whose figures may stand side by side.

    Attributes:
      protocol: in words.
      runs: the best mean IoU first.
    """

    protocol: str
    runs: list[ScoredRun]


def group_scores(runs: list[Path]) -> tuple[list[Group], list[str]]:
    """All scores of runs, apart by protocol.

    Evaluations are of one kind when comparison.COMPARED agrees; scores of trainings, which have no
    hash of their truth, when their protocol in words and their classes do.

    Returns:
      The groups, the largest first, and what could not be read.
    """
    groups: dict[tuple, list[ScoredRun]] = {}
    damaged = []
    for run in runs:
        for evaluation in (None, *evaluations_of(run)):
            try:
                scored = _read_scores(run, evaluation)
            except InputError as error:
                damaged.append(str(error))
                continue
            if scored:
                groups.setdefault(_protocol_key(scored), []).append(scored)
    found = [
        Group(rows[0].scores["protocol"], sorted(rows, key=lambda row: -_mean_iou(row)))
        for rows in groups.values()
    ]
    return sorted(found, key=lambda group: (-len(group.runs), group.protocol)), damaged


def _mean_iou(row: ScoredRun) -> float:
    return row.scores["mean_iou"] if row.scores["mean_iou"] is not None else -1.0


def _protocol_key(row: ScoredRun) -> tuple:
    if row.evaluation is None:
        return (row.scores["protocol"], *row.scores["iou"])
    facts = row.scores["protocol_facts"]
    return tuple(str(facts.get(key)) for key in COMPARED)


def _read_scores(run: Path, evaluation: str | None) -> ScoredRun | None:
    path = (run / "evaluation" / evaluation if evaluation else run) / "metrics.json"
    if not path.is_file():
        return None
    scores = read_evaluation(run, evaluation) if evaluation else read_scores(path)
    return ScoredRun(run, evaluation, scores, path.stat().st_mtime)


def _read_json(path: Path) -> dict:
    try:
        return read_object(path, "restore it or train again")
    except OSError:
        return {}


def network_of(run: Path) -> str:
    """The network that a run trained, "" if it does not say."""
    try:
        return str(_read_json(run / "config.json").get("model") or "")
    except InputError:
        return ""


def epochs_of(run: Path) -> int | None:
    """How many epochs a run was asked for, None if it does not say."""
    try:
        epochs = _read_json(run / "config.json").get("epochs")
    except InputError:
        return None
    return epochs if isinstance(epochs, int) else None


def trains_for_sky(run: Path) -> bool:
    """Whether the IoU of a run's history is that of sky, and not the mean over its classes."""
    try:
        facts = _read_json(run / "dataset.json")
        return stored_scheme(facts["scheme"], facts.get("class_names"), run).is_binary
    except (InputError, KeyError):  # a run of the first version holds no such file
        return True


def table_rows(group: Group, names: dict[Path, str]) -> list[dict]:
    """A table of a group: one row per run, numbers as numbers so that they sort."""
    rows = []
    for row in group.runs:
        scores = row.scores
        sky = scores.get("sky") or {}
        evaluated = (sky.get("boundary_f") or {}).get("2")
        of_sky = evaluated is not None or trains_for_sky(row.run)
        edge = scores.get("boundary_f") if evaluated is None else evaluated
        rows.append(
            {
                "run": names.get(row.run, row.run.name),
                "network": scores.get("network") or network_of(row.run),
                "sky IoU": scores["iou"].get("sky"),
                "mean IoU": scores["mean_iou"],
                "pixel accuracy": scores.get("pixel_accuracy"),
                "sky boundary F": edge if of_sky else None,
                "boundary F of all classes": None if of_sky else edge,
                "calibration error": sky.get("calibration_error"),
                "scored": time.strftime("%Y-%m-%d %H:%M", time.localtime(row.when)),
            }
        )
    empty = [key for key in rows[0] if all(row[key] in (None, "") for row in rows)]
    return [{key: value for key, value in row.items() if key not in empty} for row in rows]


# --- worst photos ---


def evaluations_of(run: Path) -> list[str]:
    """Names of a run's finished evaluations, the last one first."""
    files = sorted((run / "evaluation").glob("*/metrics.json"), key=lambda p: -p.stat().st_mtime)
    return [path.parent.name for path in files]


@dataclass(frozen=True)
class BadPhoto:
    """A photo that a run did badly on: its name, and what is wrong in words."""

    name: str
    caption: str


def worst_photos(run: Path, evaluation: str, count: int) -> list[BadPhoto]:
    """The photos with the lowest IoU of sky, or mean IoU where the classes have no sky.

    Photos with next to no sky, true and predicted together, are not ranked, as in the report, nor
    are those without a labeled pixel where the classes have no sky.

    Raises:
      InputError: no per_image.csv, or a damaged one.
    """
    path = run / "evaluation" / evaluation / "per_image.csv"
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        ranked = [place for row in rows if (place := _place(row))]
    except FileNotFoundError:
        raise InputError(f"{path}: missing; evaluate the run again") from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise InputError(f"{path}: damaged; evaluate the run again") from None
    return [photo for _, photo in sorted(ranked, key=lambda place: place[0])[:count]]


def _place(row: dict[str, str]) -> tuple[tuple[float, float], BadPhoto] | None:
    """((IoU, -share of wrong pixels), photo) of a row; None for one that is not ranked."""
    name, wrong = row["name"], 1 - float(row["pixel_accuracy"])
    if "sky_iou" not in row:
        value = float(row["mean_iou"])
        if math.isnan(value):  # wholly void
            return None
        return (value, -wrong), BadPhoto(name, f"mean IoU {value:.3f}")
    true, predicted = float(row["sky_share"]), float(row["predicted_sky_share"])
    if true + predicted < RANKED_SHARE:
        return None
    value = float(row["sky_iou"])
    if not true:
        return (value, -wrong), BadPhoto(name, f"no sky, {100 * predicted:.1f} % called sky")
    return (value, -wrong), BadPhoto(name, f"sky IoU {value:.3f}")


def refines(run: Path, evaluation: str) -> bool:
    """Whether the masks that an evaluation scored follow the photos' edges."""
    scores = read_evaluation(run, evaluation)
    asked = (scores.get("settings") or {}).get("refine", True)
    return bool(asked) and scores["protocol_facts"].get("protocol") == "photo"


def samples_of_evaluation(run: Path, evaluation: str, names: list[str]) -> dict[str, Sample]:
    """Photos of an evaluation as samples, as far as they are still where they were.

    Returns:
      Name -> sample; names that are not found are left out.
    """
    settings = read_evaluation(run, evaluation).get("settings") or {}
    split, source = settings.get("split") or "val", settings.get("source")
    if source:
        path = run / "evaluation" / evaluation / "metrics.json"
        encoding = typed(settings.get("encoding"), Encoding | None, path, "encoding")
        return _samples_of_tree(Path(source), settings.get("layout"), encoding, split, names)
    records = settings.get("records") or _read_json(run / "config.json").get("records")
    manifest = Path(records) / "dataset.json" if records else None
    if manifest is None or not manifest.is_file():
        return {}
    stamp = manifest.stat().st_mtime_ns
    return {
        name: Sample(f"{split}/{name}", records=(str(records), split, name), stamp=stamp)
        for name in names
    }


def _samples_of_tree(
    source: Path, layout: str | None, encoding: Encoding | None, split: str, names: list[str]
) -> dict[str, Sample]:
    try:
        pairs = [pair for pair in find_pairs(source, layout, [split]) if pair.mask]
        if encoding is None:  # of an evaluation that does not tell it
            encoding = guess_mask_encoding(pairs, layout, sample=5, strict=False)
        check_encoding(encoding)
    except InputError:
        return {}
    wanted = set(names)
    return {pair.name: sample_of_pair(pair, encoding) for pair in pairs if pair.name in wanted}


def read_protocol(run: Path, evaluation: str) -> str:
    """An evaluation's protocol in words."""
    return read_evaluation(run, evaluation).get("protocol") or evaluation
