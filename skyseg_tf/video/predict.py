"""Masks for videos and cameras: decoding, the network, drawing and encoding at the same time."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skyseg_tf.errors import InputError, Stuck
from skyseg_tf.images import write_aside
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.masking.settings import VideoSettings
from skyseg_tf.video.addresses import is_stream, video_name, without_password
from skyseg_tf.video.camera import Camera
from skyseg_tf.video.compose import Composer, frame_kind
from skyseg_tf.video.read import Moment, Shrinker, VideoReader
from skyseg_tf.video.smoothing import Smoother
from skyseg_tf.masking.stages import Stage, StageTime, run_stages
from skyseg_tf.video.write import CONTAINERS, FrameFolder, VideoWriter

_MOST_STREAMS = 4  # frames in memory, each with the network's activations


@dataclass(frozen=True, kw_only=True)
class VideoConfig(VideoSettings):
    """What becomes of a video: where to, what it shows, and VideoSettings' fields.

    Attributes:
      out: a video file (.mp4, .mov, .mkv, .webm), a folder, or "-" for standard output.
      format: key of video_compose.VIDEO_FORMATS.
      threshold: probability from which a pixel is sky; None for the model's own.
      quiet: no progress bar.
    """

    out: str
    format: str = "overlay"
    threshold: float | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Report:
    """What became of a video.

    Attributes:
      out: what was written.
      network: its name and backend.
      frames: how many.
      skipped: damaged ones, left out.
      missing: how many the file announced beyond its end.
      missed: a camera's frames that came while others were at work.
      without_sky: frames in whose mask nothing is sky.
      cuts: scene changes seen.
      seconds: from the first frame to the end of the file.
      cpu_seconds: of all processor cores.
      stages: times of decode, infer (the network alone), compose and encode.
      stopped: number of the signal that ended it (Ctrl-C's or SIGTERM), or 0.
    """

    out: str
    network: str
    frames: int
    skipped: int
    missing: int
    missed: int
    without_sky: int
    cuts: int
    seconds: float
    cpu_seconds: float
    stages: tuple[StageTime, ...]
    stopped: int

    @property
    def fps(self) -> float:
        """Frames per second, end to end."""
        return self.frames / max(self.seconds, 1e-9)

    @property
    def model_fps(self) -> float:
        """Frames per second of the network in the same run, where it never waits for any."""
        infer = next(stage for stage in self.stages if stage.name == "infer")
        return self.frames * infer.workers / max(infer.busy, 1e-9)

    def __str__(self) -> str:
        """The report in lines, the split last."""
        notes = [
            f"{count} {what}"
            for count, what in (
                (self.skipped, "damaged and skipped"),
                (self.missing, "missing, since the file breaks off"),
                (self.missed, "missed by a camera that was faster"),
                (self.without_sky, "without sky"),
            )
            if count
        ]
        lines = [
            f"{self.out}: {self.frames} frames{''.join(f', {note}' for note in notes)}"
            f"{' (stopped)' if self.stopped else ''}",
            f"{self.fps:.1f} fps end to end, {self.model_fps:.1f} fps {self.network} alone, "
            f"{1000 * self.cpu_seconds / max(self.frames, 1):.1f} ms of processor per frame",
            f"{'':<10}{'ms/frame':>9}{'cpu ms':>8}{'busy':>7}{'no input':>10}{'no room':>9}",
        ]
        frames, wall = max(self.frames, 1), max(self.seconds, 1e-9)
        for stage in self.stages:
            lines.append(
                f"{stage.name:<10}{1000 * stage.busy / frames:>9.2f}{1000 * stage.cpu / frames:>8.2f}"
                + "".join(
                    f"{seconds / stage.workers / wall:>{width}.0%}"
                    for seconds, width in ((stage.busy, 7), (stage.starved, 10), (stage.blocked, 9))
                )
            )
        return "\n".join(lines)


@dataclass
class _Item:
    """What goes from stage to stage."""

    moment: Moment
    images: np.ndarray | None = None  # (1, h, w, 3) or (1, T, h, w, 3) uint8, upright
    gains: np.ndarray | None = None  # for the smoother
    probs: np.ndarray | None = None  # (h, w, C) float32, upright


class _Before:
    """What the decode stage does for the network: small pictures, clips, scene changes."""

    def __init__(self, shrink: Shrinker, smoother: Smoother, frames: int):
        self.shrink, self.smoother = shrink, smoother
        self.clip: deque = deque(maxlen=frames)

    def __call__(self, moment: Moment) -> _Item:
        if moment.frame is None:
            return _Item(moment)
        small = self.shrink(moment.frame)
        gains = self.smoother.look(small, float(moment.frame.pts * moment.frame.time_base))
        if gains is None:
            self.clip.clear()  # a clip never runs over a cut: it stands still before it
            self.clip.extend([small] * self.clip.maxlen)
        self.clip.append(small)
        images = small if self.clip.maxlen == 1 else np.stack(self.clip)
        return _Item(moment, images[None], gains)


class _After:
    """What the compose stage does with the network's answers: smoothing and drawing."""

    def __init__(self, shrink: Shrinker, smoother: Smoother, composer: Composer, threshold: float):
        self.shrink, self.smoother, self.composer = shrink, smoother, composer
        self.threshold, self.without_sky = threshold, 0

    def __call__(self, item: _Item) -> Moment:
        if item.probs is not None:
            probs = self.smoother.smooth(item.probs, item.gains)
            channel = self.composer.scheme.sky_channel
            if channel is not None:
                self.without_sky += not (probs[..., channel] >= self.threshold).any()
            item.moment.frame = self.composer(item.moment.frame, self.shrink.turn_back(probs))
        return item.moment


def streams_for(source: Path | str | int) -> int:
    """How many frames the network has in work at once, for load_runtime.

    Threads that share one frame wait for each other at every layer, and for the decoder's and
    encoder's, which take cores away; a thread for each frame waits for nobody. A camera's frame is
    wanted at once: all cores work on it.

    Args:
      source: a file, the address of a stream, or the number of a camera.
    """
    return 1 if isinstance(source, int) else min(os.cpu_count() or 1, _MOST_STREAMS)


def predict_video(config: VideoConfig, source: Path | str | int, runtime: Runtime) -> Report:
    """Reads a video or camera and writes its masks.

    Args:
      config: how it is written.
      source: a file, the address of a stream, or the number of a camera.
      runtime: of load_runtime.

    Returns:
      The report. Ctrl-C and SIGTERM finish the file; a second one gives it up.

    Raises:
      InputError: no video, no camera, or an output that cannot be as asked.
    """
    _check(config)
    threshold = runtime.threshold if config.threshold is None else config.threshold
    composer = Composer(
        config.format,
        runtime.scheme,
        threshold=threshold,
        opacity=config.opacity,
    )
    is_camera = isinstance(source, int)
    target, suffix = find_target(config, source)
    reader = Camera(source) if is_camera else VideoReader(source, threads=config.codec_threads)
    try:
        size = runtime.size_for(*reader.info.shown_size)
        shrink = Shrinker(size, reader.info.orientation)
        smoother = Smoother(config.smooth)
        before = _Before(shrink, smoother, runtime.frames)
        after = _After(shrink, smoother, composer, threshold)
        written: list[int] = []  # time stamps
        start, cpu = time.perf_counter(), time.process_time()
        with _open_writer(config, target, suffix, reader) as write, _bar(config, reader) as bar:

            def infer(item: _Item) -> _Item:
                if item.images is not None:
                    item.probs = runtime(item.images)[0]
                return item

            def encode(moment: Moment) -> None:
                write(moment)
                if moment.frame is not None:
                    written.append(moment.frame.pts)
                    bar.update()

            stages, stopped = run_stages(
                ("decode", map(before, _moments(reader, config.max_frames))),
                [
                    Stage("infer", infer, runtime.streams),
                    Stage("compose", after),
                    Stage("encode", encode),
                ],
                depth=1 if is_camera else 3,
            )
            if not written:
                raise KeyboardInterrupt(stopped)  # before the first frame: nothing to finish
        return Report(
            out=str(target),
            network=f"{runtime.name} in {runtime.backend}",
            frames=len(written),
            skipped=reader.skipped,
            missing=reader.missing,
            missed=getattr(reader, "missed", 0),
            without_sky=after.without_sky,
            cuts=smoother.cuts,
            seconds=time.perf_counter() - start,
            cpu_seconds=time.process_time() - cpu,
            stages=tuple(stages),
            stopped=stopped,
        )
    finally:
        reader.close()


def _check(config: VideoConfig) -> None:
    for name, low, high in (
        ("opacity", 0, 1),
        ("smooth", 0, 60),
        ("quality", 0, 51),
        ("codec_threads", 1, 64),
        ("max_frames", 1, None),
        ("threshold", 0, 1),
    ):
        value = getattr(config, name)
        if value is not None and (value < low or (high is not None and value > high)):
            allowed = f"{low} to {high}" if high is not None else f"at least {low}"
            raise InputError(f"--{name.replace('_', '-')} {value}: give {allowed}")


def predict_videos(config: VideoConfig, sources: Sequence[str | int], runtime: Runtime) -> int:
    """Writes one video after the other and reports on each.

    Args:
      config: how; `out` is a folder where there are several.
      sources: files and addresses of streams, or one camera's number.
      runtime: of load_runtime.

    Returns:
      0, or 1 if some could not be done (they are listed on stderr), or 130 after Ctrl-C and 143
      after SIGTERM.

    Raises:
      InputError: several videos for one output, or the only one could not be done.
    """
    targets = [find_target(config, source)[0] for source in sources]
    if len(set(targets)) < len(targets):
        raise InputError(f"several videos would be written as {config.out}: give --out FOLDER")
    failures = []
    for source in sources:
        try:
            report = predict_video(config, source, runtime)
        except (InputError, FileNotFoundError) as error:
            if len(sources) == 1:
                raise
            name = without_password(str(source))
            failures.append(f"{name}: {error}" * (name not in str(error)) or error)
            continue
        if not config.quiet:
            print(report, file=sys.stderr if config.out == "-" else sys.stdout)
        if report.stopped:
            return 128 + report.stopped
    for failure in failures:
        print(f"skyseg predict: not done: {failure}", file=sys.stderr)
    return 1 if failures else 0


def find_target(config: VideoConfig, source: Path | str | int) -> tuple[Path | str, str]:
    """Where the output goes, and what it is: a key of CONTAINERS, ".png", "mjpeg" or "raw".

    Raises:
      InputError: a suffix that is no video, or the source itself.
    """
    stem = f"camera{source}" if isinstance(source, int) else video_name(str(source))
    if config.out == "-":
        return "-", "mjpeg" if config.container == "auto" else config.container
    if config.container in ("mjpeg", "raw"):
        raise InputError(f"{config.container} goes to standard output: give --out -")
    out = Path(config.out)
    if out.suffix and not out.is_dir() and config.container != "png":
        target, suffix = out, out.suffix.lower()
    elif config.container == "png":
        return (out if isinstance(source, int) or out.name == stem else out / stem), ".png"
    else:
        alpha = frame_kind(config.format) == "alpha"
        chosen = ("mov" if alpha else "mp4") if config.container == "auto" else config.container
        target, suffix = out / f"{stem}.{chosen}", f".{chosen}"
    if suffix not in CONTAINERS:
        raise InputError(f"{out}: give a folder or a video file ({', '.join(CONTAINERS)})")
    is_file = not isinstance(source, int) and not is_stream(str(source))
    if is_file and target.exists() and target.samefile(source):
        raise InputError(f"{target}: is the video itself; name another file or folder")
    return target, suffix


def _moments(reader, limit: int | None) -> Iterator[Moment]:
    """The first `limit` frames, and what lies between them."""
    count = 0
    for moment in reader:
        yield moment
        count += moment.frame is not None
        if count == limit:
            return


@contextmanager
def _open_writer(config: VideoConfig, target, suffix: str, reader):
    """Yields write(moment); the file appears whole under its name, or not at all."""
    if suffix == ".png":
        writer = FrameFolder(target, reader.info)
        yield from _closing(writer)
        return
    options = {
        "audio_streams": reader.audio_streams,
        "preset": config.preset,
        "quality": config.quality,
        "threads": config.codec_threads,
    }
    kind = frame_kind(config.format)
    if target == "-":
        yield from _closing(VideoWriter("-", suffix, kind, reader.info))
        return
    with write_aside(target) as aside:
        yield from _closing(VideoWriter(aside, suffix, kind, reader.info, **options))


def _closing(writer):
    try:
        yield writer.write
    except Stuck:  # a thread may still be at work on it
        raise
    except BaseException:
        writer.abandon()
        raise
    writer.close()


def _bar(config: VideoConfig, reader) -> tqdm:
    hidden = config.quiet or not sys.stderr.isatty()
    return tqdm(total=config.max_frames or reader.info.frames, unit=" frames", disable=hidden)
