import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import drawn_trees as trees
import numpy as np
import pytest
from drawn_pictures import picture_bytes, zeros
from PIL import Image

from skyseg_tf import check
from skyseg_tf.data.check_report import PROBLEMS
from skyseg_tf.data.checks import check_dataset

CAMVID = Path(__file__).parents[1] / "../shared/data/camvid_cityscapes"


def kinds(report):
    return {problem.kind: problem.count for problem in report.problems}


@pytest.mark.parametrize("fast", [False, True])
def test_good_tree(tmp_path, fast):
    report = check_dataset(trees.cityscapes(tmp_path), fast=fast)
    assert report.ok
    assert report.layout == "cityscapes"
    assert report.encoding == "labelIds"
    assert report.splits == {
        "train": {
            "aachen": {"photos": 1, "with_mask": 1},
            "bonn": {"photos": 2, "with_mask": 2},
        },
        "val": {"ulm": {"photos": 1, "with_mask": 1}},
    }
    assert report.sizes == {"16x8": 4}
    assert report.sky_share == 0.5
    assert report.classes["road"] == {"share": 0.5, "masks": 4}
    text = str(report)
    assert "4 pairs of photo and mask: all well" in text
    assert "sky is 50.00% of the labeled pixels" in text


@pytest.mark.parametrize("fast", [False, True])
def test_zips(tmp_path, fast):
    root = trees.zipped(trees.cityscapes(tmp_path / "tree"), tmp_path / "zips")
    assert check_dataset(root, fast=fast).ok


def test_missing_partners_both_ways(tmp_path):
    root = trees.cityscapes(tmp_path)
    (root / "gtFine/train/bonn/bonn_000001_000019_gtFine_labelIds.png").unlink()
    for kind in ("labelTrainIds", "color", "instanceIds"):
        (root / f"gtFine/train/bonn/bonn_000001_000019_gtFine_{kind}.png").unlink()
    (root / "leftImg8bit/val/ulm/ulm_000003_000019_leftImg8bit.png").unlink()
    report = check_dataset(root)
    assert kinds(report) == {"photo_without_mask": 1, "mask_without_photo": 1}
    assert "bonn_000001_000019_leftImg8bit.png" in str(report)
    assert "ulm_000003_000019_gtFine_labelIds.png" in str(report)


def test_damaged_files_are_named(tmp_path):
    root = trees.cityscapes(tmp_path)
    photo = root / "leftImg8bit/val/ulm/ulm_000003_000019_leftImg8bit.png"
    photo.write_bytes(photo.read_bytes()[:-60])
    mask = root / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    mask.write_bytes(b"not a picture")
    report = check_dataset(root)
    assert kinds(report) == {"unreadable": 2}
    assert any(str(photo) in file and "damaged" in file for file in report.problems[0].files)
    assert any(str(mask) in file for file in report.problems[0].files)


@pytest.mark.parametrize("fast", [False, True])
def test_files_of_every_bad_kind_are_one_line_each(tmp_path, fast, measured_memory):
    names = ["bomb", "circle", "empty", "eps", "gone", "good", "new\nline", "pipe"]
    root = trees.flat(tmp_path, names)
    photos = {name: root / "images" / f"{name}.jpg" for name in names}
    whole = picture_bytes(np.zeros((8, 16, 3), np.uint8), "PNG")
    for name in ("circle", "gone", "pipe"):
        photos[name].unlink()
    photos["circle"].symlink_to(photos["circle"].name)
    photos["gone"].symlink_to("nowhere")
    os.mkfifo(photos["pipe"])
    photos["empty"].write_bytes(b"")
    photos["eps"].write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    photos["new\nline"].write_bytes(whole[:30])
    start, end = whole.index(b"IDAT"), whole.index(b"IEND") - 4
    data = b"IDAT" + zeros(300)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    photos["bomb"].write_bytes(whole[: start - 4] + chunk + whole[end:])
    with measured_memory(100e6):
        report = check_dataset(root, fast=fast)
    bad = {"circle", "empty", "eps", "gone", "new\nline", "pipe"} | (set() if fast else {"bomb"})
    assert kinds(report) == {"unreadable": len(bad)}
    assert {Path(file.split(".jpg:")[0]).name for file in report.problems[0].files} == bad
    lines = str(report).splitlines()
    assert sum(line.startswith("    ") for line in lines) == min(len(bad), 5) + (len(bad) > 5)


@pytest.mark.parametrize("fast", [False, True])
def test_size_mismatch(tmp_path, fast):
    root = trees.flat(tmp_path)
    path = trees.write_mask(root / "masks/two.png", (0, 255), size=(4, 16))
    report = check_dataset(root, fast=fast)
    assert kinds(report) == {"size_mismatch": 1}
    assert report.problems[0].files == [f"{path}: 16x4, its photo 16x8"]


@pytest.mark.parametrize("fast", [False, True])
def test_same_photo_in_two_splits(tmp_path, fast):
    root = trees.cityscapes(tmp_path)
    shutil.copy(
        root / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
        root / "leftImg8bit/val/ulm/ulm_000003_000019_leftImg8bit.png",
    )
    report = check_dataset(root, fast=fast)
    assert kinds(report) == {"photo_in_two_splits": 1}
    assert "aachen_000000_000019_leftImg8bit.png (train) is also" in report.problems[0].files[0]


def test_same_photo_twice_in_one_split_is_a_note(tmp_path):
    root = trees.cityscapes(tmp_path)
    photos = root / "leftImg8bit/train/bonn"
    shutil.copy(*(photos / f"bonn_00000{index}_000019_leftImg8bit.png" for index in (1, 2)))
    report = check_dataset(root)
    assert report.ok
    assert any("more than once" in note for note in report.notes)


def test_frames_of_a_video_that_a_hash_deals_out_are_told(tmp_path):
    for name in (f"drive_{number:04}" for number in range(40)):
        for folder, suffix in (("images", "jpg"), ("masks", "png")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (8, 8)).save(tmp_path / folder / f"{name}.{suffix}")
    notes = check_dataset(tmp_path).notes
    assert any("photos of val numbered next to one of train" in note for note in notes)
    for path in list(tmp_path.rglob("*.*")):  # every tenth frame
        path.rename(path.with_stem(f"{path.stem}0"))
    assert not any("numbered" in note for note in check_dataset(tmp_path).notes)


def test_placeholders_of_the_test_split(tmp_path):
    report = check_dataset(trees.cityscapes(tmp_path, test=(0, 2, 3)))
    assert report.ok
    assert report.splits["test"]["berlin"] == {"photos": 2, "with_mask": 0}
    assert "static" not in report.classes
    assert any("2 masks of the test split" in note for note in report.notes)


def test_a_mix_of_real_and_placeholder_test_masks(tmp_path):
    root = trees.cityscapes(tmp_path, test=(0, 2, 3))
    trees.add_scene(root, "test", "berlin", 6, (7, 23))
    report = check_dataset(root)
    assert report.splits["test"]["berlin"] == {"photos": 3, "with_mask": 1}
    assert any("2 masks of the test split" in note for note in report.notes)


def test_unknown_values_and_clashing_names(tmp_path):
    root = trees.flat(tmp_path, [f"photo{index:03d}" for index in range(101)], "train", (7, 23))
    trees.write_mask(root / "masks/train/photo001.png", (7, 77))  # between the sampled ones
    trees.write_photo(root / "images/train/photo002.png", 999)
    report = check_dataset(root)
    assert kinds(report) == {"unknown_values": 1, "name_clash": 1}
    assert "photo001.png: 77 in 64 pixels" in report.problems[1].files[0]


def test_a_sampled_mask_that_belies_its_name(tmp_path):
    root = trees.cityscapes(tmp_path)
    trees.add_scene(root, "val", "ulm", 8, (7, 23, 77))
    report = check_dataset(root)
    assert kinds(report) == {"unknown_values": 1}
    assert report.encoding == "labelIds"


def test_encoding_that_cannot_be_told(tmp_path):
    report = check_dataset(trees.flat(tmp_path, values=(0, 99)))
    assert kinds(report) == {"mask_encoding": 1}
    assert report.encoding is None
    assert "cannot be told" in str(report)


@pytest.mark.parametrize(
    ("values", "note"), [((7, 21), "has any sky"), ((23,), "has anything but sky")]
)
def test_sky_nowhere_or_everywhere_is_noted(tmp_path, values, note):
    mask = trees.add_scene(tmp_path, "train", "aachen", 0, values)
    trees.add_scene(tmp_path, "val", "ulm", 1, (7, 23))
    report = check_dataset(tmp_path)
    assert report.ok
    assert any(f"the train split {note}, e.g." in n and mask in n for n in report.notes)


@pytest.mark.parametrize(
    ("values", "message"),
    [((0, 2, 8, 10, 255), "holds 0, 2, 8, 10, 255, which are train ids"),
     ((0, 255), "holds only 0, 255, as if it were overwritten by a sky mask")],
)  # fmt: skip
@pytest.mark.parametrize("fast", [False, True])
def test_values_of_another_encoding_than_the_name_says(tmp_path, values, message, fast):
    root = trees.cityscapes(tmp_path)
    name = trees.add_scene(root, "val", "ulm", 8, values)
    report = check_dataset(root, fast=fast)
    assert kinds(report) == {"belied_name": 1}
    assert name in report.problems[0].files[0]
    assert message in report.problems[0].files[0]
    assert "WRONG [belied_name] 1: masks hold other values than their name" in str(report)


def test_all_label_ids_are_train_ids(tmp_path):
    trees.add_scene(tmp_path, "train", "aachen", 0, (0, 2, 8, 10, 255))
    report = check_dataset(tmp_path)
    assert kinds(report) == {"mask_encoding": 1, "belied_name": 1} or not report.ok
    assert "those of trainIds" in str(report)


def test_classes_in_the_alpha_channel(tmp_path):
    root = trees.flat(tmp_path)
    path = root / "masks/one.png"
    alpha = Image.open(path).convert("L")
    Image.merge("LA", (Image.new("L", alpha.size, 255), alpha)).save(path)
    report = check_dataset(root)
    assert kinds(report) == {"unreadable": 1}
    assert f"{path}: all classes lie in its alpha channel" in report.problems[0].files[0]


def test_nothing_is_written(tmp_path):
    root = trees.cityscapes(tmp_path)
    before = trees.snapshot(root)
    check_dataset(root)
    assert trees.snapshot(root) == before


def run(argv, capsys):
    with pytest.raises(SystemExit) as ending:
        check.main(argv)
    return ending.value.code, *capsys.readouterr()


def test_command(tmp_path, capsys):
    root = trees.flat(tmp_path / "data")
    status, out, _ = run(["--source", str(root)], capsys)
    assert status == 0
    assert "binary255" in out
    (root / "masks/one.png").unlink()
    status, out, _ = run(["--source", str(root), "--json"], capsys)
    assert status == 1
    report = json.loads(out)
    assert report["ok"] is False
    assert report["problems"][0]["kind"] == "photo_without_mask"
    assert {problem["kind"] for problem in report["problems"]} <= set(PROBLEMS)
    status, out, err = run(["--source", str(tmp_path / "gone")], capsys)
    assert (status, out) == (2, "")
    assert "does not exist" in err


@pytest.mark.skipif(not CAMVID.is_dir(), reason="the shared CamVid photos are not here")
def test_real_photos():
    report = check_dataset(CAMVID, fast=True)
    assert report.ok
    assert sum(row["with_mask"] for row in report.splits["train"].values()) == 367
    assert 0.1 < report.sky_share < 0.2
