"""What visitors send: a photo or a short video, checked before it is decoded."""

from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from skyseg_tf.data.listing import VIDEO_SUFFIXES
from skyseg_tf.errors import InputError, counted
from skyseg_tf.images import Photo, decode_photo, image_size
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.video.encoders import CONTAINERS
from skyseg_tf.video.formats import VIDEO_FORMATS

MAX_MEGAPIXELS = 50
MAX_FRAMES = 600  # of a video: 20 s at 30 per second
MEDIA_TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv",
    ".mp4": "video/mp4",
}
# The kinds that people know. All endings would be three dozen words, and no file is refused by them.
KINDS = "JPEG, PNG, HEIC, AVIF, WebP, TIFF and camera raw; videos as MP4, MOV, MKV, WebM and AVI"


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


def video_kinds(has_sky: bool) -> dict[str, str]:
    """What a video can show in a browser, in words: MP4 knows no transparency."""
    _, encoders = CONTAINERS[".mp4"]
    return {
        name: form.about
        for name, form in VIDEO_FORMATS.items()
        if form.kind in encoders and (has_sky or not form.needs_sky)
    }


def mask_video(
    name: str, content: bytes, runtime: Runtime, wanted: str, threshold: float | None
) -> tuple[str, bytes, str]:
    """Masks of an uploaded video.

    Args:
      name: of the file.
      content: its bytes.
      runtime: the model.
      wanted: a kind of `video_kinds`.
      threshold: probability from which a pixel is sky; None for the model's own.

    Returns:
      (file name, content) of the new video, and a report in one line.

    Raises:
      InputError: no video, PyAV is missing, or a threshold out of range.
    """
    suffix = PurePath(name).suffix.lower()
    with TemporaryDirectory() as folder:
        source = Path(folder) / f"video{suffix}"
        source.write_bytes(content)
        try:
            report = _predict(source, Path(folder) / "masks", runtime, wanted, threshold)
        except KeyboardInterrupt:  # how it says that there was no frame
            raise InputError(
                f"{name}: not one frame of this video can be read; export it again"
            ) from None
        except InputError as error:
            raise InputError(str(error).replace(str(source), name)) from None
        target = Path(report.out)
        facts = f"{counted(report.frames, 'frame')}, masked at {report.fps:.1f} frames a second"
        if report.frames == MAX_FRAMES:
            facts += f"; only the first {MAX_FRAMES} frames are masked here"
        return f"{PurePath(name).stem}_{wanted}{target.suffix}", target.read_bytes(), facts


def _predict(source: Path, out: Path, runtime: Runtime, wanted: str, threshold: float | None):
    from skyseg_tf.video.predict import VideoConfig, predict_video  # only videos need PyAV

    config = VideoConfig(
        out=str(out), format=wanted, threshold=threshold, quiet=True, max_frames=MAX_FRAMES
    )
    return predict_video(config, source, runtime)
