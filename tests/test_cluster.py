"""A Ray cluster of three nodes, of which one dies: the results are those of one machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from drawn_trees import add_scene, write_photo
from ray_cluster import a_node_dies, start_patiently, with_this_package
from signals import strike
from test_processes import assert_same_weights, tiny_settings, train_by_two
from test_scale import config, content, masks

from skyseg_tf.build import build
from skyseg_tf.data.copies import local_records
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.records import read_manifest, read_tfrecord
from skyseg_tf.files.places import place
from skyseg_tf.masking.settings import PredictConfig
from skyseg_tf.predict import predict
from skyseg_tf.train import train
from skyseg_tf.training.settings import TrainConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def left_behind(folder) -> list:
    return list(folder.rglob(".*"))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_build_on_three_nodes_of_which_one_dies(three_nodes, tmp_path, storage):
    tree, out = tmp_path / "tree", tmp_path / "there"
    for seed in range(24):
        add_scene(tree, "train" if seed % 4 else "val", f"city{seed % 3}", seed, size=(512, 1024))
    settings = replace(config(tree, tmp_path / "here", storage=storage), shards=12)
    build(settings)

    def some_are_done(node):
        return len(list(out.glob("*.tfrecord")) + list(out.glob(".build/uint8/*.tfrecord"))) > 3

    on_ray = replace(settings, out=out, engine="ray", address=three_nodes.address)
    with a_node_dies(three_nodes, some_are_done):
        build(on_ray)
    assert content(out) == content(tmp_path / "here")
    assert not left_behind(out)


def test_masks_of_three_nodes_of_which_one_dies(three_nodes, photos, tmp_path, capsys):
    for number in range(6, 40):
        write_photo(photos / f"{number % 2}/{number}.png", number, (480, 640))
    out = tmp_path / "there"
    settings = PredictConfig((str(photos),), tmp_path / "here", quiet=True)
    assert predict(settings) == 1
    on_ray = replace(settings, out=out, engine="ray", address=three_nodes.address, resume=True)
    with a_node_dies(three_nodes, lambda node: len(list(out.rglob("*.png"))) > 3):
        assert predict(on_ray) == 1
    assert capsys.readouterr().err.count("torn.png: not a readable image") == 2
    assert masks(out) == masks(tmp_path / "here")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert predict(on_ray) == 1
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}


def test_everything_on_s3(tree, photos, tiny, undrawn, tmp_path, monkeypatch):
    """Ray is started by the commands themselves; moto answers for S3."""
    for package in ("ray", "s3fs"):
        pytest.importorskip(package)
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "drawn")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        start_patiently(monkeypatch, tmp_path)
        storage = place("s3://bucket").fs
        storage.mkdir("bucket")
        storage.put(str(tree), "bucket/tree", recursive=True)
        storage.put(str(photos), "bucket/photos", recursive=True)
        build(config(tree, tmp_path / "here"))
        build(config(Path("s3://bucket/tree"), Path("s3://bucket/records"), engine="ray"))
        assert content("s3://bucket/records") == content(tmp_path / "here")
        assert not [name for name in storage.find("bucket/records") if "/." in name]
        folder = local_records("s3://bucket/records", tmp_path / "copies", quiet=True)
        assert read_manifest(folder) == read_manifest(tmp_path / "here")
        shard = read_manifest(folder).splits["val"].shards[0].file
        there = read_tfrecord(f"s3://bucket/records/{shard}", copies=tmp_path / "copies")
        for pair, same in zip(there, read_tfrecord(tmp_path / "here" / shard), strict=True):
            np.testing.assert_array_equal(pair["image"], same["image"])
        for name, records in (("one", tmp_path / "here"), ("two", Path("s3://bucket/records"))):
            settings = tiny_settings(records, tmp_path / name, data=tmp_path / "copies")
            train(settings)
        assert_same_weights(tmp_path / "two", tmp_path / "one")
        predict(PredictConfig((str(photos),), tmp_path / "masks", quiet=True))
        there = PredictConfig(("s3://bucket/photos",), Path("s3://bucket/masks"), quiet=True)
        assert predict(replace(there, engine="ray")) == 1
        assert masks("s3://bucket/masks") == masks(tmp_path / "masks")
    finally:
        server.stop()


def test_a_cluster_is_joined_after_one_of_our_own(ray_cluster):
    """Also where one asks for a key and the other for none."""
    import ray

    from skyseg_tf.scale.cluster import connected

    class Numbers:
        def one(self) -> int:
            return 1

    for address in (None, ray_cluster.address, None):
        with connected(address):
            numbers = ray.remote(num_cpus=1)(Numbers).remote()
            assert ray.get(numbers.one.remote()) == 1


def test_sigterm_to_a_whole_group_leaves_ray_to_the_command(tmp_path):
    pytest.importorskip("ray")
    program = """
import signal, time
from pathlib import Path
import pytest
from ray_cluster import start_patiently
from skyseg_tf.scale.cluster import connected, task_of

with pytest.MonkeyPatch.context() as patch:
    start_patiently(patch, Path.cwd())
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    with connected(None):
        import ray

        wait = task_of(time.sleep, 1)
        ray.get(wait(0))
        task = wait(3)
        print("begun", flush=True)
        while not told:
            time.sleep(0.1)
        ray.get([task, wait(1)])
        print("saved", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": with_this_package()},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=600)[0] == "saved\n"
        assert process.returncode == 0
    finally:
        process.kill()


@contextmanager
def the_head_is_taken():
    """Yields what frees it."""
    import ray

    class Taken:
        def is_so(self) -> bool:
            return True

    head = {"node:__internal_head__": 0.001}
    taken = ray.remote(num_cpus=1, resources=head)(Taken).remote()
    assert ray.get(taken.is_so.remote())
    yield partial(ray.kill, taken)


# --- search ---


def test_a_search_on_three_nodes_of_which_one_dies(three_nodes, tmp_path):
    pytest.importorskip("optuna")
    from tiny_training import objective

    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.trials import run_on_ray
    from skyseg_tf.tuning.space import parse_space
    from skyseg_tf.tuning.trials import Plan, Trials

    texts = ("batch_size=2,4", "learning_rate=0.01,0.001,0.0001")
    space = parse_space(texts, TrainConfig, ("batch_size", "learning_rate"))
    trials = Trials(tmp_path, Plan(space, "grid"), "journal")
    told = []

    def one_runs_there(node):
        epochs = [
            path.with_name("epochs.txt")
            for path in tmp_path.glob("trial_*/node.txt")
            if path.read_text() == node
        ]
        return any(path.exists() and path.read_text() == "1" for path in epochs)

    with (
        connected(three_nodes.address),
        the_head_is_taken() as free_it,  # on a busy machine it may have all trials done by itself
        a_node_dies(three_nodes, one_runs_there, free_it),
    ):
        run_on_ray(1, 0)(trials, objective, told.append)
    rows = trials.rows()
    assert [row.number for row in rows] == list(range(6))
    assert sorted(row.number for row in told) == list(range(6))
    for row in rows:
        assert row.state == "finished"
        assert row.score == row.params["learning_rate"] * 4 / row.params["batch_size"]
    starts = [len(path.read_text().split()) for path in tmp_path.glob("trial_*/starts.txt")]
    assert sorted(starts) == [1, 1, 1, 1, 1, 2]  # one was taken up again


# --- train ---


def test_processes_that_work_together_begin_when_there_is_room_for_all(
    three_nodes, tmp_path, capsys, monkeypatch
):
    from tiny_training import note_start

    from skyseg_tf.scale import together
    from skyseg_tf.scale.cluster import connected

    monkeypatch.setattr(together, "_PATIENCE", 1.0)
    freed = []

    def free(head):
        freed.append(time.time())
        head()

    with connected(three_nodes.address), the_head_is_taken() as free_it:
        threading.Timer(15, free, [free_it]).start()
        assert together.run_together(partial(note_start, tmp_path), 3, 1, 0) == 0
    assert "no room for all 3 processes: waiting" in capsys.readouterr().out
    starts = [float(path.read_text()) for path in tmp_path.iterdir()]
    assert len(starts) == 3
    assert min(starts) > freed[0]


def test_a_training_on_three_nodes_of_which_one_dies(three_nodes, records, tmp_path, capsys):
    """Each of two nodes has a process of the training; the third takes the place of the one that dies."""
    pytest.importorskip("jax")
    from tiny_training import train as train_tiny

    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.together import run_together
    from skyseg_tf.train import train_along

    settings = tiny_settings(records, tmp_path / "alone", epochs=4)
    train_by_two(settings)
    run = tmp_path / "run"
    on_ray = replace(settings, run=run, engine="ray", workers=2, address=three_nodes.address)
    best = run / "checkpoints/best.npz"
    with (
        connected(three_nodes.address, shows_output=True),
        the_head_is_taken() as free_it,
        a_node_dies(three_nodes, lambda node: best.exists(), free_it),
    ):
        assert run_together(partial(train_along, on_ray, train_tiny), 2, 1, 0) == run
    assert "all begin anew" in capsys.readouterr().out
    assert_same_weights(run, tmp_path / "alone")
    assert (run / "metrics.json").is_file()
    assert not left_behind(run)


@contextmanager
def told(number: int, when):
    """Inside, this process gets a signal as soon as `when()` says so."""

    def tell():
        while not when():
            time.sleep(0.01)
        strike(number)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.timeout(1800)
def test_a_training_on_a_cluster_that_is_told_to_end_saves_and_goes_on_exactly(
    three_nodes, records, tmp_path, capsys
):
    """By SIGTERM first; it is gone on with and ended by Ctrl-C, and gone on with again."""
    pytest.importorskip("jax")
    from tiny_training import train as train_tiny

    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.together import run_together
    from skyseg_tf.train import train_along

    settings = tiny_settings(records, tmp_path / "alone", epochs=12, checkpoint_steps=0)
    train_by_two(settings)
    run = tmp_path / "run"

    def rows() -> int:
        path = run / "history.csv"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def along(given):
        given = replace(given, engine="ray", workers=2, address=three_nodes.address)
        return run_together(partial(train_along, given, train_tiny), 2, 1, 0)

    with connected(three_nodes.address, shows_output=True):
        with told(signal.SIGTERM, lambda: rows() > 2), pytest.raises(SystemExit) as ended:
            along(replace(settings, run=run))
        assert ended.value.code == 143
        assert not (run / "metrics.json").exists()
        done = rows()
        assert done < 12
        with told(signal.SIGINT, lambda: rows() > done):
            assert along(TrainConfig(resume=run, quiet=True)) == run
        assert (run / "metrics.json").exists()
        assert rows() < 13
    said = capsys.readouterr().out
    assert f"terminated: saved; go on with --resume {run}" in said
    assert "stopped: finishing with what there is" in said
    train_by_two(TrainConfig(resume=run, quiet=True))
    assert_same_weights(run, tmp_path / "alone")
