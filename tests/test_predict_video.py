import errno
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from drawn_clips import (
    MATRICES,
    SIZE,
    bright_is_sky,
    draw_frame,
    make_runtime,
    matrix_of,
    read_clip,
    show,
    write_clip,
)
from signals import strike

from skyseg_tf import predict
from skyseg_tf.errors import InputError
from skyseg_tf.images import SKY_TINT
from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking import runtime
from skyseg_tf.video import predict as module
from skyseg_tf.video import read as video
from skyseg_tf.video.addresses import is_video
from skyseg_tf.video.camera import Camera
from skyseg_tf.video.encoders import CONTAINERS
from skyseg_tf.video.frames import Moment, VideoInfo
from skyseg_tf.video.predict import VideoConfig, find_target, predict_video, predict_videos
from skyseg_tf.video.write import VideoWriter

TICK = Fraction(1, 25)


def truths(count: int) -> np.ndarray:
    return np.stack([draw_frame(i)[1] for i in range(count)]).astype(bool)


def agreement(grey: np.ndarray, truth: np.ndarray) -> float:
    return float(((grey > 127) == truth).mean())


def run(source, out, runtime=None, **settings):
    return predict_video(VideoConfig(out=str(out), **settings), source, runtime or make_runtime())


def test_mask_video_is_right_frame_by_frame(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", sound="aac")
    report = run(source, tmp_path / "out", format="mask")
    frames, times, first = read_clip(tmp_path / "out" / "clip.mp4", "gray")
    assert agreement(frames, truths(12)) > 0.995
    assert np.allclose(times, read_clip(source)[1], atol=1e-6)
    assert (report.frames, report.skipped, report.without_sky, report.stopped) == (12, 0, 0, False)
    assert first.width == 96
    with av.open(str(tmp_path / "out" / "clip.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_the_network_sees_turned_videos_upright(tmp_path, turned):
    seen = []

    def infer(images):
        seen.append(images)
        return bright_is_sky(images)

    source = write_clip(tmp_path / "clip.mp4", 4, turned=turned)
    run(source, tmp_path / "m.mp4", make_runtime(infer), format="mask")
    assert np.abs(np.concatenate(seen)[2] - draw_frame(2)[0]).mean() < 5
    frames, _, first = read_clip(tmp_path / "m.mp4", "gray")
    assert first.rotation % 360 == turned
    upright = np.stack([np.rot90(frame, turned // 90) for frame in frames])
    assert agreement(upright, truths(4)) > 0.99
    run(source, tmp_path / "png", make_runtime(), format="mask", container="png")
    picture = cv2.imread(str(tmp_path / "png" / "clip" / "frame_000003.png"), cv2.IMREAD_GRAYSCALE)
    assert agreement(picture, draw_frame(3)[1]) > 0.99


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_player_shows_the_mask_as_it_shows_the_video(tmp_path, matrix):
    source = write_clip(tmp_path / "clip.mp4", 3, matrix=matrix)
    for name, kind in (("m.mp4", "mask"), ("m.mkv", "mask"), ("o.mp4", "overlay")):
        run(source, tmp_path / name, format=kind)
        frames = read_clip(tmp_path / name, "gray" if kind == "mask" else "rgb24")[0]
        shown = np.stack([show(frame, matrix_of(tmp_path / name)) for frame in frames])
        if kind == "overlay":  # what is sky is magenta
            shown = np.where(shown[..., 1] + 40 < shown[..., 0].astype(int), 255, 0)
        assert agreement(shown, truths(3)) > 0.99, name
    run(source, tmp_path / "png", format="mask", container="png")
    picture = cv2.imread(str(tmp_path / "png" / "clip" / "frame_000002.png"), cv2.IMREAD_GRAYSCALE)
    assert agreement(picture, draw_frame(2)[1]) > 0.99


def test_the_network_sees_square_pixels(tmp_path):
    seen = []

    def infer(images):
        seen.append(images.shape)
        return bright_is_sky(images)

    source = write_clip(tmp_path / "clip.mp4", 2, aspect=Fraction(2, 1))
    runtime = make_runtime(infer, working_size=None, long_side=96, divisor=8)
    for name in ("m.mp4", "m.mkv", "m.webm"):
        run(source, tmp_path / name, runtime, format="mask")
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            shown = (stream.height, stream.width * (stream.sample_aspect_ratio or 1))
        assert shown == (64, 192), name
        frames = read_clip(tmp_path / name, "gray")[0]
        assert set(np.unique(frames)) == {0, 255}
        wide = np.repeat(truths(2), frames.shape[2] // 96, axis=2)
        assert agreement(frames, wide) > 0.97
    assert set(seen) == {(1, 48, 144, 3)}


FLAT = np.array(
    [(60, 70, 40), (200, 30, 30), (20, 160, 40), (30, 60, 220), (128, 128, 128), (250, 250, 250)],
    np.uint8,
)


def write_colors(path, codec, layout, space, color_range):
    """Six flat colors side by side, lossless, in that AVColorSpace and AVColorRange."""
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if "x264" in codec else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, layout
        context = stream.codec_context
        context.colorspace, context.color_range = space, color_range
        picture = np.repeat(np.repeat(FLAT[None], 16, 1), 64, 0)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        if space:
            frame = frame.reformat(format=layout, dst_colorspace=space, dst_color_range=color_range)
        else:
            frame = frame.reformat(format=layout)
        frame.pts, frame.colorspace, frame.color_range = 0, space, color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("codec", "layout", "space", "color_range"),
    [
        ("libx264", "yuv420p", 1, 1),
        ("libx264", "yuv420p", 1, 2),
        ("libx264", "yuv420p", 6, 1),
        ("libx264", "yuvj420p", 6, 2),
        ("libx264", "yuv444p", 1, 2),
        ("libx264", "yuv420p10le", 9, 1),
        ("ffv1", "bgr0", 0, 2),
    ],
)
def test_colors_are_the_same_in_every_matrix_and_range(tmp_path, codec, layout, space, color_range):
    """What the network sees, and what overlays and cut-outs show where there is no sky."""
    source = write_colors(tmp_path / "a.mkv", codec, layout, space, color_range)
    seen = []

    def infer(images):
        seen.append(images[0])
        return np.zeros((*images.shape[:3], 1), np.float32)

    for name, kind in (("o.mp4", "overlay"), ("o.webm", "overlay"), ("o.mov", "rgba-nosky")):
        run(source, tmp_path / name, make_runtime(infer), quality=0, format=kind)
        frames, _, first = read_clip(tmp_path / name)
        assert np.abs(frames[0][20:40, 8::16].astype(int) - FLAT).max() <= 4
        assert first.colorspace == (space or 1)
    assert np.abs(seen[0][20:40, 8::16].astype(int) - FLAT).max() <= 4


def hlg(signal):
    """Light of a grey HLG signal, 0-1, on a screen of 1000 candela per square metre (BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return 1000 * scene**1.2


def pq(signal):
    """Light of a PQ signal, 0-1 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


@pytest.mark.parametrize(("trc", "light"), [(18, hlg), (16, pq)])
def test_hdr_becomes_bt709_for_the_network_and_the_overlay(tmp_path, trc, light):
    levels = np.array([200, 300, 400, 450, 500, 550])
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, trc
        frame = av.VideoFrame(96, 64, "yuv420p10le")
        for plane, row in zip(
            frame.planes, (np.repeat(levels, 16), np.full(48, 512), np.full(48, 512)), strict=True
        ):
            stored = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            stored[:, : len(row)] = row
            plane.update(stored.tobytes())
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = 255 * np.minimum(light((levels - 64) / 876) / 203, 1) ** (1 / 2.4)
    seen = []

    def infer(images):
        seen.append(images[0])
        return np.zeros((*images.shape[:3], 1), np.float32)

    run(tmp_path / "a.mkv", tmp_path / "o.mp4", make_runtime(infer), quality=0)
    frames, _, first = read_clip(tmp_path / "o.mp4")
    for picture in (frames[0], seen[0]):
        assert np.abs(picture[20:40, 8::16] - expected[:, None]).max() < 6
    tags = (first.colorspace, first.color_range, first.color_primaries, first.color_trc)
    assert (first.format.name, tags) == ("yuv420p", (1, 1, 1, 1))
    run(tmp_path / "a.mkv", tmp_path / "m.mp4", make_runtime(infer), format="keep-mask")
    masks, _, first = read_clip(tmp_path / "m.mp4", "gray")
    assert (first.color_trc, np.unique(masks).tolist()) == (1, [255])


def test_class_ids_are_exact(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 3)
    names = SCHEMES["cityscapes19"].class_names
    city = [names.index("building"), names.index("sky")]

    def infer(images):
        probs = np.zeros((*images.shape[:3], 19), np.float32)
        probs[..., city] = np.concatenate([1 - bright_is_sky(images), bright_is_sky(images)], -1)
        return probs

    runtime = make_runtime(infer, scheme=SCHEMES["cityscapes19"])
    for suffix in CONTAINERS:
        run(source, tmp_path / f"ids{suffix}", runtime, format="labelids")
        ids = read_clip(tmp_path / f"ids{suffix}", "gray")[0]
        assert set(np.unique(ids)) == {11, 23}
        assert agreement(np.where(ids == 23, 255, 0), truths(3)) > 0.99


def test_the_sky_of_several_classes_is_counted_where_it_is_drawn(tmp_path):
    """The sky is the most probable class of all frames, at less than a half."""
    source, shares = write_clip(tmp_path / "clip.mp4", 3), np.full(19, 0.55 / 18, np.float32)
    shares[10] = 0.45
    runtime = make_runtime(
        lambda images: np.broadcast_to(shares, (*images.shape[:3], 19)),
        scheme=SCHEMES["cityscapes19"],
    )
    assert run(source, tmp_path / "o.mp4", runtime).without_sky == 0
    report = run(source, tmp_path / "m.mp4", runtime, format="mask")
    assert report.without_sky == 3
    assert not read_clip(tmp_path / "m.mp4", "gray")[0].any()
    assert run(source, tmp_path / "n.mp4", runtime, format="mask", threshold=0.4).without_sky == 0
    with pytest.raises(InputError, match=r"threshold 0\.4: of the classes of drawn the most"):
        run(source, tmp_path / "c.mp4", runtime, threshold=0.4)


@pytest.mark.parametrize(
    ("name", "decoder"), [("a.mov", None), ("a.mkv", None), ("a.webm", "libvpx-vp9"), ("a", None)]
)
@pytest.mark.parametrize("polarity", ["rgba-sky", "rgba-nosky"])
def test_alpha_survives_in_every_container_that_holds_it(tmp_path, name, decoder, polarity):
    source = write_clip(tmp_path / "clip.mp4", 4)
    container = "auto" if "." in name else "png"
    run(source, tmp_path / name, format=polarity, container=container)
    if decoder or "." in name:
        alpha = read_clip(tmp_path / name, "rgba", decoder)[0][..., 3]
    else:
        files = sorted((tmp_path / "a" / "clip").glob("*.png"))
        alpha = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[..., 3] for file in files])
    truth = truths(4) if polarity == "rgba-sky" else ~truths(4)
    assert agreement(alpha, truth) > 0.98


def test_overlay_leaves_the_ground_alone(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 6)
    run(source, tmp_path / "o.mp4", quality=5)
    photo, out = read_clip(source)[0].astype(int), read_clip(tmp_path / "o.mp4")[0].astype(int)
    inside = np.zeros_like(truths(6))
    inside[:, 4:12], below = True, np.zeros_like(inside)
    below[:, 40:] = True
    assert np.abs(out - photo)[below].mean() < 4
    tint = 0.5 * photo + 0.5 * np.array(SKY_TINT)
    assert np.abs(out - tint)[inside].mean() < 5
    with av.open(str(source)) as a, av.open(str(tmp_path / "o.mp4")) as b:
        assert a.streams.video[0].color_range == b.streams.video[0].color_range
        assert a.streams.video[0].average_rate == b.streams.video[0].average_rate


def test_clips_go_to_sequence_models_and_never_over_a_cut(tmp_path):
    """Frame i is of grey level 10 i + 20; a new scene begins at frame 6."""

    def draw(index, size):
        level = 10 * index + 20 if index < 6 else 140 + 10 * index
        return np.full((*size, 3), level, np.uint8), None

    seen = []

    def infer(clips):
        seen.append(clips.mean((0, 2, 3, 4)))
        return bright_is_sky(clips[:, -1])

    source = write_clip(tmp_path / "clip.mp4", 10, draw=draw)
    report = run(source, tmp_path / "o.mp4", make_runtime(infer, frames=3))
    levels = np.array(seen)
    assert levels.shape == (10, 3)
    assert np.allclose(levels[0], 20, atol=3)
    assert np.allclose(levels[4], [40, 50, 60], atol=3)
    assert np.allclose(levels[6], 200, atol=3)
    assert np.allclose(levels[8], [200, 210, 220], atol=3)
    assert report.cuts == 1


def test_frames_that_are_in_work_at_once_come_out_in_order(tmp_path):
    """And smoothed in that order: the file is the one of a frame at a time."""
    at_once, most = set(), []

    def infer(images):
        at_once.add(id(images))
        time.sleep(0.02 if len(most) % 3 == 0 else 0.002)
        most.append(len(at_once))
        at_once.discard(id(images))
        return bright_is_sky(images)

    source = write_clip(tmp_path / "clip.mp4", 24)
    report = run(source, tmp_path / "three.mp4", make_runtime(infer, streams=3), smooth=0.3)
    run(source, tmp_path / "one.mp4", smooth=0.3)
    assert max(most) > 1
    assert report.stages[1].workers == 3
    np.testing.assert_array_equal(
        read_clip(tmp_path / "three.mp4")[0], read_clip(tmp_path / "one.mp4")[0]
    )


def test_report_splits_the_time(tmp_path):
    report = run(write_clip(tmp_path / "clip.mp4", 30), tmp_path / "o.mp4")
    assert [stage.name for stage in report.stages] == ["decode", "infer", "compose", "encode"]
    assert all(30 <= stage.items <= 31 for stage in report.stages)
    for stage in report.stages:
        assert stage.busy + stage.starved + stage.blocked <= stage.workers * report.seconds
    assert report.fps == pytest.approx(30 / report.seconds)
    assert report.model_fps > report.fps
    text = str(report)
    assert "30 frames" in text
    assert "fps end to end" in text
    assert "encode" in text


def test_damaged_frames_and_frames_without_sky_are_said(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 24)
    with av.open(str(source)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(source.read_bytes())
    content[places[9][0] : sum(places[9])] = bytes(places[9][1])
    source.write_bytes(content)
    report = run(source, tmp_path / "o.mp4", threshold=1.0, format="mask")
    assert report.skipped >= 1
    assert report.frames == 24 - report.skipped
    assert report.without_sky == report.frames
    assert f"{report.skipped} damaged and skipped" in str(report)
    assert f"{report.frames} without sky" in str(report)
    assert read_clip(tmp_path / "o.mp4", "gray")[0].max() < 30


def test_interrupt_finishes_the_file(tmp_path):
    calls = []

    def infer(images):
        calls.append(1)
        if len(calls) == 10:
            strike()
        elif len(calls) > 10:
            time.sleep(0.05)  # as a network would: the main thread looks up now and then
        return bright_is_sky(images)

    report = run(write_clip(tmp_path / "clip.mp4", 200), tmp_path / "o.mp4", make_runtime(infer))
    assert report.stopped
    assert 10 <= report.frames < 100
    assert len(read_clip(tmp_path / "o.mp4")[1]) == report.frames
    assert "(stopped)" in str(report)


HANGING = """
import os, sys, threading; sys.path.insert(0, sys.argv[1])
from drawn_clips import bright_is_sky, make_runtime
from skyseg_tf import predict
from skyseg_tf.masking import runtime
count = []
def infer(images):
    count.append(1)
    if len(count) > 5:
        print("hangs", flush=True)
        threading.Event().wait()
    return bright_is_sky(images)
runtime.load_fastest = runtime.load_runtime = lambda *a, **k: make_runtime(infer)
predict.main(sys.argv[2:], "skyseg predict")
"""


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGINT, "clip"), (signal.SIGTERM, "clip"), (signal.SIGINT, "photos")],
)
def test_a_command_that_hangs_ends_by_a_signal_and_leaves_nothing_half_written(
    tmp_path, number, kind
):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    if kind == "clip":
        source = write_clip(source / "clip.mp4", 40)
    else:
        for index in range(8):
            cv2.imwrite(str(source / f"{index}.png"), draw_frame(index)[0])
    argv = [str(source), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, str(Path(__file__).parent), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "hangs\n"
    start = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 15  # 3 where nothing else runs
    assert process.returncode == 128 + number
    assert err == "skyseg predict: stopped\n"
    left = {path.name for path in out.iterdir()}
    assert left <= (set() if kind == "clip" else {f"{index}.png" for index in range(5)})


def test_without_pyav_videos_are_refused_in_one_line(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("skyseg_tf.video.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="videos and cameras need PyAV: pip install"):
        importlib.import_module("skyseg_tf.video.predict")
    assert importlib.import_module("skyseg_tf.video.formats").VIDEO_FORMATS


def test_an_error_leaves_no_file(tmp_path):
    def infer(images):
        raise ZeroDivisionError

    source = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(ZeroDivisionError):
        run(source, tmp_path / "out" / "o.mp4", make_runtime(infer))
    assert list((tmp_path / "out").iterdir()) == []


def test_max_frames_and_any_working_size(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 12)
    runtime = make_runtime(working_size=None, long_side=64, divisor=16)
    report = run(source, tmp_path / "m.mp4", runtime, max_frames=5, format="mask")
    assert report.frames == 5
    assert agreement(read_clip(tmp_path / "m.mp4", "gray")[0], truths(5)) > 0.96


def test_targets(tmp_path):
    def find(out, source="in/clip.avi", **settings):
        return find_target(VideoConfig(out=str(out), **settings), source)

    assert find(tmp_path) == (tmp_path / "clip.mp4", ".mp4")
    assert find(tmp_path, format="rgba-sky") == (tmp_path / "clip.mov", ".mov")
    assert find(tmp_path, container="webm") == (tmp_path / "clip.webm", ".webm")
    assert find(tmp_path, 0) == (tmp_path / "camera0.mp4", ".mp4")
    assert find(tmp_path / "x.MKV") == (tmp_path / "x.MKV", ".mkv")
    assert find(tmp_path / "run.v2") == (tmp_path / "run.v2" / "clip.mp4", ".mp4")
    assert find(tmp_path / "x", container="png") == (tmp_path / "x" / "clip", ".png")
    assert find("-") == ("-", "mjpeg")
    assert find("-", container="raw") == ("-", "raw")
    with pytest.raises(InputError, match="give a folder or a video file"):
        find(tmp_path / "x.gif")
    with pytest.raises(InputError, match="goes to standard output"):
        find(tmp_path, container="raw")
    (tmp_path / "notes.txt").touch()
    for container in ("auto", "png"):
        with pytest.raises(InputError, match="a file is in the way"):
            find(tmp_path / "notes.txt", container=container)
    source = write_clip(tmp_path / "clip.mp4", 1)
    with pytest.raises(InputError, match="is the video itself"):
        find(tmp_path, source)
    assert set(CONTAINERS) == {".mp4", ".m4v", ".mov", ".mkv", ".webm"}


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_what_was_not_written_here_stays_where_the_videos_lie(tmp_path, suffix):
    def predict(folder, *sources):
        config = VideoConfig(out=str(folder / f"clip{suffix}"), quiet=True)
        return predict_videos(config, [*map(str, sources)], make_runtime())

    source, own = write_clip(tmp_path / "clip.avi", 2), tmp_path / f"clip{suffix}"
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    for content in (write_clip(own, 3, codec=codec).read_bytes(), b"no video", b""):
        own.write_bytes(content)
        with pytest.raises(InputError, match="was not written here, and would be overwritten"):
            predict(tmp_path, source)
        assert own.read_bytes() == content
    own.rename(tmp_path / "moved")
    for _ in range(2):  # what was written here is written anew
        assert predict(tmp_path, source) == 0
    (tmp_path / "masks").mkdir()
    shutil.copy(tmp_path / "moved", tmp_path / "masks" / own.name)
    assert predict(tmp_path / "masks", source) == 0  # no videos lie there


def test_what_lies_beside_another_of_several_videos_stays_too(tmp_path):
    first, second = tmp_path / "a" / "clip.mov", tmp_path / "b" / "other.mov"
    for path in (first, second, tmp_path / "b" / "clip.mp4"):
        path.parent.mkdir(exist_ok=True)
        write_clip(path, 2)
    config = VideoConfig(out=str(tmp_path / "b"), quiet=True)
    with pytest.raises(InputError, match=r"clip\.mp4 lies among the videos"):
        predict_videos(config, [str(first), str(second)], make_runtime())
    assert not (tmp_path / "b" / "other.mp4").exists()


def test_several_videos_one_of_them_broken(tmp_path, capsys):
    sources = [str(write_clip(tmp_path / f"{name}.mp4", 3)) for name in "ab"]
    (tmp_path / "c.mp4").write_text("no video")
    sources.insert(1, str(tmp_path / "c.mp4"))
    config = VideoConfig(out=str(tmp_path / "out"), quiet=False)
    assert predict_videos(config, sources, make_runtime()) == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mp4"]
    out, err = capsys.readouterr()
    assert out.count("fps end to end") == 2
    assert "c.mp4: not a readable video" in err


def test_a_video_that_breaks_off_is_told_even_to_who_wants_quiet(tmp_path, capsys):
    source = write_clip(tmp_path / "clip.mkv", 60)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    config = VideoConfig(out=str(tmp_path / "o.mp4"), quiet=True)
    assert predict_videos(config, [str(source)], make_runtime()) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"skyseg predict: not whole: {source}: ")
    assert "missing, since the file breaks off; download or export it again" in err
    assert len(read_clip(tmp_path / "o.mp4", "gray")[0]) > 10  # what is there is done


def test_names_of_videos_that_no_terminal_takes(tmp_path, capsys):
    names = ("a", "b", "nothing like them")
    whole, broken, gone = (tmp_path / f"{name}\x1b[2J\n\udcff.mp4" for name in names)
    write_clip(whole, 3)
    broken.write_text("no video")
    sources = [str(whole), str(broken), str(gone)]
    assert predict_videos(VideoConfig(out=str(tmp_path / "out")), sources, make_runtime()) == 1
    out, err = capsys.readouterr()
    name = r"\x1b[2J\n\udcff.mp4"
    assert f"a{name}: 3 frames" in out
    lines = err.splitlines()
    assert [line.count(name) for line in lines] == [1, 1]
    assert lines[0].startswith(f"skyseg predict: not done: {tmp_path}/b{name}: not a readable")
    assert names[2] + name in lines[1]


def test_two_videos_for_one_output_are_named_with_what_to_do(tmp_path, capsys):
    first, second = str(tmp_path / "a" / "clip.mov"), str(tmp_path / "b" / "clip.mov")
    other = str(tmp_path / "b" / "other.mov")
    for out, sources, hint in (
        ("out", (first, second), "give each a command and an --out of its own"),
        ("x.mp4", (first, second), "give each a command and an --out of its own"),
        ("x.mp4", (first, other), "give --out FOLDER"),
        ("-", (first, other), "give --out FOLDER"),
    ):
        config = VideoConfig(out=out)
        target = find_target(config, first)[0]
        told = f"{sources[0]} and {sources[1]} would both be written as {target}: {hint}"
        with pytest.raises(InputError, match=f"^{re.escape(told)}$"):
            predict_videos(config, sources, make_runtime())
    source = str(write_clip(tmp_path / "clip.mp4", 2))  # named twice it is one video
    config = VideoConfig(out=str(tmp_path / "out"))
    assert predict_videos(config, [source, source], make_runtime()) == 0
    assert capsys.readouterr().out.count("2 frames") == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_several_videos_of_which_one_may_not_be_read(tmp_path, capsys, monkeypatch, number):
    sources = [str(write_clip(tmp_path / f"{name}.mp4", 3)) for name in "abc"]
    reader = module.VideoReader

    def read(source, **options):
        if source == sources[1]:
            raise OSError(number, os.strerror(number), source)
        return reader(source, **options)

    monkeypatch.setattr(module, "VideoReader", read)
    config = VideoConfig(out=str(tmp_path / "out"), quiet=True)
    if number == errno.ENOSPC:  # concerns all
        with pytest.raises(OSError, match="No space left"):
            predict_videos(config, sources, make_runtime())
        return
    assert predict_videos(config, sources, make_runtime()) == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mp4"]
    told = f"not done: Permission denied ({sources[1]}); check its permissions"
    assert told in capsys.readouterr().err


def test_the_command_knows_videos_by_their_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "load_fastest", lambda *a, **k: make_runtime())
    for name in "ab":
        write_clip(tmp_path / f"{name}.mp4", 3)

    def main(*flags):
        with pytest.raises(SystemExit) as stop:
            predict.main([*map(str, flags)], "skyseg predict")
        return stop.value.code

    assert main(tmp_path / "*.mp4", "--out", tmp_path / "out", "--format", "mask") == 0
    for name in "ab":
        assert agreement(read_clip(tmp_path / "out" / f"{name}.mp4", "gray")[0], truths(3)) > 0.99
    flags = ("--out", tmp_path / "o.mkv", "--max-frames", 2, "--quiet")
    assert main(tmp_path / "a.mp4", *flags) == 0
    frames, _, first = read_clip(tmp_path / "o.mkv")
    assert len(frames) == 2
    assert first.format.name == "yuv420p"  # an overlay by default
    capsys.readouterr()
    for wrong, message in (
        ((tmp_path / "a.mp4", "b.jpg"), "give them to commands of their own"),
        ((tmp_path / "missing.mp4",), "no such file"),
        (
            ("s3://drives/a.mp4",),
            "s3://drives/a.mp4: videos are read here or from streams; copy it",
        ),
        (("--camera", 99), "camera 99: not there"),
        (("--camera", 0, "a.jpg"), "--camera takes no files"),
        ((tmp_path / "a.mp4", "--format", "coco-rle"), "videos have no format 'coco-rle'"),
        ((tmp_path / "a.mp4", "--no-refine"), "--no-refine is for photos: leave it out"),
        ((tmp_path / "a.mp4", "--refine"), "--refine is for photos: leave it out"),
        ((tmp_path / "a.mp4", "--batch-size", 4), "--batch-size is for photos: leave it out"),
        (("--camera", 0, "--workers", 1), "--workers is for photos: leave it out"),
        ((tmp_path / "a.mp4", "--resume"), "--resume is for photos: leave it out"),
        ((tmp_path / "a.mp4", "--engine", "ray"), "--engine is for photos: leave it out"),
        (("a.jpg", "--format", "overlay", "--opacity", 0.2), "--opacity is for videos: leave it"),
        (("a.jpg", "--max-frames", 3), "--max-frames is for videos: leave it out"),
        ((tmp_path / "a.mp4", "--opacity", 2), "--opacity 2.0: give 0 to 1"),
        ((tmp_path / "a.mp4", "--max-frames", 0), "--max-frames 0: give at least 1"),
        ((tmp_path / "a.mp4", "--out", tmp_path / "a.gif"), "give a folder or a video file"),
        ((tmp_path / "a.mp4", "--out", "m.mov", "--container", "mkv"), "--container mkv means ano"),
        ((tmp_path / "a.mp4", "--out", "m.mp4", "--container", "png"), "--container png means ano"),
    ):
        assert main(*wrong) == 2
        assert message in capsys.readouterr().err


def test_standard_output_carries_pictures_alone(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 4, turned=90)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from drawn_clips import make_runtime\n"
        "from skyseg_tf.video.predict import *\n"
        "for kind in ('raw', 'mjpeg'):\n"
        "  predict_video(VideoConfig(out='-', format='mask', container=kind), sys.argv[2],"
        " make_runtime())\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(source)],
        check=True,
        capture_output=True,
    ).stdout
    raw = np.frombuffer(out[: 4 * 64 * 96 * 3], np.uint8).reshape(4, *SIZE, 3)
    assert agreement(raw[..., 0], truths(4)) > 0.99
    (tmp_path / "b.mjpeg").write_bytes(out[raw.nbytes :])
    assert agreement(read_clip(tmp_path / "b.mjpeg", "gray")[0], truths(4)) > 0.98


class DrawnCapture:
    """A camera that shows 12 drawn frames, 50 a second, and then nothing more."""

    def __init__(self, index):
        self.count = -1

    def isOpened(self):
        return True

    def get(self, _):
        return 50.0

    def read(self):
        self.count += 1
        return self.count < 12, draw_frame(max(self.count, 0))[0][..., ::-1].copy()

    def release(self):
        pass


def test_camera_to_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Camera", lambda i: Camera(i, capture=DrawnCapture, patience=0.2))
    report = run(0, tmp_path, format="mask")
    frames, times, _ = read_clip(tmp_path / "camera0.mp4", "gray")
    assert report.frames == len(frames) >= 1
    assert agreement(frames[:, 40:], np.zeros((len(frames), 24, 96), bool)) > 0.99
    assert agreement(frames[:, :14], np.ones((len(frames), 14, 96), bool)) > 0.99
    assert all(b > a for a, b in pairwise(times))


def test_no_camera(tmp_path):
    with pytest.raises(InputError, match="camera 99: not there"):
        run(99, tmp_path)


def test_interrupt_before_the_first_frame_leaves_nothing(tmp_path, monkeypatch):
    def stop_at_once(source, stages, depth):
        return [], True

    monkeypatch.setattr(module, "run_stages", stop_at_once)
    with pytest.raises(KeyboardInterrupt):
        run(write_clip(tmp_path / "clip.mp4"), tmp_path / "out" / "o.mp4")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_the_disks_own_error():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    writer = VideoWriter("/dev/full", ".mkv", "photo", VideoInfo(SIZE, Fraction(25), TICK))

    def write_noise(count):
        rng = np.random.default_rng(0)
        for index in range(count):
            picture = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, TICK
            writer.write(Moment(frame))

    with pytest.raises(OSError, match="No space left"):
        write_noise(400)
    writer.abandon()


# --- from a network ---


@pytest.fixture
def server(tmp_path):
    """(address of a server that serves tmp_path, a port that takes connections and says nothing)."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = partial(quiet, directory=str(tmp_path))
    silent = socket.create_server(("127.0.0.1", 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http, silent:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", silent.getsockname()[1]
        http.shutdown()


def test_streams_are_read_like_files(tmp_path, server, monkeypatch):
    monkeypatch.setattr(runtime, "load_fastest", lambda *a, **k: make_runtime())
    write_clip(tmp_path / "clip.mp4", 5)
    argv = [f"{server[0]}/clip.mp4?token=1", "--out", str(tmp_path / "out"), "--format", "mask"]
    with pytest.raises(SystemExit) as stop:
        predict.main(argv, "skyseg predict")
    assert stop.value.code == 0
    assert agreement(read_clip(tmp_path / "out" / "clip.mp4", "gray")[0], truths(5)) > 0.99


def test_streams_that_cannot_be_reached_are_told_in_one_line(tmp_path, server, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "load_fastest", lambda *a, **k: make_runtime())
    monkeypatch.setattr(video, "_OPEN_SECONDS", 1)
    address, silent = server
    for given, told in (
        (f"{address}/missing.mp4", r"404 Not Found"),
        ("rtsp://me:secret@127.0.0.1:9/live", r"rtsp://127\.0\.0\.1:9/live: .*refused"),
        (f"http://127.0.0.1:{silent}/live", "no answer in 1 s"),
        (f"rtsp://127.0.0.1:{silent}/live", "no answer in 1 s"),
        (f"{address}/photo.jpg", "download it first"),
        ("http://[abc/x.mp4", r"http://\[abc/x\.mp4: not an address"),
        ("rtsp://me:secret@[abc/live", r"rtsp://\[abc/live: not an address"),
    ):
        with pytest.raises(SystemExit) as stop:
            predict.main([given, "--out", str(tmp_path / "out")], "skyseg predict")
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert re.search(told, lines[0]), lines
        assert "secret" not in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_is_no_video_whatever_its_name(tmp_path):
    (tmp_path / "trip.mp4").mkdir()
    (tmp_path / "clip.mp4").touch()
    assert not is_video(str(tmp_path / "trip.mp4"))
    assert is_video(str(tmp_path / "clip.mp4"))


def test_names_of_streams():
    def find(source, **settings):
        return find_target(VideoConfig(out="masks", **settings), source)[0]

    assert find("rtsp://me:secret@cam.local:554/stream1") == Path("masks/stream1.mp4")
    assert find("rtsp://10.0.0.7/") == Path("masks/10.0.0.7.mp4")
    assert find("https://host/a/live.m3u8?key=x/y.mp4") == Path("masks/live.mp4")
