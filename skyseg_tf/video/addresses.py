"""Which inputs are videos, by name or address; no PyAV is needed to say so."""

from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from skyseg_tf.data.listing import VIDEO_SUFFIXES
from skyseg_tf.errors import InputError
from skyseg_tf.images.decoders import IMAGE_SUFFIXES

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")


def is_stream(text: str) -> bool:
    """Whether an input is a video's address in a network; a photo's is not.

    Raises:
      InputError: an address that is none.
    """
    scheme, found, _ = text.partition("://")
    return (
        bool(found)
        and scheme.lower() in STREAM_SCHEMES
        and Path(_split(text).path).suffix.lower() not in IMAGE_SUFFIXES
    )


def is_video(text: str) -> bool:
    """Whether an input is a video by its name, in a folder or in a network; a folder is none."""
    path = Path(text)
    return is_stream(text) or (path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir())


def video_name(text: str) -> str:
    """What a video is called, without folders and suffix; of a stream that has no name, its host."""
    if not is_stream(text):
        return Path(text).stem
    parts = _split(text)
    return Path(parts.path).stem or parts.hostname or "stream"


def without_password(text: str) -> str:
    """An address as it may be shown."""
    if not is_stream(text):
        return text
    parts = _split(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # what it says may hold the password
        scheme, _, rest = address.partition("://")
        shown = f"{scheme}://{rest.rpartition('@')[2]}"
    raise InputError(f"{shown}: not an address; check the host, and give an IPv6 one as [::1]")
