"""The way from a photo to classes: everything that answers for a photo goes it.

    photo -> infer: the network's answer, over one or several views of the photo
          -> enlarge: the sky's edges along the photo's own, probabilities at its own size
          -> LabelScheme.class_ids: the scheme's rule and the model's threshold
          -> Prediction

`predict`, `evaluate`, `replace`, `serve` and the dashboard walk it whole, so that what is scored is
what is written. Two take its ends alone, for speed: training scores batches of the records, which
have one size already (scoring.scores), and videos enlarge in bytes (video.compose).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.images import UNTURNED, shrink_photo, turn
from skyseg_tf.images.metadata import NO_METADATA, PhotoMetadata
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.refine import refine, refined_sky
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.masking.views import Views, predict_probs, resize_probs

_ROWS = 256  # of a photo that are enlarged at once: all classes of a large one would fill memory


@dataclass(frozen=True)
class Prediction:
    """What a model says of one photo.

    Attributes:
      image: (H, W, 3) uint8, the photo as it was read: upright.
      ids: (H, W) uint8 class ids.
      sky: (H, W) float32 in 0-1, how much of each pixel is sky; None if the model knows no sky, or
        if `enlarge` was not to keep it.
      scheme: of the class ids.
      model: the model's name.
      metadata: what the photo's file says beside the pixels.
    """

    image: np.ndarray
    ids: np.ndarray
    sky: np.ndarray | None
    scheme: LabelScheme
    model: str
    metadata: PhotoMetadata = NO_METADATA

    def as_stored(self) -> "Prediction":
        """The same prediction in the pixels as the photo's file stores them: not turned by EXIF."""
        back = UNTURNED[self.metadata.orientation]
        sky = None if self.sky is None else turn(self.sky, back)
        return replace(self, image=turn(self.image, back), ids=turn(self.ids, back), sky=sky)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the scheme's classes, by id."""
        return self.scheme.class_names

    @cached_property
    def is_sky(self) -> np.ndarray:
        """(H, W) bool: where the sky is; nowhere if the model knows no sky."""
        if self.scheme.sky is None:
            return np.zeros(self.ids.shape, bool)
        return self.ids == self.scheme.sky

    @property
    def sky_share(self) -> float:
        """Share of the photo's pixels that are sky, 0-1."""
        return np.count_nonzero(self.is_sky) / self.is_sky.size


def infer(runtime: Runtime, images: Sequence[np.ndarray], views: Views | None = None) -> np.ndarray:
    """Probabilities of photos as the network sees them.

    Args:
      runtime: a model.
      images: (H, W, 3) uint8 photos of any sizes with the same `runtime.size_for`; for a model
        that takes clips (T, H, W, 3), or photos, of which each is then all frames of its clip.
      views: how they are shown; default: once, at `runtime.size_for` of their size.

    Returns:
      (B, h, w, C) float32, at the size that the network is shown. Several views are averaged at the
      largest one's size, or at the photo's where that is smaller: no detail of any is lost.
    """
    size = runtime.size_for(*images[0].shape[-3:-1])
    if views is None:
        small = (_resized(image, size) for image in images)
        return runtime(np.stack([_as_clip(image, runtime.frames) for image in small]))
    views, answers = views.at(size), []
    for image in images:
        shown, mean_size = _as_clip(image, runtime.frames), views.mean_size(image.shape[-3:-1])
        answers.append(predict_probs(runtime.infer, shown, views, mean_size))
    return np.stack(answers)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A photo, or each frame of a clip, at a size."""
    if image.ndim == 4:
        return np.stack([shrink_photo(frame, size) for frame in image])
    return shrink_photo(image, size)


def _as_clip(image: np.ndarray, frames: int) -> np.ndarray:
    """What a network of so many frames takes: of a photo all frames are the same."""
    if frames == 1 or image.ndim == 4:
        return image
    return np.broadcast_to(image, (frames, *image.shape))


def enlarge(
    runtime: Runtime,
    image: np.ndarray,
    probs: np.ndarray,
    *,
    refined: bool = True,
    threshold: float | None = None,
    metadata: PhotoMetadata = NO_METADATA,
    threads: int | None = None,
    keep_sky: bool = True,
) -> Prediction:
    """Brings one answer of `infer` to the photo's size.

    Args:
      runtime: the model that gave it.
      image: (H, W, 3) uint8, the photo.
      probs: (h, w, C) float32.
      refined: let edges of the sky follow the photo (see refine); else bilinear.
      threshold: from which probability a pixel is sky, see LabelScheme.class_ids; default: the
        model's.
      metadata: of the photo's file, for what is written.
      threads: see `refine`.
      keep_sky: without it a model of the sky alone gives no probabilities, but its classes in less
        time and a quarter of the memory.

    Returns:
      The prediction. Nothing is stretched: a photo without sky has none.
    """
    size, scheme = image.shape[:2], runtime.scheme
    threshold = runtime.threshold if threshold is None else threshold
    sky, channel = None, scheme.sky_channel
    if refined and scheme.has_threshold and not keep_sky:
        ids = refined_sky(image, probs[..., channel], threshold, threads).view(np.uint8)
        return Prediction(image, ids, None, scheme, runtime.name, metadata)
    if channel is not None:
        small = probs[..., channel]
        sky = (
            refine(image, small, threads)
            if refined
            else resize_probs(small[..., None], size)[..., 0]
        )
    if scheme.has_threshold:  # the sky's probability is all that there is
        ids = scheme.class_ids(sky[..., None], threshold)
    else:
        ids = _enlarged_ids(probs, size, scheme, threshold, sky if refined else None)
    return Prediction(image, ids, sky, scheme, runtime.name, metadata)


def check_threshold(runtime: Runtime, threshold: float | None, by_sky: bool) -> None:
    """Refuses a threshold that would decide nothing.

    Args:
      runtime: a model.
      threshold: the one asked for; None for none.
      by_sky: whether the sky's own probability decides first also of several classes, as it does
        where edges are refined.

    Raises:
      InputError: the most probable class wins.
    """
    scheme = runtime.scheme
    if threshold is None or scheme.has_threshold or (by_sky and scheme.sky is not None):
        return
    unless = ", unless edges are refined or a video shows a mask" if scheme.sky is not None else ""
    raise InputError(
        f"threshold {threshold:g}: of the classes of {runtime.name} the most probable wins{unless}; "
        "leave it out"
    )


def predict_image(
    runtime: Runtime, image: np.ndarray, views: Views | None = None, **options
) -> Prediction:
    """Predicts the classes of one photo at its full size, or of the last frame of a clip.

    Args:
      runtime: of load_runtime.
      image: (H, W, 3) uint8, or a clip (T, H, W, 3).
      views: sizes and flips at which the network sees the photo; their probabilities are averaged.
        Default: once, at the network's size.
      **options: refined=False leaves out that edges of the sky follow the photo; threshold=0.7 is
        the probability from which a pixel is sky (default: the model's); see `enlarge` for more.
    """
    photo = image if image.ndim == 3 else image[-1]
    return enlarge(runtime, photo, infer(runtime, [image], views)[0], **options)


def _enlarged_ids(
    probs: np.ndarray,
    size: tuple[int, int],
    scheme: LabelScheme,
    threshold: float,
    sky: np.ndarray | None,
) -> np.ndarray:
    """Class ids at each full-size pixel by LabelScheme.class_ids, a strip of rows at a time."""
    height, width = size
    ids = np.empty(size, np.uint8)
    # Rows at pixel centres, as cv2.resize takes them.
    y = np.clip((np.arange(height) + 0.5) * len(probs) / height - 0.5, 0, len(probs) - 1)
    above = np.minimum(y.astype(int), max(len(probs) - 2, 0))
    below = np.minimum(above + 1, len(probs) - 1)
    share = (y - above).astype(np.float32)[:, None, None]
    for start in range(0, height, _ROWS):
        rows = slice(start, min(start + _ROWS, height))
        first, last = above[rows][0], below[rows][-1]
        wide = [resize_probs(row[None], (1, width)) for row in probs[first : last + 1]]
        wide = np.concatenate(wide)
        part = wide[above[rows] - first] * (1 - share[rows])
        part += wide[below[rows] - first] * share[rows]
        ids[rows] = scheme.class_ids(part, threshold, None if sky is None else sky[rows])
    return ids
