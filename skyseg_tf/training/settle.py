"""From a command's settings to a Job: all that can be refused is refused here, before we write."""

from dataclasses import replace
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.images import check_folder
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.runtime import boxed
from skyseg_tf.runs.folder import read_json
from skyseg_tf.training.batches import make_batches
from skyseg_tf.training.job import Job
from skyseg_tf.training.records import find_records
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settings_check import augment_of, check_flags, check_settings

TAKEN = "{}: holds a run already; choose another --run or delete it"


def settle(config: TrainConfig) -> Job:
    """Finds or builds the records, refuses what cannot work, and chooses the run's folder.

    Args:
      config: as given; of a run that is resumed, its own settings.

    Raises:
      InputError: a setting or the data cannot be used.
    """
    config = _following_init(config)
    check_flags(config)  # first, for building records may take long
    records, manifest = find_records(config)
    check_settings(config, manifest, records)
    run = config.resume or _new_run(config, manifest.scheme)
    augment = augment_of(config)
    config = replace(config, records=records, source=None, augment=augment, run=run)
    for folder in (run, config.plots):
        check_folder(folder)
    # Opening an epoch refuses damaged shards, and what cannot be mixed or fills no batch.
    make_batches(config, manifest.scheme).train(0, 0)
    return Job(config, manifest)


def _following_init(config: TrainConfig) -> TrainConfig:
    """Without --model, the network that --init is of, where a run or a boxed model says so."""
    if not config.init or config.resume or config.model != TrainConfig.model:
        return config
    if entry := boxed(config.init):
        options = tuple(f"{name}={value}" for name, value in entry["options"].items())
        return replace(config, model=entry["network"], model_options=options)
    told = read_json(config.init / "config.json") if config.init.is_dir() else {}
    return replace(config, model=told.get("model") or config.model)


def _new_run(config: TrainConfig, scheme: LabelScheme) -> Path:
    """The folder asked for, or the first free one of the default name."""
    default = f"runs/{config.model}_{scheme.name}"
    names = [config.run] if config.run else [default, *(f"{default}_{i}" for i in range(2, 10_000))]
    free = next((Path(name) for name in names if not (Path(name) / "config.json").exists()), None)
    if free is None:
        raise InputError(TAKEN.format(config.run))
    return free
