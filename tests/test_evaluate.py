import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import trainId2label
from drawn_models import blue_model, blue_probs
from drawn_trees import cityscapes, flat, write_mask
from markupsafe import escape
from official_evaluation import run_official

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import main
from skyseg_tf.data.photos import LabeledPhoto
from skyseg_tf.data.records import read_tfrecord
from skyseg_tf.errors import InputError
from skyseg_tf.evaluate import EvaluateConfig, evaluate
from skyseg_tf.images import read_image, read_mask, resize_image
from skyseg_tf.labels import SCHEMES, decode_mask
from skyseg_tf.masking.refine import refine
from skyseg_tf.masking.views import resize_probs
from skyseg_tf.runs.folder import RunData, write_json
from skyseg_tf.scoring import story
from skyseg_tf.scoring.comparison import compare_evaluations
from skyseg_tf.scoring.evaluation import score_image
from skyseg_tf.scoring.protocol import evaluation_name
from skyseg_tf.scoring.report import write_report
from skyseg_tf.scoring.results import keep_worst
from skyseg_tf.scoring.scored_model import scored_model


def make_run(folder, scheme, records=None, seed=0, frames=None):
    """A run whose network looks at the color of each pixel alone."""
    rng = np.random.default_rng(seed)
    logits = SCHEMES[scheme].num_logits
    pixels = keras.Input((None, None, 3) if frames is None else (frames, 32, 64, 3))
    last = pixels if frames is None else pixels[:, -1]
    final = "sigmoid" if logits == 1 else "softmax"
    conv = keras.layers.Conv2D(logits, 1, activation=final)
    model = keras.Model(pixels, conv(keras.layers.Rescaling(1 / 255)(last)))
    if logits == 1:  # sky is what is blue and light
        conv.set_weights([np.array([-8, 0, 14], np.float32).reshape(1, 1, 3, 1), np.array([-5.0])])
    else:
        kernel = rng.normal(0, 20, (1, 1, 3, logits))
        conv.set_weights([kernel, -0.4 * kernel.sum((0, 1, 2))])  # undecided at a dark grey
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    write_json(folder / "config.json", {"model": "skynet", "records": records, "seed": seed})
    write_json(folder / "environment.json", {"python": "3.11"})
    write_json(folder / "metrics.json", {"iou": dict.fromkeys(SCHEMES[scheme].class_names, 0.5)})
    return folder


def sky_probability(rgb):
    red, _, blue = np.moveaxis(rgb.astype(np.float32) / 255, -1, 0)
    return 1 / (1 + np.exp(8 * red - 14 * blue + 5))


@pytest.fixture(scope="module")
def sky_run(records, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("evaluate") / "sky", "sky", records)


@pytest.fixture(scope="module")
def on_records(sky_run):
    """The evaluation on the run's own records."""
    return evaluate(EvaluateConfig(model=sky_run, bootstrap=50, worst=2, quiet=True))


def test_records_are_scored_as_they_are(on_records, records, sky_run):
    assert on_records == sky_run / "evaluation" / "val"
    scores = json.loads((on_records / "metrics.json").read_text())
    matrix = np.zeros((2, 2), np.int64)
    for pair in read_tfrecord([str(p) for p in sorted(records.glob("val*"))]).as_numpy_iterator():
        keep = pair["mask"] != 255
        pred = sky_probability(pair["image"]) > 0.5
        np.add.at(matrix, (pair["mask"][keep], pred[keep].astype(int)), 1)
    assert matrix.min() > 0
    assert scores["confusion_matrix"] == matrix.tolist()
    assert scores["images"] == 2
    low, high = scores["confidence_intervals"]["mean_iou"]
    assert low <= scores["mean_iou"] <= high


def test_intervals_that_were_asked_for_are_told(sky_run, capsys):
    told = {}
    for resamples in (0, 20):
        evaluate(
            EvaluateConfig(model=sky_run, bootstrap=resamples, name="told", worst=0, quiet=True)
        )
        told[resamples] = capsys.readouterr().out
    assert "95% of 20 resamples of the photos: mean IoU" in told[20]
    assert "resamples" not in told[0]


def test_every_file_names_its_protocol(on_records):
    protocol = json.loads((on_records / "metrics.json").read_text())["protocol"]
    assert re.fullmatch(
        r"val split of sky, 2 photos \(truth [0-9a-f]{12}\), classes sky, records protocol, scored at "
        r"the records' size, 32x64, single scale, void ignored, sky where p >= 0.5",
        protocol,
    )
    for name in ("per_class", "per_image"):
        with open(on_records / f"{name}.csv") as file:
            rows = list(csv.DictReader(file))
        assert all(row["protocol"] == protocol for row in rows)
    assert escape(protocol) in (on_records / "report.html").read_text()
    plots = {path.stem for path in (on_records / "plots").iterdir()}
    assert plots == {
        "iou_scores", "confusion_matrix", "outline", "reliability", "image_iou", "worst",
    }  # fmt: skip


def val_pairs(tree):
    """Photo and class ids of sky at full size, read by the names of Cityscapes."""
    for path in sorted((tree / "leftImg8bit" / "val").rglob("*.png")):
        mask = str(path).replace("leftImg8bit.png", "gtFine_labelIds.png")
        mask = mask.replace("/leftImg8bit/", "/gtFine/")
        yield read_image(path), decode_mask(read_mask(mask), "labelIds", SCHEMES["sky"], mask)


def test_full_size_of_the_labels(sky_run, tree):
    """Two scales and the mirrored photo, against the same by hand."""
    folder = evaluate(
        EvaluateConfig(
            model=sky_run, source=tree, image_size=(48, 96), multi_scale=(1.0, 2.0), flip=True,
            refine=False, worst=0, quiet=True,
        )
    )  # fmt: skip
    assert folder.name == "scenes_val_48x96_scales1-2_flip_unrefined"
    scores = json.loads((folder / "metrics.json").read_text())
    matrix = np.zeros((2, 2), np.int64)
    for image, truth in val_pairs(tree):
        small = sky_probability(resize_image(image, (48, 96)))
        from_small = keras.ops.image.resize(small[None, ..., None], (96, 192))
        probs = (np.asarray(from_small)[0, ..., 0] + sky_probability(image)) / 2
        keep = truth != 255
        np.add.at(matrix, (truth[keep], (probs[keep] > 0.5).astype(int)), 1)
    # A network that looks at pixels alone sees the mirrored photo as it sees the photo.
    difference = np.abs(matrix - np.array(scores["confusion_matrix"])).sum()
    assert difference <= 1e-4 * matrix.sum()
    assert "scales 1, 2, mirrored too" in scores["protocol"]


def test_refined_along_the_photos_edges(sky_run, tree):
    """The sky's outline at full size is that of `skyseg predict`, and the protocol says so."""
    folder = evaluate(
        EvaluateConfig(model=sky_run, source=tree, image_size=(48, 96), worst=0, quiet=True)
    )
    assert folder.name == "scenes_val_48x96"
    scores = json.loads((folder / "metrics.json").read_text())
    assert "refined" in scores["protocol"]
    matrix = np.zeros((2, 2), np.int64)
    for image, truth in val_pairs(tree):
        probs = refine(image, np.asarray(sky_probability(resize_image(image, (48, 96)))))
        keep = truth != 255
        np.add.at(matrix, (truth[keep], (probs[keep] >= 0.5).astype(int)), 1)
    difference = np.abs(matrix - np.array(scores["confusion_matrix"])).sum()
    assert difference <= 1e-3 * matrix.sum()


def test_masks_are_read_by_the_table_of_values_that_the_scheme_is(tmp_path):
    """As the build has read them: the values 0 and 1 alone would say that 1 is the sky."""
    scheme, source = tmp_path / "own.json", flat(tmp_path / "flat", split="val", values=(0, 1, 1))
    flat(source, split="train", values=(0, 1, 1))
    scheme.write_text('{"0": "ground", "1": "sky"}')
    manifest = build(BuildConfig(out=tmp_path / "records", source=source, scheme=str(scheme),
                                 image_size=(8, 16), storage="uint8", quiet=True))  # fmt: skip
    run = make_run(tmp_path / "run", "sky")
    config = EvaluateConfig(model=run, source=source, refine=False, worst=0, quiet=True)
    write_json(run / "dataset.json", replace(RunData.of(manifest, ""), encoding=None))
    with pytest.raises(InputError, match="none of them is what they call 'not sky'"):
        evaluate(config)  # a run that does not tell how its masks were read
    write_json(run / "dataset.json", RunData.of(manifest, ""))
    scores = json.loads((evaluate(config) / "metrics.json").read_text())
    ground, sky = np.sum(scores["confusion_matrix"], axis=1)
    assert (ground, sky) == (3 * 43, 3 * 85)  # of three photos of 8x16
    assert scores["settings"]["encoding"] == [[0, "ground"], [1, "sky"]]
    with_car = '{"0": "ground", "1": "sky", "2": "car"}'
    for classes, truth in (('{"0": "sky", "1": "ground"}', (85, 43)), (with_car, (43, 85))):
        (source / "classes.json").write_text(classes)  # the same names, another numbering; others
        scores = json.loads((evaluate(config) / "metrics.json").read_text())
        assert tuple(np.sum(scores["confusion_matrix"], axis=1) / 3) == truth


def test_submission_scores_the_same_in_cityscapes_scripts(tree, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", "cityscapes19")
    folder = evaluate(
        EvaluateConfig(
            model=run, source=tree, split="train", image_size=(96, 192),
            submission=tmp_path / "out", quiet=True,
        )
    )  # fmt: skip
    truths = sorted((tree / "gtFine" / "train").rglob("*_labelIds.png"))
    theirs, _ = run_official(monkeypatch, truths, tmp_path / "out")
    scores = json.loads((folder / "metrics.json").read_text())
    ids = [trainId2label[i].id for i in range(19)]
    official_matrix = np.array(theirs["confMatrix"])[np.ix_(ids, ids)]
    assert np.array_equal(official_matrix, scores["confusion_matrix"])
    assert (official_matrix > 0).sum() > 50
    assert sum(pixels["found"] for pixels in scores["instance_pixels"].values()) > 10
    for key, their_key in (
        ("mean_iou", "averageScoreClasses"),
        ("mean_iiou", "averageScoreInstClasses"),
        ("mean_category_iou", "averageScoreCategories"),
        ("mean_category_iiou", "averageScoreInstCategories"),
    ):
        assert scores[key] == pytest.approx(theirs[their_key], rel=1e-12), key
    assert len(list((tmp_path / "out").iterdir())) == len(truths) == 13


def test_test_split_without_truth_gives_a_submission_alone(tmp_path):
    run = make_run(tmp_path / "run", "sky")
    tree = cityscapes(tmp_path / "tree", test=(0, 1))
    config = EvaluateConfig(model=run, source=tree, split="test", image_size=(8, 16), quiet=True)
    with pytest.raises(InputError, match="no masks to score by"):
        evaluate(config)
    assert evaluate(replace(config, submission=tmp_path / "out")) == tmp_path / "out"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "berlin_000004_000019_pred_labelIds.png", "berlin_000005_000019_pred_labelIds.png",
    ]  # fmt: skip
    assert not (run / "evaluation").exists()


def test_clips_of_a_sequence_network(tree, tmp_path):
    run = make_run(tmp_path / "run", "sky", frames=2)
    config = EvaluateConfig(model=run, source=tree, worst=1, quiet=True)
    scores = json.loads((evaluate(config) / "metrics.json").read_text())
    assert scores["input_size"] == [32, 64]
    assert scores["sky"]["iou"] > 0
    with pytest.raises(InputError, match="takes 32 x 64 alone"):
        evaluate(replace(config, multi_scale=(0.5,)))


def test_the_worst_photos_are_kept():
    """A photo of false sky alone, a bad and a good one; one with too little sky to rank."""
    scheme, worst = SCHEMES["sky"], []
    truth = np.zeros((40, 50), np.uint8)
    truth[:20] = 1
    good, bad, none, tiny = truth.copy(), truth.copy(), np.zeros_like(truth), np.zeros_like(truth)
    good[20], bad[5:], tiny[0, :3] = 1, 0, 1
    cases = [
        ("good", truth, good),
        ("tiny", none, tiny),
        ("false", none, good),
        ("bad", truth, bad),
    ]
    for name, true, pred in cases:
        photo = LabeledPhoto(name, np.zeros((40, 50, 3), np.uint8), true)
        scores = score_image(name, true, pred, pred * 1.0, scheme)
        worst = keep_worst(worst, photo, pred, scores, scheme, 3)
    assert [row.caption for row in worst] == [
        "false: no sky, 52.5 % called so", "bad: sky IoU 0.250", "good: sky IoU 0.952",
    ]  # fmt: skip
    assert worst[0].photo.shape == (320, 400, 3)
    shorter = keep_worst(worst[:2], photo, pred, scores, scheme, 2)
    assert [row.caption.split(":")[0] for row in shorter] == ["false", "bad"]


def test_a_strip_of_a_photo_makes_no_sheet_of_gigabytes():
    scheme, true = SCHEMES["sky"], np.ones((3000, 4), np.uint8)
    photo = LabeledPhoto("strip", np.zeros((3000, 4, 3), np.uint8), true)
    scores = score_image("strip", true, 0 * true, true * 0.0, scheme)
    (row,) = keep_worst([], photo, 0 * true, scores, scheme, 1)
    assert row.photo.shape == (1600, 400, 3)
    assert row.truth.shape == row.pred.shape == (1600, 400)


# --- comparing, reporting ---


def test_compare_prints_a_table(on_records, sky_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sky_run, other)
    path = other / "evaluation" / "val" / "metrics.json"
    scores = json.loads(path.read_text())
    better = scores["mean_iou"] + 0.1
    path.write_text(json.dumps(scores | {"mean_iou": better, "network": "u2net"}))
    table = compare_evaluations([sky_run, other], "val").splitlines()
    assert table[0] == scores["protocol"]
    row = next(line for line in table if line.startswith("mean IoU"))
    assert f"{scores['mean_iou']:.4f} [" in row
    assert f"{better:.4f} [" in row
    assert row.endswith("]*")
    assert any(line.split() == ["network", "skynet", "u2net"] for line in table)


def test_unlike_protocols_are_refused(on_records, sky_run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(sky_run, other)
    evaluate(EvaluateConfig(model=other, name="val", flip=True, worst=0, quiet=True))
    with pytest.raises(SystemExit) as exit_info:
        main(["evaluate", "--run", str(sky_run), "--compare", str(other)])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert "views is 'single scale, mirrored too' there and 'single scale' here" in error
    with pytest.raises(InputError, match=r"no evaluation 'train' \(there: .*val"):
        compare_evaluations([sky_run, other], "train")


def test_report_needs_the_run_folder_alone(on_records, sky_run, tmp_path):
    moved = tmp_path / "a <b>run"
    shutil.copytree(sky_run, moved)
    before = (on_records / "report.html").read_text()
    page = write_report(moved, "val").read_text()
    assert page == before.replace("run sky<", "run a &lt;b&gt;run<")
    assert page.count("<img") == 6
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in page.replace("data:image", "")
    scores = json.loads((moved / "evaluation" / "val" / "metrics.json").read_text())
    assert f"<b>{scores['mean_iou']:.3f}</b>" in page


# --- models that are no runs ---


def blue_matrix(photo, truth, size, threshold=0.5):
    """Confusion of drawn_models.blue_model, which is shown the photo at that size."""
    small = blue_probs(resize_image(photo, size).astype(np.float32)).astype(np.float32)
    pred = resize_probs(small, photo.shape[:2])[..., 0] >= threshold
    keep, matrix = truth != 255, np.zeros((2, 2), np.int64)
    np.add.at(matrix, (truth[keep], pred[keep].astype(int)), 1)
    return matrix


def test_a_model_file_is_scored_as_predict_runs_it(tree, tmp_path, capsys):
    """At the size that it gives each photo itself, with its own threshold."""
    model = blue_model(tmp_path / "blue.onnx", threshold=0.7, long_side=96)
    argv = ["evaluate", "--model", str(model), "--source", str(tree), "--quiet", "--worst", "0"]
    argv.append("--no-refine")
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 0, capsys.readouterr().err
    folder = tmp_path / "blue.onnx.evaluation" / "scenes_val_unrefined"
    scores = json.loads((folder / "metrics.json").read_text())
    wanted = sum(blue_matrix(*pair, (64, 96), 0.7) for pair in val_pairs(tree))
    difference = np.abs(wanted - np.array(scores["confusion_matrix"])).sum()
    assert difference <= 1e-3 * wanted.sum()
    assert scores["network"] == "blue"
    assert "sky where p >= 0.7" in scores["protocol"]
    assert "model blue.onnx" in (folder / "report.html").read_text()
    assert "blue.onnx" in compare_evaluations([model, model], "scenes_val_unrefined")


def test_a_model_file_is_scored_on_records(records, tmp_path):
    model = blue_model(tmp_path / "blue.onnx")
    folder = evaluate(EvaluateConfig(model=str(model), records=records, worst=0, quiet=True))
    matrix = np.zeros((2, 2), np.int64)
    for pair in read_tfrecord([str(p) for p in sorted(records.glob("val*"))]).as_numpy_iterator():
        matrix += blue_matrix(pair["image"], pair["mask"], pair["mask"].shape)
    scores = json.loads((folder / "metrics.json").read_text())
    difference = np.abs(matrix - np.array(scores["confusion_matrix"])).sum()
    assert difference <= 1e-3 * matrix.sum()  # z = -3 + 3 is a threshold for the last bit
    streets = blue_model(tmp_path / "streets.onnx", scheme="streets11")
    with pytest.raises(InputError, match="name records of its own classes"):
        evaluate(EvaluateConfig(model=str(streets), records=records, quiet=True))


def test_a_packaged_model_is_scored_by_its_name(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(
        model="skyline", source=tree, backend="onnxruntime", name="here", worst=0, quiet=True
    )
    assert str(evaluate(config)) == "runs/evaluation/skyline/here"
    assert json.loads(Path("runs/evaluation/skyline/here/metrics.json").read_text())["mean_iou"]


def test_a_run_is_named_by_its_file_too_and_by_the_older_flag(sky_run, on_records, capsys):
    for flags in (["--model", f"{sky_run}/model.keras"], ["--run", f"{sky_run}"]):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *flags, "--compare", str(sky_run), "--name", "val"])
        assert end.value.code == 0
        assert "mean IoU" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--modle", str(sky_run)])
    assert "did you mean --model?" in capsys.readouterr().err


def test_scores_on_other_data_of_the_same_name_are_not_lost(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", "sky")
    first, second = (flat(tmp_path / name / "photos", split="val") for name in "ab")
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(run, Path("a/photos"), encoding="binary255", worst=0, quiet=True)
    folder = evaluate(config)
    kept = (folder / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=f"holds the scores on {first}; give these another name"):
        evaluate(replace(config, source=second))
    assert (folder / "metrics.json").read_bytes() == kept
    assert evaluate(replace(config, source=second, name="b")).name == "b"
    monkeypatch.chdir(first)  # the same data, named in another way
    assert evaluate(replace(config, source=first)) == folder


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nowhere"}, "no such run folder or model file"),
        ({"split": "test"}, "no split 'test': there are"),
        ({"submission": "out"}, "--submission needs --source"),
        ({"image_size": (32, 64)}, "--image-size needs --source"),
        ({"protocol": "photo"}, "--protocol photo needs --source"),
        ({"protocol": "foto"}, "did you mean photo"),
        ({"source": "nowhere"}, "no such file or folder"),
        ({"multi_scale": (0.0,)}, "above 0"),
        ({"window": (64, 64)}, "larger than the view"),
        ({"bootstrap": -1}, "count from 0"),
        ({"name": ".."}, "--name ..: give the name of a folder"),
        ({"name": ".", "compare": ("other",)}, "--name .: give the name of a folder"),
        ({"name": "../..", "compare": ("other",)}, "--name ../..: give the name of a folder"),
        ({"records": "nowhere"}, "no such file or folder"),
    ],
)
def test_wrong_settings_are_refused(sky_run, tmp_path, changes, message):
    for key in ("model", "submission", "source", "records"):
        if key in changes:
            changes = changes | {key: tmp_path / changes[key]}
    with pytest.raises(InputError, match=message):
        evaluate(replace(EvaluateConfig(model=sky_run, name="never", quiet=True), **changes))
    assert not (sky_run / "evaluation" / "never").exists()


def test_a_mask_of_another_size_is_told_of_before_any_work(sky_run, tmp_path, monkeypatch):
    tree = flat(tmp_path, split="val")
    write_mask(tree / "masks" / "val" / "two.png", size=(5, 7))
    monkeypatch.setattr(story, "scored_model", None)
    with pytest.raises(InputError, match=r"two\.png: the mask is 7 x 5, its photo 16 x 8; export"):
        evaluate(EvaluateConfig(model=sky_run, source=tree, quiet=True))


def test_data_that_does_not_fit_is_named(sky_run, tmp_path):
    tree = cityscapes(tmp_path / "tree")
    mask = next((tree / "gtFine" / "val").rglob("*_labelIds.png"))
    mask.with_name(mask.name.replace("labelIds", "instanceIds")).write_bytes(
        next((tree / "leftImg8bit").rglob("*.png")).read_bytes()
    )
    config = EvaluateConfig(model=sky_run, source=tree, image_size=(8, 16), quiet=True)
    with pytest.raises(InputError, match="instanceIds have one of 16 bit"):
        evaluate(config)
    plain = flat(tmp_path / "flat", split="val")
    with pytest.raises(InputError, match="the benchmark wants photos named"):
        evaluate(replace(config, source=plain, submission=tmp_path / "out"))
    (sky_run.parent / "broken").mkdir()
    (sky_run.parent / "broken" / "model.keras").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken/model\.keras: damaged or unfinished archive"):
        evaluate(replace(config, model=sky_run.parent / "broken"))


def test_names_tell_the_options(tmp_path):
    config = EvaluateConfig(model=tmp_path, source=tmp_path / "city", window=(32, 64))
    assert evaluation_name(config) == "city_val_window32x64"
    assert evaluation_name(EvaluateConfig(model=tmp_path, split="train")) == "train"
    config = replace(config, overlap=0.5, backend="keras", encoding="binary1", layout="flat")
    assert evaluation_name(config) == "city_val_flat_binary1_window32x64_overlap0.5_keras"
    for records in (tmp_path / "data" / "other", Path("memory://data/other")):
        config = EvaluateConfig(model=tmp_path, records=records, overlap=0.5, encoding="binary1")
        assert evaluation_name(config) == "other_val"  # neither changes a figure here
        config = replace(config, source=tmp_path / "city", protocol="records")
        assert evaluation_name(config) == "city_other_val_binary1_records"


def test_the_table_of_classes():
    """Two of a hundred pixels of the road are called sky; there is no building and no train."""
    from skyseg_tf.labels import get_scheme
    from skyseg_tf.scoring.scores import class_table

    scheme = get_scheme("cityscapes19")
    road, sky = (scheme.class_names.index(name) for name in ("road", "sky"))
    matrix = np.zeros((19, 19), np.int64)
    matrix[road, road], matrix[road, sky], matrix[sky, sky] = 98, 2, 300
    rows = {line.split()[0]: line.split()[-3:] for line in class_table(matrix, scheme).splitlines()}
    assert rows["class"] == ["share", "of", "pixels"]
    assert rows["road"] == ["road", "0.9800", "25.00%"]
    assert rows["sky"] == ["sky", "0.9934", "75.00%"]
    assert rows["building"] == ["building", "-", "0.00%"]
    assert rows["mean"] == ["mean", "0.9867"]
    lines = class_table(np.zeros((2, 2), np.int64), get_scheme("sky")).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["0.00%", "0.00%", "-"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"model": ["skynet"]}),
        ("config.json", {"model": "skynet", "image_size": "large"}),
        ("metrics.json", {"iou": 5}),
    ],
)
def test_a_damaged_file_of_a_run_is_named(tmp_path, name, content):
    """Of a run of version 0.1, which has no dataset.json, these files tell the rest."""
    run = make_run(tmp_path / "run", "sky")
    write_json(run / name, content)
    with pytest.raises(InputError, match=f"{name}: damaged: "):
        scored_model(EvaluateConfig(model=str(run)))
