import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

from skyseg_tf.scoring import metrics


def random_masks(seed, shape=(3, 40, 50), classes=5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    truth[rng.random(shape) < 0.2] = 255
    pred = np.where(rng.random(shape) < 0.6, np.minimum(truth, classes - 1), 0).astype(np.uint8)
    return truth, pred


def test_confusion_matrix_equals_a_loop():
    truth, pred = random_masks(0)
    matrix = np.zeros((5, 5), np.int64)
    for t, p in zip(truth.ravel(), pred.ravel(), strict=True):
        if t != 255:
            matrix[t, p] += 1
    result = metrics.confusion_matrix(truth, pred, 5)
    assert result.dtype == np.int64
    assert np.array_equal(result, matrix)


def test_iou_equals_the_official_function():
    truth, pred = random_masks(1, classes=19)
    truth[truth == 7] = 255  # a class that truth lacks
    matrix = metrics.confusion_matrix(truth, pred, 19)
    by_label_id = np.zeros((34, 34), np.ulonglong)
    ids = [
        row.id for row in sorted(official.labels, key=lambda r: r.trainId) if 0 <= row.trainId < 19
    ]
    by_label_id[np.ix_(ids, ids)] = matrix
    args = official.args
    args.evalLabels = list(range(34))
    theirs = [official.getIouScoreForLabel(i, by_label_id, args) for i in ids]
    np.testing.assert_allclose(metrics.iou(matrix), theirs, rtol=1e-12, equal_nan=True)


def test_scores_of_a_known_matrix():
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    np.testing.assert_allclose(metrics.iou(matrix), [6 / 9, 3 / 6, np.nan])
    np.testing.assert_allclose(metrics.dice(matrix), [12 / 15, 6 / 9, np.nan])
    assert metrics.mean_iou(matrix) == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert metrics.pixel_accuracy(matrix) == pytest.approx(9 / 12)
    # One pixel is enough for a score.
    np.testing.assert_array_equal(metrics.iou(np.array([[1, 0], [0, 0]])), [1, np.nan])


def test_classes_that_no_pixel_has_keep_their_rows():
    truth = np.array([0, 0, 255, 1], np.uint8)
    matrix = metrics.confusion_matrix(truth, np.array([0, 1, 9, 1]), 7)
    assert matrix.shape == (7, 7)
    assert matrix[:2, :2].tolist() == [[1, 1], [0, 1]]
    assert matrix.sum() == 3


def test_nothing_labeled_gives_nan_not_an_error():
    truth = np.full((4, 4), 255, np.uint8)
    matrix = metrics.confusion_matrix(truth, np.zeros_like(truth), 2)
    assert matrix.sum() == 0
    assert np.isnan(metrics.mean_iou(matrix))
    assert np.isnan(metrics.pixel_accuracy(matrix))
    assert np.isnan(metrics.boundary_f(metrics.boundary_counts(truth, np.zeros_like(truth))))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.confusion_matrix(np.zeros((2, 2)), np.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="class id -1 with 2 classes"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([0, -1]), 2)
    for ids in ([0, 2], [1, 2]):  # the first id that is none: it would count for another class
        with pytest.raises(ValueError, match=r"class id 2 with 2 classes.*another scheme"):
            metrics.confusion_matrix(np.array(ids), np.array([0, 0]), 2)
        with pytest.raises(ValueError, match=r"class id 2 with 2 classes.*another scheme"):
            metrics.confusion_matrix(np.array([0, 0]), np.array(ids), 2)


def test_boundary_f():
    truth = np.zeros((40, 60), np.uint8)
    truth[:20] = 1
    shifted = {n: np.roll(truth, n, axis=0) for n in (0, 1, 2, 3)}
    for n, pred in shifted.items():
        pred[:n] = 1
        score = metrics.boundary_f(metrics.boundary_counts(truth, pred, tolerance=2))
        assert score == (1.0 if n <= 2 else 0.0)
    none = np.zeros_like(truth)
    assert metrics.boundary_f(metrics.boundary_counts(truth, none)) == 0.0
    # 3 of 4 predicted pixels lie near the truth, 6 of 12 true ones near the prediction.
    assert metrics.boundary_f(np.array([3, 4, 6, 12])) == pytest.approx(2 / (4 / 3 + 2))
    assert metrics.boundary_f(np.array([0, 4, 0, 0])) == 0.0


def test_boundary_does_not_count_the_edge_of_ignored_pixels():
    truth = np.zeros((40, 60), np.uint8)
    truth[:20] = 1
    truth[15:25] = 255
    assert metrics.boundary_counts(truth, np.ones_like(truth))[3] == 0


def horizon_masks(seed=0):
    rng = np.random.default_rng(seed)
    truth = (np.arange(30)[:, None] < 12 + 4 * np.sin(np.arange(44) / 5)).astype(np.uint8)
    pred = np.roll(truth, 2, axis=0) ^ (rng.random(truth.shape) < 0.05)
    truth[rng.random(truth.shape) < 0.05] = 255
    return truth, pred.astype(np.uint8)


def slow_edges(region, valid):
    """Pixels of a region with a valid 4-neighbour outside it."""
    height, width = region.shape
    return [
        (y, x)
        for y, x in np.argwhere(region)
        if any(
            0 <= v < height and 0 <= u < width and valid[v, u] and not region[v, u]
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]


def test_boundary_at_several_tolerances_equals_a_loop():
    truth, pred = horizon_masks()
    found = metrics.boundary_counts(truth, pred, tolerance=(1, 2, 4))
    assert found.shape == (3, 4)
    valid = truth != 255
    true = slow_edges(valid & (truth == 1), valid)
    predicted = slow_edges(valid & (pred == 1), valid)
    distance = np.hypot(
        *(np.subtract.outer(np.array(predicted)[:, i], np.array(true)[:, i]) for i in (0, 1))
    )
    for row, limit in zip(found, (1, 2, 4), strict=True):
        near = distance <= limit
        expected = [near.any(1).sum(), len(predicted), near.any(0).sum(), len(true)]
        assert row.tolist() == expected
        assert np.array_equal(row, metrics.boundary_counts(truth, pred, tolerance=limit))


def test_trimap_equals_a_loop():
    truth, pred = horizon_masks(1)
    valid = truth != 255
    edge = np.array(
        slow_edges(valid & (truth == 1), valid) + slow_edges(valid & (truth != 1), valid)
    )
    for width, matrix in zip((2, 5), metrics.trimap_matrices(truth, pred, 1, (2, 5)), strict=True):
        expected = np.zeros((2, 2), int)
        for (y, x), value in np.ndenumerate(truth):
            if value != 255 and np.hypot(*(edge - (y, x)).T).min() + 0.5 <= width:
                expected[value, pred[y, x]] += 1
        assert np.array_equal(matrix, expected)
    no_sky = np.zeros_like(truth)
    assert metrics.trimap_matrices(no_sky, pred, 1, (2, 5)).sum() == 0
    straight = np.repeat([[1], [0]], 10, axis=0).repeat(6, axis=1).astype(np.uint8)
    rows = {0.5: 1, 2: 2, 2.5: 3, 5: 5}  # on either side, whose centres are 0.5, 1.5 ... away
    bands = metrics.trimap_matrices(straight, straight, 1, tuple(rows))
    for count, matrix in zip(rows.values(), bands, strict=True):
        assert np.array_equal(matrix, np.eye(2) * 6 * count)


def test_calibration_equals_a_loop():
    truth, _ = horizon_masks(2)
    prob = np.random.default_rng(2).random(truth.shape)
    prob[0, :5] = 1.0
    counts = metrics.calibration_counts(truth, prob, 1, bins=10)
    expected = np.zeros((10, 3))
    for value, p in zip(truth.ravel(), prob.ravel(), strict=True):
        if value != 255:
            expected[min(int(p * 10), 9)] += (1, p, value == 1)
    np.testing.assert_allclose(counts, expected, rtol=1e-12)
    gaps = np.abs(expected[:, 1] - expected[:, 2]) / expected[:, 0]
    error = (gaps * expected[:, 0]).sum() / expected[:, 0].sum()
    assert metrics.calibration_error(counts) == pytest.approx(error)
    # Of two pixels said to be sky with 0.75, one is: off by 0.25.
    two = metrics.calibration_counts(np.array([[1, 0]]), np.full((1, 2), 0.75))
    assert metrics.calibration_error(two) == pytest.approx(0.25)
    assert np.isnan(metrics.calibration_error(np.zeros((5, 3))))


def test_group_iou_of_a_known_matrix():
    matrix = np.array([[5, 2, 1], [1, 4, 0], [3, 0, 7]])
    # Classes 0 and 1 together: 12 pixels right, 1 missed, 3 false.
    np.testing.assert_allclose(metrics.group_iou(matrix, [[0, 1], [2]]), [12 / 16, 7 / 11])
