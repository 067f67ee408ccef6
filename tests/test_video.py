import csv
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from drawn_clips import MATRICES, SIZE, draw_frame, matrix_of, read_clip, show, write_clip

from skyseg_tf.errors import InputError
from skyseg_tf.images import software_of
from skyseg_tf.video.frames import Moment, Orientation, Shrinker, VideoInfo
from skyseg_tf.video.read import VideoReader
from skyseg_tf.video.write import FrameFolder, VideoWriter


def copy_video(source: Path, target: Path, **options) -> int:
    """Decodes and encodes; returns the number of skipped frames."""
    reader = VideoReader(source)
    suffix = target.suffix
    audio = reader.audio_streams
    writer = VideoWriter(target, suffix, "photo", reader.info, audio_streams=audio, **options)
    for moment in reader:
        writer.write(moment)
    writer.close()
    reader.close()
    return reader.skipped


def sound_of(path: Path) -> tuple[str, list[bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return stream.codec_context.name, [bytes(p) for p in container.demux(stream) if p.size]


def test_reader_tells_size_rate_and_rotation(tmp_path):
    reader = VideoReader(write_clip(tmp_path / "a.mp4", turned=90))
    assert reader.info.rate == Fraction(30000, 1001)
    assert reader.info.size == SIZE[::-1]
    assert reader.info.shown_size == SIZE
    assert reader.info.orientation == Orientation(1, False)
    assert reader.info.frames == 12
    assert sum(moment.frame is not None for moment in reader) == 12
    assert reader.skipped == 0


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_small_pictures_are_upright_and_turn_back(tmp_path, turned):
    reader = VideoReader(write_clip(tmp_path / "a.mp4", 1, turned=turned))
    shrink = Shrinker((32, 48), reader.info.orientation)
    frame = next(iter(reader)).frame
    small = shrink(frame)
    expected = cv2.resize(draw_frame(0)[0], (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 4
    coded = cv2.resize(frame.to_ndarray(format="rgb24"), shrink.turn_back(small).shape[1::-1])
    assert np.abs(shrink.turn_back(small).astype(int) - coded).mean() < 8


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_display_matrices(tmp_path, matrix):
    """The network sees what a player shows, and what is copied is shown alike."""
    reader = VideoReader(write_clip(tmp_path / "a.mp4", 2, matrix=matrix))
    assert reader.info.shown_size == SIZE
    shrink = Shrinker(SIZE, reader.info.orientation)
    frame = next(iter(reader)).frame
    assert np.abs(shrink(frame).astype(int) - draw_frame(0)[0]).mean() < 4
    stored = frame.to_ndarray(format="rgb24")
    orientation = reader.info.orientation
    assert (orientation.upright(stored) == show(stored, matrix)).all()
    assert (orientation.stored(orientation.upright(stored)) == stored).all()
    assert (shrink.turn_back(orientation.upright(stored)) == stored).all()
    for suffix in (".mp4", ".mov", ".mkv", ".webm"):
        copy_video(tmp_path / "a.mp4", tmp_path / f"b{suffix}")
        assert matrix_of(tmp_path / f"b{suffix}") == matrix


def test_scaled_and_slanted_matrices_give_the_nearest_orientation():
    for numbers, expected in (
        ((46341, 46000, 0, -46000, 46341, 0, 0, 0, 1 << 30), Orientation(0)),  # 45 degrees, almost
        ((0, 131072, 0, -131072, 0, 0, 0, 0, 1 << 30), Orientation(3)),
        ((0,) * 9, Orientation()),
        (None, Orientation()),
    ):
        assert Orientation.from_matrix(numbers) == expected


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_that_are_not_square_stay_so(tmp_path, matrix, suffix):
    source = write_clip(tmp_path / "a.mp4", 2, matrix=matrix, aspect=Fraction(4, 3))
    info = VideoReader(source).info
    assert info.sample_aspect_ratio == Fraction(4, 3)
    assert info.shown_size == ((64, 128) if matrix[0] else (85, 96))
    copy_video(source, tmp_path / f"b{suffix}")
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv", ".webm"])
@pytest.mark.parametrize("kind", ["mask", "grey"])
def test_masks_come_out_as_they_went_in(tmp_path, suffix, kind, preset):
    """Noise, the hardest of all masks, and a smooth one."""
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 256, (6, *SIZE), np.uint8)
    wanted[3:] = np.mgrid[: SIZE[0], : SIZE[1]].sum(0) % 256
    if kind == "mask":
        wanted = np.where(wanted > 127, 255, 0).astype(np.uint8)
    target, tick = tmp_path / f"a{suffix}", Fraction(1, 25)
    writer = VideoWriter(
        target, suffix, kind, VideoInfo(SIZE, Fraction(25), tick), preset=preset, quality=40
    )
    for index, mask in enumerate(wanted):
        frame = av.VideoFrame.from_ndarray(mask, "gray")
        frame.pts, frame.time_base = index, tick
        writer.write(Moment(frame))
    writer.close()
    for layout in ("gray", "rgb24"):
        frames = read_clip(target, layout)[0]
        assert (frames.reshape(6, *SIZE, -1) == wanted[..., None]).all()
    capture = cv2.VideoCapture(str(target))
    for mask in wanted:
        assert (capture.read()[1] == mask[..., None]).all()
    with av.open(str(target)) as container:  # a profile that browsers and editors read
        profile = container.streams.video[0].codec_context.profile
        assert (
            kind == "grey"
            or suffix == ".mkv"
            or profile in ("Constrained Baseline", "Main", "High", "Profile 0")
        )


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_copied_and_rate_times_and_rotation_stay(tmp_path, suffix):
    source = write_clip(tmp_path / "a.mp4", turned=270, sound="aac")
    target = tmp_path / f"b{suffix}"
    assert copy_video(source, target) == 0
    assert sound_of(target) == sound_of(source)
    frames, times, first = read_clip(target)
    expected, source_times, source_first = read_clip(source)
    assert first.rotation == source_first.rotation == -90
    # Matroska counts in milliseconds, and begins with the sound's lead-in, before the picture.
    begin, tolerance = (times[0], 0.6e-3) if suffix == ".mkv" else (0, 1e-6)
    assert 0 <= begin < 0.03
    assert np.allclose(np.array(times) - begin, source_times, atol=tolerance)
    with av.open(str(target)) as container:
        rate = float(container.streams.video[0].average_rate)
    assert rate == pytest.approx(30000 / 1001, rel=2e-3)
    assert np.abs(frames.astype(int) - expected).mean() < 4


def test_sound_that_the_container_cannot_hold_is_encoded_anew(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 30, sound="aac")
    copy_video(source, tmp_path / "b.webm")
    name, packets = sound_of(tmp_path / "b.webm")
    assert name == "opus"
    assert len(packets) == pytest.approx(50, abs=3)  # a second, in packets of 20 ms


@pytest.mark.parametrize(
    ("source", "sound", "hertz", "target", "encoded"),
    [
        ("a.mkv", "flac", 48_000, "b.mov", "aac"),  # refused only with the header
        ("a.avi", "pcm_alaw", 8_000, "b.mp4", "aac"),  # a channel without a place
        ("a.avi", "pcm_alaw", 8_000, "b.mkv", "ac3"),  # and a rate that the encoder has not
    ],
)
def test_sound_of_dashcams_and_archives_is_encoded_anew(
    tmp_path, source, sound, hertz, target, encoded
):
    source = write_clip(tmp_path / source, 30, sound=sound, hertz=hertz)
    assert copy_video(source, tmp_path / target) == 0
    assert sound_of(tmp_path / target)[0] == encoded
    with av.open(str(tmp_path / target)) as container:
        (track,) = container.streams.audio
        seconds = sum(f.samples for f in container.decode(track)) / track.sample_rate
    assert seconds == pytest.approx(1.0, abs=0.05)


def test_uneven_time_stamps_stay(tmp_path):
    ticks = [0, 40, 80, 200, 210, 500, 533]
    source = write_clip(tmp_path / "a.mp4", len(ticks), ticks=ticks)
    copy_video(source, tmp_path / "b.mp4")
    assert np.allclose(read_clip(tmp_path / "b.mp4")[1], np.array(ticks) / 1000, atol=1e-4)


def test_a_broadcast_that_starts_late_starts_at_zero(tmp_path):
    source = write_clip(tmp_path / "a.ts", sound="aac")
    with av.open(str(source)) as container:
        assert container.start_time > 0
    copy_video(source, tmp_path / "b.mp4")
    times = read_clip(tmp_path / "b.mp4")[1]
    assert times[0] < 0.1
    assert np.allclose(np.diff(times), 1001 / 30000, atol=1e-3)


def test_odd_sizes_lose_a_line(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 2, size=(63, 95), codec="ffv1")
    copy_video(source, tmp_path / "b.mp4")
    assert read_clip(tmp_path / "b.mp4")[0].shape == (2, 62, 94, 3)


def packet_places(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


@pytest.mark.parametrize("damage", ["zeros", "noise"])
def test_damaged_frames_are_skipped_and_counted(tmp_path, damage):
    source = write_clip(tmp_path / "a.mp4", 24)
    content, places = bytearray(source.read_bytes()), packet_places(source)
    for position, size in (places[8], places[15]):
        noise = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
        content[position : position + size] = bytes(size) if damage == "zeros" else noise
    source.write_bytes(content)
    skipped = copy_video(source, tmp_path / "b.mp4")
    times = read_clip(tmp_path / "b.mp4")[1]
    assert skipped >= 2
    assert len(times) == 24 - skipped
    assert len(times) >= 10
    assert times[-1] == pytest.approx(23 * 1001 / 30000, abs=1e-3)  # nothing shifted


def test_a_lost_key_frame_takes_its_group_along(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 24)
    content = bytearray(source.read_bytes())
    position, size = packet_places(source)[6]
    content[position : position + size] = bytes(size)
    source.write_bytes(content)
    skipped = copy_video(source, tmp_path / "b.mp4")
    assert 1 <= skipped <= 12
    assert len(read_clip(tmp_path / "b.mp4")[1]) == 24 - skipped


def test_a_cut_off_file_gives_what_is_there(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 60)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    copy_video(source, tmp_path / "b.mp4")
    assert 5 <= len(read_clip(tmp_path / "b.mp4")[1]) < 60


def test_what_is_missing_is_counted(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 60)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    reader = VideoReader(source)
    count = sum(moment.frame is not None for moment in reader)
    assert count + reader.skipped + reader.missing == pytest.approx(60, abs=1)
    assert reader.missing > 10


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])  # which tell how many frames they hold
def test_frames_that_were_counted_and_are_missing(tmp_path, suffix):
    source = write_clip(tmp_path / f"a{suffix}", 120)
    with av.open(str(source)) as whole, av.open(str(tmp_path / f"b{suffix}"), "w") as out:
        if suffix == ".mp4":  # what says so lies before the frames
            out.options["movflags"] = "+faststart"
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    content = (tmp_path / f"b{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(content[: len(content) * 2 // 3])
    reader = VideoReader(tmp_path / f"b{suffix}")
    count = sum(moment.frame is not None for moment in reader)
    assert count + reader.skipped + reader.missing == 120
    assert reader.missing > 10


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".flv"])
@pytest.mark.parametrize(
    "ticks",
    [
        None,
        [0, 40, 80, 200, 210, 500, 533],
        [2000 + 40 * i for i in range(8)],
        [0, 40, 80, 120, 160, 4000, 4040],
    ],
)
def test_of_a_whole_file_nothing_is_missing(tmp_path, suffix, ticks):
    """Whatever its rate, and whenever its first frame comes."""
    codec, count = "libvpx-vp9" if suffix == ".webm" else "libx264", len(ticks or range(30))
    reader = VideoReader(write_clip(tmp_path / f"a{suffix}", count, ticks=ticks, codec=codec))
    assert sum(moment.frame is not None for moment in reader) == count
    assert reader.missing == reader.skipped == 0


def test_a_clock_below_0_tells_nothing_of_the_end(tmp_path):
    reader = VideoReader(write_clip(tmp_path / "clip.mkv", 6))
    assert reader._count_missing(1, Fraction(0)) == reader._count_missing(1, Fraction(-1)) == 0
    assert reader._count_missing(1, Fraction(1, 30)) > 0
    reader.close()


@pytest.mark.parametrize("sound", [None, "aac"])
def test_what_edits_cut_away_is_not_missing(tmp_path, sound):
    """As where an editor shortens a video without writing its frames anew."""
    source = write_clip(tmp_path / "a.mp4", 60, sound=sound)
    content = bytearray(source.read_bytes())
    at = content.find(b"elst") + 12  # how long the edit is: the picture's track comes first
    content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") // 2).to_bytes(4, "big")
    source.write_bytes(content)
    reader = VideoReader(source)
    assert sum(moment.frame is not None for moment in reader) == 30
    assert reader.missing == reader.skipped == 0


def test_damaged_sound_and_packets_do_not_end_the_picture(tmp_path):
    source = write_clip(tmp_path / "a.ts", 24, sound="aac")
    content = bytearray(source.read_bytes())
    third, half = len(content) // 3, len(content) // 2
    noise = np.random.default_rng(0).integers(0, 256, half - third, np.uint8)
    content[third:half] = noise.tobytes()
    source.write_bytes(bytes(content))
    copy_video(source, tmp_path / "b.mp4")
    assert len(read_clip(tmp_path / "b.mp4")[1]) >= 8


@pytest.mark.parametrize("size", [(1, 1), (1, 64)])
def test_frames_of_one_row_are_refused(tmp_path, size):
    source = write_clip(tmp_path / "a.mkv", 2, size=size, codec="ffv1")
    with pytest.raises(InputError, match=f"frames of {size[1]} x {size[0]} are too small"):
        VideoReader(source)


def test_files_that_lead_elsewhere_are_refused(tmp_path):
    """A playlist or a list of files by the name of a video would be followed to other files."""
    write_clip(tmp_path / "a.ts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\na.ts\n#EXT-X-ENDLIST\n"
    for text in (playlist, "ffconcat version 1.0\nfile a.ts\n"):
        (tmp_path / "b.mp4").write_text(text)
        with pytest.raises(InputError, match=r"b\.mp4: not a readable video"):
            VideoReader(tmp_path / "b.mp4")


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    content = write_clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "noindex.mp4").write_bytes(content[: content.rfind(b"moov") - 4])
    for name in ("text.mp4", "empty.mp4", "noindex.mp4"):
        with pytest.raises(InputError, match="not a readable video"):
            VideoReader(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        VideoReader(tmp_path / "missing.mp4")
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        voice = container.add_stream("aac", rate=48_000)
        chunk = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
        chunk.sample_rate = 48_000
        container.mux(voice.encode(chunk))
        container.mux(voice.encode())
    with pytest.raises(InputError, match="no video in it"):
        VideoReader(tmp_path / "sound.m4a")


def test_targets_that_cannot_be_are_refused(tmp_path):
    info = VideoInfo(SIZE, Fraction(25), Fraction(1, 25))
    with pytest.raises(InputError, match=r"'\.gif' is no video that can be written"):
        VideoWriter(tmp_path / "a.gif", ".gif", "photo", info)
    with pytest.raises(InputError, match=r"holds no transparency: give one of \.mov"):
        VideoWriter(tmp_path / "a.mp4", ".mp4", "alpha", info)
    with pytest.raises(InputError, match="standard output takes mjpeg or raw"):
        VideoWriter("-", ".mp4", "photo", info)


def test_frame_folder_writes_upright_pictures_with_times(tmp_path):
    reader = VideoReader(write_clip(tmp_path / "a.mp4", 3, turned=90))
    writer = FrameFolder(tmp_path / "png", reader.info)
    for moment in reader:
        writer.write(moment)
    writer.close()
    assert {software_of(path) for path in (tmp_path / "png").glob("*.png")} == {"skyseg_tf"}
    picture = cv2.imread(str(tmp_path / "png" / "frame_000002.png"))[..., ::-1]
    assert np.abs(picture.astype(int) - draw_frame(2)[0]).mean() < 5
    with open(tmp_path / "png" / "times.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"frame_{i:06d}.png" for i in range(3)]
    assert float(rows[2]["seconds"]) == pytest.approx(2 * 1001 / 30000, abs=1e-5)
    with pytest.raises(InputError, match="holds frames already"):
        FrameFolder(tmp_path / "png", reader.info)


def test_frame_folder_leaves_a_times_csv_of_others(tmp_path):
    info, times = VideoInfo(SIZE, Fraction(25), Fraction(1, 25)), tmp_path / "times.csv"
    for others in ("lap,seconds\n1,61.2\n", "file,seconds\nlap_1.mp4,61.2\n", "\0\xff", ""):
        times.write_text(others)
        with pytest.raises(InputError, match="was not written here, and would be overwritten"):
            FrameFolder(tmp_path, info)
        assert times.read_text() == others
    for own in ("file,seconds\n", "file,seconds\nframe_000000.png,0.000000\n"):
        times.write_text(own)  # of a run whose frames were emptied out
        FrameFolder(tmp_path, info)
        assert times.read_text() == "file,seconds\n"


def test_writer_takes_moments_without_a_frame(tmp_path):
    info = VideoInfo(SIZE, Fraction(25), Fraction(1, 25))
    writer = VideoWriter(tmp_path / "a.mp4", ".mp4", "photo", info)
    frame = av.VideoFrame.from_ndarray(draw_frame(0)[0], "rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    for moment in (Moment(frame), Moment(None)):
        writer.write(moment)
    writer.close()
    assert len(read_clip(tmp_path / "a.mp4")[1]) == 1
