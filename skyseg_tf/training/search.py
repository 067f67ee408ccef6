"""skyseg search: many trainings, one table: which settings are best.

The search's folder (--run) holds
  config.json                       the search's settings
  study.db                          the trials (Optuna's SQLite storage), or study.journal
  trial_000/, trial_001/, ...       a run folder each, see runs
  trials.csv                        one line per trial
  best_command.txt                  the `skyseg train` line of the best one
  plots/heat_map.png, parallel_coordinates.png

The same command again goes on with a search that was stopped or killed: trials that are done stay,
one that died half way goes on from its last checkpoint. The same command in several shells at once
shares the trials out among them.
"""

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import keras

from skyseg_tf.errors import InputError, counted, flag_of
from skyseg_tf.files.aside import check_folder, write_aside
from skyseg_tf.files.json_types import typed
from skyseg_tf.models import MODELS
from skyseg_tf.models.options import options_of
from skyseg_tf.runs.folder import read_config, read_json, write_json
from skyseg_tf.runs.history import read_history
from skyseg_tf.runs.stopping import SEARCH_STOPPED, stoppable
from skyseg_tf.training.records import find_records
from skyseg_tf.training.settings import SearchConfig, TrainConfig, TrainingSettings
from skyseg_tf.training.settings_check import augment_of, check_settings
from skyseg_tf.training.settle import with_network
from skyseg_tf.training.story import train
from skyseg_tf.tuning.report import write_report, write_table
from skyseg_tf.tuning.space import Parameter, parse_space
from skyseg_tf.tuning.storage import check_storage, exclusive
from skyseg_tf.tuning.trials import Plan, TrialRow, Trials, trial_folder

# Scores must be comparable, so the data is the same for all trials.
_NOT_SEARCHED = (
    "records",
    "extra_records",
    "extra_classes",
    "source",
    "data",
    "scheme",
    "image_size",
    "model_options",
    "devices",
    "checkpoint_steps",
    "track",
    "quiet",
    "on_bad_record",
)
_SHARED = tuple(field.name for field in fields(TrainingSettings))
SEARCHABLE = tuple(name for name in _SHARED if name not in _NOT_SEARCHED)
# A network's own options are searched by their names, but for what the records decide.
OPTIONS = {
    name: kind if kind is bool else type(get_args(kind)[0])
    for network in MODELS.values()
    for name, kind in options_of(network.build).items()
    if name != "frames"
}
_MAY_CHANGE = (  # when a search goes on
    "run",
    "trials",
    "quiet",
    "engine",
    "task_cpus",
    "task_gpus",
    "address",
)


def search(
    config: SearchConfig, train: Callable = train, run_trials: Callable = Trials.run
) -> Path:
    """Searches, or goes on with a search.

    Args:
      config: see SearchConfig.
      train: takes a TrainConfig and `on_epoch`, as train.train does, and leaves metrics.json with
        `mean_iou`, the objective, in the run.
      run_trials: takes the trials, the objective of one, and what is told of each, as Trials.run.

    Returns:
      The search's folder.

    Raises:
      InputError: a setting cannot be used, the folder holds another search, no trial finished, or
        Optuna is not installed.
      SystemExit: stopped by Ctrl-C or SIGTERM; the same command goes on.
    """
    check_storage(config.storage)
    space = parse_space(config.space, TrainConfig, SEARCHABLE, OPTIONS)
    folder = config.run or Path("runs/search")
    config = replace(config, run=folder, **_defaults(config, space))
    plan = Plan(space, config.sampler, config.pruner, config.trials, config.seed)
    check_folder(folder)
    if any(folder.glob("*.keras")) or (folder / "history.csv").exists():
        raise InputError(f"{folder}: holds a run; choose another --run")
    with exclusive(folder):
        base = _settle(config, space)
    trials = Trials(folder, plan, config.storage)
    _tell_state(trials, base)

    def after_each(row: TrialRow) -> None:
        write_table(folder / "trials.csv", trials.rows(), space)
        score = "" if row.score is None else f", mean IoU {row.score:.4f}"
        print(f"--- trial {row.number} {row.state}{score} {row.reason}\n", flush=True)

    with stoppable(SEARCH_STOPPED):
        run_trials(trials, partial(_objective, base, train), after_each)
    best = write_report(folder, trials.rows(), space)
    _tell_command(folder, trial_folder(folder, best.number))
    return folder


def _tell_command(folder: Path, run: Path) -> None:
    """Prints and keeps the command that trains as the best trial did."""
    line = command_line(replace(read_config(run, TrainConfig), run=None, plots=Path("plots")))
    with write_aside(folder / "best_command.txt") as aside:
        aside.write_text(line + "\n")
    print(line)


def _objective(
    base: TrainConfig, train: Callable, run: Path, params: dict, report: Callable
) -> float:
    """What a trial does, see tuning.trials.Objective."""
    config = replace(with_params(base, params), run=run, plots=run / "plots")
    return train_trial(config, report, train)


def with_params(base: TrainConfig, params: dict[str, Any]) -> TrainConfig:
    """Settings with those of a trial: fields, and options of the network."""
    options = tuple(f"{name}={value}" for name, value in params.items() if name in OPTIONS)
    own = {name: value for name, value in params.items() if name not in OPTIONS}
    return replace(base, **own, model_options=base.model_options + options)


def train_trial(config: TrainConfig, report: Callable, train: Callable = train) -> float:
    """Trains a trial, from its last checkpoint where it has one.

    Args:
      config: its settings; the run may exist.
      report: gets epoch, val IoU and seconds of each epoch; it may raise Pruned.
      train: see `search`.

    Returns:
      Mean IoU of the val split, by metrics.json.
    """
    run = config.run
    changed = [
        f"{name} {getattr(config, name)}"
        for name in (*SEARCHABLE, "model_options")
        if getattr(config, name) != getattr(TrainConfig, name)
    ]
    print(f"--- {run.name}: {', '.join(changed)}", flush=True)
    told = set()

    def tell(row: dict[str, float]) -> None:
        if row["epoch"] not in told:
            told.add(row["epoch"])
            report(int(row["epoch"]), row["val_iou"], row["seconds"])

    if not (run / "metrics.json").exists():
        started = (run / "config.json").exists()
        if started:
            _tell_all(run, tell)
        try:
            train(TrainConfig(resume=run, quiet=config.quiet) if started else config, on_epoch=tell)
        finally:
            keras.backend.clear_session()
        _tell_all(run, tell)  # an epoch behind whose checkpoint the process was killed
    path = run / "metrics.json"
    score = typed(read_json(path).get("mean_iou"), float | None, path, "mean_iou")
    return math.nan if score is None else score


def _tell_all(run: Path, tell: Callable[[dict[str, float]], None]) -> None:
    """Tells of each epoch in a run's history."""
    if (run / "history.csv").exists():
        history = read_history(run)
        for values in zip(*history.values(), strict=True):
            tell(dict(zip(history, values, strict=True)))


def _defaults(config: SearchConfig, space: Sequence[Parameter]) -> dict:
    """Sampler and pruner, those given or those that suit the space.

    Raises:
      InputError: a searched setting has its own flag too, or a setting is of no use here.
    """
    for parameter in space:
        name = parameter.name
        if name in SEARCHABLE and getattr(config, name) != getattr(SearchConfig, name):
            raise InputError(
                f"{flag_of(name)} is given and searched over: leave it out of one of both"
            )
    if config.trials < 1:
        raise InputError(f"--trials is {config.trials}: at least 1, please")
    listed = all(parameter.kind == "listed" for parameter in space)
    sampler = config.sampler or ("grid" if listed else "tpe")
    pruner = config.pruner or ("none" if sampler == "grid" else "median")
    return {"sampler": sampler, "pruner": pruner}


def _settle(config: SearchConfig, space: Sequence[Parameter]) -> TrainConfig:
    """Finds the records, tries every value on them, and stores the settings or compares them.

    Raises:
      InputError: a value cannot be used, or the folder holds another search.
    """
    path = config.run / "config.json"
    kept = replace(config, storage=_without_password(config.storage))
    if path.exists():
        stored = read_config(config.run, SearchConfig)
        changed = [
            flag_of(f.name)
            for f in fields(SearchConfig)
            if f.name not in _MAY_CHANGE and getattr(stored, f.name) != getattr(kept, f.name)
        ]
        if changed:
            raise InputError(
                f"{config.run}: goes on as it began; other are {', '.join(changed)}: "
                "choose another --run for another search"
            )
    records, manifest = find_records(config)
    base = TrainConfig(**{name: getattr(config, name) for name in _SHARED})
    base = replace(base, records=records, source=None, augment=augment_of(config))
    base = with_network(base)  # a trial's own --model is not to follow --init
    first = {parameter.name: parameter.extremes[0] for parameter in space}
    for parameter in space:
        for value in parameter.extremes:
            params = first | {parameter.name: value}
            check_settings(with_network(with_params(base, params)), manifest, records)
    write_json(path, kept)
    return base


def _without_password(url: str | None) -> str | None:
    """The URL of a database as files may show it: SQLAlchemy takes a password in two places."""
    url = url and re.sub(r"(?<=://)([^/:@]*):.*@", r"\1@", url)
    return url and re.sub(r"(?<=[?&])password=[^&]*&?", "", url, flags=re.IGNORECASE)


def _tell_state(trials: Trials, base: TrainConfig) -> None:
    rows, plan = trials.rows(), trials.plan
    done = sum(row.state in ("finished", "pruned", "failed") for row in rows)
    total = len(rows) if plan.sampler == "grid" else plan.trials
    how = f"{plan.sampler}, pruner {plan.pruner}"
    what = f"{counted(total, 'trial')} of {counted(base.epochs, 'epoch')}, {done} done"
    print(f"search in {trials.folder}: {how}, {what}", flush=True)


def command_line(config: TrainConfig) -> str:
    """The `skyseg train` line that gives these settings, quoted for a shell."""
    words = ["skyseg", "train"]
    for field in fields(TrainConfig):
        value = getattr(config, field.name)
        if value == getattr(TrainConfig, field.name):
            continue
        words.append(flag_of(field.name, value))
        if not isinstance(value, bool):
            words += map(str, value if isinstance(value, tuple) else (value,))
    return shlex.join(words)
