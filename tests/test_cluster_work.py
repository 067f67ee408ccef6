"""What is given to a Ray cluster, and when; of Ray itself a few lines do, so that this is fast."""

import itertools
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from skyseg_tf.errors import InputError, in_one_line
from skyseg_tf.files import places
from skyseg_tf.scale import cluster, head, together
from skyseg_tf.scale.sender import Sender, run_as


def test_work_waits_for_machines_that_are_gone_for_a_while(ray):
    assert cluster.first_places(1) == 2
    ray.machines = ()
    work = ((number, None) for number in range(9))
    done = cluster.run_bounded(lambda key, item: key, work, lambda: cluster.places(1))
    assert sorted(done) == [(number, number) for number in range(9)]
    assert ray.most == 4  # of the machine that came
    ray.machines = ()
    with pytest.raises(InputError, match="no machine of the Ray cluster has 1 processors and 0"):
        cluster.first_places(1)


@pytest.mark.parametrize(("machines", "smallest"), [((0.5, 4), 4), ((0.5,), 1), ((0, 8, 3), 3)])
def test_photos_are_no_work_for_half_a_processor(ray, machines, smallest):
    from skyseg_tf.scale.photos import _smallest

    ray.machines = machines
    assert _smallest() == smallest
    assert cluster.places(smallest) == sum(count // smallest for count in machines)


def test_machines_that_come_are_used_before_a_task_ends(ray, monkeypatch):
    """A trial may take hours."""
    answers = itertools.chain([[]] * 3, itertools.repeat(None))

    def wait(tasks, num_returns, timeout=None):
        if (done := next(answers)) is not None and timeout:
            ray.machines = (*ray.machines, 1)
            return done, tasks
        ray.most = max(ray.most, len(tasks))
        return tasks[:1], tasks[1:]

    monkeypatch.setattr(ray, "wait", wait)
    work = ((number, None) for number in range(9))
    assert len(list(cluster.run_bounded(lambda *one: one, work, lambda: cluster.places(1)))) == 9
    assert ray.most == 5


def test_that_there_is_no_machine_is_told_once(ray, monkeypatch, capsys):
    answers = itertools.chain([[]] * 3, itertools.repeat(None))

    def wait(tasks, num_returns, timeout=None):
        ray.machines = ()
        done = next(answers)
        return (tasks[:1], tasks[1:]) if done is None or not timeout else (done, tasks)

    monkeypatch.setattr(ray, "wait", wait)
    work = ((number, None) for number in range(3))
    assert len(list(cluster.run_bounded(lambda *one: one, work, lambda: cluster.places(1)))) == 3
    assert capsys.readouterr().out.count("waiting for one") == 1


@pytest.mark.parametrize("workers", [None, 3])
def test_a_build_on_a_cluster_without_processors_says_that_it_waits(
    ray, monkeypatch, capsys, workers
):
    """As long as nothing has been asked of it, a cluster that grows has its head alone."""
    from skyseg_tf.scale import shards

    looks = iter([(), (), (4,)])

    def wait(tasks, num_returns, timeout=None):
        ray.machines = next(looks, ray.machines)
        ray.most = max(ray.most, len(tasks))
        return (tasks[:1], tasks[1:]) if ray.machines else ([], tasks)

    ray.machines, ray.wait, ray.put = (), wait, lambda function: function
    monkeypatch.setattr(shards, "task_of", lambda run, cpus: lambda shared, shard, item: shard)
    counts, told = dict.fromkeys("abcdefghij", 1), []
    assert len(shards.RayTasks(workers).map(None, counts, counts, told.append)) == 10
    assert len(told) == 10
    assert ray.most == (workers or 8)
    assert capsys.readouterr().out.count("waiting for one") == 1


# ------------------------------------------------------------------ which cluster


def test_a_task_works_in_the_folder_of_its_sender(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sender = Sender.here()
    monkeypatch.chdir("/")
    assert run_as(sender, Path.cwd) == tmp_path
    assert run_as(replace(sender, folder="/nowhere"), Path.cwd) == tmp_path


def test_a_machine_with_another_version_of_the_package_is_told():
    """Numbers of versions are the same between releases."""
    sender = replace(Sender.here(), machine="first", code="0")
    with pytest.raises(InputError, match=r"another version of skyseg_tf than on first .* install"):
        run_as(sender, pytest.fail, "it was called")


@pytest.mark.parametrize(
    "said",
    [
        "ray::run_as()\nRuntimeError: The remote function failed to import on the worker.\n"
        "Traceback\nModuleNotFoundError: No module named 'skyseg_tf'",
        "System error: Can't get attribute '_mask' on <module 'skyseg_tf.scale.photos'>",
    ],
)
def test_a_machine_that_does_not_know_what_it_is_sent_is_told(ray, monkeypatch, said):
    """So it is with versions that have other modules, before they can compare themselves."""
    error = ray.exceptions.RayTaskError(said)
    error.cause = RuntimeError(said)

    def get(*_):
        raise error

    monkeypatch.setattr(ray, "get", get)
    told = rf"another version of skyseg_tf, or none \(.*{said[-20:-1]}.*\); install the same"
    with pytest.raises(InputError, match=told):
        list(cluster.run_bounded(lambda key, _: key, [(1, None)], lambda: 1))
    monkeypatch.setattr(together, "_run_once", get)
    with pytest.raises(InputError, match=told):
        together.run_together(None, 2, 1, 0)


def test_another_version_of_ray_is_told_whole(ray):
    with (
        pytest.raises(InputError, match=r"another Ray or Python runs there \(.*Ray: 2\.50\)"),
        cluster.connected("auto"),
    ):
        pass
    assert in_one_line(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("local", "must be HOST:PORT of a Ray cluster, or auto"),
        ("6379", "must be HOST:PORT"),
        ("head:", "must be HOST:PORT"),
        (f"127.0.0.1:{10**20}", "no Ray cluster answers there"),
        ("127.0.0.1:CLOSED", r"no Ray cluster answers there \(.*refused\); start one"),
        ("[::1]:CLOSED", r"no Ray cluster answers there"),
    ],
)
def test_an_address_where_no_cluster_is_is_refused_at_once(ray, address, message):
    """Ray would try for minutes."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = address.replace("CLOSED", str(closed.getsockname()[1]))
        with pytest.raises(InputError, match=message), cluster.connected(address):
            pass
    assert not ray.options  # it was not asked


def test_a_command_ends_in_one_line_where_the_first_machine_of_the_cluster_is_gone(
    monkeypatch, capsys
):
    """Ray's calls do not return then; after a minute it ends the process in its own words."""
    left = threading.Event()

    def leave(status, stuck):
        assert (status, stuck) == (2, True)
        left.set()

    monkeypatch.setattr(head, "leave", leave)
    monkeypatch.setattr(head, "_LOOK", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with head.watching_head(address):
            assert not left.wait(0.2)
            server.close()
            assert left.wait(10)
    said = capsys.readouterr().err
    assert said.startswith(
        f"skyseg: error: {address}: the first machine of the Ray cluster is gone"
    )
    assert "give the same command again" in said
    assert said.count("\n") == 1


def test_a_head_that_misses_a_look_is_not_gone(monkeypatch):
    answers = [OSError, None] * 20
    done = threading.Event()

    def call(address):
        if not answers:
            done.set()
        elif answer := answers.pop():
            raise answer

    monkeypatch.setattr(head, "call_head", call)
    monkeypatch.setattr(head, "_LOOK", 0)
    monkeypatch.setattr(head, "leave", lambda *_, **__: pytest.fail("it is there"))
    head._watch("a:1", done)


@pytest.mark.parametrize("folder", ["short", "private/var/folders/zz/zyxvpxvq6csfxvn_n0000000000"])
def test_sockets_of_a_cluster_of_its_own_have_names_short_enough(
    ray, monkeypatch, tmp_path, folder
):
    """macOS gives every user a folder for temporary files whose name alone is half of the limit."""
    usual = tmp_path / folder
    usual.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    with pytest.raises(InputError, match="Ray does not start"), cluster.connected(None):
        pass
    session = "session_2026-11-30_12-00-00_000000_1234567/sockets/plasma_store.1"
    assert len(f"{ray.options['_temp_dir']}/{session}") <= 103


def test_files_that_a_network_disk_shows_late_are_waited_for(monkeypatch, tmp_path):
    """Its client remembers for a while that a name was not there."""
    monkeypatch.setattr(places, "_LOOK", 0.01)
    paths = [tmp_path / name for name in "abc"]
    looks, exists = iter(range(100)), Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: next(looks) > 20 and exists(path))
    for path in paths:
        path.touch()
    places.check_seen(paths)
    assert 20 < next(looks) < 30


def test_masks_on_a_disk_of_another_machine_are_not_called_done(monkeypatch, tmp_path):
    """A folder that is there on all machines need not be the same one."""
    from skyseg_tf.masking.photo_jobs import Done
    from skyseg_tf.masking.photo_stages import Job
    from skyseg_tf.masking.settings import PredictConfig
    from skyseg_tf.scale import photos

    jobs = [Job(f"s3://b/{name}.jpg", tmp_path / f"{name}.png", name) for name in "abc"]
    done = [Done(jobs[0], 0.5), Done(jobs[1], failure="b.jpg: no photo"), Done(jobs[2], 0.5)]
    monkeypatch.setattr(photos, "run_bounded", lambda start, work, _: [((*work,)[0][0], done)])
    monkeypatch.setattr(photos, "task_of", lambda *_: None)
    monkeypatch.setattr(photos, "first_places", lambda cpus: 1)
    monkeypatch.setattr(photos, "_smallest", lambda: 1)
    monkeypatch.setattr(places, "_LATE", 0.0)
    monkeypatch.setattr(places, "_LOOK", 0.01)
    jobs[0].target.touch()
    told = []
    with pytest.raises(InputError, match=r"c\.png: written, but not here.*or a URL, by --out"):
        photos.mask_on_ray(PredictConfig(("x",)), jobs, False, told.append)
    assert not told
    jobs[2].target.touch()
    photos.mask_on_ray(PredictConfig(("x",)), jobs, False, told.append)
    assert told == done


@pytest.mark.parametrize("out", ["masks", "memory://masks"])
def test_what_a_task_wrote_before_its_process_died_was_not_there_already(
    monkeypatch, tmp_path, photos, out
):
    from drawn_models import blue_model

    from skyseg_tf.files.places import is_remote, place
    from skyseg_tf.masking.photo_inputs import find_jobs
    from skyseg_tf.masking.settings import PredictConfig
    from skyseg_tf.scale import photos as engine

    if is_remote(out):
        pytest.importorskip("upath")
        monkeypatch.setattr(type(place(out).fs), "store", {})
    monkeypatch.chdir(tmp_path)
    (photos / "0/torn.png").unlink()
    model = str(blue_model(tmp_path / "blue.onnx", long_side=64))
    config = PredictConfig((str(photos),), place(out), model=model, resume=True)
    monkeypatch.setattr(engine, "task_of", lambda run, cpus: lambda *one: (run(*one), run(*one))[1])
    monkeypatch.setattr(
        engine, "run_bounded", lambda start, parts, _: [(0, start(*p)) for p in parts]
    )
    monkeypatch.setattr(engine, "first_places", lambda cpus: 1)
    monkeypatch.setattr(engine, "_smallest", lambda: 1)
    for there in (0, 6):
        told = []
        engine.mask_on_ray(config, find_jobs(config), True, told.append)
        assert len(told) == 6
        assert sum(one.was_there for one in told) == there
        assert not any(one.failure for one in told)
