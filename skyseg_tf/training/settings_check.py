"""The settings of a training (settings.TrainConfig): what is wrong with them."""

import math
from pathlib import Path

from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.data.augment.settings import Classes
from skyseg_tf.data.records import Manifest
from skyseg_tf.errors import InputError, counted, flag_of, not_among
from skyseg_tf.labels import get_scheme
from skyseg_tf.models import MODELS, check_size, parse_model_options
from skyseg_tf.models.imagenet import IMAGENET, check_imagenet
from skyseg_tf.training.losses import LOSSES
from skyseg_tf.training.optimizer import OPTIMIZERS
from skyseg_tf.training.packages import TRACKERS
from skyseg_tf.training.precision import PRECISIONS, check_precision
from skyseg_tf.training.processes import check_processes
from skyseg_tf.training.settings import ENGINES, EXTRA_CLASSES, ON_BAD_RECORD, TrainConfig

_AT_LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "accumulate": 1,
    "devices": 1,
    "seeds": 1,
    "num_processes": 1,
    "workers": 1,
    "task_cpus": 1,
    "process_id": 0,
    "task_gpus": 0,
    "learning_rate": 0,
    "power": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "patience": 0,
    "checkpoint_steps": 0,
    "seed": 0,
}


def check_flags(config: TrainConfig) -> None:
    """Refuses what no records could mend, before any are built.

    Args:
      config: the settings; the network may not be chosen yet.

    Raises:
      InputError: a setting out of range, unknown, or against another one.
    """
    if config.model:
        check_size(config.model, config.image_size or (None, None))
        parse_model_options(config.model, config.model_options)
        if str(config.init) == IMAGENET:
            check_imagenet(config.model)
    for name, minimum in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and not minimum <= value < math.inf:  # nan is neither
            raise InputError(f"{flag_of(name)} is {value}: at least {minimum}, please")
    if not 0 <= config.ema < 1:
        raise InputError(f"--ema is {config.ema}: a decay from 0 to below 1, such as 0.999")
    for name, value, known in (
        ("optimizer", config.optimizer, (None, *OPTIMIZERS)),
        ("loss", config.loss, (None, *LOSSES)),
        ("augment", config.augment, (None, *AUGMENTATIONS)),
        ("precision", config.precision, ("auto", *PRECISIONS)),
        ("extra classes", config.extra_classes, EXTRA_CLASSES),
        ("track", config.track, (None, *TRACKERS)),
        ("on bad record", config.on_bad_record, ON_BAD_RECORD),
        ("engine", config.engine, ENGINES),
    ):
        if value not in known:
            raise InputError(not_among(name, value, filter(None, known)))
    check_precision(config.precision)
    _check_processes(config)
    if config.loss and config.class_weights:
        raise InputError("--class-weights weights the cross-entropy; leave --loss out")


def _check_processes(config: TrainConfig) -> None:
    """Refuses what several processes cannot do, for want of one that decides for all."""
    if config.coordinator is None and config.engine == "here":
        if config.num_processes > 1 or config.workers > 1:
            raise InputError(
                "--num-processes needs --coordinator HOST:PORT, the address of the first process; "
                "--workers needs --engine ray"
            )
        return
    check_processes(config)
    for name, value, needed in (
        ("--find-lr", config.find_lr, False),
        ("--seeds", config.seeds > 1, False),
        ("--precision auto", config.precision == "auto", False),
        ("--on-bad-record skip", config.on_bad_record == "skip", False),
        ("--records", config.records is not None, True),
        ("--run", (config.run or config.resume) is not None, True),
    ):
        if value != needed:
            do = "need it" if needed else "leave it out"
            raise InputError(f"{name}: several processes that train together {do}")


def check_settings(config: TrainConfig, manifest: Manifest, records: Path) -> None:
    """Refuses what would fail later, before anything is written into the run.

    Args:
      config: the settings.
      manifest: of the records.
      records: their folder.

    Raises:
      InputError: settings that contradict each other, the records or the network.
    """
    check_flags(config)
    scheme = manifest.scheme
    if config.scheme and get_scheme(config.scheme) != scheme:
        raise InputError(
            f"{records}: records of scheme {scheme}, not {get_scheme(config.scheme)}; "
            f"build them with --scheme {config.scheme} or leave --scheme out"
        )
    classes = Classes.of(scheme)
    if config.open_crowns and None in (classes.sky, classes.trees):
        raise InputError(
            f"{records}: --open-crowns needs classes of the sky and of vegetation, "
            f"the records' scheme is {scheme}; build them with "
            "--scheme cityscapes19, or leave it out"
        )
    _check_shapes(config, manifest, records)


def _check_shapes(config: TrainConfig, manifest: Manifest, records: Path) -> None:
    """Refuses records whose size, splits or frames the training cannot use."""
    if config.image_size and tuple(config.image_size) != manifest.image_size:
        raise InputError(
            f"{records}: records of {manifest.image_size[0]}x{manifest.image_size[1]}, not "
            f"{config.image_size[0]}x{config.image_size[1]}; build them with that --image-size"
        )
    for split in ("train", "val"):
        if split not in manifest.splits:
            raise InputError(
                f"{records}: no split '{split}', it has {', '.join(manifest.splits)}; a training "
                "needs train and val"
            )
    check_size(config.model, manifest.image_size)
    if MODELS[config.model].sequence != (manifest.frames > 1):
        wanted = "clips: build them with --frames 4" if manifest.frames == 1 else "single photos"
        raise InputError(
            f"{records}: {counted(manifest.frames, 'frame')} a record; {config.model} takes {wanted}"
        )
    frames = parse_model_options(config.model, config.model_options).get("frames")
    if frames not in (None, manifest.frames):
        raise InputError(
            f"{records}: {counted(manifest.frames, 'frame')} a record, not {frames}; build them with --frames "
            f"{frames}, or leave that option out"
        )


def augment_of(config: TrainConfig) -> str:
    """Key of AUGMENTATIONS: the one given, or that for these photos (records not yet filled in)."""
    return config.augment or ("light" if config.records or config.source else "flip")
