"""Settings of `skyseg build`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from skyseg_tf.console.flags import (
    DATA,
    ENCODINGS,
    LAYOUTS,
    RESULT,
    SCALE,
    SCHEMES,
    STORAGES,
    choices,
    default_is,
    or_file,
)


@dataclass(frozen=True)
class BuildConfig:
    """Turn photos and masks into records (TFRecords), from which `skyseg train` reads.

    Example: skyseg build --source ~/cityscapes --out data/sky --image-size 256 512
    """

    URLS = ("source", "out", "rgb_stats")

    out: Annotated[Path, RESULT]
    """Folder for the records, or a URL such as s3://bucket/records; it is made if it is not there."""
    source: Annotated[Path | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """Folder or URL of the dataset: Cityscapes, its zips or its Kaggle copy, IDD-lite, CamVid,
    images/ beside masks/, and others."""
    scheme: Annotated[str, DATA, or_file(SCHEMES)] = "sky"
    """Classes to tell apart: one of these sets, or a JSON file with your own. sky has two, sky and
    not sky; of the others the number in the name says how many."""
    image_size: Annotated[tuple[int, int], DATA] = (256, 512)
    """Height and width to which photos and masks are resized."""
    storage: Annotated[str, RESULT, choices(STORAGES)] = "normalized"
    """How pixels are stored. normalized: float32, ready for the network; uint8: exact, a quarter of
    the size; png (exact) and jpeg: smaller still, but slower to read."""
    rgb_stats: Annotated[Path | None, DATA, default_is("the train split's")] = None
    """File with the mean and standard deviation of each color, to normalize by: rgb_stats.json of
    other records, for example."""
    frames: Annotated[int, DATA] = 1
    """Photos per record. With more than 1, a record is a clip from leftImg8bit_sequence that ends
    with the labeled photo."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """How the dataset's folders and files are named. The page Choices of the documentation shows
    each layout."""
    encoding: Annotated[
        str | None, DATA, choices(ENCODINGS), default_is("found by names and values")
    ] = None
    """What the values in the masks mean. The page Choices of the documentation explains each
    encoding."""
    seed: Annotated[int, RESULT] = 0
    """Number from which the order of the records is drawn: the same number, the same order."""
    shards: Annotated[int | None, RESULT, default_is("by size")] = None
    """Number of files per split."""
    workers: Annotated[int | None, RESULT, default_is("all cores")] = None
    """Number of threads, or with --engine ray of tasks, that work at the same time."""
    quiet: Annotated[bool, RESULT] = False
    """Show no progress bar."""
    engine: Annotated[Literal["threads", "ray"], SCALE] = "threads"
    """Where the work is done: in threads of this process, or on a Ray cluster, a task for each
    shard. The records are the same, byte for byte."""
    address: Annotated[str | None, SCALE, default_is("Ray is started on this machine")] = None
    """HOST:PORT of the Ray cluster, or auto for the cluster that this machine belongs to."""
