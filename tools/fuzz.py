"""Feeds changed files to everything that reads files from strangers.

    python tools/fuzz.py SECONDS [PARSER ...] [--seed N] [--findings DIR] [--out FILE]

A parser reads in a process of its own (tools/fuzzing/ says which there are, and from what
files each begins). A finding is an error that is neither InputError nor OSError or is more than
a line, a process that dies or runs out of time, or one file that takes more memory than it may. Its
file is kept below --findings, with what happened; of one kind the first is kept. The same seed
gives the same files.
"""

import argparse
import base64
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

FINDINGS = Path("build/fuzz")
_CHILD = "--child"
_PATIENCE = 10  # times the processor's seconds, by the clock
_LONGEST = 2000  # characters of an error
_MOST_DEATHS = 200  # of a parser, after which it is given up


# --- in the process that reads ---


def kind_of(error: BaseException) -> str | None:
    """What a finding is known by: the error and the last place in our own code; None for no finding."""
    from skyseg_tf.errors import InputError

    if isinstance(error, InputError | OSError):
        if len(str(error)) > _LONGEST:
            return "an error of a long line"
        return None if "\n" not in str(error) else "an error of several lines"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "skyseg_tf/" in frame.filename] or frames
    place = f"{ours[-1].filename.rpartition('skyseg_tf/')[2]}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {place}"


def read_many(name: str, first: int, seed: int, seconds: float, folder: Path) -> None:
    """Reads changed files, and says on stdout what happened: one JSON object a line."""
    from fuzzing import PARSERS

    parser = PARSERS[name]
    seeds = parser.seeds(folder)
    tell = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries chatter is of no interest

    def found(kind: str, told: str, content: bytes) -> None:
        content = base64.b64encode(content).decode()
        print(json.dumps({"kind": kind, "told": told, "content": content}), file=tell)

    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end:
        rng = random.Random(f"{name} {seed} {number}")
        place = rng.choice(list(seeds))
        content = parser.mutate(seeds[place], rng)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
        print(json.dumps({"number": number, "place": place}), file=tell)
        before = _resident()
        signal.setitimer(signal.ITIMER_PROF, parser.seconds)  # of work: kills, in a library too
        signal.alarm(_PATIENCE * parser.seconds)  # for one that waits for ever
        try:
            parser.read(folder / place)
        except BaseException as error:  # whatever it is
            if kind := kind_of(error):
                found(kind, traceback.format_exc(), content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        (folder / place).write_bytes(seeds[place])
        number += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        if peak - before > parser.megabytes:
            found("too much memory", f"{peak - before:.0f} MB", content)
            break  # the peak of a process never falls
    print(json.dumps({"done": number}), file=tell)


def _resident() -> float:
    """Megabytes that the process holds now."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmRSS:")[1].split()[0]) / 1e3


# --- in the process that watches ---


class Watch:
    """One parser's run: how many files it read, and what was found."""

    def __init__(self, name: str, seed: int, findings: Path) -> None:
        """Begins with the first file."""
        self.name, self.seed, self.findings = name, seed, findings
        self.next, self.kinds = 0, {}

    def run(self, seconds: float) -> None:
        """Reads for so long, in one process after the other where they die."""
        end, deaths = time.monotonic() + seconds, 0
        while time.monotonic() < end and deaths < _MOST_DEATHS:
            deaths += self._run_one(end - time.monotonic())

    def _run_one(self, seconds: float) -> bool:
        """One process; whether it died."""
        with tempfile.TemporaryDirectory() as folder:
            argv = [sys.executable, __file__, _CHILD, self.name, str(self.next), str(self.seed)]
            process = subprocess.Popen(
                [*argv, str(seconds), folder],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            place, done = "", False
            for told in map(json.loads, process.stdout):
                if "number" in told:
                    self.next, place = told["number"] + 1, told["place"]
                elif "kind" in told:
                    content = base64.b64decode(told["content"])
                    self._keep(told["kind"], told["told"], place, content)
                done = done or "done" in told
            status = process.wait()
            if done:
                return False
            if not place:
                sys.exit(f"{self.name}: its seeds cannot be drawn; run it by itself: {_CHILD}")
            sign = signal.Signals(-status).name if status < 0 else f"status {status}"
            self._keep(f"ended by {sign}", "", place, Path(folder, place).read_bytes())
            return True

    def _keep(self, kind: str, told: str, name: str, content: bytes) -> None:
        """Counts a finding, and keeps the first file of its kind."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] == 1:
            target = self.findings / self.name / f"{self.next - 1}_{Path(name).name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.with_name(f"{target.name}.txt").write_text(f"{kind}\n{told}")


def main() -> int:
    """Prints a line for each parser; the exit status is 1 if anything was found."""
    if sys.argv[1:2] == [_CHILD]:
        name, first, seed, seconds, folder = sys.argv[2:]
        read_many(name, int(first), int(seed), float(seconds), Path(folder))
        return 0
    from fuzzing import PARSERS

    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("seconds", type=float, help="for each parser")
    flags.add_argument("parsers", nargs="*", metavar="PARSER", help=", ".join(PARSERS))
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--findings", type=Path, default=FINDINGS)
    flags.add_argument("--out", type=Path, help="file of the figures of all runs; these are added")
    config = flags.parse_args()
    if unknown := set(config.parsers) - PARSERS.keys():
        flags.error(f"no parser {min(unknown)}: there are {', '.join(PARSERS)}")
    found = False
    for name in config.parsers or PARSERS:
        watch = Watch(name, config.seed, config.findings)
        watch.run(config.seconds)
        kinds = "; ".join(f"{kind} ({count})" for kind, count in watch.kinds.items())
        print(f"{name}: {watch.next:,} files, findings: {kinds or 'none'}", flush=True)
        found |= bool(watch.kinds)
        if config.out:
            add(config.out, name, PARSERS[name].about, config.seconds, watch)
    return int(found)


def add(out: Path, name: str, about: str, seconds: float, watch: Watch) -> None:
    """Adds a run to the figures that a file holds of all runs."""
    rows = json.loads(out.read_text()) if out.exists() else {}
    row = rows.setdefault(name, {"about": about, "seconds": 0, "files": 0, "findings": {}})
    row["about"] = about
    row["seconds"] += seconds
    row["files"] += watch.next
    for kind, count in watch.kinds.items():
        row["findings"][kind] = row["findings"].get(kind, 0) + count
    out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
