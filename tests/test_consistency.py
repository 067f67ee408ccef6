"""One way from photo to classes: what `evaluate` scores is what `predict` writes."""

import json
import shutil

import keras
import numpy as np
import pytest
from drawn_models import blue_model, blue_photo

from skyseg_tf.evaluate import EvaluateConfig, evaluate
from skyseg_tf.images import read_image, read_mask, resize_image, write_image
from skyseg_tf.labels import IGNORE, LABEL_ID, SCHEMES, class_id_table
from skyseg_tf.masking.prediction import infer, predict_image
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.masking.views import Views, resize_probs
from skyseg_tf.predict import PredictConfig, predict
from skyseg_tf.runs.folder import write_json

# (height, width) that no divisor fits: their aspect is not that of any network's input.
SIZES = ((201, 333), (150, 97), (67, 211))


@pytest.fixture(scope="module")
def odd_tree(tmp_path_factory):
    """Photos of odd sizes whose sky fades into the ground, with labelIds that have some void."""
    root, rng = tmp_path_factory.mktemp("road") / "odd", np.random.default_rng(5)
    for number, (height, width) in enumerate(SIZES):
        photo = blue_photo(height, width).astype(float)
        depth = np.linspace(0, 1, height)[:, None, None]
        photo = photo * (1 - depth) + (130, 120, 140) * depth + rng.normal(0, 12, photo.shape)
        mask = np.full((height, width), LABEL_ID["road"], np.uint8)
        mask[: int(height * 0.4)] = LABEL_ID["sky"]
        mask[-9:] = 0
        name = f"berlin/berlin_{number:06d}_000019"
        write_image(
            root / f"leftImg8bit/val/{name}_leftImg8bit.png",
            np.clip(photo, 0, 255).round().astype(np.uint8),
        )
        write_image(root / f"gtFine/val/{name}_gtFine_labelIds.png", mask)
    return root


def write_run(folder, size=(96, 192)):
    """A run of classes sky that was trained at `size`, and whose network sees single colors."""
    pixels = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Model(pixels, conv(keras.layers.Rescaling(1 / 255)(pixels)))
    conv.set_weights([np.array([-8, 0, 14], np.float32).reshape(1, 1, 3, 1), np.array([-5.0])])
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    write_json(folder / "config.json", {"model": "skynet", "image_size": size})
    write_json(folder / "metrics.json", {"iou": dict.fromkeys(SCHEMES["sky"].class_names, 0.5)})
    return folder


def make_model(kind, folder):
    if kind == "run":
        return write_run(folder / "run")
    if kind == "keras":
        return write_run(folder / "run") / "model.keras"
    scheme = {"onnx": "sky", "classes": "cityscapes19", "no sky": "streets11"}[kind]
    threshold = {"threshold": 0.6} if kind == "onnx" else {}
    return blue_model(folder / "blue.onnx", scheme=scheme, long_side=96, **threshold)


def matrix_of_files(tree, masks, scheme, to_ids):
    """The confusion matrix of mask files against labelIds, by numpy alone."""
    matrix = np.zeros((scheme.num_classes,) * 2, np.int64)
    for label in sorted(tree.glob("gtFine/val/*/*_labelIds.png")):
        truth = class_id_table("labelIds", scheme)[read_mask(label)]
        name = label.name.replace("gtFine_labelIds", "leftImg8bit")
        pred = to_ids(masks / "berlin" / name)
        keep = truth != IGNORE
        np.add.at(matrix, (truth[keep], pred[keep]), 1)
    return matrix


def ids_of_colors(scheme):
    colors = {color: i for i, color in enumerate(scheme.colors)}
    return lambda path: np.apply_along_axis(lambda rgb: colors[tuple(rgb)], -1, read_image(path))


@pytest.mark.parametrize("kind", ["run", "keras", "onnx", "classes", "no sky"])
def test_evaluate_scores_the_masks_that_predict_writes(odd_tree, tmp_path, kind):
    model = make_model(kind, tmp_path)
    config = EvaluateConfig(model=str(model), source=odd_tree, worst=0, quiet=True)
    scores = json.loads((evaluate(config) / "metrics.json").read_text())
    scheme = SCHEMES[scores["scheme"]]
    sky_alone = scheme.name == "sky"
    photos = str(odd_tree / "leftImg8bit/val")
    out = tmp_path / "masks"
    written = PredictConfig(
        (photos,), out=out, format="mask" if sky_alone else "color", model=str(model)
    )
    assert predict(written) == 0
    to_ids = (lambda path: read_mask(path) // 255) if sky_alone else ids_of_colors(scheme)
    matrix = matrix_of_files(odd_tree, out, scheme, to_ids)
    assert (matrix > 0).sum() >= 2
    assert scores["confusion_matrix"] == matrix.tolist()
    assert scores["protocol_facts"]["protocol"] == "photo"
    assert "photo protocol" in scores["protocol"]
    refined = "refined" in scores["protocol_facts"]["decision"]
    assert refined == (kind == "classes")


def test_a_run_is_scored_by_the_export_that_predict_takes(odd_tree, tmp_path):
    """An export that is fixed to a size shows every photo at it: so it must be scored."""
    run = write_run(tmp_path / "run")
    (run / "exports").mkdir()
    blue_model(run / "exports/model_f32_64x96.onnx", size=(64, 96))
    shutil.copytree(run, tmp_path / "alone", ignore=shutil.ignore_patterns("exports"))
    scores = {}
    for model in (run, tmp_path / "alone"):
        config = EvaluateConfig(model=str(model), source=odd_tree, worst=0, quiet=True)
        scores[model.name] = json.loads((evaluate(config) / "metrics.json").read_text())
    predict(
        PredictConfig((str(odd_tree / "leftImg8bit/val"),), out=tmp_path / "masks", model=str(run))
    )
    matrix = matrix_of_files(
        odd_tree, tmp_path / "masks", SCHEMES["sky"], lambda path: read_mask(path) // 255
    )
    assert scores["run"]["confusion_matrix"] == matrix.tolist()
    assert scores["run"]["model_file"].endswith("model_f32_64x96.onnx")
    assert scores["alone"]["backend"] == "keras"
    assert scores["alone"]["confusion_matrix"] != matrix.tolist()


@pytest.mark.parametrize("scheme", ["sky", "cityscapes19"])
def test_the_records_protocol_squashes_photos_and_refines_none(odd_tree, tmp_path, scheme):
    """The integers that it always had, by numpy."""
    model = blue_model(tmp_path / "blue.onnx", scheme=scheme)
    config = EvaluateConfig(
        model=str(model), source=odd_tree, protocol="records", image_size=(64, 128), worst=0,
        quiet=True,
    )  # fmt: skip
    folder = evaluate(config)
    assert folder.name == "odd_val_64x128_records"
    scores = json.loads((folder / "metrics.json").read_text())
    runtime, classes = load_runtime(model), SCHEMES[scheme]
    matrix = np.zeros((classes.num_classes,) * 2, np.int64)
    for label in sorted(odd_tree.glob("gtFine/val/*/*_labelIds.png")):
        truth = class_id_table("labelIds", classes)[read_mask(label)]
        photo = read_image(
            str(label).replace("gtFine_labelIds", "leftImg8bit").replace("gtFine", "leftImg8bit")
        )
        probs = resize_probs(runtime(resize_image(photo, (64, 128))[None])[0], truth.shape)
        pred = (probs[..., 0] >= 0.5).astype(int) if scheme == "sky" else probs.argmax(-1)
        keep = truth != IGNORE
        np.add.at(matrix, (truth[keep], pred[keep]), 1)
    assert scores["confusion_matrix"] == matrix.tolist()
    assert "records protocol" in scores["protocol"]


def test_several_views_lose_no_detail_and_one_view_is_the_plain_road(tmp_path):
    runtime = load_runtime(blue_model(tmp_path / "blue.onnx", long_side=96))
    photo = np.random.default_rng(0).integers(0, 256, (201, 333, 3)).astype(np.uint8)
    plain = infer(runtime, [photo])
    assert plain.shape == (1, *runtime.size_for(201, 333), 1)
    np.testing.assert_array_equal(infer(runtime, [photo], Views()), plain)
    twice = Views((64, 96), scales=(0.5, 2.0))
    assert infer(runtime, [photo], twice).shape == (1, 128, 192, 1)
    assert infer(runtime, [photo], Views((192, 320), scales=(0.5, 2.0))).shape == (1, 201, 333, 1)
    np.testing.assert_array_equal(
        predict_image(runtime, photo, Views()).ids, predict_image(runtime, photo).ids
    )
