"""The video files that can be written, and by which encoder of FFmpeg. Nothing here needs PyAV."""

from dataclasses import dataclass, field

from skyseg_tf.errors import InputError


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
H264_MASK = Encoder("libx264", "yuv420p", {"qp": "6", "x264-params": "8x8dct=0"})
BEYOND_BLACK, BEYOND_WHITE = 4, 247
_H264_GREY = Encoder("libx264", "gray", {"qp": "0"})
_FFV1 = Encoder("ffv1", "gray")
_PRORES = Encoder("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"})
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0"}
_VP9_GREY = Encoder("libvpx-vp9", "yuv420p", _VP9 | {"lossless": "1"})
# File suffix: FFmpeg's container, and the encoder for each kind of frame, see VideoFormat.
# Of the containers only some hold transparency: ProRes 4444 for cutting, VP9 for the web.
CONTAINERS: dict[str, tuple[str, dict[str, Encoder]]] = {
    ".mp4": ("mp4", {"photo": _H264, "mask": H264_MASK, "grey": _H264_GREY}),
    ".m4v": ("mp4", {"photo": _H264, "mask": H264_MASK, "grey": _H264_GREY}),
    ".mov": (
        "mov",
        {"photo": _H264, "mask": H264_MASK, "grey": _H264_GREY, "alpha": _PRORES},
    ),
    ".mkv": (
        "matroska",
        {"photo": _H264, "mask": _FFV1, "grey": _FFV1, "alpha": Encoder("ffv1", "yuva420p")},
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
STREAMS: dict[str, tuple[str, Encoder]] = {
    "mjpeg": ("mjpeg", Encoder("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "4"})),
    "raw": ("rawvideo", Encoder("rawvideo", "rgb24")),
}  # what goes to standard output


def find_encoder(suffix: str, kind: str, to_stdout: bool) -> tuple[str, Encoder]:
    """FFmpeg's container, and the encoder.

    Args:
      suffix: key of CONTAINERS; for standard output of STREAMS.
      kind: of the frames, see VideoFormat.
      to_stdout: whether it is for standard output.

    Raises:
      InputError: a suffix that is not known or cannot hold such frames.
    """
    if to_stdout:
        if suffix not in STREAMS or kind == "alpha":
            raise InputError(
                f"standard output takes {' or '.join(STREAMS)} of frames without transparency: "
                "choose another --container or --format"
            )
        return STREAMS[suffix]
    if suffix not in CONTAINERS:
        raise InputError(
            f"'{suffix}' is no video that can be written: give a folder (for PNG files) or a file "
            f"with one of {', '.join(CONTAINERS)}"
        )
    name, encoders = CONTAINERS[suffix]
    if kind not in encoders:
        able = ", ".join(key for key, (_, known) in CONTAINERS.items() if kind in known)
        raise InputError(f"{suffix} holds no transparency: give one of {able}, or a folder")
    return name, encoders[kind]
