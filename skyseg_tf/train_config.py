"""The settings of a training: `TrainConfig`, what is wrong with one, and how a resumed run gets its own."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from skyseg_tf.data.augment import AUGMENTATIONS
from skyseg_tf.data.records import Manifest
from skyseg_tf.errors import InputError
from skyseg_tf.imagenet import IMAGENET, check_imagenet
from skyseg_tf.labels import SCHEMES
from skyseg_tf.losses import LOSSES, ONE_LOGIT_ONLY
from skyseg_tf.models import MODELS, check_size
from skyseg_tf.precision import PRECISIONS
from skyseg_tf.recipes import OPTIMIZERS, RECIPES, Recipe
from skyseg_tf.runs import read_config
from skyseg_tf.watching import TRACKERS

_AT_LEAST = {
    "epochs": 1, "batch_size": 1, "learning_rate": 0, "power": 0, "accumulate": 1,
    "patience": 0, "checkpoint_steps": 0, "devices": 1, "seeds": 1,
}  # fmt: skip
_FREE_ON_RESUME = ("resume", "quiet")


@dataclass(frozen=True)
class TrainConfig:
    """Train a network on records and plot its IoU."""

    # --- data
    records: Path | None = None
    """Folder of `skyseg build`; default: the demo records, drawn and built if absent."""
    extra_records: tuple[Path, ...] = ()
    """Folders whose train splits are mixed in, such as drawn scenes beside photos."""
    source: Path | None = None
    """Dataset tree: its records are built first, beside it in --data."""
    data: Path = Path("data")
    """Where the demo dataset and the records of --source are put."""
    scheme: str | None = None
    """Classes: sky, streets11 or cityscapes19; default: those of the records, else sky."""
    image_size: tuple[int, int] | None = None
    """Height and width of the records; default: those of the records, else 128 256 for the demo
    and 256 512 for --source."""
    # --- network
    model: str = "skyline"
    """Network: a key of models.MODELS; the default learns most per minute on a CPU."""
    init: Path | None = None
    """Run of the same network to start from, or a file of import_weights; its head is left out
    where the classes differ. `imagenet`: the encoder of keras.applications, where it is the same."""
    precision: str = "float32"
    """float32, mixed_bfloat16, mixed_float16, or auto: what trains fastest here, by a few steps."""
    xla: bool = False
    """Compile the training step with XLA; auto decides this too. JAX always does."""
    devices: int = 1
    """GPUs of this machine that share each batch."""
    # --- training
    epochs: int = 20
    """Passes over the train split."""
    batch_size: int = 8
    """Images per step."""
    optimizer: str | None = None
    """adam or sgd (momentum 0.9); this and the next five: default by network, see recipes.py."""
    learning_rate: float | None = None
    """At the start, after the warm-up."""
    power: float | None = None
    """The rate falls to 0 as (1 - step / steps) ** power; 0 keeps it."""
    warmup_steps: int | None = None
    """Steps in which the rate rises first."""
    weight_decay: float | None = None
    """L2 penalty on kernels; batch normalization and biases are spared."""
    loss: str | None = None
    """cross_entropy, bce_dice (one class), ohem, focal or lovasz."""
    class_weights: bool = False
    """Cross-entropy weighted by 1 / ln(1.02 + share of the class in the train split)."""
    ema: float = 0.998
    """Decay of an exponential moving average of the weights, such as 0.999; what is validated and
    saved is then the average. 0: none."""
    augment: bool = True
    """Change geometry, light and weather of the training photos."""
    augmentation: str = "light"
    """How much: light (for minutes of training), default or strong, see data/augment.py."""
    accumulate: int = 1
    """Batches whose gradients make one step: for a batch that memory does not hold."""
    patience: int = 0
    """Stop after so many epochs without a better val IoU; 0: never."""
    seed: int = 0
    """Of weights, order and augmentation."""
    seeds: int = 1
    """Train so many times, with seed, seed + 1, ..., and report mean and spread."""
    find_lr: bool = False
    """Only look for a learning rate: a short training at rising rates, a plot and a suggestion."""
    # --- result
    run: Path | None = None
    """Run folder; default: runs/<model>_<scheme>."""
    resume: Path | None = None
    """Run to go on with from its last checkpoint, under its own settings: give no others."""
    checkpoint_steps: int = 0
    """Also save after every so many batches, beside after every epoch."""
    track: str | None = None
    """Report to wandb or mlflow, as their own environment variables say."""
    plots: Path = Path("plots")
    """Folder of the IoU plot, beside the run's own plots."""
    quiet: bool = False
    """No progress bar."""


def check_settings(config: TrainConfig, manifest: Manifest, records: Path) -> None:
    """Refuses what would fail later, before anything is written.

    Args:
      config: the settings.
      manifest: of the records.
      records: their folder.

    Raises:
      InputError: settings that contradict each other, the records or the network.
    """
    if config.scheme and config.scheme != manifest.scheme:
        raise InputError(
            f"{records}: records of scheme '{manifest.scheme}', not '{config.scheme}'; "
            f"build them with --scheme {config.scheme} or leave --scheme out"
        )
    if tuple(SCHEMES[manifest.scheme].class_names) != tuple(manifest.class_names):
        raise InputError(f"{records}: the classes of '{manifest.scheme}' have changed; build again")
    if config.image_size and tuple(config.image_size) != manifest.image_size:
        raise InputError(
            f"{records}: records of {manifest.image_size[0]}x{manifest.image_size[1]}, not "
            f"{config.image_size[0]}x{config.image_size[1]}; build them with that --image-size"
        )
    for split in ("train", "val"):
        if split not in manifest.splits:
            raise InputError(f"{records}: no split '{split}', it has {', '.join(manifest.splits)}")
    check_size(config.model, manifest.image_size)
    if MODELS[config.model].sequence != (manifest.frames > 1):
        wanted = "clips: build them with --frames 4" if manifest.frames == 1 else "single photos"
        raise InputError(
            f"{records}: {manifest.frames} frame(s) a record; {config.model} takes {wanted}"
        )
    for name, minimum in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"--{name.replace('_', '-')} is {value}: at least {minimum}, please")
    if str(config.init) == IMAGENET:
        check_imagenet(config.model)
    if not 0 <= config.ema < 1:
        raise InputError(f"--ema is {config.ema}: a decay from 0 to below 1, such as 0.999")
    for name, value, known in (
        ("optimizer", config.optimizer, (None, *OPTIMIZERS)),
        ("loss", config.loss, (None, *LOSSES)),
        ("augmentation", config.augmentation, tuple(AUGMENTATIONS)),
        ("precision", config.precision, ("auto", *PRECISIONS)),
        ("track", config.track, (None, *TRACKERS)),
    ):
        if value not in known:
            raise InputError(f"no {name} '{value}': there are {', '.join(filter(None, known))}")
    if config.loss in ONE_LOGIT_ONLY and SCHEMES[manifest.scheme].num_logits > 1:
        raise InputError(f"--loss {config.loss} is for sky / not sky alone; leave it out")
    if config.loss and config.class_weights:
        raise InputError("--class-weights weights the cross-entropy; leave --loss out")


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
