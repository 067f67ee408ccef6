"""Settings of `skyseg train` and `skyseg search`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyseg_tf.console.flags import (
    AUGMENTATIONS,
    DATA,
    LOSSES,
    MODELS,
    NETWORK,
    OPTIMIZERS,
    PRECISIONS,
    PRUNERS,
    RESULT,
    SAMPLERS,
    SCALE,
    SCHEMES,
    SEARCH,
    TRACKERS,
    TRAINING,
    choices,
    default_is,
    or_file,
)

EXTRA_CLASSES = ("all", "known")
ON_BAD_RECORD = ("stop", "skip")
ENGINES = ("here", "ray")


@dataclass(frozen=True)
class TrainingSettings:
    """What is said of a training, be it the only one or one of a search."""

    URLS = ("records", "extra_records", "source")

    records: Annotated[Path | None, DATA, default_is("those of the demo, which are made first")] = (
        None
    )
    """Folder that `skyseg build` has written, or its URL; from a URL the records are copied into
    --data first."""
    extra_records: Annotated[tuple[Path, ...], DATA] = ()
    """More folders of records to learn from as well, such as drawn scenes beside photos. Only their
    train splits are used."""
    extra_classes: Annotated[str, DATA, Parameter(choices=EXTRA_CLASSES)] = "all"
    """Which classes are learned from --extra-records. all: every class; known: only classes that
    the train split of --records shows too, while pixels of other classes are ignored."""
    on_bad_record: Annotated[str, DATA, Parameter(choices=ON_BAD_RECORD)] = "stop"
    """What to do about damaged records: stop and name the first one, or skip them all and count
    them."""
    source: Annotated[Path | None, DATA] = None
    """Folder of a dataset, instead of --records: its records are built first, below --data."""
    data: Annotated[Path, DATA] = Path("data")
    """Folder for the demo dataset, for records built from --source, and for copies of records from
    a URL."""
    scheme: Annotated[
        str | None, DATA, or_file(SCHEMES), default_is("those of the records, else sky")
    ] = None
    """Classes to tell apart: one of these sets, or a JSON file with your own. sky has two, sky and
    not sky; of the others the number in the name says how many."""
    image_size: Annotated[tuple[int, int] | None, DATA, default_is("the size of the records")] = (
        None
    )
    """Height and width of the records. Where this command builds them, it takes 128 256 for the
    demo and 256 512 for --source unless told otherwise."""
    model: Annotated[str | None, NETWORK, choices(MODELS), default_is("skyline, or --init's")] = (
        None
    )
    """Network to train. On a CPU skyline learns fastest. The page Choices of the documentation
    compares them."""
    model_options: Annotated[tuple[str, ...], NETWORK] = ()
    """Options of the network itself, as NAME=VALUE: depth=101 for pspnet, output_stride=8 for
    deeplabv3_xception, psp=true or recurrent=conv for resnet_lstm, variant=mmseg (built as in
    mmsegmentation) for bisenetv2 and pspnet. A wrong name is answered with the list of the right
    ones."""
    init: Annotated[Path | None, NETWORK] = None
    """Weights to start from: a run folder, a file of `skyseg import_weights`, the name of a
    packaged model, or `imagenet` for an encoder trained on ImageNet, where the network has one. If
    the classes differ, the last layer starts from random weights. Without --model, the network of
    these weights is trained."""
    precision: Annotated[str, NETWORK, choices(PRECISIONS, "auto")] = "float32"
    """Number format of the training. mixed_float16 needs a GPU; auto times a few steps in each
    format and takes the fastest."""
    xla: Annotated[bool, NETWORK] = False
    """Compile the training step with XLA, which makes some networks faster and others slower. JAX
    always does; --precision auto finds out whether it helps."""
    devices: Annotated[int, NETWORK] = 1
    """Number of GPUs of this machine that share each batch. Without a GPU there is one device, the
    CPU."""
    epochs: Annotated[int, TRAINING] = 14
    """Passes over the train split."""
    batch_size: Annotated[int, TRAINING] = 8
    """Photos per training step."""
    optimizer: Annotated[
        str | None, TRAINING, choices(OPTIMIZERS), default_is("the network's own")
    ] = None
    """Optimizer; sgd has a momentum of 0.9."""
    learning_rate: Annotated[float | None, TRAINING, default_is("the network's own")] = None
    """Learning rate at the end of the warm-up; from there on it falls as --power says."""
    power: Annotated[float | None, TRAINING, default_is("the network's own")] = None
    """The learning rate falls to 0 as (1 - step / steps) ** power; 0 keeps it constant."""
    warmup_steps: Annotated[int | None, TRAINING, default_is("the network's own")] = None
    """Number of steps at the start in which the learning rate rises from 0."""
    weight_decay: Annotated[float | None, TRAINING, default_is("the network's own")] = None
    """How strongly large weights are penalized (L2, on kernels alone, neither on biases nor on
    batch normalization)."""
    loss: Annotated[str | None, TRAINING, choices(LOSSES), default_is("the network's own")] = None
    """Measure of the errors that the training makes smaller. ce_dice: cross-entropy plus Dice; ohem:
    cross-entropy of the hardest pixels alone; focal: cross-entropy in which easy pixels weigh
    little; lovasz: Lovasz-softmax, close to 1 - IoU."""
    class_weights: Annotated[bool, TRAINING] = False
    """Train with a cross-entropy in which each class weighs 1 / ln(1.02 + its share of the train
    splits), in place of --loss. Rare classes are then learned sooner, but predicted too often:
    train the last epochs without it, as another run whose --init is this run."""
    ema: Annotated[float, TRAINING] = 0.998
    """Score and save a moving average of the weights, which is steadier than the weights
    themselves; the value is the share of the old average that each step keeps. 0 turns it off."""
    augment: Annotated[
        str | None, TRAINING, choices(AUGMENTATIONS), default_is("light; for the demo, flip")
    ] = None
    """How much the geometry, light and weather of the training photos are changed, from none to
    strong. light suits trainings of minutes; geometric suits several classes; tilted changes as
    much as default and turns horizons to any slope, as a flying camera sees them; flip only mirrors
    the photos and suits the demo."""
    open_crowns: Annotated[bool, TRAINING] = False
    """For datasets that label a bare tree as one filled area, as CamVid does: pixels that are
    labeled vegetation, lie next to the sky and have its color are trained as sky. With --augment
    geometric, bare trees are also drawn in front of the sky of every fifth photo."""
    accumulate: Annotated[int, TRAINING] = 1
    """Number of batches that make one training step together, for when a larger batch does not fit
    into memory."""
    patience: Annotated[int, TRAINING] = 0
    """Stop after this many epochs without a better val IoU; 0 never stops early."""
    seed: Annotated[int, TRAINING] = 0
    """Number from which the first weights, the order of the records and the augmentation are drawn:
    the same number draws the same."""
    checkpoint_steps: Annotated[int, RESULT] = 0
    """Save a checkpoint every so many batches, besides the one after each epoch; 0 saves none in
    between."""
    track: Annotated[str | None, RESULT, choices(TRACKERS)] = None
    """Report the training to Weights & Biases (wandb) or MLflow too. Where to, their own environment
    variables say."""
    quiet: Annotated[bool, RESULT] = False
    """Show no progress bar."""


@dataclass(frozen=True)
class TrainConfig(TrainingSettings):
    """Train a network on records of `skyseg build`, and plot its scores.

    Example: skyseg train --records data/sky --model u2netp --epochs 30 --run runs/u2netp

    Without flags it draws street scenes, builds records of them, and trains a small network on these
    within minutes: the demo.
    """

    seeds: Annotated[int, TRAINING] = 1
    """Train this many times, each with the next --seed, and report mean and spread."""
    find_lr: Annotated[bool, TRAINING] = False
    """Only look for a learning rate: train briefly while the rate rises, plot the loss and suggest
    a rate."""
    run: Annotated[Path | None, RESULT, default_is("runs/<model>_<scheme>")] = None
    """Folder for everything that the training makes: network, checkpoints, scores, plots."""
    resume: Annotated[Path | None, RESULT] = None
    """Run folder of a stopped training, which goes on from its last checkpoint with its own
    settings. Only these may change: --records and --extra-records, if they have moved;
    --on-bad-record; the flags of several machines; and --epochs, to train longer: from there on the
    learning rate is that of a training of so many epochs."""
    plots: Annotated[Path, RESULT] = Path("plots")
    """Folder for a copy of the IoU plot; all plots are in the run folder."""
    coordinator: Annotated[str | None, SCALE, default_is("none: this process trains alone")] = None
    """HOST:PORT of the first of several processes that share each batch; it needs
    KERAS_BACKEND=jax. All get the same flags, except for --process-id, and must find the records
    and the run at the same path."""
    num_processes: Annotated[int, SCALE] = 1
    """Number of processes that train together."""
    process_id: Annotated[int, SCALE] = 0
    """Number of this process, counted from 0; only process 0 writes the run."""
    engine: Annotated[str, SCALE, Parameter(choices=ENGINES)] = "here"
    """Where to train. ray: a Ray cluster starts --workers processes, and starts them again from the
    last checkpoint if one dies."""
    workers: Annotated[int, SCALE] = 1
    """Number of processes on the Ray cluster."""
    task_cpus: Annotated[int, SCALE] = 1
    """CPU cores of each process on the Ray cluster."""
    task_gpus: Annotated[int, SCALE] = 0
    """GPUs of each process on the Ray cluster; give the same number to --devices."""
    address: Annotated[str | None, SCALE, default_is("Ray is started on this machine")] = None
    """HOST:PORT of the Ray cluster, or auto for the cluster that this machine belongs to."""


@dataclass(frozen=True)
class SearchConfig(TrainingSettings):
    """Search for the best settings: many trainings that differ only in the settings of --space.

    Example: skyseg search --records data/sky --space batch_size=4,8 learning_rate=1e-3,3e-3

    It needs Optuna, which the extra `scale` brings.
    """

    epochs: Annotated[int, TRAINING] = 10
    """Passes over the train split in each trial."""
    run: Annotated[Path | None, RESULT, default_is("runs/search")] = None
    """Folder of the search; each trial is a run folder in it. A search that is there already is
    continued, and several processes may work on it at once."""
    space: Annotated[tuple[str, ...], SEARCH] = (
        "batch_size=8,16,32",
        "learning_rate=1e-3,5e-3,1e-4,5e-4",
    )
    """Settings to vary, as NAME=A,B,C or NAME=uniform:LOW:HIGH (also loguniform and int):
    model=skynet,u2netp learning_rate=loguniform:1e-4:1e-2. Options of the network itself may vary
    too: output_stride=8,16."""
    sampler: Annotated[
        str | None,
        SEARCH,
        choices(SAMPLERS),
        default_is("grid where all values are listed, else tpe"),
    ] = None
    """How settings are chosen. grid: every combination; random: by chance; tpe: by what the trials
    so far have shown."""
    pruner: Annotated[
        str | None, SEARCH, choices(PRUNERS), default_is("none for a grid, else median")
    ] = None
    """Which trials are stopped early. median: those below the median of the others at the same
    epoch; halving: the worse ones of each round, by successive halving."""
    trials: Annotated[int, SEARCH] = 20
    """Number of trainings for random and tpe; a larger number continues a search that has ended."""
    storage: Annotated[str | None, SEARCH, default_is("study.db in --run")] = None
    """Where the results of the trials are kept. Several machines may not share a SQLite file on a
    network disk: give journal, for a log file in --run, or the URL of a database as Optuna takes it
    (postgresql://..., mysql://...)."""
    engine: Annotated[str, SCALE, Parameter(choices=ENGINES)] = "here"
    """Where the trials run. ray: on a Ray cluster, as many at a time as it has room for."""
    task_cpus: Annotated[int, SCALE] = 1
    """CPU cores of each trial on the Ray cluster."""
    task_gpus: Annotated[int, SCALE] = 0
    """GPUs of each trial on the Ray cluster; give the same number to --devices."""
    address: Annotated[str | None, SCALE, default_is("Ray is started on this machine")] = None
    """HOST:PORT of the Ray cluster, or auto for the cluster that this machine belongs to."""
