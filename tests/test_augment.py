import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.data.augment.camera import make_augment
from skyseg_tf.data.augment.chances import draw_numbers, strengths_of
from skyseg_tf.data.augment.mixing import make_mix
from skyseg_tf.data.augment.presets import AUGMENTATIONS, DESCRIPTIONS
from skyseg_tf.data.augment.settings import RANGES, Augmentation, Classes, Range
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.errors import InputError
from skyseg_tf.labels import IGNORE, LABEL_ID, SCHEMES

SKY = Classes(sky=1)
ALL = dataclasses.replace(
    AUGMENTATIONS["strong"],
    new_sky=1.0,
    glare=1.0,
    **{name: getattr(AUGMENTATIONS["strong"], name)._replace(chance=1.0) for name in RANGES},
)
QUIET = dataclasses.replace(ALL, noise=Range(0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def scene():
    """A drawn photo (64, 96, 3), and its mask: sky 1, the rest 0, some pixels ignored."""
    drawn = draw_scene(5, (64, 96))
    mask = (drawn.label_ids == LABEL_ID["sky"]).astype(np.uint8)
    mask[-4:] = IGNORE
    assert 0.1 < (mask == 1).mean() < 0.7
    return tf.constant(drawn.image, tf.float32), tf.constant(mask)


def stream(scene, augment, count, threads=2):
    """(image, mask) of `count` seeds, as numpy, made inside tf.data."""
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([3, tf.cast(i, tf.int32)]))
    dataset = seeds.map(lambda seed: augment(*scene, seed), num_parallel_calls=threads)
    return list(dataset.as_numpy_iterator())


def test_without_augmentation_nothing_happens(scene):
    image, mask = make_augment("none", SKY)(*scene, tf.constant([3, 4]))
    assert np.array_equal(image, scene[0])
    assert np.array_equal(mask, scene[1])


def test_flip_mirrors_half_of_the_pictures_and_nothing_else(scene):
    made = stream(scene, make_augment("flip", SKY), 20)
    mirrored = [np.array_equal(mask, np.asarray(scene[1])[:, ::-1]) for _, mask in made]
    assert 4 < sum(mirrored) < 16
    for (image, mask), turned in zip(made, mirrored, strict=True):
        step = -1 if turned else 1
        np.testing.assert_allclose(image, np.asarray(scene[0])[:, ::step], atol=0.01)
        assert np.array_equal(mask, np.asarray(scene[1])[:, ::step])


@pytest.mark.parametrize("settings", [AUGMENTATIONS["default"], ALL], ids=["default", "all"])
def test_pictures_stay_pictures_and_masks_keep_their_ids(scene, settings):
    augment = make_augment(settings, SKY)
    made = stream(scene, augment, 12)
    for image, mask in made:
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 255
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 1, IGNORE}
    assert len({image.tobytes() for image, _ in made}) == 12
    for i in (2, 5):  # the same seed gives the same picture, eagerly too
        image, mask = augment(*scene, tf.constant([3, i]))
        assert np.array_equal(mask, made[i][1])
        assert np.array_equal(image, made[i][0])


def test_the_same_seed_is_the_same_picture_to_the_bit(scene):
    augment = make_augment("strong", SKY)
    first, second = (stream(scene, augment, 8, threads) for threads in (1, 4))
    for (image, mask), (again, mask_again) in zip(first, second, strict=True):
        assert np.array_equal(image, again)
        assert np.array_equal(mask, mask_again)


def test_bytes_stay_bytes_and_are_the_same_picture(scene):
    augment = make_augment("strong", SKY)
    for i in range(4):
        image, mask = augment(tf.cast(scene[0], augment.dtype), scene[1], (3, i))
        assert image.dtype == tf.uint8
        expected, labels = augment(*scene, (3, i))
        assert np.array_equal(image, expected)
        assert np.array_equal(mask, labels)


def test_the_graph_is_small_and_the_given_picture_is_left_alone(scene):
    """Making a graph of hundreds of ops took seconds in each epoch of each training."""
    augment, before = make_augment(ALL, SKY), [part.numpy().copy() for part in scene]
    graph = tf.function(augment).get_concrete_function(*scene, tf.constant([3, 4])).graph
    assert len(graph.get_operations()) < 20
    stream(scene, augment, 4)
    assert all(np.array_equal(now, then) for now, then in zip(scene, before, strict=True))


def test_image_and_mask_move_together():
    # A picture that shows its mask, so that it is seen whether they move together.
    blocks = np.random.default_rng(0).integers(0, 2, (8, 12)).astype(np.uint8)
    mask = np.kron(blocks, np.ones((8, 8), np.uint8))
    image = np.repeat(255.0 * mask[..., None], 3, -1).astype(np.float32)
    settings = Augmentation(
        flip=0.5, scales=Range(0.5, 2.0), angle=Range(-20.0, 20.0), perspective=Range(-0.3, 0.3)
    )
    for moved, labels in stream(
        (tf.constant(image), tf.constant(mask)), make_augment(settings), 16
    ):
        seen = labels != IGNORE
        assert seen.mean() > 0.1
        assert ((moved[..., 0] > 127) == (labels == 1))[seen].mean() > 0.97


@pytest.mark.parametrize("name", ["gamma", "saturation"])
def test_strengths_are_uniform_between_a_half_and_three_halves(name):
    draws = (draw_numbers(np.int32([1, i])) for i in range(400))
    drawn = np.sort([strengths_of(draw, AUGMENTATIONS["default"])[name] for draw in draws])
    # Kolmogorov-Smirnov: 1.63 / sqrt(400) is passed by 99 % of uniform samples.
    assert np.abs(drawn - np.linspace(0.5, 1.5, 400)).max() < 1.63 / 20
    assert (drawn.min(), drawn.max()) == pytest.approx((0.5, 1.5), abs=0.02)


def test_gamma_reaches_the_pixels_as_drawn():
    grey = tf.fill((16, 16, 3), 127.5)
    mask = tf.zeros((16, 16), tf.uint8)
    augment = make_augment(Augmentation(gamma=Range(0.5, 1.5)))
    values = np.array([image[0, 0, 0] for image, _ in stream((grey, mask), augment, 50)])
    exponents = np.log(values / 255) / np.log(0.5)
    assert (exponents.min(), exponents.max()) == pytest.approx((0.5, 1.5), abs=0.1)


def test_effects_happen_as_often_as_they_should():
    settings = Augmentation(brightness=Range(10.0, 10.0, 0.3), noise=Range(5.0, 5.0, 0.0))
    grey = tf.fill((8, 8, 3), 100.0)
    made = stream((grey, tf.zeros((8, 8), tf.uint8)), make_augment(settings), 200)
    values = np.array([image.mean() for image, _ in made])
    assert np.isclose(values[:, None], [100, 110], atol=0.01).any(1).all()
    assert (values > 105).mean() == pytest.approx(0.3, abs=0.1)


def test_scales_are_those_given(scene):
    for scale, ignored in ((0.5, 0.75), (2.0, 0.0)):
        augment = make_augment(Augmentation(scales=Range(scale, scale)))
        for seed in range(3):
            _, mask = augment(scene[0], tf.zeros_like(scene[1]), tf.constant([seed, 0]))
            assert (mask.numpy() == IGNORE).mean() == pytest.approx(ignored, abs=0.03)


def test_an_enlarged_picture_fills_the_frame_wherever_it_lies():
    settings = Augmentation(scales=Range(2.0, 2.0), angle=Range(0.0, 0.0))
    image, mask = np.zeros((64, 96, 3), np.float32), np.arange(96, dtype=np.uint8)
    image[..., 0] = np.arange(64)[:, None]
    scene = tf.constant(image), tf.constant(np.tile(mask, (64, 1)))
    made = stream(scene, make_augment(settings), 60)
    assert max((mask == IGNORE).mean() for _, mask in made) < 0.03
    tops, lefts = (
        np.array(ends) for ends in zip(*((i[0, 0, 0], m[0, 2]) for i, m in made), strict=True)
    )
    for starts, room in ((tops, 32), (lefts, 48)):  # of 64 rows and 96 columns half are seen
        assert starts.min() < 0.15 * room
        assert starts.max() > 0.85 * room


def test_tints_lie_around_grey():
    grey = tf.fill((16, 16, 3), 100.0), tf.zeros((16, 16), tf.uint8)
    made = stream(grey, make_augment(Augmentation(tint=Range(0.1, 0.1))), 60)
    gains = np.array([image[0, 0] for image, _ in made]) / 100 - 1
    assert np.abs(gains).max() <= 0.1 + 0.006  # rounded to bytes
    assert (gains.min(0) < -0.07).all()
    assert (gains.max(0) > 0.07).all()


def test_skies_of_clips_are_mixed_as_those_of_photos(scene):
    images = tf.stack([scene[0], scene[0][:, ::-1], 255 - scene[0]])
    masks = tf.stack([scene[1], scene[1][:, ::-1], scene[1]])
    mix = make_mix(Augmentation(mix_skies=1.0), 1)
    photos, same = mix(images, masks, tf.constant([3, 4]))
    assert not np.array_equal(photos, images)
    assert np.array_equal(same, masks)
    clips, _ = mix(tf.stack([images, images], 1), masks, tf.constant([3, 4]))
    assert np.array_equal(clips[:, 0], photos)
    assert np.array_equal(clips[:, 1], photos)


def test_frames_of_a_clip_are_treated_alike(scene):
    image, mask = scene
    clips = stream((tf.stack([image, image, image]), mask), make_augment(QUIET, SKY), 3)
    photos = stream(scene, make_augment(QUIET, SKY), 3)
    for (made, moved), (single, mask_of_single) in zip(clips, photos, strict=True):
        assert made.shape == (3, 64, 96, 3)
        assert np.array_equal(made[0], made[1])
        assert np.array_equal(made[0], made[2])
        assert np.abs(made[0] - single).mean() < 0.05
        assert np.array_equal(moved, mask_of_single)


def test_the_sky_is_left_alone_where_no_class_is_the_sky(scene):
    weather = Augmentation(
        new_sky=1.0, night=Range(0.2, 0.2), fog=Range(2.0, 2.0), overexposed_sky=Range(250.0, 250.0)
    )
    image, _ = make_augment(weather)(*scene, tf.constant([3, 1]))
    np.testing.assert_allclose(image, scene[0], atol=0.05)
    image, _ = make_augment(weather, SKY)(*scene, tf.constant([3, 1]))
    assert np.abs(image - scene[0]).mean() > 20


@pytest.mark.parametrize("field", ["pale_walls", "bare_trees"])
def test_what_stands_before_some_skies(field):
    """The photo is all sky, so that nothing else than what is drawn can be of another class."""
    sky = tf.fill((64, 96, 3), 230.0), tf.fill((64, 96), np.uint8(1))
    settings, classes = Augmentation(**{field: 0.3}), Classes(1, 0, 0)
    made = stream(sky, make_augment(settings, classes, open_trees=field == "bare_trees"), 40)
    drawn = [(mask == 0).any() for _, mask in made]
    assert 4 < sum(drawn) < 20
    for (image, mask), there in zip(made, drawn, strict=True):
        assert (image.min() < 215) == there
        assert set(np.unique(mask)) == ({0, 1} if there else {1})
    if field == "bare_trees":  # labels that fill crowns would contradict them
        closed = stream(sky, make_augment(settings, classes), 20)
        assert all((mask == 1).all() for _, mask in closed)


def test_crowns_are_opened_after_glare():
    """A twig half before a grey sky is dark; the longer exposure leaves of it what was darkest."""
    image = np.full((64, 96, 3), 150, np.float32)
    mask = np.full((64, 96), 1, np.uint8)
    image[10:20, 20:60], mask[10:20, 20:60] = 85, 2
    image[10:20, 30:50] = 20
    pair = tf.constant(image), tf.constant(mask)
    classes, seed = Classes(sky=1, trees=2), tf.constant([3, 4])
    _, dull = make_augment(Augmentation(), classes, open_trees=True)(*pair, seed)
    assert np.array_equal(dull, mask)
    settings = Augmentation(glare=1.0)
    bright, opened = make_augment(settings, classes, open_trees=True)(*pair, seed)
    assert bright.numpy()[40:].min() == 255
    assert (opened.numpy()[12:18, 32:48] == 2).all()


def test_classes_that_the_augmentation_knows():
    found = {name: Classes.of(scheme) for name, scheme in SCHEMES.items()}
    assert found == {
        "sky": Classes(1, 0, None),
        "streets11": Classes(None, 2, None),
        "cityscapes19": Classes(10, 2, 8),
        "idd7": Classes(6, 5, None),
        "camvid11": Classes(0, 1, 5),
    }


def test_presets():
    with pytest.raises(InputError, match="no augmentation 'wild': there are none, flip, light"):
        make_augment("wild")
    with pytest.raises(InputError, match="no augmentation"):
        make_mix("wild", 1)
    assert make_mix("none", 1) is None
    assert make_mix("default", None) is None
    assert make_mix("default", 1) is not None
    assert DESCRIPTIONS.keys() == AUGMENTATIONS.keys()
    for settings in (AUGMENTATIONS[name] for name in ("light", "default", "strong")):
        assert settings.gamma == settings.saturation == Range(0.5, 1.5, 1.0)
    assert AUGMENTATIONS["strong"].scales == Range(0.5, 2.0, 1.0)
