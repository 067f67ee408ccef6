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


@dataclass(frozen=True)
class PredictConfig:
    """Make masks of photos at their own full size, and of videos.

    Photos of any kind are read (JPEG, PNG, HEIC, AVIF, WebP, TIFF, JPEG 2000, GIF, BMP, PPM, and raw
    ones with `skyseg_tf[raw]`; EXIF orientation, 16 bit, grey, alpha, CMYK) up to 200,000,000
    pixels. The exit status is 1 if some of them could not be read; the others are done all the
    same.
    """

    ARGUMENTS = ("inputs",)

    inputs: Annotated[tuple[str, ...], STREAM] = ()
    """Photos, folders (with all photos below them), globs such as 'photos/**/*.jpg', URLs of any of
    these such as s3://bucket/photos, or - for stdin; or videos, also from a network: rtsp:// and http:// (until Ctrl-C, if they do not end)."""
    out: Annotated[Path | None, RESULT, STREAM, default_is("masks")] = None
    """Folder of the masks, or the file itself of one photo, table or video; - for
    stdout (one photo or a table), which is the default for stdin. Folders below a given folder are
    kept; outputs among the photos are not taken for photos."""
    format: Annotated[
        str | None, RESULT, choices(MASK_FORMATS), default_is("mask; of videos overlay")
    ] = None
    """mask: 255 = sky; keep-mask: 255 = not sky. For
    photogrammetry, 0 = sky: colmap, opensfm: <photo.jpg>.png; odm, metashape: <photo>_mask.png;
    nerfstudio: masks and mask_path for the transforms.json of the folder given. alpha8, alpha16:
    probability of sky; rgba-sky, rgba-nosky: the photo cut out; overlay: its sky tinted; color:
    Cityscapes colors; labelids: 23 = sky; npy: probability of sky, float32; json: sky share,
    horizon, confidence; csv, coco-rle: one file of all photos. Photos that EXIF turns give turned
    masks, but for colmap, metashape and nerfstudio, which read the pixels as they are stored."""
    model: Annotated[str | None, NETWORK, any_model(), default_is("the packaged one")] = None
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("the fastest here")] = (
        None
    )
    """Runtime; the fastest is chosen with the time to load it."""
    threshold: Annotated[float | None, NETWORK, default_is("the model's own")] = None
    """Probability, 0-1, from which a pixel is sky."""
    refine: Annotated[bool, NETWORK] = True
    """Let edges follow the full-size photo, down to branches and wires."""
    batch_size: Annotated[int, NETWORK] = 1
    """Photos per step; more pays on a GPU alone."""
    workers: int = 2
    """Threads that read, refine and write while the network computes."""
    quiet: bool = False
    """Say nothing but errors."""
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
