import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.data.augment import foreground, skies
from skyseg_tf.data.augment.mixing import make_mix, mix_skies
from skyseg_tf.data.augment.settings import Augmentation

SIZE = (48, 64)
STREET = np.float32([60, 70, 50])


@pytest.fixture
def scene():
    """(48, 64, 3) and sky (48, 64): flat street below row 24, a one-pixel pole at x = 30
    and a bare tree at x 40-56 in a blob of the mask, through which every other pixel is sky."""
    sky = np.zeros(SIZE, bool)
    sky[:24] = True
    image = np.where(sky[..., None], np.float32([150, 180, 230]), STREET)
    sky[6:24, 30], image[6:24, 30] = 0, STREET
    sky[6:24, 40:56], image[6:24, 40:56:2] = 0, STREET
    return image.astype(np.float32), sky


def rng():
    return np.random.default_rng((5, 6))


def test_matte_finds_the_skys_color_and_its_light_between_twigs(scene):
    matte = skies.sky_matte(*scene)
    assert matte.rows.start == 0
    np.testing.assert_allclose(
        matte.color[:24], scene[0][:1, :1].repeat(24, 0).repeat(64, 1), atol=3
    )
    alpha = matte.alpha
    assert alpha[:5].min() == 1
    assert alpha[30:].max() < 0.01
    assert alpha[8:16, 41:47:2].min() > 0.5  # sky through the tree
    assert alpha[8:16, 42:46:2].max() < 0.1  # its twigs


def test_replaced_sky_equals_the_composition():
    rng = np.random.default_rng(0)
    share = rng.uniform(0, 1, SIZE).astype(np.float32)
    old, new, thing = (rng.uniform(50, 200, (*SIZE, 3)).astype(np.float32) for _ in range(3))
    matte = skies.Matte(slice(0, SIZE[0]), share, np.zeros_like(share), old, share)
    alpha = share[..., None]
    replaced = skies.replace_sky(alpha * old + (1 - alpha) * thing, matte, new, 0.3)
    np.testing.assert_allclose(replaced, alpha * new + (1 - alpha) * thing, atol=1e-3)


def test_overexposed_sky_is_white_and_blooms_over_thin_things(scene):
    image, sky = scene
    white = skies.overexpose_sky(image, sky, level=260.0, bloom=0.3)
    assert white[:4].min() > 250
    # What is far from the sky stays; the pole is lighter than before, but not gone.
    np.testing.assert_allclose(white[36:], image[36:], atol=1)
    assert STREET[1] + 10 < white[12, 30, 1] < 220
    assert np.array_equal(np.argsort(white[12, 28:33, 1])[:1], [2])


def test_fog_after_koschmieder(scene):
    image, sky = scene
    foggy = skies.fog(image, sky, rng(), density=2.0, light=(200, 200, 200))
    assert np.abs(foggy[:5] - 200).max() < 1  # nothing of the sky is left
    # Clearer towards the camera, and the share that is left is within the patches' bounds.
    clear = (foggy - 200) / (image - 200)
    assert clear[26, 28:36].max() < clear[46, 28:36].min()
    assert clear[26, 28:36].max() < clear[26, :4].min()
    for row, x in ((26, 31), (26, 2), (36, 31), (47, 60)):
        nearness = max((row - 23) / 48, 0.6 * abs(x / 63 - 0.5))
        bounds = np.exp(-2 * 0.08 / (0.08 + nearness) * np.array([1.33, 0.67]))
        assert bounds[0] - 1e-3 <= clear[row, x].min() <= clear[row, x].max() <= bounds[1] + 1e-3


def test_night_darkens_the_sky_most(scene):
    image, sky = scene
    dark = skies.night(image, sky, rng(), light=0.3, glow=20.0)
    assert dark[:4].mean() < 40 < image[:4].mean()
    street = dark[30:].mean() / image[30:].mean()
    assert 0.25 < street < 1


def test_drawn_skies_differ_and_are_in_range():
    drawn = np.stack([skies.synthetic_sky(np.random.default_rng((5, i)), SIZE) for i in range(16)])
    assert drawn.shape == (16, *SIZE, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    means = drawn.mean((1, 2))
    assert np.ptp(means, axis=0).min() > 40
    assert np.unique(means.round(2), axis=0).shape[0] == 16


@pytest.fixture
def batch(scene):
    """Four scenes with skies of their own color, as class 10 of a mask with more classes."""
    colors = np.float32([[250, 250, 250], [90, 130, 220], [240, 170, 110], [120, 120, 130]])
    image, sky = scene
    is_sky = (image != STREET).any(-1)[..., None]
    images = np.stack([np.where(is_sky, color, image) for color in colors])
    masks = np.where(sky, 10, 2).astype(np.uint8)[None].repeat(4, 0)
    masks[:, -1] = 255
    return images.astype(np.float32), masks, colors


def mix(images, masks, **options):
    """Of photos (B, H, W, 3) or clips."""
    clips = images if images.ndim == 5 else images[:, None]
    return mix_skies(clips, masks, rng(), **options).reshape(images.shape)


def test_mixed_skies_are_those_of_other_pictures(batch):
    images, masks, colors = batch
    mixed = mix(images, masks, sky_class_id=10, chance=1.0, synthetic=0.0)
    for i, picture in enumerate(mixed):
        sky = picture[2:10, 4:24].mean((0, 1))
        nearest = int(np.argmin(np.abs(colors - sky).max(1)))
        assert nearest != i
        np.testing.assert_allclose(
            picture[2:10, 4:24], colors[nearest] * np.ones((8, 20, 1)), atol=4
        )
        # The light between the twigs has changed with the sky, the street has not.
        assert (
            np.abs(picture[10, 43] - colors[nearest]).max()
            < np.abs(picture[10, 43] - colors[i]).max()
        )
        np.testing.assert_allclose(picture[38:], images[i, 38:], atol=1)


def test_mixing_without_chance_changes_nothing(batch):
    images, masks, _ = batch
    mixed = mix(images, masks, sky_class_id=10, chance=0.0)
    assert np.array_equal(mixed, images)
    # Nor where there is no sky.
    mixed = mix(images, masks, sky_class_id=7, chance=1.0)
    assert np.array_equal(mixed, images)


def test_the_share_of_mixed_pictures_is_the_chance(batch):
    images, masks = batch[0][:, ::4, ::4].repeat(50, 0), batch[1][:, ::4, ::4].repeat(50, 0)
    mixed = mix(images, masks, sky_class_id=10, chance=0.3)
    changed = np.abs(mixed - images).max((1, 2, 3)) > 0
    assert changed.mean() == pytest.approx(0.3, abs=0.1)


def test_clips_get_one_sky_and_one_picture_a_drawn_one(batch):
    images, masks, _ = batch
    clips = np.stack([images, images], 1)
    options = {"sky_class_id": 10, "chance": 1.0}
    mixed = mix(clips, masks, **options)
    single = mix(images, masks, **options)
    np.testing.assert_allclose(mixed[:, 0], single, atol=1e-3)
    np.testing.assert_allclose(mixed[:, 1], single, atol=1e-3)
    alone = mix(images[:1], masks[:1], **options)
    assert np.abs(alone - images[:1])[:, :20].mean() > 5


def test_mixing_inside_tf_data_is_the_same(batch):
    images, masks, _ = batch
    effect, seed = make_mix(Augmentation(mix_skies=0.7), 10), (5, 6)
    dataset = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
    streamed, labels = next(iter(dataset.map(lambda *pair: effect(*pair, seed))))
    assert np.array_equal(labels, masks)
    assert np.abs(streamed - images).max() > 20
    assert np.array_equal(streamed, effect(images, masks, seed)[0])


def test_open_crowns_gives_the_sky_what_shines_through_trees(scene):
    """Twigs stay trees, and so does a pixel of the sky's color far from any sky."""
    image, sky = (x.copy() for x in scene)
    masks = np.where(sky, 10, 8).astype(np.uint8)
    image[-4:, 10:20] = [150, 180, 230]
    opened = foreground.label_sky_through_trees(image, masks, sky_class_id=10, tree_class_id=8)
    assert (opened[8:16, 41:47:2] == 10).all()
    assert (opened[8:16, 42:46:2] == 8).all()
    assert (opened[-4:] == 8).all()
    assert (opened[masks == 10] == 10).all()
    built = np.full_like(masks, 2)
    built[masks == 10] = 10
    unchanged = foreground.label_sky_through_trees(image, built, sky_class_id=10, tree_class_id=8)
    assert np.array_equal(unchanged, built)


def test_bare_trees_are_drawn_before_the_sky_and_marked():
    sky = np.zeros(SIZE, bool)
    sky[:30] = True
    image = np.where(sky[..., None], np.float32([240, 240, 240]), STREET)[None].repeat(2, 0)
    mask = np.where(sky, 10, 2).astype(np.uint8)
    changed = 0
    for number in range(8):
        made = foreground.draw_bare_trees(
            image, mask, np.random.default_rng((1, number)), sky_class_id=10, tree_class_id=8
        )
        pictures, marked = made
        assert np.array_equal(pictures[0], pictures[1])
        assert np.array_equal(pictures[:, ~sky], image[:, ~sky])
        assert np.array_equal(marked[~sky], mask[~sky])
        wood = (240 - pictures[0, ..., 0]) / 240  # at most: bark is not black
        assert (wood[marked == 8] > 0.25 * (1 - 95 / 240)).all()
        assert (wood[marked == 10] < 0.25).all()
        changed += (marked == 8).any()
    assert changed > 4


def test_a_pale_wall_stands_before_the_sky_under_a_roof():
    sky = np.zeros(SIZE, bool)
    sky[:40] = True
    image = np.where(sky[..., None], np.float32([240, 240, 240]), STREET)[None].repeat(2, 0)
    mask = np.where(sky, 10, 8).astype(np.uint8)
    seen = []
    for number in range(12):
        made = foreground.draw_pale_wall(
            image, mask, np.random.default_rng((1, number)), sky_class_id=10, wall_class_id=2
        )
        pictures, marked = made
        wall = marked == 2
        assert np.array_equal(pictures[:, ~wall], image[:, ~wall])
        assert np.array_equal(marked[~wall], mask[~wall])
        assert np.array_equal(pictures[0], pictures[1])
        assert 0 <= pictures.min() <= pictures.max() <= 255
        for column in wall[:40].T:  # nothing but wall below its roof
            assert not wall.any() or (np.diff(column.astype(int)) >= 0).all()
        seen.append(wall.mean())
        if wall.any():
            assert np.median(pictures[0][wall]) < 252
    assert np.mean(np.array(seen) > 0.05) > 0.5


def test_glare_brings_the_sky_to_its_level_and_leaves_the_night(scene):
    image, sky = scene
    light = image[sky].mean()
    assert skies.glare(image, sky, level=300.0) * light == pytest.approx(300, rel=0.01)
    assert skies.glare(image, sky, level=300.0, gain=1.2) * light == pytest.approx(300, rel=0.01)
    assert skies.glare(0.2 * image, sky, level=300.0) == 3
    assert skies.glare(0.05 * image, sky, level=300.0) == 1
