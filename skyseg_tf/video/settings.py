"""Flags of the predict command for videos, and which inputs are some; photos need no PyAV."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from skyseg_tf.data.listing import VIDEO_SUFFIXES
from skyseg_tf.images.decoders import IMAGE_SUFFIXES

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")


def is_stream(text: str) -> bool:
    """Whether an input is a video's address in a network; a photo's is not."""
    scheme, found, _ = text.partition("://")
    return (
        bool(found)
        and scheme.lower() in STREAM_SCHEMES
        and Path(urlsplit(text).path).suffix.lower() not in IMAGE_SUFFIXES
    )


def is_video(text: str) -> bool:
    """Whether an input is a video by its name, in a folder or in a network."""
    return is_stream(text) or Path(text).suffix.lower() in VIDEO_SUFFIXES


def video_name(text: str) -> str:
    """What a video is called, without folders and suffix; of a stream that has no name, its host."""
    if not is_stream(text):
        return Path(text).stem
    parts = urlsplit(text)
    return Path(parts.path).stem or parts.hostname or "stream"


def without_password(text: str) -> str:
    """An address as it may be shown."""
    if not is_stream(text):
        return text
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@dataclass(frozen=True)
class VideoSettings:
    """How videos are written, sound and time stamps included."""

    container: Literal["auto", "mp4", "mov", "mkv", "webm", "png", "mjpeg", "raw"] = "auto"
    """For a folder: the kind of file in it, or PNG files; auto is mp4 (H.264), with transparency
    mov (ProRes 4444). For standard output: mjpeg or raw RGB. Masks, probabilities and labelIds are
    stored without loss, but in mjpeg."""
    opacity: float = 0.5
    """Of the overlay's tint, 0 to 1."""
    smooth: float = 0.2
    """Seconds over which masks are averaged where the photo stands still; 0 for none."""
    preset: Literal["ultrafast", "superfast", "veryfast", "fast", "medium"] = "ultrafast"
    """Of x264: slower ones give smaller files."""
    quality: int = 20
    """Constant rate factor, 0 (best) to 51; of all but masks, probabilities and labelIds."""
    codec_threads: int = 1
    """Of the decoder and of the encoder, each; the network has threads of its own."""
    max_frames: int | None = None
    """Stops after so many."""
