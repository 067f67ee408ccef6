"""Scenes of Nerfstudio: the photos that a transforms.json names, and the masks that it then names.

Nerfstudio leaves the pixels out of its loss whose mask is 0. It wants a mask for each frame or for
none, and where it trains on images_2, images_4, ... it looks for each frame's mask, by name alone,
in masks_2, masks_4, ... at the size of the smaller photo.

Reference: nerfstudio/data/dataparsers/nerfstudio_dataparser.py (_get_fname), docs.nerf.studio,
Data conventions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skyseg_tf.errors import InputError
from skyseg_tf.images import (
    image_orientation,
    image_size,
    read_mask,
    resize_mask,
    software_of,
    write_image,
)
from skyseg_tf.masking.formats import SOFTWARE, write_text

TRANSFORMS = "transforms.json"


@dataclass(frozen=True)
class Scene:
    """A scene and where its masks go.

    Attributes:
      file: the transforms.json.
      masks: by the `file_path` of each photo, the path of its mask; both below the file's folder.
    """

    file: Path
    masks: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """What all paths in the file start from."""
        return self.file.parent


def read_scene(path: Path) -> Scene:
    """Reads a scene.

    Args:
      path: the file, or the folder that holds a transforms.json.

    Raises:
      InputError: not such a file, two photos whose masks would have one name, or masks that were
        not made here and would be lost.
    """
    file = path / TRANSFORMS if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: no such file; give the folder that ns-process-data has made")
    frames = _read_json(file)["frames"]
    scene = Scene(file, {frame["file_path"]: _mask_path(frame["file_path"]) for frame in frames})
    _refuse_clashes(scene)
    before = (frame["mask_path"] for frame in frames if "mask_path" in frame)
    for mask in {*scene.masks.values(), *before}:
        path = scene.folder / mask
        if path.is_file() and software_of(path) != SOFTWARE:
            raise InputError(
                f"{path}: a mask that was not made here and would be lost; move it away and take "
                f"mask_path out of {file.name}"
            )
    return scene


def _refuse_clashes(scene: Scene) -> None:
    by_name = bool(_shrunken_folders(scene.folder))
    taken: dict[str, str] = {}
    for photo, mask in scene.masks.items():
        other = taken.setdefault(PurePosixPath(mask).name if by_name else mask, photo)
        if other != photo:
            raise InputError(
                f"{scene.file}: {other} and {photo} have one name, by which Nerfstudio looks for "
                "their masks; rename one of them"
            )


def _read_json(file: Path) -> dict:
    try:
        scene = json.loads(file.read_text(encoding="utf-8"))
        paths = [(frame["file_path"], frame.get("mask_path", "")) for frame in scene["frames"]]
        if paths and all(isinstance(path, str) for frame in paths for path in frame):
            return scene
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # told of below
        pass
    raise InputError(
        f'{file}: no scene of Nerfstudio (its "frames", each with a "file_path" and perhaps a '
        '"mask_path", both text); give the folder that ns-process-data has made'
    )


def _mask_path(photo: str) -> str:
    """images/a/b.jpg -> masks/a/b.png."""
    path = PurePosixPath(photo)
    below = [part for part in path.parts[1:-1] if part != ".."] if not path.is_absolute() else []
    return str(PurePosixPath("masks", *below, f"{path.stem}.png"))


def _shrunken_folders(folder: Path) -> list[tuple[Path, str]]:
    """Each images_2, images_4, ... with the name of the folder of its masks."""
    found = [(path, path.name.removeprefix("images_")) for path in sorted(folder.glob("images_*"))]
    return [(path, f"masks_{factor}") for path, factor in found if factor.isdecimal()]


def finish_scene(scene: Scene) -> None:
    """Once all masks are written: those of the smaller photos, then `mask_path` of every frame.

    Args:
      scene: of `read_scene`.
    """
    for photo, mask_path in scene.masks.items():
        mask = None
        for folder, masks in _shrunken_folders(scene.folder):
            smaller = folder / PurePosixPath(photo).name
            if not smaller.is_file():
                continue
            mask = read_mask(scene.folder / mask_path) if mask is None else mask
            target = scene.folder / masks / PurePosixPath(mask_path).name
            write_image(target, resize_mask(mask, _stored_size(smaller)), software=SOFTWARE)
    content = _read_json(scene.file)
    for frame in content["frames"]:
        frame["mask_path"] = scene.masks[frame["file_path"]]
    write_text(scene.file, json.dumps(content, indent=4) + "\n")


def _stored_size(path: Path) -> tuple[int, int]:
    height, width = image_size(path)
    return (width, height) if image_orientation(path) >= 5 else (height, width)
