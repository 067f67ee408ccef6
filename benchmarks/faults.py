"""Commands that are killed and run again: is anything lost, unequal or left behind?

    python benchmarks/faults.py [--tries 20] [--only build train ...] [--out FILE]

It may be stopped at any time: the same command goes on with the figures in FILE. To try a command
anew, take its rows out of FILE: those that are full are left as they are.

Each command runs undisturbed first; then its process group gets SIGKILLs, half of them before or
after its renamings (os.replace, os.rename), spread over all that it makes, half at random moments
between its first file and its end. After each kill the same command runs again, as its page says
(`train --resume RUN`, `predict --resume`). A try is

  lost          if the second run fails, or a file is missing that the undisturbed run left
  unequal       if a file differs from that of the undisturbed run
  left behind   if there are more files than the undisturbed run left, in the folder for temporary
                files too, but for those that TensorFlow's AutoGraph puts there

Dates and seconds within files do not count, and exports are compared by what they compute. The
scenes are drawn, the network is the small one of the tests, and plots are blank pictures. It takes
half an hour on two idle cores.
"""

import argparse
import importlib
import json
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's
sys.path.append(str(Path(__file__).parents[1] / "tests"))

import numpy as np
import tiny_network  # noqa: F401  (and TensorFlow with it, once for all)
from compare import describe_machine
from killing.commands import COMMANDS, TRAINING, Command
from killing.contents import Folder, answers_of
from killing.processes import complete, fork, kill_at_random, start, status_of, working_time

from skyseg_tf.data.drawing.dataset import write_scenes

FAULTS = ("at a renaming", "at random")
GOLDEN = 0.6180339887  # steps of it spread evenly over 0 to 1, however many there are


@dataclass
class Row:
    """What became of the tries of one command and fault.

    Attributes:
      command, fault: which.
      tries: how many.
      lost, unequal, left: of how many this is true.
      told: what was lost, unequal or left, and how often.
    """

    command: str
    fault: str
    tries: int = 0
    lost: int = 0
    unequal: int = 0
    left: int = 0
    told: dict[str, int] = field(default_factory=dict)

    def add(self, lost: set[str], unequal: set[str], left: set[str]) -> None:
        """Counts a try."""
        self.tries += 1
        for name, found in (("lost", lost), ("unequal", unequal), ("left", left)):
            setattr(self, name, getattr(self, name) + bool(found))
            for one in map(_without_numbers, found):
                self.told[f"{name}: {one}"] = self.told.get(f"{name}: {one}", 0) + 1
        if lost or unequal or left:
            print(f"  {self.command}, {self.fault}: {lost=} {unequal=} {left=}", flush=True)


def _without_numbers(name: str) -> str:
    """A name without what differs from try to try."""
    return re.sub(r"\d+-\d+|(?<=tmp/tmp)\w+|(?<=\.)\w{8}(?=/|$)", "*", name)


# --- one try ---


@dataclass(frozen=True)
class Undisturbed:
    """What a command does where nobody disturbs it.

    Attributes:
      command: which.
      contents, answers: what it leaves, see Folder.contents and answers_of.
      seconds: between its first file and its end.
      renamings: how many.
    """

    command: Command
    contents: dict[str, object]
    answers: np.ndarray | None
    seconds: float
    renamings: int

    @staticmethod
    def of(folder: Folder, command: Command) -> "Undisturbed":
        """Runs it."""
        seconds = working_time(folder.path, command)
        renamings = int(folder.path.with_name("renamings").read_text())
        print(f"{command.line}: {renamings} renamings, {seconds:.1f} s of work", flush=True)
        found = Undisturbed(command, folder.contents(), answers_of(folder.path), seconds, renamings)
        folder.clear()
        return found


def try_once(
    folder: Folder, whole: Undisturbed, fault: str, when: str, place: float
) -> tuple[set, set, set]:
    """Kills a command and runs it again.

    Args:
      folder: with what it needs.
      whole: what it should leave.
      fault: one of FAULTS.
      when: before or after a renaming.
      place: of the renaming among all, 0 to 1.

    Returns:
      What was lost, unequal, and left behind.
    """
    command, seconds = whole.command, whole.seconds
    if fault == "at random":
        while not kill_at_random(folder.path, command, seconds):
            seconds *= 0.9  # the machine is faster now than it was
            folder.clear()
    else:
        step = int(place * whole.renamings) + 1
        if status_of(start(folder.path, command.line, step, when)) != -signal.SIGKILL:
            sys.exit(f"{command.line}: was not killed at renaming {step}")
    again = command.again if (folder.path / (command.once or "/nowhere")).exists() else command.line
    failed = complete(folder.path, again)
    found = {} if failed else folder.contents()
    lost = {failed} if failed else whole.contents.keys() - found.keys()
    both = found.keys() & whole.contents.keys()
    unequal = {name for name in both if found[name] != whole.contents[name]}
    if not failed and whole.answers is not None:
        now = answers_of(folder.path)
        if now is None or not np.allclose(now, whole.answers, atol=1e-5):
            unequal.add("what the export computes")
    left = found.keys() - whole.contents.keys()
    folder.clear()
    return lost, unequal, left


# --- all of them ---


def prepare(path: Path) -> Folder:
    """Scenes, records of them and a run, which the commands take."""
    (path / "tmp").mkdir(parents=True)
    status_of(
        fork(path, lambda: write_scenes(path / "scenes", 20, size=(64, 128), seed=3, workers=1))
    )
    lines = (
        "build --source scenes --out records --image-size 32 64 --storage uint8 --quiet",
        f"train {TRAINING} --epochs 1 --run run --plots plots",
    )
    for line in lines:
        if failed := complete(path, line):
            sys.exit(failed)
    return Folder(path)


def main() -> int:
    """Prints a row for each command and fault; the exit status is 1 if any try went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20, help="of each command")
    names = list(dict.fromkeys(command.name for command in COMMANDS))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--out", type=Path, help="file of all figures, for docs/make_figures.py; goes on"
    )
    args = parser.parse_args()
    for name in args.only:
        importlib.import_module(f"skyseg_tf.{name}")
    rows = read(args.out)
    work = tempfile.mkdtemp()  # a TemporaryDirectory would go with the first child
    try:
        folder = prepare(Path(work) / "here")
        wholes = {name: [] for name in args.only}
        for command in COMMANDS:
            if command.name in wholes:
                wholes[command.name].append(Undisturbed.of(folder, command))
        half = args.tries // len(FAULTS)
        while pending := [
            row for row in rows.values() if row.command in wholes and row.tries < half
        ]:
            for row in pending:  # by turns
                own = wholes[row.command]
                whole = own[row.tries % len(own)]
                when = ("before", "after")[row.tries // len(own) % 2]
                row.add(*try_once(folder, whole, row.fault, when, (row.tries * GOLDEN) % 1))
                write(list(rows.values()), args.out)
                print(f"{row.command} {row.fault}: {row.tries} tries", flush=True)
    finally:
        shutil.rmtree(work)
    for row in rows.values():
        print(row)
    return int(any(row.lost or row.unequal or row.left for row in rows.values()))


def read(out: Path | None) -> dict[tuple[str, str], Row]:
    """The rows of a file, which are gone on with, or empty ones."""
    names = dict.fromkeys(command.name for command in COMMANDS)
    rows = {(name, fault): Row(name, fault) for name in names for fault in FAULTS}
    if out and out.exists():
        for row in json.loads(out.read_text())["rows"]:
            rows[row["command"], row["fault"]] = Row(**row)
    return rows


def write(rows: list[Row], out: Path | None) -> None:
    """Writes all figures so far."""
    if out:
        figures = {"machine": describe_machine(), "rows": [asdict(row) for row in rows]}
        out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
