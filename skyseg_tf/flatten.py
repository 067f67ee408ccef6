"""Puts all city folders of a dataset into one folder of images and one of annotations per split.

skyseg flatten --source DIR --out flat
"""

from dataclasses import dataclass
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import DATA, RESULT, default_is


@dataclass(frozen=True)
class FlattenConfig:
    """Puts all city folders into one folder of images and one of annotations per split.

    The source is only read; files of the same content that are there already are kept.
    """

    out: Annotated[str, RESULT]
    """The folder to fill, outside the source."""
    source: Annotated[str | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """The dataset's folder."""
    layout: Annotated[str, RESULT] | None = None
    """Of the folders and names."""
    copy: Annotated[bool, RESULT] = False
    """Copy instead of hard links."""


def flatten(config: FlattenConfig) -> None:
    """Flattens a dataset and prints what was done."""
    from skyseg_tf.data.flattening import flatten_dataset

    print(flatten_dataset(config.source, config.out, config.layout, config.copy))


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.flatten") -> None:
    """Entry point of the command."""
    run_command(flatten, FlattenConfig, argv, prog)


if __name__ == "__main__":
    main()
