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
    """Turn a dataset into TFRecords and rgb_stats.json."""

    out: Annotated[Path, RESULT]
    """Folder of the records, or a URL such as s3://bucket/records; made if absent."""
    source: Annotated[Path | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """Dataset tree (Cityscapes, its zips or Kaggle copy, IDD-lite, CamVid, images/ + masks/, ...),
    or a URL of one."""
    scheme: Annotated[str, DATA, or_file(SCHEMES)] = "sky"
    """Classes; a JSON file tells of your own."""
    image_size: Annotated[tuple[int, int], DATA] = (256, 512)
    """Height and width of the records; photos are brought there by area mean."""
    storage: Annotated[str, RESULT, choices(STORAGES)] = "normalized"
    """How pixels are stored; normalized: as float32."""
    rgb_stats: Annotated[Path | None, DATA, default_is("the train split's")] = None
    """Use these statistics instead of the train split's own."""
    frames: Annotated[int, DATA] = 1
    """Pictures per record: above 1, clips from leftImg8bit_sequence with the labeled photo last."""
    layout: Annotated[str | None, DATA, choices(LAYOUTS), default_is("detected")] = None
    """Layout of the tree."""
    encoding: Annotated[
        str | None, DATA, choices(ENCODINGS), default_is("found by names and values")
    ] = None
    """How masks store classes: labelIds, trainIds, camvid11, idd7, color, binary255, binary1,
    binary255_void or binary1_void; default: found by their names and values."""
    seed: Annotated[int, RESULT] = 0
    """Of the order of the records."""
    shards: Annotated[int | None, RESULT, default_is("by size")] = None
    """Files per split."""
    workers: Annotated[int | None, RESULT, default_is("all cores")] = None
    """Threads; with ray tasks at a time."""
    quiet: Annotated[bool, RESULT] = False
    """No progress bar."""
    engine: Annotated[Literal["threads", "ray"], SCALE] = "threads"
    """Who works: threads of this process, or a Ray cluster, a task for each shard. The records are
    the same to the byte."""
    address: Annotated[str | None, SCALE, default_is("Ray is started here")] = None
    """Of the Ray cluster: auto for the one that this machine is part of, or HOST:PORT."""
