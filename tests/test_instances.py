import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import args as official_args
from drawn_trees import zipped
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.labels import SCHEMES
from skyseg_tf.scoring.instances import (
    MEAN_SIZE,
    instance_categories,
    instance_classes,
    instance_counts,
    read_instances,
)


def test_mean_sizes_are_the_official_ones():
    assert official_args.avgClassSize == MEAN_SIZE


def test_what_is_countable():
    names = SCHEMES["cityscapes19"].class_names
    assert [names[i] for i in instance_classes(SCHEMES["cityscapes19"])] == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip
    assert set(instance_categories(SCHEMES["cityscapes19"])) == {"human", "vehicle"}
    assert instance_classes(SCHEMES["sky"]) == []
    names = SCHEMES["streets11"].class_names  # its person takes in riders, its void all sorts
    assert {names[i] for i in instance_classes(SCHEMES["streets11"])} == {
        "person", "car", "motorcycle", "bicycle", "truck", "bus",
    }  # fmt: skip


def test_counts_of_known_instances():
    """Two cars, of 4 and 2 pixels; a group of cars and a caravan count for nothing."""
    instances = np.array([[26000, 26000, 26999, 26], [26000, 26000, 26999, 29000]])
    car, truck, person = 13, 14, 11
    pred = np.array([[car, truck, person, car], [car, car, car, car]], np.uint8)
    by_class, by_category = instance_counts(instances, pred, SCHEMES["cityscapes19"])
    size = MEAN_SIZE["car"]
    np.testing.assert_allclose(by_class[car], [4, 2, 3 * size / 4 + size / 2, size / 4 + size / 2])
    np.testing.assert_allclose(by_category[car], [5, 1, 4 * size / 4 + size / 2, size / 2])
    assert by_class.sum() == pytest.approx(by_class[car].sum())


def test_files_beside_the_mask(tree, tmp_path):
    paths = sorted((tree / "gtFine" / "train").rglob("*_labelIds.png"))
    found = [read_instances(path) for path in paths]
    path, found = max(zip(paths, found, strict=True), key=lambda pair: pair[1].max())
    stored = np.asarray(Image.open(str(path).replace("labelIds", "instanceIds")))
    assert stored.max() > 1000
    assert np.array_equal(found, stored)
    zipped(tree, tmp_path / "zips")
    member = f"{tmp_path}/zips/gtFine_trainvaltest.zip!{path.relative_to(tree).as_posix()}"
    assert np.array_equal(read_instances(member), stored)
    assert read_instances(tmp_path / "mask.png") is None
    assert read_instances(tmp_path / "ulm_000000_000019_gtFine_labelIds.png") is None
    broken = tmp_path / "ulm_000000_000019_gtFine_instanceIds.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a readable image"):
        read_instances(tmp_path / "ulm_000000_000019_gtFine_labelIds.png")


def test_unknown_label_is_named():
    with pytest.raises(InputError, match="no Cityscapes label 99"):
        instance_counts(np.array([[99001]]), np.zeros((1, 1), np.uint8), SCHEMES["cityscapes19"])
