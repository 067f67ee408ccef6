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

    records: Annotated[Path | None, DATA, default_is("the demo, drawn and built")] = None
    """Folder of `skyseg build`, or a URL of one, which is copied into --data first."""
    extra_records: Annotated[tuple[Path, ...], DATA] = ()
    """Folders whose train splits are mixed in, such as drawn scenes beside photos."""
    extra_classes: Annotated[str, DATA, Parameter(choices=("all", "known"))] = "all"
    """Classes that the extra records teach; known: those that the train split of the records shows
    too. Pixels of others are ignored."""
    on_bad_record: Annotated[str, DATA, Parameter(choices=("stop", "skip"))] = "stop"
    """At damaged records: stop with a line that names one, or skip them all, and count them."""
    source: Annotated[Path | None, DATA] = None
    """Dataset tree: its records are built first, beside it in --data."""
    data: Annotated[Path, DATA] = Path("data")
    """Where the demo dataset, the records of --source, and copies of those of a URL are put."""
    scheme: Annotated[
        str | None, DATA, or_file(SCHEMES), default_is("those of the records, else sky")
    ] = None
    """Classes; a JSON file tells of your own."""
    image_size: Annotated[tuple[int, int] | None, DATA, default_is("of the records")] = None
    """Height and width of the records; 128 256 of the demo and 256 512 of --source by default."""
    model: Annotated[str, NETWORK, choices(MODELS)] = "skyline"
    """The default learns most per minute on a CPU."""
    model_options: Annotated[tuple[str, ...], NETWORK] = ()
    """The network's own, NAME=VALUE, such as depth=101 for pspnet, output_stride=8 for deeplabv3_xception,
    psp=true and recurrent=conv for resnet_lstm (its frames are those of the records), variant=mmseg
    for bisenetv2 and pspnet: as mmsegmentation builds them. An unknown name is answered by all that
    the network has."""
    init: Annotated[Path | None, NETWORK] = None
    """Run of the same network to start from, a file of import_weights, or the name of a boxed
    model; its head is left out where the classes differ. Without --model, its network is trained.
    `imagenet`: an encoder trained on ImageNet, for the networks that have one."""
    precision: Annotated[str, NETWORK, choices(PRECISIONS, "auto")] = "float32"
    """mixed_float16 is for GPUs alone; auto: what trains fastest here, by a few steps."""
    xla: Annotated[bool, NETWORK] = False
    """Compile the training step with XLA; auto decides this too. JAX always does."""
    devices: Annotated[int, NETWORK] = 1
    """GPUs of this machine that share each batch."""
    epochs: Annotated[int, TRAINING] = 14
    """Passes over the train split."""
    batch_size: Annotated[int, TRAINING] = 8
    """Images per step."""
    optimizer: Annotated[str | None, TRAINING, choices(OPTIMIZERS), default_is("the network's")] = (
        None
    )
    """The momentum of sgd is 0.9."""
    learning_rate: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """At the start, after the warm-up."""
    power: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """The rate falls to 0 as (1 - step / steps) ** power; 0 keeps it."""
    warmup_steps: Annotated[int | None, TRAINING, default_is("the network's")] = None
    """Steps in which the rate rises first."""
    weight_decay: Annotated[float | None, TRAINING, default_is("the network's")] = None
    """L2 penalty on kernels; batch normalization and biases are spared."""
    loss: Annotated[str | None, TRAINING, choices(LOSSES), default_is("the network's")] = None
    """Cross-entropy by default, with Dice, of the hardest pixels (ohem), focal, or Lovasz-softmax."""
    class_weights: Annotated[bool, TRAINING] = False
    """Cross-entropy weighted by 1 / ln(1.02 + share of the class in the train split)."""
    ema: Annotated[float, TRAINING] = 0.998
    """Decay of an exponential moving average of the weights, such as 0.999; what is validated and
    saved is then the average. 0: none."""
    augment: Annotated[
        str | None, TRAINING, choices(AUGMENTATIONS), default_is("light; of the demo flip")
    ] = None
    """How much geometry, light and weather of the training photos are changed: light for minutes of
    training, geometric for several classes; flip for the demo, whose scenes are drawn in every
    light."""
    open_crowns: Annotated[bool, TRAINING] = False
    """Train as sky what shines through trees: pixels labeled vegetation that lie next to the sky
    and have its color; with geometric augmentation also draw bare trees before the sky of every
    fifth photo. For labels that draw bare trees as blobs, such as CamVid's."""
    accumulate: Annotated[int, TRAINING] = 1
    """Batches whose gradients make one step: for a batch that memory does not hold."""
    patience: Annotated[int, TRAINING] = 0
    """Stop after so many epochs without a better val IoU; 0: never."""
    seed: Annotated[int, TRAINING] = 0
    """Of weights, order and augmentation."""
    checkpoint_steps: Annotated[int, RESULT] = 0
    """Also save after every so many batches, beside after every epoch."""
    track: Annotated[str | None, RESULT, choices(TRACKERS)] = None
    """Report there, too, as its own environment variables say."""
    quiet: Annotated[bool, RESULT] = False
    """No progress bar."""


@dataclass(frozen=True)
class TrainConfig(TrainingSettings):
    """Train a network on records and plot its IoU."""

    seeds: Annotated[int, TRAINING] = 1
    """Train so many times, with seed, seed + 1, ..., and report mean and spread."""
    find_lr: Annotated[bool, TRAINING] = False
    """Only look for a learning rate: a short training at rising rates, a plot and a suggestion."""
    run: Annotated[Path | None, RESULT, default_is("runs/<model>_<scheme>")] = None
    """Run folder."""
    resume: Annotated[Path | None, RESULT] = None
    """Run to go on with from its last checkpoint, under its own settings. Others are not taken but
    for --epochs: with more, a finished run goes on too, and the learning rate is from there on what
    a training of so many epochs has at that step; and --records, where these have moved."""
    plots: Annotated[Path, RESULT] = Path("plots")
    """Folder of the IoU plot, beside the run's own plots."""
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
    """Search for the best settings: many trainings, of which all other settings are the same."""

    epochs: Annotated[int, TRAINING] = 10
    """Passes over the train split, of each trial."""
    run: Annotated[Path | None, RESULT, default_is("runs/search")] = None
    """The search's folder, below which each trial is a run. Where there is
    one already, it goes on; several processes may work on it at once."""
    space: Annotated[tuple[str, ...], SEARCH] = (
        "batch_size=8,16,32",
        "learning_rate=1e-3,5e-3,1e-4,5e-4",
    )
    """What is varied, NAME=A,B,C or NAME=uniform:LOW:HIGH (loguniform:, int:), such as
    model=skynet,u2netp learning_rate=loguniform:1e-4:1e-2 ema=0,0.999; also the network's own
    options: output_stride=8,16."""
    sampler: Annotated[
        str | None,
        SEARCH,
        choices(SAMPLERS),
        default_is("grid where all values are listed, else tpe"),
    ] = None
    """grid: every combination; tpe learns from the trials so far."""
    pruner: Annotated[
        str | None, SEARCH, choices(PRUNERS), default_is("median, of a grid none")
    ] = None
    """Stop trials that fall behind."""
    trials: Annotated[int, SEARCH] = 20
    """How many, for random and tpe; a search that goes on may have more."""
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
