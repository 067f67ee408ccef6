"""Video files and streams, frame by frame with their time stamps and sound."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS
from skyseg_tf.video.addresses import is_stream, without_password
from skyseg_tf.video.frames import Moment, VideoInfo, color_of, display_matrix_of

# FFmpeg's readers of files. Others follow what is written in a file to other files and hosts.
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,asf,flv,live_flv,ogg,"
    "mjpeg,yuv4mpegpipe,mxf,h264,hevc,ivf,wtv,dv"
)
_OPEN_SECONDS, _READ_SECONDS = 10, 20  # without an answer of a stream
_SLACK = 0.05  # so large a share of what a file announces may lack: some are never shown
# A title in no UTF-8 stops PyAV below 19, unless told; later ones keep its bytes, and take no such word.
_METADATA = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
MAKER_TAG = "handler_name"  # of the picture's track: every container keeps it, no player shows it
_MAX_DEMUX_ERRORS = 10  # in a row: what follows is no video any more


class VideoReader:
    """Decodes a video file; iterate over it once.

    Attributes:
      info: see VideoInfo.
      audio_streams: templates for a VideoWriter.
      skipped: frames that were damaged, so far; all of them at the end.
      missing: at the end, frames that the file announced and did not hold; some are never shown.
      missed: none; a file waits.
    """

    missed = 0

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
        if video is not None and video.codec_context is None:
            self.close()
            raise InputError(
                f"{self.path}: its video is of a codec unknown here; export it as H.264"
            )
        if video is None or not video.codec_context.width:
            self.close()
            raise InputError(f"{self.path}: no video in it; give another one")
        self._check_size(video.codec_context.height, video.codec_context.width)
        video.thread_count = threads
        video.thread_type = "AUTO"
        self._video = video
        self.audio_streams = tuple(s for s in self._container.streams.audio if s.codec_context)
        self._first = self._decode_first()
        self.info = VideoInfo(
            size=(self._first.height, self._first.width),
            rate=video.average_rate or video.guessed_rate or Fraction(25),
            time_base=video.time_base,
            display_matrix=display_matrix_of(self._first),
            sample_aspect_ratio=video.sample_aspect_ratio or None,
            color=color_of(self._first),
            frames=video.frames or self._guess_frames(),
            metadata=dict(self._container.metadata),
        )

    def _check_size(self, height: int, width: int) -> None:
        """Before anything is decoded: a frame above MAX_PIXELS would not fit into memory."""
        if min(height, width) < 2:
            self.close()
            raise InputError(f"{self.path}: frames of {width} x {height} are too small for a video")
        if height * width > MAX_PIXELS:
            self.close()
            raise InputError(
                f"{self.path}: frames of {width} x {height} exceed {MAX_PIXELS:,} pixels; scale it down"
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
        duration = longest = max(1, round(1 / (self.info.rate * self.info.time_base)))
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
                longest = longest if last is None else max(longest, frame.pts - last)
                last = frame.pts
                count += 1
            yield moment
        if last is not None:  # the last one may be shown for as long as any other
            self.missing = self._count_missing(count, (last + longest) * self.info.time_base)

    def _count_missing(self, count: int, end: Fraction) -> int:
        """How many frames the file lacks after `count` ones, the last of which ends at `end` seconds.

        The number of frames that a file tells is no proof: its edits may hide any of them, and AVI
        counts places that hold none. It breaks off if its time is not over either.
        """
        if end <= 0:  # a clock that begins below 0 tells nothing of the end
            return 0
        by_time = round(count * self._length() / end)
        held, announced = count + self.skipped, self._video.frames or by_time
        breaks_off = _is_short(count, by_time) and _is_short(held, announced)
        return announced - held if breaks_off else 0

    def _length(self) -> Fraction:
        """Seconds from the first frame to the end, as the file announces it; 0 where it does not."""
        if frames := self._video.frames:
            # A tick of AVI is the place of one frame, and where it is cut off its duration is, too.
            return max(self._video.duration or 0, frames) * self._video.time_base
        if len(self._container.streams) > 1:  # the file's duration may be another track's
            return Fraction(0)
        # It counts from 0 in Matroska, Flash and ASF, whenever the first frame comes.
        late = max(0, self._container.start_time or 0)
        return Fraction((self._container.duration or late) - late, av.time_base)

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


def maker_of(path: str | Path) -> str | None:
    """What a video file says of its maker; None of what says nothing or is no video."""
    try:
        with _open_input(str(path)) as container:
            tags = {} if not container.streams.video else container.streams.video[0].metadata
    except (InputError, OSError):
        return None
    # Matroska writes tags in capital letters.
    return next((value for tag, value in tags.items() if tag.lower() == MAKER_TAG), None)


def _is_short(count: int, announced: int) -> bool:
    return announced - count > max(2, _SLACK * announced)


def _open_input(path: str):
    if is_stream(path):
        return _open_stream(path)
    try:
        options = {"format_whitelist": _FILE_FORMATS, "protocol_whitelist": "file"}
        return av.open(path, options=options, **_METADATA)
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
            options={"rtsp_transport": "tcp"},
            timeout=(_OPEN_SECONDS, _READ_SECONDS),
            **_METADATA,
        )
    except av.FFmpegError as error:
        late = time.monotonic() - start > _OPEN_SECONDS
        reason = f"no answer in {_OPEN_SECONDS} s" if late else error.strerror
    raise InputError(
        f"{without_password(address)}: not a readable stream ({reason}); is it on, and to be "
        "reached from here?"
    )
