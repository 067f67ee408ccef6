import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import drawn_trees as trees
import numpy as np
import pytest
from dying import Killed, die_at
from PIL import Image

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data import rgb_stats as rs
from skyseg_tf.data.identity import sha256_of_sizes
from skyseg_tf.data.records import extract_cityscape_data_info, read_manifest, read_tfrecord
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.images import read_image, resize_image

SIZE = (32, 64)


def content(folder: Path) -> dict[str, str]:
    """Digest of every file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def config(tree, out, **changes):
    return replace(BuildConfig(out=out, source=tree, image_size=SIZE, quiet=True), **changes)


def test_statistics_and_pixels_are_those_of_the_train_split(tree, tmp_path):
    manifest = build(config(tree, tmp_path / "r", scheme="cityscapes19"))
    train = [pair for pair in find_pairs(tree) if pair.split == "train"]
    stack = np.stack([resize_image(read_image(pair.image), SIZE) for pair in train])
    for i, channel in enumerate("RGB"):
        assert abs(manifest.rgb_stats[f"{channel}_MEAN"] - stack[..., i].mean()) < 1e-9
        assert abs(manifest.rgb_stats[f"{channel}_STD"] - stack[..., i].std()) < 1e-9
    assert rs.read_rgb_stats(tmp_path / "r" / "rgb_stats.json") == manifest.rgb_stats
    files = [str(tmp_path / "r" / shard.file) for shard in manifest.splits["train"].shards]
    pairs = list(read_tfrecord(files))
    assert len(pairs) == manifest.splits["train"].count == len(train)
    images = np.stack([pair["image"] for pair in pairs])
    np.testing.assert_allclose(images.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 1, 2)), 1, atol=1e-4)
    masks = np.stack([pair["mask"] for pair in pairs])
    counts = np.bincount(masks.ravel(), minlength=256)
    assert manifest.splits["train"].class_pixels == counts[:19].tolist()
    assert manifest.splits["train"].ignored_pixels == counts[255]


def test_bytes_do_not_depend_on_the_number_of_threads_and_shards_are_balanced(tree, tmp_path):
    for workers in (1, 3):
        build(config(tree, tmp_path / str(workers), workers=workers, shards=5))
    assert content(tmp_path / "1") == content(tmp_path / "3")
    counts = [shard.count for shard in read_manifest(tmp_path / "1").splits["train"].shards]
    assert len(counts) == 5
    assert max(counts) - min(counts) <= 1
    assert not [p for p in (tmp_path / "1").iterdir() if p.name.startswith(".")]


def test_killed_while_it_works_and_run_again_gives_the_same_bytes(tree, tmp_path):
    build(config(tree, tmp_path / "whole"))
    code = (
        "import sys, time; from pathlib import Path; import skyseg_tf.data.building as b; "
        "import skyseg_tf.data.shards as s; load = s.load_pair; "
        "s.load_pair = lambda *a: (time.sleep(.05), load(*a))[1]; print('go', flush=True); "
        "b.build(b.BuildConfig(out=Path(sys.argv[2]), source=Path(sys.argv[1]), "
        "image_size=(32, 64), quiet=True, workers=1))"
    )
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, tree, killed], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "go\n"
    while not any(killed.glob("*/*/*.json")):  # the first shard's note
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (killed / "dataset.json").exists()
    build(config(tree, killed))
    assert content(killed) == content(tmp_path / "whole")


def test_running_again_changes_nothing_and_other_settings_are_refused(tree, tmp_path):
    out = tmp_path / "r"
    build(config(tree, out))
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    build(config(tree, out))
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(InputError, match=r"records of another build \(scheme was sky"):
        build(config(tree, out, scheme="streets11"))
    with pytest.raises(InputError, match="storage was normalized"):
        build(config(tree, out, storage="png"))


def test_a_dataset_with_its_own_classes_can_be_built_again(tmp_path):
    root = tmp_path / "own"
    for i in range(6):
        for split in ("train", "val"):
            for folder in ("images", "masks"):
                (root / folder / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 10), (i, 9, 9)).save(root / f"images/{split}/{split}{i}.png")
            Image.new("L", (20, 10), 6).save(root / f"masks/{split}/{split}{i}.png")
    (root / "classes.json").write_text('{"0": "various", "6": "sky"}')
    first = build(config(root, tmp_path / "r"))
    assert build(config(root, tmp_path / "r")).splits == first.splits


def test_given_statistics_are_used(tree, tmp_path):
    stats = dict(zip(rs._KEYS, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    rs.write_rgb_stats(tmp_path / "s.json", stats)
    manifest = build(config(tree, tmp_path / "r", rgb_stats=tmp_path / "s.json"))
    assert manifest.rgb_stats == stats


def test_refuses_folders_that_are_not_its_own(tree, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        build(config(tree, tmp_path / "mine"))
    with pytest.raises(InputError, match="in the way"):
        build(config(tree, tmp_path / "mine" / "thesis.txt"))
    with pytest.raises(InputError, match="no storage"):
        build(config(tree, tmp_path / "r", storage="gzip"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncate", "damaged"),
        ("size", r"the mask is 10 x 10, its photo\s+192 x 96"),
        ("value", "unknown class id 77|no encoding|77"),
    ],
)
def test_bad_files_are_named_and_nothing_is_finished(tree, tmp_path, damage, message):
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy)
    pair = find_pairs(copy)[0]
    if damage == "truncate":
        Path(pair.image).write_bytes(Path(pair.image).read_bytes()[:700])
    else:
        size = (10, 10) if damage == "size" else (96, 192)
        Image.fromarray(np.full(size, 7 if damage == "size" else 77, np.uint8)).save(pair.mask)
    with pytest.raises(InputError, match=message) as error:
        build(config(copy, tmp_path / "r"))
    assert "\n" not in str(error.value)
    assert Path(pair.image).name.split("_leftImg8bit")[0] in str(error.value)
    assert not (tmp_path / "r" / "dataset.json").exists()


@pytest.mark.parametrize("repair", ["restored", "taken out"])
def test_a_build_goes_on_once_its_source_is_repaired(tree, tmp_path, repair):
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy)
    pair = find_pairs(copy)[-1]
    photo = Path(pair.image)
    photo.write_bytes(photo.read_bytes()[:700])
    with pytest.raises(InputError, match="damaged"):
        build(config(copy, tmp_path / "r"))
    if repair == "restored":
        shutil.copy(find_pairs(tree)[-1].image, photo)
    else:
        photo.unlink()
        Path(pair.mask).unlink()
    build(config(copy, tmp_path / "r"))
    build(config(copy, tmp_path / "whole"))
    assert content(tmp_path / "r") == content(tmp_path / "whole")
    with open(find_pairs(copy)[0].image, "ab") as other:
        other.write(b"more")
    with pytest.raises(InputError, match="another build"):  # a finished one is never replaced
        build(config(copy, tmp_path / "r"))


def test_full_disk_is_one_line_and_can_be_continued(tree, tmp_path):
    """PNGs, whose size nobody can tell before: others are refused before the work."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "none", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        run = subprocess.run(
            [sys.executable, "-m", "skyseg_tf.build", "--source", tree, "--out", small / "r",
             "--image-size", "32", "64", "--storage", "png", "--quiet"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == 2
        assert "No space left" in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1
        assert not (small / "r" / "dataset.json").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        build(config(tree, small / "r", storage="png"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_manifest_says_what_a_reader_needs(records):
    manifest = json.loads((records / "dataset.json").read_text())
    assert {"schema_version", "splits", "scheme", "rgb_stats", "source_sha256"} <= set(manifest)
    shard = manifest["splits"]["train"]["shards"][0]
    digest = hashlib.sha256((records / shard["file"]).read_bytes()).hexdigest()
    assert shard["sha256"] == digest


def test_camvid_builds(camvid, tmp_path):
    manifest = build(config(camvid, tmp_path / "r", storage="uint8"))
    assert manifest.splits["train"].count == 367
    assert manifest.splits["val"].count == 101


def small(root, out, **changes):
    return replace(
        BuildConfig(out=out, source=root, image_size=trees.SIZE, storage="uint8", quiet=True),
        **changes,
    )


def same_size(path: Path) -> None:
    """Gives a file other content, but its size and times."""
    facts, content = path.stat(), path.read_bytes()
    trees.write_photo(path, 77)
    path.write_bytes(path.read_bytes()[: len(content)].ljust(len(content), b"\0"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_a_source_changed_at_the_same_size_is_seen(tmp_path):
    root, out = trees.flat(tmp_path / "own", split="train"), tmp_path / "r"
    before = build(small(root, out))
    assert build(small(root, out)) == before
    same_size(root / "images/train/two.jpg")
    with pytest.raises(InputError, match=r"another build \(its source has changed since"):
        build(small(root, out))


@pytest.mark.parametrize("storage", ["uint8", "normalized"])
def test_what_changed_under_an_unfinished_build_is_built_anew(tmp_path, storage):
    root, out = trees.flat(tmp_path / "own", split="train"), tmp_path / "r"
    three = root / "images/train/three.jpg"
    whole = three.read_bytes()
    three.write_bytes(whole[:200])
    with pytest.raises(InputError, match="damaged"):
        build(small(root, out, storage=storage))
    three.write_bytes(whole)
    same_size(root / "images/train/two.jpg")
    trees.write_photo(root / "images/train/four.jpg", 4)
    trees.write_mask(root / "masks/train/four.png", (0, 255))
    manifest = build(small(root, out, storage=storage))
    assert manifest == build(small(root, tmp_path / "fresh", storage=storage))
    assert content(out) == content(tmp_path / "fresh")


def test_records_of_before_contents_counted_are_kept(tmp_path):
    root, out = trees.flat(tmp_path / "own"), tmp_path / "r"
    build(small(root, out))
    infos = extract_cityscape_data_info(root)
    manifest = json.loads((out / "dataset.json").read_text())
    manifest["source_sha256"] = sha256_of_sizes(infos)
    (out / "dataset.json").write_text(json.dumps(manifest))
    settings = json.loads((out / "build.json").read_text())
    (out / "build.json").write_text(json.dumps(settings | {"source_sha256": "x"}))
    assert build(small(root, out)).source_sha256 == manifest["source_sha256"]


def test_a_build_that_ended_before_it_began_goes_on(tmp_path):
    root, out = trees.flat(tmp_path / "own"), tmp_path / "r"
    (out / ".build").mkdir(parents=True)
    (out / ".build" / "lock").touch()
    (out / ".build.json.123-0.tmp").write_text("{")
    assert build(small(root, out)).splits["train"].count == 2
    assert not list(out.glob(".*"))


def test_an_unfinished_build_with_other_settings_begins_anew(tmp_path):
    root, out = trees.flat(tmp_path / "own", split="train"), tmp_path / "r"
    three = root / "images/train/three.jpg"
    whole = three.read_bytes()
    three.write_bytes(whole[:200])
    with pytest.raises(InputError, match="damaged"):
        build(small(root, out, storage="png", shards=1))
    three.write_bytes(whole)
    build(small(root, out))
    build(small(root, tmp_path / "fresh"))
    assert content(out) == content(tmp_path / "fresh")


def test_damaged_settings_are_one_line(tmp_path):
    root, out = trees.flat(tmp_path / "own"), tmp_path / "r"
    build(small(root, out))
    (out / "build.json").write_text("{")
    with pytest.raises(InputError, match=r"build\.json: damaged, not JSON.*delete that folder"):
        build(small(root, out))


def test_a_sky_that_is_everywhere_or_nowhere_is_refused_or_warned_of(tmp_path, capsys):
    root = trees.flat(tmp_path / "own", split="train", values=(255,))
    trees.flat(root, ("four",), split="val", values=(0, 255))
    message = "no pixel of the train split is 'not sky', every labeled pixel is 'sky'"
    with pytest.raises(InputError, match=f"{message}.*name their --encoding"):
        build(small(root, tmp_path / "r"))
    build(small(root, tmp_path / "r", encoding="binary255"))
    assert f"warning: {root}: {message}" in capsys.readouterr().err


def test_rooms_without_sky_are_built_with_a_warning(tmp_path, capsys):
    root = tmp_path / "rooms"
    for seed in range(2):
        trees.add_scene(root, "train", "hall", seed, (11, 21))
    manifest = build(small(root, tmp_path / "r"))
    assert manifest.splits["train"].class_pixels[1] == 0
    assert "no pixel of the train split is 'sky'" in capsys.readouterr().err
    build(small(root, tmp_path / "streets", scheme="cityscapes19"))
    assert "no pixel of the train split is 'road' or 'sidewalk' or" in capsys.readouterr().err


def test_masks_without_a_label_are_refused(tmp_path):
    root = trees.flat(tmp_path / "own", split="train", values=(0, 1))
    (root / "classes.json").write_text('{"0": "other", "1": "ignore"}')
    with pytest.raises(InputError, match="no pixel of the train split is labeled"):
        build(small(root, tmp_path / "r"))


def test_binary_masks_with_an_ignored_value_are_built(tmp_path):
    root = trees.flat(tmp_path / "own", split="train", values=(0, 128, 255, 255))
    split = build(small(root, tmp_path / "r")).splits["train"]
    pixels = split.count * trees.SIZE[0] * trees.SIZE[1]
    assert (split.class_pixels, split.ignored_pixels) == ([pixels // 4, pixels // 2], pixels // 4)


@pytest.mark.parametrize("storage", ["uint8", "normalized"])
def test_killed_at_every_rename_and_run_again_gives_the_same_bytes(tmp_path, storage, monkeypatch):
    root, steps = trees.flat(tmp_path / "own"), 0
    trees.flat(root, ("four",), split="val")
    settings = {"storage": storage, "shards": 1, "workers": 1}
    build(small(root, tmp_path / "whole", **settings))
    whole = content(tmp_path / "whole")
    while True:
        steps += 1
        out = tmp_path / f"r{steps}"
        with monkeypatch.context() as patch:
            die_at(patch, steps)
            try:
                build(small(root, out, **settings))
            except Killed:
                pass
            else:
                break
        build(small(root, out, **settings))
        assert content(out) == whole, steps
        assert not list(out.glob(".*")), steps
    assert steps > 15


def test_a_torn_manifest_is_an_unfinished_build(tmp_path):
    root, out = trees.flat(tmp_path / "own"), tmp_path / "r"
    build(small(root, out))
    whole = content(out)
    (out / "dataset.json").write_bytes((out / "dataset.json").read_bytes()[:100])
    build(small(root, out))
    assert content(out) == whole
