import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from signals import strike

from skyseg_tf.errors import InputError
from skyseg_tf.runs.folder import write_json
from skyseg_tf.runs.history import write_rows
from skyseg_tf.training.seeds import summarize, table, train_seeds
from skyseg_tf.training.settings import TrainConfig


def finished(folder, mean_iou, sky, protocol="val"):
    folder.mkdir(parents=True)
    scores = {"protocol": protocol, "mean_iou": mean_iou, "pixel_accuracy": 0.9, "boundary_f": None,
              "iou": {"sky": sky, "train": None, "bicycle": 0.0}}  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(scores))
    return folder


def test_mean_and_spread(tmp_path):
    values = [0.7, 0.8, 0.75]
    runs = [finished(tmp_path / str(i), value, value / 2) for i, value in enumerate(values)]
    summary = summarize(runs)
    assert summary["scores"].keys() == {"mean_iou", "pixel_accuracy", "iou sky", "iou bicycle"}
    score = summary["scores"]["mean_iou"]
    assert score["values"] == values
    assert score["mean"] == pytest.approx(0.75)
    assert score["std"] == pytest.approx(np.std(values, ddof=1))
    assert "mean_iou" in table(summary)
    assert "0.7500" in table(summary)
    assert "± 0.0500" in table(summary)
    assert summarize(runs[:1])["scores"]["mean_iou"]["std"] is None
    json.dumps(summary)


def test_runs_of_different_protocols_are_not_averaged(tmp_path):
    runs = [finished(tmp_path / name, 0.5, 0.5, protocol=name) for name in ("a", "b")]
    with pytest.raises(InputError, match="different protocols: a; b"):
        summarize(runs)


def test_ctrl_c_ends_all_seeds(tmp_path, capsys, monkeypatch):
    """A single training takes it for its end and scores what there is: no part of a mean."""
    trained = []

    def train(settings):
        trained.append(settings.seed)
        strike()

    monkeypatch.setattr(signal, "raise_signal", strike)
    job = SimpleNamespace(settings=TrainConfig(seeds=3, seed=5), run=tmp_path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stop:
        train_seeds(job, train)
    assert (stop.value.code, trained) == (143, [5])
    assert f"go on with all seeds by --resume {tmp_path}" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "seeds.json").exists()


def test_a_seed_that_patience_has_ended_is_done(tmp_path):
    trained, row = [], dict.fromkeys(("loss", "iou", "val_loss", "val_iou", "seconds"), 0.5)

    def train(settings):
        """Ends after two of its epochs, unless it shall take so few."""
        trained.append((settings.seed, settings.epochs))
        settings.run.mkdir(parents=True, exist_ok=True)
        write_json(settings.run / "config.json", settings)
        write_rows(settings.run / "history.csv", [row | {"epoch": i} for i in (1, 2)])
        scores = {"protocol": "val", "mean_iou": 0.5, "iou": {}}
        (settings.run / "metrics.json").write_text(json.dumps(scores))

    for epochs in (2, 3, 4):  # the first time all are trained to their end
        config = TrainConfig(seeds=2, epochs=epochs, run=tmp_path)
        train_seeds(SimpleNamespace(settings=config, run=tmp_path), train)
    assert trained == [(0, 2), (1, 2), (0, 3), (1, 3)]
