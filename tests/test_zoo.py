import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.networks import count_gmacs
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.runs.folder import RunData, write_json
from skyseg_tf.runs.history import write_rows
from skyseg_tf.runs.model_file import save_model
from skyseg_tf.train import TrainConfig
from tools import zoo as zoo_page
from tools.zoo import ZooConfig, zoo

STATS = {f"{c}_{what}": v for c in "RGB" for what, v in (("MEAN", 100.0), ("STD", 50.0))}


def conv_model(size=(None, None), filters=1):
    pixels = keras.Input((*size, 3))
    conv = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
    return keras.Model(pixels, keras.layers.Activation("sigmoid")(conv(pixels)))


def conv_logits():
    pixels = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(1, 3, padding="same")(pixels)
    return keras.Model(pixels, {"logits": logits}, name="conv")


def make_run(folder, iou, protocol, epochs=3, **settings):
    folder.mkdir(parents=True)
    conv_model().save(folder / "model.keras")
    write_json(folder / "config.json", TrainConfig(model="skynet", run=folder, **settings))
    facts = {"versions": {"keras": "3.15"}, "python": "3.11", "git_commit": "0123456789abcdef"}
    write_json(folder / "environment.json", facts)
    names = SCHEMES["sky"].class_names
    scores = {"protocol": protocol, "iou": dict(zip(names, (0.5, iou), strict=True))}
    write_json(folder / "metrics.json", scores | {"mean_iou": (0.5 + iou) / 2})
    rows = [
        {"epoch": i + 1, "loss": 1 / (i + 1), "iou": iou, "val_loss": 0.5, "val_iou": iou}
        | {"seconds": 2.0}
        for i in range(epochs)
    ]
    write_rows(folder / "history.csv", rows)
    return folder


@pytest.fixture(scope="module")
def zoo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    make_run(folder / "weak", 0.7, "val of A", epochs=20)
    make_run(folder / "strong", 0.9, "val of A", epochs=5, loss="focal")
    make_run(folder / "large", 0.6, "val of A")
    (folder / "large" / "model.keras").unlink()
    return folder


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("weights") / "other", 0.8, "val of B").parent


@pytest.fixture(scope="module")
def page(zoo_folder, packaged, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "zoo.md"
    assert zoo(ZooConfig(folder=zoo_folder, packaged=packaged, out=out)) == out
    return out.read_text()


def test_gmacs_are_those_of_the_convolution():
    model = conv_model(filters=8)
    sigmoids = 16 * 24 * 8  # one operation each, as the profiler counts them
    expected = 16 * 24 * 27 * 8
    assert expected <= 1e9 * count_gmacs(model, (16, 24)) <= expected + 4 * sigmoids
    double = count_gmacs(model, (32, 24))
    assert double == pytest.approx(2 * count_gmacs(model, (16, 24)))


def test_runs_of_one_protocol_share_a_table_and_others_do_not(page):
    tables = page.split("\n## ")
    heads = [table.splitlines()[0] for table in tables]
    assert heads == ["# Model zoo", "val of A", "val of B", "Runs"]
    rows = [line for line in tables[1].splitlines() if line.startswith("| `skynet`")]
    assert ["[strong]" in rows[0], "[weak]" in rows[1]] == [True, True]
    assert "| `skynet` | 0.9000 | 0.7000 |" in rows[0]
    assert "[other]" in tables[2]
    assert "[strong]" not in tables[2]


def test_each_run_tells_command_weights_and_log(page, zoo_folder):
    sections = dict(part.split("\n", 1) for part in page.split("\n### Run ")[1:])
    assert sha256_of(zoo_folder / "strong" / "model.keras") in sections["strong"]
    line = f"skyseg train --model skynet --loss focal --run {zoo_folder / 'strong'}"
    assert f"`{line}`" in sections["strong"]
    assert "keras 3.15, Python 3.11, commit 0123456789ab" in sections["strong"]
    assert "command: see the [model card]" in sections["other"]
    assert "weights: too large for the repository" in sections["large"]
    assert "(zoo/strong.png)" in sections["strong"]
    epochs = [row.split(" | ")[0] for row in sections["weak"].splitlines() if row[:1] == "|"][2:]
    assert epochs[0] == "| 1"
    assert epochs[-1] == "| 20"
    assert len(epochs) == 8
    for name in ("strong", "weak", "other"):  # a heading whose anchor a row of the tables names
        assert page.count(f"(#run-{name})") == page.count(f"\n### Run {name}\n") == 1


def test_a_run_of_another_version_has_no_command(tmp_path):
    run = make_run(tmp_path / "old", 0.5, "val of A")
    settings = json.loads((run / "config.json").read_text()) | {"renamed_since": 1}
    write_json(run / "config.json", settings)
    assert "another version" in zoo_page._command(run)


def test_a_kept_run_is_a_model_and_tells_no_place(tmp_path, packaged, monkeypatch):
    """The real exporter, and a network of our own size limits."""
    run = make_run(tmp_path / "here" / "streets", 0.5, "val of A", records=tmp_path / "records")
    (run / "model.keras").unlink()
    save_model(run / "model.keras", conv_logits(), STATS)
    write_json(run / "dataset.json", RunData(SCHEMES["sky"], (64, 96), 1, STATS, "flat", "", {}))
    config = ZooConfig(
        keep=(run,), folder=tmp_path / "zoo", packaged=packaged, out=tmp_path / "zoo.md"
    )
    page = zoo(config).read_text()
    assert str(tmp_path) not in page
    assert "--records records" in page
    kept = tmp_path / "zoo" / "streets"
    assert not list(kept.rglob("*.keras"))
    photo = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    probs = (load_runtime(model)(photo) for model in (kept, run))
    np.testing.assert_allclose(*probs, atol=2e-3)
    monkeypatch.setattr(zoo_page, "_MOST_BYTES", 10)
    shutil.rmtree(kept)
    assert "too large for the repository" in zoo(config).read_text()


def test_the_page_is_that_of_the_runs_that_are_there(tmp_path):
    page = zoo(ZooConfig(out=tmp_path / "zoo.md"))
    assert page.read_text() == ZooConfig().out.read_text()


def test_no_run_is_told(tmp_path):
    with pytest.raises(InputError, match="no run in the zoo"):
        zoo(ZooConfig(folder=tmp_path, packaged=tmp_path, out=tmp_path / "zoo.md"))
    assert not (tmp_path / "zoo.md").exists()


def test_unfinished_and_damaged_runs_are_named(tmp_path, packaged):
    out = tmp_path / "zoo.md"
    config = ZooConfig(folder=tmp_path / "zoo", packaged=packaged, out=out)
    with pytest.raises(InputError, match=r"nowhere: config.json is missing"):
        zoo(replace(config, keep=(tmp_path / "nowhere",)))
    twin = make_run(tmp_path / "zoo" / "other", 0.5, "val of A")
    with pytest.raises(InputError, match="two runs are called other"):
        zoo(config)
    twin = twin.rename(twin.with_name("one"))
    (twin / "metrics.json").write_text(json.dumps({"iou": {}}))
    with pytest.raises(InputError, match="damaged"):
        zoo(config)
    (twin / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"one: metrics.json is missing"):
        zoo(config)
    assert not out.exists()


def test_it_is_a_script_from_anywhere(tmp_path):
    script = Path(__file__).parents[1] / "tools" / "zoo.py"
    done = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
