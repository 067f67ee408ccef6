"""Several processes that train one network: what they read, and that they end where one would."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skyseg_tf.data.pipeline import Share, make_dataset
from skyseg_tf.errors import InputError
from skyseg_tf.runs.history import read_history
from skyseg_tf.runs.meeting import hold_port
from skyseg_tf.training.processes import join
from skyseg_tf.training.search import command_line
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settings_check import check_flags

# ------------------------------------------------------------------ what they read


@pytest.mark.parametrize("skip", [0, 1])
def test_shares_make_the_batches_of_one_process(records, skip):
    """Also where the last batch is not full, and their pictures are changed by their numbers."""
    from skyseg_tf.data.augment.camera import make_augment
    from skyseg_tf.data.augment.settings import Classes
    from skyseg_tf.labels import get_scheme

    options = {
        "shuffle": True,
        "seed": 5,
        "epoch": 2,
        "augment": make_augment("light", Classes.of(get_scheme("sky"))),
        "drop_remainder": True,
        "skip_batches": skip,
    }
    whole = list(make_dataset(records, "train", 4, **options).as_numpy_iterator())
    shares = [
        list(make_dataset(records, "train", 4, share=Share(i, 2), **options).as_numpy_iterator())
        for i in range(2)
    ]
    assert len(whole) == len(shares[0]) == len(shares[1]) == 3 - skip
    for batch, *parts in zip(whole, *shares, strict=True):
        for both, halves in zip(batch, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(halves), both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coordinator": "a", "num_processes": 2}, "--coordinator a: must be HOST:PORT of the fir"),
        ({"coordinator": ":5599", "num_processes": 2}, "--coordinator :5599: must be HOST:PORT"),
        ({"coordinator": "a:70000", "num_processes": 2}, "--coordinator a:70000: must be HOST"),
        ({"num_processes": 2}, "--num-processes needs --coordinator HOST:PORT"),
        ({"coordinator": "a:1", "process_id": 1}, "--process-id 1: too large for 1 process, which"),
        ({"coordinator": "a:1", "num_processes": 2}, "--run: several processes .* need it"),
        ({"workers": 2}, "--workers needs --engine ray"),
        ({"engine": "ray", "run": Path("r"), "seeds": 2}, "--seeds: several .* leave it out"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_flags(replace(TrainConfig(records=Path("r")), **changes))


def test_who_cannot_join_is_told_before_the_others_are_waited_for():
    with pytest.raises(InputError, match="--process-id 2: too large for 2 processes"):
        join(TrainConfig(coordinator="127.0.0.1:1", num_processes=2, process_id=2))


@pytest.fixture
def joins(monkeypatch):
    """What JAX does when it is asked to connect processes."""
    jax = pytest.importorskip("jax")
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")

    def set_to(initialize):
        monkeypatch.setattr(jax.distributed, "initialize", initialize)

    return set_to


@pytest.mark.parametrize("shares", [False, True])
def test_a_coordinators_port_that_is_taken_is_refused(joins, shares):
    """JAX's process would die by a segmentation fault, or share the port with another training."""
    joins(lambda *_, **__: pytest.fail("not asked to"))
    with socket.create_server(("127.0.0.1", 0), reuse_port=shares) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            InputError, match=rf"{address}: .*listen there \(Address already in use"
        ):
            join(TrainConfig(coordinator=address, num_processes=2))


def test_a_port_is_kept_for_the_coordinator_until_it_listens(joins):
    """Nobody else can take it, nor does JAX's handler stay in the place of SIGTERM's."""

    def initialize(address, *_, **__):
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        socket.create_server(("", port), reuse_port=True).close()  # as JAX does
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    joins(initialize)
    before = signal.getsignal(signal.SIGTERM)
    with hold_port() as held:
        port = held.getsockname()[1]
        join(TrainConfig(coordinator=f"127.0.0.1:{port}", num_processes=2))
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_backend_is_refused():
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("it is JAX")
    before = os.environ.get("KERAS_BACKEND")
    with pytest.raises(InputError, match="Keras runs on tensorflow; set KERAS_BACKEND=jax"):
        join(TrainConfig(coordinator="127.0.0.1:1", num_processes=2))
    assert os.environ.get("KERAS_BACKEND") == before  # other tests start trainings


def test_a_run_may_go_on_with_other_processes(tmp_path):
    """They are no settings of the run: its config.json says nothing of them."""
    from skyseg_tf.runs.folder import write_json
    from skyseg_tf.training.resume import resumed

    write_json(tmp_path / "config.json", TrainConfig(records=Path("r"), model="skynet", epochs=3))
    given = TrainConfig(resume=tmp_path, coordinator="a:1", num_processes=2, process_id=1)
    settings = resumed(given, TrainConfig())
    assert (settings.epochs, settings.num_processes, settings.process_id) == (3, 2, 1)
    assert settings.coordinator == "a:1"


def test_who_goes_on_after_a_death_resumes_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # as it was afterwards
    from skyseg_tf.train import train_along

    given = TrainConfig(records=Path("r"), run=tmp_path, engine="ray", workers=3)
    asked = {"coordinator": "a:1", "process_id": 2}
    first = train_along(given, lambda config: config, again=False, **asked)
    assert (first.engine, first.workers, first.num_processes, first.process_id) == ("here", 1, 3, 2)
    assert (first.run, first.resume) == (tmp_path, None)
    assert first.quiet  # its bars would go over the network, each step a line
    assert train_along(given, lambda config: config, again=True, **asked) == first
    (tmp_path / "config.json").write_text("{}")
    again = train_along(given, lambda config: config, again=True, **asked)
    assert (again.run, again.resume) == (tmp_path, tmp_path)


def test_a_run_that_goes_on_along_a_cluster_has_its_own_settings(tmp_path, monkeypatch, ray):
    """Flags that are as the defaults are given all the same, and records need not be named again."""
    from skyseg_tf.runs.folder import write_json
    from skyseg_tf.scale import cluster, together
    from skyseg_tf.train import main

    write_json(tmp_path / "config.json", TrainConfig(records=Path("r"), model="skynet", epochs=10))
    sent = []
    monkeypatch.setattr(cluster, "connected", lambda *_, **__: nullcontext())
    monkeypatch.setattr(together, "run_together", lambda call, *_: sent.append(call.args[0]))
    flags = ["--resume", str(tmp_path), "--engine", "ray", "--workers", "2"]
    for epochs in ([], ["--epochs", str(TrainConfig.epochs)]):
        with pytest.raises(SystemExit) as ended:
            main([*flags, *epochs])
        assert ended.value.code == 0
    first, second = sent
    assert (first.records, first.model, first.workers) == (Path("r"), "skynet", 2)
    assert (first.epochs, second.epochs) == (10, TrainConfig.epochs)
    with pytest.raises(SystemExit):
        main([*flags, "--batch-size", str(TrainConfig.batch_size + 1)])
    assert len(sent) == 2


# ------------------------------------------------------------------ how they end


def tiny_settings(records: Path, run: Path, **changes) -> TrainConfig:
    """Of the small network of tiny_network."""
    settings = {"model": "skynet", "batch_size": 4, "augment": "light", "checkpoint_steps": 1}
    return TrainConfig(
        records=records, run=run, plots=run / "p", quiet=True, **settings | {"epochs": 2} | changes
    )


def start(settings: TrainConfig) -> subprocess.Popen:
    """A process that trains."""
    flags = shlex.split(command_line(settings))[2:]
    tests = Path(__file__).parent
    given = os.environ.get("PYTHONPATH", "")
    return subprocess.Popen(
        [sys.executable, tests / "tiny_training.py", *flags],
        env=os.environ
        | {"KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join([str(tests.parent), given])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(settings: TrainConfig) -> list[subprocess.Popen]:
    """Two processes that train together."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = replace(settings, coordinator=address, num_processes=2)
    return [start(replace(both, process_id=number)) for number in range(2)]


def train_by_two(settings: TrainConfig) -> None:
    """Trains to the end."""
    for process in start_two(settings):
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said


@contextmanager
def under_way(settings: TrainConfig):
    """Two processes, once the first epoch is done; none of them lives on."""
    both = start_two(settings)
    try:
        while not (settings.run / "checkpoints/best.npz").exists():
            assert all(process.poll() is None for process in both), both[0].communicate()
            time.sleep(0.05)
        yield both
        for process in both:
            process.communicate(timeout=300)
    finally:
        for process in both:
            process.kill()


def assert_same_weights(run: Path, other: Path, tolerance: float = 0.0) -> None:
    """Of the last checkpoints, the optimizer's and the averages included."""
    one, two = (np.load(folder / "checkpoints/last.npz") for folder in (run, other))
    assert one.files == two.files
    for name in set(one.files) - {"facts", "sha256"}:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_what_one_trains(records, tmp_path):
    pytest.importorskip("jax")
    settings = tiny_settings(records, tmp_path / "two")
    train_by_two(settings)
    one = start(tiny_settings(records, tmp_path / "one"))
    said, _ = one.communicate(timeout=600)
    assert one.returncode == 0, said
    assert_same_weights(tmp_path / "two", tmp_path / "one", tolerance=2e-6)
    two, one = (read_history(tmp_path / name) for name in ("two", "one"))
    for name in ("loss", "iou", "val_loss", "val_iou"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
    files = [
        sorted(
            str(path.relative_to(run)) for path in run.rglob("*") if "tensorboard" not in str(path)
        )
        for run in (tmp_path / "two", tmp_path / "one")
    ]
    assert files[0] == files[1]
    assert (tmp_path / "two/metrics.json").read_text() == (
        tmp_path / "one/metrics.json"
    ).read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_of_which_one_process_is_ended_goes_on_exactly(records, tmp_path, number):
    pytest.importorskip("jax")
    settings = tiny_settings(records, tmp_path / "left_alone", epochs=6)
    train_by_two(settings)
    run = tmp_path / "run"
    with under_way(replace(settings, run=run)) as both:
        both[1].send_signal(number)
    assert both[0].returncode == (2 if number == signal.SIGKILL else 143)
    assert not (run / "metrics.json").exists()
    train_by_two(TrainConfig(resume=run, quiet=True))
    assert_same_weights(run, tmp_path / "left_alone")
    assert (run / "metrics.json").exists()
