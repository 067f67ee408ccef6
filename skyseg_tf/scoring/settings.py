"""Settings of `skyseg evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyseg_tf.console.flags import (
    BACKENDS,
    DATA,
    ENCODINGS,
    LAYOUTS,
    NETWORK,
    RESULT,
    any_model,
    choices,
    default_is,
)

PROTOCOLS = ("photo", "records")


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model where the true masks are known: on a dataset's photos, or on records.

    Example: skyseg evaluate --model runs/u2netp --source ~/cityscapes --split val
    """

    URLS = ("source", "records")

    model: Annotated[str, NETWORK, any_model(), Parameter(alias="--run")]
    source: Annotated[Path | None, DATA] = None
    """Folder of the dataset. Masks are scored at the size of its labels, as Cityscapes does."""
    protocol: Annotated[
        str | None,
        DATA,
        Parameter(choices=PROTOCOLS),
        default_is("photo with --source, else records"),
    ] = None
    """What is scored. photo: exactly the masks that `skyseg predict` writes. records: what training
    scores, with photos squeezed to the records' size and masks not refined."""
    split: Annotated[str, DATA, Parameter(choices=("train", "val", "test"))] = "val"
    """Split of the dataset to score."""
    name: Annotated[str | None, RESULT, default_is("made of data, split and options")] = None
    """Name of the folder for the results. It lies in RUN/evaluation; for a model file in
    FILE.evaluation; for a packaged model in runs/evaluation/<model>."""
    image_size: Annotated[tuple[int, int] | None, NETWORK, default_is("as skyseg predict does")] = (
        None
    )
    """Height and width at which the network sees a photo of --source; with --protocol records the
    size of the records."""
    multi_scale: Annotated[tuple[float, ...], NETWORK] = (1.0,)
    """Factors by which --image-size is multiplied, such as 0.75 1 1.25. The network sees the photo
    at each of these sizes, and the probabilities are averaged."""
    flip: Annotated[bool, NETWORK] = False
    """Average the probabilities with those of the mirrored photo."""
    window: Annotated[tuple[int, int] | None, NETWORK] = None
    """Height and width of a window that slides over the photo, so that the network sees one part
    after the other."""
    overlap: Annotated[float, NETWORK] = 1 / 3
    """Least share of a window that the next one covers too, from 0 to below 1."""
    refine: Annotated[bool, NETWORK] = True
    """Fit the edges of the mask to the full-size photo, as `skyseg predict` does."""
    bootstrap: Annotated[int, RESULT] = 0
    """Number of times that the photos are drawn anew by chance, such as 1000, for 95 % confidence
    intervals of the scores; 0 gives none."""
    worst: Annotated[int, RESULT] = 8
    """Number of photos in the picture of the worst predictions."""
    submission: Annotated[Path | None, RESULT] = None
    """Folder for predictions as the Cityscapes benchmark wants them (labelIds PNGs); needs --source."""
    compare: Annotated[tuple[str, ...], RESULT] = ()
    """Other models whose finished evaluations are printed beside that of --model; nothing is scored
    again."""
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("as skyseg predict")] = (
        None
    )
    """Runtime that computes the network. With --protocol records a run is computed by keras, unless
    another runtime is given."""
    records: Annotated[Path | None, DATA, default_is("the run's")] = None
    """Records to score on, or their URL; from a URL they are copied into --data first."""
    data: Annotated[Path, DATA] = Path("data")
    """Folder for copies of records from a URL."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """How the folders and files of --source are named. The page Choices of the documentation shows
    each layout."""
    encoding: Annotated[
        str | None, DATA, choices(ENCODINGS), default_is("found by names and values")
    ] = None
    """What the values in the masks of --source mean. The page Choices of the documentation explains
    each encoding."""
    quiet: Annotated[bool, RESULT] = False
    """Show no progress bar."""
