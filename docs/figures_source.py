"""What was measured, as docs/figures/ holds it, and how a page tells it."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parent
FIGURES = DOCS / "figures"


def read(name: str) -> dict | list:
    """A file of docs/figures."""
    return json.loads((FIGURES / f"{name}.json").read_text())


def table(head: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """A table of Markdown.

    Args:
      head: names of the columns.
      rows: the cells.
      words: so many columns from the left hold words, the others numbers.
    """
    lines = [head, ["---"] * words + ["---:"] * (len(head) - words), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
