"""Writes drawn scenes as a tree in the format of Cityscapes.

For demos, tests and benchmarks without a download, and for training without one real photo.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skyseg_tf.data.drawing.estimates import check_list, check_room
from skyseg_tf.data.drawing.scenes import FPS, SMALLEST, check_conditions, draw_scene
from skyseg_tf.data.scan import recognise_layout
from skyseg_tf.errors import InputError, flag_of
from skyseg_tf.files.aside import check_folder, write_aside
from skyseg_tf.files.json_file import read_object
from skyseg_tf.files.room import check_picture_size
from skyseg_tf.labels import CITYSCAPES_LABELS, LABEL_ID

SPLITS = (("train", 0.8), ("val", 0.2))
LABELED_FRAME = 19  # number of the labeled frame in its snippet
MOST = 10**8  # scenes per split: so many seeds are kept for each
DRAWING = 2  # counts up when the same seed draws another scene than before
_CITIES = {
    "train": ("altenfurt", "birkenau", "dornheim", "eschbach", "grauburg", "hollental"),
    "val": ("lindenau", "morgenthal", "neuwied"),
    "test": ("ostertor", "quellstadt", "rotenfels"),
}
_LAST_VOID = LABEL_ID["out of roi"]  # what the public test masks of Cityscapes still show
PALETTE = np.zeros((256, 4), np.uint8)  # RGBA by labelId, as in the *_color.png files
PALETTE[:, 3] = 255
PALETTE[[x.id for x in CITYSCAPES_LABELS], :3] = [x.color for x in CITYSCAPES_LABELS]


def write_scenes(
    out: str | Path,
    count: int,
    *,
    size: tuple[int, int] = (1024, 2048),
    seed: int = 0,
    splits: Sequence[tuple[str, float]] = SPLITS,
    sequence_frames: int = 0,
    conditions: str = "all",
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, int]:
    """Draws a tree of scenes in the format of Cityscapes.

    Running it again with the same settings draws only what is missing; a larger count adds
    scenes. Scripts that use several workers need the `if __name__ == "__main__":` guard.

    Args:
      out: the tree's folder.
      count: scenes over all splits.
      size: (height, width).
      seed: of all scenes; different seeds share no scene.
      splits: (name, share) of "train", "val", "test"; masks of "test" are dummies, as in the
        public Cityscapes.
      sequence_frames: 0, or the length of the video snippet that ends in each labeled frame,
        up to 20.
      conditions: key of CONDITIONS: which weathers and places there are.
      workers: processes; one per core if None. The files are the same for any number.
      progress: shows a progress bar.

    Returns:
      Scenes by split.

    Raises:
      InputError: settings out of range, a folder that holds something else, or a process that died.
    """
    out = Path(out)
    _check(out, count, size, seed, splits, sequence_frames, workers)
    check_conditions(conditions)
    check_folder(out)
    check_list(count)
    counts = split_counts(count, splits)
    jobs = [
        (out, split, index, tuple(size), seed, sequence_frames, conditions)
        for split, number in counts.items()
        for index in range(number)
    ]
    jobs = [job for job in jobs if not _is_complete(*job[:3], sequence_frames)]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    check_room(out, len(jobs), size, sequence_frames, workers)
    _claim(out, count, size, seed, splits, sequence_frames, conditions)
    with tqdm(total=len(jobs), desc="scenes", unit="scene", disable=not progress) as bar:
        _write_all(jobs, workers, bar)
    return counts


def _write_all(jobs: list[tuple], workers: int, bar: tqdm) -> None:
    """`_write_scene` of each job."""
    if workers <= 1:
        for job in jobs:
            _write_scene(*job)
            bar.update()
        return
    with _pool(workers) as pool:
        try:
            for done in as_completed([pool.submit(_write_scene, *job) for job in jobs]):
                done.result()
                bar.update()
        except BrokenProcessPool:
            raise InputError(
                "a process that draws scenes ended at once: in a script of yours call it below "
                "`if __name__ == '__main__':`, since each process runs that file's beginning, or with "
                "workers=1; else memory ran out: fewer workers need less"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _pool(workers: int) -> ProcessPoolExecutor:
    try:
        # Spawned, since a fork of a process with TensorFlow's threads may hang.
        return ProcessPoolExecutor(workers, get_context("spawn"))
    except (OSError, ImportError, NotImplementedError) as error:  # no /dev/shm for their locks
        raise InputError(
            f"this system lets no processes work together ({error}); give --workers 1"
        ) from None


def _check(out, count, size, seed, splits, sequence_frames, workers) -> None:
    """Raises InputError for settings out of range."""
    if not 1 <= count <= MOST:
        raise InputError(f"--count is {count}: give 1 to {MOST:,} scenes")
    if len(size) != 2 or min(size) < SMALLEST:
        raise InputError(
            f"--size {' '.join(map(str, size))}: give height and width, at least 64 each"
        )
    check_picture_size("--size", size)
    if seed < 0:
        raise InputError(f"--seed {seed} is negative: give 0 or more")
    names = [name for name, _ in splits]
    if not names or len(set(names)) < len(names) or not set(names) <= set(_CITIES):
        raise InputError(
            f"splits {', '.join(names) or '(none)'}: each of {', '.join(_CITIES)} at most once"
        )
    if min(share for _, share in splits) < 0 or sum(share for _, share in splits) <= 0:
        raise InputError("the shares of the splits must be positive")
    if not 0 <= sequence_frames <= LABELED_FRAME + 1:
        raise InputError(
            f"--sequence-frames is {sequence_frames}: give 0 to {LABELED_FRAME + 1}, the labeled "
            f"frame is number {LABELED_FRAME} as in Cityscapes"
        )
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}: give 1 or more")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: give a folder")


def split_counts(count: int, splits: Sequence[tuple[str, float]]) -> dict[str, int]:
    """Divides scenes among splits; a larger count never takes a scene from a split."""
    total = sum(share for _, share in splits)
    bounds = np.cumsum([0.0] + [share / total for _, share in splits])
    # Scene i belongs to the split in which its place in the golden-ratio sequence falls.
    places = (np.arange(count) * 0.6180339887498949) % 1
    number = np.clip(np.searchsorted(bounds, places, "right") - 1, 0, len(splits) - 1)
    return {name: int((number == i).sum()) for i, (name, _) in enumerate(splits)}


def _claim(out: Path, count, size, seed, splits, sequence_frames, conditions) -> None:
    """Writes scenes.json, or compares with the one of an earlier run."""
    settings = {
        "drawing": DRAWING,
        "size": list(size),
        "seed": seed,
        "splits": [[name, share] for name, share in splits],
        "sequence_frames": sequence_frames,
        "conditions": conditions,
        "count": count,
    }
    path = out / "scenes.json"
    if path.exists():
        delete = "choose another folder or delete this one"
        earlier = {"conditions": "all"} | read_object(path, delete)
        if type(earlier.get("count", 0)) is not int:
            raise InputError(f"{path}: damaged: count is no number; {delete}")
        differing = [
            key for key in settings if key != "count" and earlier.get(key) != settings[key]
        ]
        if not differing and earlier.get("count", 0) > count:
            differing = ["count"]
        if differing:
            changes = ", ".join(
                f"{_flag(k)} was {_typed(earlier.get(k))}, now {_typed(settings[k])}"
                for k in differing
            )
            raise InputError(
                f"{out} holds other scenes ({changes}): choose another folder or delete it"
            )
    elif any((out / name).exists() for name in ("leftImg8bit", "gtFine")) or recognise_layout(out):
        raise InputError(f"{out} holds a dataset that was not drawn here: choose another folder")
    with write_aside(path) as aside:
        aside.write_text(json.dumps(settings, indent=2) + "\n")


def _typed(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _flag(setting: str) -> str:
    """A setting in scenes.json as it is typed; two of them are no flags."""
    return setting if setting in ("drawing", "splits") else flag_of(setting)


def _paths(out: Path, split: str, index: int, frames: int):
    """The files of one scene: photo, (labelIds, color, instanceIds), [(frame number, path)]."""
    cities = _CITIES[split]
    city, place = cities[index % len(cities)], index // len(cities)
    stem = f"{city}_{place:06d}_"
    key = f"{stem}{LABELED_FRAME:06d}"
    photo = out / "leftImg8bit" / split / city / f"{key}_leftImg8bit.png"
    masks = [
        out / "gtFine" / split / city / f"{key}_gtFine_{kind}.png"
        for kind in ("labelIds", "color", "instanceIds")
    ]
    snippet = [
        (k, out / "leftImg8bit_sequence" / split / city / f"{stem}{k:06d}_leftImg8bit.png")
        for k in range(LABELED_FRAME - frames + 1, LABELED_FRAME + 1)
    ]
    return photo, masks, snippet


def scene_seed(split: str, index: int, seed: int = 0) -> int:
    """The seed of one scene: no two trees and no two splits share one.

    Args:
      split: "train", "val" or "test".
      index: of the scene in the split, below MOST.
      seed: of the tree.
    """
    return seed * 10**9 + list(_CITIES).index(split) * MOST + index


def _is_complete(out, split, index, frames) -> bool:
    photo, masks, snippet = _paths(out, split, index, frames)
    return all(path.exists() for path in (photo, *masks, *(path for _, path in snippet)))


def _write_scene(out, split, index, size, seed, frames, conditions) -> None:
    """Draws and writes all files of one scene; top level so that workers can import it."""
    photo, masks, snippet = _paths(out, split, index, frames)
    drawn = scene_seed(split, index, seed)
    scene = draw_scene(drawn, size, 0.0, conditions)
    labels, instances = scene.label_ids, scene.instance_ids
    if split == "test":
        labels = np.where(labels > _LAST_VOID, 0, labels).astype(np.uint8)
        instances = labels.astype(np.uint16)
    for number, path in snippet:
        if path.exists():
            continue
        frame = scene
        if number != LABELED_FRAME:
            frame = draw_scene(drawn, size, (number - LABELED_FRAME) / FPS, conditions)
        _write_png(path, frame.image)
    for path, picture in zip(masks, (labels, PALETTE[labels], instances), strict=True):
        _write_png(path, picture)
    _write_png(photo, scene.image)


def _write_png(path: Path, picture: np.ndarray) -> None:
    # Level 1: noise does not compress, and the default level would take longer than drawing.
    with write_aside(path) as aside:
        Image.fromarray(picture).save(aside, format="png", compress_level=1)
