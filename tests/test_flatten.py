import json
import os

import drawn_trees as trees
import pytest

from skyseg_tf import flatten
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.flattening import flatten_dataset
from skyseg_tf.data.scan import detect_layout, find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.files import read_bytes


def essence(pairs):
    return [
        (pair.split, pair.name, read_bytes(pair.image), pair.mask and read_bytes(pair.mask))
        for pair in pairs
    ]


def assert_read_back(root, out):
    pairs, flat = find_pairs(root), find_pairs(out)
    assert detect_layout(out) == "flattened"
    assert essence(pairs) == essence(flat)
    assert guess_mask_encoding(pairs) == guess_mask_encoding(flat) or (
        # CamVid's numbers are written out as a classes.json.
        guess_mask_encoding(pairs) == "camvid11" and dict(guess_mask_encoding(flat))[0] == "sky"
    )


@pytest.mark.parametrize("copy", [False, True])
def test_cityscapes(tmp_path, copy):
    root, out = trees.cityscapes(tmp_path / "tree", test=(0, 1)), tmp_path / "out"
    before = trees.snapshot(root)
    done = flatten_dataset(root, out, copy=copy)
    assert trees.snapshot(root) == before
    assert done.photos == {"train": 3, "val": 1, "test": 2}
    assert done.masks == {"train": 3, "val": 1}
    assert (done.linked, done.copied) == ((0, 10) if copy else (10, 0))
    image = "aachen_000000_000019_leftImg8bit.png"
    source = root / "leftImg8bit/train/aachen" / image
    assert (out / "train/images" / image).samefile(source) is not copy
    assert (out / "train/annotations/aachen_000000_000019_gtFine_labelIds.png").is_file()
    assert_read_back(root, out)
    assert [pair.city for pair in find_pairs(out, splits=["val"])] == ["ulm"]


def test_again_changes_nothing(tmp_path):
    root, out = trees.cityscapes(tmp_path / "tree"), tmp_path / "out"
    flatten_dataset(root, out)
    before = trees.snapshot(out)
    again = flatten_dataset(root, out, copy=True)
    assert (again.linked, again.copied, again.present) == (0, 0, 8)
    assert trees.snapshot(out) == before
    trees.add_scene(root, "val", "ulm", 9)
    assert flatten_dataset(root, out).linked == 2


def test_from_zips(tmp_path):
    root = trees.zipped(trees.cityscapes(tmp_path / "tree"), tmp_path / "zips")
    assert flatten_dataset(root, tmp_path / "out").copied == 8
    assert flatten_dataset(root, tmp_path / "out").present == 8
    assert_read_back(root, tmp_path / "out")


def test_camvid_and_flat_with_classes(tmp_path):
    root = trees.camvid(tmp_path / "camvid")
    for _ in range(2):
        flatten_dataset(root, tmp_path / "out1")
    assert_read_back(root, tmp_path / "out1")
    root = trees.flat(tmp_path / "flat", values=(0, 6))
    (root / "classes.json").write_text(json.dumps({"0": "various", "6": "sky"}))
    flatten_dataset(root, tmp_path / "out2")
    assert_read_back(root, tmp_path / "out2")
    with pytest.raises(InputError, match=r"classes.json is there already and differs"):
        flatten_dataset(root, tmp_path / "out1")


def test_where_links_are_refused_it_copies(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    root = trees.cityscapes(tmp_path / "tree")
    assert flatten_dataset(root, tmp_path / "out").copied == 8
    assert not list((tmp_path / "out").rglob("*.tmp*"))


def test_what_another_flatten_writes_meanwhile_is_there_already(tmp_path, monkeypatch):
    """Of two at once one ended at the first file that the other had just linked."""
    link = os.link

    def late(path, target):
        link(path, target)
        link(path, target)

    root = trees.cityscapes(tmp_path / "tree")
    monkeypatch.setattr(os, "link", late)
    done = flatten_dataset(root, tmp_path / "out")
    assert (done.linked, done.present) == (0, 8)

    def other(path, target):
        target.write_bytes(b"another")
        link(path, target)

    monkeypatch.setattr(os, "link", other)
    with pytest.raises(InputError, match=r"is there already and differs from"):
        flatten_dataset(root, tmp_path / "out2")


def test_links_in_a_circle_are_no_source_and_no_place(tmp_path):
    root = trees.flat(tmp_path / "flat")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises((InputError, OSError), match="circle"):
        flatten_dataset(root, tmp_path / "circle")


def test_symbolic_links_are_followed(tmp_path):
    root = trees.flat(tmp_path / "flat")
    (root / "images/one.jpg").rename(tmp_path / "elsewhere.jpg")
    (root / "images/one.jpg").symlink_to("../../elsewhere.jpg")
    flatten_dataset(root, tmp_path / "out")
    (found,) = (tmp_path / "out").rglob("one.jpg")
    assert not found.is_symlink()
    assert found.samefile(tmp_path / "elsewhere.jpg")


def test_name_clash_writes_nothing(tmp_path):
    root, out = trees.cityscapes(tmp_path / "tree"), tmp_path / "out"
    for city in ("bonn", "aachen"):
        trees.write_photo(root / f"leftImg8bit/train/{city}/same_leftImg8bit.png", 7)
    with pytest.raises(InputError, match=r"aachen/same_.* and .*bonn/same_.* have the same name"):
        flatten_dataset(root, out)
    assert not out.exists()


def test_another_file_in_the_way_writes_nothing(tmp_path):
    root, out = trees.cityscapes(tmp_path / "tree"), tmp_path / "out"
    other = trees.write_photo(out / "val/images/ulm_000003_000019_leftImg8bit.png", 77)
    before = trees.snapshot(out)
    with pytest.raises(InputError, match=r"ulm_000003_000019.* differs from .*leftImg8bit/val/ulm"):
        flatten_dataset(root, out)
    assert trees.snapshot(out) == before
    assert other.is_file()


@pytest.mark.parametrize("below", ["", "flat"])
def test_out_in_the_source_is_refused(tmp_path, below):
    root = trees.cityscapes(tmp_path / "tree")
    before = trees.snapshot(root)
    with pytest.raises(InputError, match="lies in the source"):
        flatten_dataset(root, root / below)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train").symlink_to(root / "leftImg8bit")
    with pytest.raises(InputError, match="lies in the source"):
        flatten_dataset(root, tmp_path / "out")
    assert trees.snapshot(root) == before


def test_command(tmp_path, capsys):
    root = trees.cityscapes(tmp_path / "tree")
    with pytest.raises(SystemExit) as ending:
        flatten.main(["--source", str(root), "--out", str(tmp_path / "out")])
    assert ending.value.code == 0
    out = capsys.readouterr().out
    assert "train: 3 images, 3 annotations" in out
    assert "8 hard-linked, 0 copied" in out
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ending:
        flatten.main(["--source", str(root), "--out", str(tmp_path / "file")])
    assert ending.value.code == 2
    assert "is a file" in capsys.readouterr().err
