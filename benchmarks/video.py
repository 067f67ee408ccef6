"""A video to an H.264 overlay, end to end: ours against the plain loop with the same network.

    python benchmarks/video.py [--video clip.mp4] [--model RUN_OR_FILE] [--backend B] [--repeats N]
                               [--out FILE]

The peers, one after the other on the same frames, with the same network and x264 settings:
  plain loop    PyAV decodes, the frame becomes RGB, OpenCV shrinks it, the network, the mask is
                enlarged and laid over the RGB picture, PyAV encodes: one frame after the other
  ours          skyseg_tf.video.predict: stages overlap, several frames are in the network at once,
                the overlay is drawn in YUV, masks smoothed
  ours, no network   the same with constant probabilities: what everything but the network costs
  network alone      the network on pictures of the same size, as many at once, in a loop of its own
  decode and encode  PyAV on all cores with the same x264 settings, in the frames' own YUV, no network
  one by one         the last two one after the other, each with all cores: who masks frames while they
                     are decoded and encoded should need no longer

The network's processor time in the loop is that of the loop with it, less that without it; its fps
there are what it makes while decoding and encoding use the same cores.
Without --video it takes the project's sample beside it, or else pans over a drawn scene, at 960x540 and
again enlarged to 1920x1080.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import av
import numpy as np
from compare import Row, report

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.errors import InputError
from skyseg_tf.images import overlay, overlay_sky, resize_image
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import ModelFacts, Runtime, class_ids, load_fastest, load_runtime
from skyseg_tf.video.predict import Report, VideoConfig, predict_video, streams_for

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "video" / "highway.mp4"
SIZE, FPS = (540, 960), 30


def draw_clip(path: Path, count: int) -> Path:
    """Writes a clip that pans over one drawn scene."""
    scene = draw_scene(5, (SIZE[0], SIZE[1] + 2 * count)).image
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(count):
            picture = np.ascontiguousarray(scene[:, 2 * index : 2 * index + SIZE[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def two_sizes(folder: Path, count: int | None) -> dict[str, Path]:
    """The sample, or a drawn clip, and the same enlarged; by what a table calls it."""
    clip = SAMPLE if SAMPLE.is_file() else draw_clip(folder / "drawn.mp4", count or 200)
    large = enlarge_clip(clip, folder / "large.mp4")
    return {f"{clip.name} 960x540": clip, f"{clip.name} 1920x1080": large}


def enlarge_clip(source: Path, path: Path, factor: int = 2) -> Path:
    """Writes a clip again, so many times as wide and as high."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream("libx264", rate=video.average_rate, options={"crf": "20"})
        stream.height, stream.width = factor * video.height, factor * video.width
        stream.pix_fmt = "yuv420p"
        for frame in reader.decode(video):
            large = frame.reformat(stream.width, stream.height, "yuv420p", interpolation="BICUBIC")
            large.pts, large.time_base = frame.pts, frame.time_base
            writer.mux(stream.encode(large))
        writer.mux(stream.encode())
    return path


def decode_and_encode(source: Path, target: Path, count: int | None) -> float:
    """Frames per second of what cannot be left out, on all cores."""
    start, done = time.perf_counter(), 0
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        video.thread_type = "AUTO"
        options = {"preset": "ultrafast", "crf": "20"}
        out = writer.add_stream("libx264", rate=video.average_rate, options=options)
        out.height, out.width, out.pix_fmt = video.height & ~1, video.width & ~1, "yuv420p"
        for frame in reader.decode(video):
            writer.mux(out.encode(frame))
            done += 1
            if done == count:
                break
        writer.mux(out.encode())
    return done / (time.perf_counter() - start)


def plain_loop(source: Path, target: Path, runtime: Runtime, count: int | None) -> int:
    """One frame after the other, in RGB; returns the number of frames."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(runtime.colors)] = runtime.colors
    single = len(runtime.colors) == 2
    options = {"preset": "ultrafast", "crf": "20", "threads": "1"}
    done = 0
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        video.thread_count = 1
        out = writer.add_stream("libx264", rate=video.average_rate, options=options)
        out.height, out.width, out.pix_fmt = video.height & ~1, video.width & ~1, "yuv420p"
        for frame in reader.decode(video):
            photo = frame.to_ndarray(format="rgb24")
            small = resize_image(photo, runtime.size_for(*photo.shape[:2]))
            probs = resize_image(runtime(small[None])[0], photo.shape[:2])
            ids = class_ids(np.atleast_3d(probs), runtime.threshold)
            picture = overlay_sky(photo, ids == 1) if single else overlay(photo, ids, palette)
            shown = av.VideoFrame.from_ndarray(picture, "rgb24")
            shown.pts, shown.time_base = frame.pts, frame.time_base
            writer.mux(out.encode(shown))
            done += 1
            if done == count:
                break
        writer.mux(out.encode())
    return done


def constant(runtime: Runtime) -> Runtime:
    """A runtime of the same sizes that answers at once: the upper half is class 0 (sky)."""
    channels = 1 if len(runtime.class_names) == 2 else len(runtime.class_names)
    answers = {}

    def infer(images):
        shape = (*images.shape[:1], *images.shape[-3:-1], channels)
        if shape not in answers:
            answers[shape] = np.zeros(shape, np.float32)
            answers[shape][:, : shape[1] // 2, :, 0] = 1
        return answers[shape]

    return Runtime("keras", Path("constant"), runtime.facts, infer, streams=runtime.streams)


def network_alone(runtime: Runtime, size: tuple[int, int], count: int) -> tuple[float, float]:
    """Frames per second of the network by itself, and milliseconds of processor per frame."""
    shape = (1, *([runtime.frames] if runtime.frames > 1 else []), *runtime.size_for(*size), 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with ThreadPoolExecutor(runtime.streams) as pool:
        list(pool.map(runtime, [images] * runtime.streams))
        start, cpu = time.perf_counter(), time.process_time()
        list(pool.map(runtime, [images] * count))
    return count / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / count


@dataclass(frozen=True)
class Pace:
    """Frames per second, and milliseconds of processor per frame."""

    fps: float
    cpu: float


def one_round(
    config: VideoConfig, source: Path, plain: Runtime, runtime: Runtime
) -> tuple[dict[str, Pace], Report]:
    """Every peer once."""
    start, cpu = time.perf_counter(), time.process_time()
    done = plain_loop(source, Path(config.out).with_name("plain.mp4"), plain, config.max_frames)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    ours = predict_video(config, source, runtime)
    empty = predict_video(config, source, constant(runtime))
    assert ours.frames == empty.frames == done
    with av.open(str(source)) as container:
        video = container.streams.video[0]
        alone = network_alone(runtime, (video.height, video.width), min(done, 100))
    paces = {"plain loop": Pace(done / seconds, 1000 * cpu / done)}
    for name, made in (("ours", ours), ("ours, no network", empty)):
        paces[name] = Pace(made.fps, 1000 * made.cpu_seconds / done)
    paces["network in ours"] = Pace(
        ours.model_fps, 1000 * (ours.cpu_seconds - empty.cpu_seconds) / done
    )
    paces["network alone"] = Pace(*alone)
    cpu = time.process_time()
    floor = decode_and_encode(source, Path(config.out).with_name("floor.mp4"), config.max_frames)
    paces["decode and encode"] = Pace(floor, 1000 * (time.process_time() - cpu) / done)
    total = paces["network alone"].cpu + paces["decode and encode"].cpu
    paces["one by one"] = Pace(1 / (1 / alone[0] + 1 / floor), total)
    return paces, ours


def compare(source: Path, name: str, args: argparse.Namespace, folder: Path) -> list[Row]:
    """Prints one line per peer, medians of the rounds, then the split of the last of ours."""
    config = VideoConfig(out=str(folder / "ours.mp4"), max_frames=args.frames, quiet=True)
    streams = min(streams_for(source), args.threads)
    runtime = load_fastest(args.model, args.backend, threads=args.threads, streams=streams)
    plain = load_runtime(args.model, runtime.backend, threads=args.threads)
    print(
        f"{name}, {runtime.name} in {runtime.backend}, {args.threads} threads, "
        f"{runtime.streams} frames at once in ours"
    )
    rounds = []
    for _ in range(args.repeats):
        paces, told = one_round(config, source, plain, runtime)
        rounds.append(paces)
        print("  ".join(f"{name} {pace.fps:.1f}" for name, pace in paces.items()), "fps")
    paces = {
        name: Pace(*(median(getattr(one[name], field) for one in rounds) for field in ("fps", "cpu")))
        for name in rounds[0]
    }  # fmt: skip
    for peer, pace in paces.items():
        print(
            f"{peer:<18}{pace.fps:7.1f} fps{pace.fps / paces['plain loop'].fps:7.2f} x plain loop"
            f"{pace.cpu:8.1f} ms of processor per frame"
        )
    more = paces["network in ours"].cpu / paces["network alone"].cpu - 1
    print(f"the network's processor time per frame in the loop, against alone: {more:+.0%}")
    print(told)
    fps = {peer: [one[peer].fps for one in rounds] for peer in rounds[0]}
    peers = {
        "plain loop": ("plain loop, same network", 1.0),
        "one by one": ("codecs, then network", 1.0),
        "network alone": ("network alone", 0.0),
    }
    return [
        Row(f"{name} to H.264", "frames/s", "skyseg predict", peer, fps["ours"], fps[key], wanted)
        for key, (peer, wanted) in peers.items()
    ]


def main() -> None:
    """Prints a row per clip and peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="this one alone, at its own size")
    parser.add_argument("--model", default=None)
    parser.add_argument("--backend", default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=None, help="at most so many")
    parser.add_argument("--no-network", action="store_true", help="only what everything else costs")
    parser.add_argument("--out", type=Path, help="file of all figures, for docs/make_figures.py")
    args = parser.parse_args()
    if args.video and not args.video.is_file():  # before the runtimes are measured
        raise InputError(f"{args.video} is no file; check the path")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {args.video.name: args.video} if args.video else two_sizes(folder, args.frames)
        if args.no_network:
            config = VideoConfig(out=str(folder / "ours.mp4"), max_frames=args.frames, quiet=True)
            facts = ModelFacts("constant", SCHEMES["sky"], working_size=(288, 512))
            empty = constant(Runtime("keras", Path("constant"), facts, None))
            for clip in clips.values():
                print(predict_video(config, clip, empty))
            return
        rows = [row for name, clip in clips.items() for row in compare(clip, name, args, folder)]
        report(rows, args.out, f"{args.threads} threads")


if __name__ == "__main__":
    with one_line_errors("video.py"):
        main()
