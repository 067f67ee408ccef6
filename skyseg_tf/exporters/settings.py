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
    """Write a network for another runtime: uint8 RGB in, float probabilities out."""

    model: Annotated[str, NETWORK, Parameter(alias="--run")]
    """Run folder, .keras file or name of a boxed model."""
    format: Annotated[str, RESULT, choices(EXPORTS)]
    """Of which runtime."""
    precision: Annotated[str, RESULT, Parameter(choices=("f32", "f16", "int8"))] = "f32"
    """int8 takes its ranges from photos of the train split."""
    image_size: Annotated[
        tuple[int, int] | None, RESULT, default_is("any, where the format can")
    ] = None
    """Fix height and width, and the batch to 1: faster; default: any where the format can."""
    out: Annotated[Path | None, RESULT, default_is("by format and precision")] = None
    """File (folder for saved_model); by itself it has a name by format and precision in RUN/exports,
    FILE.exports or, of a boxed model, runs/exports/<model>."""
    records: Annotated[Path | None, DATA, default_is("the run's")] = None
    """Records for the ranges of int8 and for the comparison. Where
    there are none, drawn scenes serve for the comparison."""
    photos: Annotated[int, DATA] = 16
    """Of the val split, on which the export is compared with the Keras model."""
    calibration_photos: Annotated[int, DATA] = 64
    """Of the train split, for int8."""
