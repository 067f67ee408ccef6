"""Masks of many photos, in the format of the tool that needs them."""

import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from skyseg_tf.data.listing import LeftOut
from skyseg_tf.errors import InputError, counted, plain_line, printable
from skyseg_tf.files.streams import binary_output
from skyseg_tf.images import Photo
from skyseg_tf.masking.formats import (
    FORMATS,
    Table,
    default_format,
    encode_prediction,
    encode_text,
    in_words,
    is_whole,
    write_text,
)
from skyseg_tf.masking.nerfstudio import finish_scene
from skyseg_tf.masking.photo_inputs import (
    LISTED,
    count_left_out,
    find_jobs,
    find_scene,
    scene_jobs,
    some_of,
)
from skyseg_tf.masking.photo_stages import Job, run_jobs
from skyseg_tf.masking.prediction import Prediction, check_threshold, enlarge
from skyseg_tf.masking.runtime import FEW_PHOTOS, Runtime, load_fastest, load_runtime
from skyseg_tf.masking.settings import PredictConfig

_MOST_WORKERS = 8  # unless told otherwise
_ALL_OR_NONE = "Nerfstudio wants masks for all frames or none"


@dataclass(frozen=True)
class Done:
    """What has become of a photo.

    Attributes:
      job: the photo.
      share: of its pixels that are sky; None where the model knows no sky, or nothing was computed.
      row: what a table says of it.
      made: what was written, and by which model and runtime, in words.
      failure: why it was not done, in one line.
      was_there: its output was there already.
    """

    job: Job
    share: float | None = None
    row: dict | None = None
    made: str = ""
    failure: str = ""
    was_there: bool = False

    @property
    def is_written(self) -> bool:
        """Whether a file of its own holds what was made of it."""
        return not self.failure and self.row is None and self.job.target is not None


# Takes settings, jobs, whether they are few, and a function that is told of each when it is done.
Engine = Callable[[PredictConfig, list[Job], bool, Callable[[Done], None]], None]


def predict_photos(config: PredictConfig, engine: Engine | None = None) -> int:
    """Writes one output per photo.

    Args:
      config: see PredictConfig.
      engine: who works; None: `mask_photos` in this process.

    Returns:
      0, or 1 if photos could not be read; they are listed on stderr.

    Raises:
      InputError: --resume where there is nothing to tell what is done by.
    """
    scene = find_scene(config) if config.format == "nerfstudio" else None
    started, left_out = time.time(), {}
    jobs = find_jobs(config, left_out) if scene is None else scene_jobs(scene)
    form = FORMATS.get(config.format)  # None: as the model's classes ask for
    if config.resume and (isinstance(form, Table) or jobs[0].target is None):
        raise InputError("--resume is for a file for each photo: leave it out")
    hidden = True if config.quiet or len(jobs) == 1 else None
    with tqdm(total=len(jobs), unit="photo", disable=hidden) as bar:
        work = _Work(config, started, left_out, bar)
        (engine or mask_photos)(config, jobs, len(jobs) < FEW_PHOTOS, work.take)
    if isinstance(form, Table):
        rows = [work.rows[job] for job in jobs if job in work.rows]
        _write_table(form.render(rows), jobs[0].target)
    if scene is not None and not work.failures:
        finish_scene(scene)
    if not config.quiet:
        work.report(len(jobs), sys.stderr if jobs[0].target is None else sys.stdout)
    for failure in sorted(work.failures):
        print(f"skyseg predict: not done: {printable(failure)}", file=sys.stderr)
    if scene is not None and work.failures:
        print(f"skyseg predict: {scene.file} is as it was: {_ALL_OR_NONE}", file=sys.stderr)
    return 1 if work.failures else 0


def mask_photos(
    config: PredictConfig,
    jobs: Sequence[Job],
    few: bool,
    tell: Callable[[Done], None],
    load: Callable[[PredictConfig, bool, int], Runtime] | None = None,
    begun: Collection[Job] | None = None,
) -> None:
    """Writes the outputs of photos, or finds what a table says of them.

    Args:
      config: see PredictConfig.
      jobs: the photos.
      few: they are few in all: the runtime that loads fastest is taken.
      tell: is told of each photo when it is done, in one thread.
      load: (config, few, streams) -> the model; None: `load_model`.
      begun: those whose output was there, whole or not, before the command began; None: it begins
        now. With --resume no other output counts as there already.

    Raises:
      InputError: a model that cannot be used.
      OSError: a full or failing disk.
    """
    if config.resume:
        begun = jobs if begun is None else begun
        there = [job for job in begun if is_whole(job.target)]
        for job in there:
            tell(Done(job, was_there=True))
        done_before = set(there)
        jobs = [job for job in jobs if job not in done_before]
    if not jobs:
        return
    workers = min(config.workers or _default_workers(), len(jobs))
    # Threads that share the network's work on one photo wait for each other at every layer.
    streams = workers if config.batch_size == 1 else 1
    run_jobs(
        jobs,
        workers,
        config.batch_size,
        load=partial(load or load_model, config, few, streams),
        finish=partial(_finish, config, None if workers == 1 else 1),
        tell=lambda job, done, error: tell(done or _failed(job, error)),
        load_first=not few,  # runtimes are tried, and readers beside them would disturb that
    )


def _finish(
    config: PredictConfig,
    threads: int | None,
    runtime: Runtime,
    job: Job,
    photo: Photo,
    probs: np.ndarray,
) -> Done:
    """Writes what is made of a photo, or finds its row of a table.

    Args:
      config: see PredictConfig.
      threads: of the refinement; None: all cores.
      runtime: the model.
      job: the photo.
      photo: its pixels, and what its file tells beside them.
      probs: (h, w, C) float32, at the network's size.
    """
    kind = config.format or default_format(runtime.scheme)
    form = FORMATS[kind]
    prediction = enlarge(
        runtime,
        photo.image,
        probs,
        metadata=photo.metadata,
        keep_sky=form.needs_probabilities,
        refined=config.refined,
        threshold=config.threshold,
        threads=threads,
    )
    row = form.row(job.name, prediction) if isinstance(form, Table) else None
    if row is None:
        _write(prediction, kind, job.target)
    share = prediction.sky_share if runtime.sky_channel is not None else None
    made = f"{kind} ({in_words(kind, runtime.scheme)}); model {runtime.name}, {runtime.backend}"
    return Done(job, share, row, made)


@dataclass
class _Work:
    """What has become of the photos."""

    config: PredictConfig
    started: float
    left_out: LeftOut
    bar: tqdm
    rows: dict[Job, dict] = field(default_factory=dict)  # of a table
    failures: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # one per photo
    without: list[str] = field(default_factory=list)  # photos that have no sky
    made: set[str] = field(default_factory=set)  # formats, models and runtimes
    were_there: int = 0

    def take(self, done: Done) -> None:
        """Counts a photo that is done or has failed."""
        self.bar.update()
        if done.failure:
            self.failures.append(done.failure)
            return
        if done.was_there:
            self.were_there += 1
            return
        if done.row is not None:
            self.rows[done.job] = done.row
        if done.share == 0:
            self.without.append(done.job.source)
        self.lines.append(_in_words(done.job, done.share))
        self.made.add(done.made)

    def report(self, photos: int, stream: TextIO) -> None:
        """Tells of `photos` photos what was done."""
        done = photos - len(self.failures) - self.were_there
        seconds = time.time() - self.started
        if self.were_there:
            print(f"{self.were_there} were there already", file=stream)
        if done <= LISTED:
            for line in sorted(self.lines):
                print(printable(line), file=stream)
        else:
            print(
                f"{counted(done, 'photo')} in {seconds:.1f} s ({done / seconds:.1f}/s)", file=stream
            )
            if self.without:
                some = printable(some_of(sorted(self.without)))
                print(f"no sky in {len(self.without)} of them: {some}", file=stream)
        for made in sorted(self.made):
            print(made, file=stream)
        if self.left_out:
            print(f"left out: {printable(count_left_out(self.left_out))}", file=stream)


def _default_workers() -> int:
    """One a core. Of 8, up to 22 photos are in memory: 4 GB where they have 48 megapixels."""
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def load_model(
    config: PredictConfig, few: bool, streams: int, threads: int | None = None
) -> Runtime:
    """The model that the settings name.

    Args:
      config: see PredictConfig.
      few: there are few photos: the runtime that loads fastest is taken, else the one that works
        fastest.
      streams: photos that the runtime works on at once.
      threads: of the runtime; None: all cores.

    Raises:
      InputError: no such model, or one of which the format can say nothing or the threshold decides
        nothing.
    """
    shared = {"threads": threads, "streams": streams}
    if few:
        runtime = load_runtime(config.model, config.backend, quick=True, **shared)
    else:
        runtime = load_fastest(config.model, config.backend, **shared)
    kind = config.format or default_format(runtime.scheme)
    if FORMATS[kind].needs_sky and runtime.sky_channel is None:
        raise InputError(
            f"{runtime.name} knows no sky ({', '.join(runtime.class_names)}): choose --format "
            f"{', '.join(name for name, kind in FORMATS.items() if not kind.needs_sky)}"
        )
    check_threshold(runtime, config.threshold, by_sky=config.refined)
    return runtime


def _write(prediction: Prediction, kind: str, target: Path | None) -> None:
    if target is not None:
        FORMATS[kind].write(prediction, target)
        return
    binary_output().write(encode_prediction(kind, prediction, "stdout.png")[1])
    binary_output().flush()


def _write_table(text: str, target: Path | None) -> None:
    if target is not None:
        write_text(target, text)
        return
    binary_output().write(encode_text(text))
    binary_output().flush()


# --- words ---


def _in_words(job: Job, share: float | None) -> str:
    said = "" if share is None else "no sky" if share == 0 else f"{100 * share:.1f} % sky"
    return f"{job.source}: {said}{f' -> {job.target}' if job.target else ''}"


def _failed(job: Job, error: Exception) -> Done:
    said = plain_line(error)
    if isinstance(error, MemoryError):
        said = "not enough memory for it; scale it down"
    elif not isinstance(error, (InputError, OSError)):
        said = f"{type(error).__name__}: {said}"
    return Done(job, failure=said if printable(job.source) in said else f"{job.source}: {said}")
