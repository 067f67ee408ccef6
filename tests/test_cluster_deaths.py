"""What becomes of work that kills its processes, and of signals; of Ray itself a few lines do."""

import json
import signal
import socket
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_ray import Died
from signals import strike

from skyseg_tf.errors import InputError, LostProcess
from skyseg_tf.scale import cluster, together
from skyseg_tf.scale.sender import Sender

# ------------------------------------------------------------------ tasks that kill their process


def test_work_goes_on_beside_tasks_that_kill_their_process(ray):
    ray.deadly = {2, 5}
    work = ((number, None) for number in range(9))
    done = dict(cluster.run_bounded(lambda key, _: key, work, lambda: 2))
    assert [key for key, result in done.items() if result != key] == [2, 5]
    assert str(done[5]) == (
        "its process died 6 times, or its machines are gone (Task was killed: out of memory)"
    )


def test_work_of_which_every_task_kills_its_process_ends_soon(ray):
    """The machines have too little memory for any of it."""
    ray.deadly, asked = range(3, 1000), []
    work = ((asked.append(number) or number, None) for number in range(1000))
    with pytest.raises(InputError, match=r"^7: its process died 6 times.*like 4 others before"):
        list(cluster.run_bounded(lambda key, _: key, work, lambda: 2))
    assert len(asked) < 12


@pytest.mark.parametrize(("deadly", "more"), [("c", ""), ("bc", r" \(2 shards in all\)")])
def test_a_shard_that_kills_its_process_is_named_when_all_others_are_there(
    ray, monkeypatch, deadly, more
):
    from skyseg_tf.scale import shards

    ray.deadly, ray.put, began = set(deadly), lambda function: function, []
    start = lambda shared, shard, item: began.append(shard) or shard  # noqa: E731
    monkeypatch.setattr(shards, "task_of", lambda run, cpus: start)
    counts = dict.fromkeys("abcdefghij", 1)
    with pytest.raises(InputError, match=rf"^{deadly[0]}: its process died.*{more}; the other"):
        shards.RayTasks().map(None, counts, counts, lambda count: None)
    assert sorted(began) == sorted(counts)


def test_a_photo_that_kills_its_process_takes_no_others_along(ray, monkeypatch, tmp_path):
    from skyseg_tf.masking.photo_jobs import Done
    from skyseg_tf.masking.photo_stages import Job
    from skyseg_tf.masking.settings import PredictConfig
    from skyseg_tf.scale import photos

    jobs = [Job(f"{number}.jpg", None, str(number)) for number in range(100)]
    sent, deadly = [], {jobs[number] for number in (3, 50, 51)}

    def mask(config, part, few, begun):
        sent.append(config)
        if deadly & set(part):
            raise Died("out of memory")
        return [Done(job, 0.5) for job in part]

    def task_of(run, cpus):
        done = {photos._choose: lambda config, few: "onnxruntime", photos._mask: mask}[run]
        return lambda *given: partial(done, *given)

    monkeypatch.setattr(photos, "task_of", task_of)
    monkeypatch.setattr(ray, "get", lambda task: task())
    told = []
    photos.mask_on_ray(PredictConfig(("*.jpg",)), jobs, True, told.append)
    assert sorted(int(one.job.name) for one in told) == list(range(100))
    failed = {one.job: one.failure for one in told if one.failure}
    assert failed.keys() == deadly
    assert failed[jobs[3]].startswith("3.jpg: its process died 6 times")
    assert not any(config.inputs for config in sent)
    assert {config.backend for config in sent} == {"onnxruntime"}


def test_trials_go_on_where_one_kills_its_process(ray, capsys):
    """The next task takes it up, or finds that it has died too often."""
    from skyseg_tf.scale import trials
    from skyseg_tf.tuning.trials import TrialRow

    rows = [TrialRow(0, "finished", 0.5, {}), None, TrialRow(2, "finished", 0.7, {}), None]
    tasks, told = iter(range(9)), []
    ray.deadly, ray.get_task = [1], ray.get
    ray.get = lambda task: rows[ray.get_task(task)]
    trials._start_all(lambda: next(tasks), lambda: 1, told.append)
    assert [row.number for row in told] == [0, 2]
    assert "task 1 of the search: its process died 6 times" in capsys.readouterr().out


# ------------------------------------------------------------------ processes that work together


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_on_to_the_first_process_once(ray, monkeypatch, number):
    """It ends in its own time, and so do the others."""
    noted, sent, looks = [], [], iter([None, None, number, None, None])

    def wait(tasks, num_returns, timeout):
        if came := next(looks, 0):
            noted.append(came)
        return (tasks[:1], tasks[1:]) if came == 0 else ([], tasks)

    monkeypatch.setattr(ray, "wait", wait)
    sender = SimpleNamespace(send=SimpleNamespace(remote=sent.append))
    assert together._results(["run", "run"], sender, noted) == ["run", "run"]
    assert sent == [number]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_that_a_signal_has_ended_do_not_begin_anew(ray, monkeypatch, number):
    starts = []

    def run_once(*args):
        starts.append(args)
        strike(number)
        raise Died("the process receives a SIGTERM")

    monkeypatch.setattr(together, "_run_once", run_once)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt) as stop:
        together.run_together(None, 2, 1, 0)
    assert stop.value.args == (number,)
    assert len(starts) == 1
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]


def test_the_second_signal_does_not_wait_for_the_processes(ray, monkeypatch):
    def run_once(*args):
        strike()
        strike()
        pytest.fail("it has waited")

    monkeypatch.setattr(together, "_run_once", run_once)
    with pytest.raises(KeyboardInterrupt):
        together.run_together(None, 2, 1, 0)


def test_processes_that_another_one_has_told_to_end_begin_anew(ray, monkeypatch, capsys):
    """A machine that is to be switched off sends SIGTERM to all that runs there."""
    answers = iter([LostProcess("it was told to end"), "run"])

    def run_once(call, count, cpus, gpus, deaths, noted):
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer, bool(deaths.last)

    monkeypatch.setattr(together, "_run_once", run_once)
    assert together.run_together(None, 2, 1, 0) == ("run", True)
    assert "a process has died (it was told to end): all begin anew" in capsys.readouterr().out


@pytest.fixture
def dying(monkeypatch):
    """Has each try of processes that work together find the work so far, and die."""

    def set_to(*places):
        tries = iter(places)

        def run_once(call, count, cpus, gpus, deaths, noted):
            if (place := next(tries)) == "done":
                return "run"
            if place is not None:
                deaths.forget(place)
            raise Died(f"at {place}")

        monkeypatch.setattr(together, "_run_once", run_once)

    return set_to


def test_deaths_do_not_count_where_checkpoints_are_reached_between_them(ray, dying, capsys):
    """A training of weeks may lose a machine every day."""
    dying(*[(epoch, step) for epoch in range(20) for step in (0, 7, 7)], "done")
    assert together.run_together(None, 2, 1, 0) == "run"
    assert capsys.readouterr().out.count("all begin anew") == 60


def test_deaths_at_the_same_place_are_too_many_at_last(ray, dying):
    dying((0, 0), (1, 5), *[(1, 5)] * 5, (1, 5), "done")
    told = r"died 6 times in a row, and came no further, at last so: at \(1, 5\); give"
    with pytest.raises(InputError, match=told):
        together.run_together(None, 2, 1, 0)


def test_a_checkpoint_behind_the_last_one_is_no_progress(ray, dying):
    """The last one may be torn: what goes on from the one before it could do so for ever."""
    dying(*[(1, 5), (1, 0)] * 6, "done")
    with pytest.raises(InputError, match="came no further"):
        together.run_together(None, 2, 1, 0)


def test_processes_that_never_begin_are_too_many_at_last(ray, dying):
    dying((1, 5), *[None] * 7, "done")
    with pytest.raises(InputError, match=r"died 7 times in a row.*at None"):
        together.run_together(None, 2, 1, 0)


def test_how_far_a_run_is_stands_in_its_newest_whole_checkpoint(tmp_path):
    from skyseg_tf.runs.reached import reached

    def save(name: str, **facts) -> None:
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        np.savez(tmp_path / "checkpoints" / name, facts=text, big=np.zeros(10))

    assert reached(tmp_path) == (0, 0)
    (tmp_path / "checkpoints").mkdir()
    save("previous", epoch=2, step=5, history=[])
    assert reached(tmp_path) == (2, 5)
    save("last", epoch=3, step=0, history=[])
    assert reached(tmp_path) == (3, 0)
    for torn in (b"PK", b"", (tmp_path / "checkpoints/last.npz").read_bytes()[:-100]):
        (tmp_path / "checkpoints/last.npz").write_bytes(torn)
        assert reached(tmp_path) == (2, 5)


@pytest.mark.parametrize("status", [143, 1])
def test_a_process_that_sigterm_has_ended_in_its_own_way_says_so(status):
    before, here = signal.getsignal(signal.SIGUSR1), Sender.here()

    def call(*_):
        raise SystemExit(status)

    try:
        if status == 143:
            ended = together._Process().run(here, call, "a:1", 0, False)
            assert ended == together._Terminated()
        else:  # what Ray's own handler does: nothing was saved
            with pytest.raises(SystemExit):
                together._Process().run(here, call, "a:1", 0, False)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_port_of_the_first_process_is_kept_for_it(ray, monkeypatch):
    """Another process could take a free one before JAX listens there."""
    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context, raising=False)
    util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")
    monkeypatch.setattr(ray, "util", util, raising=False)
    process = together._Process()
    host, _, port = process.place().address.rpartition(":")
    with process.held, pytest.raises(OSError, match="in use"):
        socket.create_server((host, int(port)))
