import numpy as np
import pytest
from cityscapesscripts.helpers import labels as official

from skyseg_tf.errors import InputError
from skyseg_tf.labels import (
    CITYSCAPES_LABELS,
    ENCODINGS,
    IGNORE,
    LABEL_ID,
    SCHEMES,
    class_id_table,
    class_ids,
    decode_mask,
    guess_encoding,
    is_color,
)


def test_label_table_is_the_official_one():
    ours = {
        row.id: (row.name, row.train_id, row.category, row.has_instances, row.color)
        for row in CITYSCAPES_LABELS
    }
    theirs = {
        row.id: (row.name, row.trainId, row.category, row.hasInstances, row.color)
        for row in official.labels
        if row.id >= 0
    }
    assert ours == theirs


def test_sky_scheme_ignores_void_and_keeps_every_other_label():
    table = class_id_table("labelIds", SCHEMES["sky"])
    assert table[23] == 1
    assert (table[:7] == IGNORE).all()
    assert (table[[*range(7, 23), *range(24, 34)]] == 0).all()


def test_streets11_counts_other_labels_as_void_and_ignores_the_unlabeled():
    scheme = SCHEMES["streets11"]
    table = class_id_table("labelIds", scheme)
    assert scheme.num_classes == 11
    assert (table[:4] == IGNORE).all()
    assert scheme.class_names[table[25]] == "person"  # rider
    assert [scheme.class_names[table[i]] for i in (4, 8, 21, 23)] == ["void"] * 4


def test_cityscapes19_follows_the_train_ids():
    table = class_id_table("labelIds", SCHEMES["cityscapes19"])
    for row in CITYSCAPES_LABELS:
        assert table[row.id] == row.train_id


def test_idd7_takes_in_cityscapes_labels_and_idd_masks_alike():
    scheme = SCHEMES["idd7"]
    label_ids = np.array([[LABEL_ID[name] for name in ("road", "terrain", "rider", "bicycle")]])
    assert decode_mask(label_ids.astype(np.uint8), "labelIds", scheme, "x").tolist() == [
        [0, 1, 2, 3]
    ]
    stored = np.array([[0, 1, 2, 3, 4, 5, 6, 255]], np.uint8)
    assert np.array_equal(decode_mask(stored, "idd7", scheme, "x"), stored)
    assert decode_mask(stored, "idd7", SCHEMES["sky"], "x").tolist() == [[0] * 6 + [1, 255]]
    with pytest.raises(InputError, match="divides what they call 'drivable'"):
        decode_mask(stored, "idd7", SCHEMES["cityscapes19"], "x")
    voids = [row.name for row in CITYSCAPES_LABELS if row.category == "void"]
    assert sorted([*voids, *sum(scheme.members, ())]) == sorted(LABEL_ID)


def test_camvid11_keeps_the_ids_of_the_segnet_copy():
    scheme = SCHEMES["camvid11"]
    stored = np.arange(12, dtype=np.uint8)[None]
    assert decode_mask(stored, "camvid11", scheme, "x").tolist() == [[*range(11), 255]]
    names = ("sky", "rider", "traffic light", "terrain")
    label_ids = np.array([[LABEL_ID[name] for name in names]], np.uint8)
    assert decode_mask(label_ids, "labelIds", scheme, "x").tolist() == [[0, 10, 6, 255]]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=str)
def test_train_ids_and_colors_mean_the_same_as_label_ids(scheme):
    evaluated = [row for row in CITYSCAPES_LABELS if row.train_id != IGNORE]
    label_ids = np.array([[row.id for row in evaluated]], np.uint8)
    wanted = decode_mask(label_ids, "labelIds", scheme, "x")
    train_ids = np.array([[row.train_id for row in evaluated]], np.uint8)
    colors = np.array([[row.color for row in evaluated]], np.uint8)
    assert np.array_equal(decode_mask(train_ids, "trainIds", scheme, "x"), wanted)
    assert np.array_equal(decode_mask(colors, "color", scheme, "x"), wanted)


def test_unknown_values_name_file_value_and_count():
    mask = np.array([[23, 77], [77, 7]], np.uint8)
    with pytest.raises(InputError, match=r"street\.png: unknown class id 77 in 2 pixels"):
        decode_mask(mask, "labelIds", SCHEMES["sky"], "street.png")
    with pytest.raises(InputError, match="divides what they call 'not sky'"):
        decode_mask(mask, "binary255", SCHEMES["cityscapes19"], "street.png")


def test_class_ids_of_scores():
    probs = np.array([[[0.49], [0.5], [0.51]]], np.float32)
    assert class_ids(probs).tolist() == [[0, 1, 1]]
    assert class_ids(probs, 0.51).tolist() == [[0, 0, 1]]
    logits = np.array([-1e-3, 0, 2], np.float32)[:, None]
    assert class_ids(logits, threshold=0).tolist() == class_ids(1 / (1 + np.exp(-logits))).tolist()
    many = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    assert class_ids(many).tolist() == [1, 0]  # of equals the first
    assert class_ids(many).dtype == class_ids(probs).dtype == np.uint8


def test_the_scheme_decides_what_is_sky_and_what_pictures_show():
    sky, city = SCHEMES["sky"], SCHEMES["cityscapes19"]
    assert (sky.shown_classes, city.shown_classes) == ((1,), tuple(range(19)))
    assert sky.shown_palette[:2].tolist() == [[0, 0, 0], [70, 130, 180]]
    assert np.array_equal(city.shown_palette, city.palette)
    assert sky.decision(0.7) == "sky where p >= 0.7"
    assert city.decision(0.7) == SCHEMES["streets11"].decision(refined=True)
    assert city.decision(refined=True) == "sky where its refined p >= 0.5, else largest probability"
    probs = np.zeros((3, 19), np.float32)
    probs[:, [2, 10]] = [[0.45, 0.4], [0.4, 0.45], [0.1, 0.9]]
    assert city.class_ids(probs).tolist() == [2, 10, 10]
    assert city.class_ids(probs, sky=probs[:, 10]).tolist() == [2, 2, 10]  # against all together
    assert city.class_ids(probs, 0.4, probs[:, 10]).tolist() == [10, 10, 10]
    assert sky.class_ids(probs[:, [10]], 0.45).tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_every_encoding_says_of_itself(name):
    """Its values, all of them together, never tell another encoding, and give sky in scheme sky."""
    stored = ENCODINGS[name]
    assert all(0 <= value <= 255 for value in stored.names)
    assert "sky" in stored.names.values()
    assert "sky" in stored.about
    values = None if is_color(name) else set(stored.names)
    assert guess_encoding(values) in (name, None)
    table = class_id_table(name, SCHEMES["sky"])
    assert {table[value] for value in stored.names} >= {0, 1}
