import cv2
import numpy as np

from skyseg_tf.compositing.matting import sky_matte

OLD, BRANCH = np.array([235, 240, 245.0]), np.array([50, 40, 30.0])


def bare_tree() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twigs before a pale sky, the sky's true share of each pixel, and what a network makes of it:
    all of the crown is half sky and half not."""
    fine = np.zeros((480, 640), np.uint8)
    for x in range(200, 460, 18):
        cv2.line(fine, (330, 470), (x, 120), 255, 5, cv2.LINE_AA)
    wood = cv2.resize(fine, (160, 120), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    share = 1 - wood
    photo = share[..., None] * OLD + wood[..., None] * BRANCH
    seen = cv2.GaussianBlur(1 - cv2.dilate(wood, np.ones((9, 9))), None, 4)
    return photo.round().astype(np.uint8), share, np.clip(seen, 0, 1).astype(np.float32)


def test_the_gaps_of_a_crown_are_sky_and_its_twigs_are_not():
    photo, share, seen = bare_tree()
    alpha, front = sky_matte(photo, seen)
    assert np.abs(seen - share).mean() > 0.1  # what there is to mend
    assert np.abs(alpha - share).mean() < 0.05
    wooden = alpha < 0.9
    assert np.abs(front[wooden] - BRANCH).mean() < 60
    # Over a dark sky hardly anything of the pale one is left.
    dark = np.array([20, 30, 70.0])
    truth = share[..., None] * dark + (1 - share[..., None]) * BRANCH
    result = alpha[..., None] * dark + (1 - alpha[..., None]) * front
    assert np.abs(result - truth).mean() < 10
    assert (np.abs(result - truth).max(-1) > 60).mean() < 0.06


def test_walls_of_the_skys_color_stay():
    photo = np.full((160, 200, 3), OLD, np.uint8)
    photo[80:, :, :] = (236, 239, 243)  # a white wall before a white sky
    sky = np.zeros((160, 200), np.float32)
    sky[:80] = 1
    alpha, front = sky_matte(photo, sky)
    assert (alpha[:79] == 1).all()
    assert (alpha[82:] == 0).all()
    np.testing.assert_allclose(front[82:], photo[82:], atol=1)


def test_clouds_of_any_color_are_sky():
    rng = np.random.default_rng(0)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, (160, 200)).astype(np.float32), None, 6)
    photo = np.full((160, 200, 3), (80, 130, 220), np.uint8)
    photo[clouds > 0.03] = (250, 250, 250)
    alpha, _ = sky_matte(photo, np.ones((160, 200), np.float32))
    assert (alpha == 1).all()
