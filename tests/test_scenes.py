"""Drawn street scenes: exact, varied, reproducible, and in the format of Cityscapes."""

import hashlib
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skyseg_tf.data.drawing import dataset, scenes
from skyseg_tf.data.drawing.dataset import PALETTE, SPLITS, split_counts, write_scenes
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.errors import InputError
from skyseg_tf.labels import CITYSCAPES_LABELS, LABEL_ID

SIZE = (64, 128)
SKY = LABEL_ID["sky"]


def files_of(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What was drawn when DRAWING was counted up last: digest of labels and instances, mean color.
DRAWN = (
    (0, "all", "a7eed759c721", (106.9, 99.5, 92.3)),
    (7, "all", "4b1422ca00c2", (104.7, 109.5, 109.3)),
    (2, "cityscapes", "5fb9553d6c0c", (114.5, 114.4, 111.4)),
    (5, "cityscapes", "f2b97efa49ba", (105.0, 103.7, 107.8)),
    (1, "indoors", "2875f6a124c1", (111.7, 91.4, 61.6)),
)


@pytest.mark.parametrize(("seed", "conditions", "digest", "color"), DRAWN)
def test_a_seed_draws_what_it_always_drew(seed, conditions, digest, color):
    """The photo's last bit depends on the JPEG encoder, so that its mean must do."""
    scene = draw_scene(seed, SIZE, conditions=conditions)
    drawn = scene.label_ids.tobytes() + scene.instance_ids.tobytes()
    assert hashlib.sha256(drawn).hexdigest()[:12] == digest
    np.testing.assert_allclose(scene.image.mean((0, 1)), color, atol=0.5)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "tree"
    splits = (("train", 0.5), ("val", 0.25), ("test", 0.25))
    write_scenes(out, 6, size=SIZE, seed=3, splits=splits, sequence_frames=2, workers=1)
    return out


@pytest.fixture(scope="module")
def gallery() -> list[scenes.Scene]:
    return [draw_scene(seed, SIZE) for seed in range(40)]


def test_the_same_seed_draws_the_same_scene_and_another_seed_another(gallery):
    again = draw_scene(7, SIZE)
    np.testing.assert_array_equal(again.image, gallery[7].image)
    np.testing.assert_array_equal(again.instance_ids, gallery[7].instance_ids)
    assert len({scene.image.tobytes() for scene in gallery}) == len(gallery)


def test_arrays_and_labels_are_those_of_cityscapes(gallery):
    known = {label.id for label in CITYSCAPES_LABELS}
    countable = {label.id for label in CITYSCAPES_LABELS if label.has_instances}
    for scene in gallery:
        assert scene.image.shape == (*SIZE, 3)
        assert (scene.image.dtype, scene.label_ids.dtype) == (np.uint8, np.uint8)
        assert scene.instance_ids.dtype == np.uint16
        assert set(np.unique(scene.label_ids).tolist()) <= known
        ids = scene.instance_ids
        np.testing.assert_array_equal(np.where(ids >= 1000, ids // 1000, ids), scene.label_ids)
        np.testing.assert_array_equal(ids >= 1000, np.isin(scene.label_ids, list(countable)))


def test_scenes_vary_from_no_sky_to_mostly_sky(gallery):
    shares = np.array([(scene.label_ids == SKY).mean() for scene in gallery])
    assert (shares == 0).sum() >= 1
    assert shares.max() > 0.45
    assert 0.08 < np.median(shares) < 0.4
    seen = set(np.concatenate([np.unique(scene.label_ids) for scene in gallery]).tolist())
    names = ("building", "road", "sidewalk", "vegetation", "terrain", "car", "person", "pole")
    assert {LABEL_ID[name] for name in names} <= seen
    with_sky = [scene for scene in gallery if (scene.label_ids == SKY).any()]
    brightness = [scene.image[scene.label_ids == SKY].mean() for scene in with_sky]
    assert min(brightness) < 100
    assert max(brightness) > 220


def test_photo_edges_are_where_label_edges_are():
    """Across each sky edge the photo changes more than one pixel further off."""
    jumps, calm = [], []
    for seed in range(8):
        scene = draw_scene(seed, (96, 192))
        sky = scene.label_ids == SKY
        gray = scene.image.mean(-1)
        step = np.abs(np.diff(gray, axis=0))
        edge = sky[:-1] & ~sky[1:]
        inside = sky[:-1] & sky[1:]
        if edge.sum() > 50:
            jumps.append(step[edge].mean())
            calm.append(step[inside].mean())
    assert len(jumps) > 4
    assert np.median(np.array(jumps) / np.array(calm)) > 4


@pytest.mark.parametrize("size", [(64, 200), (150, 70), (97, 131)])
def test_any_size_of_at_least_64_can_be_drawn(size):
    scene = draw_scene(1, size)
    assert scene.image.shape == (*size, 3)
    assert scene.label_ids.shape == scene.instance_ids.shape == size


def test_labels_do_not_depend_on_the_size_of_the_picture():
    small, large = draw_scene(2, (64, 128)), draw_scene(2, (256, 512))
    share_small, share_large = ((scene.label_ids == SKY).mean() for scene in (small, large))
    assert share_small == pytest.approx(share_large, abs=0.03)


def test_time_moves_the_camera_through_the_same_scene():
    first, soon, late = (draw_scene(5, SIZE, time) for time in (0.0, 0.06, 3.0))
    changed_soon = (first.label_ids != soon.label_ids).mean()
    changed_late = (first.label_ids != late.label_ids).mean()
    assert 0 < changed_soon < 0.12
    assert changed_late > changed_soon


def test_the_tree_has_the_names_of_cityscapes(tree):
    photo = re.compile(r"leftImg8bit/(train|val|test)/([a-z]+)/\2_\d{6}_000019_leftImg8bit\.png")
    mask = re.compile(
        r"gtFine/(train|val|test)/([a-z]+)/\2_\d{6}_000019_gtFine_(labelIds|color|instanceIds)\.png"
    )
    frame = re.compile(
        r"leftImg8bit_sequence/(train|val|test)/([a-z]+)/\2_\d{6}_0000(18|19)_leftImg8bit\.png"
    )
    names = set(files_of(tree)) - {"scenes.json"}
    kinds = [sum(bool(p.fullmatch(name)) for name in names) for p in (photo, mask, frame)]
    assert kinds == [6, 18, 12]
    assert len(names) == 36
    splits_of = {}
    for path in (tree / "leftImg8bit").glob("*/*"):
        splits_of.setdefault(path.name, set()).add(path.parent.name)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert {split for splits in splits_of.values() for split in splits} == {"train", "val", "test"}


def test_mask_files_agree_with_each_other(tree):
    for path in (tree / "gtFine").rglob("*_labelIds.png"):
        labels = np.asarray(Image.open(path))
        color = Image.open(str(path).replace("labelIds", "color"))
        instances = np.asarray(Image.open(str(path).replace("labelIds", "instanceIds")))
        assert labels.dtype == np.uint8
        assert color.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(color), PALETTE[labels])
        assert instances.dtype == np.uint16
        np.testing.assert_array_equal(
            np.where(instances >= 1000, instances // 1000, instances), labels
        )
        assert "/test/" not in str(path) or labels.max() <= LABEL_ID["out of roi"]


def test_the_labeled_frame_ends_its_snippet(tree):
    for path in (tree / "leftImg8bit").rglob("*.png"):
        last = Path(str(path).replace("leftImg8bit/", "leftImg8bit_sequence/", 1))
        before = Path(str(last).replace("_000019_", "_000018_"))
        np.testing.assert_array_equal(np.asarray(Image.open(last)), np.asarray(Image.open(path)))
        assert not np.array_equal(np.asarray(Image.open(before)), np.asarray(Image.open(path)))


def test_no_scene_is_in_two_places(tree):
    digests = [digest for name, digest in files_of(tree).items() if name.startswith("leftImg8bit/")]
    assert len(set(digests)) == len(digests) == 6


def test_the_number_of_workers_changes_no_byte(tmp_path):
    for workers in (1, 2):
        write_scenes(tmp_path / str(workers), 3, size=(64, 64), workers=workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "draw.py"
    call = f"write_scenes({str(tmp_path / 'tree')!r}, 2, size=(64, 64), workers=2)"
    script.write_text(f"from skyseg_tf.data.drawing.dataset import write_scenes\n{call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert "in a script of yours call it below `if __name__ == '__main__':`" in done.stderr


def test_a_second_run_draws_only_what_is_missing(tmp_path, monkeypatch):
    out = tmp_path / "tree"
    write_scenes(out, 4, size=(64, 64), workers=1)
    whole = files_of(out)
    next((out / "gtFine").rglob("*_color.png")).unlink()
    drawn = []
    draw = dataset.draw_scene
    monkeypatch.setattr(dataset, "draw_scene", lambda *args: drawn.append(args) or draw(*args))
    write_scenes(out, 4, size=(64, 64), workers=1)
    assert len(drawn) == 1
    assert files_of(out) == whole
    write_scenes(out, 6, size=(64, 64), workers=1)
    assert len(drawn) == 3
    assert whole.items() - {("scenes.json", whole["scenes.json"])} <= files_of(out).items()


def test_an_interrupted_file_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_scenes(tmp_path / "tree", 1, size=(64, 64), workers=1)
    assert list(files_of(tmp_path / "tree")) == ["scenes.json"]


def test_conditions_of_cityscapes_are_roads_by_day():
    def darkest_sky(conditions):
        drawn = [draw_scene(seed, (64, 128), conditions=conditions) for seed in range(12)]
        skies = [scene.image[scene.label_ids == LABEL_ID["sky"]] for scene in drawn]
        return drawn, min(sky.mean() for sky in skies if sky.size)

    drawn, darkest = darkest_sky("cityscapes")
    assert all((scene.label_ids == LABEL_ID["road"]).any() for scene in drawn)
    assert darkest > 150
    assert darkest_sky("all")[1] < 100  # night


def test_rooms_show_sky_only_through_few_windows():
    rooms = [seed for seed in range(45) if seed % 3]
    drawn = [draw_scene(seed, (64, 64), conditions="indoors") for seed in rooms]
    drawn += [draw_scene(seed, (240, 320), conditions="indoors") for seed in rooms[:8]]
    again = draw_scene(rooms[3], (64, 64), conditions="indoors")
    np.testing.assert_array_equal(again.image, drawn[3].image)
    np.testing.assert_array_equal(again.label_ids, drawn[3].label_ids)
    allowed = {"building", "sky", "vegetation", "terrain", "person"}
    allowed |= {"rectification border", "out of roi"}  # the edges of some photos
    seen = set(np.concatenate([np.unique(scene.label_ids) for scene in drawn]).tolist())
    assert seen <= {LABEL_ID[name] for name in allowed}
    skies = [scene.label_ids == SKY for scene in drawn]
    assert 0.05 < np.mean([sky.any() for sky in skies]) < 0.5
    assert max(sky.mean() for sky in skies) < 0.35
    assert max(sky[: max(1, len(sky) // 20)].mean() for sky in skies) < 0.5


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "--count is 0"),
        (1, {"size": (63, 200)}, "--size 63 200: .*at least 64"),
        (1, {"seed": -1}, "--seed -1 is negative"),
        (1, {"splits": (("train", 1), ("train", 1))}, "at most once"),
        (1, {"splits": (("dev", 1),)}, "at most once"),
        (1, {"splits": (("train", 0),)}, "positive"),
        (1, {"sequence_frames": 21}, "--sequence-frames is 21: give 0 to 20"),
        (1, {"workers": 0}, "--workers is 0"),
        (1, {"conditions": "moon"}, "no conditions 'moon': there are all, cityscapes, indoors"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, count, options, message):
    with pytest.raises(InputError, match=message):
        write_scenes(tmp_path / "tree", count, **options)
    assert not (tmp_path / "tree").exists()


def test_folders_that_hold_something_else_are_refused(tmp_path, tree):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_scenes(file, 1)
    (tmp_path / "real" / "leftImg8bit").mkdir(parents=True)
    with pytest.raises(InputError, match="not drawn here"):
        write_scenes(tmp_path / "real", 1)
    for folder in ("images", "masks"):  # of which `skyseg build` would see these or the scenes
        (tmp_path / "own" / folder).mkdir(parents=True)
    with pytest.raises(InputError, match="own holds a dataset that was not drawn here"):
        write_scenes(tmp_path / "own", 1)
    assert not (tmp_path / "own" / "leftImg8bit").exists()
    with pytest.raises(InputError, match="--seed was 3, now 4, --sequence-frames was 2, now 0"):
        write_scenes(
            tree,
            6,
            size=SIZE,
            seed=4,
            splits=json.loads((tree / "scenes.json").read_text())["splits"],
        )
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "scenes.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        write_scenes(tmp_path / "bad", 1)


def test_drawing_refuses_tiny_sizes_and_negative_seeds():
    with pytest.raises(InputError, match="too small"):
        draw_scene(0, (32, 128))
    with pytest.raises(InputError, match="negative"):
        draw_scene(-1, SIZE)


def test_a_larger_count_takes_no_scene_from_a_split():
    counts = [split_counts(n, SPLITS) for n in range(1, 60)]
    for before, after in pairwise(counts):
        assert all(after[split] >= before[split] for split in after)
        assert sum(after.values()) == sum(before.values()) + 1
    assert split_counts(1000, SPLITS)["train"] == pytest.approx(800, abs=3)


def test_the_command_draws_and_says_where(tmp_path):
    flags = f"--out {tmp_path / 'tree'} --count 2 --size 64 64 --workers 1".split()
    command = [sys.executable, "-m", "skyseg_tf.scenes", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("2 train, 0 val scenes of 64 x 64")
    command[-3] = "96"  # of --size
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "holds other scenes (--size was 64 64, now 64 96)" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_locks_between_processes_one_is_asked_for(tmp_path, monkeypatch):
    """Where /dev/shm cannot be written, the line spoke of a read-only file system somewhere."""

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(dataset, "ProcessPoolExecutor", refuse)
    with pytest.raises(InputError, match=r"no processes work together \(.*\); give --workers 1"):
        write_scenes(tmp_path, 2, size=(64, 64), workers=2, progress=False)
    write_scenes(tmp_path, 2, size=(64, 64), workers=1, progress=False)
