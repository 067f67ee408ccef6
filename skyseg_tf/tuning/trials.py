"""The trials of a search: an Optuna study in SQLite that survives SIGKILL and is shared by processes.

A search's folder holds study.db, the lock file of the study, and a folder per trial. Each process
that works on it holds a lock on the folder of its trial; the kernel frees the lock of a process
that dies, however it dies. A trial that is `running` while nobody holds its lock was left half way,
and the next process that looks for work goes on with it, under the same number and in the same
folder. So nothing waits for heartbeats, and a trial of ten hours is safe. Where the study is kept
is the affair of storage.py.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files.aside import make_folder
from skyseg_tf.files.locks import lock
from skyseg_tf.tuning.space import Parameter
from skyseg_tf.tuning.storage import exclusive, import_optuna, open_storage, study_name

SAMPLERS, PRUNERS = ("grid", "random", "tpe"), ("none", "median", "halving")
_DEATHS = 3  # a trial that kills its process so often before its next epoch is given up
_REPEATS = 5  # times the wanted trials: so often may a sampler come up with what was there already


class Pruned(Exception):
    """The trial is not worth going on with."""


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
      space: what is varied.
      sampler: grid (every combination of listed values), random, or tpe: tree-structured Parzen
        estimator, which draws where earlier trials were good.
      pruner: none; median: from the second epoch and the fifth trial on, stop a trial whose best
        is below the median of the earlier ones at that epoch; halving: successive halving, the
        better half goes on at epochs 2, 4, 8, ...
      trials: how many, for random and tpe.
      seed: of the draws.

    Reference: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011;
      Golovin et al., "Google Vizier", KDD 2017 (median); Li et al., "A System for Massively
      Parallel Hyperparameter Tuning", MLSys 2020 (asynchronous successive halving).
    """

    space: Sequence[Parameter]
    sampler: str
    pruner: str = "none"
    trials: int = 20
    seed: int = 0

    def __post_init__(self):
        """Refuses a sampler or pruner that there is not, and a grid over a range."""
        if self.sampler not in SAMPLERS:
            raise InputError(not_among("sampler", self.sampler, SAMPLERS))
        if self.pruner not in PRUNERS:
            raise InputError(not_among("pruner", self.pruner, PRUNERS))
        ranges = [parameter.name for parameter in self.space if not parameter.values]
        if self.sampler == "grid" and ranges:
            raise InputError(
                f"--sampler grid needs listed values, {ranges[0]} is a range: use random or tpe"
            )


@dataclass(frozen=True)
class TrialRow:
    """What is known of a trial.

    Attributes:
      number: from 0.
      state: waiting, running, finished, pruned or failed.
      score: the objective; of a trial that has not finished the best of its curve, which may be
        another measure (see train_trial); None where there is none.
      params: searched setting -> value.
      curve: epoch -> what it reported.
      seconds: trained.
      reason: why it failed.
    """

    number: int
    state: str
    score: float | None
    params: dict[str, Any]
    curve: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""


# Takes the trial's folder, its settings, and a function to call with epoch, score and seconds of
# each epoch, which may raise Pruned; returns the final score, the higher the better.
Objective = Callable[[Path, dict[str, Any], Callable[[int, float, float], None]], float]


def trial_folder(folder: Path, number: int) -> Path:
    """Where a trial puts what it writes."""
    return folder / f"trial_{number:03d}"


class Trials:
    """The study of a search's folder."""

    def __init__(self, folder: Path, plan: Plan, storage: str | None = None):
        """Opens or creates it.

        Args:
          folder: of the search.
          plan: the same each time, but for `trials`, which may grow.
          storage: see storage.open_storage.

        Raises:
          InputError: a database that does not answer, or Optuna is not installed.
        """
        self.folder, self.plan, self.optuna = Path(folder), plan, import_optuna()
        self.storage = storage
        with exclusive(self.folder, self.storage):
            self.study = self.optuna.create_study(
                storage=open_storage(self.folder, storage),
                study_name=study_name(self.folder, storage),
                direction="maximize",
                load_if_exists=True,
                pruner=self._pruner(),
            )
            if plan.sampler == "grid":
                names = [parameter.name for parameter in plan.space]
                for values in itertools.product(*(p.choices for p in plan.space)):
                    params = dict(zip(names, values, strict=True))
                    self.study.enqueue_trial(params, skip_if_exists=True)

    def run(self, objective: Objective, after_each: Callable[[TrialRow], None]) -> None:
        """Works until nothing is left to start; other processes may still be at theirs.

        Args:
          objective: what a trial does. An exception of it makes the trial failed, with the
            reason, and the search goes on; but OSError (a full disk is no trial's fault),
            KeyboardInterrupt and SystemExit leave it half way, for the next process.
          after_each: told of each trial of this process once it has ended.
        """
        while row := self.run_one(objective):
            after_each(row)

    def run_one(self, objective: Objective) -> TrialRow | None:
        """Works on one trial, new or left half way; see `run`. None: nothing is left to start."""
        if not (found := self._next_trial()):
            return None
        trial, held = found
        with held:
            self._work(trial, objective)
        return next(row for row in self.rows() if row.number == trial.number)

    def is_left(self, row: TrialRow) -> bool:
        """Whether a trial was left half way, with no process at work on it now."""
        if row.state != "running" or not (held := self._lock(row.number)):
            return False
        held.close()
        return True

    def rows(self) -> list[TrialRow]:
        """All trials, but for repeated draws of the same settings."""
        with exclusive(self.folder, self.storage):
            trials = self.study.get_trials(deepcopy=False)
        return [self._row(trial) for trial in trials if "repeats" not in trial.user_attrs]

    # ------------------------------------------------------------ finding work

    def _next_trial(self):
        """A trial that was left half way, or the next new one, with the lock of its folder."""
        states = self.optuna.trial.TrialState
        with exclusive(self.folder, self.storage):
            for left in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if held := self._lock(left.number):
                    self.study.sampler = self._sampler(left.number)
                    trial = self.optuna.trial.Trial(self.study, left._trial_id)
                    if self._has_started(trial):
                        return trial, held
                    held.close()
            while True:
                trials = self.study.get_trials(deepcopy=False)
                if all(trial.state != states.WAITING for trial in trials) and (
                    self.plan.sampler == "grid"
                    or sum("repeats" not in t.user_attrs for t in trials) >= self.plan.trials
                    or len(trials) >= _REPEATS * self.plan.trials
                ):
                    return None
                self.study.sampler = self._sampler(len(trials))
                trial = self.study.ask()
                if self._has_started(trial):
                    return trial, self._lock(trial.number)

    def _has_started(self, trial) -> bool:
        """Draws the settings and counts the start; ends a trial that is not worth one."""
        params = {p.name: p.suggest(trial) for p in self.plan.space}
        states = self.optuna.trial.TrialState
        known = (states.COMPLETE, states.PRUNED, states.FAIL, states.RUNNING)
        for other in self.study.get_trials(deepcopy=False, states=known):
            same = other.number != trial.number and other.params == params
            if same and "repeats" not in other.user_attrs:
                trial.set_user_attr("repeats", other.number)
                self.study.tell(trial, state=states.FAIL)
                return False
        epochs = len(self._stored(trial).intermediate_values)
        starts = [*trial.user_attrs.get("starts", []), epochs]
        if starts.count(epochs) > _DEATHS:
            trial.set_user_attr("reason", f"its process died {_DEATHS} times after epoch {epochs}")
            self.study.tell(trial, state=states.FAIL)
            return False
        trial.set_user_attr("starts", starts)
        return True

    def _stored(self, trial):
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _lock(self, number: int):
        """The open lock file of a trial's folder, or None where a process is at work."""
        folder = trial_folder(self.folder, number)
        make_folder(folder)
        return lock(folder / "lock")

    def _sampler(self, number: int):
        """A sampler of its own for each trial: neither processes nor restarts repeat its draws."""
        seed = int(np.random.SeedSequence([self.plan.seed, number]).generate_state(1)[0])
        if self.plan.sampler == "tpe":
            return self.optuna.samplers.TPESampler(seed=seed)
        return self.optuna.samplers.RandomSampler(seed=seed)  # a grid's trials are settled already

    def _pruner(self):
        pruners = self.optuna.pruners
        if self.plan.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
        if self.plan.pruner == "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2)
        return pruners.NopPruner()

    # ----------------------------------------------------------------- working

    def _work(self, trial, objective: Objective) -> None:
        """Runs a trial and stores how it ended."""
        params = {p.name: p.setting(trial.params[p.name]) for p in self.plan.space}
        state, score, reason = self.optuna.trial.TrialState, None, ""
        with exclusive(self.folder, self.storage):
            reported = set(self._stored(trial).intermediate_values)

        def report(epoch: int, value: float, seconds: float) -> None:
            with exclusive(self.folder, self.storage):
                if epoch not in reported:  # one that goes on after a death may train it again
                    reported.add(epoch)
                    trial.report(value, epoch)
                    trial.set_user_attr("seconds", trial.user_attrs.get("seconds", 0.0) + seconds)
                if trial.should_prune():
                    raise Pruned

        try:
            score = float(objective(trial_folder(self.folder, trial.number), params, report))
            ended = state.COMPLETE
            if not np.isfinite(score):
                ended, score, reason = state.FAIL, None, "its score is no number"
        except Pruned:
            ended = state.PRUNED
        except (OSError, KeyboardInterrupt, SystemExit):
            with exclusive(self.folder, self.storage):  # left in order: this start was no death
                trial.set_user_attr("starts", trial.user_attrs["starts"][:-1])
            raise
        except Exception as error:
            ended = state.FAIL
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        with exclusive(self.folder, self.storage):
            if reason:
                trial.set_user_attr("reason", reason)
            self.study.tell(trial, score, ended)

    def _row(self, trial) -> TrialRow:
        names = {"COMPLETE": "finished", "FAIL": "failed"}
        curve = trial.intermediate_values
        finite = [value for value in curve.values() if np.isfinite(value)]
        score = trial.value if trial.state.name == "COMPLETE" else max(finite, default=None)
        stored = trial.params or trial.system_attrs.get("fixed_params", {})
        return TrialRow(
            number=trial.number,
            state=names.get(trial.state.name, trial.state.name.lower()),
            score=score,
            params={p.name: p.setting(stored[p.name]) for p in self.plan.space if p.name in stored},
            curve=curve,
            seconds=trial.user_attrs.get("seconds", 0.0),
            reason=trial.user_attrs.get("reason", ""),
        )
