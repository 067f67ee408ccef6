import cv2
import numpy as np
import pytest

from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.masking import edge_models, refine
from skyseg_tf.scoring import metrics


def shrunk(truth, factor):
    """What a network would say: the truth, small, soft, without the thinnest things."""
    size = truth.shape[1] // factor, truth.shape[0] // factor
    small = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2)
    return 1 / (1 + np.exp(-10 * (small - 0.5)))


def bilinear(probs, shape):
    return cv2.resize(probs, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def scores(truth, sky):
    pred = (sky >= 0.5).astype(np.uint8)
    counts = metrics.boundary_counts(truth.astype(np.uint8), pred, tolerance=2)
    matrix = metrics.confusion_matrix(truth.astype(np.uint8), pred, 2)
    return metrics.iou(matrix)[1], metrics.boundary_f(counts)


def test_edges_of_drawn_streets_come_back():
    before, after = [], []
    for seed in (1, 5, 13):
        scene = draw_scene(seed, (512, 1024))
        truth = scene.label_ids == 23
        assert truth.mean() > 0.05
        probs = shrunk(truth, 8)
        before.append(scores(truth, bilinear(probs, truth.shape)))
        after.append(scores(truth, refine.refine(scene.image, probs)))
    (iou_before, edge_before), (iou_after, edge_after) = np.mean(before, 0), np.mean(after, 0)
    assert iou_after > iou_before + 0.01
    assert edge_after > edge_before + 0.2


def test_wires_that_the_network_lost_come_back():
    rng = np.random.default_rng(0)
    photo = np.full((1024, 1536, 3), (190, 215, 240), np.float32)
    photo += np.linspace(0, -40, 1024)[:, None, None]
    truth = np.ones(photo.shape[:2], bool)
    wires = np.zeros(photo.shape[:2], np.uint8)
    for y in (150, 320, 480):
        cv2.line(wires, (0, y), (1535, y + 90), 1, 2)
    photo[wires > 0] = (60, 60, 65)
    photo[800:] = (110, 90, 70)
    truth[800:] = False
    photo = np.clip(photo + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)
    probs = shrunk(truth, 4)
    assert (bilinear(probs, truth.shape)[wires > 0] > 0.9).all()
    sky = refine.refine(photo, probs)
    assert (sky[wires > 0] < 0.5).mean() > 0.95
    open_sky = cv2.dilate(wires, np.ones((7, 7))) == 0
    assert (sky[:780][open_sky[:780]] > 0.9).all()
    assert (sky[820:] < 0.1).all()


def test_clouds_stay_sky():
    rng = np.random.default_rng(0)
    clouds = cv2.GaussianBlur(rng.normal(size=(768, 1024)).astype(np.float32), (0, 0), 25)
    clouds = np.clip(clouds / clouds.std() + 0.5, 0, 1)[..., None]
    photo = (clouds * (235, 235, 240) + (1 - clouds) * (90, 140, 210)).astype(np.uint8)
    photo[600:] = (70, 80, 50)
    truth = np.ones(photo.shape[:2], bool)
    truth[600:] = False
    sky = refine.refine(photo, shrunk(truth, 4))
    assert scores(truth, sky)[0] > 0.995


@pytest.mark.parametrize("size", [(600, 800), (1, 1), (1, 900), (37, 1501), (1700, 611)])
def test_any_size_and_no_invented_sky(size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    probs = np.full((32, 64), 0.3, np.float32)
    sky = refine.refine(photo, probs)
    assert sky.shape == size
    assert sky.dtype == np.float32
    assert 0 <= sky.min() <= sky.max() <= 0.3 + 1e-6
    assert refine.refine(photo, np.zeros((32, 64), np.float32)).max() == 0


def test_even_photos_keep_their_probabilities():
    for value in (0, 128, 255):
        photo = np.full((900, 1200, 3), value, np.uint8)
        sky = refine.refine(photo, np.ones((30, 40), np.float32))
        np.testing.assert_allclose(sky, 1, atol=1e-3)


def test_tiles_join_without_a_seam(monkeypatch):
    scene = draw_scene(5, (512, 1024))
    photo = cv2.resize(scene.image, (1400, 703))
    probs = shrunk(scene.label_ids == 23, 8)
    tiled = refine.refine(photo, probs)
    monkeypatch.setattr(refine, "TILE", 1024)
    np.testing.assert_allclose(tiled, refine.refine(photo, probs), atol=0.15)
    monkeypatch.setattr(refine, "SURE", -1.0)  # every tile in full
    whole = refine.refine(photo, probs)
    monkeypatch.setattr(refine, "TILE", 8)
    np.testing.assert_allclose(refine.refine(photo, probs), whole, atol=1e-4)


def test_coefficients_are_those_of_ridge_regression():
    rng = np.random.default_rng(3)
    rgb = cv2.GaussianBlur(rng.random((60, 70, 3)).astype(np.float32), (0, 0), 2)
    probs = rng.random((60, 70)).astype(np.float32)
    radius = edge_models.RADIUS
    y, x = 2 * radius + 3, 2 * radius + 9  # all windows lie inside
    fits = []
    for v in range(y - radius, y + radius + 1):
        for u in range(x - radius, x + radius + 1):
            window = slice(v - radius, v + radius + 1), slice(u - radius, u + radius + 1)
            colors, values = rgb[window].reshape(-1, 3).astype(float), probs[window].ravel()
            centred = colors - colors.mean(0)
            matrix = centred.T @ centred / len(values) + edge_models.RIDGE * np.eye(3)
            a = np.linalg.solve(matrix, centred.T @ (values - values.mean()) / len(values))
            fits.append([*a, values.mean() - a @ colors.mean(0)])
    found = [plane[y, x] for plane in edge_models.guided_coefficients(rgb, probs)]
    np.testing.assert_allclose(found, np.mean(fits, 0), rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (4, 1), (2, 3), (1025, 1025)])
def test_no_pixel_is_surer_than_the_network_of_photos_of_any_size(size):
    """1025 = 64 tiles of 16 pixels and one: the last tile of both sides is a single pixel."""
    photo = np.full((*size, 3), (100, 150, 250), np.uint8)
    photo[::7, ::5] = (60, 60, 70)
    probs = np.full((32, 32), 0.9, np.float32)
    sky = refine.refine(photo, probs, threads=1)
    assert sky.shape == size
    assert 0 <= sky.min() <= sky.max() <= np.float32(0.9) + 1e-6


@pytest.mark.parametrize("size", [(1, 1), (300, 401), (1400, 703), (1025, 1025)])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_sky_alone_is_that_of_the_probabilities(size, threads):
    rng = np.random.default_rng(size[1])
    scene = draw_scene(5, (512, 1024))
    photo = cv2.resize(scene.image, size[::-1])
    cloudy = 0.7 + 0.3 * rng.random((24, 32), np.float32)  # about the threshold far from any edge
    probs = cloudy * cv2.resize(shrunk(scene.label_ids == 23, 8), (32, 24))
    expected = refine.refine(photo, probs)
    for threshold in (0, 0.05, 0.5, 0.85, 1):
        sky = refine.refined_sky(photo, probs, threshold, threads)
        assert sky.dtype == bool
        np.testing.assert_array_equal(sky, expected >= threshold)
