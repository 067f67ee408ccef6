import json
from pathlib import Path

import numpy as np
import pytest
from drawn_files import encode_stored
from drawn_models import blue_model, blue_photo
from PIL import Image

from skyseg_tf.errors import InputError
from skyseg_tf.masking.nerfstudio import read_scene
from skyseg_tf.masking.photo_inputs import find_scene
from skyseg_tf.predict import PredictConfig, predict


def load_as_nerfstudio(folder: Path, factor: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(photo, mask) of each frame as its dataparser and dataset open them, with their checks."""

    def path_of(name, prefix):
        return folder / f"{prefix}_{factor}" / Path(name).name if factor > 1 else folder / name

    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    assert len({"mask_path" in frame for frame in frames}) == 1  # all frames or none
    pairs = []
    for frame in frames:
        photo = np.asarray(Image.open(path_of(frame["file_path"], "images")))
        mask = np.asarray(Image.open(path_of(frame["mask_path"], "masks")))[..., None].astype(bool)
        assert mask.shape[:2] == photo.shape[:2]
        pairs.append((photo, mask[..., 0]))
    return pairs


@pytest.fixture
def scene(tmp_path):
    """A scene as ns-process-data leaves it, with odd sizes, and one photo that EXIF turns."""
    folder = tmp_path / "scene"
    sizes = [(121, 181), (121, 181), (181, 121)]
    frames = []
    for i, size in enumerate(sizes, 1):
        upright = blue_photo(*size)
        name = f"frame_{i:05d}.jpg"
        for factor in (1, 2, 4):
            below = folder / (f"images_{factor}" if factor > 1 else "images")
            below.mkdir(parents=True, exist_ok=True)
            smaller = np.asarray(
                Image.fromarray(upright).resize((size[1] // factor, size[0] // factor))
            )
            (below / name).write_bytes(encode_stored(smaller, "JPEG", 8 if i == 3 else 1))
        frames.append({"file_path": f"images/{name}", "transform_matrix": [[0.1, 1e-7, -3, i]]})
    text = json.dumps({"fl_x": 107.25, "frames": frames, "ply_file_path": "sparse_pc.ply"})
    (folder / "transforms.json").write_text(text)
    return folder


@pytest.fixture
def config(scene, tmp_path):
    model = str(blue_model(tmp_path / "blue.onnx", long_side=128))
    return PredictConfig((str(scene),), format="nerfstudio", model=model, quiet=True)


@pytest.mark.parametrize("again", [False, True])
def test_masks_of_all_sizes_and_their_paths(scene, config, again):
    before = json.loads((scene / "transforms.json").read_text())
    for _ in range(1 + again):
        assert predict(config) == 0
    for factor in (1, 2, 4):
        for photo, mask in load_as_nerfstudio(scene, factor):
            blue = photo[..., 2].astype(int) - photo[..., 0] > 40
            assert (mask != blue).mean() > 0.97
    after = json.loads((scene / "transforms.json").read_text())
    assert [frame.pop("mask_path") for frame in after["frames"]] == [
        f"masks/frame_0000{i}.png" for i in (1, 2, 3)
    ]
    assert after == before
    assert sorted(path.name for path in scene.iterdir()) == [
        "images", "images_2", "images_4", "masks", "masks_2", "masks_4", "transforms.json",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\xff\xd8"), Path.unlink])
def test_one_bad_photo_leaves_the_file_alone_and_is_named(scene, config, damage, capsys):
    """Masks for some frames alone end Nerfstudio with an assertion."""
    damage(scene / "images" / "frame_00002.jpg")
    before = (scene / "transforms.json").read_bytes()
    assert predict(config) == 1
    assert (scene / "transforms.json").read_bytes() == before
    lines = capsys.readouterr().err.strip().splitlines()
    assert "frame_00002.jpg" in lines[0]
    assert "transforms.json is as it was" in lines[1]
    assert len(lines) == 2


def test_other_files_of_transforms(scene, config):
    (scene / "transforms.json").rename(scene / "transforms_train.json")
    assert len(read_scene(scene / "transforms_train.json").masks) == 3
    with pytest.raises(InputError, match=r"transforms.json: no such file; give the folder"):
        find_scene(config)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"frames": [{"file": "a"}]}',
        '{"frames": 3}',
        '{"frames": []}',
        '{"frames": {}}',
        '{"frames": [{"file_path": "a.jpg", "mask_path": null}]}',
        '{"frames": [{"file_path": "a.jpg", "mask_path": 7}]}',
    ],
)
def test_what_is_no_scene_is_told_in_one_line(scene, config, text):
    (scene / "transforms.json").write_text(text)
    with pytest.raises(InputError, match="no scene of Nerfstudio"):
        predict(config)
    assert (scene / "transforms.json").read_text() == text


def test_places_of_masks(tmp_path):
    names = ["images/a/x.jpg", "./images/b/x.jpg", "../y.jpg", "/far/z.jpg", "w.jpg"]
    frames = [{"file_path": name} for name in names]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    assert list(read_scene(tmp_path).masks.values()) == [
        "masks/a/x.png", "masks/b/x.png", "masks/y.png", "masks/z.png", "masks/w.png",
    ]  # fmt: skip
    (tmp_path / "images_2").mkdir()  # where names alone count
    with pytest.raises(InputError, match=r"images/a/x.jpg and ./images/b/x.jpg have one name"):
        read_scene(tmp_path)


def test_masks_of_others_are_not_lost(scene, config):
    file = scene / "transforms.json"
    content = json.loads(file.read_text())
    content["frames"][0]["mask_path"] = "people/1.png"
    file.write_text(json.dumps(content))
    (scene / "people").mkdir()
    Image.new("L", (4, 4)).save(scene / "people" / "1.png")
    with pytest.raises(InputError, match=r"people/1.png: a mask that was not made here"):
        predict(config)


def test_flags_that_mean_nothing_here(scene, tmp_path):
    for inputs, out in (((str(scene), "x"), None), ((str(scene),), tmp_path / "m")):
        with pytest.raises(InputError, match="nerfstudio"):
            predict(PredictConfig(inputs, out=out, format="nerfstudio"))
