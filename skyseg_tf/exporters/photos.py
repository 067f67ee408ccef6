"""The photos on which an export is compared with its network, and from which int8 takes its ranges."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.data.drawing.scenes import FPS, draw_scene
from skyseg_tf.data.manifest import Manifest
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.images import shrink_photo
from skyseg_tf.masking.runtime import Runtime

DRAWN_SIZE = (288, 512)


@dataclass(frozen=True)
class Photos:
    """Where the photos come from that a model is run on, and how large it sees them."""

    runtime: Runtime
    size: tuple[int, int] | None
    records: Path | None
    manifest: Manifest | None

    def __call__(self, split: str, count: int) -> list[np.ndarray]:
        """(1, H, W, 3) or (1, T, H, W, 3) uint8 each."""
        if self.records:
            found = _photos(self.records, self.manifest, split, count)
        else:
            found = _drawn_photos(self.runtime.frames, count)
        size_for = self.runtime.size_for
        return [_resize(photo, self.size or size_for(*photo.shape[-3:-1])) for photo in found]

    def count(self, split: str, most: int) -> int:
        """How many photos of a split there are, `most` at most."""
        return min(most, self.manifest.splits[split].count) if self.records else most

    def batches(self, split: str, count: int) -> Iterator[np.ndarray]:
        """The photos one by one; then, where the size is free, two at once and the first turned."""
        photos = self(split, count)
        yield from photos
        if self.size is None:
            yield np.concatenate([photos[0], photos[-1]])
            yield photos[0].swapaxes(-3, -2)


def _photos(records: Path, manifest: Manifest, split: str, count: int) -> Iterator[np.ndarray]:
    """(H, W, 3) or (T, H, W, 3) uint8, from all over the split."""
    for image, _ in make_dataset(records, split, 1, shuffle=True).take(count):
        yield denormalize(image[0].numpy(), manifest.rgb_stats)


def _drawn_photos(frames: int, count: int) -> Iterator[np.ndarray]:
    """Scenes for models that come without photos, shaped as `_photos` gives them."""
    for seed in range(count):
        clip = [draw_scene(seed, DRAWN_SIZE, frame / FPS).image for frame in range(frames)]
        yield np.stack(clip) if frames > 1 else clip[0]


def _resize(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As a batch of one, (1, H, W, 3) or (1, T, H, W, 3)."""
    frames = photo.reshape(-1, *photo.shape[-3:])
    resized = np.stack([shrink_photo(frame, size) for frame in frames])
    return resized if photo.ndim == 3 else resized[None]
