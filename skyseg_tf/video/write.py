"""Frames into video files, to standard output, or into PNG files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside
from skyseg_tf.video.read import (
    RANGE_FULL,
    RANGE_VIDEO,
    Moment,
    Orientation,
    VideoInfo,
    planes,
    to_bt709,
)


@dataclass(frozen=True)
class Encoder:
    """How a stream is written: FFmpeg's name of the encoder, its pixel format and options.

    Where options say nothing of quality, the caller's `quality` holds.
    """

    codec: str
    pix_fmt: str
    options: dict[str, str] = field(default_factory=dict)


_H264 = Encoder("libx264", "yuv420p")
# H.264 without loss is a profile that browsers and editors do not read. What has two values comes
# out exact all the same: black and white are stored beyond their limits, 16 and 235, and whatever
# the encoder misses them by (at this quantizer up to 9; see test_video) is cut off in decoding.
_H264_MASK = Encoder("libx264", "yuv420p", {"qp": "6", "x264-params": "8x8dct=0"})
_BEYOND_BLACK, _BEYOND_WHITE = 4, 247
_H264_GREY = Encoder("libx264", "gray", {"qp": "0"})
_FFV1 = Encoder("ffv1", "gray")
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0"}
_VP9_GREY = Encoder("libvpx-vp9", "yuv420p", _VP9 | {"lossless": "1"})
# File suffix: FFmpeg's container, and the encoder for each kind of frame that `VideoWriter` takes.
# Of the containers only some hold transparency: ProRes 4444 for cutting, VP9 for the web.
CONTAINERS: dict[str, tuple[str, dict[str, Encoder]]] = {
    ".mp4": ("mp4", {"photo": _H264, "mask": _H264_MASK, "grey": _H264_GREY}),
    ".m4v": ("mp4", {"photo": _H264, "mask": _H264_MASK, "grey": _H264_GREY}),
    ".mov": (
        "mov",
        {
            "photo": _H264,
            "mask": _H264_MASK,
            "grey": _H264_GREY,
            "alpha": Encoder("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}),
        },
    ),
    ".mkv": (
        "matroska",
        {
            "photo": _H264,
            "mask": _FFV1,
            "grey": _FFV1,
            "alpha": Encoder("ffv1", "yuva420p"),
        },
    ),
    ".webm": (
        "webm",
        {
            "photo": Encoder("libvpx-vp9", "yuv420p", _VP9),
            "mask": _VP9_GREY,
            "grey": _VP9_GREY,
            "alpha": Encoder("libvpx-vp9", "yuva420p", _VP9),
        },
    ),
}
_STREAMS = {
    "mjpeg": ("mjpeg", Encoder("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "4"})),
    "raw": ("rawvideo", Encoder("rawvideo", "rgb24")),
}  # what goes to standard output


@contextmanager
def _plain_errors() -> Iterator[None]:
    """FFmpeg's own errors become one line; those of the disk speak for themselves."""
    try:
        yield
    except OSError:
        raise
    except av.FFmpegError as error:
        raise InputError(
            f"FFmpeg cannot write the video ({error.strerror}); try another container"
        ) from None


class VideoWriter:
    """Encodes frames into a file, with the sound of another, or to standard output.

    The file has the time stamps, display matrix and pixel aspect of the source. Sound is copied packet
    by packet; where the container cannot hold its codec, it is encoded in the container's own.
    """

    def __init__(
        self,
        target: Path | str,
        suffix: str,
        kind: str,
        info: VideoInfo,
        *,
        audio_streams: tuple = (),
        preset: str = "ultrafast",
        quality: int = 20,
        threads: int = 1,
    ):
        """Opens the file.

        Args:
          target: path to write, whatever its suffix; or "-" for standard output.
          suffix: key of CONTAINERS; for standard output "mjpeg" or "raw" (RGB, no header).
          kind: of the frames: "photo", "mask" (grey, full range, 0 and 255), "grey" (full range)
            or "alpha". Masks and grey come out of the file as they went in, but for mjpeg.
          info: of the source.
          audio_streams: of a VideoReader.
          preset: of x264.
          quality: constant rate factor of x264 and VP9, 0 (best) to 51; of photos.
          threads: of the encoder.

        Raises:
          InputError: a suffix that is not known or cannot hold such frames.
        """
        self._container, encoder = _open_output(target, suffix, kind)
        options = dict(encoder.options)
        if encoder.codec == "libx264":
            # Threads of x264's own look ahead are counted, too.
            options = {"preset": preset, "threads": str(threads)} | (
                options or {"crf": str(quality)}
            )
        elif encoder.codec == "libvpx-vp9":
            options |= {"threads": str(threads)}
            options |= {} if "lossless" in options else {"crf": str(quality + 10)}
        to_stdout, exact = target == "-", target != "-" and kind in ("mask", "grey")
        self._orientation = info.orientation if to_stdout else Orientation()
        self._luma = None  # of a grey value, where the encoder takes no grey
        if exact and encoder.pix_fmt == "yuv420p":
            limits = (_BEYOND_BLACK, _BEYOND_WHITE) if encoder is _H264_MASK else (0, 255)
            self._luma = np.linspace(*limits, 256).round().astype(np.uint8)
        height, width = info.upright_size if to_stdout else info.size
        aspect = info.sample_aspect_ratio
        if aspect and self._orientation.swaps_sides:
            aspect = 1 / aspect
        # PyAV cannot tell Matroska the pixels' aspect: without a codec that does they become square.
        self._stretched = (
            bool(aspect) and suffix in (".mkv", ".webm") and encoder.codec != "libx264"
        )
        if self._stretched:
            width, aspect = max(2, round(width * aspect)), None
        self._interpolation = Interpolation.POINT if exact else Interpolation.BICUBIC
        stream = self._container.add_stream(encoder.codec, rate=info.rate, options=options)
        # What subsamples colour cannot hold an odd side.
        stream.height, stream.width = (
            (height, width) if encoder.pix_fmt == "gray" else (height & ~1, width & ~1)
        )
        stream.pix_fmt = encoder.pix_fmt
        context = stream.codec_context
        context.thread_count, context.time_base = threads, info.time_base
        space, color_range, context.color_primaries, context.color_trc = info.color
        if encoder is _H264_MASK:
            color_range = RANGE_VIDEO
        elif exact or to_stdout:
            color_range = RANGE_FULL
        context.colorspace, context.color_range = space, color_range
        if aspect:
            context.sample_aspect_ratio = aspect
        if info.display_matrix and not to_stdout:
            stream.set_display_matrix(info.display_matrix)
        self._container.metadata.update(info.metadata)
        self._stream = stream
        self._scaler = VideoReformatter()
        self._audio = {s.index: _AudioTrack(self._container, s) for s in audio_streams}

    def write(self, moment: Moment) -> None:
        """Writes the sound before the frame, then the frame, if there is one.

        Raises:
          InputError: FFmpeg cannot encode it so, or the container cannot hold it.
          OSError: the disk is full.
        """
        with _plain_errors():
            self._write(moment)

    def _write(self, moment: Moment) -> None:
        for packet in moment.audio:
            if packet.stream.index in self._audio:
                self._mux_sound(self._audio[packet.stream.index].convert(packet))
        if moment.frame is not None:
            self._container.mux(self._stream.encode(self._prepare(moment.frame)))

    def _mux_sound(self, packets: list[av.Packet]) -> None:
        """Leaves damaged sound out; FFmpeg looks into it only here."""
        try:
            self._container.mux(packets)
        except OSError:
            raise
        except av.FFmpegError:
            pass

    def _prepare(self, frame: av.VideoFrame) -> av.VideoFrame:
        context = self._stream.codec_context
        frame = to_bt709(frame, self._scaler)
        if self._orientation != Orientation():
            turned = self._orientation.upright(frame.to_ndarray(format="rgb24", threads=1))
            pts, time_base = frame.pts, frame.time_base
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(turned), "rgb24")
            frame.pts, frame.time_base = pts, time_base
        size = (context.width, context.height)
        if self._stretched:
            frame = self._scaler.reformat(
                frame, *size, interpolation=self._interpolation, threads=1
            )
        if self._luma is not None:
            frame = _grey_as_luma(frame, size, self._luma)
        if (frame.format.name, frame.width, frame.height) != (context.pix_fmt, *size):
            frame = self._scaler.reformat(
                frame,
                *size,
                format=context.pix_fmt,
                dst_color_range=context.color_range or None,
                threads=1,
            )
        frame.pict_type = 0  # the encoder chooses, not the source
        return frame

    def close(self) -> None:
        """Writes what the encoders still hold, and the file's end.

        Raises:
          InputError: FFmpeg cannot.
          OSError: the disk is full.
        """
        with _plain_errors():
            for track in self._audio.values():
                self._container.mux(track.flush())
            if self._stream.codec_context.is_open:
                self._container.mux(self._stream.encode())
            self._container.close()

    def abandon(self) -> None:
        """Closes the file as it is, after an error, and says nothing of a second one."""
        with suppress(av.FFmpegError):
            self._container.close()


def _grey_as_luma(frame: av.VideoFrame, size: tuple[int, int], luma: np.ndarray) -> av.VideoFrame:
    """A grey frame in yuv420p; `size` is (width, height), an odd last row or column is cut off."""
    out = av.VideoFrame(*size, "yuv420p")
    light, *colors = planes(out)
    cv2.LUT(np.ascontiguousarray(planes(frame)[0][: size[1], : size[0]]), luma, dst=light)
    for plane in colors:
        plane[:] = 128
    out.pts, out.time_base = frame.pts, frame.time_base
    return out


def _open_output(target: Path | str, suffix: str, kind: str):
    if target == "-":
        if suffix not in _STREAMS or kind == "alpha":
            raise InputError(
                f"standard output takes {' or '.join(_STREAMS)} of frames without transparency: "
                "choose another --container or --format"
            )
        name, encoder = _STREAMS[suffix]
        return av.open(sys.stdout.buffer, "w", format=name), encoder
    if suffix not in CONTAINERS:
        raise InputError(
            f"'{suffix}' is no video that can be written: give a folder (for PNG files) or a file "
            f"with one of {', '.join(CONTAINERS)}"
        )
    name, encoders = CONTAINERS[suffix]
    if kind not in encoders:
        able = ", ".join(key for key, (_, known) in CONTAINERS.items() if kind in known)
        raise InputError(f"{suffix} holds no transparency: give one of {able}, or a folder")
    options = {"movflags": "+faststart"} if name in ("mp4", "mov") else {}
    return av.open(str(target), "w", format=name, container_options=options), encoders[kind]


class _AudioTrack:
    """One track of sound, copied if the container takes its codec, else encoded."""

    def __init__(self, container, template):
        self._encodes = False
        try:
            self._stream = container.add_stream_from_template(template)
        except ValueError:
            self._encodes = True
            name = {"opus": "libopus", "vorbis": "libopus"}.get(
                container.default_audio_codec, container.default_audio_codec
            )
            rate = 48_000 if name == "libopus" else template.codec_context.sample_rate
            self._stream = container.add_stream(name, rate=rate)
            self._stream.codec_context.layout = template.codec_context.layout

    def convert(self, packet: av.Packet) -> list[av.Packet]:
        if not self._encodes:
            packet.stream = self._stream
            return [packet]
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return []  # a damaged packet of sound
        return [out for frame in frames for out in self._stream.encode(frame)]

    def flush(self) -> list[av.Packet]:
        return self._stream.encode() if self._encodes else []


class FrameFolder:
    """Writes upright PNG files frame_000000.png, ... and times.csv with their seconds."""

    def __init__(self, folder: str | Path, info: VideoInfo):
        """Makes the folder.

        Raises:
          InputError: frames of another run lie there.
        """
        self._folder, self._orientation, self._count = Path(folder), info.orientation, 0
        self._folder.mkdir(parents=True, exist_ok=True)
        if next(self._folder.glob("frame_*.png"), None):
            raise InputError(f"{folder}: holds frames already; empty it or name another folder")
        self._times = self._folder / "times.csv"
        self._times.write_text("file,seconds\n")

    def write(self, moment: Moment) -> None:
        """Writes the frame, if there is one; sound has no place here."""
        frame = moment.frame
        if frame is None:
            return
        name = frame.format.name
        layout = "gray" if name == "gray" else "bgra" if name.startswith("yuva") else "bgr24"
        picture = self._orientation.upright(frame.to_ndarray(format=layout, threads=1))
        _, content = cv2.imencode(
            ".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 1]
        )
        name = f"frame_{self._count:06d}.png"
        with write_aside(self._folder / name) as aside:
            aside.write_bytes(content)
        with open(self._times, "a") as times:
            times.write(f"{name},{float(frame.pts * frame.time_base):.6f}\n")
        self._count += 1

    def close(self) -> None:
        """Nothing is left to do: each file is whole."""

    abandon = close
