"""Command: draw street scenes with exact labels, as a tree in the format of Cityscapes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.flags import default_is


@dataclass(frozen=True)
class ScenesConfig:
    """Draw street scenes with exact labels, in folders and files named as in Cityscapes.

    Example: skyseg scenes --out data/scenes --count 900 --size 128 256

    Running the same command again draws only what is missing; a larger count adds scenes.
    """

    out: Path
    """Folder for the scenes: leftImg8bit/, gtFine/ and scenes.json."""
    count: int
    """Number of scenes; about 80 % are for train, the others for val."""
    size: tuple[int, int] = (1024, 2048)
    """Height and width in pixels, at least 64 each."""
    seed: int = 0
    """Number from which the scenes are drawn: the same number, the same scenes."""
    sequence_frames: int = 0
    """Number of frames, 0 to 20, to draw before each labeled one, as a short drive. They go into
    leftImg8bit_sequence/, for networks that see clips."""
    conditions: Annotated[str, Parameter(choices=("all", "cityscapes", "indoors"))] = "all"
    """What is drawn. all: any weather, hour and place, indoors too; cityscapes: roads by day, as that
    dataset shows them; indoors: rooms, garages and tunnels, few of which show sky in a window."""
    workers: Annotated[int | None, default_is("one per core")] = None
    """Number of processes that draw at the same time."""


def draw(config: ScenesConfig) -> None:
    """Draws the tree and says where it is."""
    from skyseg_tf.data.drawing.dataset import write_scenes

    counts = write_scenes(
        config.out,
        config.count,
        size=config.size,
        seed=config.seed,
        sequence_frames=config.sequence_frames,
        conditions=config.conditions,
        workers=config.workers,
        progress=True,
    )
    drawn = ", ".join(f"{number} {split}" for split, number in counts.items())
    print(f"{config.out}: {drawn} scenes of {config.size[0]} x {config.size[1]}")


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.scenes") -> None:
    """Parses flags and draws."""
    run_command(draw, ScenesConfig, argv, prog)


if __name__ == "__main__":
    main()
