"""Schemes and tables of mask values of a user's own, and the schemes that runs and manifests hold."""

import colorsys
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skyseg_tf.errors import InputError, counted, missing_hint, not_among
from skyseg_tf.files.json_file import read_object
from skyseg_tf.labels.cityscapes import BY_NAME, UNKNOWN
from skyseg_tf.labels.encodings import Encoding
from skyseg_tf.labels.schemes import SCHEMES, LabelScheme
from skyseg_tf.labels.words import label_of, meant, normal

_FIELDS = ("name", "labels", "color")  # of a class
_TABLE = 'give a table such as {"0": "not sky", "1": "sky"}'


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
        known = (*SCHEMES, "a JSON file with classes of your own")
        raise InputError(not_among("label scheme", str(given), known))
    content = _read_table(path)
    if "classes" in content:
        return parse_scheme(content, path, path.stem)
    given_names = {normal(str(name)): str(name) for name in content.values()}
    words = _counted_words(read_classes(path))
    classes = [{"name": given_names[word], "labels": [word]} for word in words]
    return parse_scheme({"classes": classes}, path, path.stem)


def scheme_encoding(given: str | Path) -> Encoding | None:
    """What a scheme's file says of the masks, where it is a table of their values."""
    if str(given) in SCHEMES or "classes" in _read_table(given):
        return None
    return read_classes(given)


def encoding_of_scheme(scheme: LabelScheme, encoding: Encoding | None) -> Encoding | None:
    """What a stored scheme says of the masks, where it was made of a table of their values.

    Args:
      scheme: of records.
      encoding: by which the masks of these records were read; None where that is not known.

    Returns:
      That table; None for a scheme of classes alone, whose masks may be of any encoding.
    """
    if encoding is None or isinstance(encoding, str) or scheme in SCHEMES.values():
        return None
    words = _counted_words(encoding)
    of_table = _members([[word] for word in words], words, scheme.name)
    return encoding if scheme.members == of_table else None


def _counted_words(table: tuple[tuple[int, str], ...]) -> list[str]:
    """The names in a table of mask values, each once, without those that are ignored."""
    return list(dict.fromkeys(name for _, name in table if label_of(name) != "unlabeled"))


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
            (
                str(row["name"]),
                [normal(str(label)) for label in row.get("labels", [row["name"]])],
                row.get("color"),
            )
            for row in content["classes"]
        ]
        name = str(content.get("name", name))
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f'{where}: not a label scheme such as {{"classes": [{{"name": "plants", "labels": '
            '["vegetation", "terrain"], "color": [107, 142, 35]}, ...]}'
        ) from None
    names = [row[0] for row in rows]
    for called, row in zip(names, content["classes"], strict=True):
        _refuse_strange_fields(row, f"{where}: class '{called}'")
    if not 2 <= len(rows) <= UNKNOWN:
        raise InputError(
            f"{where}: {counted(len(rows), 'class', 'classes')}; a scheme has 2 to {UNKNOWN}"
        )
    if len({*names}) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: two classes are called '{double}'; give each its own name")
    members = _members([labels for _, labels, _ in rows], names, where)
    colors = tuple(
        _color(color, labels, i, f"{where}: class '{names[i]}'")
        for i, (labels, (*_, color)) in enumerate(zip(members, rows, strict=True))
    )
    return LabelScheme(name, tuple(names), colors, members)


def _refuse_strange_fields(row: dict, where: str) -> None:
    """Of a misspelt "labels" the class would take in its own name alone, of a text its letters."""
    if strange := row.keys() - {*_FIELDS}:
        raise InputError(f"{where}: {not_among('field', min(strange), _FIELDS)}")
    if isinstance(row.get("labels"), str):
        raise InputError(f'{where}: labels are a list, such as ["{row["labels"]}"]; give one')


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
        label for words in given for label in {label for word in words for label in meant(word)}
    )

    def labels(word: str) -> tuple[str, ...]:
        # A scheme that tells "door" and "window" apart means its own masks, not "building".
        return meant(word) if all(claims[label] == 1 for label in meant(word)) else (word,)

    return tuple(
        tuple(dict.fromkeys(label for word in words for label in labels(word))) for words in given
    )


def _color(given: object, labels: tuple[str, ...], index: int, where: str) -> tuple[int, int, int]:
    """The given color, else that of the first label, else one that differs from its neighbours'."""
    if given is None:
        known = next((BY_NAME[label].color for label in labels if label in BY_NAME), None)
        hue = (0.13 + index * 0.618034) % 1  # the golden ratio spreads hues
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 0.85)
        return known or (round(red * 255), round(green * 255), round(blue * 255))
    numbers = tuple(given) if isinstance(given, list | tuple) else ()
    if len(numbers) != 3 or not all(type(n) is int and 0 <= n <= 255 for n in numbers):
        raise InputError(f"{where}: color {given}; give three numbers 0-255")
    return numbers


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
    for value, given in _read_table(path).items():
        number = int(value) if value.isdecimal() and value.isascii() else -1
        if not isinstance(given, str) or not 0 <= number <= 255 or str(number) != value:
            raise InputError(
                f"{path}: '{value}': {json.dumps(given)[:60]}; give each mask value 0-255 a name, "
                'such as {"0": "not sky", "1": "sky"}'
            )
        rows[number] = normal(given)
    return tuple(sorted(rows.items()))


def _read_table(path: str | Path) -> dict:
    """The object in a JSON file, not empty."""
    try:
        content = read_object(path, _TABLE)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of classes; {missing_hint(path)}") from None
    if not content:
        raise InputError(f"{path}: not a table but empty; {_TABLE}")
    return content
