"""Writes the tables of figures into the pages, from docs/figures/ and the code.

python docs/make_figures.py

A table lies between `<!-- figures: NAME -->` and `<!-- end -->`; what stands there by hand is
written over. The functions that make the tables, and where their figures come from: figures_scores.py,
figures_benchmarks.py, figures_faults.py.
"""

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from figures_benchmarks import BENCHMARKS, benchmark, growth, plot_benchmarks, plot_growth
from figures_faults import faults, fuzzing, server
from figures_scores import (
    all_of_networks,
    all_of_packaged,
    camvid11,
    failures,
    hour,
    idd,
    in_short,
    networks,
    packaged,
    packaged_costs,
    results,
    streets,
)
from figures_source import DOCS

from skyseg_tf.files.aside import write_aside
from skyseg_tf.scoring.plots import save_figure

_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.S)


def named(*makers: Callable[[], str]) -> dict[str, Callable[[], str]]:
    """Tables by the names under which pages ask for them."""
    return {maker.__name__: maker for maker in makers}


PAGES = {
    DOCS.parent / "README.md": named(packaged, networks, in_short),
    DOCS / "results.md": named(results, camvid11, idd, all_of_networks, hour),
    DOCS / "model_card.md": named(failures, packaged_costs, streets, all_of_packaged),
    DOCS / "explanation" / "faults.md": named(faults, server, fuzzing),
    DOCS / "benchmarks.md": {
        **{name: partial(benchmark, name) for name in BENCHMARKS},
        **named(growth),
    },
}
OPEN = DOCS / "benchmarks.md"  # takes a table for whatever `make bench` has measured


def page(path: Path) -> str:
    """The page with its tables as they should be.

    Raises:
      LookupError: a table is missing, or one that nobody makes.
    """
    makers, text = PAGES[path], path.read_text()
    if path == OPEN:
        new = [name for name in makers if f"<!-- figures: {name} -->" not in text]
        text += "".join(
            f"\n## `{name}.py`\n\n<!-- figures: {name} -->\n<!-- end -->\n" for name in new
        )
    there = [name for _, name, _ in _BLOCK.findall(text)]
    if sorted(there) != sorted(makers):
        raise LookupError(f"{path.name} has the tables {there}, not {list(makers)}")
    return _BLOCK.sub(lambda block: f"{block[1]}{makers[block[2]]()}\n{block[3]}", text)


if __name__ == "__main__":
    for path in PAGES:
        with write_aside(path) as aside:
            aside.write_text(page(path))
        print(path)
    save_figure(plot_benchmarks(), DOCS / "benchmarks.png")
    save_figure(plot_growth(), DOCS / "growth.png")
