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
    """Write a network to a file for another runtime, and compare the file with the network.

    Example: skyseg export --model runs/u2netp --format openvino --precision int8

    The file takes RGB photos of 0 to 255 and gives probabilities; normalization and softmax are part
    of it. All formats but saved_model need the extra `export`.
    """

    model: Annotated[str, NETWORK, Parameter(alias="--run")]
    """Run folder, .keras file or name of a packaged model."""
    format: Annotated[str, RESULT, choices(EXPORTS)]
    """Format of the file."""
    precision: Annotated[str, RESULT, Parameter(choices=("f32", "f16", "int8"))] = "f32"
    """Number format in which the file computes. f16 halves the file. int8, whole numbers, quarters
    it and is for small processors; the ranges of its numbers are measured on photos of the train
    split."""
    image_size: Annotated[
        tuple[int, int] | None, RESULT, default_is("any, where the format can")
    ] = None
    """Height and width that the file takes, one photo at a time: a file for one size is faster than
    one for any."""
    out: Annotated[Path | None, RESULT, default_is("named by format and precision")] = None
    """File to write (for saved_model, a folder). By default it lies in RUN/exports; for a .keras
    file in FILE.exports; for a packaged model in runs/exports/<model>."""
    records: Annotated[Path | None, DATA, default_is("the run's")] = None
    """Records with the photos on which the ranges of int8 are measured and the file is compared with
    the Keras model. Without records, it is compared on drawn scenes."""
    photos: Annotated[int, DATA] = 16
    """Number of val photos on which the file is compared with the Keras model."""
    calibration_photos: Annotated[int, DATA] = 64
    """Number of train photos on which the ranges of int8 are measured."""
