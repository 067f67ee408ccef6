"""The dashboard: what it finds, what it shows, and in a real browser how it looks."""

import csv
import io
import json
import re
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from drawn_files import encode_stored, wide_gamut
from drawn_models import BIAS, WEIGHT, blue_model, blue_photo, blue_probs
from drawn_pictures import heic
from drawn_trees import flat
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

pytest.importorskip("streamlit")
pytest.importorskip("plotly")

import streamlit as st
from streamlit.testing.v1 import AppTest

from skyseg_tf import dashboard
from skyseg_tf.dashboard_pages import (
    figures,
    inspect_photo,
    model_choices,
    run_facts,
    sample_choices,
    session,
    uploads,
)
from skyseg_tf.dashboard_pages.folders import Folders
from skyseg_tf.data.drawing.dataset import scene_seed
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.images import SKY_TINT, read_image, read_mask
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.images.raw_photos import RAW_SUFFIXES
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.formats import encode_prediction
from skyseg_tf.masking.prediction import enlarge
from skyseg_tf.masking.runtime import ModelFacts, Runtime
from skyseg_tf.runs.history import read_history
from skyseg_tf.runs.packaged import read_packaged
from tools import dashboard_pictures

SKY_ID = 23  # of the Cityscapes labelIds
PROTOCOL = {
    "data": "val split of scenes", "photos": 3, "truth": "abc", "classes": "sky",
    "scored_at": "own size", "views": "single scale", "void": "ignored",
    "decision": "sky where p >= 0.5",
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_caches():
    st.cache_data.clear()


@pytest.fixture
def folders(tmp_path, tree) -> Folders:
    """The drawn tree as samples, and a model that one can compute by hand."""
    (tmp_path / "models_display").mkdir()
    blue_model(tmp_path / "models_display" / "blue.onnx", long_side=192)
    (tmp_path / "data_display").symlink_to(tree)
    return Folders(tmp_path / "runs", tmp_path / "models_display", tmp_path / "data_display")


def clip_model(path: Path, frames: int) -> None:
    """Like blue_model, of the mean of a clip's frames."""
    image, answer = ["batch", frames, "h", "w", 3], ["batch", "h", "w", 1]
    nodes = [
        helper.make_node("ReduceMean", ["rgb"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["z"]),
        helper.make_node("Add", ["z", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probs"]),
    ]
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info("rgb", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, answer)],
        [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(BIAS, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    facts = ModelFacts("clip", SCHEMES["sky"], frames=frames, long_side=192)
    for key, text in facts.to_metadata().items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)


def make_run(
    path: Path, val_iou=(0.5, 0.7, 0.6), protocol: str = "val split of a, 3 photos at 32x64"
) -> Path:
    """A run folder as `skyseg train` leaves it, without the network."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model": "skyline", "records": "gone"}))
    with open(path / "history.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", "loss", "iou", "val_loss", "val_iou", "seconds"))
        writer.writerows((i + 1, 1 / (i + 1), 0.4, 0.9, v, 30) for i, v in enumerate(val_iou))
    scores = {"protocol": protocol, "iou": {"not sky": 0.9, "sky": max(val_iou)}, "mean_iou": 0.8}
    (path / "metrics.json").write_text(json.dumps(scores | {"pixel_accuracy": 0.95}))
    return path


def add_evaluation(run: Path, source: Path, sky_ious: dict[str, float], **facts) -> None:
    """RUN/evaluation/val, as far as the dashboard reads it."""
    folder = run / "evaluation" / "val"
    folder.mkdir(parents=True)
    facts = PROTOCOL | facts
    scores = {
        "protocol": f"{facts['data']}, truth {facts['truth']}", "protocol_facts": facts,
        "iou": {"not sky": 0.9, "sky": 0.7}, "mean_iou": 0.8, "pixel_accuracy": 0.9,
        "sky": {"boundary_f": {"2": 0.5}, "calibration_error": 0.01}, "network": "skyline",
        "settings": {"split": "train", "source": str(source)},
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(scores))
    with open(folder / "per_image.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "pixel_accuracy", "sky_iou", "sky_share", "predicted_sky_share"))
        writer.writerows((name, 0.9, iou, 0.3, 0.3) for name, iou in sky_ious.items())


def run_page(page: str, folders: Folders, **state) -> AppTest:
    app = AppTest.from_string(
        f"from skyseg_tf.dashboard_pages import {page}\n{page}.show()", default_timeout=60
    )
    app.session_state["folders"] = folders
    app.session_state["kept_model"] = model_choices.find_models(folders)[-1]
    for key, value in state.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception, [error.value for error in app.exception]
    return app


def metric(app: AppTest, label: str) -> list[str]:
    return [metric.value for metric in app.metric if metric.label == label]


def messages(elements) -> str:
    return " | ".join(element.value for element in elements)


def pick_model(app: AppTest, label: str, key: str = "model") -> None:
    box = app.selectbox(key=key)
    choice = next(
        m for m in model_choices.find_models(app.session_state["folders"]) if label in m.label
    )
    box.set_value(choice).run()


# --- what is found ---


def test_models_come_from_the_box_runs_and_the_folder(folders):
    run = make_run(folders.runs / "first")
    (run / "model.keras").write_bytes(b"not read yet")
    make_run(folders.runs / "search" / "trial_0")  # no network in it
    exported = folders.models / "exported" / "exports"
    exported.mkdir(parents=True)
    blue_model(exported / "model.onnx")
    labels = [model.label for model in model_choices.find_models(folders)]
    packaged = list(read_packaged()["models"])
    assert packaged[0] == "skyline"
    assert labels[: len(packaged)] == [f"{name} (built in)" for name in packaged]
    assert labels[len(packaged) :] == [
        "runs/first",
        "models_display/exported",
        "models_display/blue.onnx",
    ]
    runs = {
        path.relative_to(folders.runs).as_posix() for path in model_choices.find_runs(folders.runs)
    }
    assert runs == {"first", "search/trial_0"}


def test_a_changed_model_has_another_stamp(folders):
    before = model_choices.find_models(folders)[-1]
    time.sleep(0.01)
    blue_model(folders.models / "blue.onnx", long_side=96)
    after = model_choices.find_models(folders)[-1]
    assert before.label == after.label
    assert before != after


def test_samples_of_a_cityscapes_tree(tree):
    samples, notes = sample_choices.find_samples(tree)
    pairs = find_pairs(tree)
    assert pairs[0].split == "train"  # and that is where no visitor starts
    pairs = sorted(pairs, key=lambda pair: pair.split == "train")
    assert [sample.pair for sample in samples if sample.pair] == pairs
    assert not notes
    loaded = sample_choices.load_sample(samples[0], SCHEMES["sky"], frames=2)
    stored = read_mask(pairs[0].mask)
    assert np.array_equal(loaded.truth == 1, stored == SKY_ID)
    assert np.array_equal(loaded.image, read_image(pairs[0].image))
    assert loaded.clip.shape == (2, *loaded.image.shape)
    assert np.array_equal(loaded.clip[-1], loaded.image)
    assert not np.array_equal(loaded.clip[0], loaded.image)
    longer = sample_choices.load_sample(samples[0], SCHEMES["sky"], frames=3)
    assert longer.clip is None
    assert "stands for all 3 frames" in longer.notes[0]


def test_loose_photos_and_masks_without_city_folders(tmp_path, tree):
    pair = find_pairs(tree)[0]
    for folder, source in (("leftImg8bit", pair.image), ("gtFine", pair.mask)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / Path(source).name).write_bytes(Path(source).read_bytes())
    Image.fromarray(blue_photo()).save(tmp_path / "mine.jpg")
    samples, notes = sample_choices.find_samples(tmp_path)
    found = {sample.label: sample for sample in samples if sample.pair}
    assert set(found) == {"mine", pair.name}
    assert not notes
    assert sample_choices.load_sample(found["mine"], SCHEMES["sky"]).truth is None
    truth = sample_choices.load_sample(found[pair.name], SCHEMES["sky"]).truth
    assert np.array_equal(truth == 1, read_mask(pair.mask) == SKY_ID)


def test_photos_beside_a_tree_are_found(tmp_path, tree):
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name).symlink_to(tree / name)
    Image.fromarray(blue_photo()).save(tmp_path / "mine.jpg")
    samples, notes = sample_choices.find_samples(tmp_path)
    found = [sample.label for sample in samples if sample.pair]
    assert {*found} == {f"{pair.split}/{pair.name}" for pair in find_pairs(tree)} | {"mine"}
    assert not notes
    assert samples[len(found) - 1].pair.mask is None


def test_photos_of_one_name_are_all_offered(tmp_path):
    """Cameras write IMG_1.JPG beside IMG_1.HEIC, and begin anew in the next folder."""
    for name in ("100/IMG_1.jpg", "100/IMG_1.png", "101/IMG_1.jpg", "101/IMG_2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(blue_photo()).save(tmp_path / name)
    labels = [sample.label for sample in sample_choices.find_samples(tmp_path)[0] if sample.pair]
    assert labels == ["100/IMG_1.jpg", "100/IMG_1.png", "101/IMG_1.jpg", "IMG_2"]


def test_a_damaged_mask_does_not_hide_its_photo(tmp_path, tree):
    pair = find_pairs(tree)[0]
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"no picture")
    loaded = sample_choices.load_sample(
        sample_choices.sample_of_pair(replace(pair, mask=str(mask)), "labelIds"), SCHEMES["sky"]
    )
    assert loaded.truth is None
    assert "Truth is not shown" in loaded.notes[0]
    Image.new("L", (7, 5)).save(mask)
    loaded = sample_choices.load_sample(
        sample_choices.sample_of_pair(replace(pair, mask=str(mask)), "labelIds"), SCHEMES["sky"]
    )
    assert loaded.truth is None
    assert "(5, 7)" in loaded.notes[0]


def test_without_a_folder_there_are_drawn_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_choices, "DRAWN_SIZE", (64, 128))
    samples, notes = sample_choices.find_samples(tmp_path / "absent")
    assert len(samples) >= 6
    assert not notes
    loaded = sample_choices.load_sample(samples[0], SCHEMES["cityscapes19"], frames=2)
    assert loaded.image.shape == (64, 128, 3)
    assert loaded.clip.shape == (2, 64, 128, 3)
    assert (loaded.truth == SCHEMES["cityscapes19"].class_names.index("sky")).any()


def test_drawn_samples_are_of_no_training():
    trained = {
        scene_seed(split, i, seed)
        for seed in range(9)
        for split in ("train", "val")
        for i in range(999)
    }
    seeds = [sample.seed for sample in sample_choices.drawn_samples()]
    assert len(set(seeds)) == len(seeds)
    assert not trained & set(seeds)


# --- runs ---


def test_unlike_protocols_never_share_a_table(tmp_path):
    first, second, third = (make_run(tmp_path / name) for name in ("a", "b", "c"))
    other = make_run(tmp_path / "d", protocol="val split of a, 3 photos at 64x128")
    add_evaluation(first, tmp_path, {}, truth="abc")
    add_evaluation(second, tmp_path, {}, truth="abc", data="the same photos under another name")
    add_evaluation(third, tmp_path, {}, truth="other labels")
    groups, damaged = run_facts.group_scores([first, second, third, other])
    kinds = [{(row.run.name, row.evaluation) for row in group.runs} for group in groups]
    assert kinds[0] == {("a", None), ("b", None), ("c", None)}
    assert kinds[1] == {("a", "val"), ("b", "val")}
    assert sorted(map(tuple, kinds[2:])) == sorted([(("c", "val"),), (("d", None),)])
    assert not damaged
    row = run_facts.table_rows(groups[1], {first: "a", second: "b"})[0]
    assert row["sky IoU"] == 0.7
    assert row["sky boundary F"] == 0.5
    (other / "metrics.json").write_text("{")
    _, damaged = run_facts.group_scores([other])
    assert "metrics.json: damaged, not JSON" in damaged[0]


def test_worst_photos_are_ranked_and_found(tmp_path, tree):
    names = [pair.name for pair in find_pairs(tree, splits=["train"])][:3]
    run = make_run(tmp_path / "run")
    add_evaluation(run, tree, dict(zip(names, (0.8, 0.2, 0.5), strict=True)))
    with open(run / "evaluation" / "val" / "per_image.csv", "a") as file:
        file.write("hall,0.99,0.0,0.0,0.004\r\n")  # too little sky to be ranked
        file.write("wall,0.9,0.0,0.0,0.1\r\n")
    worst = run_facts.worst_photos(run, "val", 3)
    assert [photo.name for photo in worst] == ["wall", names[1], names[2]]
    assert worst[0].caption == "no sky, 10.0 % called sky"
    assert worst[1].caption == "sky IoU 0.200"
    samples = run_facts.samples_of_evaluation(run, "val", [photo.name for photo in worst])
    assert set(samples) == {names[1], names[2]}
    assert sample_choices.load_sample(samples[names[1]], SCHEMES["sky"]).truth is not None
    (run / "evaluation" / "val" / "per_image.csv").write_text("name\nx\n")
    with pytest.raises(InputError, match="evaluate the run again"):
        run_facts.worst_photos(run, "val", 3)


@pytest.mark.parametrize("encoding", ["binary1_void", [[0, "sky"], [255, "ground"]]])
def test_truth_is_that_of_the_evaluation(tmp_path, encoding):
    """The masks' values alone would say that 255 is the sky."""
    source = flat(tmp_path / "flat", split="train")
    run = make_run(tmp_path / "run")
    add_evaluation(run, source, {"one": 0.5})
    path = run / "evaluation" / "val" / "metrics.json"
    scores = json.loads(path.read_text())
    scores["settings"]["encoding"] = encoding
    path.write_text(json.dumps(scores))
    (sample,) = run_facts.samples_of_evaluation(run, "val", ["one"]).values()
    assert json.loads(json.dumps(sample.encoding)) == encoding
    scores["settings"]["encoding"] = "binary2"
    path.write_text(json.dumps(scores))
    assert not run_facts.samples_of_evaluation(run, "val", ["one"])


def test_a_wholly_void_photo_does_not_break_the_order(tmp_path):
    """Of classes without sky; its mean IoU is no number."""
    run = make_run(tmp_path / "run")
    add_evaluation(run, tmp_path, {})
    rows = "".join(f"{name},0.9,{name}\n" for name in ("0.9", "nan", "0.1", "0.5"))
    table = run / "evaluation" / "val" / "per_image.csv"
    table.write_text(f"name,pixel_accuracy,mean_iou\n{rows}")
    assert [photo.name for photo in run_facts.worst_photos(run, "val", 4)] == ["0.1", "0.5", "0.9"]


JUNK = (
    "", "{", "[]", "5", "[" * 100_000, '{"iou": {"sky": "a"}, "mean_iou": 1, "protocol": "p"}',
    '{"iou": {"sky": 1}, "mean_iou": "x", "protocol": "p"}',
    '{"iou": {}, "mean_iou": 1, "protocol": {"a": 1}}',
    '{"iou": {}, "mean_iou": 1, "protocol": "p", "protocol_facts": 5}',
    '{"iou": {}, "mean_iou": 1, "protocol": "p", "protocol_facts": {}, "sky": 5}',
    '{"iou": {}, "mean_iou": 1, "protocol": "p", "protocol_facts": {}, "sky": {"boundary_f": 3}}',
)  # fmt: skip


def test_damaged_runs_break_no_list(tmp_path, monkeypatch):
    for i, text in enumerate(JUNK):
        run = tmp_path / "runs" / f"run_{i}"
        (run / "evaluation" / "val").mkdir(parents=True)
        for name in ("config", "metrics", "dataset", "evaluation/val/metrics"):
            (run / f"{name}.json").write_text(text)
        (run / "history.csv").write_bytes(b"\0\0")
        (run / "model.keras").write_text(text)
    good = tmp_path / "runs" / "good"
    good.mkdir()
    (good / "metrics.json").write_text('{"iou": {"sky": 0.9}, "mean_iou": 0.9, "protocol": "p"}')
    (tmp_path / "runs" / "dangling").symlink_to("/nowhere")
    listed = Path.iterdir

    def iterdir(folder):
        if folder.name == "run_0":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    runs = model_choices.find_runs(tmp_path / "runs")
    assert len(runs) == len(JUNK) + 1
    assert model_choices.find_models(Folders(tmp_path / "runs", tmp_path / "m", tmp_path / "d"))
    groups, damaged = run_facts.group_scores(runs)
    assert [row.run for group in groups for row in group.runs] == [good]
    assert run_facts.table_rows(groups[0], {})[0]["mean IoU"] == 0.9
    assert len(damaged) == 2 * len(JUNK)
    assert all("metrics.json: " in line and "\n" not in line for line in damaged)
    assert {run_facts.network_of(run) for run in runs} == {""}
    for run in runs:
        with pytest.raises(InputError):
            read_history(run)


def test_history_is_read_or_refused(tmp_path):
    run = make_run(tmp_path / "run")
    history = read_history(run)
    assert history["val_iou"] == [0.5, 0.7, 0.6]
    assert figures.best_epoch(history) == 1
    figure = figures.curves_figure({"run": history}, "loss")
    best = next(trace for trace in figure.data if trace.name == "best epoch")
    assert list(best.x) == [2.0]
    assert list(best.y) == [0.9]
    assert 0.5 < figure.layout.xaxis.range[0] < 1  # no epoch 0
    first = {column: values[:1] for column, values in history.items()}
    assert figures.curves_figure({"run": first}, "loss").layout.xaxis.range[1] < 2  # no epoch 2 yet
    (run / "history.csv").write_text("epoch,loss\n1,much\n")
    with pytest.raises(InputError, match="damaged"):
        read_history(run)
    with pytest.raises(InputError, match="wait until an epoch"):
        read_history(tmp_path)


# --- what visitors send ---


def png(image) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, "PNG")
    return file.getvalue()


def test_uploads_are_checked():
    photo = blue_photo()
    assert np.array_equal(uploads.read_upload("a.png", png(photo)).image, photo)
    with pytest.raises(InputError, match=r"a\.png: not a readable image"):
        uploads.read_upload("a.png", b"<script>")
    with pytest.raises(InputError, match=r"a\.jpg: not a readable image"):
        uploads.read_upload("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(InputError, match="damaged"):
        uploads.read_upload("a.png", png(photo)[:200])
    with pytest.raises(InputError, match="50 megapixels"):
        uploads.read_upload("a.png", png(Image.new("1", (10_000, 6_000))))


def test_a_short_video(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from drawn_clips import make_runtime, write_clip

    from skyseg_tf.video.read import VideoReader

    write_clip(tmp_path / "clip.mp4", 6)
    content = (tmp_path / "clip.mp4").read_bytes()
    monkeypatch.setattr(uploads, "MAX_FRAMES", 4)
    name, masks, facts = uploads.mask_video("my clip.mp4", content, make_runtime(), "mask", 0.5)
    assert name == "my clip_mask.mp4"
    assert "4 frames, masked at" in facts
    assert "only the first 4 frames" in facts
    (tmp_path / "masks.mp4").write_bytes(masks)
    reader = VideoReader(tmp_path / "masks.mp4")
    assert sum(moment.frame is not None for moment in reader) == 4
    reader.close()
    with pytest.raises(InputError, match=r"^broken\.mp4"):
        uploads.mask_video("broken.mp4", b"no video at all", make_runtime(), "mask", None)


# --- pages ---


def test_inspect_shows_scores_that_hold(folders, tree):
    app = run_page("inspect_photo", folders)
    pick_model(app, "blue")
    app.toggle(key="refined").set_value(False).run()
    pair = find_pairs(tree, splits=["val"])[0]
    opened = app.selectbox(key="photo").value.pair  # a photo that no training saw
    assert (opened.split, opened.name) == ("val", pair.name)
    stored, sky = read_mask(pair.mask), blue_probs(read_image(pair.image))[..., 0]
    counted, truth = np.isin(stored, range(7, 34)), stored == SKY_ID
    for threshold in (0.5, 0.9):
        app.slider[0].set_value(threshold).run()
        called = sky >= threshold
        both, either = (called & truth & counted).sum(), ((called | truth) & counted).sum()
        assert abs(float(metric(app, "Sky IoU")[0]) - both / either) < 2e-3
        assert abs(float(metric(app, "Sky share")[0].split()[0]) - 100 * called.mean()) < 0.11
    table = app.dataframe[0].value
    assert set(table["class"]) == {"not sky", "sky", "mean IoU"}
    assert not app.error


def test_two_models_side_by_side(folders):
    blue_model(folders.models / "nineteen.onnx", scheme="cityscapes19", long_side=192)
    app = run_page("inspect_photo", folders)
    pick_model(app, "blue")
    pick_model(app, "nineteen", "second_model")
    assert not app.exception
    assert len(metric(app, "Sky IoU")) == 2
    assert list(app.dataframe[0].value.columns) == [
        "class", "models_display/blue.onnx", "models_display/nineteen.onnx"
    ]  # fmt: skip


def test_two_models_of_other_colors_have_a_key_each(folders, monkeypatch):
    """CamVid's sky is grey: one key for both would name the wrong color."""
    shown = []
    monkeypatch.setattr(session, "swatches", shown.append)
    blue_model(folders.models / "city.onnx", scheme="cityscapes19", long_side=192)
    blue_model(folders.models / "camvid.onnx", scheme="camvid11", long_side=192)
    app = run_page("inspect_photo", folders)
    pick_model(app, "city")
    assert list(shown[-1]) == ["Truth and prediction", "Difference"]
    pick_model(app, "camvid", "second_model")
    assert not app.exception
    keys = [f"Prediction of models_display/{name}.onnx" for name in ("city", "camvid")]
    assert list(shown[-1]) == ["Truth", *keys, "Difference"]
    for key, name in zip(keys, ("cityscapes19", "camvid11"), strict=True):
        classes = SCHEMES[name]
        marks = set(zip(classes.colors, classes.class_names, strict=True))
        assert set(shown[-1][key]) <= marks


def test_a_photo_without_truth_stands_beside_its_prediction(folders, tmp_path, monkeypatch):
    rows = []
    beside = inspect_photo._beside
    monkeypatch.setattr(
        inspect_photo, "_beside", lambda parts: [rows.append(len(parts)), beside(parts)]
    )
    (tmp_path / "photos").mkdir()
    Image.fromarray(blue_photo()).save(tmp_path / "photos" / "mine.png")
    app = run_page("inspect_photo", replace(folders, data=tmp_path / "photos"))
    pick_model(app, "blue")
    assert not app.exception
    assert "No truth" in messages(app.info)
    assert rows[-3:] == [1, 2, 1]  # scores; photo and prediction; probabilities


def test_a_sequence_model_gets_its_frames(folders, tree):
    clip_model(folders.models / "clip.onnx", 2)
    app = run_page("inspect_photo", folders)
    pick_model(app, "clip.onnx")
    app.toggle(key="refined").set_value(False).run()
    assert "Frames that go in" in [heading.value for heading in app.subheader]
    loaded = sample_choices.load_sample(
        sample_choices.find_samples(tree)[0][0], SCHEMES["sky"], frames=2
    )
    called = blue_probs(loaded.clip.mean(0))[..., 0] >= 0.5
    alone = blue_probs(loaded.image)[..., 0] >= 0.5
    assert abs(called.mean() - alone.mean()) > 2e-3  # the clip makes a difference
    assert abs(float(metric(app, "Sky share")[0].split()[0]) - 100 * called.mean()) < 0.11


def test_inspect_survives_what_is_broken(folders, tmp_path):
    (folders.models / "broken.onnx").write_bytes(b"no model")
    (folders.models / "broken.keras").write_bytes(b"no model either")
    app = run_page("inspect_photo", folders)
    pick_model(app, "broken.onnx")
    assert "broken.onnx" in messages(app.error)
    assert not app.exception
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(blue_photo()).save(photos / "mine.png")
    (photos / "wreck.jpg").write_bytes(b"no photo")
    app = run_page("inspect_photo", replace(folders, data=photos))
    pick_model(app, "blue")
    assert "No truth" in messages(app.info)
    assert not metric(app, "Sky IoU")
    assert metric(app, "Sky share") == ["33.3 %"]
    wreck = next(s for s in sample_choices.find_samples(photos)[0] if s.label == "wreck")
    app.selectbox(key="photo").set_value(wreck).run()
    assert "not a readable image" in messages(app.error)
    assert not app.exception


def test_the_time_of_a_prediction_is_that_of_a_warm_model():
    sizes = []

    def infer(images):
        sizes.append(images.shape[1:3])
        time.sleep(0.5 if sizes.count(sizes[-1]) == 1 else 0)  # as a runtime that compiles
        return images[..., 2:] / 255

    facts = ModelFacts("timed", SCHEMES["sky"], long_side=64)
    runtime = Runtime("keras", Path("timed.keras"), facts, infer)
    photos = blue_photo(40, 60), 255 - blue_photo(40, 60), blue_photo(60, 40)
    for number, photo in enumerate(photos):
        told = session.answer(runtime, photo, (number,))
        assert told.seconds < 0.5
        assert session.answer(runtime, photo, (number,)).seconds == told.seconds  # computed once
    assert [sizes.count(size) for size in dict.fromkeys(sizes)] == [3, 2]
    assert session.duration(0.0824) == "82 ms"
    assert session.duration(1.25) == "1.2 s"


def test_upload_page(folders):
    app = run_page("your_photo", folders)
    assert "Drop a photo into the box" in messages(app.info)
    pick_model(app, "blue")
    app.file_uploader(key="upload").set_value(("photo.png", png(blue_photo()), "image/png")).run()
    assert not app.exception
    assert not app.error
    assert metric(app, "Sky share") == ["33.3 %"]
    app.toggle(key="upload_refined").set_value(False).run()
    assert not app.exception
    app.selectbox(key="format_mask").set_value("colmap").run()
    assert "photo.png.png" in messages(app.caption)
    app.file_uploader(key="upload").set_value(("bad.png", b"x" * 99, "image/png")).run()
    assert "bad.png: not a readable image" in messages(app.error)
    assert not app.exception


def test_the_uploader_says_in_words_what_it_takes(folders):
    app = run_page("your_photo", folders)
    assert app.file_uploader(key="upload").allowed_type == []  # else the box lists all endings
    assert uploads.KINDS in messages(app.caption)
    said = uploads.KINDS.replace("camera raw", "DNG").replace("videos as ", "")
    known = {"JPEG": ".jpg", "TIFF": ".tif"}
    for word in re.split("[,;] | and ", said):
        suffix = known.get(word, f".{word.lower()}")
        assert suffix in (*IMAGE_SUFFIXES, *RAW_SUFFIXES) or uploads.is_video(f"a{suffix}"), word
    app.file_uploader(key="upload").set_value(("a.pdf", b"%PDF-1.7", "application/pdf")).run()
    assert "a.pdf: not a readable image (damaged, or no image at all)" in messages(app.error)
    assert not app.exception


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "TIFF"])
def test_photos_of_phones_are_masked_upright(folders, kind):
    """As a phone stores them: turned, which AVIF says in EXIF and HEIC in its own way."""
    photo = np.kron(blue_photo(), np.ones((2, 2, 1), np.uint8))
    if kind == "HEIC":
        content = heic(np.rot90(photo).copy(), [b"\0\0\0\x09irot\3"])  # to be turned left thrice
    else:
        lossless = {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
        content = encode_stored(photo, kind, 6, **lossless)
    app = run_page("your_photo", folders)
    pick_model(app, "blue")
    name = f"IMG_1.{kind}"  # in capitals, as phones and cameras write it
    app.file_uploader(key="upload").set_value((name, content, f"image/{kind.lower()}")).run()
    assert not app.exception
    assert not app.error
    height, width = photo.shape[:2]
    assert metric(app, "Size") == [f"{width} × {height}"]
    assert abs(float(metric(app, "Sky share")[0].split()[0]) - 100 / 3) < 0.5
    assert "It is saved as IMG_1.png." in messages(app.caption)


def test_an_upload_in_many_classes_shows_what_their_colors_mean(folders):
    blue_model(folders.models / "streets.onnx", scheme="idd7")
    app = run_page("your_photo", folders)
    pick_model(app, "streets.onnx")
    app.file_uploader(key="upload").set_value(("photo.png", png(blue_photo()), "image/png")).run()
    assert not app.exception
    assert app.selectbox(key="format_color").value == "color"
    (legend,) = (html.proto.body for html in app.get("html"))
    assert "rgb(70, 130, 180)" in legend
    assert "sky" in legend
    assert "vehicles" not in legend


def test_downloads_know_how_the_upload_is_stored(folders, monkeypatch):
    told = []

    def recorded(kind, prediction, name):
        told.append((kind, prediction.metadata.orientation, prediction.metadata.icc_profile))
        return encode_prediction(kind, prediction, name)

    monkeypatch.setattr("skyseg_tf.dashboard_pages.your_photo.encode_prediction", recorded)
    content = encode_stored(blue_photo(), "JPEG", 6, icc_profile=wide_gamut())
    app = run_page("your_photo", folders)
    pick_model(app, "blue")
    app.file_uploader(key="upload").set_value(("photo.jpg", content, "image/jpeg")).run()
    app.selectbox(key="format_mask").set_value("colmap").run()
    assert not app.exception
    assert told == [("mask", 6, wide_gamut()), ("colmap", 6, wide_gamut())]


def test_pages_say_what_to_do_when_there_is_nothing(tmp_path):
    folders = Folders(*(tmp_path / name for name in ("runs", "models", "data")))
    for page in ("training", "all_runs", "worst_photos"):
        app = run_page(page, folders)
        assert "skyseg train" in messages(app.code)
    make_run(tmp_path / "runs" / "one")
    st.cache_data.clear()
    app = run_page("worst_photos", folders)
    assert "skyseg evaluate --model" in messages(app.code)
    blue_model(make_run(tmp_path / "runs" / "with_model") / "model.onnx")
    (tmp_path / "runs" / "with_model" / "exports").mkdir()
    (tmp_path / "runs" / "with_model" / "model.onnx").rename(
        tmp_path / "runs" / "with_model" / "exports" / "model_f32.onnx"
    )
    time.sleep(0.01)
    make_run(tmp_path / "runs" / "the_last_one")
    st.cache_data.clear()
    app = run_page("worst_photos", folders)
    assert messages(app.code).endswith("runs/with_model")  # the others have nothing to evaluate


def test_pages_of_runs(folders, tree):
    names = [pair.name for pair in find_pairs(tree, splits=["train"])][:2]
    for name in ("one", "two"):
        add_evaluation(make_run(folders.runs / name), tree, dict.fromkeys(names, 0.5), truth=name)
    app = run_page("training", folders)
    app.multiselect(key="curves").set_value(["one", "two"]).run()
    assert not app.exception
    assert list(app.dataframe[0].value["best sky IoU"]) == [0.7, 0.7]
    app = run_page("all_runs", folders)
    assert [len(table.value) for table in app.dataframe] == [2, 1, 1]
    app = run_page("worst_photos", folders)
    app.button(key=f"open_{names[0]}").click().run()
    assert not app.exception
    assert app.session_state["opened"].pair.name == names[0]
    opened = run_page("inspect_photo", folders, **{
        key: app.session_state[key] for key in ("opened", "kept_photo")
    })  # fmt: skip
    assert opened.selectbox(key="photo").value.pair.name == names[0]


def test_the_edge_toggle_of_an_upload_decides(folders, monkeypatch):
    asked = []
    monkeypatch.setattr(
        session,
        "enlarge",
        lambda *args, refined: asked.append(refined) or enlarge(*args, refined=refined),
    )
    app = run_page("your_photo", folders)
    pick_model(app, "blue")
    app.file_uploader(key="upload").set_value(("photo.png", png(blue_photo()), "image/png")).run()
    app.toggle(key="upload_refined").set_value(False).run()
    assert not app.exception
    assert asked == [True, False]


@pytest.mark.parametrize(("last", "step"), [(1, 1), (12, 1), (13, 2), (64, 10), (500, 50)])
def test_ticks_of_epochs_are_round_numbers(last, step):
    assert figures._tick_step(last) == step


def test_scores_of_other_kinds_have_other_names(folders):
    """The IoU in a history, and the boundary F of a training, are of sky or of all classes."""
    sky, city = (make_run(folders.runs / name) for name in ("sky", "city"))
    for run, scheme in ((sky, "sky"), (city, "cityscapes19")):
        facts = {"scheme": SCHEMES[scheme].as_dict()}
        (run / "dataset.json").write_text(json.dumps(facts))
        scores = json.loads((run / "metrics.json").read_text()) | {"boundary_f": 0.25}
        scores["iou"] = dict.fromkeys(SCHEMES[scheme].class_names, 0.5)
        (run / "metrics.json").write_text(json.dumps(scores))
    app = run_page("training", folders)
    app.multiselect(key="curves").set_value(["sky", "city"]).run()
    assert not app.exception
    table = app.dataframe[0].value.set_index("run")
    assert table["best sky IoU"].dropna().to_dict() == {"sky": 0.7}
    assert table["best mean IoU"].dropna().to_dict() == {"city": 0.7}
    assert [heading.value for heading in app.subheader] == ["Loss", "Sky IoU or mean IoU"]
    rows = [run_facts.table_rows(group, {})[0] for group in run_facts.group_scores([sky, city])[0]]
    assert sorted(key for row in rows for key in row if "boundary" in key) == [
        "boundary F of all classes", "sky boundary F"
    ]  # fmt: skip


def test_a_training_shows_by_itself(folders):
    (folders.runs / "young").mkdir(parents=True)
    (folders.runs / "young" / "config.json").write_text('{"model": "skyline"}')
    app = run_page("training", folders)
    assert "young has not finished an epoch yet" in messages(app.info)
    history = make_run(folders.runs / "other") / "history.csv"
    history.rename(folders.runs / "young" / "history.csv")
    st.cache_data.clear()
    app.run()
    assert list(app.dataframe[0].value["epochs"]) == ["3"]
    (folders.runs / "young" / "config.json").write_text('{"model": "skyline", "epochs": 14}')
    st.cache_data.clear()
    app.run()
    assert list(app.dataframe[0].value["epochs"]) == ["3 of 14"]


def test_worst_photos_show_their_prediction(folders, tree, monkeypatch):
    shown, keys = [], []
    monkeypatch.setattr(session, "swatches", keys.append)
    monkeypatch.setattr(session, "picture", lambda image: shown.append(image))
    names = [pair.name for pair in find_pairs(tree, splits=["train"])][:2]
    run = make_run(folders.runs / "one")
    add_evaluation(run, tree, dict.fromkeys(names, 0.5), protocol="photo")
    run_page("worst_photos", folders)
    assert len(shown) == 2  # without a model the photos alone
    (run / "exports").mkdir()
    blue_model(run / "exports" / "model_f32.onnx", long_side=192)
    st.cache_data.clear()
    app = run_page("worst_photos", folders)
    assert not app.exception
    assert not app.warning
    assert not keys  # the tint of the sky needs none
    assert "Each photo is followed by the same with what the run predicts" in messages(app.caption)
    assert len(shown) == 2 + 4  # each photo, and beside it what the model says
    tinted = [(image == SKY_TINT).all(-1).any() for image in shown]
    blue_model(run / "exports" / "model_f32.onnx", scheme="camvid11", long_side=192)
    st.cache_data.clear()
    assert not run_page("worst_photos", folders).exception
    assert [name for _, name in keys[0]["Prediction"]] == list(SCHEMES["camvid11"].class_names)
    assert any(tinted[3::2])
    assert not any(tinted[:2] + tinted[2::2])


def test_worst_photos_of_a_run_that_no_runtime_loads(folders, tree, monkeypatch):
    shown = []
    monkeypatch.setattr(session, "picture", lambda image: shown.append(image))
    names = [pair.name for pair in find_pairs(tree, splits=["train"])][:2]
    run = make_run(folders.runs / "one")
    add_evaluation(run, tree, dict.fromkeys(names, 0.5), protocol="photo")
    (run / "exports").mkdir()
    (run / "exports" / "model_f32.onnx").write_bytes(b"no model")
    app = run_page("worst_photos", folders)
    assert not app.exception
    assert len(app.warning) == 1
    assert "without predictions: " in messages(app.warning)
    assert len(shown) == len(app.button) == 2  # and each can be opened
    assert messages(app.caption).startswith("Val split of scenes, truth")


def test_the_script_itself(folders, monkeypatch):
    monkeypatch.chdir(folders.models.parent)
    monkeypatch.setattr(sample_choices, "DRAWN_SIZE", (64, 128))
    app = AppTest.from_file(dashboard.__file__, default_timeout=60)
    app.session_state["kept_model"] = model_choices.find_models(Folders())[-1]
    app.run()
    assert not app.exception
    assert not app.error
    assert app.title[0].value == "Inspect"


# --- the command ---


def test_without_streamlit_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    with pytest.raises(SystemExit) as stop:
        dashboard.main([], "skyseg dashboard")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "pip install 'skyseg_tf[dashboard]'" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("flag", ["--runs", "--models", "--data"])
def test_a_file_is_no_folder_to_look_into(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        dashboard.main([flag, __file__, "--no-browser", "--port", "99999"], "skyseg dashboard")
    assert stop.value.code == 2
    assert f"{flag} {__file__}: is a file; give a folder" in capsys.readouterr().err


def test_settings_are_safe():
    path = Path(dashboard.__file__).parent / ".streamlit" / "config.toml"
    settings = tomllib.loads(path.read_text())
    assert settings["server"]["address"] == "localhost"
    assert settings["server"]["maxUploadSize"] <= 200
    assert settings["server"]["enableXsrfProtection"] is True
    assert settings["client"]["showErrorDetails"] == "none"
    assert settings["browser"]["gatherUsageStats"] is False
    flags = dashboard.streamlit_arguments(dashboard.DashboardConfig(port=1234))
    assert flags[flags.index("--server.address") + 1] == "localhost"
    assert flags[flags.index("--server.port") + 1] == "1234"


@pytest.mark.parametrize(
    ("config", "host", "is_in"),
    [
        ({}, "localhost:8501", True),
        ({}, "127.0.0.1:8501", True),
        ({}, "[::1]:8501", True),
        ({}, "evil.example:8501", False),
        ({}, "localhost.evil.example", False),
        ({"host": "192.0.2.7"}, "192.0.2.7:8501", True),
        ({"host": "192.0.2.7"}, "evil.example", False),
        ({"allowed_hosts": ("sky.example.org",)}, "sky.example.org", True),
        ({"allowed_hosts": ("sky.example.org",)}, "evil.example", False),
        ({"host": "0.0.0.0", "allowed_hosts": ("sky.example.org",)}, "evil.example", False),
        ({"host": "0.0.0.0"}, "whatever.example", True),
    ],
)
def test_a_name_that_somebody_else_points_here_is_refused(config, host, is_in):
    """DNS rebinding; Streamlit asks this of every websocket, through which all content goes."""
    from streamlit import config as options
    from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

    settings = dashboard.DashboardConfig(**config)
    flags = dashboard.streamlit_arguments(settings)
    told = [flags[i + 1] for i, flag in enumerate(flags) if flag == "--server.allowedHosts"]
    assert told == dashboard.allowed_hosts(settings)
    before = options.get_option("server.allowedHosts")
    options._set_option("server.allowedHosts", told, "test")
    try:
        assert is_host_allowed(host) is is_in
    finally:
        options._set_option("server.allowedHosts", before, "test")


def test_pages_show_no_places_of_the_machine(folders, tmp_path):
    shown = folders.without_places
    runs = folders.runs
    assert shown(f"{runs}/one/metrics.json: damaged") == "runs/one/metrics.json: damaged"
    assert shown(f"no run below {runs}") == "no run below runs"
    assert shown("/etc/secret/file.png: gone (/home/me/x.png)") == "file.png: gone (x.png)"
    assert shown("gtFine/val/a: 3 m/s, https://a.org/b") == "gtFine/val/a: 3 m/s, https://a.org/b"
    bad = runs / "bad"
    bad.mkdir(parents=True)
    (bad / "metrics.json").write_text("{")
    (bad / "history.csv").write_text("{")
    (folders.models / "broken.onnx").write_bytes(b"no model")
    pages = [run_page(page, folders) for page in ("all_runs", "training", "worst_photos")]
    app = run_page("inspect_photo", folders)
    pick_model(app, "broken.onnx")
    assert "broken.onnx" in messages(app.error)
    for page in (*pages, app):
        kinds = (page.error, page.warning, page.info, page.caption, page.code, page.markdown)
        said = " ".join(messages(kind) for kind in kinds)
        assert said
        assert str(tmp_path) not in said


def test_the_pictures_of_the_docs_need_no_training(tmp_path):
    folder = dashboard_pictures.with_run(tmp_path)
    app = run_page("training", Folders(folder / "runs", folder / "models", folder / "data"))
    assert list(app.dataframe[0].value["epochs"]) == ["64 of 64"]


# --- a real browser ---


@pytest.fixture
def server(folders, tree):
    """The dashboard as a visitor meets it; yields its address."""
    names = [pair.name for pair in find_pairs(tree, splits=["train"])][:4]
    for name in ("one", "two"):
        add_evaluation(make_run(folders.runs / name), tree, dict.fromkeys(names, 0.5))
    with dashboard_pictures.serve(folders.models.parent) as address:
        yield address


@pytest.mark.slow
def test_every_page_in_a_browser(server, folders, tmp_path, tree):
    api = pytest.importorskip("playwright.sync_api")
    height, width = read_image(find_pairs(tree)[0].image).shape[:2]
    aspect = width / height
    if not dashboard_pictures.CHROMIUM.exists():
        pytest.skip("needs Chromium")
    with api.sync_playwright() as playwright:
        browser = dashboard_pictures.launch(playwright)
        elsewhere = []
        for width, theme in ((1280, "light"), (390, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme
            )
            page = context.new_page()
            page.on("request", lambda request: elsewhere.append(request.url)
                    if not request.url.startswith((server, "data:", "blob:", "ws:")) else None)  # fmt: skip
            for path, title in dashboard_pictures.PAGES.items():
                page.goto(f"{server}/{path}", wait_until="domcontentloaded")
                dashboard_pictures.wait_until_drawn(page)
                assert page.inner_text("h1") == title
                assert page.query_selector("[data-testid=stException]") is None
                assert "Traceback" not in page.inner_text("body")
                assert "error" not in page.inner_text("body").lower().replace(
                    "calibration error", ""
                )
                if title == "Inspect":  # the figure that one points at keeps the photo's aspect
                    figure = page.locator(".js-plotly-plot").first.bounding_box()
                    assert abs(figure["width"] / figure["height"] - aspect) < 0.02
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{title} is {wide} wide at {width}"
                png = dashboard_pictures.picture_of(page, width, 9000)
                assert len(png) > 10_000
                (tmp_path / f"{title}_{width}.png").write_bytes(png)  # to be looked at
                page.set_viewport_size({"width": width, "height": 900})
            context.close()
        _use(browser, server)
        _watch(browser, server, folders.runs)
        browser.close()
        assert not elsewhere


def _watch(browser, server: str, runs: Path) -> None:
    """The epochs of a training that goes on show by themselves."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{server}/training")
    dashboard_pictures.wait_until_drawn(page)
    points = "document.querySelector('.js-plotly-plot').data[0].x.length"
    assert page.evaluate(points) == 3
    for history in runs.glob("*/history.csv"):
        with open(history, "a") as file:
            file.write("4,0.2,0.5,0.8,0.75,30\r\n")
    page.wait_for_function(f"{points} === 4", timeout=60_000)


def _use(browser, server: str) -> None:
    """Hovers over the photo, opens a worst photo by one click, uploads, reads the limit."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{server}/worst")
    dashboard_pictures.wait_until_drawn(page)
    page.get_by_role("button", name="Inspect").first.click()
    page.wait_for_function("document.querySelector('h1')?.innerText === 'Inspect'")
    dashboard_pictures.wait_until_drawn(page)
    picture = page.locator(".js-plotly-plot").first
    picture.scroll_into_view_if_needed()
    picture.hover()
    page.wait_for_selector(".hovertext", timeout=10_000)
    assert "sky " in page.text_content(".hovertext")
    assert "predicted" in page.text_content(".hovertext")
    page.goto(f"{server}/photo")
    dashboard_pictures.wait_until_drawn(page)
    assert "100MB" in page.inner_text("[data-testid=stFileUploader]")
    photo = {"name": "mine.png", "mimeType": "image/png", "buffer": png(blue_photo(200, 300))}
    page.set_input_files("input[type=file]", photo)
    page.wait_for_selector("[data-testid=stDownloadButton]", timeout=120_000)
    with page.expect_download() as download:
        page.locator("[data-testid=stDownloadButton] button").click()
    assert download.value.suggested_filename == "mine.png"
    mask = np.array(Image.open(download.value.path()))
    assert mask.shape == (200, 300)
    assert set(np.unique(mask)) <= {0, 255}
