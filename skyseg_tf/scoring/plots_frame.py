"""What all plots have around them: a title above, what was measured and how below."""

import textwrap

from matplotlib.figure import Figure

GRID = {"alpha": 0.25, "linewidth": 0.8}
_POINTS = 72  # of an inch
_TITLE, _NOTE = 13, 8  # font sizes, in points
_LETTER = {"bold": 0.59, "normal": 0.54}  # width of one, as a share of the font's size
_LINE = 1.3  # height of one, likewise


def plain(axes) -> None:
    """Axes without a box, their grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def framed(figure: Figure, title: str, subtitle: str = "") -> None:
    """Title above, protocol below, and the axes between them as high as they were.

    Both are broken into lines as wide as the figure, which grows by what they take: a protocol has
    up to three lines, and what is wider or higher than its place is cut, or lies over an axis.

    Args:
      figure: with a constrained layout, its axes drawn.
      title: what is shown.
      subtitle: how it was measured; its own line breaks are kept.
    """
    width, height = figure.get_size_inches()
    head = wrapped(title, width, _TITLE, "bold")
    foot = "\n".join(wrapped(line, width, _NOTE) for line in subtitle.splitlines())
    above = (head.count("\n") + 1) * _TITLE * _LINE / _POINTS
    below = (foot.count("\n") + 2) * _NOTE * _LINE / _POINTS if foot else 0
    height += above + below
    figure.set_size_inches(width, height)
    figure.suptitle(head, x=0.01, ha="left", fontsize=_TITLE, fontweight="bold")
    if foot:
        place = (0.99, 0.04 / height)
        figure.text(*place, foot, ha="right", va="bottom", fontsize=_NOTE, color="#555555")
    figure.get_layout_engine().set(rect=(0, below / height, 1, 1 - below / height))


def wrapped(text: str, inches: float, points: float, weight: str = "normal") -> str:
    """Breaks a text into lines that fit a width.

    Args:
      text: of one line.
      inches: the width.
      points: size of the font.
      weight: "normal" or "bold".
    """
    letters = int(0.98 * inches * _POINTS / (_LETTER[weight] * points))
    return "\n".join(textwrap.wrap(text, letters, break_on_hyphens=False))
