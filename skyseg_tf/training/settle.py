"""From a command's settings to a Job: all that can be refused is refused here, before we write."""

from dataclasses import replace
from pathlib import Path

from skyseg_tf.data.copies import local_records
from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import check_folder
from skyseg_tf.labels import LabelScheme
from skyseg_tf.models.imagenet import IMAGENET, check_imagenet_packages
from skyseg_tf.runs.folder import read_settings
from skyseg_tf.runs.packaged import packaged_run
from skyseg_tf.training import bad_records
from skyseg_tf.training.batches import make_batches
from skyseg_tf.training.job import Job
from skyseg_tf.training.packages import check_packages
from skyseg_tf.training.records import find_records
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settings_check import augment_of, check_flags, check_settings

DEFAULT_MODEL = "skyline"
TAKEN = (
    "{0}: holds a run already; choose another --run, go on with it by --resume {0}, or delete it"
)


def settle(config: TrainConfig) -> Job:
    """Finds or builds the records, refuses what cannot work, and chooses the run's folder.

    Args:
      config: as given; of a run that is resumed, its own settings.

    Raises:
      InputError: a setting or the data cannot be used.
    """
    config = with_network(config)
    check_flags(config)  # first, for building records may take long
    check_packages(config)
    if str(config.init) == IMAGENET and not config.resume:
        check_imagenet_packages(config.model)
    records, manifest = find_records(config)
    extra = tuple(local_records(one, config.data, config.quiet) for one in config.extra_records)
    config = replace(config, extra_records=extra)
    check_settings(config, manifest, records)
    run = config.resume or (config.run if config.process_id else _new_run(config, manifest.scheme))
    augment = augment_of(config)
    config = replace(config, records=records, source=None, augment=augment, run=run)
    for folder in (run, config.plots):
        check_folder(folder)
    # Opening an epoch refuses damaged shards, and what cannot be mixed or fills no batch.
    skipped = bad_records.skipped_records(config)
    make_batches(config, manifest.scheme, skipped).train(0, 0)
    return Job(config, bad_records.without(manifest, records, skipped), skipped)


def with_network(config: TrainConfig) -> TrainConfig:
    """The settings with a network: without --model that of --init, where a run says so."""
    if config.model:
        return config
    run = config.init and (packaged_run(config.init) or config.init)
    told = read_settings(run, TrainConfig) if run and run.is_dir() else {}
    options = config.model_options or told.get("model_options") or ()
    return replace(config, model=told.get("model") or DEFAULT_MODEL, model_options=options)


def _new_run(config: TrainConfig, scheme: LabelScheme) -> Path:
    """The folder asked for, or the first free one of the default name."""
    default = f"runs/{config.model}_{scheme.name}"
    names = [config.run] if config.run else [default, *(f"{default}_{i}" for i in range(2, 10_000))]
    free = next((Path(name) for name in names if not (Path(name) / "config.json").exists()), None)
    if free is None:
        raise InputError(TAKEN.format(config.run))
    return free
