"""What a machine of a cluster must have in common with the one that sends it work."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import skyseg_tf
from skyseg_tf.errors import InputError


@dataclass(frozen=True)
class Sender:
    """The process that sends work.

    Attributes:
      machine: its name.
      folder: in which it works.
      code: the digest of its package.
    """

    machine: str
    folder: str
    code: str

    @classmethod
    def here(cls) -> "Sender":
        """This process."""
        return cls(socket.gethostname(), os.getcwd(), _code())


@lru_cache(maxsize=1)
def _code() -> str:
    """The digest of all modules of this package: versions between releases have one number."""
    root, digest = Path(skyseg_tf.__file__).parent, sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size};".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run_as(sender: Sender, function: Callable, *args: Any) -> Any:
    """Calls a function as the sender would.

    That is in its folder, where that is there: URLs need none. And with its code: of another version
    names and contents of what is made could differ, and errors would say anything.

    Raises:
      InputError: this machine has another version of the package.
    """
    if sender.code != _code():
        raise InputError(
            f"{socket.gethostname()}: another version of skyseg_tf than on {sender.machine} "
            f"({skyseg_tf.__version__} in {Path(skyseg_tf.__file__).parent}); install the same on "
            "all machines"
        )
    if os.path.isdir(sender.folder):
        os.chdir(sender.folder)
    return function(*args)
