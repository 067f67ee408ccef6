"""Commands that are killed and run again: is anything lost, unequal or left behind?

    python benchmarks/faults.py [--tries 20] [--only build train ...] [--out FILE]

It may be stopped at any time: the same command goes on with the figures in FILE.

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
import atexit
import csv
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import h5py
import numpy as np
from compare import describe_machine

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import dying
import tiny_network  # noqa: F401  (and TensorFlow with it, once for all)

from skyseg_tf.data.drawing.dataset import write_scenes

PATIENCE = 300  # seconds of a run, after which it counts as hung
TRAINING = "--records records --model skynet --batch-size 2 --ema 0.9 --quiet"
PHOTO = np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)


@dataclass(frozen=True)
class Command:
    """A command to be killed.

    Attributes:
      name: of its row in the table.
      line: what is typed.
      makes: the folder whose appearance is the beginning of its work.
      again: what is typed after a kill; "" for the same.
      once: what must be there for that; else it is the same too.
    """

    name: str
    line: str
    makes: str
    again: str = ""
    once: str = ""


FAULTS = ("at a renaming", "at random")
GOLDEN = 0.6180339887  # steps of it spread evenly over 0 to 1, however many there are
EXPORTS = ("onnx", "openvino", "litert", "saved_model")
COMMANDS = (
    Command(
        "build", "build --source scenes --out out --image-size 32 64 --shards 3 --quiet", "out"
    ),
    Command(
        "train",
        f"train {TRAINING} --epochs 2 --checkpoint-steps 4 --run out --plots plots",
        "out",
        "train --resume out --quiet",
        once="out/config.json",
    ),
    Command(
        "search",
        f"search {TRAINING} --epochs 1 --space learning_rate=1e-3,3e-3 --run out",
        "out",
    ),
    *(
        Command("export", f"export --model run --format {form} --photos 2", "run/exports")
        for form in EXPORTS
    ),
    Command(
        "predict",
        "predict scenes/leftImg8bit --out out --backend onnxruntime",
        "out",
        "predict scenes/leftImg8bit --out out --backend onnxruntime --resume",
        once="out",
    ),
    Command(
        "evaluate",
        "evaluate --model skyline --source scenes --worst 2 --quiet --backend onnxruntime",
        "runs/evaluation",
    ),
)


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


# --- what a folder holds ---


class Folder:
    """The folder in which all is done, with what was in it at the beginning."""

    def __init__(self, path: Path) -> None:
        """Takes what is there for the commands' input."""
        self.path, self.given = path, set()
        self.given = set(self.files())

    def files(self) -> list[Path]:
        """Everything in it that was not given, relative to it."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*"))
        return sorted(path for path in found if path not in self.given and not _is_autograph(path))

    def contents(self) -> dict[str, object]:
        """What can be compared of each file; None of a folder."""
        return {_stable(name): content_of(self.path / name) for name in self.files()}

    def clear(self) -> None:
        """Removes all that was not given."""
        for name in reversed(self.files()):
            path = self.path / name
            path.rmdir() if path.is_dir() else path.unlink()


def _is_autograph(name: Path) -> bool:
    """Whether TensorFlow has put it into the folder for temporary files, as it does in every run."""
    return name.parts[0] == "tmp" and ("autograph" in name.name or name.name == "__pycache__")


def _stable(name: Path) -> str:
    """A file's name without the time and process of TensorBoard's."""
    return re.sub(r"(tfevents)\..*", r"\1", name.as_posix())


def _without_numbers(name: str) -> str:
    """A name without what differs from try to try."""
    return re.sub(r"\d+-\d+|(?<=tmp/tmp)\w+|(?<=\.)\w{8}(?=/|$)", "*", name)


def content_of(path: Path) -> object:
    """What must be equal of a file; exports, databases and logs are only there or not."""
    if path.is_dir() or path.suffix in (".db", ".html") or "tfevents" in path.name:
        return None
    if "exports" in path.parts:
        return None
    if path.suffix == ".npz":
        with np.load(path) as file:
            kept = [name for name in file.files if name not in ("facts", "sha256")]
            return {name: file[name].tobytes() for name in kept}
    if path.suffix == ".keras":
        return weights_of(path)
    if path.name == "environment.json":
        return (
            path.read_text().replace("\n", "").partition('"git_commit"')[0]
        )  # somebody may commit
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text()))
        return [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in rows]
    return path.read_bytes()


def weights_of(path: Path) -> list[bytes]:
    """The arrays of a .keras file; its layers' names hang on how many the process has made before."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    arrays = []
    with h5py.File(content) as file:
        file.visititems(
            lambda _, item: arrays.append(item[()].tobytes()) if hasattr(item, "dtype") else None
        )
    return sorted(arrays)


def answers_of(folder: Path) -> np.ndarray | None:
    """What the export in a run computes of a photo; None where there is none."""
    target = folder.with_name("answers.npy")
    target.unlink(missing_ok=True)
    if (folder / "run/exports").exists():
        status_of(fork(folder, lambda: np.save(target, _answers(folder))))
    return np.load(target) if target.exists() else None


def _answers(folder: Path) -> np.ndarray:
    for path in sorted((folder / "run/exports").glob("*")):
        if path.is_dir():
            from skyseg_tf.exporters.saved_model import load_saved_model

            return load_saved_model(path)(PHOTO)
        if path.suffix in (".onnx", ".xml", ".tflite"):
            from skyseg_tf.masking.runtime import load_runtime

            return load_runtime(path)(PHOTO)
    raise FileNotFoundError


# --- processes ---


def fork(folder: Path, work: Callable[[], None]) -> int:
    """The process, in a group of its own, that does the work; it has the imports of this one.

    Starting TensorFlow anew takes longer than all that a command does here.
    """
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        log = os.open(folder.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        os.environ["TMPDIR"], tempfile.tempdir = str(folder / "tmp"), None
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(status)


def start(folder: Path, line: str, step: int = 0, when: str = "before") -> int:
    """The process of a command, see tests/dying.py."""
    renamings = str(folder.with_name("renamings"))
    return fork(folder, lambda: dying.main(renamings, str(step), when, *line.split()))


def status_of(pid: int) -> int:
    """How a process ended, minus the signal's number by a signal; one that hangs is killed."""
    end = time.monotonic() + PATIENCE
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def complete(folder: Path, line: str) -> str:
    """Runs a command to its end; what it said if it failed, else nothing."""
    status = status_of(start(folder, line))
    said = folder.with_name("log").read_text(errors="replace").splitlines()
    return "" if status == 0 else f"{line.split()[0]} ended with {status}: {(said or [''])[-1]}"


def wait_for_work(folder: Path, command: Command, pid: int) -> bool:
    """Waits for a command's first file; False if its process ended before."""
    while not (folder / command.makes).exists():
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.002)
    return True


# --- one try ---


def kill_at_random(folder: Path, command: Command, seconds: float) -> bool:
    """Kills a command at a moment between its first file and its end; False if it came to its end."""
    pid = start(folder, command.line)
    if wait_for_work(folder, command, pid):
        time.sleep(random.uniform(0, seconds))
        os.killpg(pid, signal.SIGKILL)
    return status_of(pid) == -signal.SIGKILL


def working_time(folder: Path, command: Command) -> float:
    """Seconds between a command's first file and its end."""
    pid = start(folder, command.line)
    wait_for_work(folder, command, pid)
    begun = time.monotonic()
    if status_of(pid):
        sys.exit(f"{command.line}: {folder.with_name('log').read_text()}")
    return time.monotonic() - begun


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
