"""A search ends the same whether it was killed, shared or left alone."""

import csv
import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optuna")

from skyseg_tf.errors import InputError
from skyseg_tf.tuning import storage as storage_module
from skyseg_tf.tuning.plots import cells, plot_heat_map, plot_parallel_coordinates, position
from skyseg_tf.tuning.space import Parameter, parse_space
from skyseg_tf.tuning.trials import Plan, TrialRow, Trials, trial_folder

ROOT = Path(__file__).parents[1]
GRID = ("batch_size=8,16,32", "learning_rate=1e-3,5e-3,1e-4,5e-4")


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where that can be had: SQLite waits for the disk after each write."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Settings:
    model: str = "skynet"
    batch_size: int = 8
    learning_rate: float | None = None
    ema: float = 0.0
    xla: bool = False
    init: Path | None = None


NAMES = tuple(Settings.__annotations__)


def space_of(*texts):
    return parse_space(texts, Settings, NAMES)


def expected(params):
    """Best at batches of 16 and 5e-3."""
    rate = params["learning_rate"]
    return 0.9 - 0.05 * abs(np.log10(rate / 5e-3)) - abs(params.get("batch_size", 16) - 16) / 1000


def objective(folder, params, report):
    for epoch in range(1, 4):
        report(epoch, expected(params) * epoch / 3, 1.0)
    return expected(params)


SMALL = Plan(space_of("batch_size=8,16,32", "learning_rate=1e-3,5e-3"), "grid")
# A process of its own: each epoch of each trial leaves a line, and one epoch may be its last.
PROCESS = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_search import SMALL, Trials, expected
folder, fatal, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[4])
def objective(trial, params, report):
    done = len((trial / "epochs").read_text().split()) if (trial / "epochs").exists() else 0
    for epoch in range(done + 1, 4):
        time.sleep(pause)
        if f"{trial.name}:{epoch}" == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(trial / "epochs", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while pause and len(list(folder.glob("trial_*/epochs"))) < 2:
            time.sleep(pause)  # for the other process, which starts later
        report(epoch, expected(params) * epoch / 3, 1.0)
    return expected(params)
Trials(folder, SMALL).run(objective, lambda row: None)
"""


def start(folder, fatal="none", pause=0.0):
    argv = [sys.executable, "-c", PROCESS, str(folder), fatal, str(ROOT / "tests"), str(pause)]
    return subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def epochs_of(folder):
    """Epochs trained, by trial."""
    return {p.parent.name: len(p.read_text().split()) for p in folder.glob("trial_*/epochs")}


# ------------------------------------------------------------------------ space


def test_a_space_is_read_by_the_types_of_the_settings():
    space = space_of(
        "model=skynet,u2netp", "batch-size=8, 16", "learning_rate=none,1e-3", "xla=true,False",
        "ema=uniform:0:0.9",
    )  # fmt: skip
    assert space[0].values == ("skynet", "u2netp")
    assert space[1] == Parameter("batch_size", (8, 16))
    assert space[2].values == (None, 1e-3)
    assert space[3].values == (True, False)
    assert space[4] == Parameter("ema", (), "uniform", 0.0, 0.9)
    assert space_of("batch_size=int:2:9")[0].extremes == (2, 9)
    init = space_of("init=runs/a,none")[0]
    assert init.choices == ("runs/a", None)
    assert init.setting("runs/a") == Path("runs/a")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["batch_size"], "write NAME=A,B,C"),
        (["width=1,2"], "no setting to vary 'width': there are model, batch_size"),
        (["learning-rates=1,2"], r"did you mean learning_rate\?"),
        (["ema=0", "ema=0.9"], "ema is given twice"),
        (["batch_size=8,8"], "listed twice"),
        (["batch_size=8.5"], "'8.5' is no int"),
        (["ema=nan"], "is no value"),
        (["xla=1"], "neither true nor false"),
        (["model=uniform:1:2"], "model takes a list"),
        (["batch_size=uniform:8:16"], "batch_size takes int:LOW:HIGH"),
        (["ema=uniform:0.9:0"], "LOW must be below HIGH"),
        (["ema=loguniform:0:1"], "LOW must be below HIGH, and above 0"),
        (["ema=uniform:1"], "two numbers"),
        ([], "--space is empty"),
    ],
)
def test_a_space_that_cannot_be_used_is_refused(texts, message):
    with pytest.raises(InputError, match=message):
        space_of(*texts)


# ----------------------------------------------------------------------- trials


def test_a_grid_has_each_combination_once_and_finds_the_best(tmp_path):
    trials = Trials(tmp_path, Plan(space_of(*GRID), "grid"))
    ended = []
    trials.run(objective, ended.append)
    rows = trials.rows()
    assert len(ended) == len(rows) == 12
    assert len({tuple(row.params.values()) for row in rows}) == 12
    best = max(rows, key=lambda row: row.score)
    assert best.params == {"batch_size": 16, "learning_rate": 5e-3}
    assert best.score == pytest.approx(expected(best.params))
    assert best.curve[3] == best.score
    assert best.seconds == 3.0
    again = Trials(tmp_path, Plan(space_of(*GRID), "grid"))
    again.run(lambda *_: pytest.fail("a finished trial is not repeated"), ended.append)
    assert again.rows() == rows


def test_killed_and_continued(tmp_path):
    """SIGKILL in the second trial's third epoch: that trial alone goes on, and where it was."""
    process = start(tmp_path, "trial_001:3")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert epochs_of(tmp_path) == {"trial_000": 3, "trial_001": 2}
    trials = Trials(tmp_path, SMALL)
    assert [row.state for row in trials.rows()[:3]] == ["finished", "running", "waiting"]
    process = start(tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    rows = trials.rows()
    assert [row.state for row in rows] == ["finished"] * 6
    assert epochs_of(tmp_path) == {f"trial_{i:03d}": 3 for i in range(6)}
    assert all(row.score == pytest.approx(expected(row.params)) for row in rows)
    assert sorted(rows[1].curve) == [1, 2, 3]


def test_processes_share_a_study(tmp_path):
    """Two at once, one of them killed on the way: every trial is trained once, by one process."""
    processes = [start(tmp_path, pause=0.1) for _ in range(2)]
    deadline = time.monotonic() + 120
    while len(epochs_of(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[0].kill()
    for process in processes:
        process.wait()
    assert processes[1].returncode == 0
    rows = Trials(tmp_path, SMALL).rows()
    assert [row.state for row in rows] == ["finished"] * 6
    assert set(epochs_of(tmp_path).values()) == {3}
    workers = {}
    for path in tmp_path.glob("trial_*/epochs"):
        workers[path.parent.name] = set(path.read_text().split())
    assert len(set.union(*workers.values())) == 2
    assert sum(len(pids) > 1 for pids in workers.values()) <= 1  # the one that was left half way


def test_a_trial_that_another_process_is_at_is_left_alone(tmp_path):
    plan = Plan(space_of("learning_rate=1e-3,5e-3"), "grid")
    first, second = Trials(tmp_path, plan), Trials(tmp_path, plan)
    trial, lock = first._next_trial()
    numbers = []
    second.run(objective, lambda row: numbers.append(row.number))
    assert (trial.number, numbers) == (0, [1])
    lock.close()
    second.run(objective, lambda row: numbers.append(row.number))
    assert numbers == [1, 0]


def test_a_trial_that_kills_its_process_is_given_up(tmp_path):
    trials = Trials(tmp_path, Plan(space_of("learning_rate=1e-3,5e-3"), "grid"))
    for _ in range(3):
        trial, lock = trials._next_trial()
        assert trial.number == 0
        lock.close()  # as the kernel does for a process that died
    trials.run(objective, lambda row: None)
    assert [row.state for row in trials.rows()] == ["failed", "finished"]
    assert trials.rows()[0].reason == "its process died 3 times after epoch 0"


def test_a_search_that_is_stopped_in_order_does_not_wear_its_trial_out(tmp_path):
    trials = Trials(tmp_path, Plan(space_of("learning_rate=1e-3,5e-3"), "grid"))

    def stop(*_):
        raise SystemExit(143)

    for _ in range(5):
        with pytest.raises(SystemExit):
            trials.run(stop, lambda row: None)
    trials.run(objective, lambda row: None)
    assert [row.state for row in trials.rows()] == ["finished"] * 2


def test_a_failed_trial_says_why_and_the_search_goes_on(tmp_path):
    def fails_at_32(folder, params, report):
        if params["batch_size"] == 32:
            raise InputError("fewer than one batch of 32")
        return float("nan") if params["batch_size"] == 8 else 0.5

    trials = Trials(tmp_path, Plan(space_of("batch_size=8,16,32"), "grid"))
    trials.run(fails_at_32, lambda row: None)
    rows = trials.rows()
    assert [row.state for row in rows] == ["failed", "finished", "failed"]
    assert rows[0].reason == "its score is no number"
    assert rows[2].reason == "InputError: fewer than one batch of 32"


@pytest.mark.parametrize("storage", ["journal", "database"])
def test_other_storages_hold_the_same_trials(tmp_path, storage):
    """A line of the journal that a killed process left is taken off; each task opens it anew."""
    from skyseg_tf.scale.trials import _run_one

    plan, told = Plan(space_of(*GRID), "grid"), []
    storage = {"database": f"sqlite:///{tmp_path / 'other.db'}"}.get(storage, storage)
    task = (tmp_path / "there", plan, storage, objective_of_a_task)
    while row := _run_one(*pickle.loads(pickle.dumps(task))):
        told.append(row)
        if storage == "journal":
            with open(tmp_path / "there/study.journal", "ab") as file:
                file.write(b'{"op_code": 4, "work')
    Trials(tmp_path / "here", plan).run(objective_of_a_task, lambda row: None)
    assert told == Trials(tmp_path / "here", plan).rows()
    assert told == Trials(tmp_path / "there", plan, storage).rows()


def objective_of_a_task(folder, params, report):
    for epoch in range(1, 3):
        report(epoch, expected(params) * epoch / 2, 1.0)
    return expected(params)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:////dev/null/x.db", "no database answers there"),
        ("nosuch://host/name", "--storage: no database answers there"),
    ],
)
def test_a_storage_that_is_none_is_refused_in_a_line(tmp_path, storage, message):
    with pytest.raises(InputError, match=message) as error:
        Trials(tmp_path, Plan(space_of(*GRID), "grid"), storage)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_draws_are_those_of_an_undisturbed_search(tmp_path, sampler):
    space = space_of("learning_rate=loguniform:1e-4:1e-1", "model=skynet,u2netp")
    whole = Trials(tmp_path / "whole", Plan(space, sampler, trials=12, seed=5))
    whole.run(objective, lambda row: None)
    calls = []

    def stops(folder, params, report):
        calls.append(params)
        if len(calls) in (2, 11):
            raise KeyboardInterrupt
        return objective(folder, params, report)

    for trials in (4, 12, 12):  # in three parts, of which the second wanted more trials
        parts = Trials(tmp_path / "parts", Plan(space, sampler, trials=trials, seed=5))
        try:
            parts.run(stops, lambda row: None)
        except KeyboardInterrupt:
            continue
    assert [row.params for row in parts.rows()] == [row.params for row in whole.rows()]
    rates = [row.params["learning_rate"] for row in whole.rows()]
    assert len(set(rates)) == 12
    assert 1e-4 <= min(rates) < 1e-3 < 1e-2 < max(rates) <= 1e-1


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_settings_are_not_trained_twice(tmp_path, sampler):
    trials = Trials(tmp_path, Plan(space_of("learning_rate=1e-4,1e-3,5e-3"), sampler, trials=8))
    seen = []
    trials.run(lambda folder, params, report: seen.append(params["learning_rate"]) or 0.5, print)
    assert sorted(seen) == sorted(set(seen))
    assert len(trials.rows()) == len(seen) >= 2


def test_tpe_comes_closer_than_random_draws(tmp_path):
    space = space_of("learning_rate=loguniform:1e-7:1e1")
    far = {}
    for sampler in ("random", "tpe"):
        trials = Trials(tmp_path / sampler, Plan(space, sampler, trials=24))
        trials.run(lambda folder, params, report: expected(params), lambda row: None)
        late = [row.params["learning_rate"] for row in trials.rows()[12:]]
        far[sampler] = np.median(np.abs(np.log10(np.array(late) / 5e-3)))
    assert far["tpe"] < 0.75 * far["random"]


@pytest.mark.parametrize("pruner", ["median", "halving", "none"])
def test_pruning_ends_bad_trials_and_no_good_one(tmp_path, pruner):
    """Trials come from good to bad: whatever is worse than the four first ones can go."""
    rates = [5e-3, 4e-3, 3e-3, 2e-3, 1e-7, 1e-8, 1e-9]
    space = space_of(f"learning_rate={','.join(map(str, rates))}")
    trials = Trials(tmp_path, Plan(space, "grid", pruner))
    trials.run(objective, lambda row: None)
    rows = trials.rows()
    assert rows[0].state == "finished"
    pruned = [row.number for row in rows if row.state == "pruned"]
    assert pruned == [] if pruner == "none" else pruned[-3:] == [4, 5, 6]
    assert all(max(rows[number].curve) == 2 for number in pruned[-3:])
    assert pruner != "median" or rows[3].state == "finished"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "grids"}, "no sampler 'grids': there are grid, random, tpe"),
        ({"pruner": "mean"}, "no pruner 'mean'"),
        ({"sampler": "grid"}, "grid needs listed values, learning_rate is a range"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, changes, message):
    plan = Plan(space_of("learning_rate=loguniform:1e-4:1e-1"), "random")
    with pytest.raises(InputError, match=message):
        Trials(tmp_path, replace(plan, **changes))


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'skyseg_tf\[scale\]'"):
        storage_module.import_optuna()


# ------------------------------------------------------------------------ plots


def test_positions_and_cells_lie_on_the_scale_of_the_setting():
    rate = Parameter("learning_rate", (), "loguniform", 1e-4, 1e-1)
    assert position(rate, 1e-3) == pytest.approx(1 / 3)
    labels, cell_of = cells(rate)
    assert [cell_of(v) for v in (1e-4, 9.9e-4, 1.1e-3, 1e-1)] == [0, 1, 2, 5]
    assert len(labels) == 6
    labels, cell_of = cells(Parameter("batch_size", (32, 8, 16)))
    assert labels == ["8", "16", "32"]
    assert cell_of(32) == 2
    assert position(Parameter("init", (Path("b"), None)), None) == 0


def test_plots_show_the_best_finished_trial():
    space = space_of("batch_size=8,16", "learning_rate=1e-3,5e-3")
    rows = [
        TrialRow(0, "finished", 0.7, {"batch_size": 8, "learning_rate": 1e-3}),
        TrialRow(1, "finished", 0.8, {"batch_size": 16, "learning_rate": 1e-3}),
        TrialRow(2, "pruned", 0.9, {"batch_size": 16, "learning_rate": 5e-3}),
        TrialRow(3, "failed", None, {"batch_size": 8, "learning_rate": 5e-3}),
    ]
    axes = plot_heat_map(rows, *space, "t", "p").axes[0]
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown.filled(np.nan), [[0.7, np.nan], [0.8, np.nan]])
    assert axes.patches[0].get_xy() == (-0.5, 0.5)  # row 16, column 1e-3
    assert sorted(text.get_text() for text in axes.texts) == [
        "0.7000", "0.8000", "val IoU 0.9000\nstopped early",
    ]  # fmt: skip
    figure = plot_parallel_coordinates(rows, space, "t", "p")
    red = [line for line in figure.axes[0].lines if line.get_color() == "#e03131"]
    assert len(red) == 1
    assert red[0].get_ydata()[-1] == pytest.approx(1.0)  # the best finished score


# ---------------------------------------------------------------------- command


def fake_train(config, on_epoch):
    """Leaves what a run leaves, as far as a search looks at it."""
    from skyseg_tf.runs.folder import read_config, write_json
    from skyseg_tf.training.settings_check import TrainConfig

    resumed = config.resume
    if resumed:
        config = read_config(resumed, TrainConfig)
    write_json(config.run / "config.json", config)
    score = expected({"learning_rate": config.learning_rate, "batch_size": config.batch_size})
    for epoch in range(1, config.epochs + 1):
        row = {"epoch": epoch, "val_iou": score * epoch / config.epochs, "seconds": 1.0}
        on_epoch(row)
        if epoch == 2 and config.batch_size == 4 and not resumed:
            (config.run / "history.csv").write_text(
                "epoch,loss,iou,val_loss,val_iou,seconds\n1,1,0,1,0.1,1\n2,1,0,1,0.2,1\n"
            )
            raise KeyboardInterrupt
    write_json(config.run / "metrics.json", {"mean_iou": score, "protocol": "val of drawn scenes"})
    return config.run


def test_an_epoch_that_a_killed_trial_could_not_tell_is_told_once(tmp_path):
    """Behind its last checkpoint a training that goes on has no epoch left to do."""
    from skyseg_tf.runs.folder import write_json
    from skyseg_tf.train import TrainConfig
    from skyseg_tf.training.search import train_trial

    def train(config, on_epoch):
        run = config.resume
        (run / "history.csv").write_text(
            "epoch,loss,iou,val_loss,val_iou,seconds\n1,1,0,1,0.1,1\n2,1,0,1,0.2,1\n"
        )
        write_json(run / "metrics.json", {"mean_iou": 0.2})

    run, told = tmp_path / "trial_000", []
    run.mkdir()
    write_json(run / "config.json", {})
    (run / "history.csv").write_text("epoch,loss,iou,val_loss,val_iou,seconds\n1,1,0,1,0.1,1\n")
    assert train_trial(TrainConfig(run=run), lambda *row: told.append(row), train) == 0.2
    assert told == [(1, 0.1, 1.0), (2, 0.2, 1.0)]


def config_of(records, folder, **changes):
    from skyseg_tf.search import SearchConfig

    texts = ("batch_size=2,4", "learning_rate=1e-3,5e-3")
    given = {"records": records, "model": "skynet", "epochs": 3, "space": texts, "quiet": True}
    return SearchConfig(**given | {"run": folder / "my search"} | changes)


def test_options_of_the_network_are_searched_by_their_names(tmp_path):
    from skyseg_tf.train import TrainConfig
    from skyseg_tf.training.search import OPTIONS, SEARCHABLE, with_params

    texts = ("depth=50,101", "psp=false,true", "learning_rate=loguniform:1e-4:1e-2")
    space = parse_space(texts, TrainConfig, SEARCHABLE, OPTIONS)
    assert [parameter.values for parameter in space[:2]] == [(50, 101), (False, True)]
    base = TrainConfig(model="resnet_lstm", model_options=("recurrent=conv",))
    config = with_params(base, {"psp": True, "learning_rate": 1e-3})
    assert config.model_options == ("recurrent=conv", "psp=True")
    assert config.learning_rate == 1e-3
    with pytest.raises(InputError, match=r"no setting to vary 'frames': .*learning_rate.*, psp"):
        parse_space(["frames=2,4"], TrainConfig, SEARCHABLE, OPTIONS)


def test_the_command_leaves_table_plots_and_a_line_that_trains_the_best(records, tmp_path, capsys):
    from skyseg_tf.training.search import search

    config = config_of(records, tmp_path)
    for _ in range(2):  # each of the two trials with batches of 4 is left half way, once
        with pytest.raises(KeyboardInterrupt):
            search(config, fake_train)
    folder = search(config, fake_train)
    with open(folder / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished"] * 4
    scores = [float(row["mean_iou"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert rows[0]["batch_size"] == "4"
    assert float(rows[0]["learning_rate"]) == 5e-3
    assert rows[0]["epochs"] == "3"
    for name in ("heat_map", "parallel_coordinates"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 5000
    assert not list(folder.rglob("*.tmp*"))
    told = capsys.readouterr().out
    line = told.strip().splitlines()[-1]
    assert line == (folder / "best_command.txt").read_text().strip()
    assert shlex.split(line) == [
        "skyseg", "train", "--records", str(records), "--model", "skynet", "--epochs", "3",
        "--batch-size", "4", "--learning-rate", "0.005", "--augment", "light", "--quiet",
    ]  # fmt: skip
    search(replace(config, quiet=False), lambda *_, **__: pytest.fail("all is done"))


def test_the_best_line_is_parsed_to_the_same_settings():
    from skyseg_tf.console.cli import parse_flags
    from skyseg_tf.training.search import command_line
    from skyseg_tf.training.settings_check import TrainConfig

    config = TrainConfig(
        records=Path("my records/it's"), extra_records=(Path("a b"), Path("c")), augment="none",
        xla=True, image_size=(64, 128), learning_rate=3.3e-05, loss="focal", ema=0.999,
    )  # fmt: skip
    words = shlex.split(command_line(config))
    assert words[:2] == ["skyseg", "train"]
    assert parse_flags(TrainConfig, words[2:], "skyseg train") == config
    assert command_line(TrainConfig()) == "skyseg train"


def test_what_cannot_be_searched_is_refused(records, tmp_path):
    from skyseg_tf.training.search import SearchConfig, search

    unset = SearchConfig.model
    for changes, message in [
        ({"space": ("model=skynet,resnet99",), "model": unset}, "no network 'resnet99'"),
        ({"space": ("model=skynet,u2netp",)}, "--model is given and searched over"),
        ({"space": ("records=a,b",)}, "no setting to vary 'records': there are model"),
        ({"space": ("ema=0,1",)}, "--ema is 1.0"),
        ({"space": ("learning_rate=uniform:-1:1",)}, "--learning-rate is -1.0: at least 0"),
        ({"batch_size": 16}, "--batch-size is given and searched over"),
        ({"trials": 0}, "--trials is 0"),
    ]:
        with pytest.raises(InputError, match=message):
            search(config_of(records, tmp_path, **changes), fake_train)
    assert not (tmp_path / "my search" / "study.db").exists()

    def fails(config, on_epoch):
        raise InputError("no memory")

    with pytest.raises(InputError, match=r"no trial finished \(trial 0: InputError: no memory\)"):
        search(config_of(records, tmp_path), fails)
    with pytest.raises(InputError, match="goes on as it began; other are --epochs"):
        search(config_of(records, tmp_path, epochs=4), fake_train)


def test_a_refused_plan_leaves_the_folder_to_the_next_one(records, tmp_path):
    from skyseg_tf.training.search import search

    space = ("learning_rate=uniform:1e-4:1e-3",)
    with pytest.raises(InputError, match="grid needs listed values"):
        search(config_of(records, tmp_path, space=space, sampler="grid"), fake_train)
    search(config_of(records, tmp_path, space=space, sampler="random", trials=1), fake_train)


def test_a_wrong_database_leaves_the_folder_to_the_right_one(records, tmp_path):
    from skyseg_tf.training.search import search

    space = ("learning_rate=1e-3,5e-3",)
    wrong = config_of(records, tmp_path, space=space, storage="nosuch://host/name")
    with pytest.raises(InputError, match="--storage: no database answers there"):
        search(wrong, fake_train)
    assert not wrong.run.exists()
    search(replace(wrong, storage=f"sqlite:///{tmp_path / 'right.db'}"), fake_train)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@nowhere.invalid/name",
        "postgresql://me:/the/secret@nowhere.invalid/name",
        "postgresql://me:the?secret@nowhere.invalid/name",
        "postgresql://me@nowhere.invalid/name?password=secret&ssl=1",
    ],
)
def test_the_password_of_a_database_is_not_kept(records, tmp_path, monkeypatch, url):
    from skyseg_tf.training.search import search

    there = storage_module.import_optuna().storages.RDBStorage(f"sqlite:///{tmp_path / 'there.db'}")
    monkeypatch.setattr(storage_module, "_open_database", lambda url: there)
    config = config_of(records, tmp_path, space=("learning_rate=1e-3,5e-3",), storage=url)
    for _ in range(2):  # the same command is still the same
        search(config, fake_train)
    kept = (config.run / "config.json").read_text()
    assert "secret" not in kept
    assert "postgresql://me@nowhere.invalid/name" in kept


@pytest.mark.slow
def test_a_real_search_stopped_by_ctrl_c_goes_on(records, tmp_path):
    """Two trials of skynet by the command; the second is interrupted in its training."""
    argv = [
        sys.executable, "-m", "skyseg_tf.search", "--records", records, "--model", "skynet",
        "--epochs", "3", "--batch-size", "4", "--space", "learning_rate=1e-3,5e-3",
        "--run", tmp_path / "search", "--quiet",
    ]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    trial = ""
    for line in process.stdout:
        trial = line if line.startswith("--- trial_") else trial
        if trial.startswith("--- trial_001") and line.startswith("epoch 1/"):
            process.send_signal(signal.SIGINT)
            break
    assert "search stopped: the same command goes on with it" in process.stdout.read()
    assert process.wait() == 143
    first = (tmp_path / "search" / "trial_000" / "model.keras").stat().st_mtime_ns
    assert not (tmp_path / "search" / "trial_001" / "metrics.json").exists()  # it is not finished
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trial_001: going on at epoch 2" in done.stdout
    assert (tmp_path / "search" / "trial_000" / "model.keras").stat().st_mtime_ns == first
    with open(tmp_path / "search" / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        run = trial_folder(tmp_path / "search", int(row["trial"]))
        assert row["state"] == "finished"
        assert float(row["mean_iou"]) == json.loads((run / "metrics.json").read_text())["mean_iou"]
        assert row["epochs"] == "3"
        assert os.path.exists(run / "history.csv")
    assert done.stdout.strip().splitlines()[-1].startswith("skyseg train --records")
    assert not (tmp_path / "search" / "plots" / "heat_map.png").exists()  # one setting, no map
