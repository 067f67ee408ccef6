"""Flags of the predict command for videos; apart, so that photos need no PyAV."""

from dataclasses import dataclass
from typing import Literal

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".3gp", ".ogv", ".mjpeg", ".y4m",
)  # fmt: skip


@dataclass(frozen=True)
class VideoSettings:
    """How videos are written, sound and time stamps included."""

    container: Literal["auto", "mp4", "mov", "mkv", "webm", "png", "mjpeg", "raw"] = "auto"
    """For a folder: the kind of file in it, or PNG files; auto is mp4 (H.264), with transparency
    mov (ProRes 4444). For standard output: mjpeg or raw RGB."""
    opacity: float = 0.5
    """Of the overlay's tint, 0 to 1."""
    smooth: float = 0.2
    """Seconds over which masks are averaged where the photo stands still; 0 for none."""
    preset: Literal["ultrafast", "superfast", "veryfast", "fast", "medium"] = "ultrafast"
    """Of x264: slower ones give smaller files."""
    quality: int = 20
    """Constant rate factor, 0 (best) to 51."""
    codec_threads: int = 1
    """Of the decoder and of the encoder, each; the network has threads of its own."""
    max_frames: int | None = None
    """Stops after so many."""
