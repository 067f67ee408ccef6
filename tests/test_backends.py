"""The training command on both backends of Keras."""

import csv
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_an_epoch_on_drawn_records(backend, records, tmp_path):
    """The same files train on both; JAX also goes on from its checkpoint."""
    command = [sys.executable, "-m", "skyseg_tf.train", "--quiet"]
    flags = ["--records", records, "--model", "skynet", "--epochs", "1", "--batch-size", "4",
             "--ema", "0.9", "--run", tmp_path / "run",
             "--plots", tmp_path / "plots", "--checkpoint-steps", "1"]  # fmt: skip
    options = {"env": os.environ | {"KERAS_BACKEND": backend}, "capture_output": True, "text": True}
    for argv in (flags, ["--resume", tmp_path / "run"]):
        done = subprocess.run([*command, *argv], **options)
        assert done.returncode == 0, done.stderr[-3000:]
    with open(tmp_path / "run" / "history.csv") as file:
        row = next(csv.DictReader(file))
    assert 0 < float(row["loss"]) < 10
    assert 0 <= float(row["val_iou"]) <= 1
    assert (tmp_path / "run" / "model.keras").exists()
    assert (tmp_path / "run" / "metrics.json").exists()
