"""The samples that the dashboard offers: all that is found where files are dropped, and drawn scenes.

Nothing here knows Streamlit or imports TensorFlow, but for photos that only records hold.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.dashboard_pages.model_choices import stamp_of
from skyseg_tf.data.clips import clip_frames
from skyseg_tf.data.drawing.dataset import scene_seed
from skyseg_tf.data.drawing.scenes import FPS, draw_scene
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.listing import walk_files
from skyseg_tf.data.mask_values import claimed_encoding
from skyseg_tf.data.scan import scan_tree
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import ZIP_MARK
from skyseg_tf.files.places import resolved
from skyseg_tf.images import read_image, read_mask
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.labels import Encoding, LabelScheme, decode_mask

DRAWN_SIZE = (256, 512)
# Scenes of the test split, which has no truth to train on, with something to see in each: number in
# the split, what it shows.
_DRAWN = (
    (32, "country road, clouds"),
    (28, "street, scattered clouds"),
    (17, "wires before a pale sky"),
    (23, "dusk behind trees"),
    (13, "fog"),
    (7, "wet motorway, overcast"),
    (37, "night"),
    (35, "a room, no sky"),
)
_MASK_FOLDERS = {"gtFine", "masks", "annotations", "leftImg8bit_sequence"}


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
    return [Sample(f"Drawn scene: {what}", seed=scene_seed("test", n)) for n, what in _DRAWN]


def find_samples(folder: Path) -> tuple[list[Sample], list[str]]:
    """Samples in a folder, then the drawn ones; first those of splits that nobody trains on.

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
        pairs = sorted(scan_tree(folder).pairs, key=lambda pair: pair.split == "train")
        if any(pair.mask for pair in pairs):
            encoding = guess_mask_encoding(pairs, sample=5, strict=False)
    except InputError as error:
        if pairs:
            notes.append(f"Truth is not shown: {error}")
    found = [sample_of_pair(pair, encoding) for pair in pairs]
    known = {resolved(Path(pair.image)) for pair in pairs}
    for pair in _loose_pairs(folder, 0 if pairs else 4):  # beside a dataset, or anywhere
        if resolved(Path(pair.image)) not in known:
            found.append(sample_of_pair(pair, "labelIds"))
    return found + drawn_samples(), notes


def sample_of_pair(pair: Pair, encoding: Encoding | None) -> Sample:
    """A photo of a dataset tree as a sample."""
    place = "/".join(part for part in (pair.split, pair.name) if part)
    files = [Path(path) for path in (pair.image, pair.mask) if path and ZIP_MARK not in path]
    return Sample(place, pair=pair, encoding=encoding, stamp=stamp_of(files))


def _loose_pairs(folder: Path, depth: int) -> list[Pair]:
    """Photos at most `depth` folders down, with the gtFine masks of their names."""
    photos, masks = [], {}
    for path in walk_files(folder, depth):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if claimed_encoding(path.name) == "labelIds":
            masks[path.stem.removesuffix("_gtFine_labelIds")] = str(path)
        elif (
            not _MASK_FOLDERS & set(path.relative_to(folder).parts) and "_gtFine_" not in path.name
        ):
            photos.append(path)
    names = [path.stem.removesuffix("_leftImg8bit") for path in photos]
    known, pairs = Counter(names), []
    for path, name in zip(photos, names, strict=True):
        # A camera writes IMG_1.JPG beside IMG_1.HEIC, and begins anew in its next folder.
        label = name if known[name] == 1 else path.relative_to(folder).as_posix()
        pairs.append(Pair(str(path), masks.get(name), "", "", label))
    return sorted(pairs, key=lambda pair: pair.name)


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
            notes.append(
                f"No clip for this photo, so it stands for all {counted(frames, 'frame')}: {error}"
            )
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
