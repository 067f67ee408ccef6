import json
import os
import re
import unicodedata
import zipfile
from pathlib import Path

import drawn_trees as trees
import numpy as np
import pytest
from PIL import Image

from skyseg_tf import images, labels
from skyseg_tf.data import encodings, layouts
from skyseg_tf.data.clips import clip_frames
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.scan import SOURCE_VARIABLE, detect_layout, find_pairs, scan_tree, source_root
from skyseg_tf.data.sources import extract_cityscape_data_info
from skyseg_tf.errors import InputError
from skyseg_tf.files import read_bytes


def names(pairs):
    return [(pair.split, pair.city, pair.name) for pair in pairs]


EXPECTED = [
    ("train", "aachen", "aachen_000000_000019"),
    ("train", "bonn", "bonn_000001_000019"),
    ("train", "bonn", "bonn_000002_000019"),
    ("val", "ulm", "ulm_000003_000019"),
]


def test_cityscapes_tree_takes_label_ids(tmp_path):
    root = trees.cityscapes(tmp_path)
    pairs = find_pairs(root)
    assert detect_layout(root) == "cityscapes"
    assert names(pairs) == EXPECTED
    assert all(pair.mask.endswith("_gtFine_labelIds.png") for pair in pairs)
    assert guess_mask_encoding(pairs, "cityscapes") == "labelIds"
    assert names(find_pairs(root, splits=["val"])) == EXPECTED[3:]


def test_official_zips_are_read_in_place(tmp_path):
    tree = trees.cityscapes(tmp_path / "tree")
    root = trees.zipped(tree, tmp_path / "zips")
    pairs = find_pairs(root)
    assert names(pairs) == EXPECTED
    assert ".zip!leftImg8bit/train/aachen/" in pairs[0].image
    assert read_bytes(pairs[0].mask) == read_bytes(find_pairs(tree)[0].mask)
    assert guess_mask_encoding(pairs) == "labelIds"


def test_half_downloaded_zip_is_named(tmp_path):
    root = trees.zipped(trees.cityscapes(tmp_path / "tree"), tmp_path / "zips")
    archive = root / "gtFine_trainvaltest.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"gtFine_trainvaltest.zip: damaged or unfinished"):
        find_pairs(root)


@pytest.mark.parametrize("strip", [False, True])
def test_kaggle_copy(tmp_path, strip):
    root = trees.cityscapes(tmp_path)
    (root / "leftImg8bit").rename(root / "images")
    if strip:
        for path in (root / "images").rglob("*.png"):
            path.rename(path.with_name(path.name.replace("_leftImg8bit", "")))
    assert detect_layout(root) == "kaggle"
    assert names(find_pairs(root)) == EXPECTED


@pytest.mark.parametrize(("kind", "encoding"), [("labelTrainIds", "trainIds"), ("color", "color")])
def test_next_best_mask_of_cityscapes(tmp_path, kind, encoding):
    root = trees.cityscapes(tmp_path)
    for path in (root / "gtFine").rglob("*.png"):
        if not path.name.endswith(f"{kind}.png"):
            path.unlink()
    assert guess_mask_encoding(find_pairs(root), "cityscapes") == encoding


def test_camvid(tmp_path):
    root = trees.camvid(tmp_path)
    pairs = find_pairs(root)
    assert detect_layout(root) == "camvid"
    assert [pair.split for pair in pairs] == ["test", "train", "val"]
    assert guess_mask_encoding(pairs, "camvid") == guess_mask_encoding(pairs) == "camvid11"


def test_splits_on_disks_of_their_own_are_all_found(tmp_path, monkeypatch):
    """The roots of two file systems often have one number."""
    root, stat = trees.camvid(tmp_path), Path.stat

    def mounted(path, **options):
        facts = list(stat(path, **options))[:10]
        if path.parent == root:
            facts[1:3] = 2, sum(path.name.encode())  # number and device
        return os.stat_result(facts)

    monkeypatch.setattr(Path, "stat", mounted)
    assert [pair.split for pair in find_pairs(root)] == ["test", "train", "val"]


def test_flat_without_splits_is_split_by_name(tmp_path):
    many = [f"photo {index}" for index in range(200)]
    pairs = find_pairs(trees.flat(tmp_path / "a", many))
    assert 20 < sum(pair.split == "val" for pair in pairs) < 60
    split_of = {pair.name: pair.split for pair in pairs}
    fewer = find_pairs(trees.flat(tmp_path / "b", many[::2]))
    assert all(split_of[pair.name] == pair.split for pair in fewer)
    assert guess_mask_encoding(pairs, "flat") == "binary255"
    few = find_pairs(trees.flat(tmp_path / "c", ("one", "two")))
    assert sorted(pair.split for pair in few) == ["train", "val"]


def test_flat_with_splits(tmp_path):
    trees.flat(tmp_path, split="train")
    trees.flat(tmp_path, ("four",), split="validation")
    assert detect_layout(tmp_path) == "flat"
    assert [pair.split for pair in find_pairs(tmp_path)] == ["train"] * 3 + ["val"]


@pytest.mark.parametrize(
    ("split", "links"),
    [
        ("train", {"images/train/loop": "."}),
        ("", {"images/train": "..", "masks/train": ".."}),  # as images/train/images/one.jpg
        ("", {"images/train": "../far", "masks/train": "../far", "far/images": "../images"}),
    ],
)
def test_links_that_form_a_circle_are_passed_over(tmp_path, split, links):
    root = trees.flat(tmp_path, split=split)
    before = find_pairs(root)
    for link, target in links.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    assert find_pairs(root) == before


def test_odd_names_and_junk(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Köln straße")
    trees.write_photo(tmp_path / "images" / f"{decomposed}.JPG", 0)
    trees.write_mask(tmp_path / "masks" / f"{unicodedata.normalize('NFC', decomposed)}.PNG")
    for junk in ("images/._x.jpg", "images/.hidden.png", "images/Thumbs.db", "masks/notes.txt"):
        (tmp_path / junk).write_bytes(b"junk")
    trees.write_photo(tmp_path / "images/__MACOSX/y.png", 1)
    (pair,) = find_pairs(tmp_path)
    assert pair.mask is not None
    assert images.read_image(pair.image).shape == (8, 16, 3)


def test_classes_json_gives_the_meaning(tmp_path):
    root = trees.flat(tmp_path, values=(0, 4, 6))
    (root / "classes.json").write_text(json.dumps({"0": "various", "4": "pavement", "6": "Sky"}))
    encoding = guess_mask_encoding(find_pairs(root), "flat")
    assert encoding == ((0, "various"), (4, "pavement"), (6, "sky"))
    stored = np.array([[0, 4, 6]], np.uint8)
    mask = labels.decode_mask(stored, encoding, labels.get_scheme("sky"), "x")
    assert mask.tolist() == [[255, 0, 1]]
    with pytest.raises(InputError, match="unknown class id 1"):
        labels.decode_mask(stored + 1, encoding, labels.get_scheme("sky"), "x")


def test_masks_outside_every_layout(tmp_path):
    mask = trees.write_mask(tmp_path / "a.bmp")
    pair = layouts.Pair(str(tmp_path / "a.jpg"), str(mask), "train", "", "a")
    with pytest.raises(InputError, match=r"a\.bmp: lies in no known layout.* name its encoding"):
        guess_mask_encoding([pair])


GENERAL = {  # (photo, mask) of each way to lay out photos beside masks, and the layout's name
    "annotations": ("images/{}.jpg", "annotations/{}.png", "flat"),
    "labels": ("images/{}.jpg", "labels/{}.png", "flat"),
    "masks": ("images/{}.png", "masks/{}.png", "flat"),
    "singular": ("image/{}.jpg", "label/{}.png", "flat"),
    "imgs": ("imgs/{}.jpg", "masks/{}.png", "flat"),
    "capitals": ("Images/{}.JPG", "Labels/{}.PNG", "flat"),
    "voc": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "flat"),
    "splits below": ("images/train/{}.jpg", "masks/train/{}.png", "flat"),
    "splits and cities below": ("images/train/ulm/{}.jpg", "labels/train/ulm/{}.png", "flat"),
    "other words for splits": ("images/training/{}.jpg", "annotations/training/{}.png", "flat"),
    "splits above": ("train/images/{}.jpg", "train/masks/{}.png", "flattened"),
    "splits above, imgs": ("train/imgs/{}.jpg", "train/labels/{}.png", "flattened"),
    "marked _mask": ("images/{}.jpg", "masks/{}_mask.png", "flat"),
    "marked _label": ("images/{}.jpg", "labels/{}_label.png", "flat"),
    "marked _gt": ("images/{}.jpg", "annotations/{}_gt.png", "flat"),
    "marked -GT": ("images/{}.jpg", "annotations/{}-GT.png", "flat"),
    "both marked": ("images/{}_img.jpg", "masks/{}_mask.png", "flat"),
    "marked, splits above": ("train/images/{}.jpg", "train/masks/{}_mask.png", "flattened"),
    "one folder": ("{}.jpg", "{}.png", "mixed"),
    "one folder per split": ("train/{}.jpeg", "train/{}.png", "mixed"),
    "one folder, marked": ("{}.jpg", "{}_mask.png", "mixed"),
}


@pytest.mark.parametrize("way", GENERAL)
def test_photos_beside_masks(tmp_path, way):
    photo, mask, layout = GENERAL[way]
    numbers = ("one", "two", "aachen_000000_000019")
    for seed, name in enumerate(numbers):
        trees.write_photo(tmp_path / photo.format(name), seed)
        trees.write_mask(tmp_path / mask.format(name), (0, 4, 6))
    (tmp_path / "classes.json").write_text(json.dumps({"0": "various", "4": "road", "6": "Sky"}))
    scan = scan_tree(tmp_path)
    assert (scan.layout, len(scan.pairs), scan.masks_alone, scan.clashes) == (layout, 3, [], [])
    for pair in scan.pairs:
        name = next(name for name in numbers if pair.name.startswith(name))
        assert pair.mask == str(tmp_path / mask.format(name))
    assert {pair.split for pair in scan.pairs} <= {"train", "val"}
    assert scan.has_splits == ("train" in photo)
    assert guess_mask_encoding(scan.pairs) == ((0, "various"), (4, "road"), (6, "sky"))


def test_exact_names_come_before_marked_ones(tmp_path):
    for name in ("a", "a_mask", "b"):
        trees.write_photo(tmp_path / "images" / f"{name}.jpg", 0)
    for name in ("a", "a_mask", "b_gt", "b_label", "c_mask"):
        trees.write_mask(tmp_path / "masks" / f"{name}.png")
    scan = scan_tree(tmp_path)
    assert {pair.name: pair.mask.rsplit("/")[-1] for pair in scan.pairs} == {
        "a": "a.png", "a_mask": "a_mask.png", "b": "b_gt.png"
    }  # fmt: skip
    assert [path.rsplit("/")[-1] for path in scan.masks_alone] == ["b_label.png", "c_mask.png"]
    assert len(scan.clashes) == 1
    with pytest.raises(InputError, match=r"b_gt\.png and .*b_label\.png have the same name"):
        find_pairs(tmp_path)


def test_a_name_in_a_split_and_outside_of_all(tmp_path):
    names = [f"a{number}" for number in range(9)]
    trees.flat(trees.flat(tmp_path, names), names, "val")
    scan = scan_tree(tmp_path)
    assert len(scan.pairs) == len({(pair.split, pair.name) for pair in scan.pairs}) < 18
    with pytest.raises(InputError, match="have the same name; rename or remove"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], ": the folder is empty; give the folder that holds images/ and masks/, or"),
        (["a.txt", "b/c.txt"], ": only a.txt, b; give the folder that holds"),
        ([f"{name}.txt" for name in "abcdefg"], ": only a.txt, b.txt, c.txt, d.txt and 3 more; "),
        (["a.jpg", "b.PNG"], ": photos alone, and no masks of them, which `skyseg predict`"),
        (["images/a.jpg"], ": images/ is there, but its masks are not: no masks/, mask/, "),
        (["labels/a.png"], ": labels/ is there, but its photos are not: no images/, "),
        (["train/images/a.jpg"], ": train/images/ is there, but its masks are not: no train/masks"),
        (["leftImg8bit/train/x/a.png"], ": no gtFine/ or gtFine_trainvaltest.zip (docs/"),
        (["gtFine_trainvaltest.zip"], ": no leftImg8bit/ or leftImg8bit_trainvaltest.zip"),
        (["mine/images/a.jpg", "mine/masks/a.png"], "; did you mean {root}/mine?"),
    ],
)
def test_what_is_no_dataset_is_told_in_a_short_line(tmp_path, files, said):
    root = tmp_path / "data"
    root.mkdir()
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    with pytest.raises(InputError, match=f"^{re.escape(str(root))}: no dataset here") as error:
        detect_layout(root)
    assert said.format(root=root) in str(error.value)
    assert len(str(error.value)) - len(str(root)) < 260
    assert ("docs/choices.md" in str(error.value)) == ("did you mean" not in said)


def test_classes_json_is_found_from_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "train" / "annotations").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "train")
    assert encodings.classes_file("annotations/a.png", "flattened") is None
    (tmp_path / "classes.json").write_text("{}")
    assert encodings.classes_file("annotations/a.png", "flattened") == tmp_path / "classes.json"


@pytest.mark.parametrize("photo", ["{}.jpg", "images/{}.jpg"])
@pytest.mark.parametrize("folder", ["train", "masks", "images/val"])
def test_classes_json_of_a_tree_in_a_folder_with_a_layouts_name(tmp_path, folder, photo):
    root = tmp_path / folder
    for seed, name in enumerate(("a", "b")):
        trees.write_photo(root / photo.format(name), seed)
        mask = photo.replace("images", "masks").format(name)
        trees.write_mask((root / mask).with_suffix(".png"), (0, 1))
    (root / "classes.json").write_text('{"0": "sky", "1": "not sky"}')
    encodings_found = {info["encoding"] for info in extract_cityscape_data_info(root)}
    assert encodings_found == {((0, "sky"), (1, "not sky"))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"256": "sky"}', "'256': \"sky\"; give each mask value 0-255 a name"),
        ('{"0": ["sky"]}', r"'0': \[\"sky\"\]; give each"),
        ("[1]", "no JSON object; give a table such as"),
        ("{}", "empty; give a table such as"),
        ('{"0": "other", "0": "sky"}', "'0' stands there twice"),
        ('{"0": "other", "6": "sky", "06": "road"}', "'06': \"road\"; give each"),
        ('{"0": "other", "1_0": "sky"}', "'1_0': \"sky\"; give each"),
        ('{"0": "sky"}', "has the values 4, 6"),
    ],
)
def test_bad_classes_json(tmp_path, text, message):
    root = trees.flat(tmp_path, values=(0, 4, 6))
    (root / "classes.json").write_text(text)
    with pytest.raises(InputError, match=message):
        guess_mask_encoding(find_pairs(root), "flat")


def test_the_table_that_errors_advise_leaves_nothing_out(tmp_path):
    root = trees.flat(tmp_path, values=(4, 6))
    with pytest.raises(InputError, match="tell no encoding") as found:
        guess_mask_encoding(find_pairs(root), "flat")
    advised = json.loads(re.search(r"{.*}", str(found.value))[0]).values()
    (root / "classes.json").write_text(json.dumps(dict(zip("46", advised, strict=True))))
    encoding = guess_mask_encoding(find_pairs(root), "flat")
    table = labels.class_id_table(encoding, labels.get_scheme("sky"))
    assert table[[4, 6]].tolist() == [0, 1]


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16"])
def test_classes_json_of_windows_programs(tmp_path, charset):
    (tmp_path / "classes.json").write_text('{"0": "other", "6": "sky"}', encoding=charset)
    assert labels.read_classes(tmp_path / "classes.json") == ((0, "other"), (6, "sky"))


def test_the_mask_of_another_kind_is_named(tmp_path):
    root = trees.flat(tmp_path)
    trees.write_mask(root / "masks" / "two.png", (0, 99, 255, 98))
    with pytest.raises(
        InputError, match=r"/two\.png and the other masks hold the values 0, 98, 99"
    ):
        guess_mask_encoding(find_pairs(root))


def test_masks_that_are_black_alone(tmp_path):
    trees.write_photo(tmp_path / "images/a.png", 0)
    trees.write_mask(tmp_path / "masks/a.png", (0,), mode="RGB")
    with pytest.raises(
        InputError, match=r"a\.png and the other masks hold the values 0, which tell"
    ):
        guess_mask_encoding(find_pairs(tmp_path))


def test_black_color_masks_are_color_masks(tmp_path):
    trees.write_photo(tmp_path / "images/a.png", 0)
    trees.write_photo(tmp_path / "images/b.png", 1)
    trees.write_mask(tmp_path / "masks/a.png", (0,), mode="RGB")
    trees.write_mask(tmp_path / "masks/b.png", (70,), mode="RGB")
    assert guess_mask_encoding(find_pairs(tmp_path)) == "color"


def test_black_and_white_rgb_masks_are_binary(tmp_path):
    trees.write_photo(tmp_path / "images/a.png", 0)
    path = trees.write_mask(tmp_path / "masks/a.png", (0, 255), mode="RGB")
    assert guess_mask_encoding(find_pairs(tmp_path)) == "binary255"
    sky = labels.decode_mask(images.read_mask(path), "binary255", labels.get_scheme("sky"), "a")
    assert sky[0, :2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "message"), [((0, 23, 77), "has the values 77"), ((0, 255), "overwritten")]
)
def test_values_that_belie_the_name(tmp_path, values, message):
    trees.add_scene(tmp_path, "train", "aachen", 0, values)
    with pytest.raises(InputError, match=message):
        guess_mask_encoding(find_pairs(tmp_path), "cityscapes")


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ((0, 255), "binary255"),
        ((255,), "binary255"),
        ((0, 128, 255), "binary255_void"),
        ((0, 127, 255), "binary255_void"),
        ((128, 255), "binary255_void"),
        ((0, 1), "binary1"),
        ((0, 1, 255), "binary1_void"),
        ((1, 255), "binary1_void"),
        ((0, 2, 8, 10), "trainIds"),
        ((*range(11), 255), "trainIds"),
        (tuple(range(19)), "trainIds"),
        (tuple(range(12)), "camvid11"),
        ((7, 23), "labelIds"),
        (tuple(range(34)), "labelIds"),
    ],
)
def test_values_that_tell_their_encoding(tmp_path, values, encoding):
    assert guess_mask_encoding(find_pairs(trees.flat(tmp_path, values=values))) == encoding


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0,), "hold the values 0, which tell no encoding"),
        ((0, 1, 2), 'put a classes.json beside .*"1": "sky"'),
        ((0, 2, 253, 255), "JPEG noise, export them as PNG"),
        ((1, 2), "hold the values 1, 2"),
        ((0, 2), "hold the values 0, 2"),
        ((0, 1, 2, 255), "hold the values 0, 1, 2, 255"),
        (tuple(range(8)), "which tell no encoding"),
        (tuple(range(11)), "which tell no encoding"),
        (tuple(range(21)), "which tell no encoding"),
        ((*range(21), 255), "which tell no encoding"),
        (tuple(range(24)), "which tell no encoding"),
        ((7, 21), "which tell no encoding"),
        ((0, 128), "which tell no encoding"),
        ((0, 100, 255), r'if 100 is to be ignored.*"100": "ignore", "255": "sky"'),
        (tuple(range(128)), "which tell no encoding"),
        ((*range(0, 128, 2), 255), "soft edges or JPEG noise, export them as PNG"),
    ],
)
def test_values_that_tell_no_encoding(tmp_path, values, message):
    with pytest.raises(InputError, match=message) as error:
        guess_mask_encoding(find_pairs(trees.flat(tmp_path, values=values)))
    assert "\n" not in str(error.value)


def test_the_advice_for_an_ignored_grey_works(tmp_path):
    root = trees.flat(tmp_path, values=(0, 100, 255))
    table = {"0": "not sky", "100": "ignore", "255": "sky"}
    (root / "classes.json").write_text(json.dumps(table))
    encoding = guess_mask_encoding(find_pairs(root))
    stored = np.array([[0, 100, 255]], np.uint8)
    assert labels.decode_mask(stored, encoding, labels.get_scheme("sky"), "x").tolist() == [
        [0, 255, 1]
    ]


@pytest.mark.parametrize(
    ("encoding", "values", "wanted"),
    [("binary255_void", (0, 127, 128, 255), [0, 255, 255, 1]), ("binary1_void", (0, 1, 255), [0, 1, 255])],
)  # fmt: skip
def test_binary_masks_with_an_ignored_value(encoding, values, wanted):
    stored, sky = np.array([values], np.uint8), labels.get_scheme("sky")
    assert labels.decode_mask(stored, encoding, sky, "x").tolist() == [wanted]
    if encoding == "binary255_void":  # drawing programs save it as RGB
        rgb = np.repeat(stored[..., None], 3, axis=-1)
        assert labels.decode_mask(rgb, encoding, sky, "x").tolist() == [wanted]


def test_binary_masks_of_two_kinds(tmp_path):
    """Read as one kind, the sky of half of the masks was ignored."""
    root = trees.flat(tmp_path, ["a", "b"], values=(0, 1))
    trees.write_mask(root / "masks/b.png", (0, 255))
    with pytest.raises(InputError, match=r"a\.png holds 0 and 1, .*b\.png 0 and 255: .*two kinds"):
        guess_mask_encoding(find_pairs(root))
    trees.write_mask(root / "masks/b.png", (0, 1, 255))
    assert guess_mask_encoding(find_pairs(root)) == "binary1_void"


@pytest.mark.parametrize(("sky", "encoding"), [(1, "binary1"), (255, "binary255")])
def test_palettes_that_show_the_lower_value_in_white(tmp_path, sky, encoding):
    """Such a mask shows its sky in white, and stores it as 0: all ground became sky."""
    root = trees.flat(tmp_path, values=(0, sky))

    def save_with(colors):
        for path in (root / "masks").iterdir():
            with Image.open(path) as picture:
                mask = Image.fromarray(np.asarray(picture))
            mask.putpalette(colors)
            mask.save(path)

    save_with([0, 0, 0] + [255] * 765)
    assert guess_mask_encoding(find_pairs(root)) == encoding
    save_with([255, 255, 255] + [0] * 765)
    with pytest.raises(InputError, match=rf"png: its palette shows 0 in white and {sky} in black"):
        guess_mask_encoding(find_pairs(root))
    (root / "classes.json").write_text(json.dumps({"0": "sky", str(sky): "road"}))
    assert guess_mask_encoding(find_pairs(root)) == ((0, "sky"), (sky, "road"))


@pytest.mark.parametrize(
    ("values", "encoding"), [((0, 1), "binary1"), ((0, 255), "binary255"), ((0, 3, 8), "camvid11")]
)
def test_two_values_are_no_streets_whatever_the_layout(tmp_path, values, encoding):
    trees.write_photo(tmp_path / "train/a.png", 0)
    trees.write_mask(tmp_path / "trainannot/a.png", values)
    assert guess_mask_encoding(find_pairs(tmp_path), "camvid") == encoding


def test_train_ids_named_label_ids(tmp_path):
    trees.add_scene(tmp_path, "train", "aachen", 0, (0, 2, 8, 10, 255))
    with pytest.raises(
        InputError, match="labelIds, but it holds 0, 2, 8, 10, 255, which are train"
    ):
        guess_mask_encoding(find_pairs(tmp_path))
    trees.add_scene(tmp_path, "train", "aachen", 0, (0, 2, 8, 10))
    with pytest.raises(InputError, match=r"named labelIds, but the values .* those of trainIds"):
        guess_mask_encoding(find_pairs(tmp_path))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_masks_whose_classes_lie_in_the_alpha_channel(tmp_path, mode):
    root = trees.flat(tmp_path)
    for path in (root / "masks").iterdir():
        mask = Image.open(path).convert("L")
        color = [Image.new("L", mask.size, 40)] * (len(mode) - 1)
        Image.merge(mode, (*color, mask)).save(path)
    with pytest.raises(InputError, match=r"masks/.*png: all classes lie in its alpha channel"):
        guess_mask_encoding(find_pairs(root))


def test_values_that_fit_nothing(tmp_path):
    with pytest.raises(InputError, match=r"hold the values 0, 99, which tell no encoding"):
        guess_mask_encoding(find_pairs(trees.flat(tmp_path, values=(0, 99))))


def test_placeholders_of_the_test_split_are_no_masks(tmp_path):
    root = trees.cityscapes(tmp_path, test=(0, 1, 3))
    test = find_pairs(root, splits=["test"])
    assert len(test) == 2
    assert all(pair.mask is None for pair in test)
    with pytest.raises(InputError, match="no masks"):
        guess_mask_encoding(test, "cityscapes")


def test_real_masks_of_a_test_split_are_kept(tmp_path):
    test = find_pairs(trees.cityscapes(tmp_path, test=(3, 7, 23)), splits=["test"])
    assert [bool(pair.mask) for pair in test] == [True, True]


def test_source_root(tmp_path, monkeypatch):
    monkeypatch.setenv(SOURCE_VARIABLE, str(tmp_path))
    assert source_root() == tmp_path
    monkeypatch.setenv(SOURCE_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"gone \(from CITYSCAPES_DATASET\) does not exist"):
        source_root()
    (tmp_path / "cityscapes").mkdir()
    with pytest.raises(InputError, match=r"does not exist; did you mean .*/cityscapes\?"):
        source_root(tmp_path / "cityscpes")
    monkeypatch.delenv(SOURCE_VARIABLE)
    with pytest.raises(InputError, match="--source DIR or set CITYSCAPES_DATASET"):
        source_root()


def test_a_folder_near_the_dataset_says_where_it_is(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(InputError, match=r"only holiday; .* leftImg8bit/ and gtFine/"):
        find_pairs(tmp_path)
    trees.flat(tmp_path / "sky")
    with pytest.raises(InputError, match=r"did you mean .*sky"):
        find_pairs(tmp_path)
    (tmp_path / "sky" / "notes").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        find_pairs(tmp_path / "sky" / "notes")


@pytest.mark.parametrize("half", ["images", "masks"])
def test_half_of_a_dataset_names_the_folder_as_it_was_typed(tmp_path, monkeypatch, half):
    trees.flat(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"only half of one; .*: --source \.$"):
        find_pairs(half)
    monkeypatch.chdir(tmp_path / half)
    with pytest.raises(InputError, match=f": --source {re.escape(str(tmp_path))}$"):
        find_pairs(".")


def test_photos_beside_masks_of_other_photos_are_half_of_nothing(tmp_path):
    trees.write_photo(tmp_path / "photos" / "a.jpg", 0)
    trees.write_mask(tmp_path / "masks" / "b.png", (0, 255))
    with pytest.raises(InputError, match="photos alone, and no masks of them"):
        find_pairs(tmp_path / "photos")


def test_other_bad_requests(tmp_path):
    root = trees.cityscapes(tmp_path)
    with pytest.raises(InputError, match=r"split 'test' is empty .*train, val"):
        find_pairs(root, splits=["test"])
    with pytest.raises(InputError, match="no layout 'city': there are cityscapes"):
        find_pairs(root, "city")
    with pytest.raises(InputError, match="nothing in images is laid out as"):
        find_pairs(root, "flat")


def test_two_files_of_one_name(tmp_path):
    root = trees.flat(tmp_path)
    trees.write_photo(root / "images/one.png", 9)
    with pytest.raises(InputError, match=r"one.jpg and .*one.png have the same name"):
        find_pairs(root)


def sequence(root, numbers):
    for number in numbers:
        trees.write_photo(
            root / f"leftImg8bit_sequence/train/aachen/aachen_000000_{number:06d}_leftImg8bit.png",
            number,
        )


def test_clip_frames_end_at_the_photo(tmp_path):
    root = trees.cityscapes(tmp_path)
    pair = find_pairs(root)[0]
    with pytest.raises(InputError, match="leftImg8bit_sequence: missing"):
        clip_frames(pair)
    sequence(root, [16, 17, 19])
    with pytest.raises(InputError, match=r"aachen_000000_000018_leftImg8bit.png: frame missing"):
        clip_frames(pair)
    sequence(root, [18])
    assert [path[-22:-16] for path in clip_frames(pair)] == ["000016", "000017", "000018", "000019"]
    with pytest.raises(InputError, match="only 19 frames before it"):
        clip_frames(pair, 30)


def test_clip_frames_from_the_official_zip(tmp_path):
    root = trees.zipped(trees.cityscapes(tmp_path / "tree"), tmp_path / "zips")
    sequence(tmp_path / "tree", [18, 19])
    with zipfile.ZipFile(root / "leftImg8bit_sequence_trainvaltest.zip", "w") as archive:
        for path in (tmp_path / "tree/leftImg8bit_sequence").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path / "tree"))
    frames = clip_frames(find_pairs(root)[0], 2)
    assert images.read_image(frames[1]).shape == (8, 16, 3)
    with pytest.raises(InputError, match=r"000017_leftImg8bit.png: frame missing"):
        clip_frames(find_pairs(root)[0], 3)


def test_clip_of_a_photo_outside_any_sequence(tmp_path):
    with pytest.raises(InputError, match="has no clip"):
        clip_frames(find_pairs(trees.flat(tmp_path))[0])


def test_idd_lite_is_told_from_cityscapes_by_its_masks(tmp_path):
    values = np.array([[0, 6], [255, 3]], np.uint8)
    for folder in ("7", "12"):  # which use the same names
        photo = tmp_path / f"leftImg8bit/train/{folder}/frame5_image.jpg"
        images.write_image(photo, np.zeros((2, 2, 3), np.uint8))
        images.write_image(tmp_path / f"gtFine/train/{folder}/frame5_label.png", values)
    scan = scan_tree(tmp_path)
    assert (scan.layout, scan.clashes) == ("idd", [])
    assert [pair.name for pair in scan.pairs] == ["12_frame5", "7_frame5"]
    assert guess_mask_encoding(scan.pairs) == "idd7"
