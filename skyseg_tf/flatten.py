"""Puts all city folders of a dataset into one folder of images and one of annotations per split.

skyseg flatten --source DIR --out flat
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import DATA, LAYOUTS, RESULT, choices, default_is


@dataclass(frozen=True)
class FlattenConfig:
    """Put the photos of all city folders into one folder per split, and their masks into another.

    Example: skyseg flatten --source ~/cityscapes --out data/flat

    The source is not changed. Files that are there already with the same content are kept.
    """

    out: Annotated[Path, RESULT]
    """Folder to write into; it must not lie in --source."""
    source: Annotated[Path | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """Folder of the dataset."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """How the dataset's folders and files are named. The page Choices of the documentation shows
    each layout."""
    copy: Annotated[bool, RESULT] = False
    """Copy the files. By default they are hard links, which take no space."""


def flatten(config: FlattenConfig) -> None:
    """Flattens a dataset and prints what was done."""
    from skyseg_tf.data.flattening import flatten_dataset

    print(flatten_dataset(config.source, config.out, config.layout, config.copy))


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.flatten") -> None:
    """Entry point of the command."""
    run_command(flatten, FlattenConfig, argv, prog)


if __name__ == "__main__":
    main()
