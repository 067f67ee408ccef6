"""Small videos with known masks, and a "network" that is right about them."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np

from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import ModelFacts, Runtime

SKY, GROUND = (120, 170, 250), (60, 70, 40)
SIZE = (64, 96)
# (a, b, c, d) of all eight display matrices: the pixel at (x, y) is shown at (ax + cy, bx + dy).
MATRICES = [(a, 0, 0, d) for a, d in product((1, -1), (1, -1))]
MATRICES += [(0, b, c, 0) for b, c in product((1, -1), (1, -1))]


def show(stored: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """What a player shows of a stored picture, pixel by pixel."""
    a, b, c, d = matrix
    y, x = np.indices(stored.shape[:2])
    columns, rows = a * x + c * y, b * x + d * y
    columns, rows = columns - columns.min(), rows - rows.min()
    shown = np.empty((rows.max() + 1, columns.max() + 1, *stored.shape[2:]), stored.dtype)
    shown[rows, columns] = stored
    return shown


def store(shown: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Inverts `show`: the matrices are orthogonal."""
    a, b, c, d = matrix
    return show(shown, (a, c, b, d))


def matrix_of(path: Path) -> tuple[int, int, int, int]:
    """(a, b, c, d) of a file's own display matrix."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    if (data := frame.side_data.get("DISPLAYMATRIX")) is None:
        return (1, 0, 0, 1)
    numbers = np.frombuffer(data, np.int32) / 65536
    return tuple(int(numbers[i]) for i in (0, 1, 3, 4))


def draw_frame(index: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """(image, truth): sky over ground, and a tower that walks right by two pixels a frame."""
    truth = np.zeros(size, np.uint8)
    truth[: size[0] // 2] = 1
    left = 2 * index % (size[1] - 8)
    truth[size[0] // 4 : size[0] // 2, left : left + 8] = 0
    return np.array([GROUND, SKY], np.uint8)[truth], truth


def bright_is_sky(images: np.ndarray) -> np.ndarray:
    """(..., H, W, 3) -> (..., H, W, 1): the probability rises with blue, to 0.95."""
    return np.clip((np.asarray(images, np.float32)[..., 2:] - 45) / 215, 0, 1)


def make_runtime(infer=bright_is_sky, frames: int = 1, streams: int = 1, **facts) -> Runtime:
    """A Runtime of the given function, at 64x96 or whatever `facts` say."""
    facts = {"scheme": SCHEMES["sky"], "working_size": SIZE, "frames": frames} | facts
    facts = ModelFacts("drawn", **facts)
    return Runtime("keras", Path("drawn.keras"), facts, infer, streams=streams)


def write_clip(
    path: Path,
    count: int = 12,
    *,
    rate=Fraction(30000, 1001),
    turned: int = 0,
    sound: str | None = None,
    hertz: int = 48_000,
    size: tuple[int, int] = SIZE,
    ticks: list[int] | None = None,
    codec: str = "libx264",
    draw=draw_frame,
    matrix: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Writes `draw`'s frames, upright size `size`, stored turned by so many degrees.

    Or stored so that `matrix` shows them upright; `aspect` is that of the stored pixels.
    `ticks` are the time stamps in thousandths of a second, for a rate that varies.
    """
    with av.open(str(path), "w") as container:
        options = {"crf": "8", "g": "6", "preset": "fast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        coded = size if turned % 180 == 0 else size[::-1]
        stream.height, stream.width, stream.pix_fmt = *coded, "yuv420p"
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turned:
            stream.set_display_rotation(turned)
        if matrix:
            a, b, c, d = (65536 * number for number in matrix)
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
            stream.height, stream.width = store(np.empty(size), matrix).shape
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if sound:
            voice = container.add_stream(sound, rate=hertz)
            voice.codec_context.layout = "mono"
        for index in range(count):
            picture = np.rot90(draw(index, size)[0], -turned // 90)
            picture = store(picture, matrix) if matrix else picture
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = ticks[index] if ticks else index
            frame.time_base = Fraction(1, 1000) if ticks else 1 / Fraction(rate)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
        if sound:
            wave = np.sin(np.arange(round(hertz * count / rate)) / 20)[None].astype(np.float32)
            chunk = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            chunk.sample_rate, chunk.pts = hertz, 0
            container.mux(voice.encode(chunk))
            container.mux(voice.encode())
    return path


def read_clip(path: Path, layout: str = "rgb24", decoder: str | None = None):
    """(frames as one array, their seconds, first raw frame) of a video file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            frames = [f for packet in container.demux(stream) for f in context.decode(packet)]
            for frame in frames:
                frame.time_base = stream.time_base
        else:
            frames = list(container.decode(stream))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    return np.stack([frame.to_ndarray(format=layout) for frame in frames]), times, frames[0]
