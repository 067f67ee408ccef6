"""What visitors send: a photo or a short video, checked before it is decoded."""

from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from skyseg_tf.data.listing import VIDEO_SUFFIXES
from skyseg_tf.errors import InputError
from skyseg_tf.images import Photo, decode_photo, image_size
from skyseg_tf.images.decoders import IMAGE_SUFFIXES
from skyseg_tf.masking.runtime import Runtime

MAX_MEGAPIXELS = 50
MAX_FRAMES = 600  # of a video: 20 s at 30 per second
MEDIA_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv"}
PHOTO_TYPES = [suffix[1:] for suffix in IMAGE_SUFFIXES]
VIDEO_TYPES = ["mp4", "mov", "m4v", "mkv", "webm", "avi"]  # the usual ones of VIDEO_SUFFIXES


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video."""
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES


def read_upload(name: str, content: bytes) -> Photo:
    """Decodes an uploaded photo.

    Raises:
      InputError: no photo, a damaged one, or one of too many pixels.
    """
    height, width = image_size(content, name)
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise InputError(
            f"{name}: {width} x {height} pixels exceed {MAX_MEGAPIXELS} megapixels; scale it down"
        )
    return decode_photo(content, name)


def media_type(file_name: str) -> str:
    """The media type by which a browser knows a file."""
    return MEDIA_TYPES.get(PurePath(file_name).suffix, "application/octet-stream")


def mask_video(
    name: str, content: bytes, runtime: Runtime, wanted: str, threshold: float | None
) -> tuple[str, bytes, str]:
    """Masks of an uploaded video.

    Args:
      name: of the file.
      content: its bytes.
      runtime: the model.
      wanted: key of video_compose.VIDEO_FORMATS.
      threshold: probability from which a pixel is sky; None for the model's own.

    Returns:
      (file name, content) of the new video, and a report in one line.

    Raises:
      InputError: no video, PyAV is missing, or a threshold out of range.
    """
    from skyseg_tf.video.predict import VideoConfig, predict_video  # only videos need PyAV

    suffix = PurePath(name).suffix.lower()
    with TemporaryDirectory() as folder:
        source = Path(folder) / f"video{suffix}"
        source.write_bytes(content)
        config = VideoConfig(
            out=str(Path(folder) / "masks"), format=wanted, threshold=threshold, quiet=True,
            max_frames=MAX_FRAMES,
        )  # fmt: skip
        try:
            report = predict_video(config, source, runtime)
        except KeyboardInterrupt:  # how it says that there was no frame
            raise InputError(
                f"{name}: not one frame of this video can be read; export it again"
            ) from None
        except InputError as error:
            raise InputError(str(error).replace(str(source), name)) from None
        target = Path(report.out)
        facts = f"{report.frames} frames, masked at {report.fps:.1f} frames a second"
        if report.frames == MAX_FRAMES:
            facts += f"; only the first {MAX_FRAMES} frames are masked here"
        new_name = f"{PurePath(name).stem}_{wanted}{target.suffix}"
        return new_name, target.read_bytes(), facts
