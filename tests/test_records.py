import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.data import records as rec
from skyseg_tf.data import rgb_stats as rs
from skyseg_tf.errors import InputError
from skyseg_tf.images import read_image, read_mask, resize_image, resize_mask
from skyseg_tf.labels import SCHEMES, decode_mask

STATS = dict(zip(rs._KEYS, (73.2, 82.9, 72.4, 44.9, 46.15, 45.3), strict=True))
SIZE = (32, 64)


@pytest.fixture(scope="module")
def infos(tree):
    return rec.extract_cityscape_data_info(tree, "train", scheme="cityscapes19")


def test_info_says_what_is_there(infos, tree):
    info = infos[0]
    assert {"image_path", "mask_path", "height", "width", "labels"} <= set(info)
    assert (info["height"], info["width"], info["image_depth"], info["mask_depth"]) == (
        96,
        192,
        3,
        1,
    )
    assert info["encoding"] == "labelIds"
    assert info["labels"][10] == "sky"
    assert len({info["name"] for info in infos}) == len(infos)


def test_order_follows_seed_and_names_alone(infos, tree, tmp_path):
    def names(root, seed):
        return [i["name"] for i in rec.extract_cityscape_data_info(root, "train", seed=seed)]

    (tmp_path / "moved").symlink_to(tree)
    assert names(tree, 0) == names(tmp_path / "moved", 0)
    assert names(tree, 0) != names(tree, 1)
    assert sorted(names(tree, 0)) == sorted(names(tree, 1))


@pytest.mark.parametrize("storage", rec.STORAGES)
def test_reading_back_gives_the_source(infos, tmp_path, storage):
    path = tmp_path / "x.tfrecord"
    scheme = SCHEMES["cityscapes19"]
    count = rec.write_tfrecord(
        infos[:3], path, rgb_data=STATS, storage=storage, size=SIZE, scheme="cityscapes19"
    )
    assert count == 3
    pairs = list(rec.read_tfrecord(path, rgb_data=STATS))
    for info, pair in zip(infos, pairs, strict=False):
        photo = resize_image(read_image(info["image_path"]), SIZE)
        image = pair["image"].numpy()
        assert image.dtype == np.float32
        if storage == "jpeg":
            error = rs.denormalize(image, STATS).astype(int) - photo
            assert np.abs(error).mean() < 6
        else:
            assert np.array_equal(image, rs.normalize(photo, STATS))
        stored = resize_mask(read_mask(info["mask_path"]), SIZE)
        assert np.array_equal(pair["mask"], decode_mask(stored, "labelIds", scheme, "x"))
        assert pair["name"].numpy().decode() == info["name"]


def test_jpeg_statistics_are_of_the_pixels_that_a_reader_gets(infos):
    image, mask = rec.load_pair(infos[0], SIZE, SCHEMES["sky"])
    encoded, seen = rec.stored_pixels(image, "jpeg")
    record = rec.encode_record(image, mask, "a", "jpeg", encoded=encoded)
    read = rec.parse_record(tf.constant(record), rec.RecordSpec("jpeg", SIZE))["image"]
    assert np.array_equal(read, seen[0])


@pytest.mark.parametrize("storage", ["normalized", "uint8", "png"])
def test_clips(tree, tmp_path, storage):
    infos = rec.extract_cityscape_data_info(tree, "val", frames=2)
    rec.write_tfrecord(infos, tmp_path / "c", rgb_data=STATS, storage=storage, size=SIZE)
    pair = next(iter(rec.read_tfrecord(tmp_path / "c", rgb_data=STATS)))
    assert pair["image"].shape == (2, *SIZE, 3)
    photo = resize_image(read_image(infos[0]["image_path"]), SIZE)
    assert np.array_equal(pair["image"][1], rs.normalize(photo, STATS))


def test_missing_frame_is_named(tree):
    with pytest.raises(InputError, match=r"leftImg8bit\.png.*frame missing"):
        rec.extract_cityscape_data_info(tree, "val", frames=4)


def test_records_are_the_bytes_that_protobuf_writes():
    rng = np.random.default_rng(0)
    for storage, frames, size in (
        ("uint8", 1, (3, 5)),
        ("normalized", 3, (90, 200)),
        ("png", 2, (9, 9)),
    ):
        image = rng.integers(0, 256, (frames, *size, 3), np.uint8)
        mask = rng.integers(0, 3, size, np.uint8)
        record = rec.encode_record(image, mask, "ä" * 200, storage, STATS)
        example = tf.train.Example.FromString(record)
        assert example.SerializeToString(deterministic=True) == record
        feature = example.features.feature
        assert list(feature["image_depth"].int64_list.value) == [3]
        assert list(feature["width"].int64_list.value) == [size[1]]
        assert feature["name"].bytes_list.value[0].decode() == "ä" * 200
        assert len(feature["image"].bytes_list.value) == frames


def test_errors(infos, tmp_path):
    with pytest.raises(InputError, match="need rgb_data"):
        rec.write_tfrecord(infos, tmp_path / "x")
    with pytest.raises(InputError, match="no such file of records"):
        rec.read_tfrecord(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"no record")
    with pytest.raises(InputError, match="record 0: cut off"):
        rec.read_tfrecord(tmp_path / "x")
    with pytest.raises(InputError, match=r"no dataset\.json there: .* its build has not finished"):
        rec.read_manifest(tmp_path)


def test_a_damaged_source_leaves_no_file(infos, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(infos[1]["image_path"]).read_bytes()[:900])
    broken = [infos[0], infos[1] | {"image_path": str(bad), "frame_paths": [str(bad)]}]
    with pytest.raises(InputError, match=r"bad\.png: the file is damaged"):
        rec.write_tfrecord(broken, tmp_path / "out" / "x", normalize=False, size=SIZE)
    assert list((tmp_path / "out").iterdir()) == []


def test_manifest_is_checked(records, tmp_path):
    text = (records / rec.MANIFEST).read_text()
    (tmp_path / rec.MANIFEST).write_text(text)
    with pytest.raises(InputError, match="missing or not"):
        rec.read_manifest(tmp_path)
    (tmp_path / rec.MANIFEST).write_text(json.dumps(json.loads(text) | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        rec.read_manifest(tmp_path)
    (tmp_path / rec.MANIFEST).write_text(text[:50])
    with pytest.raises(InputError, match="damaged"):
        rec.read_manifest(tmp_path)


def test_statistics_of_the_file_normalize_what_is_written(infos, tmp_path):
    rs.write_rgb_stats(tmp_path / "rgb_stats.json", STATS, split="train", pixels=7)
    rgb_data = rec.load_image_rgb_data(tmp_path / "rgb_stats.json")
    assert rgb_data == STATS
    rec.write_tfrecord(
        infos[:1], tmp_path / "x", rgb_data=rgb_data, normalize=True, size=SIZE,
        scheme="cityscapes19",
    )  # fmt: skip
    pair = next(iter(rec.read_tfrecord(tmp_path / "x", 3, 1, tf.float32)))
    photo = resize_image(read_image(infos[0]["image_path"]), SIZE)
    assert np.array_equal(pair["image"], rs.normalize(photo, STATS))


def test_wrong_statistics_are_one_line_and_leave_no_file(infos, tmp_path):
    path = tmp_path / "out" / "x"
    for given in (tmp_path / "rgb_stats.json", {"R_MEAN": 1.0}, STATS | {"R_STD": 0.0}):
        with pytest.raises(InputError, match="rgb_data"):
            rec.write_tfrecord(infos[:1], path, rgb_data=given, normalize=True, size=SIZE)
    with pytest.raises(InputError, match="no storage 'zip'"):
        rec.write_tfrecord(infos[:1], path, storage="zip", size=SIZE)
    assert not path.parent.exists()
