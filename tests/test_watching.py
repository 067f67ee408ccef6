import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from skyseg_tf.errors import InputError
from skyseg_tf.labels import get_scheme
from skyseg_tf.models import blocks
from skyseg_tf.models.networks import Recipe
from skyseg_tf.scoring.metrics import confusion_matrix
from skyseg_tf.training.optimizer import compile_model
from skyseg_tf.training.watching import Board, LiveCurves, make_tracker, tracker_ended

ROW = {"epoch": 1, "loss": 0.5, "iou": 0.6, "val_loss": 0.7, "val_iou": 0.4, "seconds": 3.0,
       "waiting": 0.25}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    epochs: int = 3
    records: Path = Path("data")
    track: str | None = None


@pytest.fixture(scope="module")
def evaluated():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    network = keras.Model(
        image, {"logits": blocks.conv(image, 1, 1, "head", bias=True)}, name="skynet"
    )
    network = compile_model(network, Recipe("sgd", 0.1), steps=10)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    masks = rng.integers(0, 2, (3, 16, 16)).astype(np.uint8)
    masks[0, :4] = 255
    network.evaluate(images, masks, verbose=0)
    return network, images, masks


def test_curves_are_drawn_in_place_in_a_notebook_and_nowhere_else(monkeypatch, capsys):
    import IPython
    import IPython.display

    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("update", picture.data))

    def display(picture, display_id):
        assert display_id is True
        shown.append(("display", picture.data))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    history = [ROW]
    curves = LiveCurves("a network", history, "sky IoU")
    for shell in (None, object()):  # plain Python, IPython in a terminal
        monkeypatch.setattr(IPython, "get_ipython", lambda shell=shell: shell)
        curves.on_epoch_end(0, ROW)
    assert shown == []
    assert capsys.readouterr() == ("", "")
    notebook = type("Shell", (), {"kernel": object()})()
    monkeypatch.setattr(IPython, "get_ipython", lambda: notebook)
    curves.on_epoch_end(0, ROW)
    history.append(ROW | {"epoch": 2, "val_iou": 0.9})
    curves.on_epoch_end(1, history[-1])
    assert [what for what, _ in shown] == ["display", "update"]
    assert all(data.startswith(b"\x89PNG") for _, data in shown)
    assert shown[0][1] != shown[1][1]


def test_matrix_of_the_validation(evaluated):
    network, images, masks = evaluated
    preds = (network.predict_on_batch(images)["logits"][..., 0] > 0).astype(np.uint8)
    assert np.array_equal(network.iou.matrix(), confusion_matrix(masks, preds, 2))


def test_board_shows_curves_matrix_and_pictures(evaluated, tmp_path):
    network, images, masks = evaluated
    photos = np.random.default_rng(1).integers(0, 256, images.shape).astype(np.uint8)
    board = Board(tmp_path, get_scheme("sky"), photos, images, masks)
    board.set_model(network)
    board.on_epoch_end(0, ROW)
    board.on_epoch_end(1, ROW)
    events = EventAccumulator(str(tmp_path), {"tensors": 0})
    events.Reload()
    tensors = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    last = {tag: tf.make_ndarray(found[-1].tensor_proto) for tag, found in tensors.items()}
    assert [event.step for event in tensors["loss/val"]] == [1, 2]
    assert last["loss/val"] == pytest.approx(0.7)
    assert last["speed/share waiting for data"] == pytest.approx(0.25)
    assert last["learning rate"] == pytest.approx(0.1)
    sheets = last["photo, truth, prediction, difference"]
    assert len(sheets) == 2 + 3  # width and height come first
    sheet = tf.io.decode_png(sheets[2]).numpy()
    assert sheet.shape == (16, 64, 3)
    assert np.array_equal(sheet[:, :16], photos[0])
    assert np.array_equal(sheet[:, 16:32], get_scheme("sky").palette[masks[0]])
    assert "confusion matrix" in last


def test_tensorboard_has_no_folder_before_the_first_epoch(tmp_path):
    """A training may be refused until then."""
    Board(tmp_path / "tensorboard", get_scheme("sky"), *[np.zeros(1)] * 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named(monkeypatch, name):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(
        InputError, match=f"--track {name}: {name} is not installed; pip install {name}"
    ):
        make_tracker(name, Path("runs/x"), Settings())
    with pytest.raises(InputError, match="no tracker 'excel': there are wandb, mlflow"):
        make_tracker("excel", Path("runs/x"), Settings())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_trackers_get_the_history(name, evaluated, tmp_path, monkeypatch):
    package = pytest.importorskip(name)
    pytest.importorskip("wandb.integration.keras" if name == "wandb" else "mlflow.keras")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/m.db")
    tracker = make_tracker(name, tmp_path / "my_run", Settings())
    watching = keras.callbacks.CallbackList([tracker], model=evaluated[0])
    watching.on_train_begin()
    watching.on_epoch_begin(0)
    watching.on_epoch_end(0, ROW)
    if name == "wandb":
        found = {key: package.run.summary[f"epoch/{key}"] for key in ("loss", "val_iou")}
        assert package.run.config["epochs"] == "3"
    else:
        package.flush_async_logging()
        run = package.get_run(package.active_run().info.run_id)
        found, name = run.data.metrics, run.data.params["epochs"]
        assert name == "3"
    watching.on_train_end()
    assert found["val_iou"] == pytest.approx(0.4)
    assert found["loss"] == pytest.approx(0.5)
    with tracker_ended(package.__name__):
        pass
    assert (package.run if package.__name__ == "wandb" else package.active_run()) is None


def test_each_training_is_a_run_of_its_own_for_a_tracker(monkeypatch):
    """MLflow refuses a second one beside an open one, and W&B goes on with the first."""
    ended = []
    for name, end in (("wandb", "finish"), ("mlflow", "end_run")):
        package = SimpleNamespace(**{end: lambda name=name: ended.append(name)})
        monkeypatch.setitem(sys.modules, name, package)
        with pytest.raises(KeyError), tracker_ended(name):
            raise KeyError("a training that fails")
    with tracker_ended(None):
        pass
    monkeypatch.delitem(sys.modules, "mlflow")
    with tracker_ended("mlflow"):  # it is not installed: make_tracker has said so
        pass
    assert ended == ["wandb", "mlflow"]
