"""What a prediction is written as: FORMATS, each with its suffix, polarity and writer.

Every 8-bit mask is 0 and 255; which of them is sky differs from tool to tool, so each entry says
it. So does how a photo that EXIF turns is seen by the tool: upright, or as the file stores it. A
photo without sky gives an empty mask, never a stretched one.
"""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

import numpy as np

from skyseg_tf.files.aside import write_aside
from skyseg_tf.images import colorize, draw_overlay, software_of
from skyseg_tf.images.metadata import NO_METADATA, PhotoMetadata
from skyseg_tf.images.png import write_png
from skyseg_tf.images.writing import png_notes
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.coco import coco_image, render_coco
from skyseg_tf.masking.prediction import Prediction
from skyseg_tf.masking.sky_facts import facts_row, render_csv, sky_facts

SOFTWARE = "skyseg_tf"  # what every PNG written here says of its maker
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk: PNG 3, 11.2.5


# --- writers: (prediction, file) -> None ---


def _mask(prediction: Prediction) -> np.ndarray:
    return prediction.is_sky.view(np.uint8) * np.uint8(255)


def _alpha(prediction: Prediction, top: int) -> np.ndarray:
    sky = _mask(prediction) / np.float32(255) if prediction.sky is None else prediction.sky
    return (sky * top + 0.5).astype(np.uint8 if top == 255 else np.uint16)


def _write_picture(
    file: BinaryIO, picture: np.ndarray, metadata: PhotoMetadata = NO_METADATA
) -> None:
    write_png(file, np.ascontiguousarray(picture), png_notes(metadata, SOFTWARE))


def write_mask(prediction: Prediction, file: BinaryIO) -> None:
    """255 = sky, 0 = not."""
    _write_picture(file, _mask(prediction))


def write_keep_mask(prediction: Prediction, file: BinaryIO) -> None:
    """255 = not sky (kept), 0 = sky (masked out)."""
    _write_picture(file, 255 - _mask(prediction))


def write_alpha8(prediction: Prediction, file: BinaryIO) -> None:
    """Probability of sky times 255."""
    _write_picture(file, _alpha(prediction, 255))


def write_alpha16(prediction: Prediction, file: BinaryIO) -> None:
    """Probability of sky times 65535, 16 bit grey."""
    _write_picture(file, _alpha(prediction, 65535))


def write_rgba_sky(prediction: Prediction, file: BinaryIO) -> None:
    """The photo, opaque where sky is."""
    cut = np.dstack([prediction.image, _alpha(prediction, 255)])
    _write_picture(file, cut, prediction.metadata)


def write_rgba_nosky(prediction: Prediction, file: BinaryIO) -> None:
    """The photo, transparent where sky is."""
    cut = np.dstack([prediction.image, 255 - _alpha(prediction, 255)])
    _write_picture(file, cut, prediction.metadata)


def write_overlay(prediction: Prediction, file: BinaryIO) -> None:
    """The photo with its sky tinted magenta and outlined, or with many classes' colors over it."""
    picture = draw_overlay(prediction.image, prediction.ids, prediction.scheme)
    _write_picture(file, picture, prediction.metadata)


def write_color(prediction: Prediction, file: BinaryIO) -> None:
    """Each class in its color, unlabeled black."""
    _write_picture(file, colorize(prediction.ids, prediction.scheme.shown_palette))


def write_label_ids(prediction: Prediction, file: BinaryIO) -> None:
    """Cityscapes labelIds: 23 = sky, 0 = unlabeled."""
    _write_picture(file, prediction.scheme.label_ids[prediction.ids])


def write_npy(prediction: Prediction, file: BinaryIO) -> None:
    """float32 (H, W): probability of sky, 0-1; class ids (uint8) of a model without sky."""
    array = np.ascontiguousarray(prediction.ids if prediction.sky is None else prediction.sky)
    # np.save's own error of a full disk has no errno, by which to see that it concerns all photos.
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array)


def write_facts(prediction: Prediction, file: BinaryIO) -> None:
    """Share of sky and of each class, horizon and confidence.

    See `sky_facts`.
    """
    file.write(encode_text(json.dumps(sky_facts(prediction), indent=2) + "\n"))


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all."""
    with write_aside(path) as aside:
        aside.write_bytes(encode_text(text))


def encode_text(text: str) -> bytes:
    """UTF-8; names of files that are none keep their bytes."""
    return text.encode(errors="surrogateescape")


# --- the registry ---

_PROPER = ("Cityscapes",)  # keep their capital in the middle of a line


@dataclass(frozen=True)
class Format:
    """A way to write a prediction into a file of its own.

    Attributes:
      writer: (prediction, file open for writing) -> None; its docstring states the polarity.
      name: what the file is called: {name} is the photo's name with its suffix, {stem} without.
      needs_sky: refuse models that know no sky class.
      needs_probabilities: reads `Prediction.sky`.
      pixels: how the reader sees a photo that EXIF turns: "upright", or "stored", as the file has
        it.
    """

    writer: Callable[[Prediction, BinaryIO], None]
    name: str = "{stem}.png"
    needs_sky: bool = True
    needs_probabilities: bool = False
    pixels: Literal["upright", "stored"] = "upright"

    def write(self, prediction: Prediction, path: Path) -> None:
        """Writes the file, whole or not at all."""
        with write_aside(path) as aside, open(aside, "wb") as file:
            self.write_to(file, prediction)

    def write_to(self, file: BinaryIO, prediction: Prediction) -> None:
        """Writes what is in the file."""
        self.writer(prediction.as_stored() if self.pixels == "stored" else prediction, file)

    @property
    def about(self) -> str:
        """The polarity, and what EXIF does, in one line."""
        said = self.writer.__doc__.split("\n")[0].rstrip(".")
        if not said.startswith(_PROPER):
            said = said[0].lower() + said[1:]
        return said + ("; not turned by EXIF" if self.pixels == "stored" else "")


@dataclass(frozen=True)
class Table:
    """A way to write the predictions of all photos into one file.

    Attributes:
      row: (name of the photo, prediction) -> what the file says of it.
      render: rows -> the file's text.
      name: what the file is called.
      about: what is in it, in one line.
      needs_sky: refuse models that know no sky class.
      needs_probabilities: reads `Prediction.sky`.
    """

    row: Callable[[str, Prediction], dict]
    render: Callable[[Sequence[dict]], str]
    name: str
    about: str
    needs_sky: bool = False
    needs_probabilities: bool = False


FORMATS: dict[str, Format | Table] = {
    # What people look at beside the photo, whose viewer turns it: upright.
    "mask": Format(write_mask),
    "keep-mask": Format(write_keep_mask),
    # Reads without reorienting (Bitmap::Read, src/colmap/sensor/bitmap.cc), and on purpose: one
    # camera keeps one calibration, however it was held (github.com/colmap/colmap/issues/1456).
    "colmap": Format(write_keep_mask, "{name}.png", pixels="stored"),
    # Opens photos and masks by Pillow and turns neither (data/datasets/base_dataset.py).
    "nerfstudio": Format(write_keep_mask, pixels="stored"),
    # Looks a feature up in the mask at its upright place (load_features_mask, opensfm/masking.py),
    # and OpenDroneMap writes its own sky masks upright (opendm/skyremoval/skyfilter.py).
    "odm": Format(write_keep_mask, "{stem}_mask.png"),
    "opensfm": Format(write_keep_mask, "{name}.png"),
    # A photo's orientation is an attribute of the camera there (Camera.orientation in its Python
    # reference), its pixels and the mask are the file's: Agisoft's own script makes sky masks of
    # the size of photo.image() (github.com/agisoft-llc/metashape-scripts, automatic_sky_masking.py).
    "metashape": Format(write_keep_mask, "{stem}_mask.png", pixels="stored"),
    "alpha8": Format(write_alpha8, needs_probabilities=True),
    "alpha16": Format(write_alpha16, needs_probabilities=True),
    # Turned, and their EXIF block says so: many programs do not look for one in a PNG.
    "rgba-sky": Format(write_rgba_sky, needs_probabilities=True),
    "rgba-nosky": Format(write_rgba_nosky, needs_probabilities=True),
    "overlay": Format(write_overlay, needs_sky=False),
    "color": Format(write_color, needs_sky=False),
    "labelids": Format(write_label_ids, needs_sky=False),
    "npy": Format(write_npy, "{stem}.npy", needs_sky=False, needs_probabilities=True),
    "json": Format(write_facts, "{stem}.json", needs_sky=False, needs_probabilities=True),
    "coco-rle": Table(
        coco_image,
        render_coco,
        "coco.json",
        "one COCO file of all photos, a run-length mask per class; of two classes of sky alone",
    ),
    "csv": Table(
        facts_row,
        render_csv,
        "sky.csv",
        "one table of all photos: size, share of sky, confidence, horizon",
        needs_probabilities=True,
    ),
}


def in_words(kind: str, scheme: LabelScheme) -> str:
    """What a format says of a scheme's classes, in one line: of several which color is whose."""
    said = FORMATS[kind].about
    if scheme.shows_sky_alone:
        return said
    if kind in ("overlay", "color"):
        colors = zip(scheme.class_names, scheme.colors, strict=True)
        said += ": " + ", ".join(f"{name} #{bytes(color).hex()}" for name, color in colors)
    names = enumerate(scheme.class_names)
    if kind == "labelids" and (lost := [name for i, name in names if not scheme.label_ids[i]]):
        said += f"; 0 is also what has no labelId there: {', '.join(lost)}"
    return said


def default_format(scheme: LabelScheme) -> str:
    """What photos are written as where nobody says: where all is sky or not, the mask, else colors.

    Both have the same file names.
    """
    return "mask" if scheme.num_classes == 2 and scheme.sky is not None else "color"


def output_name(kind: str, relative: Path) -> Path:
    """Where a photo's output goes, below the output folder.

    Args:
      kind: a key of FORMATS.
      relative: the photo's path below the folder it was found in.
    """
    if isinstance(FORMATS[kind], Table):
        return Path(FORMATS[kind].name)
    return relative.with_name(FORMATS[kind].name.format(name=relative.name, stem=relative.stem))


def is_whole(path: Path) -> bool:
    """Whether an output for one photo is there to its last byte; what is in it is not compared."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".png":
                file.seek(-len(_PNG_END), os.SEEK_END)
                return file.read() == _PNG_END
            (json.load if path.suffix == ".json" else np.load)(file)
    except (OSError, ValueError, EOFError):
        return False
    return True


def without_outputs(found: Sequence[Path]) -> list[Path]:
    """Leaves out of files what was written here, and what is named as a mask of another of them.

    Args:
      found: pictures of one folder, photos and masks.

    Returns:
      The photos. A mask that has lost its mark (edited, or by another program) is still known by a
      name that only masks have: `a_mask.png` or `a.jpg.png` beside `a.jpg`.
    """
    own = [form.name for form in FORMATS.values() if isinstance(form, Format)]
    names = {name for name in own if not name.startswith("{stem}.")}
    masks = {
        photo.with_name(name.format(name=photo.name, stem=photo.stem))
        for photo in found
        for name in names
    }
    return [path for path in found if path not in masks and software_of(path) != SOFTWARE]


def encode_prediction(kind: str, prediction: Prediction, name: str) -> tuple[str, bytes]:
    """The file that a format would write, without a disk.

    Args:
      kind: a key of FORMATS.
      prediction: of the photo.
      name: the photo's; nothing of it but its last part is used.

    Returns:
      (file name, content).
    """
    form, photo = FORMATS[kind], Path(PurePath(name).name or "photo")
    target = output_name(kind, photo)
    if isinstance(form, Table):
        return target.name, encode_text(form.render([form.row(photo.name, prediction)]))
    file = io.BytesIO()
    form.write_to(file, prediction)
    return target.name, file.getvalue()
