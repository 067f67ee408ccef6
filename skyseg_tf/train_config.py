"""The settings of a training (settings.TrainConfig): what is wrong with them, and how a resumed run gets its own."""

import math
from dataclasses import fields, replace
from pathlib import Path

from skyseg_tf.data.augment import AUGMENTATIONS, Classes
from skyseg_tf.data.records import Manifest
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.imagenet import IMAGENET, check_imagenet
from skyseg_tf.labels import get_scheme
from skyseg_tf.losses import LOSSES
from skyseg_tf.models import MODELS, check_size
from skyseg_tf.precision import PRECISIONS
from skyseg_tf.recipes import OPTIMIZERS, RECIPES, Recipe
from skyseg_tf.runs import read_config
from skyseg_tf.settings import TrainConfig
from skyseg_tf.watching import TRACKERS

_AT_LEAST = {
    "epochs": 1, "batch_size": 1, "learning_rate": 0, "power": 0, "accumulate": 1,
    "patience": 0, "checkpoint_steps": 0, "devices": 1, "seeds": 1, "warmup_steps": 0,
    "weight_decay": 0, "seed": 0,
}  # fmt: skip
_FREE_ON_RESUME = ("resume", "quiet")


def check_flags(config: TrainConfig) -> None:
    """Refuses what no records could mend, before any are built.

    Args:
      config: the settings.

    Raises:
      InputError: a setting out of range, unknown, or against another one.
    """
    check_size(config.model, config.image_size or (None, None))
    for name, minimum in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and not minimum <= value < math.inf:  # nan is neither
            raise InputError(f"--{name.replace('_', '-')} is {value}: at least {minimum}, please")
    if str(config.init) == IMAGENET:
        check_imagenet(config.model)
    if not 0 <= config.ema < 1:
        raise InputError(f"--ema is {config.ema}: a decay from 0 to below 1, such as 0.999")
    for name, value, known in (
        ("optimizer", config.optimizer, (None, *OPTIMIZERS)),
        ("loss", config.loss, (None, *LOSSES)),
        ("augment", config.augment, (None, *AUGMENTATIONS)),
        ("precision", config.precision, ("auto", *PRECISIONS)),
        ("extra classes", config.extra_classes, ("all", "known")),
        ("track", config.track, (None, *TRACKERS)),
    ):
        if value not in known:
            raise InputError(not_among(name, value, filter(None, known)))
    if config.loss and config.class_weights:
        raise InputError("--class-weights weights the cross-entropy; leave --loss out")


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
    if config.open_crowns and None in (classes.sky, classes.crowns):
        raise InputError(
            f"{records}: --open-crowns needs classes of the sky and of vegetation, "
            f"the records' scheme is {scheme}; build them with "
            "--scheme cityscapes19, or leave it out"
        )
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
            f"{records}: {manifest.frames} frame(s) a record; {config.model} takes {wanted}"
        )


def augment_of(config: TrainConfig) -> str:
    """Key of AUGMENTATIONS: the one given, or that for these photos (records not yet filled in)."""
    return config.augment or ("light" if config.records or config.source else "flip")


def recipe_of(config: TrainConfig) -> Recipe:
    """The network's own settings, with those that the flags give."""
    names = ("optimizer", "learning_rate", "power", "warmup_steps", "weight_decay")
    given = {name: getattr(config, name) for name in names}
    if config.loss:
        given["loss"] = (config.loss, config.loss)
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(RECIPES[config.model], **changes)


def resumed(given: TrainConfig, start: TrainConfig) -> TrainConfig:
    """The settings of the run that `given.resume` names.

    Args:
      given: settings beside --resume.
      start: what `given` was made from: a field that differs was set by the user.

    Returns:
      The run's own settings.

    Raises:
      InputError: no run there, or a setting was given that differs from the run's.
    """
    stored = replace(read_config(given.resume, TrainConfig), run=Path(given.resume))
    names = [f.name for f in fields(given) if f.name not in _FREE_ON_RESUME]
    changed = [
        f"--{name.replace('_', '-')}"
        for name in names
        if getattr(given, name) not in (getattr(start, name), getattr(stored, name))
    ]
    if changed:
        raise InputError(
            f"{given.resume}: goes on as it began, without {', '.join(changed)}; "
            f"for other settings start another run, with --init {given.resume}"
        )
    return replace(stored, resume=given.resume, quiet=given.quiet)
