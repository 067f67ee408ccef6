"""Damaged records and manifests end in one line that names file and record."""

import json
import shutil
import struct
from hashlib import sha256

import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data import framing, integrity, scanning
from skyseg_tf.data import records as rec
from skyseg_tf.data.photos import photos_of_records
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.errors import InputError

SIZE = (32, 64)


@pytest.fixture
def folder(records, tmp_path):
    """Records of its own, to be damaged."""
    return shutil.copytree(records, tmp_path / "sky")


def shard_of(folder, split="train", number=1):
    return folder / rec.read_manifest(folder).splits[split].shards[number].file


def examples(path):
    return [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_checksums_are_those_of_tensorflow(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        writer.write(b"abc" * 100)
    content = (tmp_path / "x").read_bytes()
    assert framing._masked_crc(content[:8]) == struct.unpack("<I", content[8:12])[0]
    assert framing._masked_crc(content[12:-4]) == struct.unpack("<I", content[-4:])[0]


def absurd_length(content):
    header = struct.pack("<Q", 1 << 60)
    return header + struct.pack("<I", framing._masked_crc(header)) + content[12:]


DAMAGES = {
    "flipped in the image": (
        lambda c: c[:500] + bytes([c[500] ^ 1]) + c[501:],
        r"record 0 \('.+_000019'\): its bytes do not fit their checksum",
    ),
    "flipped in the length": (lambda c: b"\x01" + c[1:], "record 0: its length is damaged"),
    "absurd length": (absurd_length, "record 0: has a length of 1152921504606846976 bytes"),
    "zero-filled": (lambda c: bytes(len(c)), "record 0: its length is damaged"),
    "end zero-filled": (lambda c: c[:-100] + bytes(100), "its bytes do not fit their checksum"),
    "truncated": (lambda c: c[:-100], "beyond the file's end"),
    "cut in the header": (lambda c: c[:7], "record 0: cut off"),
    "empty": (lambda c: b"", "no records in it"),
    "longer": (lambda c: c + b"more", "cut off"),
    "another kind": (lambda c: b"\x89PNG" + c[4:], "record 0: its length is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_its_record(folder, damage):
    change, message = DAMAGES[damage]
    path = shard_of(folder)
    content = change(path.read_bytes())
    was = path.stat().st_size
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"{path.name}: .*{message}.*skyseg (build|verify)"
    ) as error:
        for _ in rec.read_tfrecord(path):
            pass
    one_line(error)
    same_size = len(content) == was
    said = rf"{message}.*verify .*--repair" if same_size else "missing or not"
    with pytest.raises(InputError, match=rf"{path.name}: .*{said}") as error:
        make_dataset(folder, "train", 2)
    one_line(error)


def rewritten(folder, path, change, consistent=True):
    """Changes the first record of a file; the manifest goes along, but for the digest."""
    found = examples(path)
    change(found[0].features.feature)
    rec.write_records(path, [one.SerializeToString(deterministic=True) for one in found])
    manifest = json.loads((folder / rec.MANIFEST).read_text())
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            if shard["file"] == path.name:
                shard["bytes"] = path.stat().st_size
                if consistent:
                    shard["sha256"] = sha256(path.read_bytes()).hexdigest()
    (folder / rec.MANIFEST).write_text(json.dumps(manifest))


def set_bytes(key, value):
    def change(feature):
        feature[key].bytes_list.value[:] = value

    return change


def set_number(key, value):
    def change(feature):
        feature[key].int64_list.value[:] = [value]

    return change


CONTENTS = {
    "image missing": (lambda f: f.pop("image"), "no uint8 picture of the size"),
    "mask missing": (lambda f: f.pop("mask"), "no uint8 picture of the size"),
    "image too short": (set_bytes("image", [b"123"]), "no uint8 picture of the size"),
    "mask too long": (set_bytes("mask", [bytes(5000)]), "no uint8 picture of the size"),
    "two frames": (set_bytes("image", [bytes(32 * 64 * 3)] * 2), "no uint8 picture of the size"),
    "another storage": (set_bytes("storage", [b"png"]), "is not stored as uint8"),
    "another height": (set_number("height", 64), "height is 64, not 32"),
    "no name": (lambda f: f.pop("name"), "has no name"),
    "a class too many": (
        set_bytes("mask", [bytes([77]) + bytes(32 * 64 - 1)]),
        "class id 77 in 1 pixel, where there are only 2 classes",
    ),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_record_of_wrong_content_is_named(folder, content):
    change, message = CONTENTS[content]
    path = shard_of(folder)
    rewritten(folder, path, change, consistent=False)
    with pytest.raises(InputError, match=rf"{path.name}: record 0.*{message}") as error:
        make_dataset(folder, "train", 2)
    one_line(error)


@pytest.mark.parametrize("storage", ["png", "jpeg"])
@pytest.mark.parametrize("key", ["image", "mask"])
def test_damaged_pictures_inside_are_named_while_streaming(tree, tmp_path, storage, key):
    out = tmp_path / "r"
    build(BuildConfig(out=out, source=tree, image_size=SIZE, storage=storage, quiet=True))
    path = shard_of(out)

    def cut(feature):
        data = feature[key].bytes_list.value[0]
        feature[key].bytes_list.value[:] = [data[: len(data) // 2]]

    rewritten(out, path, cut)  # the manifest's digest fits: only decoding tells
    for dataset in (make_dataset(out, "train", 2), make_dataset(out, "train", 2).take(99)):
        with pytest.raises(InputError, match=rf"{path.name}: record 0 \('.*no {storage} picture"):
            list(dataset)
    with pytest.raises(InputError, match=rf"{path.name}: record 0 .*no {storage} picture"):
        list(rec.read_tfrecord(path).batch(1).as_numpy_iterator())


def test_exchanged_files_are_named(folder):
    first, second = shard_of(folder), shard_of(folder, "val", 0)
    content = first.read_bytes(), second.read_bytes()
    assert len(examples(first)) == len(examples(second)) == 1
    first.write_bytes(content[1])
    second.write_bytes(content[0])
    manifest = json.loads((folder / rec.MANIFEST).read_text())
    for split in manifest["splits"].values():  # names of another length
        for shard in split["shards"]:
            shard["bytes"] = (folder / shard["file"]).stat().st_size
    (folder / rec.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"{first.name}: not the file that was built.*exchanged"):
        make_dataset(folder, "train", 2)
    with pytest.raises(InputError, match=rf"{second.name}: not the file that was built"):
        make_dataset(folder, "val", 2)


def test_a_file_that_changes_under_a_training_is_named(folder):
    path = shard_of(folder)
    dataset = make_dataset(folder, "train", 2)
    content = path.read_bytes()
    path.write_bytes(content[:300] + b"\xff" + content[301:])
    with pytest.raises(InputError, match=rf"{path.name}: record 0.*checksum"):
        list(dataset)
    network = tf.keras.Sequential([tf.keras.layers.Conv2D(1, 1)])
    network.compile("sgd", "mse")
    with (
        pytest.raises(InputError, match=rf"{path.name}: record 0.*checksum") as error,
        integrity.naming_damage(folder),
    ):
        network.fit(dataset, verbose=0)
    one_line(error)
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}: missing"):
        list(dataset)


def test_other_errors_of_tensorflow_pass(folder):
    with pytest.raises(tf.errors.InvalidArgumentError), integrity.naming_damage(folder):
        tf.reshape(tf.zeros(3), (2, 2))


def test_what_is_whole_goes_through(folder):
    dataset = make_dataset(folder, "train", 4, shuffle=True)
    count = rec.read_manifest(folder).splits["train"].count
    assert int(dataset.cardinality()) == len(list(dataset)) == -(-count // 4)
    assert sum(len(masks) for _, masks in dataset.map(lambda x, y: (x, y)).prefetch(1)) == count
    assert integrity.find_damage(scanning.record_files(folder, rec.read_manifest(folder))) is None


def manifest_with(folder, **changes):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    (folder / rec.MANIFEST).write_text(json.dumps(raw | changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("\x00\x01", "not JSON"),
        ("[1]", "no JSON object"),
        ("{}", "schema version None, this program reads 1 to 2"),
        ('{"schema_version": 3}', "schema version 3"),
        ('{"schema_version": true}', "schema version True"),
        ('{"schema_version": 1}', "'scheme' is missing"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deep|not JSON"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, text, message):
    (tmp_path / rec.MANIFEST).write_text(text)
    with pytest.raises(
        InputError, match=rf"dataset\.json: .*{message}.*build the records"
    ) as error:
        rec.read_manifest(tmp_path)
    one_line(error)


def test_a_manifest_in_another_charset_or_of_absurd_size(tmp_path, monkeypatch):
    (tmp_path / rec.MANIFEST).write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(InputError, match="not JSON"):
        rec.read_manifest(tmp_path)
    monkeypatch.setattr("skyseg_tf.files.json_file.MAX_BYTES", 1000)
    (tmp_path / rec.MANIFEST).write_text(" " * 1001)
    with pytest.raises(InputError, match="larger than"):
        rec.read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", [10**9, 10**9]),
        ("image_size", [32, -64]),
        ("image_size", [32]),
        ("image_size", "32x64"),
        ("image_size", [True, 64]),
        ("frames", 0),
        ("frames", 1.5),
        ("storage", "zip"),
        ("storage", ["png"]),
        ("class_names", {}),
        ("scheme", "../own.json"),
        ("scheme", 5),
        ("scheme", {"classes": 5}),
        ("scheme", {"classes": [{"name": 5, "labels": 3, "color": "x"}] * 2}),
        ("scheme", {"name": "a", "classes": [{"name": "sky", "labels": ["sky"], "color": [1]}]}),
        ("image_depth", 4),
        ("mask_depth", 3),
        ("image_dtype", "float16"),
        ("layout", None),
        ("source_sha256", 5),
        ("rgb_stats", None),
        ("rgb_stats", {"R_MEAN": float("nan")}),
        ("splits", []),
        ("splits", {"train": 5}),
        ("splits", {}),
        ("seed", "0"),
        ("encoding", None),
        ("encoding", [[0, "ground"], [1]]),
        ("encoding", [[0, "ground"], [256, "sky"]]),
        ("surprise", 1),
    ],
)
def test_a_field_that_means_nothing(folder, field, value):
    manifest_with(folder, **{field: value})
    with pytest.raises(InputError, match=rf"dataset\.json.*{field}|dataset\.json.*train") as error:
        rec.read_manifest(folder)
    assert "build the records again" in one_line(error)


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "..", "", 5, "x\n", "C:\\x"])
def test_files_outside_the_folder_are_refused(folder, file):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    raw["splits"]["train"]["shards"][0]["file"] = file
    manifest_with(folder, **raw)
    with pytest.raises(
        InputError, match=r"'train': shard 0: 'file' is .* the name of a file in this"
    ):
        rec.read_manifest(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", 0), ("bytes", 0), ("bytes", 2.0), ("sha256", "0" * 63), ("sha256", "0" * 65),
     ("sha256", "g" * 64), ("sha256", "A" * 64), ("sha256", "0" * 64 + "\n"), ("sha256", None)],
)  # fmt: skip
def test_facts_of_a_file_that_cannot_be(folder, field, value):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    raw["splits"]["val"]["shards"][0][field] = value
    manifest_with(folder, **raw)
    message = rf"split 'val': shard 0: '{field}' is .*build the records again"
    with pytest.raises(InputError, match=message):
        rec.read_manifest(folder)


def test_one_file_of_two_splits_is_refused(folder):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    raw["splits"]["copy"] = raw["splits"]["val"]
    manifest_with(folder, **raw)
    with pytest.raises(InputError, match="names one file of records twice"):
        rec.read_manifest(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", -1), ("count", 10**9), ("class_pixels", [-5, 3]), ("class_pixels", [1]),
     ("ignored_pixels", -1), ("ignored_pixels", None), ("shards", [])],
)  # fmt: skip
def test_counts_that_cannot_be(folder, field, value):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    raw["splits"]["val"][field] = value
    manifest_with(folder, **raw)
    with pytest.raises(InputError, match=r"dataset\.json: split 'val': .*build the records again"):
        rec.read_manifest(folder)


def test_old_notebooks_may_say_depths_and_dtype(folder):
    path = shard_of(folder)
    for dtype in ("uint8", np.uint8, tf.uint8, np.dtype("uint8")):
        assert len(list(rec.read_tfrecord(path, 3, 1, dtype))) == 1
    assert len(list(rec.read_tfrecord(path, image_depth=3, mask_depth=1, image_dtype=None))) == 1
    for told, message in (
        ({"image_depth": 1}, "image_depth is 3 there, not 1"),
        ({"mask_depth": 3}, "mask_depth is 1 there, not 3"),
        ({"image_dtype": "float32"}, "image_dtype is uint8 there, not float32"),
        ({"image_dtype": "colour"}, "no dtype"),
    ):
        with pytest.raises(InputError, match=rf"{path.name}: {message}|{message}"):
            rec.read_tfrecord(path, **told)


def test_evaluation_names_the_damage(folder):
    path = shard_of(folder, "val", 0)
    content = path.read_bytes()
    path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    with pytest.raises(InputError, match=rf"{path.name}: record 0.*checksum"):
        photos_of_records(folder, "val")
    assert len(list(photos_of_records(folder, "train"))) == 13
