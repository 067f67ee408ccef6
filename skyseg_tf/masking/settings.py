"""Settings of `skyseg predict`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from skyseg_tf.console.flags import (
    BACKENDS,
    MASK_FORMATS,
    NETWORK,
    RESULT,
    SCALE,
    STREAM,
    any_model,
    choices,
    default_is,
)

VIDEO = Group("videos", sort_key=5)
SOFT_FORMATS = ("alpha8", "alpha16", "rgba-sky", "rgba-nosky", "npy")  # no threshold changes them
# Settings without a meaning for videos, as those of VideoSettings have none for photos.
OF_PHOTOS = ("refine", "batch_size", "workers", "resume", "engine", "address")


@dataclass(frozen=True)
class VideoSettings:
    """How videos are written, sound and time stamps included."""

    container: Literal["auto", "mp4", "mov", "mkv", "webm", "png", "mjpeg", "raw"] = "auto"
    """Kind of video file to write when --out is a folder; png writes one file per frame. auto: mp4
    (H.264), or mov (ProRes 4444) with transparency. Standard output takes mjpeg or raw (RGB).
    Masks, probabilities and labelIds are stored exactly, except in mjpeg."""
    opacity: float = 0.5
    """Strength of the overlay's tint, 0 to 1."""
    smooth: float = 0.2
    """Seconds over which masks are averaged where the picture stands still; 0 turns it off."""
    preset: Literal["ultrafast", "superfast", "veryfast", "fast", "medium"] = "ultrafast"
    """Speed of the H.264 encoder; slower ones give smaller files."""
    quality: int = 20
    """Quality of the video, 0 (best) to 51: the encoder's constant rate factor. Masks,
    probabilities and labelIds are stored exactly, whatever it is."""
    codec_threads: int = 1
    """Threads that decode the video, and as many more that encode it. Those of the network are not
    among them."""
    max_frames: int | None = None
    """Stop after this many frames."""


@dataclass(frozen=True)
class PredictConfig:
    """Make sky masks of photos, at their full size, and of videos.

    Example: skyseg predict photos --format colmap --out masks

    It reads JPEG, PNG, HEIC, AVIF, WebP, TIFF, JPEG 2000, GIF, BMP and PPM, and with the extra `raw`
    the raw photos of cameras, of up to 200 megapixels. If some photos cannot be read, the others
    still get their masks, and the exit status is 1.
    """

    ARGUMENTS = ("inputs",)
    URLS = ("out",)

    inputs: Annotated[tuple[str, ...], STREAM] = ()
    """Photos, folders (with all photos below them), globs such as 'photos/**/*.jpg', URLs of any of
    these such as s3://bucket/photos, or - for standard input. Or videos: files,
    or streams (rtsp://, http://), which are read until they end or Ctrl-C is pressed."""
    out: Annotated[Path | None, RESULT, STREAM, default_is("masks")] = None
    """Folder for the masks. For a single photo, table or video it may also be the file itself, or -
    for standard output (the default when standard input is read). Subfolders of a folder of photos
    are kept. The masks may lie among the photos: they are not taken for photos."""
    format: Annotated[
        str | None,
        RESULT,
        choices(MASK_FORMATS),
        default_is("mask; of several classes, color; for videos, overlay"),
    ] = None
    """What is written. mask: 255 = sky; keep-mask: 255 = not sky. For photogrammetry, with 0 = sky:
    colmap and opensfm write <photo.jpg>.png; odm and metashape write <photo>_mask.png; nerfstudio
    writes masks and names them in the folder's transforms.json. alpha8, alpha16: probability of
    sky; rgba-sky, rgba-nosky: the photo with only its sky, or without it; overlay: the photo, its
    sky tinted; color: each class in its color; labelids: 23 = sky; npy: probability of sky, float32;
    json: share of sky, horizon, confidence; csv, coco-rle: one file for all photos. Where EXIF
    turns a photo, its mask is turned too, except for colmap, metashape and nerfstudio, which read
    pixels as they are stored."""
    model: Annotated[str | None, NETWORK, any_model(), default_is("skyline, which is packaged")] = (
        None
    )
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest here")] = (
        None
    )
    """Runtime that computes the network. The fastest for a few photos is the one that loads
    soonest; for many, the one that computes fastest."""
    threshold: Annotated[float | None, NETWORK, default_is("the model's own")] = None
    """Probability, 0 to 1, from which a pixel counts as sky. With a model of several classes it
    counts only for refined edges and in videos of masks; elsewhere the most probable class wins.
    The formats alpha8, alpha16, rgba-sky, rgba-nosky and npy hold the probabilities themselves and
    take no threshold."""
    refine: Annotated[bool | None, NETWORK, default_is("yes, of photos")] = None
    """Fit the edges of the mask to the full-size photo, down to branches and wires; not for videos."""
    batch_size: Annotated[int, NETWORK] = 1
    """Photos per step of the network; more than 1 is faster only on a GPU."""
    workers: Annotated[int | None, default_is("one per core, 8 at most")] = None
    """Photos that are read, computed, refined and written at once."""
    quiet: bool = False
    """Print nothing but errors."""
    resume: Annotated[bool, RESULT] = False
    """Skip photos whose output is there already and complete, even if other settings made it."""
    engine: Annotated[Literal["threads", "ray"], SCALE] = "threads"
    """Where the work is done: in threads of this process, or on a Ray cluster whose processes keep
    the model loaded. The masks are the same."""
    address: Annotated[str | None, SCALE, default_is("Ray is started on this machine")] = None
    """HOST:PORT of the Ray cluster, or auto for the cluster that this machine belongs to."""
    camera: Annotated[int | None, Parameter(group=VIDEO)] = None
    """Take frames from this camera (0 is the first) until Ctrl-C."""
    video: Annotated[VideoSettings, Parameter(name="*", group=VIDEO)] = field(
        default_factory=VideoSettings
    )

    @property
    def refined(self) -> bool:
        """Whether edges are fitted to the photos: None tells a --refine for a video from no word."""
        return self.refine is not False
