"""Comparisons that docs/benchmarks.md shows: sides that take turns, and the file of their figures.

A side may be a process of another Python, which has what we have not.

A busy moment of the machine hits all sides of a round alike, so a ratio is taken in each round; a
page shows the median over the rounds, and the least and the most.
"""

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import write_aside

RATES = ("images/s", "photos/s", "frames/s")  # of these more is better; of all others less


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      what: was measured.
      unit: of the values: one of RATES, or a time.
      ours: name of our side.
      peer: name of the other side.
      values: of ours, one a round.
      peer_values: of the other, in the same rounds.
      wanted: how many times as fast as the peer ours should be; 0 where nothing is asked for.
    """

    what: str
    unit: str
    ours: str
    peer: str
    values: list[float]
    peer_values: list[float]
    wanted: float = 1.0

    @property
    def ratios(self) -> list[float]:
        """How many times as fast as the peer, one a round."""
        pairs = zip(self.values, self.peer_values, strict=True)
        return [own / other if self.unit in RATES else other / own for own, other in pairs]

    def __str__(self) -> str:
        """One line with the medians and the spread of the ratio."""
        own, other = statistics.median(self.values), statistics.median(self.peer_values)
        ratio, least, most = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        return (
            f"{self.what}: {self.ours} {own:.4g}, {self.peer} {other:.4g} {self.unit}, "
            f"{ratio:.2f} times as fast ({least:.2f} to {most:.2f})"
        )


def take_turns(
    sides: Mapping[str, Callable[[], float]], rounds: int, warm: int = 0
) -> dict[str, list[float]]:
    """Values of each side, one a round, after `warm` rounds that are not counted."""
    values = {name: [] for name in sides}
    for turn in range(warm + rounds):
        for name, measure in sides.items():
            value = measure()
            if turn >= warm:
                values[name].append(value)
    return values


def describe_machine() -> str:
    """Processor, cores, and whether it has AMX, which changes who is fast."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in facts.splitlines() if "model name" in line]
    name = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = next((kind for kind in ("amx", "avx512", "avx2") if f" {kind}" in facts), "")
    return f"{name}, {cores} cores{f', {kind.upper()}' if kind else ''}"


class Peer:
    """A script in a process of its own, which answers every line by one; it ends with the block.

    Args:
      command: Python, script and arguments.
    """

    def __init__(self, *command: object):
        self.script = Path(str(command[1])).name
        self.process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Peer":
        """Itself."""
        return self

    def __exit__(self, *_) -> None:
        """Ends it, once it has answered what it was asked."""
        self.process.stdout.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # it waits for nothing else
        self.process.wait()

    def ask(self, *words: object) -> str:
        """Its answer.

        Raises:
          InputError: it has ended; its own words about that stand on stderr.
        """
        with suppress(BrokenPipeError):
            print(*words, file=self.process.stdin, flush=True)
            if answer := self.process.stdout.readline():
                return answer
        asked = " ".join(map(str, words))
        raise InputError(f"{self.script}: has ended, without an answer to '{asked}'")


def report(rows: list[Row], out: Path | None, versions: str = "") -> None:
    """Prints the rows, and writes them as docs/make_figures.py reads them.

    Raises:
      InputError: there is none, so that the figures of before would be lost.
    """
    for row in rows:
        print(row, flush=True)
    if out is None:
        return
    if not rows:
        raise InputError(f"{out}: nothing was compared (no peer?), so it stays as it is")
    figures = {
        "machine": describe_machine(),
        "versions": versions,
        "command": without_paths(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "rows": [asdict(row) for row in rows],
    }
    with write_aside(out) as aside:
        aside.write_text(json.dumps(figures, indent=1) + "\n")


def without_paths(words: list[str]) -> str:
    """A command as anybody would type it: paths of this machine are named by what they are."""
    shown = []
    for word in words:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if Path(value).is_absolute() or value.startswith(".."):
            value = "PYTHON" if "python" in Path(value).name else Path(value).name
        shown.append(f"{flag}{equals}{value}")
    return shlex.join(shown)
