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


@dataclass(frozen=True)
class TrainingSettings:
    """What is said of a training, be it the only one or one of a search."""

    URLS = ("records", "extra_records", "source")

    records: Annotated[Path | None, DATA, default_is("the demo, drawn and built")] = None
    """Folder of `skyseg build`, or a URL of one, which is copied into --data first."""
    extra_records: Annotated[tuple[Path, ...], DATA] = ()
    """More record folders, whose train splits are added, such as drawn scenes to photos."""
    extra_classes: Annotated[str, DATA, Parameter(choices=("all", "known"))] = "all"
    """Which classes the extra records teach. all: every one; known: only those that also occur in the
    train split of --records, the pixels of others being ignored."""
    on_bad_record: Annotated[str, DATA, Parameter(choices=("stop", "skip"))] = "stop"
    """What to do at a damaged record: stop and name it, or skip all such records and count them."""
    source: Annotated[Path | None, DATA] = None
    """Dataset folder to build the records from first; they are put below --data."""
    data: Annotated[Path, DATA] = Path("data")
    """Folder for the demo dataset, for records built from --source, and for copies of those of a
    URL."""
    scheme: Annotated[
        str | None, DATA, or_file(SCHEMES), default_is("those of the records, else sky")
    ] = None
    """Set of classes, or a JSON file with your own."""
    image_size: Annotated[tuple[int, int] | None, DATA, default_is("that of the records")] = None
    """Height and width of the records. Where they are built first: 128 256 for the demo, 256 512 for
    --source."""
    model: Annotated[str, NETWORK, choices(MODELS)] = "skyline"
    """Network to train; the default learns most per minute on a CPU."""
    model_options: Annotated[tuple[str, ...], NETWORK] = ()
    """Options of the network itself, as NAME=VALUE: depth=101 for pspnet, output_stride=8 for
    deeplabv3_xception, psp=true or recurrent=conv for resnet_lstm, variant=mmseg (as mmsegmentation
    builds it) for bisenetv2 and pspnet. An unknown name prints those that the network has."""
    init: Annotated[Path | None, NETWORK] = None
    """Weights to start from: a run folder, a file of `skyseg import_weights`, the name of a packaged
    model, or `imagenet` for an encoder trained on ImageNet, where the network has one. Where the
    classes differ, the last layer starts anew. Without --model the network of these weights is
    trained."""
    precision: Annotated[str, NETWORK, choices(PRECISIONS, "auto")] = "float32"
    """Numbers to compute in. mixed_float16 needs a GPU; auto times a few training steps of each and
    takes the fastest."""
    xla: Annotated[bool, NETWORK] = False
    """Compile the training step with XLA. JAX always does, and --precision auto decides it too."""
    devices: Annotated[int, NETWORK] = 1
    """Number of GPUs of this machine that share each batch."""
    epochs: Annotated[int, TRAINING] = 14
    """Passes over the train split."""
    batch_size: Annotated[int, TRAINING] = 8
    """Images per step."""
    optimizer: Annotated[str | None, TRAINING, choices(OPTIMIZERS), default_is("the network's")] = (
        None
    )
    """Optimizer; sgd has a momentum of 0.9."""
    learning_rate: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """Learning rate after the warm-up, from where it falls (--power)."""
    power: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """The learning rate falls to 0 as (1 - step / steps) ** power; 0 keeps it constant."""
    warmup_steps: Annotated[int | None, TRAINING, default_is("the network's")] = None
    """Number of first steps in which the learning rate rises from 0."""
    weight_decay: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """L2 penalty on kernels, not on biases or batch normalization."""
    loss: Annotated[str | None, TRAINING, choices(LOSSES), default_is("the network's")] = None
    """Loss: cross-entropy, cross-entropy plus Dice, cross-entropy of the hardest pixels (ohem), focal,
    or Lovasz-softmax."""
    class_weights: Annotated[bool, TRAINING] = False
    """Weigh each class by 1 / ln(1.02 + its share of the train split)."""
    ema: Annotated[float, TRAINING] = 0.998
    """Decay of a moving average of the weights, such as 0.999; the average is what is validated and
    saved. 0 turns it off."""
    augment: Annotated[
        str | None, TRAINING, choices(AUGMENTATIONS), default_is("light, for the demo flip")
    ] = None
    """How much the training photos are changed, from none to strong in geometry, light and weather.
    light suits minutes of training, geometric several classes, flip (mirroring alone) the demo."""
    open_crowns: Annotated[bool, TRAINING] = False
    """For labels in which bare trees are filled areas, such as CamVid's: train pixels that are
    labeled vegetation, lie next to the sky and have its color as sky. With --augment geometric bare
    trees are also drawn before the sky of every fifth photo."""
    accumulate: Annotated[int, TRAINING] = 1
    """Number of batches whose gradients are summed to one step, where memory is too small for a
    larger batch."""
    patience: Annotated[int, TRAINING] = 0
    """Stop after this many epochs without a better val IoU; 0 never stops early."""
    seed: Annotated[int, TRAINING] = 0
    """Seed of the first weights, the order of the records and the augmentation."""
    checkpoint_steps: Annotated[int, RESULT] = 0
    """Save a checkpoint after this many batches too, not only after each epoch."""
    track: Annotated[str | None, RESULT, choices(TRACKERS)] = None
    """Report to this service too, which is set up by its own environment variables."""
    quiet: Annotated[bool, RESULT] = False
    """Show no progress bar."""


@dataclass(frozen=True)
class TrainConfig(TrainingSettings):
    """Train a network on records and plot its IoU.

    Example: skyseg train --records data/sky --model u2netp --epochs 30 --run runs/u2netp
    """

    seeds: Annotated[int, TRAINING] = 1
    """Train this many times, with seed, seed + 1, ..., and report mean and spread."""
    find_lr: Annotated[bool, TRAINING] = False
    """Only look for a learning rate: train shortly at rising rates, plot the loss, suggest a rate."""
    run: Annotated[Path | None, RESULT, default_is("runs/<model>_<scheme>")] = None
    """Folder that keeps the training: network, checkpoints, scores, plots."""
    resume: Annotated[Path | None, RESULT] = None
    """Run folder to go on with from its last checkpoint, with its own settings. Only two flags may be
    given beside it: --records, if the records have moved, and --epochs, to train longer; from there
    on the learning rate is what a training of that many epochs has."""
    plots: Annotated[Path, RESULT] = Path("plots")
    """Folder for a copy of the IoU plot; all plots are in the run folder."""
    coordinator: Annotated[str | None, SCALE, default_is("this process trains alone")] = None
    """HOST:PORT of the first of several processes that share each batch, with KERAS_BACKEND=jax; all
    are given the same flags but for --process-id, and see the records and the run under one path."""
    num_processes: Annotated[int, SCALE] = 1
    """How many there are."""
    process_id: Annotated[int, SCALE] = 0
    """Which of them this is; 0 alone writes the run."""
    engine: Annotated[str, SCALE, Parameter(choices=("here", "ray"))] = "here"
    """ray: a Ray cluster starts --workers such processes, and again from the last checkpoint where
    one dies."""
    workers: Annotated[int, SCALE] = 1
    """Processes on the cluster."""
    task_cpus: Annotated[int, SCALE] = 1
    """Processors of each."""
    task_gpus: Annotated[int, SCALE] = 0
    """GPUs of each; give --devices as many."""
    address: Annotated[str | None, SCALE, default_is("Ray is started here")] = None
    """Of the Ray cluster: auto for the one that this machine is part of, or HOST:PORT."""


@dataclass(frozen=True)
class SearchConfig(TrainingSettings):
    """Search for the best settings: many trainings that differ only in the settings of --space.

    Example: skyseg search --records data/sky --space batch_size=4,8 learning_rate=1e-3,3e-3
    """

    epochs: Annotated[int, TRAINING] = 10
    """Passes over the train split in each trial."""
    run: Annotated[Path | None, RESULT, default_is("runs/search")] = None
    """Folder of the search; each trial is a run folder in it. A search that is there goes on, and
    several processes may work on it at once."""
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
    """How settings are chosen. grid: every combination; random; tpe: by what the trials so far have
    taught."""
    pruner: Annotated[
        str | None, SEARCH, choices(PRUNERS), default_is("none for a grid, else median")
    ] = None
    """Rule by which trials that fall behind are stopped early."""
    trials: Annotated[int, SEARCH] = 20
    """Number of trainings for random and tpe; it may be raised when a search goes on."""
    storage: Annotated[str | None, SEARCH, default_is("study.db in --run")] = None
    """Where the trials are noted, for machines whose common disk keeps no SQLite file: the URL of a
    database (postgresql://..., mysql://...), as Optuna takes it, or journal for a file in --run."""
    engine: Annotated[str, SCALE, Parameter(choices=("here", "ray"))] = "here"
    """ray: trials are tasks of a Ray cluster, as many at a time as it has room for."""
    task_cpus: Annotated[int, SCALE] = 1
    """Processors of a trial there."""
    task_gpus: Annotated[int, SCALE] = 0
    """GPUs of a trial there; give --devices as many."""
    address: Annotated[str | None, SCALE, default_is("Ray is started here")] = None
    """Of the Ray cluster: auto for the one that this machine is part of, or HOST:PORT."""
