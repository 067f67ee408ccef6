"""Masks of many photos, in the format of the tool that needs them."""

import glob
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from skyseg_tf.data.listing import VIDEO_SUFFIXES, LeftOut, choose_photos, walk_tree
from skyseg_tf.errors import InputError, printable
from skyseg_tf.images import Photo, check_folder, software_of
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.masking.formats import (
    FORMATS,
    SOFTWARE,
    Table,
    encode_prediction,
    encode_text,
    output_name,
    without_outputs,
    write_text,
)
from skyseg_tf.masking.nerfstudio import Scene, finish_scene, read_scene
from skyseg_tf.masking.photo_stages import STREAM, Job, run_jobs
from skyseg_tf.masking.prediction import Prediction, enlarge
from skyseg_tf.masking.runtime import FEW_PHOTOS, Runtime, load_runtime
from skyseg_tf.masking.settings import PredictConfig

_LISTED = 10  # so many photos are spoken of one by one
_ALL_OR_NONE = "Nerfstudio wants masks for all frames or none"
# An --out that ends in one of these is a file, any other a folder.
_FILES = frozenset(
    {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *(Path(form.name).suffix for form in FORMATS.values())}
)


def predict_photos(config: PredictConfig) -> int:
    """Writes one output per photo.

    Args:
      config: see PredictConfig.

    Returns:
      0, or 1 if photos could not be read; they are listed on stderr.
    """
    config = replace(config, format=config.format or "mask")
    scene = find_scene(config) if config.format == "nerfstudio" else None
    work = _Work(config, started=time.time())
    jobs = find_jobs(config, work.left_out) if scene is None else _scene_jobs(scene)

    def load() -> Runtime:
        return _load(config, few=len(jobs) < FEW_PHOTOS)

    hidden = True if config.quiet or len(jobs) == 1 else None
    with tqdm(total=len(jobs), unit="photo", disable=hidden) as bar:

        def tell(job: Job, error: Exception | None) -> None:
            bar.update()
            if error is not None:
                work.failures.append(_failure(job.source, error))

        stopped = run_jobs(jobs, config.workers, config.batch_size, load, work.finish, tell)
    if stopped:
        raise KeyboardInterrupt(stopped)
    form = FORMATS[config.format]
    if isinstance(form, Table):
        rows = [work.rows[job] for job in jobs if job in work.rows]
        _write_table(form.render(rows), jobs[0].target)
    if scene is not None and not work.failures:
        finish_scene(scene)
    if not config.quiet:
        work.report(len(jobs), sys.stderr if jobs[0].target is None else sys.stdout)
    for failure in work.failures:
        print(f"skyseg predict: not done: {printable(failure)}", file=sys.stderr)
    if scene is not None and work.failures:
        print(f"skyseg predict: {scene.file} is as it was: {_ALL_OR_NONE}", file=sys.stderr)
    return 1 if work.failures else 0


@dataclass
class _Work:
    """What has become of the photos; several threads add to it."""

    config: PredictConfig
    started: float
    rows: dict[Job, dict] = field(default_factory=dict)  # of a table
    failures: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # a line per photo
    without: list[str] = field(default_factory=list)  # photos that have no sky
    left_out: LeftOut = field(default_factory=dict)
    used: set[str] = field(default_factory=set)  # models and runtimes

    def finish(self, runtime: Runtime, job: Job, photo: Photo, probs: np.ndarray) -> None:
        """Writes what the network has said of a photo, or keeps it for the table."""
        config, form = self.config, FORMATS[self.config.format]
        options = {"refined": config.refine, "threshold": config.threshold}
        prediction = enlarge(runtime, photo.image, probs, metadata=photo.metadata, **options)
        if isinstance(form, Table):
            self.rows[job] = form.row(job.name, prediction)
        else:
            _write(prediction, config.format, job.target)
        share = prediction.is_sky.mean() if runtime.sky_channel is not None else None
        if share == 0:
            self.without.append(job.source)
        self.told.append(_in_words(job, share))
        self.used.add(f"model {runtime.name}, {runtime.backend}")

    def report(self, photos: int, stream: TextIO) -> None:
        """Tells of `photos` photos what was done."""
        done, seconds = photos - len(self.failures), time.time() - self.started
        if done <= _LISTED:
            print("\n".join(map(printable, sorted(self.told))), file=stream)
        else:
            print(f"{done} photos in {seconds:.1f} s ({done / seconds:.1f}/s)", file=stream)
            if self.without:
                some = printable(_some(sorted(self.without)))
                print(f"no sky in {len(self.without)} of them: {some}", file=stream)
        if done:
            about = FORMATS[self.config.format].about
            print(f"{self.config.format} ({about}); {', '.join(self.used)}", file=stream)
        if self.left_out:
            print(f"left out: {printable(_counted(self.left_out))}", file=stream)


def _load(config: PredictConfig, few: bool) -> Runtime:
    runtime = load_runtime(config.model, config.backend, quick=few)
    if FORMATS[config.format].needs_sky and runtime.sky_channel is None:
        raise InputError(
            f"{runtime.name} knows no sky ({', '.join(runtime.class_names)}): choose --format "
            f"{', '.join(name for name, kind in FORMATS.items() if not kind.needs_sky)}"
        )
    return runtime


# --- which photos, and where to ---


def find_jobs(config: PredictConfig, left_out: LeftOut | None = None) -> list[Job]:
    """All photos that the inputs name, with their outputs.

    Args:
      config: see PredictConfig.
      left_out: is filled with what else lies there, by the reason why it is no photo.

    Returns:
      A job for each photo.

    Raises:
      InputError: an input that is not there, two photos for one output, an output that would
        overwrite a photo or that contradicts the format, or several photos for one file.
    """
    out, kind = Path(config.out or "masks"), config.format or "mask"
    once: dict[str, Path] = {}  # a photo that two inputs name is one photo
    for text in filter(None, config.inputs):
        for source, relative in _photos(text, out, {} if left_out is None else left_out):
            once.setdefault(source, relative)
    photos = list(once.items())
    if not photos or "" in config.inputs:  # an empty variable of the shell is no folder
        raise InputError("no photo given: name photos, folders, globs, or - for stdin")
    whole = isinstance(FORMATS[kind], Table)
    names = [relative.as_posix() for _, relative in photos]
    if len(set(names)) < len(names):
        names = [Path(source).as_posix() for source, _ in photos]
    if str(out) == STREAM or (config.out is None and config.inputs == (STREAM,)):
        if len(photos) > 1 and not whole:
            raise InputError(f"stdout holds one photo, these are {len(photos)}: give --out DIR")
        targets = [None] * len(photos)
    elif out.suffix.lower() in _FILES and not out.is_dir():
        _check_file(out, kind, len(photos))
        targets = [out] * len(photos)
    else:
        targets = [out / output_name(kind, relative) for _, relative in photos]
        check_folder(out)
    jobs = [
        Job(source, target, name)
        for (source, _), target, name in zip(photos, targets, names, strict=True)
    ]
    if not whole and targets[0] is not None:
        _refuse_clashes(jobs, kind)
    return jobs


def _check_file(out: Path, kind: str, photos: int) -> None:
    suffix = Path(FORMATS[kind].name).suffix
    if out.suffix.lower() != suffix:
        fitting = [k for k, form in FORMATS.items() if Path(form.name).suffix == out.suffix.lower()]
        hint = f", or choose --format {', '.join(fitting)}" if fitting else ""
        raise InputError(
            f"--out {out}: the format {kind} is written as {suffix}; give a folder or a name in "
            f"{suffix}{hint}"
        )
    if photos > 1 and not isinstance(FORMATS[kind], Table):
        raise InputError(f"--out {out}: one file, and these are {photos} photos; give a folder")
    check_folder(out.parent)


def _refuse_clashes(jobs: Sequence[Job], kind: str) -> None:
    taken: dict[Path, str] = {}
    sources = {Path(job.source).resolve() for job in jobs}
    folders = {source.parent for source in sources}
    named_as_mask = not FORMATS[kind].name.startswith("{stem}.")
    for job in jobs:
        target = job.target.resolve()
        if job.target in taken:
            raise InputError(
                f"{taken[job.target]} and {job.source} would both be written as {job.target}: give "
                "the folder above them, or one --out each"
            )
        if target in sources:
            raise InputError(
                f"{job.target} is one of the photos and would be overwritten: give another --out"
            )
        # Beside the photos a picture that was not written here may be one that was not asked for.
        other = target.parent in folders and target.suffix == ".png" and target.is_file()
        if other and not named_as_mask and software_of(target) != SOFTWARE:
            raise InputError(
                f"{job.target} lies among the photos, was not written here, and would be "
                "overwritten: give another --out, or move it away"
            )
        taken[job.target] = job.source


def find_scene(config: PredictConfig) -> Scene:
    """The scene of Nerfstudio that the inputs name.

    Raises:
      InputError: not one scene, or an --out, which it has none of.
    """
    if len(config.inputs) != 1:
        raise InputError("--format nerfstudio takes one folder, the one with transforms.json")
    if config.out is not None:
        raise InputError("--format nerfstudio writes masks beside transforms.json: leave out --out")
    return read_scene(Path(config.inputs[0]))


def _scene_jobs(scene: Scene) -> list[Job]:
    return [
        Job(str(scene.folder / photo), scene.folder / mask, photo)
        for photo, mask in scene.masks.items()
    ]


def _photos(text: str, out: Path, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """(path, path below the folder that was asked for) of each photo of one input."""
    path = Path(text)
    if text == STREAM:
        yield STREAM, Path("stdin.png")
    elif path.is_dir():
        found = sorted(walk_tree(path))
        if path.resolve() in out.resolve().parents:  # masks of an earlier run are no photos
            found = [p for p in found if not p.resolve().is_relative_to(out.resolve())]
        found = _chosen(found, left_out)
        if not found:
            there = f" (there are {_counted(left_out)})" if left_out else ""
            raise InputError(
                f"{path}: no photos there{there}; they end in {', '.join(IMAGE_SUFFIXES)}"
            )
        yield from ((str(p), p.relative_to(path)) for p in found)
    elif path.exists() or not glob.has_magic(text):
        if not path.exists():
            what = "download it first" if "://" in text else "check the path"
            raise InputError(f"{text}: no such file or folder; {what}")
        yield text, Path(path.name)
    else:
        plain = [part for part in path.parts if not glob.has_magic(part)]
        folder = Path(*path.parts[: next(i for i, p in enumerate(path.parts) if glob.has_magic(p))])
        found = [Path(p) for p in sorted(glob.glob(text, recursive=True))]
        found = _chosen([p for p in found if not p.is_dir()], left_out)
        if not found:
            below = f" below {folder}" if plain else ""
            raise InputError(f"{text}: no photo matches{below}; check the pattern")
        yield from ((str(p), p.relative_to(folder)) for p in found)


def _chosen(found: list[Path], left_out: LeftOut) -> list[Path]:
    """The photos among files; adds to `left_out` what is none."""
    found, others = choose_photos(found)
    photos = without_outputs(found)
    if masks := sorted(set(found) - set(photos)):
        others["masks"] = masks
    for reason, paths in others.items():
        left_out.setdefault(reason, []).extend(paths)
    return photos


def _write(prediction: Prediction, kind: str, target: Path | None) -> None:
    if target is not None:
        FORMATS[kind].write(prediction, target)
        return
    sys.stdout.buffer.write(encode_prediction(kind, prediction, "stdout.png")[1])
    sys.stdout.buffer.flush()


def _write_table(text: str, target: Path | None) -> None:
    if target is not None:
        write_text(target, text)
        return
    sys.stdout.buffer.write(encode_text(text))
    sys.stdout.buffer.flush()


# --- words ---


def _in_words(job: Job, share: float | None) -> str:
    said = "" if share is None else "no sky" if share == 0 else f"{100 * share:.1f} % sky"
    return f"{job.source}: {said}{f' -> {job.target}' if job.target else ''}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _counted(left_out: LeftOut) -> str:
    """Such as `3 videos (give them one by one), 1 .txt`; masks, which are a guess, are named."""
    said = []
    for reason, paths in sorted(left_out.items(), key=lambda item: (-len(item[1]), item[0])):
        named = f" ({_some(map(str, paths))})" if reason == "masks" else ""
        reason = re.sub(r"^(\w+)s\b", r"\1", reason) if len(paths) == 1 else reason
        said.append(f"{len(paths)} {reason}{named}")
    return ", ".join(said)


def _failure(source: str, error: Exception) -> str:
    said = str(error)
    if isinstance(error, MemoryError):
        said = "not enough memory for it; scale it down"
    elif not isinstance(error, (InputError, OSError)):
        said = f"{type(error).__name__}: {' '.join(said.split())}"
    return said if source in said else f"{source}: {said}"
