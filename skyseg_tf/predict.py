"""skyseg predict: masks of photos and videos, in the format of the tool that needs them."""

import glob
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from tqdm import tqdm

from skyseg_tf.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.formats import FORMATS, encode_prediction, output_name
from skyseg_tf.images import IMAGE_SUFFIXES, decode_image, read_image
from skyseg_tf.prediction import Prediction, enlarge, infer
from skyseg_tf.runtime import BACKENDS, Runtime, load_fastest, load_runtime
from skyseg_tf.video_settings import VideoSettings, is_stream, is_video

STREAM = "-"
_LISTED = 10  # so many photos are spoken of one by one
_FEW = 30  # photos; for fewer, loading OpenVINO takes longer than it saves


@dataclass(frozen=True)
class PredictConfig:
    """Make masks of photos at their own full size, and of videos.

    Photos of any kind are read (EXIF orientation, 16 bit, grey, alpha, CMYK) up to 200,000,000
    pixels. The exit status is 1 if some of them could not be read; the others are done all the
    same.
    """

    inputs: tyro.conf.Positional[tuple[str, ...]]
    """Photos, folders (with all photos below them), globs such as 'photos/**/*.jpg', or - for
    stdin; or videos, also from a network: rtsp:// and http:// (until Ctrl-C, if they do not end)."""
    out: Path | None = None
    """Folder of the masks, default masks; - for stdout (one photo), which is the default for
    stdin. Folders below a given folder are kept. Of a video also the file itself."""
    format: Literal[tuple(FORMATS)] | None = None
    """Default: mask, of videos overlay. mask: 255 = sky; keep-mask: 255 = not sky; colmap: <photo.jpg>.png, 0 = sky; odm,
    metashape: <photo>_mask.png, 255 = not sky; alpha8, alpha16: probability of sky; rgba-sky,
    rgba-nosky: the photo cut out; overlay; color: Cityscapes colors; labelids: 23 = sky; coco-rle;
    npy: probability of sky, float32; json, csv: sky share, horizon, confidence."""
    model: str | None = None
    """Run folder, model file (.keras, .onnx, .xml, .tflite) or name of a boxed model; default:
    the model in the box."""
    backend: Literal[BACKENDS] | None = None
    """Runtime; default: the fastest that is installed, loading included."""
    threshold: float | None = None
    """Probability, 0-1, from which a pixel is sky; default: the model's own."""
    refine: bool = True
    """Let edges follow the full-size photo, down to branches and wires."""
    batch_size: int = 1
    """Photos per step; more pays on a GPU alone."""
    workers: int = 2
    """Threads that read, refine and write while the network computes."""
    quiet: bool = False
    """Say nothing but errors."""
    camera: int | None = None
    """Take frames from this camera (0 is the first) until Ctrl-C."""
    video: tyro.conf.OmitArgPrefixes[VideoSettings] = field(default_factory=VideoSettings)


@dataclass(frozen=True)
class Job:
    """One photo: where it is, and where its output goes (None for stdout)."""

    source: str
    target: Path | None


def predict(config: PredictConfig) -> int:
    """Writes one output per photo.

    Args:
      config: see PredictConfig.

    Returns:
      0, or 1 if photos could not be read; they are listed on stderr.

    Raises:
      InputError: nothing to do, outputs that would clash, a model or setting that cannot be used.
    """
    _check(config)
    videos = find_videos(config)
    if videos:
        return _predict_videos(config, videos)
    config = replace(config, format=config.format or "mask")
    jobs = find_jobs(config)
    started, failures, without, told, used = time.time(), [], [], [], set()

    def load() -> Runtime:
        return _load(config, few=len(jobs) < _FEW)

    def finish(runtime: Runtime, job: Job, image: np.ndarray, probs: np.ndarray) -> None:
        prediction = enlarge(
            runtime, image, probs, refined=config.refine, threshold=config.threshold
        )
        _write(prediction, config.format, job.target)
        share = prediction.is_sky.mean() if runtime.sky_channel is not None else None
        if share == 0:
            without.append(job.source)
        told.append(_in_words(job, share))
        used.add(f"model {runtime.name}, {runtime.backend}")

    with tqdm(
        total=len(jobs), unit="photo", disable=True if config.quiet or len(jobs) == 1 else None
    ) as bar:
        for job, error in run_jobs(jobs, config, load, finish):
            bar.update()
            if error is not None:
                failures.append(f"{job.source}: {error}" * (job.source not in str(error)) or error)
    if not config.quiet:
        _report(config, jobs, len(failures), without, told, used, time.time() - started)
    for failure in failures:
        print(f"skyseg predict: not done: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _load(config: PredictConfig, few: bool) -> Runtime:
    runtime = load_runtime(config.model, config.backend, quick=few)
    if FORMATS[config.format].needs_sky and runtime.sky_channel is None:
        raise InputError(
            f"{runtime.name} knows no sky ({', '.join(runtime.class_names)}): choose --format "
            f"{', '.join(name for name, kind in FORMATS.items() if not kind.needs_sky)}"
        )
    return runtime


def _check(config: PredictConfig) -> None:
    if config.threshold is not None and not 0 < config.threshold < 1:
        raise InputError(f"--threshold {config.threshold}: must lie between 0 and 1")
    if config.batch_size < 1 or config.workers < 1:
        raise InputError("--batch-size and --workers must be at least 1")
    if config.camera is not None and config.camera < 0:  # OpenCV dies of it
        raise InputError(f"--camera is {config.camera}: 0 is the first")


# --- which photos, and where to ---


def find_jobs(config: PredictConfig) -> list[Job]:
    """All photos that the inputs name, with their outputs.

    Raises:
      InputError: an input that is not there, two photos for one output, an output that would
        overwrite a photo, or several photos for stdout.
    """
    out = Path(config.out or "masks")
    photos = [photo for text in config.inputs if text for photo in _photos(text, out)]
    if not photos or "" in config.inputs:  # an empty variable of the shell is no folder
        raise InputError("no photo given: name photos, folders, globs, or - for stdin")
    to_stdout = config.out is not None and str(config.out) == STREAM
    if to_stdout or (config.out is None and config.inputs == (STREAM,)):
        if len(photos) > 1:
            raise InputError(f"stdout holds one photo, these are {len(photos)}: give --out DIR")
        return [Job(photos[0][0], None)]
    jobs = [
        Job(source, out / output_name(config.format or "mask", relative))
        for source, relative in photos
    ]
    taken: dict[Path, str] = {}
    sources = {Path(job.source).resolve() for job in jobs}
    for job in jobs:
        if job.target in taken:
            raise InputError(
                f"{taken[job.target]} and {job.source} would both be written as {job.target}: give "
                "the folder above them, or one --out each"
            )
        if job.target.resolve() in sources:
            raise InputError(
                f"{job.target} is one of the photos and would be overwritten: give another --out"
            )
        taken[job.target] = job.source
    return jobs


def find_videos(config: PredictConfig) -> list[str | int]:
    """The videos that the inputs name, or the number of the camera; empty where all are photos.

    Raises:
      InputError: photos among them, or a pattern that matches nothing.
    """
    if config.camera is not None:
        if config.inputs:
            raise InputError(f"--camera takes no files: leave out {config.inputs[0]}")
        return [config.camera]
    named = [text for text in config.inputs if is_video(text)]
    if named and len(named) < len(config.inputs):
        other = next(text for text in config.inputs if text not in named)
        raise InputError(f"{other} is no video, {named[0]} is: give them to commands of their own")
    videos = []
    for text in named:
        is_there = is_stream(text) or Path(text).exists()
        found = [text] if is_there else sorted(glob.glob(text, recursive=True))
        if not found:
            raise InputError(f"{text}: no such file; check the path")
        videos += found
    return videos


def _predict_videos(config: PredictConfig, videos: list[str | int]) -> int:
    # Only videos need PyAV.
    from skyseg_tf.predict_video import VideoConfig, predict_videos, streams_for

    settings = VideoConfig(
        **asdict(config.video),
        out=str(config.out or "masks"),
        format=config.format or "overlay",
        threshold=config.threshold,
        quiet=config.quiet,
    )
    # So many and no more: the decoder and the encoder have threads of their own.
    runtime = load_fastest(
        config.model, config.backend, threads=os.cpu_count(), streams=streams_for(videos[0])
    )
    return predict_videos(settings, videos, runtime)


def _photos(text: str, out: Path) -> Iterator[tuple[str, Path]]:
    """(path, path below the folder that was asked for) of each photo of one input."""
    path = Path(text)
    if text == STREAM:
        yield STREAM, Path("stdin.png")
    elif path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if _is_photo(p)]
        if path.resolve() in out.resolve().parents:  # masks of an earlier run are no photos
            found = [p for p in found if not p.resolve().is_relative_to(out.resolve())]
        if not found:
            raise InputError(f"{path}: no photos there; they end in {', '.join(IMAGE_SUFFIXES)}")
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
        found = [p for p in found if _is_photo(p)]
        if not found:
            below = f" below {folder}" if plain else ""
            raise InputError(f"{text}: no photo matches{below}; check the pattern")
        yield from ((str(p), p.relative_to(folder)) for p in found)


def _is_photo(path: Path) -> bool:
    return (
        path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _read(source: str) -> np.ndarray:
    if source == STREAM:
        return decode_image(sys.stdin.buffer.read(), "stdin")
    return read_image(source)


# --- reading, computing and writing at once ---


def run_jobs(
    jobs: Iterable[Job], config: PredictConfig, load: Callable[[], Runtime], finish: Callable
) -> Iterator[tuple[Job, Exception | None]]:
    """Reads ahead and finishes behind in threads while the network runs in this one.

    Args:
      jobs: photos in the order wanted.
      config: batch_size and workers.
      load: gives the model; called once, while the first photos are being read.
      finish: (runtime, job, image, probs) -> None; called in a thread.

    Yields:
      Each job with the error that stopped it, or None. At most workers + batch_size photos are in
      memory before the network, and as many behind it. A failing disk raises.
    """
    ahead = config.workers + config.batch_size
    with _pool(config.workers) as readers, _pool(config.workers) as writers:
        waiting = iter(jobs)
        reading: deque[tuple[Job, Future]] = deque()
        writing: deque[tuple[Job, Future]] = deque()
        batch: list[tuple[Job, np.ndarray]] = []

        def compute() -> None:
            for (job, image), probs in zip(
                batch, infer(runtime, [i for _, i in batch]), strict=True
            ):
                writing.append((job, writers.submit(finish, runtime, job, image, probs)))
            batch.clear()

        def read_ahead() -> bool:
            while len(reading) < ahead and (job := next(waiting, None)):
                reading.append((job, readers.submit(_read, job.source)))
            return bool(reading)

        read_ahead()
        runtime = load()
        while read_ahead():
            job, future = reading.popleft()
            try:
                image = future.result()
            except (InputError, OSError, MemoryError) as error:
                yield job, error
                continue
            if batch and _size(runtime, image) != _size(runtime, batch[0][1]):
                compute()
            batch.append((job, image))
            if len(batch) >= config.batch_size:
                compute()
            while len(writing) > ahead:
                yield _finished(*writing.popleft())
        if batch:
            compute()
        while writing:
            yield _finished(*writing.popleft())


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; after an error or Ctrl-C what has not begun is dropped, and nobody waits."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _size(runtime: Runtime, image: np.ndarray) -> tuple[int, int]:
    return runtime.size_for(*image.shape[:2])


def _finished(job: Job, future: Future) -> tuple[Job, None]:
    future.result()
    return job, None


def _write(prediction: Prediction, kind: str, target: Path | None) -> None:
    if target is not None:
        FORMATS[kind].write(prediction, target)
        return
    sys.stdout.buffer.write(encode_prediction(kind, prediction, "stdout.png")[1])
    sys.stdout.buffer.flush()


# --- words ---


def _in_words(job: Job, share: float | None) -> str:
    said = "" if share is None else "no sky" if share == 0 else f"{100 * share:.1f} % sky"
    return f"{job.source}: {said}{f' -> {job.target}' if job.target else ''}"


def _report(
    config: PredictConfig, jobs: list[Job], failed: int, without: list[str], told: list[str],
    used: set[str], seconds: float,
) -> None:  # fmt: skip
    stream = sys.stderr if jobs[0].target is None else sys.stdout
    done = len(jobs) - failed
    if done <= _LISTED:
        print("\n".join(sorted(told)), file=stream)
    else:
        print(f"{done} photos in {seconds:.1f} s ({done / seconds:.1f}/s)", file=stream)
        if without:
            some = ", ".join(sorted(without)[:_LISTED])
            more = ", ..." if len(without) > _LISTED else ""
            print(f"no sky in {len(without)} of them: {some}{more}", file=stream)
    if done:
        about = FORMATS[config.format].about
        print(f"{config.format} ({about}); {', '.join(used)}", file=stream)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.predict") -> None:
    """Entry point of the command."""
    run_command(predict, PredictConfig, argv, prog)


if __name__ == "__main__":
    main()
