"""A training that was killed ends like one that was not."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.runs.folder import read_config, write_json
from skyseg_tf.train import TrainConfig, main, train
from skyseg_tf.training.resume import resumed

pytestmark = pytest.mark.usefixtures("undrawn")

# The real command, which sends itself a signal after a given number of batches.
STRUCK = """
import os, sys
from skyseg_tf import models, train
from skyseg_tf.training import loop as fitting
signal, wanted, tiny, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
if tiny:
    sys.path.insert(0, tiny)
    import tiny_network
    models.MODELS.update(tiny_network.NETWORKS)
keep, done = fitting.Checkpointing.on_train_batch_end, []
def then_strike(self, batch, logs=None):
    done.append(batch)
    if signal != 9 and len(done) == wanted:
        os.kill(os.getpid(), signal)
    keep(self, batch, logs)
    if signal == 9 and len(done) == wanted:
        os.kill(os.getpid(), signal)
fitting.Checkpointing.on_train_batch_end = then_strike
train.main(argv)
"""


def flags(config):
    """The command line that gives these settings."""
    argv = []
    for field in fields(config):
        value, name = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if value == field.default:
            continue
        if isinstance(value, bool):
            argv.append(name if value else name.replace("--", "--no-"))
        else:
            argv += [name, *map(str, value if isinstance(value, tuple) else (value,))]
    return argv


def strike(config, with_signal, batches, tiny=str(Path(__file__).parent)):
    argv = [sys.executable, "-c", STRUCK, str(int(with_signal)), str(batches), tiny]
    return subprocess.run([*argv, *flags(config)], capture_output=True, text=True)


def command(config):
    """Trains in a process of its own, as people do."""
    argv = [sys.executable, "-m", "skyseg_tf.train", *flags(config)]
    subprocess.run(argv, capture_output=True, text=True, check=True)


def rows(run):
    with open(run / "history.csv") as file:
        return [
            {key: value for key, value in row.items() if key not in ("seconds", "waiting")}
            for row in csv.DictReader(file)
        ]


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name not in ("facts", "sha256")}


def assert_same(run, undisturbed):
    for name in ("last", "best"):
        found, wanted = (arrays(r / "checkpoints" / f"{name}.npz") for r in (run, undisturbed))
        assert found.keys() == wanted.keys()
        differing = [key for key in wanted if not np.array_equal(found[key], wanted[key])]
        assert not differing, f"{name}: {len(differing)} of {len(wanted)}, such as {differing[:3]}"
    assert rows(run) == rows(undisturbed)


@pytest.fixture(scope="module")
def config(tiny, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    return TrainConfig(
        records=records, model="skynet", epochs=2, batch_size=2, ema=0.9, accumulate=2,
        checkpoint_steps=2, run=folder / "undisturbed", plots=folder / "plots", quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(config):
    return train(config)


@pytest.fixture(scope="module")
def killed(config):
    """A run killed in its second epoch, three batches after its last checkpoint but one."""
    steps = read_manifest(config.records).splits["train"].count // 2
    assert steps >= 4
    config = replace(config, run=config.run.with_name("killed"))
    process = strike(config, signal.SIGKILL, steps + 3)
    assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    return config.run


def test_a_killed_run_has_the_model_of_its_best_epoch(killed):
    saved = keras.models.load_model(killed / "model.keras")
    best = [
        array
        for name, array in arrays(killed / "checkpoints" / "best.npz").items()
        if "seed_generator_state" not in name
    ]
    kept = [v.numpy() for v in saved.variables if "seed_generator_state" not in v.path]
    assert len(kept) == len(best) > 5
    assert all(map(np.array_equal, kept, best))


def test_resumed_after_sigkill_equals_undisturbed(killed, undisturbed, capsys):
    assert not (killed / "metrics.json").exists()
    assert train(TrainConfig(resume=killed, quiet=True)) == killed
    assert "going on at epoch 2, step 2" in capsys.readouterr().out
    assert_same(killed, undisturbed)
    assert (killed / "metrics.json").exists()


def test_resumed_from_the_older_generation_equals_undisturbed(killed, undisturbed, capsys):
    last = killed / "checkpoints" / "last.npz"
    last.write_bytes(last.read_bytes()[:1000])
    train(TrainConfig(resume=killed, quiet=True))
    said = capsys.readouterr().out
    assert "last.npz: not a whole checkpoint" in said
    assert "going on from the older one" in said
    assert_same(killed, undisturbed)


def test_sigterm_saves_first(config, undisturbed, tmp_path, capsys):
    config = replace(config, run=tmp_path / "run", checkpoint_steps=0)
    process = strike(config, signal.SIGTERM, 3)
    assert process.returncode == 143, process.stderr[-2000:]
    assert f"terminated: saved; go on with --resume {config.run}" in process.stdout
    assert "Traceback" not in process.stderr
    train(TrainConfig(resume=config.run, quiet=True))
    assert "going on at epoch 1, step 3" in capsys.readouterr().out
    assert_same(config.run, undisturbed)


def test_ctrl_c_saves_and_finishes_and_may_be_gone_on_from(config, undisturbed, tmp_path, capsys):
    """It comes in the middle of a batch, which is done first."""
    config = replace(config, run=tmp_path / "run", checkpoint_steps=0)
    process = strike(config, signal.SIGINT, 3)
    assert process.returncode == 0, process.stderr[-2000:]
    assert "stopped: finishing with what there is (Ctrl-C again to give up)" in process.stdout
    assert (config.run / "metrics.json").exists()
    train(TrainConfig(resume=config.run, quiet=True))
    assert "going on at epoch 1, step 3" in capsys.readouterr().out
    assert_same(config.run, undisturbed)


def test_changed_settings_are_refused_by_name(undisturbed, config, capsys):
    given = TrainConfig(resume=undisturbed, seed=9, model="u2net", batch_size=config.batch_size)
    with pytest.raises(InputError, match="goes on as it began, without --model, --seed; for"):
        resumed(given, TrainConfig())
    # On the command line a flag counts also where it gives the default.
    with pytest.raises(SystemExit) as error:
        main(["--resume", str(undisturbed), "--model", "skynet", "--patience", "8"])
    assert error.value.code == 2
    assert "without --patience; for other settings" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no run \(config.json is missing\)"):
        train(TrainConfig(resume=undisturbed / "plots"))


def test_a_finished_run_goes_on_with_more_epochs_and_moved_records(config, tmp_path, capsys):
    """At a constant rate, as if all epochs had been asked for at once."""
    config = replace(config, power=0.0, warmup_steps=0, run=tmp_path / "at_once")
    train(config)
    records, run = tmp_path / "records", tmp_path / "run"
    shutil.copytree(config.records, records)
    run.mkdir()
    (run / "dataset.json").write_text("{")  # of a training that was killed before config.json
    train(replace(config, run=run, records=records, epochs=1))
    assert len(rows(run)) == 1
    records.rename(tmp_path / "moved")
    with pytest.raises(SystemExit):
        main(["--resume", str(run), "--epochs", "2"])
    assert "records" in capsys.readouterr().err
    with pytest.raises(SystemExit) as status:
        main(["--resume", str(run), "--epochs", "2", "--records", str(tmp_path / "moved")])
    assert status.value.code == 0
    assert_same(run, config.run)
    assert (run / "metrics.json").exists()
    stored = read_config(run, TrainConfig)
    assert (stored.epochs, stored.records, stored.resume) == (2, tmp_path / "moved", None)
    written = sha256_of(run / "model.keras")
    train(TrainConfig(resume=run, quiet=True))
    assert "run: 2 epochs done and scored anew; --epochs trains" in capsys.readouterr().out
    assert_same(run, config.run)
    assert sha256_of(run / "model.keras") == written  # exports name the file that they are of
    with pytest.raises(InputError, match="run: 2 epochs done, --epochs 1 is fewer"):
        train(TrainConfig(resume=run, epochs=1, quiet=True))
    assert read_config(run, TrainConfig).epochs == 2
    with pytest.raises(InputError, match=r"run: holds a run already; choose another --run"):
        train(replace(config, run=run))


def test_settings_come_back_from_json(tmp_path):
    config = TrainConfig(
        records=tmp_path, extra_records=(tmp_path / "a", tmp_path / "b"), image_size=(32, 64)
    )
    write_json(tmp_path / "config.json", config)
    assert read_config(tmp_path, TrainConfig) == config
    write_json(tmp_path / "config.json", {"speed": 3})
    with pytest.raises(InputError, match=r"of another version of this program \(speed\)"):
        read_config(tmp_path, TrainConfig)


def test_other_records_are_refused(undisturbed, tree, tmp_path):
    other = tmp_path / "other"
    build(BuildConfig(out=other, source=tree, image_size=(32, 64), storage="png", quiet=True))
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.npz").write_bytes(
        (undisturbed / "checkpoints" / "last.npz").read_bytes()
    )
    settings = json.loads((undisturbed / "config.json").read_text()) | {"records": str(other)}
    (run / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="the records have changed since"):
        train(TrainConfig(resume=run, quiet=True))


def test_patience_ends_a_training(config, tmp_path, monkeypatch):
    monkeypatch.setattr("skyseg_tf.training.loop._validate", _worse_and_worse)
    run = train(replace(config, run=tmp_path / "run", epochs=50, patience=2))
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3"]


def _worse_and_worse(model, batches, progress, checkpointing):
    epoch = progress.epoch + 1
    return {"epoch": epoch, "loss": 1.0, "iou": 0.5, "val_loss": 1.0, "val_iou": 1 / epoch,
            "seconds": 1.0, "waiting": 0.0}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "model",
    ["skynet", "unet_efficientnet_b2", "resnet_lstm"],
)
def test_killed_at_random_steps(model, tmp_path_factory):
    """Three kills in one training of networks with Dropout, batch normalization and an LSTM."""
    folder = tmp_path_factory.mktemp("random")
    frames = 2 if model == "resnet_lstm" else 1
    write_scenes(folder / "tree", 30, size=(64, 128), seed=5, sequence_frames=frames, workers=1)
    build(BuildConfig(
        out=folder / "records", source=folder / "tree", image_size=(32, 64), storage="uint8",
        frames=frames, quiet=True,
    ))  # fmt: skip
    config = TrainConfig(
        records=folder / "records", model=model, epochs=3, batch_size=2, ema=0.99,
        checkpoint_steps=3, run=folder / "undisturbed", plots=folder / "plots", quiet=True,
    )  # fmt: skip
    steps = read_manifest(config.records).splits["train"].count // 2
    command(config)
    undisturbed, config = config.run, replace(config, run=folder / "killed")
    draw = random.Random(model)
    for strikes, part in enumerate((config, *[TrainConfig(resume=config.run, quiet=True)] * 2)):
        process = strike(part, signal.SIGKILL, draw.randint(1, steps), tiny="")
        assert process.returncode == -signal.SIGKILL, (strikes, process.stderr[-2000:])
    command(TrainConfig(resume=config.run, quiet=True))
    assert_same(config.run, undisturbed)
