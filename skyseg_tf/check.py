"""Looks a dataset over and says what is wrong with it.

    skyseg check --source DIR

Exit status: 0 all well, 1 something is wrong, 2 no dataset there.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import DATA, LAYOUTS, choices, default_is


@dataclass(frozen=True)
class CheckConfig:
    """Look through a dataset and say what is wrong with it. Nothing is written.

    Example: skyseg check --source ~/cityscapes
    """

    URLS = ("source",)

    source: Annotated[Path | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """Folder or URL of the dataset: Cityscapes, its zips, or another known layout."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """How the dataset's folders and files are named. The page Choices of the documentation shows
    each layout."""
    json: bool = False
    """Print JSON instead of a table."""
    fast: bool = False
    """Read only the header of each file, and a few masks whole. Files that are cut off are then not
    found."""


def check(config: CheckConfig) -> int:
    """Prints the report of a dataset; returns 0 if all is well, else 1."""
    from skyseg_tf.data.checks import check_dataset

    report = check_dataset(config.source, config.layout, config.fast)
    print(json.dumps(report.as_dict(), indent=2) if config.json else report)
    return 0 if report.ok else 1


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.check") -> None:
    """Entry point of the command."""
    run_command(check, CheckConfig, argv, prog)


if __name__ == "__main__":
    main()
