"""The models and samples that the dashboard offers: all that is found where files are dropped.

Nothing here knows Streamlit or imports TensorFlow, but for photos that only records hold.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.dashboard_pages.folders import Folders
from skyseg_tf.data.drawing.scenes import FPS, draw_scene
from skyseg_tf.data.encodings import claimed_encoding
from skyseg_tf.data.layouts import (
    Pair,
    clip_frames,
    guess_mask_encoding,
    scan_tree,
)
from skyseg_tf.data.listing import is_junk, walk_files
from skyseg_tf.errors import InputError
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.images import read_image, read_mask
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.labels import Encoding, LabelScheme, decode_mask
from skyseg_tf.masking.runtime import Runtime, load_runtime
from skyseg_tf.runs.packaged import WEIGHTS, packaged_files, read_packaged

MODEL_SUFFIXES = (".keras", ".onnx", ".xml", ".tflite")
DRAWN_SIZE = (256, 512)
# Scenes of data.scenes with something to see in each: seed, what it shows.
_DRAWN = (
    (12, "country road, wires"),
    (8, "street, scattered clouds"),
    (13, "low sun between trees"),
    (17, "fog"),
    (7, "wet street, overcast"),
    (1, "tram wires"),
    (4, "night"),
    (18, "houses, no sky"),
)
_NOT_RUNS = {"checkpoints", "plots", "evaluation", "exports", "tensorboard"}
_RUN_FILES = ("config.json", "history.csv", "metrics.json", "model.keras")
_MASK_FOLDERS = {"gtFine", "masks", "annotations", "leftImg8bit_sequence"}


# --- models ---


@dataclass(frozen=True)
class ModelChoice:
    """A model that can be picked.

    Attributes:
      label: for people.
      source: what runtime.load_runtime takes.
      stamp: changes when its files do; caches are keyed on it.
    """

    label: str
    source: str
    stamp: int


def find_models(folders: Folders) -> list[ModelChoice]:
    """All models: of the box, of run folders, and of the folder for more of them."""
    index = read_packaged()
    names = sorted(index["models"], key=lambda name: name != index["default"])
    found = [
        ModelChoice(f"{name} (built in)", name, _stamp(packaged_files(WEIGHTS / name)))
        for name in names
    ]
    for root in (folders.runs, folders.models):
        found += [
            ModelChoice(_below(run, root), str(run), _stamp(_model_files(run)))
            for run in find_runs(root)
            if _model_files(run)
        ]
    in_runs = {Path(choice.source) for choice in found}
    for path in _listed(folders.models):
        loose = path.suffix.lower() in MODEL_SUFFIXES and path.is_file()
        if loose and path.parent not in in_runs and path.parent.parent not in in_runs:
            found.append(ModelChoice(_below(path, folders.models), str(path), _stamp([path])))
    return found


def load_model(choice: ModelChoice) -> Runtime:
    """Loads a model into the fastest runtime that can run it.

    Raises:
      InputError: it cannot be loaded, whatever is wrong with it.
    """
    return load_runtime(choice.source)


def find_runs(root: Path) -> list[Path]:
    """Run folders below a folder, three levels deep, those changed last first."""
    runs = list(_runs_below(Path(root), 3))
    return sorted(runs, key=lambda run: -_stamp(run / name for name in _RUN_FILES))


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not there, or not to be read: nothing below it is shown
        return
    for entry in entries:
        if not entry.is_dir() or is_junk(entry.name) or entry.name in _NOT_RUNS:
            continue
        if any((entry / name).is_file() for name in _RUN_FILES) or (entry / "exports").is_dir():
            yield entry
        if depth > 1:  # trials of a search and trainings of several seeds lie one level down
            yield from _runs_below(entry, depth - 1)


def _model_files(run: Path) -> list[Path]:
    exports = (run / "exports").glob("*") if (run / "exports").is_dir() else ()
    files = [run / "model.keras", *sorted(exports)]
    return [path for path in files if path.is_file() and path.suffix in MODEL_SUFFIXES]


def _stamp(paths: Iterable[Path]) -> int:
    stamps = []
    for path in paths:
        with suppress(OSError):  # a training may put another one in its place right now
            stamps.append(path.stat().st_mtime_ns)
    return max(stamps, default=0)


def _below(path: Path, root: Path) -> str:
    """A short name: the path from its folder's own name on."""
    return (Path(root.resolve().name) / path.relative_to(root)).as_posix()


def _listed(folder: Path) -> list[Path]:
    return sorted(walk_files(folder, depth=3)) if folder.is_dir() else []


# --- samples ---


@dataclass(frozen=True)
class Sample:
    """A photo that can be picked: exactly one of `seed`, `pair` and `records` is given.

    Attributes:
      label: for people.
      seed: of a drawn scene.
      pair: of a dataset tree.
      encoding: of the pair's mask.
      records: (folder, split, name) of a photo that only records hold.
      stamp: changes when its files do.
    """

    label: str
    seed: int | None = None
    pair: Pair | None = None
    encoding: Encoding | None = None
    records: tuple[str, str, str] | None = None
    stamp: int = 0


@dataclass(frozen=True)
class LoadedSample:
    """A sample in memory.

    Attributes:
      image: (H, W, 3) uint8.
      clip: (T, H, W, 3) uint8, the photo last; None where no clip was asked for or is there.
      truth: (H, W) uint8 class ids, 255 = ignored; None where there is none.
      notes: why something is missing.
    """

    image: np.ndarray
    clip: np.ndarray | None
    truth: np.ndarray | None
    notes: tuple[str, ...] = ()


def drawn_samples() -> list[Sample]:
    """Scenes that need no file."""
    return [Sample(f"Drawn scene: {what}", seed=seed) for seed, what in _DRAWN]


def find_samples(folder: Path) -> tuple[list[Sample], list[str]]:
    """Samples in a folder, then the drawn ones.

    Args:
      folder: a dataset in any of layouts.LAYOUTS; or leftImg8bit and gtFine without folders for
        splits and cities; or plain photos, which may lie beside a dataset too.

    Returns:
      The samples, and in words what there could not be used.
    """
    if not folder.is_dir():
        return drawn_samples(), []
    notes, pairs, encoding = [], [], None
    try:
        pairs = scan_tree(folder).pairs
        if any(pair.mask for pair in pairs):
            encoding = guess_mask_encoding(pairs, sample=5, strict=False)
    except InputError as error:
        if pairs:
            notes.append(f"Truth is not shown: {error}")
    found = [sample_of_pair(pair, encoding) for pair in pairs]
    known = {Path(pair.image).resolve() for pair in pairs}
    for pair in _loose_pairs(folder, 0 if pairs else 4):  # beside a dataset, or anywhere
        if Path(pair.image).resolve() not in known:
            found.append(sample_of_pair(pair, "labelIds"))
    return found + drawn_samples(), notes


def sample_of_pair(pair: Pair, encoding: Encoding | None) -> Sample:
    """A photo of a dataset tree as a sample."""
    place = "/".join(part for part in (pair.split, pair.name) if part)
    files = [Path(path) for path in (pair.image, pair.mask) if path and ZIP_MARK not in path]
    return Sample(place, pair=pair, encoding=encoding, stamp=_stamp(files))


def _loose_pairs(folder: Path, depth: int) -> list[Pair]:
    """Photos at most `depth` folders down, with the gtFine masks of their names."""
    photos, masks = {}, {}
    for path in walk_files(folder, depth):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if claimed_encoding(path.name) == "labelIds":
            masks[path.stem.removesuffix("_gtFine_labelIds")] = str(path)
        elif (
            not _MASK_FOLDERS & set(path.relative_to(folder).parts) and "_gtFine_" not in path.name
        ):
            photos[path.stem.removesuffix("_leftImg8bit")] = str(path)
    return [Pair(photos[name], masks.get(name), "", "", name) for name in sorted(photos)]


def load_sample(sample: Sample, scheme: LabelScheme | None, frames: int = 1) -> LoadedSample:
    """Reads or draws a sample.

    Args:
      sample: what was picked.
      scheme: classes of the truth; None for no truth.
      frames: T > 1 asks for the clip that ends in the photo.

    Returns:
      The sample; what is missing or damaged but for the photo is said in its notes.

    Raises:
      InputError: the photo cannot be read.
    """
    if sample.seed is not None:
        return _draw(sample.seed, scheme, frames)
    if sample.records:
        return _from_records(*sample.records, scheme, frames)
    pair, notes = sample.pair, []
    try:
        image = read_image(pair.image)
    except FileNotFoundError:
        raise InputError(f"{sample.label}: the photo is gone; reload the page") from None
    clip = truth = None
    if frames > 1:
        try:
            clip = _read_clip(pair, frames)
        except (InputError, OSError) as error:
            notes.append(f"No clip for this photo, so it stands for all {frames} frames: {error}")
    if pair.mask and scheme and sample.encoding:
        try:
            truth = decode_mask(read_mask(pair.mask), sample.encoding, scheme, pair.mask)
        except (InputError, OSError) as error:
            notes.append(f"Truth is not shown: {error}")
    if truth is not None and truth.shape != image.shape[:2]:
        notes.append(f"Truth is not shown: it is {truth.shape}, the photo {image.shape[:2]}")
        truth = None
    return LoadedSample(image, clip, truth, tuple(notes))


def _read_clip(pair: Pair, frames: int) -> np.ndarray:
    if not pair.split:
        raise InputError(
            "no clip without the folders <split>/<city> of Cityscapes; lay the photos out so"
        )
    pictures = [read_image(path) for path in clip_frames(pair, frames)]
    if len({picture.shape for picture in pictures}) > 1:
        raise InputError(
            f"{pair.image}: the frames of its clip differ in size; download them again"
        )
    return np.stack(pictures)


def _draw(seed: int, scheme: LabelScheme | None, frames: int) -> LoadedSample:
    scene = draw_scene(seed, DRAWN_SIZE)
    earlier = [draw_scene(seed, DRAWN_SIZE, -k / FPS).image for k in range(frames - 1, 0, -1)]
    truth = decode_mask(scene.label_ids, "labelIds", scheme, "drawn scene") if scheme else None
    return LoadedSample(scene.image, np.stack([*earlier, scene.image]) if earlier else None, truth)


def _from_records(
    records: str, split: str, name: str, scheme: LabelScheme | None, frames: int
) -> LoadedSample:
    from skyseg_tf.data.photos import photos_of_records  # imports TensorFlow
    from skyseg_tf.data.records import read_manifest

    manifest, notes, truth = read_manifest(records), [], None
    for photo in photos_of_records(records, split):
        if photo.name == name:
            break
    else:
        raise InputError(
            f"{records}: has no photo '{name}'; its records were built anew; reload the page"
        )
    if scheme and scheme == manifest.scheme:
        truth = photo.truth
    elif scheme:
        notes.append(f"Truth is not shown: the records hold classes {manifest.scheme}")
    clip = photo.image if photo.image.ndim == 4 and len(photo.image) == frames else None
    return LoadedSample(photo.photo, clip, truth, tuple(notes))
