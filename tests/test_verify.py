"""`skyseg verify`: what is wrong with records is found, named, refused by readers, and repaired."""

import json
import os
import re
import shutil
import struct
from hashlib import sha256
from pathlib import Path

import drawn_trees as trees
import numpy as np
import pytest
import tensorflow as tf

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data import records as rec
from skyseg_tf.data.framing import _masked_crc
from skyseg_tf.data.photos import photos_of_records
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.verification import damaged_records, verify_records
from skyseg_tf.errors import InputError
from skyseg_tf.verify import main

TRAIN, VAL = "train-00000-of-00002.tfrecord", "val-00000-of-00002.tfrecord"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("source") / "tree"
    for seed in range(9):
        trees.add_scene(root, "train" if seed < 5 else "val", f"c{seed}", seed)
    return root


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "r"
    build(BuildConfig(out=out, source=source, image_size=trees.SIZE, storage="uint8", shards=2,
                      quiet=True))  # fmt: skip
    return out


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "r")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit_manifest(folder, change):
    raw = json.loads((folder / rec.MANIFEST).read_text())
    change(raw)
    (folder / rec.MANIFEST).write_text(json.dumps(raw))


def edit_record(folder, change, file=TRAIN, signed=False):
    """Changes the second record of a shard, checksums included; `signed`: and the manifest's."""
    path = folder / file
    found = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    change(found[1].features.feature)
    rec.write_records(path, [one.SerializeToString(deterministic=True) for one in found])

    def sign(raw):
        for split in raw["splits"].values():
            for shard in split["shards"]:
                if shard["file"] == file:
                    shard["bytes"] = path.stat().st_size
                    shard["sha256"] = sha256(path.read_bytes()).hexdigest()

    if signed:
        edit_manifest(folder, sign)


def flip(folder, at=400):
    data = bytearray((folder / TRAIN).read_bytes())
    data[at] ^= 1
    (folder / TRAIN).write_bytes(data)


def swap(folder, a=TRAIN, b="train-00001-of-00002.tfrecord"):
    first, second = (folder / a).read_bytes(), (folder / b).read_bytes()
    (folder / a).write_bytes(second)
    (folder / b).write_bytes(first)


def pipe(folder):
    """Whoever opens it waits for ever."""
    (folder / TRAIN).unlink()
    os.mkfifo(folder / TRAIN)


def absurd_length(folder):
    header = struct.pack("<Q", 1 << 60)
    header += struct.pack("<I", _masked_crc(header))
    (folder / TRAIN).write_bytes(header + (folder / TRAIN).read_bytes()[12:])


def set_bytes(key, value):
    def change(feature):
        feature[key].bytes_list.value[:] = [value]

    return change


PIXELS = trees.SIZE[0] * trees.SIZE[1]
ZEROS = set_bytes("image", bytes(3 * PIXELS))
SECOND = r"1 +c\d_00000\d_000019 +"  # record and photo, as the table has them
# What is done to a folder, what the table says, and what a reader of the split says.
CORPUS = {
    "flipped byte": (
        flip, rf"{TRAIN} +0 +c\d_\S+ +its bytes do not fit", rf"{TRAIN}: record 0 \('c\d",
    ),
    "swapped shards": (
        swap, rf"{TRAIN} .*holds what train-00001-of-00002.tfrecord should", "another SHA-256|not",
    ),
    "zeroed pixels, right checksum": (
        lambda f: edit_record(f, ZEROS), rf"{TRAIN} .*another SHA-256", f"{TRAIN}: .*another SHA",
    ),
    "class id, right digest": (
        lambda f: edit_record(f, set_bytes("mask", bytes([9]) * PIXELS), signed=True),
        rf"{TRAIN} +{SECOND}its mask holds class id 9 in {PIXELS} pixels",
        rf"{TRAIN}: record 1 \('c\d.*class id 9",
    ),
    "shape, right digest": (
        lambda f: edit_record(f, set_bytes("image", b"123"), signed=True),
        rf"{TRAIN} +{SECOND}its image or mask is no uint8 picture",
        rf"{TRAIN}: record 1 \('c\d.*no uint8 picture",
    ),
    "zeroed pixels, right digest": (
        lambda f: edit_record(f, ZEROS, signed=True), "'rgb_stats': R_MEAN is .*, measured", None,
    ),
    "another mask, right digest": (
        lambda f: edit_record(f, set_bytes("mask", bytes(PIXELS)), signed=True),
        r"dataset.json .*split 'train': 'class_pixels' is \[.*, counted \[", None,
    ),
    "a name twice, right digest": (
        lambda f: edit_record(f, lambda feature: feature["name"].bytes_list.value.__setitem__(
            0, rec_name(f, 0)), signed=True),
        rf"{TRAIN} +{SECOND}the split 'train' has it already: {TRAIN}, record 0", None,
    ),
    "absurd length": (absurd_length, f"{TRAIN} +0 .*length of 1152921504606846976 bytes",
                      f"{TRAIN}: record 0: has a length"),
    "cut off": (
        lambda f: (f / TRAIN).write_bytes((f / TRAIN).read_bytes()[:-5]),
        f"{TRAIN} +1 +- +has a length", f"{TRAIN}: missing or not",
    ),
    "longer": (
        lambda f: (f / TRAIN).write_bytes((f / TRAIN).read_bytes() + b"x"),
        f"{TRAIN} .*cut off", f"{TRAIN}: missing or not",
    ),
    "missing": (lambda f: (f / TRAIN).unlink(), f"{TRAIN} .*missing", f"{TRAIN}: missing"),
    "a pipe": (pipe, f"{TRAIN} .*is a pipe, socket or device", f"{TRAIN}: "),
    "a folder": (
        lambda f: ((f / TRAIN).unlink(), (f / TRAIN).mkdir()),
        f"{TRAIN} .*is a folder", f"{TRAIN}: ",
    ),
    "huge size": (
        lambda f: edit_manifest(f, lambda raw: raw.update(image_size=[10**6, 10**6])),
        "dataset.json .*'image_size'", "'image_size' is",
    ),
    "huge clip": (
        lambda f: edit_manifest(f, lambda raw: raw.update(frames=10**9)),
        "dataset.json .*'frames' is 1000000000", "'frames' is",
    ),
    "NaN statistics": (
        lambda f: edit_manifest(f, lambda raw: raw["rgb_stats"].update(R_STD=float("nan"))),
        "dataset.json .*R_STD is 'nan'", "R_STD is 'nan'",
    ),
    "other statistics": (
        lambda f: (f / "rgb_stats.json").write_text(
            (f / "rgb_stats.json").read_text().replace('"R_MEAN": 1', '"R_MEAN": 2')),
        "rgb_stats.json .*R_MEAN is 2.*, in dataset.json 1", None,
    ),
    "path upwards": (
        lambda f: edit_manifest(f, lambda raw: raw["splits"]["train"]["shards"][0].update(
            file=f"../r/{TRAIN}")),
        "dataset.json .*split 'train': shard 0: 'file' is '../r", "shard 0: 'file' is",
    ),
    "absolute path": (
        lambda f: edit_manifest(f, lambda raw: raw["splits"]["train"]["shards"][0].update(
            file=str(f / TRAIN))),
        "dataset.json .*split 'train': shard 0: 'file' is '/", "shard 0: 'file' is",
    ),
    "count": (
        lambda f: edit_manifest(f, lambda raw: raw["splits"]["train"].update(count=99)),
        "dataset.json .*99 records, but 5 in its shards", "99 records, but 5",
    ),
}  # fmt: skip


def rec_name(folder, number):
    pairs = list(rec.read_tfrecord(folder / TRAIN).as_numpy_iterator())
    return pairs[number]["name"]


@pytest.mark.parametrize("case", CORPUS)
def test_verify_finds_it_and_reading_refuses_it(case, folder, capsys):
    damage, row, line = CORPUS[case]
    damage(folder)
    with pytest.raises(SystemExit) as status:
        main([str(folder), "--quiet"])
    assert status.value.code == 1
    told = capsys.readouterr().out
    assert any(map(re.compile(row).search, told.splitlines())), told
    if line is None:  # the files are what the manifest says, and every record can be used
        assert len(list(make_dataset(folder, "train", 5))) == 1
        return
    for read in (
        lambda: list(make_dataset(folder, "train", 2)),
        lambda: list(photos_of_records(folder, "train")),
    ):
        with pytest.raises(InputError, match=line) as error:
            read()
        assert "\n" not in str(error.value)


def test_what_is_whole_is_said_to_be(whole, capsys):
    before = contents(whole)
    with pytest.raises(SystemExit) as status:
        main([str(whole), "--quiet"])
    assert status.value.code == 0
    assert "9 records in 4 shards" in (told := capsys.readouterr().out)
    assert "all well" in told
    assert contents(whole) == before


REPAIRABLE = ("flipped byte", "swapped shards", "zeroed pixels, right checksum", "absurd length",
              "cut off", "longer", "missing", "a pipe", "other statistics")  # fmt: skip


@pytest.mark.parametrize("case", REPAIRABLE)
def test_repair_gives_the_very_bytes(case, folder, whole, source, capsys):
    CORPUS[case][0](folder)
    told = [path.stat().st_mtime_ns for path in sorted(whole.glob("val*"))]
    with pytest.raises(SystemExit) as status:
        main([str(folder), "--repair", "--source", str(source), "--quiet"])
    assert status.value.code == 0
    assert "repaired: " in (said := capsys.readouterr().out)
    assert said.rstrip().endswith("all well")
    assert contents(folder) == contents(whole)
    # What is whole is not written again.
    assert [path.stat().st_mtime_ns for path in sorted(folder.glob("val*"))] == told


@pytest.mark.parametrize("storage", ["normalized", "png", "jpeg"])
def test_repair_of_every_storage(storage, source, tmp_path):
    out = tmp_path / "r"
    build(BuildConfig(out=out, source=source, image_size=(16, 32), storage=storage, shards=2,
                      quiet=True))  # fmt: skip
    before = contents(out)
    assert verify_records(out, quiet=True).ok
    flip(out)
    (out / VAL).unlink()
    with pytest.raises(SystemExit) as status:
        main([str(out), "--repair", "--source", str(source), "--quiet"])
    assert status.value.code == 0
    assert contents(out) == before


def test_repair_reads_the_masks_as_they_were_read(tmp_path, capsys):
    """By the table of values that the scheme was; the masks themselves tell nothing of it."""
    scheme, source = tmp_path / "own.json", trees.flat(tmp_path / "flat", values=(0, 1))
    scheme.write_text('{"0": "ground", "1": "sky"}')
    folder = tmp_path / "r"
    build(BuildConfig(out=folder, source=source, scheme=str(scheme), image_size=trees.SIZE,
                      storage="uint8", shards=1, quiet=True))  # fmt: skip
    before = contents(folder)
    (folder / "train-00000-of-00001.tfrecord").write_bytes(b"torn")
    with pytest.raises(SystemExit) as status:
        main([str(folder), "--repair", "--source", str(source), "--quiet"])
    assert status.value.code == 0, capsys.readouterr().err
    assert contents(folder) == before


def test_repair_refuses_another_source_and_a_broken_manifest(folder, source, tmp_path, capsys):
    other = shutil.copytree(source, tmp_path / "other")
    for seed in range(5):
        trees.add_scene(other, "train", f"c{seed}", seed, values=(7,))
    flip(folder)
    before = contents(folder)
    for change, line in (
        (lambda: None, "gives other bytes today than it did"),
        (lambda: trees.add_scene(other, "train", "c9", 9), "not what .* was built from: 6 photos"),
        (lambda: (folder / rec.MANIFEST).write_text("{"), "dataset.json: cannot be repaired"),
    ):
        change()
        before[rec.MANIFEST] = (folder / rec.MANIFEST).read_bytes()
        with pytest.raises(SystemExit) as status:
            main([str(folder), "--repair", "--source", str(other), "--quiet"])
        assert status.value.code == 2
        assert re.search(line, error := capsys.readouterr().err), error
        assert len(error.splitlines()) == 1
        assert contents(folder) == before


def test_no_records_there(tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        main([str(tmp_path)])
    assert status.value.code == 2
    assert "no dataset.json there: not a folder of `skyseg build`" in capsys.readouterr().err
    (tmp_path / "dataset.json").touch()
    with pytest.raises(SystemExit):
        main([str(tmp_path / "dataset.json")])
    assert "dataset.json: is a file; give the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "case", ["flipped byte", "swapped shards", "cut off", "longer", "missing", "a pipe"]
)
def test_what_is_damaged_is_left_out(case, folder, whole):
    CORPUS[case][0](folder)
    manifest = rec.read_manifest(folder, shards_are_there=False)
    bad = damaged_records(folder, manifest)
    count = sum(map(len, bad.values()))
    assert (count > 0) == (case != "longer")
    names = [
        pair["name"]
        for shard in rec.read_manifest(whole).splits["train"].shards
        for pair in rec.read_tfrecord(whole / shard.file).as_numpy_iterator()
    ]
    if count == len(names):  # swapped: neither shard can be trusted
        with pytest.raises(InputError, match="no whole record left; repair it"):
            make_dataset(folder, "train", 1, left_out=bad)
        return
    dataset = make_dataset(folder, "train", 1, left_out=bad, shuffle=True)
    assert len(list(dataset)) == int(dataset.cardinality()) == len(names) - count
    for (images, masks), (images_again, masks_again) in zip(
        dataset, make_dataset(folder, "train", 1, left_out=bad, shuffle=True), strict=True
    ):
        assert np.array_equal(images, images_again)
        assert np.array_equal(masks, masks_again)
    rest = make_dataset(folder, "train", 1, left_out=bad, shuffle=True, skip_batches=1)
    assert len(list(rest)) == max(len(names) - count - 1, 1)
