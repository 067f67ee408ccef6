"""What does not fit is refused before the work, in one line that says what would."""

from dataclasses import replace

import pytest

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.errors import InputError
from skyseg_tf.files import room
from skyseg_tf.training.estimates import check_step
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settle import settle


@pytest.fixture
def free(monkeypatch):
    """A machine with 1 GB of memory and 1 GB of disk."""
    monkeypatch.setattr(room, "free_memory", lambda: 1e9)
    monkeypatch.setattr("skyseg_tf.training.estimates.free_memory", lambda: 1e9)
    usage = type("Usage", (), {"free": int(1e9)})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage)


def test_free_memory_is_what_limits_leave():
    import resource

    everything = room.free_memory()
    assert 1e6 < everything < 1e14
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = room._kilobytes("/proc/self/status")["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (int(taken + 50e6), before[1]))
    try:
        assert 30e6 < room.free_memory() <= 50e6
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_what_would_fit_is_a_size_that_fits():
    assert room.largest_size((1000, 2000), 0.25) == "500 1000"
    assert room.largest_size((1000, 2000), 0.25, 32) == "480 992"
    assert room.largest_size((100, 100), 1e-9, 32) == "32 32"
    assert room.fewer_workers(8, 0.5, "less") == "give --workers 4, or less"
    assert room.fewer_workers(8, 0.1, "less") == "give less"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"count": 10**12}, "give 1 to 100,000,000 scenes"),
        ({"size": (100_000, 100_000)}, "at most 200 megapixels"),
        ({"size": (64, 10**6)}, "sides of at most 32,000"),
        ({"size": (10_000, 16_000)}, "needs about 9.7 GB of memory, 1.0 GB are free; give at most"),
        (
            {"size": (1000, 2000), "count": 1000},
            "1,000 scenes of 1000 x 2000 would take about 1.7 GB",
        ),
        ({"count": 10**8}, "a list of 100,000,000 scenes needs about 15 GB of memory"),
    ],
)
def test_scenes_that_do_not_fit(tmp_path, free, settings, told):
    settings = {"count": 1, "size": (64, 64), "workers": 1} | settings
    with pytest.raises(InputError, match=told):
        write_scenes(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"image_size": (100_000, 100_000)}, "at most 200 megapixels"),
        ({"image_size": (14_000, 14_000)}, "one record of 14000 x 14000 .* larger than 2 GB"),
        ({"image_size": (8000, 8000)}, "building records .* give at most --image-size"),
        ({"image_size": (2000, 4000)}, "15 records .* would take about 2.0 GB in"),
        ({"frames": 10**9, "image_size": (8, 8)}, "frame"),
    ],
)
def test_records_that_do_not_fit(tmp_path, tree, free, settings, told):
    config = BuildConfig(out=tmp_path / "out", source=tree, workers=1, quiet=True)
    with pytest.raises(InputError, match=told):
        build(replace(config, **settings))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_asks_for_space_and_not_for_nothing(tmp_path, free, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 4096}))
    with pytest.raises(
        InputError, match=r"2 scenes of 64 x 64 would take .* free some space or choose"
    ):
        write_scenes(tmp_path / "out", 2, size=(64, 64), workers=1)


def test_a_batch_that_memory_does_not_hold(tmp_path, records, monkeypatch):
    config = TrainConfig(records=records, batch_size=8, run=tmp_path / "run", plots=tmp_path)
    job = settle(config)
    monkeypatch.setattr("skyseg_tf.training.estimates.free_memory", lambda: 3e6)
    monkeypatch.setattr(room, "free_memory", lambda: 3e6)
    with pytest.raises(InputError, match="skyline with --batch-size 8 at 32 x 64 needs") as error:
        check_step(job)
    fits = int(str(error.value).split("give --batch-size ")[1].split(",")[0])
    check_step(job.changed(batch_size=fits))
    with pytest.raises(InputError):
        check_step(job.changed(batch_size=fits + 1))


class ResourceExhaustedError(Exception):
    """By the name of TensorFlow's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ResourceExhaustedError("OOM when allocating"),
        RuntimeError("can't start new thread"),
        ImportError("libgfortran.so: failed to map segment from shared object"),
    ],
)
def test_a_lack_of_memory_is_one_line(error, capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors("skyseg x"):
        raise error
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("skyseg x: error: this machine's memory does not suffice; give")
    assert told.count("\n") == 1
