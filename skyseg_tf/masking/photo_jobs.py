"""Masks of many photos, in the format of the tool that needs them."""

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from skyseg_tf.data.listing import LeftOut
from skyseg_tf.errors import InputError, printable
from skyseg_tf.images import Photo
from skyseg_tf.masking.formats import FORMATS, Table, encode_prediction, encode_text, write_text
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
from skyseg_tf.masking.prediction import Prediction, enlarge
from skyseg_tf.masking.runtime import FEW_PHOTOS, Runtime, load_runtime
from skyseg_tf.masking.settings import PredictConfig

_ALL_OR_NONE = "Nerfstudio wants masks for all frames or none"


def predict_photos(config: PredictConfig) -> int:
    """Writes one output per photo.

    Args:
      config: see PredictConfig.

    Returns:
      0, or 1 if photos could not be read; they are listed on stderr.
    """
    config = replace(config, format=config.format or "mask")
    scene = find_scene(config) if config.format == "nerfstudio" else None
    started, left_out = time.time(), {}
    jobs = find_jobs(config, left_out) if scene is None else scene_jobs(scene)

    def load() -> Runtime:
        return _load(config, few=len(jobs) < FEW_PHOTOS)

    hidden = True if config.quiet or len(jobs) == 1 else None
    with tqdm(total=len(jobs), unit="photo", disable=hidden) as bar:
        alone = len(jobs) == 1 or config.workers == 1
        work = _Work(config, started, left_out, bar, threads=None if alone else 1)
        run_jobs(jobs, config.workers, config.batch_size, load, work.finish, work.tell)
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
    left_out: LeftOut
    bar: tqdm
    threads: int | None  # for a photo; None: all there are
    rows: dict[Job, dict] = field(default_factory=dict)  # of a table
    failures: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # one per photo
    without: list[str] = field(default_factory=list)  # photos that have no sky
    used: set[str] = field(default_factory=set)  # models and runtimes

    def finish(self, runtime: Runtime, job: Job, photo: Photo, probs: np.ndarray) -> None:
        """Writes what the network has said of a photo, or keeps it for the table."""
        config, form = self.config, FORMATS[self.config.format]
        prediction = enlarge(
            runtime,
            photo.image,
            probs,
            refined=config.refine,
            threshold=config.threshold,
            metadata=photo.metadata,
            threads=self.threads,
        )
        if isinstance(form, Table):
            self.rows[job] = form.row(job.name, prediction)
        else:
            _write(prediction, config.format, job.target)
        share = prediction.sky_share if runtime.sky_channel is not None else None
        if share == 0:
            self.without.append(job.source)
        self.lines.append(_in_words(job, share))
        self.used.add(f"model {runtime.name}, {runtime.backend}")

    def tell(self, job: Job, error: Exception | None) -> None:
        """Counts a photo that is done or has failed."""
        self.bar.update()
        if error is not None:
            self.failures.append(_failure(job.source, error))

    def report(self, photos: int, stream: TextIO) -> None:
        """Tells of `photos` photos what was done."""
        done, seconds = photos - len(self.failures), time.time() - self.started
        if done <= LISTED:
            print("\n".join(map(printable, sorted(self.lines))), file=stream)
        else:
            print(f"{done} photos in {seconds:.1f} s ({done / seconds:.1f}/s)", file=stream)
            if self.without:
                some = printable(some_of(sorted(self.without)))
                print(f"no sky in {len(self.without)} of them: {some}", file=stream)
        if done:
            about = FORMATS[self.config.format].about
            print(f"{self.config.format} ({about}); {', '.join(self.used)}", file=stream)
        if self.left_out:
            print(f"left out: {printable(count_left_out(self.left_out))}", file=stream)


def _load(config: PredictConfig, few: bool) -> Runtime:
    runtime = load_runtime(config.model, config.backend, quick=few)
    if FORMATS[config.format].needs_sky and runtime.sky_channel is None:
        raise InputError(
            f"{runtime.name} knows no sky ({', '.join(runtime.class_names)}): choose --format "
            f"{', '.join(name for name, kind in FORMATS.items() if not kind.needs_sky)}"
        )
    return runtime


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


def _failure(source: str, error: Exception) -> str:
    said = str(error)
    if isinstance(error, MemoryError):
        said = "not enough memory for it; scale it down"
    elif not isinstance(error, (InputError, OSError)):
        said = f"{type(error).__name__}: {' '.join(said.split())}"
    return said if source in said else f"{source}: {said}"
