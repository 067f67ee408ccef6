"""Run folders that are damaged, moved, half written or in use."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from skyseg_tf.errors import InputError
from skyseg_tf.files import locks
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.runs.folder import read_config, read_json, read_run_data, training_in, write_json
from skyseg_tf.training.settings import SearchConfig, TrainConfig

STATS = {f"{c}_{what}": 100.0 for c in "RGB" for what in ("MEAN", "STD")}
DATA = {
    "scheme": "sky", "class_names": ["not sky", "sky"], "image_size": [32, 64], "frames": 1,
    "rgb_stats": STATS, "layout": "cityscapes", "source_sha256": "", "photos": {"train": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "config.json: damaged, not JSON"),
        ("{", "config.json: damaged, not JSON"),
        ("[]", "config.json: holds no JSON object"),
        ("[" * 100_000, "config.json: nested too deep"),
        (b"\xff\xfe\x00", "config.json: damaged, not JSON"),
        ('{"speed": 3}', r"config.json: of another version of this program \(speed\)"),
        ('{"epochs": "many"}', 'config.json: damaged: epochs is "many"; restore the file or'),
        ('{"epochs": true}', "config.json: damaged: epochs is true"),
        ('{"epochs": 2.5}', "config.json: damaged: epochs is 2.5"),
        ('{"epochs": null}', "config.json: damaged: epochs is null"),
        ('{"records": 7}', "config.json: damaged: records is 7"),
        ('{"records": "a\\u0000b"}', "config.json: damaged: records is"),
        ('{"model": ["skynet"]}', "config.json: damaged: model is"),
        ('{"image_size": [32]}', r"config.json: damaged: image_size is \[32\]"),
        ('{"image_size": [32, "64"]}', "config.json: damaged: image_size is"),
        ('{"extra_records": "a"}', "config.json: damaged: extra_records is"),
        ('{"learning_rate": {"a": 1}}', "config.json: damaged: learning_rate is"),
        ('{"ema": 1e999999, "quiet": 1}', "config.json: damaged: quiet is 1"),
    ],
)
def test_damaged_settings_are_told_by_file_and_field(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(InputError, match=message) as error:
        read_config(tmp_path, TrainConfig)
    assert "\n" not in str(error.value)


def test_settings_of_both_commands_come_back(tmp_path):
    for config in (
        TrainConfig(records=tmp_path, image_size=(32, 64), learning_rate=1, init=Path("a"),
                    model_options=("depth=101",), extra_records=(tmp_path / "a",)),
        SearchConfig(records=tmp_path, space=("ema=0,0.9",), sampler="grid"),
    ):  # fmt: skip
        write_json(tmp_path / "config.json", config)
        assert read_config(tmp_path, type(config)) == config


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"image_size": [32]}, "image_size"),
        ({"image_size": ["a", "b"]}, "image_size"),
        ({"frames": None}, "frames"),
        ({"rgb_stats": {"R_MEAN": "x"}}, "rgb_stats"),
        ({"rgb_stats": []}, "rgb_stats"),
        ({"photos": {"train": "x"}}, "photos"),
        ({"layout": 3}, "layout"),
        ({"encoding": [[0, "sky"], ["1", "ground"]]}, "encoding"),
        ({"splits": []}, "splits"),
        ({"splits": {"train": 5}}, "splits"),
    ],
)
def test_damaged_data_is_told_by_file_and_field(tmp_path, change, field):
    write_json(tmp_path / "dataset.json", DATA)
    assert read_run_data(tmp_path).image_size == (32, 64)
    write_json(tmp_path / "dataset.json", DATA | change)
    with pytest.raises(InputError, match=rf"dataset\.json: damaged: {field}"):
        read_run_data(tmp_path)
    write_json(tmp_path / "dataset.json", {k: v for k, v in DATA.items() if k != "layout"})
    with pytest.raises(InputError, match=r"dataset\.json: damaged: no layout in it"):
        read_run_data(tmp_path)


def test_a_file_that_is_not_there_is_empty_and_one_too_large_is_refused(tmp_path):
    assert read_json(tmp_path / "metrics.json") == {}
    with open(tmp_path / "metrics.json", "wb") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    with pytest.raises(InputError, match=r"metrics\.json: larger than 64 MB"):
        read_json(tmp_path / "metrics.json")


def test_one_training_at_a_time_and_what_a_killed_one_left_goes(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "exports").mkdir()
    left = [run / ".config.json.7-0.tmp", run / ".model.keras.7-1.tmp.keras",
            run / "checkpoints" / ".newest.npz.7-2.tmp"]  # fmt: skip
    of_others = run / "exports" / ".model.onnx.8-0.tmp"  # an export may be at work right now
    for path in (*left, of_others, run / "model.keras"):
        path.touch()
    with training_in(run):
        assert not any(path.exists() for path in left)
        assert of_others.exists()
        assert (run / "model.keras").exists()
        again = pytest.raises(InputError, match="run: another training is at work there; wait")
        with again, training_in(run):
            pass
        code = "import sys; from skyseg_tf.files.locks import lock; sys.exit(lock(sys.argv[1]) is None)"
        held = subprocess.run([sys.executable, "-c", code, run / ".training"])
        assert held.returncode == 1  # in another process as well
    with training_in(run):
        pass
    assert subprocess.run([sys.executable, "-c", code, run / ".training"]).returncode == 0


def test_a_training_that_is_refused_leaves_neither_lock_nor_folder(tmp_path):
    for run in (tmp_path / "runs" / "sky", tmp_path / "runs"):
        refused = pytest.raises(InputError, match=r"^no$")
        with refused, training_in(run):
            assert [path.name for path in run.iterdir()] == [".training"]
            raise InputError("no")
        assert not list(tmp_path.iterdir())
    (tmp_path / "config.json").touch()
    with training_in(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_lock_whose_file_is_removed_in_the_moment_before_is_taken_on_the_new_one(
    tmp_path, monkeypatch
):
    """Else two trainings would each have a lock of their own."""
    path, flock = tmp_path / "lock", locks.fcntl.flock

    def late(file, how):
        if not others:
            path.unlink()  # as who has held it until now does
            others.append(open(path, "a"))  # noqa: SIM115
            flock(others[0], how)
        return flock(file, how)

    others = []
    monkeypatch.setattr(locks.fcntl, "flock", late)
    assert locks.lock(path) is None
    others[0].close()
    with locks.lock(path) as held:
        assert os.path.samestat(os.stat(path), os.fstat(held.fileno()))


def test_a_run_without_a_finished_epoch_says_how_to_go_on(tmp_path):
    write_json(tmp_path / "config.json", TrainConfig(records=tmp_path))
    with pytest.raises(InputError, match=rf"no epoch .* `skyseg train --resume {tmp_path}`"):
        load_runtime(tmp_path)


def test_settings_that_no_training_can_have_are_told_by_file(tmp_path):
    from skyseg_tf.training.resume import resumed

    stored = TrainConfig(records=tmp_path, run=tmp_path, model="skyline")
    for change, message in (
        ({"records": None}, "config.json: names no records"),
        ({"model": None}, "config.json: names no model"),
        ({"epochs": 0}, r"config.json: --epochs is 0: at least 1"),
        ({"model": "skynets"}, "config.json: no network 'skynets'"),
        ({"loss": "mse"}, "config.json: no loss 'mse'"),
        ({"model_options": ("a=1",)}, "config.json: --model-options a=1: skyline has none"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({}))
        write_json(tmp_path / "config.json", replace(stored, **change))
        with pytest.raises(InputError, match=message):
            resumed(TrainConfig(resume=tmp_path), TrainConfig())
