"""What a parser is, and what the files of every kind share."""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzzing.mutations import Mutation, blind

from skyseg_tf.errors import InputError

Seeds = dict[str, bytes]
PHOTO = np.kron(
    np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
)


@dataclass(frozen=True)
class Parser:
    """Something that reads a file.

    Attributes:
      about: its files, in a few words.
      seeds: folder to work in -> {path in it: content}; what else is needed is written there.
      read: reads the file of that path; it may raise InputError and OSError.
      mutations: drawn from alike.
      megabytes, seconds: that one file may take.
    """

    about: str
    seeds: Callable[[Path], Seeds]
    read: Callable[[Path], None]
    mutations: tuple[Mutation, ...] = (blind,)
    megabytes: int = 1000
    seconds: int = 20

    def mutate(self, content: bytes, rng: random.Random) -> bytes:
        """The content with a change or two; one that its own kind of change cannot read is left."""
        for _ in range(rng.choice((1, 1, 3))):
            with suppress(Exception):  # each kind of file has errors of its own
                content = rng.choice(self.mutations)(content, rng)
        return content


def read_all_ways(ways: Iterable[Callable[[], object]]) -> None:
    """Reads a file in every way, also where one has refused it.

    Raises:
      InputError, OSError: of the last way that did.
    """
    refused = None
    for read in ways:
        try:
            read()
        except (InputError, OSError) as error:
            refused = error
    if refused:
        raise refused
