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


@dataclass(frozen=True)
class VideoSettings:
    """How videos are written, sound and time stamps included."""

    container: Literal["auto", "mp4", "mov", "mkv", "webm", "png", "mjpeg", "raw"] = "auto"
    """Kind of the video file where --out is a folder; png writes one file per frame. auto: mp4
    (H.264), or mov (ProRes 4444) with transparency. Standard output takes mjpeg or raw (RGB). Masks,
    probabilities and labelIds are stored exactly, except in mjpeg."""
    opacity: float = 0.5
    """Strength of the overlay's tint, 0 to 1."""
    smooth: float = 0.2
    """Seconds over which masks are averaged where the picture does not move; 0 turns it off."""
    preset: Literal["ultrafast", "superfast", "veryfast", "fast", "medium"] = "ultrafast"
    """Speed of the H.264 encoder; slower ones give smaller files."""
    quality: int = 20
    """Constant rate factor of the encoder, 0 (best) to 51. Masks, probabilities and labelIds, which
    are stored exactly, ignore it."""
    codec_threads: int = 1
    """Threads of the decoder, and as many of the encoder; the network has its own."""
    max_frames: int | None = None
    """Stop after this many frames."""


@dataclass(frozen=True)
class PredictConfig:
    """Make masks of photos, at their full size, and of videos.

    Example: skyseg predict photos --format colmap --out masks

    It reads JPEG, PNG, HEIC, AVIF, WebP, TIFF, JPEG 2000, GIF, BMP and PPM, and raw photos of cameras
    with `skyseg_tf[raw]`, of up to 200,000,000 pixels. If some photos cannot be read, the others are
    still done, and the exit status is 1.
    """

    ARGUMENTS = ("inputs",)
    URLS = ("out",)

    inputs: Annotated[tuple[str, ...], STREAM] = ()
    """Photos, folders (all photos below them), globs such as 'photos/**/*.jpg', URLs of any of these
    such as s3://bucket/photos, or - for standard input; or videos, also network streams (rtsp://,
    http://), which are read until they end or Ctrl-C."""
    out: Annotated[Path | None, RESULT, STREAM, default_is("masks")] = None
    """Folder for the masks; of a single photo, table or video also the file itself, or - for standard
    output (the default when standard input is read). Subfolders of a given folder are kept. It may
    lie among the photos: its masks are not taken for photos."""
    format: Annotated[
        str | None, RESULT, choices(MASK_FORMATS), default_is("mask, for videos overlay")
    ] = None
    """What is written. mask: 255 = sky; keep-mask: 255 = not sky. For
    photogrammetry, 0 = sky: colmap, opensfm: <photo.jpg>.png; odm, metashape: <photo>_mask.png;
    nerfstudio: masks and mask_path for the transforms.json of the folder given. alpha8, alpha16:
    probability of sky; rgba-sky, rgba-nosky: the photo cut out; overlay: its sky tinted; color:
    Cityscapes colors; labelids: 23 = sky; npy: probability of sky, float32; json: sky share,
    horizon, confidence; csv, coco-rle: one file of all photos. Photos that EXIF turns
    give turned masks, but for colmap, metashape and nerfstudio, which read pixels as they are stored."""
    model: Annotated[str | None, NETWORK, any_model(), default_is("skyline, which is packaged")] = (
        None
    )
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest here")] = (
        None
    )
    """Runtime that computes the network. The fastest one is meant with its loading time."""
    threshold: Annotated[float | None, NETWORK, default_is("the model's own")] = None
    """Probability, 0 to 1, from which a pixel counts as sky."""
    refine: Annotated[bool, NETWORK] = True
    """Fit the edges of the mask to the full-size photo, down to branches and wires."""
    batch_size: Annotated[int, NETWORK] = 1
    """Photos per step of the network; more than 1 is faster only on a GPU."""
    workers: int = 2
    """Threads that read, refine and write while the network computes."""
    quiet: bool = False
    """Print nothing but errors."""
    resume: Annotated[bool, RESULT] = False
    """Leave out photos whose output is there and whole, by whatever settings it was made."""
    engine: Annotated[Literal["threads", "ray"], SCALE] = "threads"
    """Who works: threads of this process, or a Ray cluster, each of whose processes keeps the model
    loaded. The masks are the same."""
    address: Annotated[str | None, SCALE, default_is("Ray is started here")] = None
    """Of the Ray cluster: auto for the one that this machine is part of, or HOST:PORT."""
    camera: Annotated[int | None, Parameter(group=VIDEO)] = None
    """Take frames from this camera (0 is the first) until Ctrl-C."""
    video: Annotated[VideoSettings, Parameter(name="*", group=VIDEO)] = field(
        default_factory=VideoSettings
    )
