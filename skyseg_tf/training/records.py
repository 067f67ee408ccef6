"""The records to train on: those given, those of a dataset that is built first, or the demo's."""

from pathlib import Path

from skyseg_tf.data.building import build
from skyseg_tf.data.copies import local_records
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.records import MANIFEST, Manifest, read_manifest
from skyseg_tf.data.scan import find_pairs, source_root
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError
from skyseg_tf.labels import get_scheme
from skyseg_tf.training.settings import TrainConfig

# Drawn at the size of the records: shrinking would blur the photos but not the masks.
DEMO_SCENES, DEMO_SIZE = 900, (128, 256)


def find_records(config: TrainConfig) -> tuple[Path, Manifest]:
    """The records to train on: those given, or built from --source, or the demo's.

    Returns:
      Their folder and manifest.

    Raises:
      InputError: both are given, or what is given cannot be used.
    """
    if config.records and config.source:
        raise InputError("give --records or --source, not both")
    if config.records:
        records = local_records(config.records, config.data, config.quiet)
        return records, read_manifest(records, shards_are_there=config.on_bad_record == "stop")
    _check_no_dataset(config)
    scheme = config.scheme or "sky"
    name = get_scheme(scheme).name
    if config.source:
        source, size = source_root(config.source), config.image_size or (256, 512)
        find_pairs(source, None, ["train", "val"])  # refuses an empty one before the work
    else:
        source, size = config.data / "demo_scenes", config.image_size or DEMO_SIZE
        write_scenes(source, DEMO_SCENES, size=DEMO_SIZE, seed=0, conditions="cityscapes")
    out = config.data / f"{source.resolve().name}_{name}_{size[0]}x{size[1]}"
    build_config = BuildConfig(
        out=out, source=source, scheme=scheme, image_size=size, storage="uint8", quiet=config.quiet
    )
    return out, build(build_config)


def _check_no_dataset(config: TrainConfig) -> None:
    """Refuses --data that holds what somebody wants to train on: elsewhere that flag means this."""
    if config.source or config.data == TrainConfig.data:
        return
    if config.data.suffix in (".yaml", ".yml") or config.data.is_file():
        raise InputError(
            f"--data {config.data}: that flag is a folder where the demo is put; give a dataset's "
            "folder by --source, or records by --records"
        )
    flag = "--records" if (config.data / MANIFEST).is_file() else "--source"
    try:
        if flag == "--source":
            find_pairs(config.data, None, ["train"])
    except InputError:
        return
    raise InputError(
        f"--data {config.data}: that flag is where the demo is put; give this dataset by "
        f"{flag} {config.data}"
    )
