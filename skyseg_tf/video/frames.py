"""Frames of videos, as decoders give them, and what is known of all frames of one video.

Frames stay what the decoder gave (planes of Y, U and V at the coded orientation). How they are
turned and mirrored is a note in the file, the display matrix; it is carried over, not applied, but
for pictures that somebody looks at or a network sees: those are upright.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

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


def color_of(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How a frame stores colors once it is in BT.709; see VideoInfo."""
    if frame.color_trc in _HDR or frame.format.is_rgb:
        return tuple(map(int, _BT709))
    color_range = RANGE_FULL if is_full_range(frame) else frame.color_range
    return (frame.colorspace, color_range, frame.color_primaries, frame.color_trc)


def display_matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of a frame's display matrix, or None."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else tuple(np.frombuffer(data, np.int32)[:9].tolist())


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
