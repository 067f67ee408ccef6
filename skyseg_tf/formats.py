"""What a prediction is written as: FORMATS, each with its suffix, polarity and writer.

Every 8-bit mask is 0 and 255; which of them is sky differs from tool to tool, so each entry says
it. A photo without sky gives an empty mask, never a stretched one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import numpy as np

from skyseg_tf.images import colorize, overlay, overlay_sky, write_aside, write_image
from skyseg_tf.labels import LABEL_ID
from skyseg_tf.prediction import Prediction


def sky_facts(prediction: Prediction) -> dict:
    """Figures of one photo.

    Returns:
      "sky" (bool: whether there is any), "sky_share" (of the pixels, 0-1), "horizon" (the line
      under which there is no more sky, see `horizon_line`, or None), "confidence" (mean over all
      pixels of the probability of what was decided, 0.5-1; None without a sky class), and
      "classes": share of each.
    """
    is_sky = prediction.is_sky
    shares = np.bincount(prediction.ids.ravel(), minlength=256) / prediction.ids.size
    facts = {
        "height": prediction.ids.shape[0],
        "width": prediction.ids.shape[1],
        "model": prediction.model,
        "sky": bool(is_sky.any()),
        "sky_share": round(float(is_sky.mean()), 6),
        "horizon": horizon_line(is_sky),
        "confidence": None,
        "classes": {
            name: round(float(shares[i]), 6) for i, name in enumerate(prediction.class_names)
        },
    }
    if prediction.sky is not None:
        decided = np.where(is_sky, prediction.sky, 1 - prediction.sky)
        facts["confidence"] = round(float(decided.mean(dtype=np.float64)), 4)
    return facts


def horizon_line(is_sky: np.ndarray) -> dict | None:
    """Where the sky ends, as a straight line.

    Args:
      is_sky: (H, W) bool.

    Returns:
      {"left", "right"}: height of the line at the left and right edge as a share of the photo's
      height, 0 at the top; the median-slope line (Theil-Sen) through the lowest sky pixel of each
      column that has sky. None where fewer than a tenth of the columns have any.
    """
    height, width = is_sky.shape
    columns = np.flatnonzero(is_sky.any(0))
    if len(columns) < max(2, width / 10):
        return None
    columns = columns[:: max(1, len(columns) // 256)]
    lowest = height - is_sky[::-1, columns].argmax(0)
    x, y = (columns + 0.5) / width, lowest / height
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    left = float(np.median(y - slope * x))
    return {"left": round(left, 4), "right": round(left + slope, 4)}


# --- writers: (prediction, path) -> None ---


def _mask(prediction: Prediction) -> np.ndarray:
    return np.where(prediction.is_sky, np.uint8(255), np.uint8(0))


def _alpha(prediction: Prediction, top: int) -> np.ndarray:
    sky = _mask(prediction) / np.float32(255) if prediction.sky is None else prediction.sky
    return (sky * top + 0.5).astype(np.uint8 if top == 255 else np.uint16)


def write_mask(prediction: Prediction, path: Path) -> None:
    """255 = sky, 0 = not."""
    write_image(path, _mask(prediction))


def write_keep_mask(prediction: Prediction, path: Path) -> None:
    """255 = not sky (kept), 0 = sky (masked out)."""
    write_image(path, 255 - _mask(prediction))


def write_alpha8(prediction: Prediction, path: Path) -> None:
    """Probability of sky times 255."""
    write_image(path, _alpha(prediction, 255))


def write_alpha16(prediction: Prediction, path: Path) -> None:
    """Probability of sky times 65535, 16 bit grey."""
    write_image(path, _alpha(prediction, 65535))


def write_rgba_sky(prediction: Prediction, path: Path) -> None:
    """The photo, opaque where sky is."""
    write_image(path, np.dstack([prediction.image, _alpha(prediction, 255)]))


def write_rgba_nosky(prediction: Prediction, path: Path) -> None:
    """The photo, transparent where sky is."""
    write_image(path, np.dstack([prediction.image, 255 - _alpha(prediction, 255)]))


def write_overlay(prediction: Prediction, path: Path) -> None:
    """The photo with its sky tinted magenta and outlined, or with many classes' colours over it."""
    if len(prediction.class_names) == 2:
        picture = overlay_sky(prediction.image, prediction.is_sky)
    else:
        picture = overlay(prediction.image, prediction.ids, prediction.palette)
    write_image(path, picture)


def write_color(prediction: Prediction, path: Path) -> None:
    """Each class in its Cityscapes colour, unlabeled black."""
    write_image(path, colorize(prediction.ids, prediction.palette))


def write_label_ids(prediction: Prediction, path: Path) -> None:
    """Cityscapes labelIds: 23 = sky, 0 = unlabeled."""
    write_image(path, label_id_table(prediction.class_names)[prediction.ids])


def label_id_table(class_names: Sequence[str]) -> np.ndarray:
    """(256,) uint8: the Cityscapes labelId of each class id; 0 for a class that it does not have."""
    table = np.zeros(256, np.uint8)
    table[: len(class_names)] = [LABEL_ID.get(name, 0) for name in class_names]
    return table


def write_npy(prediction: Prediction, path: Path) -> None:
    """float32 (H, W): probability of sky, 0-1; class ids (uint8) of a model without sky."""
    with write_aside(path) as aside, open(aside, "wb") as file:
        np.save(file, prediction.ids if prediction.sky is None else prediction.sky)


def write_coco_rle(prediction: Prediction, path: Path) -> None:
    """JSON, a COCO run-length mask per class that occurs; of two classes of sky alone."""
    names = prediction.class_names
    wanted = range(1, 2) if len(names) == 2 else range(len(names))
    annotations = [
        {
            "category_id": class_id,
            "category": names[class_id],
            "segmentation": encode_rle(prediction.ids == class_id),
            "area": int((prediction.ids == class_id).sum()),
            "iscrowd": 0,
        }
        for class_id in wanted
        if (prediction.ids == class_id).any()
    ]
    _write_text(path, json.dumps(annotations) + "\n")


def write_facts(prediction: Prediction, path: Path) -> None:
    """JSON: see `sky_facts`."""
    _write_text(path, json.dumps(sky_facts(prediction), indent=2) + "\n")


def write_csv(prediction: Prediction, path: Path) -> None:
    """One line under a header: the figures of `sky_facts` without the classes."""
    facts = sky_facts(prediction)
    horizon = facts["horizon"] or {"left": "", "right": ""}
    row = {key: facts[key] for key in ("height", "width", "sky", "sky_share", "confidence")}
    row |= {f"horizon_{side}": horizon[side] for side in ("left", "right")}
    cells = ("" if value is None else str(value) for value in row.values())
    _write_text(path, f"{','.join(row)}\n{','.join(cells)}\n")


def _write_text(path: Path, text: str) -> None:
    with write_aside(path) as aside:
        aside.write_text(text)


def encode_rle(mask: np.ndarray) -> dict:
    """Compressed COCO run lengths.

    Args:
      mask: (H, W) bool.

    Returns:
      {"size": [H, W], "counts": text}. Runs go down the columns, the first counts zeros; each is
      written as the difference to the one before the last, in groups of five bits, lowest first,
      with a sixth bit for "more follows", plus 48 as a character.

    Reference: rleEncode and rleToString of the COCO API, common/maskApi.c.
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0] if not flat[:1].any() else [0, 0], edges, [flat.size]])
    counts = np.diff(starts).tolist()
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | (0x20 if more else 0)) + 48))
    return {"size": list(mask.shape), "counts": "".join(text)}


@dataclass(frozen=True)
class Format:
    """One way to write a prediction.

    Attributes:
      write: (prediction, path) -> None; its docstring states the polarity.
      name: what the file is called: {name} is the photo's name with its suffix, {stem} without.
      needs_sky: refuse models that know no sky class.
    """

    write: Callable[[Prediction, Path], None]
    name: str = "{stem}.png"
    needs_sky: bool = True

    @property
    def about(self) -> str:
        """The polarity in one line."""
        return self.write.__doc__.split("\n")[0].rstrip(".")


FORMATS: dict[str, Format] = {
    "mask": Format(write_mask),
    "keep-mask": Format(write_keep_mask),
    "colmap": Format(write_keep_mask, "{name}.png"),
    "odm": Format(write_keep_mask, "{stem}_mask.png"),
    "metashape": Format(write_keep_mask, "{stem}_mask.png"),
    "alpha8": Format(write_alpha8),
    "alpha16": Format(write_alpha16),
    "rgba-sky": Format(write_rgba_sky),
    "rgba-nosky": Format(write_rgba_nosky),
    "overlay": Format(write_overlay, needs_sky=False),
    "color": Format(write_color, needs_sky=False),
    "labelids": Format(write_label_ids, needs_sky=False),
    "coco-rle": Format(write_coco_rle, "{stem}.json", needs_sky=False),
    "npy": Format(write_npy, "{stem}.npy", needs_sky=False),
    "json": Format(write_facts, "{stem}.json", needs_sky=False),
    "csv": Format(write_csv, "{stem}.csv", needs_sky=False),
}


def output_name(kind: str, relative: Path) -> Path:
    """Where a photo's output goes, below the output folder.

    Args:
      kind: a key of FORMATS.
      relative: the photo's path below the folder it was found in.
    """
    return relative.with_name(FORMATS[kind].name.format(name=relative.name, stem=relative.stem))


def encode_prediction(kind: str, prediction: Prediction, name: str) -> tuple[str, bytes]:
    """The file that a format would write, without leaving one.

    Args:
      kind: a key of FORMATS.
      prediction: of the photo.
      name: the photo's; nothing of it but its last part is used.

    Returns:
      (file name, content).
    """
    target = output_name(kind, Path(PurePath(name).name or "photo"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"output{target.suffix}"  # a sender's name may be too long for a disk
        FORMATS[kind].write(prediction, path)
        return target.name, path.read_bytes()


def describe_formats(kinds: Sequence[str] = tuple(FORMATS)) -> str:
    """One line per format, for the help."""
    return "\n".join(f"{kind}: {FORMATS[kind].about}" for kind in kinds)
