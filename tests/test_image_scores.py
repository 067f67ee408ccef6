import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label, trainId2label
from official_evaluation import run_official
from PIL import Image

from skyseg_tf.labels import SCHEMES, decode_mask
from skyseg_tf.scoring import metrics
from skyseg_tf.scoring.evaluation import Evaluation, score_image
from skyseg_tf.scoring.instances import read_instances
from skyseg_tf.scoring.intervals import confidence_intervals, intervals_in_words
from skyseg_tf.scoring.submission import write_submission

SCHEME = SCHEMES["cityscapes19"]
SIZE = (60, 90)


def blobs(rng, ids):
    """Regions of random ids with curved borders."""
    noise = cv2.GaussianBlur(rng.random(SIZE).astype(np.float32), (0, 0), 6)
    order = np.argsort(np.argsort(noise.ravel())) * 12 // noise.size
    return rng.choice(ids, 12)[order].reshape(SIZE).astype(np.uint8)


def with_instances(rng, label_ids):
    """instanceIds: every connected region of a countable label, some of them as a group."""
    instances = label_ids.astype(np.int32)
    for label in np.unique(label_ids):
        if not id2label[int(label)].hasInstances:
            continue
        number, regions = cv2.connectedComponents((label_ids == label).astype(np.uint8))
        for k in range(1, number):
            if rng.random() < 0.8:
                instances[regions == k] = int(label) * 1000 + k - 1
    return instances


def written_case(kind, root):
    """Truths with void labels and without some classes, and predictions of one kind."""
    rng = np.random.default_rng(len(kind))
    labels = [i for i in range(34) if i not in (25, 31)]  # no rider, no train
    pairs = []
    for i in range(4):
        truth = blobs(rng, [*labels, 24, 26, 26, 28, 33])
        folder = root / "gtFine" / "val" / "ulm"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"ulm_{i:06d}_000019"
        path = folder / f"{name}_gtFine_labelIds.png"
        Image.fromarray(truth).save(path)
        instances = with_instances(rng, truth)
        Image.fromarray(instances.astype(np.uint16)).save(folder / f"{name}_gtFine_instanceIds.png")
        classes = decode_mask(truth, "labelIds", SCHEME, "truth")
        shifted = np.roll(np.where(classes == 255, 0, classes), (2, 3), (0, 1)).astype(np.uint8)
        pred = {
            "random": rng.integers(0, 19, SIZE).astype(np.uint8),
            "structured": np.where(rng.random(SIZE) < 0.1, 12, shifted).astype(np.uint8),
            "one class": np.full(SIZE, 13, np.uint8),
            "perfect": np.where(classes == 255, 11, classes).astype(np.uint8),
        }[kind]
        write_submission(root / "results", name, pred, SCHEME)
        pairs.append((path, classes, pred))
    return pairs


@pytest.mark.parametrize("kind", ["random", "structured", "one class", "perfect"])
def test_equal_to_cityscapes_scripts(kind, tmp_path, monkeypatch):
    pairs = written_case(kind, tmp_path)
    theirs, stats = run_official(monkeypatch, [path for path, _, _ in pairs], tmp_path / "results")
    sky_prob = np.zeros(SIZE)
    ours = Evaluation(
        [
            score_image(path.name, truth, pred, sky_prob, SCHEME, read_instances(path))
            for path, truth, pred in pairs
        ],
        SCHEME,
        "test",
    )
    ids = [trainId2label[i].id for i in range(19)]
    assert np.array_equal(np.array(theirs["confMatrix"])[np.ix_(ids, ids)], ours.total.matrix)
    scores = ours.scores
    compare(scores["iou"], theirs["classScores"])
    compare(scores["iiou"], theirs["classInstScores"])
    compare(scores["category_iou"], theirs["categoryScores"])
    compare(scores["category_iiou"], theirs["categoryInstScores"])
    for key, their_key in (
        ("mean_iou", "averageScoreClasses"),
        ("mean_iiou", "averageScoreInstClasses"),
        ("mean_category_iou", "averageScoreCategories"),
        ("mean_category_iiou", "averageScoreInstCategories"),
    ):
        assert scores[key] == pytest.approx(theirs[their_key], rel=1e-12), key
    assert len(scores["iiou"]) == 8
    for name, pixels in scores["instance_pixels"].items():
        assert (pixels["found"], pixels["missed"]) == tuple(
            stats["classes"][name][key] for key in ("tp", "fn")
        )
    for category, counts in stats["categories"].items():
        rows = ours.total.instances[1][SCHEME.categories[category]]
        assert (rows[:, 0].sum(), rows[:, 1].sum()) == (counts["tp"], counts["fn"])
    if kind == "perfect":
        assert scores["mean_iou"] == scores["mean_iiou"] == scores["mean_category_iiou"] == 1


def compare(ours, theirs):
    known = {name: value for name, value in theirs.items() if not np.isnan(value)}
    assert known.keys() == {name for name, value in ours.items() if not np.isnan(value)}
    for name, value in known.items():
        assert ours[name] == pytest.approx(value, rel=1e-12), name


# --- sky ---


def sky_images(count, seed=0, size=(40, 50)):
    """Photos of one horizon each; the prediction lies a few rows off."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(count):
        horizon, rows = rng.integers(10, 30), np.arange(size[0])[:, None]
        truth = np.broadcast_to(rows < horizon, size).astype(np.uint8).copy()
        truth[rng.random(size) < 0.05] = 255
        pred = np.broadcast_to(rows < horizon + rng.integers(-4, 5), size).astype(np.uint8)
        images.append(score_image(f"photo {i}", truth, pred, pred * 0.8 + 0.1, SCHEMES["sky"]))
    return images


def test_false_sky_in_photos_without_sky():
    truth, pred = np.zeros((2, 20, 20), np.uint8)
    truth[:, :5] = 255
    pred[:3, :] = 1  # 3 rows of 15 counted pixels are false
    scheme = SCHEMES["sky"]
    clean = score_image("clean", truth, np.zeros_like(pred), pred * 0.0, scheme)
    dirty = score_image("dirty", truth, pred, pred * 1.0, scheme)
    unlabeled = score_image("unlabeled", np.full_like(truth, 255), pred, pred * 1.0, scheme)
    evaluation = Evaluation([clean, dirty, unlabeled, *sky_images(3)], scheme, "test")
    without = evaluation.scores["sky"]["photos_without_sky"]
    assert without["images"] == 2
    assert without["false_sky_share"] == pytest.approx(45 / 600)
    assert without["worst_share"] == pytest.approx(45 / 300)
    assert without["images_above_1_percent"] == 1
    assert evaluation.scores["sky"]["image_iou"]["images"] == 3


def test_figures_of_a_photo_by_hand():
    truth, pred = np.zeros((2, 4, 5), np.uint8)
    truth[:2], truth[0, 0], pred[:3] = 1, 255, 1  # of 19 pixels 9 are sky, and 5 more are called so
    image = score_image("a", truth, pred, pred * 0.8 + 0.1, SCHEMES["sky"])
    evaluation = Evaluation([image], SCHEMES["sky"], "test")
    (row,) = evaluation.image_rows()
    assert (row["name"], row["pixels"]) == ("a", 19)
    wanted = {
        "pixel_accuracy": 14 / 19,
        "sky_iou": 9 / 14,
        "mean_iou": (9 / 14 + 5 / 10) / 2,
        "sky_share": 9 / 19,
        "predicted_sky_share": 14 / 19,
        "calibration_error": (0.9 * 14 - 9 + 0.1 * 5) / 19,
        "boundary_f_2px": 1,
    }
    assert {key: row[key] for key in wanted} == pytest.approx(wanted)
    sky = evaluation.scores["sky"]
    found = [sky[key] for key in ("iou", "dice", "precision", "recall")]
    assert found == pytest.approx([9 / 14, 18 / 23, 9 / 14, 1])


def test_a_class_that_no_photo_shows_has_no_interval():
    mask = np.zeros((6, 6), np.uint8)
    image = score_image("a", mask, mask, np.zeros((6, 6)), SCHEME)
    evaluation = Evaluation([image] * 3, SCHEME, "test")
    found = confidence_intervals(evaluation, 20)
    assert found["iou"]["road"] == [1, 1]
    assert np.isnan(found["iou"]["car"]).tolist() == [True, True]


def test_sky_of_a_scheme_with_more_classes():
    """Sky scores of 19 classes are those of the same masks as sky and not sky."""
    rng = np.random.default_rng(0)
    truth, pred = rng.integers(0, 19, (2, 30, 40)).astype(np.uint8)
    truth[:12], pred[:14], truth[20:22] = 10, 10, 255
    prob = rng.random((30, 40))
    many = Evaluation([score_image("a", truth, pred, prob, SCHEME)], SCHEME, "test").scores

    def sky_only(mask):
        return np.where(mask == 255, 255, mask == 10).astype(np.uint8)

    two = Evaluation(
        [score_image("a", sky_only(truth), sky_only(pred), prob, SCHEMES["sky"])],
        SCHEMES["sky"], "test",
    ).scores  # fmt: skip
    assert repr(many["sky"]) == repr(two["sky"])  # NaN equals NaN so
    assert two["sky"]["iou"] == two["iou"]["sky"] == many["iou"]["sky"]


def test_streets11_has_no_sky_and_no_categories():
    mask = np.random.default_rng(0).integers(0, 11, (20, 20)).astype(np.uint8)
    scores = Evaluation(
        [score_image("a", mask, mask, None, SCHEMES["streets11"])], SCHEMES["streets11"], "test"
    ).scores
    assert "sky" not in scores
    assert "category_iou" not in scores
    assert scores["mean_iou"] == 1


def test_bootstrap_is_that_of_a_loop_over_photos():
    images = sky_images(12)
    evaluation = Evaluation(images, SCHEMES["sky"], "test")
    found = confidence_intervals(evaluation, 200, seed=5)
    draws = np.random.default_rng(5).multinomial(12, [1 / 12] * 12, 200)
    values = []
    for draw in draws:
        drawn = [images[i] for i in range(12) for _ in range(draw[i])]
        values.append(metrics.mean_iou(sum(image.matrix for image in drawn)))
    np.testing.assert_allclose(found["mean_iou"], np.percentile(values, [2.5, 97.5]), rtol=1e-12)
    scores = evaluation.scores
    for (low, high), value in (
        (found["mean_iou"], scores["mean_iou"]),
        (found["iou"]["sky"], scores["iou"]["sky"]),
        (found["pixel_accuracy"], scores["pixel_accuracy"]),
        (found["boundary_f"]["2"], scores["sky"]["boundary_f"]["2"]),
    ):
        assert low < value < high
    same = confidence_intervals(Evaluation([images[0]] * 5, SCHEMES["sky"], "test"), 50)
    assert same["mean_iou"][0] == same["mean_iou"][1] == metrics.mean_iou(images[0].matrix)


def test_intervals_are_told_in_a_line():
    found = confidence_intervals(Evaluation(sky_images(12), SCHEMES["sky"], "test"), 200)
    (low, high), edges = found["iou"]["sky"], found["boundary_f"]["2"]
    told = intervals_in_words(found, SCHEMES["sky"])
    assert told.startswith("95% of 200 resamples of the photos: mean IoU 0.")
    assert told.endswith(
        f", sky IoU {low:.4f} to {high:.4f}, boundary F at 2 px {edges[0]:.4f} to {edges[1]:.4f}"
    )


def test_rows_name_their_protocol():
    evaluation = Evaluation(sky_images(3), SCHEMES["sky"], "val of somewhere")
    rows = evaluation.class_rows(), evaluation.image_rows()
    assert all(row["protocol"] == "val of somewhere" for part in rows for row in part)
    assert [row["name"] for row in rows[1]] == ["photo 0", "photo 1", "photo 2"]
    total = evaluation.total.matrix
    assert [row["true_pixels"] for row in rows[0]] == total.sum(1).tolist()
    assert all(len(set(map(len, part))) == 1 for part in rows)
