"""From a photo to what a model says of it, at the photo's own size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyseg_tf.images import UNTURNED, resize_image, turn
from skyseg_tf.images.metadata import NO_METADATA, PhotoMetadata
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.refine import refine
from skyseg_tf.masking.runtime import Runtime, class_ids
from skyseg_tf.masking.views import resize_probs

_ROWS = 256  # of a photo that are enlarged at once: all classes of a large one would fill memory


@dataclass(frozen=True)
class Prediction:
    """What a model says of one photo.

    Attributes:
      image: (H, W, 3) uint8, the photo as it was read: upright.
      ids: (H, W) uint8 class ids.
      sky: (H, W) float32 in 0-1, how much of each pixel is sky; None if the model knows no sky.
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
        """The same, as the photo's file stores its pixels: not turned by EXIF."""
        back = UNTURNED[self.metadata.orientation]
        sky = None if self.sky is None else turn(self.sky, back)
        return replace(self, image=turn(self.image, back), ids=turn(self.ids, back), sky=sky)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the scheme."""
        return self.scheme.class_names

    @property
    def is_sky(self) -> np.ndarray:
        """(H, W) bool."""
        if self.sky is None:
            return np.zeros(self.ids.shape, bool)
        return self.ids == self.scheme.sky

    @property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8 by class id; what is in no class is black, and so is "not sky"."""
        palette = self.scheme.palette
        if self.scheme.is_binary:
            palette[0] = 0
        return palette


def infer(runtime: Runtime, images: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities of photos at the network's working size.

    Args:
      runtime: a model; one that takes clips gets each photo as all of its frames.
      images: (H, W, 3) uint8 photos of any sizes with the same `runtime.size_for`.

    Returns:
      (B, h, w, C) float32.
    """
    size = runtime.size_for(*images[0].shape[:2])
    batch = np.stack([resize_image(image, size) for image in images])
    if runtime.frames > 1:
        batch = np.repeat(batch[:, None], runtime.frames, axis=1)
    return runtime(batch)


def enlarge(
    runtime: Runtime,
    image: np.ndarray,
    probs: np.ndarray,
    *,
    refined: bool = True,
    threshold: float | None = None,
    metadata: PhotoMetadata = NO_METADATA,
) -> Prediction:
    """Brings one answer of `infer` to the photo's size.

    Args:
      runtime: the model that gave it.
      image: (H, W, 3) uint8, the photo.
      probs: (h, w, C) float32.
      refined: let edges of the sky follow the photo (see refine); else bilinear.
      threshold: from which probability a pixel is sky; default: the model's. Of more than two
        classes the most probable wins, and sky against all of them by 0.5.
      metadata: of the photo's file, for what is written.

    Returns:
      The prediction. Nothing is stretched: a photo without sky has none.
    """
    size = image.shape[:2]
    sky, channel = None, runtime.sky_channel
    if channel is not None:
        small = probs[..., channel]
        sky = refine(image, small) if refined else resize_probs(small[..., None], size)[..., 0]
    if probs.shape[-1] == 1:
        ids = class_ids(sky[..., None], runtime.threshold if threshold is None else threshold)
    else:
        ids = _enlarged_ids(probs, size, channel, sky if refined else None)
    return Prediction(image, ids, sky, runtime.scheme, runtime.name, metadata)


def predict_image(runtime: Runtime, image: np.ndarray, **options) -> Prediction:
    """One photo, start to end; `options` are those of `enlarge`."""
    return enlarge(runtime, image, infer(runtime, [image])[0], **options)


def _enlarged_ids(
    probs: np.ndarray, size: tuple[int, int], channel: int | None, sky: np.ndarray | None
) -> np.ndarray:
    """Most probable class at each full-size pixel; where `sky` is given, it decides about sky."""
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
        if sky is None:
            ids[rows] = part.argmax(-1)
            continue
        part[..., channel] = -1
        ids[rows] = np.where(sky[rows] >= 0.5, channel, part.argmax(-1))
    return ids
