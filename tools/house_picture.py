"""Draws the picture of the house for docs/explanation/architecture.md.

    python tools/house_picture.py

Floors are those that tests/test_rules.py holds, rooms and their files those on disk, and what a room
knows is the first line of its own docstring.
"""

import ast
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's
sys.path.append(str(Path(__file__).parents[1] / "tests"))
from test_rules import FILES, FLOORS, PACKAGE, VERBS, floor, module_name

from skyseg_tf.files.aside import write_aside

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "house.svg"
_MEANINGS = (  # of the floors, the lowest first
    "words: errors, files, pixels, classes",
    "maths",
    "what goes in: data, networks",
    "what a training leaves behind",
    "what a network says, and how well",
    "stories of single commands",
    "what people start",
)
_WIDTH, _MARGIN, _LABEL, _COLUMNS, _GAP = 1120, 20, 170, 3, 12  # pixels
_BOX = (_WIDTH - 2 * _MARGIN - _LABEL - (_COLUMNS - 1) * _GAP) // _COLUMNS
_CHARACTERS, _LINE, _HEAD = 41, 16, 30  # of a line in a box, its height, and that of the box's name
_FONT = "font-family='DejaVu Sans, Verdana, Helvetica, Arial, sans-serif'"
_COLORS = ("#e3eef5", "#dcebdd", "#f6efd5", "#f3e3d3", "#ecdfee", "#dfe3f4", "#e6e6e6")


@dataclass(frozen=True)
class Room:
    """A box of the picture: its name, what it knows, and how many files it has."""

    name: str
    knows: str
    files: int

    @property
    def lines(self) -> list[str]:
        """What it knows, as it stands in the box."""
        return textwrap.wrap(self.knows, _CHARACTERS)


def rooms_of(number: int) -> list[Room]:
    """The rooms of a floor, 0 the lowest; every file of the package is counted in one of them."""
    counts = Counter(
        _entry(module_name(path), number)
        for path in FILES
        if module_name(path) not in ("", "__init__") and floor(module_name(path)) == number
    )
    verbs = sum(counts.pop(verb, 0) for verb in VERBS)
    rooms = [
        Room(_shown(entry), _first_line(entry), counts[entry])
        for entry in FLOORS[number]
        if entry not in VERBS
    ]
    if verbs:
        rooms.append(Room("a file for each command", ", ".join(VERBS), verbs))
    return rooms


def _entry(name: str, number: int) -> str:
    fits = [entry for entry in FLOORS[number] if name == entry or name.startswith(f"{entry}.")]
    return max(fits, key=len)


def _shown(entry: str) -> str:
    path = PACKAGE / entry.replace(".", "/")
    return f"{path.relative_to(PACKAGE).as_posix()}{'/' if path.is_dir() else '.py'}"


def _first_line(entry: str) -> str:
    path = PACKAGE / _shown(entry)
    text = (path / "__init__.py" if path.is_dir() else path).read_text()
    return ast.get_docstring(ast.parse(text)).split("\n")[0].replace("`", "")


def picture() -> str:
    """The picture, as SVG."""
    parts, top = [], 66
    for number in reversed(range(len(FLOORS))):
        rooms = rooms_of(number)
        rows = [rooms[i : i + _COLUMNS] for i in range(0, len(rooms), _COLUMNS)]
        heights = [_HEAD + _LINE * max(len(room.lines) for room in row) + 10 for row in rows]
        height = sum(heights) + _GAP * (len(rows) + 1)
        parts += _draw_floor(number, top, height)
        y = top + _GAP
        for row, box_height in zip(rows, heights, strict=True):
            for column, room in enumerate(row):
                x = _MARGIN + _LABEL + column * (_BOX + _GAP) - _GAP
                parts += _draw_room(room, x, y, box_height)
            y += box_height + _GAP
        top += height + 6
    total = sum(room.files for number in range(len(FLOORS)) for room in rooms_of(number))
    title = f"skyseg_tf: {len(FLOORS)} floors, {total} files"
    head = [
        _text(_MARGIN, 30, title, 20, "bold"),
        _text(
            _MARGIN, 52, "A file imports from lower floors and from its own room, never upwards."
        ),
    ]
    size = f"width='{_WIDTH}' height='{top + 10}' viewBox='0 0 {_WIDTH} {top + 10}'"
    ground = "<rect width='100%' height='100%' fill='#ffffff'/>"
    svg = [f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>", ground, *head, *parts]
    return "\n".join([*svg, "</svg>"]) + "\n"


def _draw_floor(number: int, top: int, height: int) -> list[str]:
    width = _WIDTH - 2 * _MARGIN
    rect = f"<rect x='{_MARGIN}' y='{top}' width='{width}' height='{height}' rx='6'"
    lines = textwrap.wrap(_MEANINGS[number], 20)
    return [
        f"{rect} fill='{_COLORS[number]}'/>",
        _text(_MARGIN + 12, top + 28, f"floor {number + 1}", 15, "bold"),
        *(_text(_MARGIN + 12, top + 48 + _LINE * i, line, 12) for i, line in enumerate(lines)),
    ]


def _draw_room(room: Room, x: int, y: int, height: int) -> list[str]:
    rect = f"<rect x='{x}' y='{y}' width='{_BOX}' height='{height}' rx='4'"
    files = f"{room.files} file{'s' * (room.files != 1)}"
    return [
        f"{rect} fill='#ffffff' stroke='#8a8a8a'/>",
        _text(x + 10, y + 21, room.name, 14, "bold"),
        _text(x + _BOX - 10, y + 21, files, 12, anchor="end"),
        *(_text(x + 10, y + _HEAD + 12 + _LINE * i, line, 12) for i, line in enumerate(room.lines)),
    ]


def _text(x, y, words: str, size: int = 13, weight: str = "normal", anchor: str = "start") -> str:
    style = f"font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='#222222'"
    return f"<text x='{x}' y='{y}' {style}>{escape(words)}</text>"


if __name__ == "__main__":
    with write_aside(PICTURE) as aside:
        aside.write_text(picture())
    print(PICTURE)
