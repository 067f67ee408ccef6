"""What every exporter is given, and the door that all exports have: uint8 RGB."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from skyseg_tf.masking.runtime import ModelFacts


@dataclass(frozen=True)
class ExportJob:
    """One export.

    Attributes:
      model: float32 RGB 0-255 -> probabilities, as runs.model_file.make_saved_model makes it.
      facts: to be written into the file; its working_size, where there is one, is the file's.
      precision: "f32", "f16" or "int8".
      path: the file or folder to write; others may come beside it, named after it.
      photos: (1, H, W, 3) or (1, T, H, W, 3) uint8 each, for the ranges of int8.
    """

    model: keras.Model
    facts: ModelFacts
    precision: str
    path: Path
    photos: Sequence[np.ndarray] = ()


def model_from_bytes(job: ExportJob, dtype: str = "uint8") -> keras.Model:
    """The job's model with an entrance for pixels as cameras and files give them.

    Args:
      job: its facts tell the size: batch 1 at `working_size`, else everything is free.
      dtype: of the entrance.

    Returns:
      "rgb" (B, H, W, 3) of that dtype, 0-255 -> probabilities (B, H, W, C) float32.
    """
    size = job.facts.working_size
    clip = (job.facts.frames,) if job.facts.frames > 1 else ()
    pixels = keras.Input(
        (*clip, *(size or (None, None)), 3), 1 if size else None, dtype=dtype, name="rgb"
    )
    probs = job.model(keras.ops.cast(pixels, "float32"))
    return keras.Model(pixels, probs, name=job.model.name)


def signature(model: keras.Model) -> list:
    """Shape and type of the entrance for `model.export`, which would forget a fixed batch."""
    import tensorflow as tf

    (pixels,) = model.inputs
    return [tf.TensorSpec(pixels.shape, pixels.dtype, name=pixels.name)]
