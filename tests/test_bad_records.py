"""Trainings whose records are damaged, and runs that are killed at every change of a file."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from dying import Killed, die_at
from test_resume import assert_same, rows

from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError
from skyseg_tf.train import TrainConfig, train
from skyseg_tf.training import bad_records
from skyseg_tf.training.batches import class_pixels


@pytest.fixture
def config(tiny, undrawn, records, tmp_path):
    return TrainConfig(
        records=shutil.copytree(records, tmp_path / "sky"), model="skynet", epochs=2, batch_size=2,
        ema=0.9, run=tmp_path / "run", plots=tmp_path / "plots", quiet=True,
    )  # fmt: skip


def shard_of(config, split, number):
    return config.records / read_manifest(config.records).splits[split].shards[number].file


def flip(path):
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


def told(run, name):
    return json.loads((run / f"{name}.json").read_text())


def test_a_training_stops_at_damaged_records_or_skips_them(config, capsys):
    whole = read_manifest(config.records).splits
    flip(shard_of(config, "train", 1))
    torn = shard_of(config, "val", 0)
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(InputError, match=f"{torn.name}: missing or not"):
        train(config)
    assert not config.run.exists()
    skip = replace(config, on_bad_record="skip")
    train(skip)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert all(line.endswith(", 2 damaged records skipped") for line in lines)
    assert told(config.run, "metrics")["skipped_records"] == 2
    assert told(config.run, "environment")["skipped_records"] == 2
    photos = told(config.run, "dataset")["photos"]
    assert photos == {name: split.count - 1 for name, split in whole.items()}
    # Killed after the first epoch and resumed, when more has become unreadable: the same run.
    run = config.run.with_name("stopped")

    def stop(row):
        raise KeyError

    with pytest.raises(KeyError):
        train(replace(skip, run=run), on_epoch=stop)
    train(TrainConfig(resume=run, quiet=True))
    assert_same(run, config.run)


def test_class_weights_are_of_the_pixels_that_are_trained_on(config):
    whole = class_pixels(config)
    flipped, torn, missing = (shard_of(config, "train", number) for number in range(3))
    flip(flipped)
    torn.write_bytes(torn.read_bytes()[:-9])
    missing.unlink()
    skipped = bad_records.skipped_records(replace(config, on_bad_record="skip"))
    assert bad_records.count(skipped) >= 3
    masks = make_dataset(config.records, "train", 1, left_out=skipped).map(lambda _, mask: mask)
    seen = np.concatenate([mask.ravel() for mask in masks.as_numpy_iterator()])
    counts = np.bincount(seen, minlength=256)[: len(whole)]
    assert class_pixels(config, skipped).tolist() == counts.tolist()
    assert counts.sum() < whole.sum()


@pytest.mark.slow
def test_records_that_are_damaged_while_a_training_runs(config, capsys):
    path = shard_of(config, "train", 2)
    whole = path.read_bytes()

    def damage(row):
        if row["epoch"] == 1:
            flip(path)

    with pytest.raises(InputError, match=rf"{path.name}: record 0 \('.*checksum"):
        train(config, on_epoch=damage)
    path.write_bytes(whole)
    skip = replace(config, on_bad_record="skip", run=config.run.with_name("skip"))
    train(skip, on_epoch=damage)
    said = capsys.readouterr().out
    assert f"{path.name}: record 0" in said
    assert "going on without" in said
    assert "epoch 1/2" in said.split("going on without")[0]
    assert [row["epoch"] for row in rows(skip.run)] == ["1", "2"]
    assert told(skip.run, "metrics")["skipped_records"] == 1
    assert told(skip.run, "environment")["skipped_records"] == 1
    # The one that stopped may go on, too, and comes to the same weights.
    train(TrainConfig(resume=config.run, on_bad_record="skip", quiet=True))
    assert_same(config.run, skip.run)


def test_a_damaged_list_is_one_line(config):
    config.run.mkdir()
    (config.run / bad_records.SKIPPED).write_text('{"0": 5}')
    with pytest.raises(InputError, match=r"skipped_records\.json: damaged"):
        bad_records.skipped_records(replace(config, resume=config.run, on_bad_record="skip"))


def kill_and_go_on(config, undisturbed, step, changes, monkeypatch):
    """False where the training ended before that step."""
    with monkeypatch.context() as patch:
        die_at(patch, step, changes)
        try:
            train(config)
        except Killed:
            pass
        else:
            return False
    begun = (config.run / "config.json").exists()
    train(TrainConfig(resume=config.run, quiet=True) if begun else config)
    assert_same(config.run, undisturbed)
    for name in ("config", "dataset", "environment", "metrics"):
        assert told(config.run, name)
    left = [path.name for path in config.run.rglob(".*")]
    assert left == [".training"], step
    return True


@pytest.mark.slow
def test_killed_before_it_is_a_run(config, monkeypatch):
    """At dataset.json, and at config.json."""
    config = replace(config, epochs=1)
    undisturbed = train(replace(config, run=config.run.with_name("whole")))
    for step in (2, 3):
        run = config.run.with_name(f"run{step}")
        assert kill_and_go_on(
            replace(config, run=run), undisturbed, step, ("replace",), monkeypatch
        )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_change_of_a_file(config, monkeypatch):
    config = replace(config, epochs=1)
    undisturbed = train(replace(config, run=config.run.with_name("whole")))
    changes, step = ("replace", "rename", "unlink", "rmdir"), 1
    while kill_and_go_on(
        replace(config, run=config.run.with_name(f"run{step}")),
        undisturbed, step, changes, monkeypatch,
    ):  # fmt: skip
        step += 1
    assert step > 20
