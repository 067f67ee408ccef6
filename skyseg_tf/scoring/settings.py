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


@dataclass(frozen=True)
class EvaluateConfig:
    """Score what `skyseg predict` writes for the photos of --source, or a model on its records."""

    model: Annotated[str, NETWORK, any_model(), Parameter(alias="--run")]
    source: Annotated[Path | None, DATA] = None
    """Dataset tree; predictions are scored at its labels' own size, as Cityscapes does."""
    protocol: Annotated[
        str | None,
        DATA,
        Parameter(choices=("photo", "records")),
        default_is("photo with --source, else records"),
    ] = None
    """photo: exactly the masks that `skyseg predict` writes by default. records: as training scores
    itself, squashed to the records' size and not refined."""
    split: Annotated[str, DATA, Parameter(choices=("train", "val", "test"))] = "val"
    """Which photos."""
    name: Annotated[str | None, RESULT, default_is("by source, split and options")] = None
    """Folder in RUN/evaluation, FILE.evaluation or, of a boxed model, runs/evaluation/<model>."""
    image_size: Annotated[tuple[int, int] | None, NETWORK, default_is("as skyseg predict does")] = (
        None
    )
    """Height and width that a photo of --source is brought to first; by the records' protocol the
    records'."""
    multi_scale: Annotated[tuple[float, ...], NETWORK] = (1.0,)
    """Factors of that size; the probabilities of all are averaged."""
    flip: Annotated[bool, NETWORK] = False
    """Average with the mirrored photo as well."""
    window: Annotated[tuple[int, int] | None, NETWORK] = None
    """Height and width of a window that slides over the photo."""
    overlap: Annotated[float, NETWORK] = 1 / 3
    """Share of a window that neighbours have in common, at least."""
    refine: Annotated[bool, NETWORK] = True
    """Let the sky's edges follow the full-size photo, as `skyseg predict` does."""
    bootstrap: Annotated[int, RESULT] = 0
    """Resamples for 95 % confidence intervals, such as 1000."""
    worst: Annotated[int, RESULT] = 8
    """Photos on the sheet of the worst."""
    submission: Annotated[Path | None, RESULT] = None
    """Folder for the predictions as labelIds PNGs in the benchmark's naming; needs --source."""
    compare: Annotated[tuple[str, ...], RESULT] = ()
    """Other models: print their evaluations of this name beside that of --model; nothing is
    scored."""
    backend: Annotated[str | None, NETWORK, choices(BACKENDS), default_is("as skyseg predict")] = (
        None
    )
    """Runtime; by the records' protocol keras for a run."""
    records: Annotated[Path | None, DATA, default_is("the run's")] = None
    """Records to score on, or a URL of them, which are copied into --data first."""
    data: Annotated[Path, DATA] = Path("data")
    """Where copies of records of a URL are put."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """Layout of --source."""
    encoding: Annotated[str | None, DATA, choices(ENCODINGS), default_is("by their values")] = None
    """Encoding of its masks."""
    quiet: Annotated[bool, RESULT] = False
    """No progress bar."""
