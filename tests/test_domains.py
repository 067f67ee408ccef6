"""benchmarks/domains.py: which photos are for learning and which for scoring, and the crops of them."""

import sys

import numpy as np
import pytest
from drawn_trees import flat
from drawn_trees import write_mask as draw_mask
from drawn_trees import write_photo as draw_photo

from benchmarks import domains
from skyseg_tf.data.photos import LabeledPhoto
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.images import read_image, read_mask
from skyseg_tf.labels import IGNORE, LABEL_ID


def names(pairs):
    return {pair.name for pair in pairs}


def test_frames_of_one_flight_are_all_learned_from_or_all_scored(tmp_path):
    flights = [f"{flight}-{frame}" for flight in ("a1", "a2", "b1", "b2") for frame in range(3)]
    train, unseen = map(names, domains.split_pairs(flat(tmp_path, flights)))
    assert unseen == {"b1-0", "b1-1", "b1-2"}  # a third
    assert train == set(flights) - unseen


def test_splits_of_a_dataset_stay_as_they_are(tmp_path):
    flat(tmp_path, ("a", "b"), "train")
    flat(tmp_path, ("c",), "val")
    train, unseen = map(names, domains.split_pairs(tmp_path))
    assert (train, unseen) == ({"a", "b"}, {"c"})


@pytest.mark.parametrize("size", [(480, 640), (100, 90), (240, 700)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_crop_takes_the_mask_along(size, turned):
    """Sky is what is bright, wherever it goes; void stays void."""
    truth = np.zeros(size, np.uint8)
    truth[: size[0] // 2] = 1
    image = np.repeat(200 * truth[..., None], 3, axis=2)
    truth[:, size[1] // 3 : size[1] // 2] = IGNORE
    rng, seen = np.random.default_rng(0), set()
    for _ in range(8):
        crop, mask = domains.crop(LabeledPhoto("one", image, truth), rng, turned)
        assert crop.shape == (*domains.SIZE, 3)
        assert mask.shape == domains.SIZE
        known = mask != IGNORE
        assert ((crop[..., 0] > 100) == mask)[known].mean() > 0.97  # but for blended edges
        seen |= {int(value) for value in np.unique(mask)}
    assert seen == {0, 1, IGNORE}


def test_crops_are_a_dataset_of_cityscapes_layout(tmp_path):
    tree, out = tmp_path / "my_photos", tmp_path / "out"
    for number, name in enumerate(("a", "b", "c")):
        draw_photo(tree / "images" / f"{name}.jpg", number, (60, 80))
        draw_mask(tree / "masks" / f"{name}.png", (0, 255), (60, 80))
    counts = domains.write_crops(tree, 2, out, np.random.default_rng(1))
    assert counts == {"train": 4, "val": 1}
    pairs = find_pairs(out)
    assert [(pair.split, pair.name.split("_")[0]) for pair in pairs] == [
        *[("train", "myphotos")] * 4,
        ("val", "myphotos"),
    ]
    for pair in pairs:
        image, mask = read_image(pair.image), read_mask(pair.mask)
        assert image.shape[:2] == mask.shape == domains.SIZE
        assert set(np.unique(mask)) == {LABEL_ID["building"], LABEL_ID["sky"]}
    again = tmp_path / "again"
    domains.write_crops(tree, 2, again, np.random.default_rng(1))
    for path in out.rglob("*.png"):
        assert path.read_bytes() == (again / path.relative_to(out)).read_bytes()


@pytest.mark.parametrize("words", ["photos", "photos:", ":2", "photos:two"])
def test_a_tree_without_its_number_of_crops_is_refused(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["domains.py", words, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        domains.main()
    assert f"{words}: say how many crops of each photo, as in " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
