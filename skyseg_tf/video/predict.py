"""Masks for videos and cameras: decoding, the network, drawing and encoding at the same time."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skyseg_tf.errors import InputError, Stuck, counted, plain_line, printable
from skyseg_tf.files import is_of_disk
from skyseg_tf.files.aside import write_aside
from skyseg_tf.masking.prediction import check_threshold
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.masking.stages import Stage, run_stages
from skyseg_tf.video.addresses import is_stream, video_name, without_password
from skyseg_tf.video.formats import find_format
from skyseg_tf.video.report import Report
from skyseg_tf.video.smoothing import Smoother

try:
    from skyseg_tf.video.camera import Camera
    from skyseg_tf.video.compose import Composer
    from skyseg_tf.video.frames import Moment, Shrinker
    from skyseg_tf.video.read import VideoReader
    from skyseg_tf.video.target import VideoConfig, check_settings, find_target
    from skyseg_tf.video.write import FrameFolder, VideoWriter
except ModuleNotFoundError:
    raise InputError("videos and cameras need PyAV: pip install 'skyseg_tf[video]'") from None

_MOST_STREAMS = 4  # frames in memory, each with the network's activations


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

    def __init__(self, shrink: Shrinker, smoother: Smoother, composer: Composer):
        self.shrink, self.smoother, self.composer = shrink, smoother, composer
        self.without_sky = 0

    def __call__(self, item: _Item) -> Moment:
        if item.probs is not None:
            probs = self.smoother.smooth(item.probs, item.gains)
            if self.composer.scheme.sky is not None:
                self.without_sky += not self.composer.shows_sky(probs)
            item.moment.frame = self.composer(item.moment.frame, self.shrink.turn_back(probs))
        return item.moment


class _Work:
    """One video on its way through the stages."""

    def __init__(
        self,
        config: VideoConfig,
        reader: VideoReader | Camera,
        runtime: Runtime,
        composer: Composer,
    ):
        self.config, self.reader, self.runtime = config, reader, runtime
        self.smoother, self.frames = Smoother(config.smooth), 0
        size = runtime.size_for(*reader.info.shown_size)
        shrink = Shrinker(size, reader.info.orientation)
        self.before = _Before(shrink, self.smoother, runtime.frames)
        self.after = _After(shrink, self.smoother, composer)

    def run(self, write: Callable[[Moment], None], bar: tqdm, depth: int) -> None:
        """Goes through all frames, up to `depth` of which wait before each stage.

        Raises:
          KeyboardInterrupt: stopped before the first frame: there is nothing to finish.
        """

        moments = _moments(self.reader, self.config.max_frames)
        self.stages, self.stopped = run_stages(
            ("decode", map(self.before, moments)),
            [
                Stage("infer", self._infer, self.runtime.streams),
                Stage("compose", self.after),
                Stage("encode", partial(self._encode, write, bar)),
            ],
            depth=depth,
        )
        if not self.frames:
            raise KeyboardInterrupt(self.stopped)

    def _infer(self, item: _Item) -> _Item:
        if item.images is not None:
            item.probs = self.runtime(item.images)[0]
        return item

    def _encode(self, write: Callable[[Moment], None], bar: tqdm, moment: Moment) -> None:
        write(moment)
        if moment.frame is not None:
            self.frames += 1
            bar.update()

    def report(self, out: str, seconds: float, cpu_seconds: float) -> Report:
        """What became of it, after so many seconds."""
        return Report(
            out=out,
            network=f"{self.runtime.name} in {self.runtime.backend}",
            frames=self.frames,
            skipped=self.reader.skipped,
            missing=self.reader.missing,
            missed=self.reader.missed,
            without_sky=self.after.without_sky,
            cuts=self.smoother.cuts,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            stages=tuple(self.stages),
            stopped=self.stopped,
        )


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
      InputError: no video, no camera, an output that cannot be as asked, or a threshold that would
        decide nothing.
    """
    check_settings(config)
    check_threshold(runtime, config.threshold, by_sky=find_format(config.format).needs_sky)
    composer = Composer(
        config.format,
        runtime.scheme,
        threshold=runtime.threshold if config.threshold is None else config.threshold,
        opacity=config.opacity,
    )
    target, suffix = find_target(config, source)
    is_camera = isinstance(source, int)
    reader = Camera(source) if is_camera else VideoReader(source, threads=config.codec_threads)
    try:
        work = _Work(config, reader, runtime, composer)
        start, cpu = time.perf_counter(), time.process_time()
        with _open_writer(config, target, suffix, reader) as write, _bar(config, reader) as bar:
            work.run(write, bar, depth=1 if is_camera else 3)
        return work.report(str(target), time.perf_counter() - start, time.process_time() - cpu)
    finally:
        reader.close()


def predict_videos(config: VideoConfig, sources: Sequence[str | int], runtime: Runtime) -> int:
    """Writes one video after the other and reports on each.

    Args:
      config: how; `out` is a folder where there are several.
      sources: files and addresses of streams, or one camera's number.
      runtime: of load_runtime.

    Returns:
      0, or 1 if some could not be done or are damaged (they are listed on stderr), or 130 after
      Ctrl-C and 143 after SIGTERM.

    Raises:
      InputError: several videos for one output, or the only one could not be done.
      OSError: a full or failing disk.
    """
    sources = list(dict.fromkeys(sources))  # two patterns may name one video
    _refuse_clashes(config, sources)
    failures, damaged = [], []
    for source in sources:
        try:
            report = predict_video(config, source, runtime)
        except (InputError, OSError) as error:
            if len(sources) == 1 or is_of_disk(error):
                raise
            name, told = printable(without_password(str(source))), plain_line(error)
            failures.append(told if name in told else f"{name}: {told}")
            continue
        if not config.quiet:
            print(report, file=sys.stderr if config.out == "-" else sys.stdout)
        if report.stopped:
            return 128 + report.stopped
        if report.damage and not is_stream(str(source)):  # a stream loses frames on its way
            damaged.append(
                f"{printable(str(source))}: {counted(report.frames, 'frame')}, {report.damage}"
            )
    for failure in failures:
        print(f"skyseg predict: not done: {failure}", file=sys.stderr)
    for damage in damaged:
        print(f"skyseg predict: not whole: {damage}; download or export it again", file=sys.stderr)
    return 1 if failures or damaged else 0


def _refuse_clashes(config: VideoConfig, sources: Sequence[str | int]) -> None:
    taken: dict[Path | str, str] = {}
    for source in sources:
        target, _ = find_target(config, source, sources)
        if target in taken:
            one, two = without_password(taken[target]), without_password(str(source))
            alike = video_name(one) == video_name(two)
            hint = "give each a command and an --out of its own" if alike else "give --out FOLDER"
            raise InputError(f"{one} and {two} would both be written as {target}: {hint}")
        taken[target] = str(source)


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
    kind = find_format(config.format).kind
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
