"""Finds out how a dataset's masks store classes, by their names and by the values in them."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

from skyseg_tf.data.layouts import LAYOUTS, Pair
from skyseg_tf.data.mask_values import belied_by, claimed_encoding, evenly, read_values, some_of
from skyseg_tf.errors import InputError
from skyseg_tf.files.places import is_remote, place
from skyseg_tf.images import palette_colors, read_mask
from skyseg_tf.labels import (
    ENCODINGS,
    IGNORE,
    Encoding,
    describe_encoding,
    guess_encoding,
    is_color,
    read_classes,
    value_names,
    values_of,
)


def classes_file(mask: str, layout: str) -> Path | None:
    """The classes.json of the tree that a mask lies in, or None.

    A path does not tell where its tree begins, which may itself lie in a folder `train` or `masks`:
    of all folders from which the mask lies as a layout says, the nearest with such a file counts.

    Args:
      mask: path of the mask.
      layout: key of LAYOUTS.

    Raises:
      InputError: the mask does not lie as the layout says, so that there is no such folder.
    """
    if not LAYOUTS[layout].is_general:
        return None
    where = mask if is_remote(mask) else Path(mask).absolute().as_posix()
    parts = unicodedata.normalize("NFC", where).split("/")
    patterns = [facts.mask for facts in LAYOUTS.values() if facts.is_general]
    roots = [
        root
        for depth, root in enumerate(place(where).parents, 1)
        if any(re.fullmatch(pattern, "/".join(parts[-depth:])) for pattern in patterns)
    ]
    if not roots:
        raise InputError(
            f"{mask}: lies in no known layout, so nothing tells how it stores classes; name its "
            f"encoding, or lay the dataset out as {LAYOUTS[layout].about}"
        )
    return next((path for root in roots if (path := root / "classes.json").is_file()), None)


def _layout_of(mask: str) -> str:
    """The layout that a mask's path belongs to."""
    fits = (name for name, facts in LAYOUTS.items() if re.search(rf"(^|[/!]){facts.mask}$", mask))
    return next(fits, "flat")


def guess_mask_encoding(
    pairs: list[Pair],
    layout: str | None = None,
    sample: int = 50,
    strict: bool = True,
    of_scheme: Encoding | None = None,
) -> Encoding:
    """Says how a dataset's masks store classes: see `guess_encoding_of`.

    Args:
      pairs: of one dataset.
      layout: key of LAYOUTS, or None to tell it by the masks' paths.
      sample: how many masks are read, evenly spaced.
      strict: whether masks whose values belie their names are an error here, or left to those
        who decode them.
      of_scheme: see `labels.encoding_of_scheme`.

    Returns:
      A key of labels.ENCODINGS, or a table of (value, Cityscapes label name).

    Raises:
      InputError: no masks, masks of several kinds or outside every layout, or values that fit
        nothing.
    """
    masks = [pair.mask for pair in pairs if pair.mask]
    if not masks:
        raise InputError("no masks to learn the encoding from; name a split that has masks")
    layout = layout or _layout_of(masks[0])
    usual = LAYOUTS[layout].encoding
    classes = classes_file(masks[0], layout)
    return guess_encoding_of(masks, classes, usual, sample, strict, of_scheme)


def guess_encoding_of(
    masks: list[str],
    classes: Path | None = None,
    usual: str | None = None,
    sample: int = 50,
    strict: bool = True,
    of_scheme: Encoding | None = None,
) -> Encoding:
    """Says how masks store classes.

    A classes.json counts first, then the file names, then what the layout usually holds; the
    values of a sample of masks must agree with it, and decide where nothing is said. A table that
    the scheme was made of counts before all of these but a classes.json with the same names, of a
    dataset that numbers them in another way.

    Args:
      masks: paths of at least one mask.
      classes: a table as `labels.read_classes` reads it.
      usual: key of labels.ENCODINGS that is taken if the values fit it.
      sample: how many masks are read, evenly spaced.
      strict: whether masks whose values belie what is said are an error here, or left to those
        who decode them.
      of_scheme: that table, if the scheme was made of one.

    Returns:
      A key of labels.ENCODINGS, or a table of (value, Cityscapes label name).

    Raises:
      InputError: masks of several kinds, or values that fit nothing or not what is said.
    """
    by_kind = {claimed_encoding(path): path for path in reversed(masks)}
    if len(by_kind) > 1:
        first, second = list(by_kind.values())[:2]
        raise InputError(f"masks of two kinds, e.g. {first} and {second}; keep one kind")
    seen = read_values(evenly(masks, sample))
    if not seen:
        read_mask(evenly(masks, sample)[0])  # says what is wrong with the first of them
        raise InputError(f"{masks[0]}: neither this mask nor the others can be read")
    claimed = read_classes(classes) if classes else next(iter(by_kind))
    if of_scheme and not (classes and _names(claimed) == _names(of_scheme)):
        claimed = of_scheme
    if claimed and strict:
        _refuse_strangers(seen, claimed)
    encoding = _agreed(seen, claimed, usual)
    if not claimed:
        _refuse_two_meanings(seen, encoding)
    return encoding


def _names(encoding: Encoding) -> set[str]:
    return set(value_names(encoding).values())


def _refuse_two_meanings(seen: dict[str, set[int] | None], encoding: Encoding) -> None:
    """Refuses binary masks of which some mean by a value what others do not, or a palette does not.

    Drawing programs number the colors of a black and white picture as they please.
    """
    if encoding == "binary1_void" and not any(values >= {1, IGNORE} for values in seen.values()):
        ones, full = (
            next((p for p, v in seen.items() if value in v), None) for value in (1, IGNORE)
        )
        if ones and full:
            raise InputError(
                f"{ones} holds 0 and 1, {full} 0 and 255: masks of two kinds; bring them to one, or "
                f"name their --encoding if 255 is what is ignored ({encoding})"
            )
    if encoding in ("binary1", "binary255"):
        sky = 1 if encoding == "binary1" else IGNORE
        for path in seen:
            colors = dict(enumerate(palette_colors(path)))
            if (colors.get(0), colors.get(sky)) == ((255,) * 3, (0,) * 3):
                raise InputError(
                    f"{path}: its palette shows 0 in white and {sky} in black, so that nothing tells "
                    f"which is the sky; export it as grey, or name its --encoding ({encoding}: {sky} "
                    "is sky)"
                )


def _agreed(
    seen: dict[str, set[int] | None], claimed: Encoding | None, usual: str | None
) -> Encoding:
    """Brings together what is said of the masks and the values seen in them."""
    colored = [path for path, values in seen.items() if values is None]
    plain = [path for path, values in seen.items() if values]
    if claimed is None and colored and plain:
        raise InputError(f"{colored[0]} is a color picture, {plain[0]} is not; keep one kind")
    values = set().union(*(seen[path] for path in plain))
    guess = guess_encoding(None if colored else values)
    if claimed == "labelIds" and guess not in (None, "labelIds") and not is_color(guess):
        raise InputError(
            f"{plain[0]}: named labelIds, but the values of all masks read ({some_of(values)}) are "
            f"those of {describe_encoding(guess)}; name their encoding, or get the originals again "
            "if they were overwritten"
        )
    if claimed:
        return claimed
    if usual and not colored and _is_plausible(values, usual):
        return usual
    if guess is None:
        masks_of = Counter(value for path in plain for value in seen[path])
        # One mask of another kind may be all that is wrong.
        strangest = min(
            plain,
            key=lambda path: min(masks_of[value] for value in seen[path]),
            default=next(iter(seen)),
        )
        raise InputError(
            f"{strangest} and the other masks hold the values {some_of(values or {0})}, which tell no "
            f"encoding ({', '.join(ENCODINGS)}); {_advice(values)}"
        )
    return guess


def _is_plausible(values: set[int], usual: str) -> bool:
    """Whether masks hold what their layout usually does: two or three values are no streets."""
    return values <= values_of(usual) and max(values - {IGNORE}, default=0) > 2


def _advice(values: set[int]) -> str:
    table = 'name it, or put a classes.json beside the masks\' folder: {"0": "not sky", "1": "sky"}'
    between = len(values - {0, IGNORE})
    noise = between > 1 and all(min(value, IGNORE - value) < 32 for value in values)
    if {0, IGNORE} <= values and (between > 20 or noise):
        return (
            "if they are black and white with soft edges or JPEG noise, export them as PNG of 0 "
            f"and 255 alone; else {table}"
        )
    if {0, IGNORE} <= values and between == 1:
        grey = max(values - {0, IGNORE})
        return (
            f"if {grey} is to be ignored, put a classes.json beside the masks' folder: "
            f'{{"0": "not sky", "{grey}": "ignore", "255": "sky"}}'
        )
    return table


def _refuse_strangers(seen: dict[str, set[int] | None], claimed: Encoding) -> None:
    """Raises InputError for the first mask whose values or channels are not the claimed ones."""
    for path, values in seen.items():
        if values == set():
            continue
        strange = (values or set()) - values_of(claimed)
        if strange or (values is None) != is_color(claimed):
            what = f"the values {some_of(strange)}" if strange else "another number of channels"
            raise InputError(
                f"{path}: by its name, classes.json or scheme it holds {describe_encoding(claimed)}, but "
                f"it has {what}; mend the mask or name its encoding"
            )
        if claimed == "labelIds" and (belied := belied_by(path, values)):
            raise InputError(
                f"{path}: named labelIds, but it {belied}; name its encoding, or get the original "
                "again if it was overwritten"
            )
