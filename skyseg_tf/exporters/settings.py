"""Settings of `skyseg export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyseg_tf.console.flags import (
    DATA,
    EXPORTS,
    NETWORK,
    RESULT,
    choices,
    default_is,
)


@dataclass(frozen=True)
class ExportConfig:
    """Write a network for another runtime: uint8 RGB in, float probabilities out.

    Example: skyseg export --model runs/u2netp --format openvino --precision int8
    """

    model: Annotated[str, NETWORK, Parameter(alias="--run")]
    """Run folder, .keras file or name of a packaged model."""
    format: Annotated[str, RESULT, choices(EXPORTS)]
    """Format of the file."""
    precision: Annotated[str, RESULT, Parameter(choices=("f32", "f16", "int8"))] = "f32"
    """Numbers in which the file computes. int8 measures its ranges on photos of the train split."""
    image_size: Annotated[
        tuple[int, int] | None, RESULT, default_is("any, where the format can")
    ] = None
    """Fix height and width, and the batch to 1, which is faster."""
    out: Annotated[Path | None, RESULT, default_is("by format and precision")] = None
    """File (for saved_model folder) to write. By default it is named after format and precision, in
    RUN/exports, in FILE.exports, or, of a packaged model, in runs/exports/<model>."""
    records: Annotated[Path | None, DATA, default_is("the run's")] = None
    """Records from which int8 takes its ranges, and on which the file is compared with the Keras
    model. Without any, it is compared on drawn scenes."""
    photos: Annotated[int, DATA] = 16
    """Number of val photos on which the file is compared with the Keras model."""
    calibration_photos: Annotated[int, DATA] = 64
    """Number of train photos from which int8 takes its ranges."""
