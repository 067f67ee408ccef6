"""The trials of a search: an Optuna study in SQLite that survives SIGKILL and is shared by processes.

A search's folder holds study.db, the lock file of the study, and a folder per trial. Each process
that works on it holds a lock on the folder of its trial; the kernel frees the lock of a process
that dies, however it dies. A trial that is `running` while nobody holds its lock was left half way,
and the next process that looks for work goes on with it, under the same number and in the same
folder. So nothing waits for heartbeats, and a trial of ten hours is safe.

Optuna warns of SQLite with many writers, who may find the database locked; here every access happens
under the study's lock, so there is one at a time. For machines that share a disk on which SQLite is
not safe there are a journal, of which a line that was cut short (a kill, a full disk) is taken off
under the same lock, before it makes all that follows unreadable, and databases with a server.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyseg_tf.errors import InputError, in_one_line, not_among
from skyseg_tf.files.locks import lock
from skyseg_tf.images import make_folder
from skyseg_tf.tuning.space import Parameter

JOURNAL = "journal"
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


def import_optuna():
    """Optuna, quiet.

    Raises:
      InputError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise InputError(
            "a search needs Optuna: pip install 'skyseg_tf[scale]' (or optuna)"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Inside, this process alone works on what the search's folder says about its trials."""
    make_folder(folder)
    with lock(folder / "lock", wait=True):
        yield


class _LockedAlready:
    """The journal's lock: nobody opens it but under the study's, which a dying process leaves."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _take_off_torn_line(journal: Path) -> None:
    """Removes what a killed process has written of a line."""
    if not journal.exists():
        return
    with open(journal, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            end -= 1
        file.truncate(end)


def check_storage(storage: str | None) -> None:
    """Refuses a database that does not answer, before a search has written anything.

    Args:
      storage: as `Trials` takes it.

    Raises:
      InputError: what is wrong with it, or Optuna is not installed.
    """
    if storage not in (None, JOURNAL):
        _open_database(storage)


def _open_database(url: str):
    """Optuna's storage there; it makes its tables."""
    try:
        return import_optuna().storages.RDBStorage(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error.name
        raise InputError(f"--storage needs {package}: pip install {package}") from None
    except Exception as error:  # SQLAlchemy and each driver have errors of their own
        raise InputError(
            f"--storage: no database answers there ({in_one_line(error)}); give {JOURNAL} or a "
            "URL such as postgresql://user:password@host/name"
        ) from None


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
          storage: URL of a database, as Optuna takes it; JOURNAL: a file of the folder; None: SQLite
            in the folder.

        Raises:
          InputError: a database that does not answer, or Optuna is not installed.
        """
        self.folder, self.plan, self.optuna = Path(folder), plan, import_optuna()
        self.storage = storage
        with self._exclusive():
            self.study = self.optuna.create_study(
                storage=self._open_storage(),
                study_name=self._study_name(),
                direction="maximize",
                load_if_exists=True,
                pruner=self._pruner(),
            )
            if plan.sampler == "grid":
                names = [parameter.name for parameter in plan.space]
                for values in itertools.product(*(p.choices for p in plan.space)):
                    params = dict(zip(names, values, strict=True))
                    self.study.enqueue_trial(params, skip_if_exists=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with exclusive(self.folder):
            if self.storage == JOURNAL:
                _take_off_torn_line(self.folder / "study.journal")
            yield

    def _study_name(self) -> str:
        """A database may hold other searches."""
        return "search" if self.storage in (None, JOURNAL) else str(self.folder.resolve())

    def _open_storage(self):
        """What Optuna calls a storage."""
        if self.storage is None:
            return f"sqlite:///{(self.folder / 'study.db').resolve()}"
        if self.storage == JOURNAL:
            journal = self.optuna.storages.journal
            file = str(self.folder / "study.journal")
            return journal.JournalStorage(journal.JournalFileBackend(file, _LockedAlready()))
        return _open_database(self.storage)

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
        trial, lock = found
        with lock:
            self._work(trial, objective)
        return next(row for row in self.rows() if row.number == trial.number)

    def is_left(self, row: TrialRow) -> bool:
        """Whether a trial was left half way, with no process at work on it now."""
        if row.state != "running" or not (lock := self._lock(row.number)):
            return False
        lock.close()
        return True

    def rows(self) -> list[TrialRow]:
        """All trials, but for repeated draws of the same settings."""
        with self._exclusive():
            trials = self.study.get_trials(deepcopy=False)
        return [self._row(trial) for trial in trials if "repeats" not in trial.user_attrs]

    # ------------------------------------------------------------ finding work

    def _next_trial(self):
        """A trial that was left half way, or the next new one, with the lock of its folder."""
        states = self.optuna.trial.TrialState
        with self._exclusive():
            for left in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                if lock := self._lock(left.number):
                    self.study.sampler = self._sampler(left.number)
                    trial = self.optuna.trial.Trial(self.study, left._trial_id)
                    if self._has_started(trial):
                        return trial, lock
                    lock.close()
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

        with self._exclusive():
            reported = set(self._stored(trial).intermediate_values)

        def report(epoch: int, value: float, seconds: float) -> None:
            with self._exclusive():
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
            with self._exclusive():  # left in order: this start was no death
                trial.set_user_attr("starts", trial.user_attrs["starts"][:-1])
            raise
        except Exception as error:
            ended = state.FAIL
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        with self._exclusive():
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
