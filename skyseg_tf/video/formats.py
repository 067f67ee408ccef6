"""What a video's frames can show: VIDEO_FORMATS. Nothing here needs PyAV."""

from dataclasses import dataclass

from skyseg_tf.errors import InputError, not_among


@dataclass(frozen=True)
class VideoFormat:
    """One thing to show.

    Attributes:
      about: what the frames show.
      kind: "photo", "mask" (0 and 255), "grey" or "alpha": what an encoder must be ready for, see
        encoders.CONTAINERS.
      needs_sky: whether it means nothing without a class 'sky'.
    """

    about: str
    kind: str
    needs_sky: bool = True


VIDEO_FORMATS: dict[str, VideoFormat] = {
    "overlay": VideoFormat(
        "the photo, its sky tinted and outlined, or many classes in their colors", "photo", False
    ),
    "mask": VideoFormat("255 = sky", "mask"),
    "keep-mask": VideoFormat("255 = not sky", "mask"),
    "alpha8": VideoFormat("probability of sky, 0-255", "grey"),
    "labelids": VideoFormat("Cityscapes labelIds: 23 = sky, 0 = unlabeled", "grey", False),
    "color": VideoFormat(
        "the classes' colors; of two classes what is not sky is black", "photo", False
    ),
    "rgba-sky": VideoFormat("the photo, all but the sky transparent", "alpha"),
    "rgba-nosky": VideoFormat("the photo, the sky transparent", "alpha"),
}


def find_format(name: str) -> VideoFormat:
    """An entry of VIDEO_FORMATS.

    Raises:
      InputError: none of that name; the message names those there are.
    """
    if name not in VIDEO_FORMATS:
        raise InputError(f"videos have {not_among('format', name, VIDEO_FORMATS)}")
    return VIDEO_FORMATS[name]
