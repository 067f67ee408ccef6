"""Frames into video files, to standard output, or into PNG files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import make_folder
from skyseg_tf.files.streams import binary_output
from skyseg_tf.images import write_image
from skyseg_tf.masking.formats import SOFTWARE
from skyseg_tf.video.encoders import BEYOND_BLACK, BEYOND_WHITE, H264_MASK, Encoder, find_encoder
from skyseg_tf.video.frames import (
    RANGE_FULL,
    RANGE_VIDEO,
    Moment,
    Orientation,
    VideoInfo,
    planes,
    to_bt709,
)
from skyseg_tf.video.read import MAKER_TAG

_TIMES_HEAD = "file,seconds\n"


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
        """Opens the file."""
        to_stdout = target == "-"
        exact = not to_stdout and kind in ("mask", "grey")
        container, encoder = find_encoder(suffix, kind, to_stdout)
        self._container = _open_output(target, container)
        self._orientation = info.orientation if to_stdout else Orientation()
        self._luma = _exact_luma(encoder) if exact else None
        self._interpolation = Interpolation.POINT if exact else Interpolation.BICUBIC
        self._scaler = VideoReformatter()
        self._stream = self._container.add_stream(
            encoder.codec, rate=info.rate, options=_options(encoder, preset, quality, threads)
        )
        self._stream.metadata[MAKER_TAG] = SOFTWARE
        self._set_format(info, encoder, threads, full_range=exact or to_stdout)
        # PyAV cannot tell Matroska the pixels' aspect: without a codec that does they become square.
        is_matroska = suffix in (".mkv", ".webm")
        self._set_size(info, keeps_aspect=not is_matroska or encoder.codec == "libx264")
        if info.display_matrix and not to_stdout:
            self._stream.set_display_matrix(info.display_matrix)
        self._container.metadata.update(info.metadata)
        self._audio = {s.index: _AudioTrack(self._container, s) for s in audio_streams}

    def _set_format(
        self, info: VideoInfo, encoder: Encoder, threads: int, full_range: bool
    ) -> None:
        self._stream.pix_fmt = encoder.pix_fmt
        context = self._stream.codec_context
        context.thread_count, context.time_base = threads, info.time_base
        space, color_range, context.color_primaries, context.color_trc = info.color
        if encoder is H264_MASK or encoder.codec == "prores_ks":  # which cannot tell its range
            color_range = RANGE_VIDEO
        elif full_range:
            color_range = RANGE_FULL
        context.colorspace, context.color_range = space, color_range

    def _set_size(self, info: VideoInfo, keeps_aspect: bool) -> None:
        (height, width), aspect = info.size, info.sample_aspect_ratio
        if self._orientation.swaps_sides:
            height, width, aspect = width, height, aspect and 1 / aspect
        self._stretched = bool(aspect) and not keeps_aspect
        if self._stretched:
            width = max(2, round(width * aspect))
        elif aspect:
            self._stream.codec_context.sample_aspect_ratio = aspect
        # What subsamples color cannot hold an odd side.
        odd = 0 if self._stream.pix_fmt == "gray" else 1
        self._stream.height, self._stream.width = height & ~odd, width & ~odd

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


def _open_output(target: Path | str, container: str) -> av.container.OutputContainer:
    if target == "-":
        return av.open(binary_output(), "w", format=container)
    options = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
    return av.open(str(target), "w", format=container, container_options=options)


def _options(encoder: Encoder, preset: str, quality: int, threads: int) -> dict[str, str]:
    """FFmpeg's options: the encoder's own, which go before the caller's quality."""
    if encoder.codec == "libx264":
        # Threads of x264's own look ahead are counted, too.
        own = encoder.options or {"crf": str(quality)}
        return {"preset": preset, "threads": str(threads)} | own
    if encoder.codec == "libvpx-vp9":
        own = {} if "lossless" in encoder.options else {"crf": str(quality + 10)}
        return encoder.options | {"threads": str(threads)} | own
    return dict(encoder.options)


def _exact_luma(encoder: Encoder) -> np.ndarray | None:
    """(256,) uint8, the Y of each grey value, where the encoder takes no grey."""
    if encoder.pix_fmt != "yuv420p":
        return None
    limits = (BEYOND_BLACK, BEYOND_WHITE) if encoder is H264_MASK else (0, 255)
    return np.linspace(*limits, 256).round().astype(np.uint8)


def _takes(container: str, template) -> bool:
    """Whether a container holds a track's codec: some say no only when their header is written."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(template)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


class _AudioTrack:
    """One track of sound, copied if the container takes its codec, else encoded."""

    def __init__(self, container, template):
        self._encodes = not _takes(container.format.name, template)
        if not self._encodes:
            self._stream = container.add_stream_from_template(template)
            return
        name = {"opus": "libopus", "vorbis": "libopus"}.get(
            container.default_audio_codec, container.default_audio_codec
        )
        source = template.codec_context
        can_rate = name != "libopus" and source.sample_rate in av.Codec(name, "w").audio_rates
        self._stream = container.add_stream(name, rate=source.sample_rate if can_rate else 48_000)
        # The plain layout of so many channels: of others encoders know only some.
        self._stream.codec_context.layout = f"{source.layout.nb_channels}c"

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
          InputError: frames of another run lie there, or a times.csv of something else.
        """
        self._folder, self._orientation, self._count = Path(folder), info.orientation, 0
        make_folder(self._folder)
        if next(self._folder.glob("frame_*.png"), None):
            raise InputError(f"{folder}: holds frames already; empty it or name another folder")
        self._times = self._folder / "times.csv"
        if self._times.exists() and not _is_of_frames(self._times):
            raise InputError(
                f"{self._times} was not written here, and would be overwritten: give another --out, "
                "or move it away"
            )
        self._times.write_text(_TIMES_HEAD)

    def write(self, moment: Moment) -> None:
        """Writes the frame, if there is one; sound has no place here."""
        frame = moment.frame
        if frame is None:
            return
        name = frame.format.name
        layout = "gray" if name == "gray" else "rgba" if name.startswith("yuva") else "rgb24"
        picture = self._orientation.upright(frame.to_ndarray(format=layout, threads=1))
        name = f"frame_{self._count:06d}.png"
        write_image(self._folder / name, np.ascontiguousarray(picture), software=SOFTWARE)
        with open(self._times, "a") as times:
            times.write(f"{name},{float(frame.pts * frame.time_base):.6f}\n")
        self._count += 1

    def close(self) -> None:
        """Nothing is left to do: each file is whole."""

    abandon = close


def _is_of_frames(times: Path) -> bool:
    """Whether a times.csv is a FrameFolder's, whose frames are gone."""
    with open(times, errors="replace") as file:
        head, first = file.readline(99), file.readline(99)
    return head == _TIMES_HEAD and (not first or first.startswith("frame_000000.png,"))
