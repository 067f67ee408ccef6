import signal
import threading
import time

import pytest
from signals import strike

from skyseg_tf.errors import Stuck
from skyseg_tf.masking.stages import Stage, run_stages


def test_items_keep_their_order_and_stages_overlap():
    seen = []

    def slow(item):
        time.sleep(0.02)
        return item + 1

    start = time.perf_counter()
    times, stopped = run_stages(
        ("source", range(20)), [Stage(name, slow) for name in "abc"] + [Stage("sink", seen.append)]
    )
    wall = time.perf_counter() - start
    assert seen == [i + 3 for i in range(20)]
    assert not stopped
    assert wall < 0.75 * sum(stage.busy for stage in times)  # 1.2 s one after the other
    assert [stage.items for stage in times] == [20] * 5
    assert all(stage.busy >= 0.4 for stage in times[1:4])
    assert all(stage.cpu < 0.2 for stage in times)


def test_workers_share_a_stage_and_keep_the_order():
    """The first item of each three takes longest, so that later ones are done before it."""
    seen, at_once, most = [], set(), []

    def work(item):
        at_once.add(item)
        time.sleep(0.03 if item % 3 == 0 else 0.005)
        most.append(len(at_once))
        at_once.discard(item)
        return item

    start = time.perf_counter()
    times, _ = run_stages(
        ("source", range(30)), [Stage("work", work, 3), Stage("sink", seen.append)]
    )
    wall = time.perf_counter() - start
    assert seen == list(range(30))
    assert max(most) == 3
    assert (times[1].workers, times[1].items, times[2].items) == (3, 30, 30)
    assert times[1].busy > 0.4
    assert times[1].busy + times[1].starved + times[1].blocked <= 3 * wall


def test_workers_go_on_before_their_turn():
    """The first item is held until the fourth is at work: by a worker that did not wait for it."""
    gate, seen = threading.Event(), []

    def work(item):
        if item == 3:
            gate.set()
        return item if item else gate.wait(5) - 1

    run_stages(("source", range(20)), [Stage("work", work, 2), Stage("sink", seen.append)])
    assert seen == list(range(20))


def test_what_is_done_before_its_turn_is_bounded():
    gate, begun, seen = threading.Event(), [], []

    def work(item):
        begun.append(item)
        if item == 0:
            gate.wait(5)
        return item

    stages = [Stage("work", work, 2), Stage("sink", seen.append)]
    thread = threading.Thread(target=run_stages, args=(("source", range(99)), stages))
    thread.start()
    time.sleep(0.3)
    assert (len(begun), seen) == (5, [])  # two workers, and three that may wait
    gate.set()
    thread.join(5)
    assert seen == list(range(99))


def test_a_stage_may_fill_batches():
    batch, seen = [], []

    def fill(item):
        batch.append(item)
        full = batch[:] if len(batch) == 3 or item is None else []
        del batch[: len(full)]
        return full

    items = [*range(7), None]
    stages = [Stage("fill", fill, returns_list=True), Stage("sink", seen.append)]
    times, _ = run_stages(("source", items), stages)
    assert seen == items
    assert [stage.items for stage in times] == [8, 8, 8]


def test_waiting_is_told_apart():
    def slow(item):
        time.sleep(0.02)
        return item

    times, _ = run_stages(
        ("source", range(30)), [Stage("slow", slow), Stage("fast", lambda item: item)], depth=2
    )
    source, slow_stage, fast = times
    assert source.blocked > 0.15
    assert fast.starved > 0.15
    assert slow_stage.starved + slow_stage.blocked < slow_stage.busy


def test_queues_are_bounded():
    made, gate = [], threading.Event()

    def source():
        for i in range(100):
            made.append(i)
            yield i

    def hold(item):
        gate.wait(5)
        return item

    thread = threading.Thread(
        target=run_stages, args=(("source", source()), [Stage("hold", hold)]), kwargs={"depth": 3}
    )
    thread.start()
    time.sleep(0.3)
    assert len(made) <= 6  # one held, three waiting, one in hand, one next
    gate.set()
    thread.join(5)
    assert len(made) == 100


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("place", ["source", "stage", "last"])
def test_the_first_error_ends_everything(place, workers):
    def fail_at(where, item):
        if where == place and item == 5:
            raise ZeroDivisionError(place)
        return item

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match=place):
        run_stages(
            ("source", (fail_at("source", i) for i in range(1000))),
            [
                Stage("stage", lambda i: fail_at("stage", i), workers),
                Stage("last", lambda i: fail_at("last", i)),
            ],
        )
    assert threading.active_count() == before


def test_interrupt_finishes_what_is_under_way():
    seen = []

    def stage(item):
        time.sleep(0.005)
        if item == 10:
            strike()
        return item

    times, stopped = run_stages(
        ("source", range(10_000)), [Stage("a", stage), Stage("b", seen.append)]
    )
    assert stopped
    assert seen == list(range(times[0].items))  # all that were begun came out
    assert 10 < len(seen) < 1000


def test_a_second_interrupt_gives_up():
    def stage(item):
        time.sleep(0.2 if item == 12 else 0.001)  # two that come at once are one
        if item in (10, 12):
            strike()
        time.sleep(0.02)
        return item

    before = threading.active_count(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_stages(
            ("source", range(10_000)),
            [Stage("a", stage, 2), Stage("b", lambda item: item)],
            depth=5,
        )
    assert (threading.active_count(), signal.getsignal(signal.SIGINT)) == before


def test_no_thread_is_left_at_work_when_an_exception_strikes_the_waiting(monkeypatch):
    """Who called closes the files then; a thread that still reads them takes the process along."""
    is_alive, struck = threading.Thread.is_alive, []

    def interrupted(thread):
        if thread.name == "source" and not struck:
            struck.append(thread)
            raise KeyboardInterrupt
        return is_alive(thread)

    monkeypatch.setattr(threading.Thread, "is_alive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stages(("source", range(10_000)), [Stage("a", lambda item: time.sleep(0.005))])
    assert not struck[0].is_alive()


def test_an_interrupt_beside_an_error_changes_nothing():
    """The failed stage takes nothing any more: who waits for it must still be told to end."""

    failed = threading.Event()

    def source():
        yield 0
        failed.wait(5)
        time.sleep(0.05)
        strike()
        time.sleep(0.2)
        yield from range(100)

    def fail(item):
        failed.set()
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        run_stages(("source", source()), [Stage("a", fail)], depth=1)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_hangs_is_left_behind(number):
    gate, begun = threading.Event(), threading.Event()

    def hang(item):
        if item == 3:
            begun.set()
            gate.wait(60)

    def end():
        begun.wait(5)
        time.sleep(0.1)
        strike(number)

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    threading.Thread(target=end).start()
    start = time.monotonic()
    with pytest.raises(Stuck) as stop:
        run_stages(("source", range(1000)), [Stage("a", hang, 2), Stage("b", print)], patience=0.5)
    assert time.monotonic() - start < 2.5
    assert stop.value.args == (number,)
    assert {n: signal.getsignal(n) for n in before} == before
    gate.set()


def test_what_a_hanging_source_gave_is_kept():
    """A stream that stalls: Ctrl-C ends the recording, not the file."""
    gate, seen = threading.Event(), []

    def source():
        yield from range(5)
        time.sleep(0.2)
        strike()
        gate.wait(60)
        yield 5

    start = time.monotonic()
    times, stopped = run_stages(
        ("source", source()), [Stage("a", lambda item: item), Stage("b", seen.append)], patience=0.5
    )
    assert time.monotonic() - start < 2
    assert (stopped, seen) == (signal.SIGINT, [0, 1, 2, 3, 4])
    assert times[0].items == 5
    gate.set()


def test_a_slow_stage_is_waited_for():
    """Slower than the patience, but it has been so before."""
    seen = []

    def slow(item):
        time.sleep(0.4)
        if item == 2:
            strike()
        return item

    times, stopped = run_stages(
        ("source", range(100)), [Stage("a", slow), Stage("b", seen.append)], patience=0.2
    )
    assert stopped
    assert seen == list(range(times[0].items))
