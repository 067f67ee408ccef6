"""Several trainings that differ by their seed alone: their mean and spread."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.runs.folder import read_config, write_json
from skyseg_tf.runs.history import read_history
from skyseg_tf.runs.stopping import stoppable
from skyseg_tf.scoring.comparison import read_scores
from skyseg_tf.training.job import Job
from skyseg_tf.training.settings import TrainConfig


def train_seeds(job: Job, train: Callable[[TrainConfig], Path]) -> Path:
    """Trains once for each seed; the runs are folders of the run. On resume, finished ones are kept.

    Args:
      job: what is trained; its `seeds` says how often.
      train: trains once, see story.train_settled.

    Returns:
      The run folder, with seeds.json (see `summarize`).

    Raises:
      SystemExit: stopped by Ctrl-C or SIGTERM; a seed that was not trained to its end would spoil
        the mean.
    """
    settings = job.settings
    write_json(job.run / "config.json", replace(settings, resume=None))
    seeds = range(settings.seed, settings.seed + settings.seeds)
    runs = [job.run / f"seed_{seed}" for seed in seeds]
    with stoppable(f"stopped: go on with all seeds by --resume {job.run}"):
        for seed, run in zip(seeds, runs, strict=True):
            print(f"--- seed {seed}: {run}", flush=True)
            if not _is_done(run, settings.epochs):
                begun = run if (run / "config.json").exists() else None
                own = {"seed": seed, "run": run, "resume": begun, "plots": run / "plots"}
                train(replace(settings, seeds=1, **own))
            keras.backend.clear_session()  # else the graphs of all seeds would stay in memory
    summary = summarize(runs)
    write_json(job.run / "seeds.json", summary)
    print(table(summary))
    return job.run


def summarize(runs: Sequence[Path]) -> dict:
    """Scores of several runs of one recipe.

    Args:
      runs: finished run folders.

    Returns:
      JSON-able: protocol, runs, and for each score (mean_iou, pixel_accuracy, boundary_f, iou of
      each class) its values, their mean, and their sample standard deviation (with N - 1; None for
      one run). A class that occurs in no run is left out.

    Raises:
      InputError: the runs were measured under different protocols, or one is damaged.
    """
    scores = [read_scores(run / "metrics.json") for run in runs]
    protocols = {score["protocol"] for score in scores}
    if len(protocols) > 1:
        raise InputError(
            f"runs of different protocols: {'; '.join(sorted(protocols))}; average runs of one"
        )
    names = ("mean_iou", "pixel_accuracy", "boundary_f")
    columns = {name: [score.get(name) for score in scores] for name in names}
    for name in scores[0]["iou"]:
        columns[f"iou {name}"] = [score["iou"].get(name) for score in scores]
    return {
        "protocol": protocols.pop(),
        "runs": [str(run) for run in runs],
        "scores": {name: _spread(values) for name, values in columns.items() if _known(values)},
    }


def _is_done(run: Path, epochs: int) -> bool:
    """Whether a seed is trained for so many epochs, or --patience has ended it before."""
    if not (run / "metrics.json").exists():
        return False
    planned = read_config(run, TrainConfig).epochs
    return planned == epochs or len(read_history(run)["epoch"]) < planned


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _spread(values: Sequence[float | None]) -> dict:
    known = np.array(_known(values))
    std = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"values": list(values), "mean": float(known.mean()), "std": std}


def table(summary: dict) -> str:
    """The summary for a terminal: a line per score."""
    lines = [f"{'':<24}{'mean':>8}{'std':>9}   of each seed"]
    for name, score in summary["scores"].items():
        std = "" if score["std"] is None else f"± {score['std']:.4f}"
        each = "  ".join("-" if v is None else f"{v:.4f}" for v in score["values"])
        lines.append(f"{name:<24}{score['mean']:>8.4f}{std:>9}   {each}")
    return "\n".join([*lines, f"({summary['protocol']})"])
