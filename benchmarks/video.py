"""A video to an H.264 overlay, end to end: ours against the plain loop with the same network.

    python benchmarks/video.py [--video clip.mp4] [--model RUN_OR_FILE] [--backend B]

The peers, one after the other on the same frames, with the same network and x264 settings:
  plain loop    PyAV decodes, the frame becomes RGB, OpenCV shrinks it, the network, the mask is
                enlarged and laid over the RGB picture, PyAV encodes: one frame after the other
  ours          skyseg_tf.predict_video: stages overlap, the overlay is drawn in YUV, masks smoothed
  ours, no network   the same with constant probabilities: what everything but the network costs
  network alone      the network on the same small pictures, in a loop of its own
Without --video (and without the project's sample beside it) it pans over a drawn scene.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from skyseg_tf.data.scenes import draw_scene
from skyseg_tf.images import overlay, overlay_sky, resize_image
from skyseg_tf.predict_video import VideoConfig, predict_video
from skyseg_tf.runtime import ModelFacts, Runtime, class_ids, load_runtime

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

    return Runtime("keras", Path("constant"), runtime.facts, infer)


def network_alone(runtime: Runtime, size: tuple[int, int], count: int) -> tuple[float, float]:
    """Frames per second of the network in a loop, and milliseconds of processor per frame."""
    shape = (1, *([runtime.frames] if runtime.frames > 1 else []), *runtime.size_for(*size), 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    runtime(images)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        runtime(images)
    return count / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / count


def main() -> None:
    """Prints one line per peer, then the split of ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, default=SAMPLE if SAMPLE.is_file() else None)
    parser.add_argument("--model", default=None)
    parser.add_argument("--backend", default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--frames", type=int, default=None, help="at most so many")
    parser.add_argument("--no-network", action="store_true", help="only what everything else costs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = args.video or draw_clip(Path(folder) / "drawn.mp4", args.frames or 200)
        config = VideoConfig(out=str(Path(folder) / "ours.mp4"), max_frames=args.frames, quiet=True)
        if args.no_network:
            names, colors = ("not sky", "sky"), ((90, 90, 90), (70, 130, 180))
            facts = ModelFacts("constant", names, colors, working_size=(288, 512))
            empty = constant(Runtime("keras", Path("constant"), facts, None))
            print(predict_video(config, source, empty))
            return
        runtime = load_runtime(args.model, args.backend, threads=args.threads)
        print(f"{source.name}, {runtime.name} in {runtime.backend}, {args.threads} threads")
        height, width = SIZE
        with av.open(str(source)) as container:
            height, width = container.streams.video[0].height, container.streams.video[0].width
        network_alone(runtime, (height, width), 5)
        start, cpu = time.perf_counter(), time.process_time()
        done = plain_loop(source, Path(folder) / "plain.mp4", runtime, args.frames)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        ours = predict_video(config, source, runtime)
        empty = predict_video(config, source, constant(runtime))
        alone, own_cpu = network_alone(runtime, (height, width), min(done, 100))
        share = 1000 * (ours.cpu_seconds - empty.cpu_seconds) / done
        assert ours.frames == empty.frames == done
        for name, fps, milliseconds in (
            ("plain loop", done / seconds, 1000 * cpu / done),
            ("ours", ours.fps, 1000 * ours.cpu_seconds / done),
            ("ours, no network", empty.fps, 1000 * empty.cpu_seconds / done),
        ):
            print(
                f"{name:<18}{fps:7.1f} fps{fps * seconds / done:7.2f} x plain loop"
                f"{milliseconds:8.1f} ms of processor per frame"
            )
        print(
            f"{'network alone':<18}{alone:7.1f} fps in its own loop, {ours.model_fps:.1f} in ours, "
            f"where it shares the cores"
        )
        print(
            f"{'':<18}{own_cpu:7.1f} ms of processor per frame in its own loop, {share:.1f} in ours "
            f"(with the network less without it): {share / own_cpu - 1:+.0%}"
        )
        print(ours)


if __name__ == "__main__":
    main()
