"""Processes that run the package of this repository, wherever they start and whatever is installed."""

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """That of this process, in which the package of this repository is found first."""
    paths = (str(ROOT), os.environ.get("PYTHONPATH"))
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def skyseg(verb: str, *words: object) -> dict[str, Any]:
    """A command for `subprocess.run(**skyseg("serve", "--port", 0))` and the like.

    Args:
      verb: one of the commands.
      words: its arguments.

    Returns:
      `args` and `env`. With `-P`, since `-m` would look first into the folder where it starts, which
      may be another checkout.
    """
    args = [sys.executable, "-P", "-m", f"skyseg_tf.{verb}", *map(str, words)]
    return {"args": args, "env": environment()}
