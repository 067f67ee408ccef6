"""Frames of video files, with their time stamps, as the decoder gives them.

Frames stay what the decoder gave (planes of Y, U and V at the coded orientation). How they are
turned and mirrored is a note in the file, the display matrix; it is carried over, not applied, but
for pictures that somebody looks at or a network sees: those are upright. Needs PyAV (FFmpeg).
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS
from skyseg_tf.video.addresses import is_stream, without_password

try:
    import av
    from av.video.reformatter import (
        ColorPrimaries,
        Colorspace,
        ColorTrc,
        Interpolation,
        VideoReformatter,
    )
except ModuleNotFoundError:
    raise InputError("videos and cameras need PyAV: pip install 'skyseg_tf[video]'") from None

# FFmpeg's readers of files. Others follow what is written in a file to other files and hosts.
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,asf,flv,live_flv,ogg,"
    "mjpeg,yuv4mpegpipe,mxf,h264,hevc,ivf,wtv,dv"
)
_OPEN_SECONDS, _READ_SECONDS = 10, 20  # without an answer of a stream
_HIDDEN = 0.05  # so large a share of the frames that a file announces may be cut away by its edits
_MAX_DEMUX_ERRORS = 10  # in a row: what follows is no video any more
RANGE_VIDEO, RANGE_FULL = 1, 2  # AVColorRange: Y on 16-235, on 0-255
_BT709 = (Colorspace.ITU709, RANGE_VIDEO, ColorPrimaries.BT709, ColorTrc.BT709)
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ, HLG


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: first left and right change places, then it is turned.

    Attributes:
      turns: quarter turns counterclockwise, 0-3.
      mirrored: whether left and right change places.
    """

    turns: int = 0
    mirrored: bool = False

    @staticmethod
    def from_matrix(matrix: tuple[int, ...] | None) -> "Orientation":
        """The nearest of the eight, of a display matrix.

        Args:
          matrix: nine numbers (a, b, u, c, d, v, x, y, w): the pixel at (x, y), y downwards, is
            shown at (a x + c y, b x + d y). None for a file without.

        Reference: ISO/IEC 14496-12, track header box; FFmpeg's libavutil/display.h.
        """
        if matrix is None:
            return Orientation()
        a, b, _, c, d, *_ = matrix
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        return Orientation(round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored)

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places."""
        return self.turns % 2 == 1

    def upright(self, array: np.ndarray) -> np.ndarray:
        """(height, width, ...) as stored to upright, as a view."""
        return np.rot90(array[:, ::-1] if self.mirrored else array, self.turns)

    def stored(self, array: np.ndarray) -> np.ndarray:
        """Inverts `upright`."""
        turned = np.rot90(array, -self.turns)
        return turned[:, ::-1] if self.mirrored else turned


@dataclass(frozen=True)
class VideoInfo:
    """What is known before the first frame.

    Attributes:
      size: (height, width) as coded, in pixels.
      rate: frames per second on average; 30000/1001 is not rounded.
      time_base: seconds per tick of the frames' time stamps.
      display_matrix: the nine numbers of the file's own, or None.
      sample_aspect_ratio: width to height of a stored pixel, or None.
      color: AVColorSpace, AVColorRange, AVColorPrimaries and AVColorTransferCharacteristic, of
        what `to_bt709` makes of its frames.
      frames: how many to expect; None where the file does not tell.
      metadata: title and the like.
    """

    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    display_matrix: tuple[int, ...] | None = None
    sample_aspect_ratio: Fraction | None = None
    color: tuple[int, int, int, int] = (6, RANGE_VIDEO, 2, 2)  # BT.601
    frames: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def orientation(self) -> Orientation:
        """How its frames become upright."""
        return Orientation.from_matrix(self.display_matrix)

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) in pixels when upright."""
        return self.size[::-1] if self.orientation.swaps_sides else self.size

    @property
    def shown_size(self) -> tuple[int, int]:
        """(height, width) as shown, in square pixels."""
        height, width = self.size
        width = max(1, round(width * (self.sample_aspect_ratio or 1)))
        return (width, height) if self.orientation.swaps_sides else (height, width)


@dataclass
class Moment:
    """A frame (None after the last), and the audio packets that come before it in the file."""

    frame: av.VideoFrame | None
    audio: list = field(default_factory=list)


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """The frame's planes as (h, w) uint8 views of its memory, without the padding of the rows."""
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether Y runs over 0-255 (as in JPEG), not 16-235."""
    return frame.format.name.startswith("yuvj") or frame.color_range == RANGE_FULL


def to_bt709(frame: av.VideoFrame, scaler: VideoReformatter) -> av.VideoFrame:
    """A frame of HDR video (PQ, HLG) or RGB in BT.709, which every screen shows and networks know.

    Of HDR, reference white (203 candela per square metre) becomes white; what is brighter is white,
    too. Other frames are given back as they are. Reference: ITU-R BT.2100, BT.2408.
    """
    if frame.color_trc not in _HDR and not frame.format.is_rgb:
        return frame
    space, color_range, primaries, trc = _BT709
    made = scaler.reformat(
        frame,
        format="yuv420p",
        dst_colorspace=space,
        dst_color_range=color_range,
        dst_color_primaries=primaries,
        dst_color_trc=trc,
        threads=1,
    )
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


class Shrinker:
    """Frames to small upright RGB pictures, straight from the decoder's planes.

    Area mean, as the networks' own photos are shrunk. One per thread: it keeps its tables.
    """

    def __init__(self, size: tuple[int, int], orientation: Orientation):
        """Takes the upright (height, width) of the pictures and the VideoInfo's orientation."""
        self._orientation = orientation
        self._size = size[::-1] if orientation.swaps_sides else size
        self._scaler, self._to_bt709 = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns (height, width, 3) uint8."""
        height, width = self._size
        hdr = frame.color_trc in _HDR
        small = self._scaler.reformat(
            frame,
            width,
            height,
            frame.format.name if hdr else "rgb24",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        if hdr:  # shrunk before, since that way is long
            small = to_bt709(small, self._to_bt709)
        picture = small.to_ndarray(format="rgb24", threads=1)
        return np.ascontiguousarray(self._orientation.upright(picture))

    def turn_back(self, array: np.ndarray) -> np.ndarray:
        """(height, width, ...) upright to the orientation of the coded frame."""
        return self._orientation.stored(array)


class VideoReader:
    """Decodes a video file; iterate over it once.

    Attributes:
      info: see VideoInfo.
      audio_streams: templates for a VideoWriter.
      skipped: frames that were damaged, so far; all of them at the end.
      missing: at the end, frames that the file announced and did not hold; some are never shown.
    """

    def __init__(self, path: str | Path, *, threads: int = 1):
        """Opens the file.

        Args:
          path: the file, or the address of a stream.
          threads: of the decoder.

        Raises:
          InputError: not a video, no frame in it that can be read, or frames above MAX_PIXELS.
        """
        self.path, self.skipped, self.missing = without_password(str(path)), 0, 0
        self._container = _open_input(str(path))
        self._packets = self._demux()
        video = self._container.streams.best("video")
        if video is None or not video.codec_context.width:
            self.close()
            raise InputError(f"{self.path}: no video in it; give another one")
        height, width = video.codec_context.height, video.codec_context.width
        if min(height, width) < 2:
            self.close()
            raise InputError(f"{self.path}: frames of {width} x {height} are too small for a video")
        if height * width > MAX_PIXELS:
            self.close()
            raise InputError(
                f"{self.path}: frames of {width} x {height} exceed {MAX_PIXELS:,} pixels; scale it down"
            )
        video.thread_count = threads
        video.thread_type = "AUTO"
        self._video = video
        self.audio_streams = tuple(s for s in self._container.streams.audio if s.codec_context)
        self._first = self._decode_first()
        self.info = VideoInfo(
            size=(self._first.height, self._first.width),
            rate=video.average_rate or video.guessed_rate or Fraction(25),
            time_base=video.time_base,
            display_matrix=_display_matrix(self._first),
            sample_aspect_ratio=video.sample_aspect_ratio or None,
            color=_color(self._first),
            frames=video.frames or self._guess_frames(),
            metadata=dict(self._container.metadata),
        )

    def _guess_frames(self) -> int | None:
        duration, rate = self._container.duration, self._video.average_rate
        return round(duration / av.time_base * rate) if duration and rate else None

    def _decode_first(self) -> av.VideoFrame:
        """The first whole frame: only it tells the rotation."""
        self._before: list = []
        self._decoded = self._decode()
        for moment in self._decoded:
            if moment.frame is not None:
                self._before = moment.audio
                return moment.frame
        self.close()
        raise InputError(f"{self.path}: not one frame of the video can be read; export it again")

    def __iter__(self) -> Iterator[Moment]:
        """Yields whole frames in the order of time, damaged ones left out."""
        last, count = None, 0
        duration = max(1, round(1 / (self.info.rate * self.info.time_base)))
        for moment in self._all():
            frame = moment.frame
            if frame is not None:
                if (frame.height, frame.width) != self.info.size:
                    self.skipped += 1  # a stream that changes its size midway
                    continue
                offset = self._offset(self.info.time_base)
                at = last + duration if frame.pts is None else frame.pts - offset
                frame.pts = at if last is None else max(at, last + 1)
                frame.time_base = self.info.time_base
                last = frame.pts
                count += 1
            yield moment
        # Of files with sound the duration may be the sound's.
        announced = self._video.frames or (0 if self.audio_streams else self.info.frames or 0)
        missing = announced - count - self.skipped
        self.missing = missing if missing > max(2, _HIDDEN * announced) else 0

    def _all(self) -> Iterator[Moment]:
        yield Moment(self._first, self._before)
        yield from self._decoded

    def _offset(self, time_base: Fraction) -> int:
        """Ticks by which the file's clock starts late or early; broadcasts start at any time."""
        return round(Fraction(self._container.start_time or 0, av.time_base) / time_base)

    def _demux(self) -> Iterator[av.Packet]:
        errors = 0
        while errors < _MAX_DEMUX_ERRORS:
            try:
                for packet in self._container.demux(self._video, *self.audio_streams):
                    errors = 0
                    yield packet
                return
            except (av.error.EOFError, av.error.ExitError):
                return
            except av.FFmpegError:
                errors += 1

    def _decode(self) -> Iterator[Moment]:
        audio, sent, received, damaged, interlaced = [], 0, 0, 0, False
        for packet in self._packets:
            if packet.stream.type == "audio":
                if packet.dts is not None:
                    offset = self._offset(packet.time_base)
                    packet.pts, packet.dts = (
                        (packet.pts or packet.dts) - offset,
                        packet.dts - offset,
                    )
                    audio.append(packet)
                continue
            sent += bool(packet.size) and not packet.is_discard
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damaged += 1
                self.skipped += 1
                continue
            for frame in frames:
                received += 1
                interlaced |= frame.interlaced_frame
                if frame.is_corrupt:
                    self.skipped += 1
                    continue
                yield Moment(frame, audio)
                audio = []
        try:  # what it still holds where the file breaks off
            held = self._video.codec_context.decode(None)
        except av.FFmpegError:
            held = []  # it has been asked: the file ended as it should
        for frame in held:
            received += 1
            yield Moment(frame, audio)
            audio = []
        # Without its key frame the decoder gives nothing for the frames that follow, and no error.
        if not interlaced:  # where a frame may come as two packets
            self.skipped += max(0, sent - received - damaged)
        yield Moment(None, audio)

    def close(self) -> None:
        """Closes the file, unless a thread hangs in reading it."""
        if not self._packets.gi_running:
            self._container.close()


def _open_input(path: str):
    if is_stream(path):
        return _open_stream(path)
    try:
        options = {"format_whitelist": _FILE_FORMATS, "protocol_whitelist": "file"}
        return av.open(path, metadata_errors="replace", options=options)
    except OSError:
        raise  # the file system's own errors speak for themselves
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: not a readable video ({error.strerror}); download or export it again"
        ) from None


def _open_stream(address: str):
    start = time.monotonic()
    try:
        return av.open(
            address,
            metadata_errors="replace",
            options={"rtsp_transport": "tcp"},
            timeout=(_OPEN_SECONDS, _READ_SECONDS),
        )
    except av.FFmpegError as error:
        late = time.monotonic() - start > _OPEN_SECONDS
        reason = f"no answer in {_OPEN_SECONDS} s" if late else error.strerror
    raise InputError(
        f"{without_password(address)}: not a readable stream ({reason}); is it on, and to be "
        "reached from here?"
    )


def _color(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    if frame.color_trc in _HDR or frame.format.is_rgb:
        return tuple(map(int, _BT709))
    color_range = RANGE_FULL if is_full_range(frame) else frame.color_range
    return (frame.colorspace, color_range, frame.color_primaries, frame.color_trc)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return tuple(np.frombuffer(data, np.int32)[:9].tolist())
    return None
