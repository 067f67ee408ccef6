"""A process that is killed, at every point at which files get or lose their names.

`python dying.py COUNT STEP WHEN COMMAND FLAGS` is `skyseg COMMAND FLAGS`, with the small network where
it trains, whose process group gets a SIGKILL `before` or `after` its STEP-th renaming; 0 for none.
COUNT is a file that is told how many there were, if it comes to its end. Plots are blank.
"""

import atexit
import importlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skyseg_tf.files.aside import write_aside


class Killed(BaseException):
    """Nothing may happen to any file after it."""


def _killed() -> None:
    raise Killed


def die_at(
    patch: pytest.MonkeyPatch,
    step: int,
    changes=("replace", "rename", "unlink", "rmdir"),
    die: Callable[[], None] = _killed,
    *,
    after: bool = False,
) -> Iterator[int]:
    """From the step-th change on, every one fails, cleaning up included, as after a SIGKILL.

    Args:
      patch: undoes it.
      step: from 1.
      changes: the functions of `os` that count.
      die: what happens then.
      after: the step-th one itself still succeeds.

    Returns:
      The number of the next change.
    """
    numbers = itertools.count(1)

    def dying(change):
        def changed(*args, **options):
            number = next(numbers)
            if number >= step + after:
                die()
            result = change(*args, **options)
            if after and number == step:
                die()
            return result

        return changed

    for name in changes:
        patch.setattr(os, name, dying(getattr(os, name)))
    return numbers


def _save_blank(figure, path) -> None:
    """A plot takes longer to draw than all that a small command does."""
    with write_aside(path) as aside:
        aside.write_bytes(b"blank")


def main(count: str, step: str, when: str, command: str, *flags: str) -> None:
    """See above."""
    if command in ("train", "search"):
        from tiny_network import NETWORKS

        from skyseg_tf.models import MODELS

        MODELS.update(NETWORKS)
    if command in ("train", "search", "evaluate"):
        from skyseg_tf.scoring import plots

        plots.save_figure = _save_blank
    numbers = die_at(
        pytest.MonkeyPatch(),
        int(step) or sys.maxsize - 1,
        ("replace", "rename"),
        lambda: os.killpg(0, signal.SIGKILL),
        after=when == "after",
    )
    atexit.register(lambda: Path(count).write_text(str(next(numbers) - 1)))
    importlib.import_module(f"skyseg_tf.{command}").main(list(flags), f"skyseg {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
