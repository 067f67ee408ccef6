"""The settings of the commands that start slowly, apart from what they do.

These modules import TensorFlow (seconds) or an extra; help and shell completion need neither. All
other commands hold their settings themselves.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro


@dataclass(frozen=True)
class BuildConfig:
    """Turn a dataset into TFRecords and rgb_stats.json."""

    out: Path
    """Folder of the records; made if absent."""
    source: Path | None = None
    """Dataset tree (Cityscapes, its zips or Kaggle copy, IDD-lite, CamVid, images/ + masks/, ...);
    default: $CITYSCAPES_DATASET."""
    scheme: str = "sky"
    """Classes: sky, streets11, cityscapes19, idd7, or a JSON file of classes of your own."""
    image_size: tuple[int, int] = (256, 512)
    """Height and width of the records; photos are brought there by area mean."""
    storage: str = "normalized"
    """normalized (float32), uint8, png or jpeg."""
    rgb_stats: Path | None = None
    """Use these statistics instead of the train split's own."""
    frames: int = 1
    """Pictures per record: above 1, clips from leftImg8bit_sequence with the labeled photo last."""
    layout: str | None = None
    """Layout of the tree; default: detected."""
    encoding: str | None = None
    """How masks store classes: labelIds, trainIds, camvid11, idd7, color, binary255, binary1,
    binary255_void or binary1_void; default: found by their names and values."""
    seed: int = 0
    """Of the order of the records."""
    shards: Annotated[int | None, tyro.conf.arg(help="Files per split; default: by size.")] = None
    workers: int | None = None
    """Threads; default: all cores."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a network on records and plot its IoU."""

    # --- data
    records: Path | None = None
    """Folder of `skyseg build`; default: the demo records, drawn and built if absent."""
    extra_records: tuple[Path, ...] = ()
    """Folders whose train splits are mixed in, such as drawn scenes beside photos."""
    extra_classes: str = "all"
    """Classes that the extra records teach: all, or known: those that the train split of the
    records shows too. Pixels of others are ignored."""
    source: Path | None = None
    """Dataset tree: its records are built first, beside it in --data."""
    data: Path = Path("data")
    """Where the demo dataset and the records of --source are put."""
    scheme: str | None = None
    """Classes: sky, streets11, cityscapes19, idd7, or a JSON file of classes of your own; default:
    those of the records, else sky."""
    image_size: tuple[int, int] | None = None
    """Height and width of the records; default: those of the records, else 128 256 for the demo
    and 256 512 for --source."""
    # --- network
    model: str = "skyline"
    """Network: a key of models.MODELS; the default learns most per minute on a CPU."""
    model_options: tuple[str, ...] = ()
    """The network's own, NAME=VALUE: depth=101 for pspnet, output_stride=8 for deeplabv3_xception,
    psp=true and recurrent=conv for resnet_lstm (its frames are those of the records)."""
    init: Path | None = None
    """Run of the same network to start from, a file of import_weights, or the name of a boxed
    model; its head is left out where the classes differ. Without --model, its network is trained.
    `imagenet`: for skyline_lite0 and unet_efficientnet_b2."""
    precision: str = "float32"
    """float32, mixed_bfloat16, mixed_float16 (GPUs alone), or auto: what trains fastest here, by a
    few steps."""
    xla: bool = False
    """Compile the training step with XLA; auto decides this too. JAX always does."""
    devices: int = 1
    """GPUs of this machine that share each batch."""
    # --- training
    epochs: int = 14
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
    """cross_entropy, ce_dice, ohem, focal or lovasz."""
    class_weights: bool = False
    """Cross-entropy weighted by 1 / ln(1.02 + share of the class in the train split)."""
    ema: float = 0.998
    """Decay of an exponential moving average of the weights, such as 0.999; what is validated and
    saved is then the average. 0: none."""
    augment: str | None = None
    """How much geometry, light and weather of the training photos are changed: none, flip, light
    (for minutes of training), geometric (for several classes), default or strong, see
    data/augment.py. Default: light; for the demo, whose scenes are drawn in every light, flip."""
    open_crowns: bool = False
    """Train as sky what shines through trees: pixels labeled vegetation that lie next to the sky
    and have its color; with geometric augmentation also draw bare trees before the sky of every
    fifth photo. For labels that draw bare trees as blobs, such as CamVid's."""
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
    """Run to go on with from its last checkpoint, under its own settings. Others are not taken but
    for --epochs: with more, a finished run goes on too, and the learning rate is from there on what
    a training of so many epochs has at that step; and --records, where these have moved."""
    checkpoint_steps: int = 0
    """Also save after every so many batches, beside after every epoch."""
    track: str | None = None
    """Report to wandb or mlflow, as their own environment variables say."""
    plots: Path = Path("plots")
    """Folder of the IoU plot, beside the run's own plots."""
    quiet: bool = False
    """No progress bar."""


_NOT_HERE = tyro.conf.Suppress


@dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Search for the best settings: many trainings, of which all other settings are the same."""

    epochs: int = 10
    """Passes over the train split, of each trial."""
    run: Path | None = None
    """The search's folder, below which each trial is a run; default: runs/search. Where there is
    one already, it goes on; several processes may work on it at once."""
    seeds: Annotated[int, _NOT_HERE] = 1
    find_lr: Annotated[bool, _NOT_HERE] = False
    resume: Annotated[Path | None, _NOT_HERE] = None
    plots: Annotated[Path, _NOT_HERE] = Path("plots")
    # --- search
    space: tuple[str, ...] = ("batch_size=8,16,32", "learning_rate=1e-3,5e-3,1e-4,5e-4")
    """What is varied, NAME=A,B,C or NAME=uniform:LOW:HIGH (loguniform:, int:), such as
    model=skynet,u2netp learning_rate=loguniform:1e-4:1e-2 ema=0,0.999; also the network's own
    options: output_stride=8,16."""
    sampler: str | None = None
    """grid (every combination), random or tpe; default: grid where all values are listed, else tpe."""
    pruner: str | None = None
    """Stop trials that fall behind: median, halving or none; default: median, for a grid none."""
    trials: int = 20
    """How many, for random and tpe; a search that goes on may have more."""


_OLDER_FLAGS = {"--run": "--model"}  # taken as well, see cli.parse_flags


@dataclass(frozen=True)
class EvaluateConfig:
    """Score what `skyseg predict` writes for the photos of --source, or a model on its records."""

    older_flags: ClassVar = _OLDER_FLAGS
    model: str
    """Run folder, model file (.keras, .onnx, .xml, .tflite) or name of a boxed model."""
    source: Path | None = None
    """Dataset tree; predictions are scored at its labels' own size, as Cityscapes does."""
    protocol: Literal["photo", "records"] | None = None
    """photo: exactly the masks that `skyseg predict` writes by default. records: as training scores
    itself, squashed to the records' size and not refined. Default: photo with --source."""
    split: str = "val"
    """train, val or test."""
    name: str | None = None
    """Folder in RUN/evaluation, FILE.evaluation or, of a boxed model, runs/evaluation/<model>;
    default: by source, split and the options below."""
    # --- how the network sees a photo
    image_size: tuple[int, int] | None = None
    """Height and width that a photo of --source is brought to first; default: as `skyseg predict`
    does, near its own aspect; by the records' protocol the records'."""
    multi_scale: tuple[float, ...] = (1.0,)
    """Factors of that size; the probabilities of all are averaged."""
    flip: bool = False
    """Average with the mirrored photo as well."""
    window: tuple[int, int] | None = None
    """Height and width of a window that slides over the photo."""
    overlap: float = 1 / 3
    """Share of a window that neighbours have in common, at least."""
    refine: bool = True
    """Let the sky's edges follow the full-size photo, as `skyseg predict` does."""
    # --- results
    bootstrap: int = 0
    """Resamples for 95 % confidence intervals, such as 1000."""
    worst: int = 8
    """Photos on the sheet of the worst."""
    submission: Path | None = None
    """Folder for the predictions as labelIds PNGs in the benchmark's naming; needs --source."""
    compare: tuple[str, ...] = ()
    """Other models: print their evaluations of this name beside that of --model; nothing is
    scored."""
    # --- where things are
    backend: str | None = None
    """openvino, onnxruntime, litert or keras; default: as `skyseg predict`; by the records' protocol
    keras for a run."""
    records: Path | None = None
    """Records to score on; default: the run's own."""
    layout: str | None = None
    """Layout of --source; default: detected."""
    encoding: str | None = None
    """Encoding of its masks; default: by their values."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class ExportConfig:
    """Write a network for another runtime: uint8 RGB in, float probabilities out."""

    older_flags: ClassVar = _OLDER_FLAGS
    model: str
    """Run folder, .keras file or name of a boxed model."""
    format: str
    """onnx, saved_model, openvino, litert or tensorrt-onnx."""
    precision: str = "f32"
    """f32, f16 or int8; int8 takes its ranges from photos of the train split."""
    image_size: tuple[int, int] | None = None
    """Fix height and width, and the batch to 1: faster; default: any where the format can."""
    out: Path | None = None
    """File (folder for saved_model); default: a name by format and precision in RUN/exports,
    FILE.exports or, of a boxed model, runs/exports/<model>."""
    records: Path | None = None
    """Records for the ranges of int8 and for the comparison; default: those of the run. Where
    there are none, drawn scenes serve for the comparison."""
    photos: int = 16
    """Of the val split, on which the export is compared with the Keras model."""
    calibration_photos: int = 64
    """Of the train split, for int8."""


@dataclass(frozen=True)
class ServeConfig:
    """Serve masks over HTTP: POST /mask, GET /health, /metrics, /docs."""

    model: str | None = None
    """Run folder, model file or the name of one in the box; the boxed model by default."""
    backend: str | None = None
    """openvino, onnxruntime, litert or keras; the fastest that is there by default."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 opens the server to the network. It asks for no password."""
    port: int = 8000
    """0 takes a free one."""
    threads: int | None = None
    """Of the network; one per core by default."""
    max_megabytes: float = 32.0
    """Larger requests are refused."""
    max_megapixels: float = 50.0
    """Larger photos are refused, before they are decoded."""
    workers: int = 2
    """Photos in work at once: one in the network, the others being decoded or encoded."""
    queue: int = 8
    """Photos that may wait beside them; then the answer is 503 with Retry-After."""
    upload_seconds: float = 30.0
    """Time that a client may take to send its photo."""


@dataclass(frozen=True)
class ImportConfig:
    """Turn a published checkpoint into a Keras network for `skyseg train --init`."""

    file: tyro.conf.Positional[Path]
    """State dict: .safetensors, .npz, or .pth / .pt (these two need PyTorch installed). Of
    mmsegmentation's, BiSeNetV2 and PSPNet are understood."""
    model: str
    """Network: a key of models.MODELS."""
    out: Path
    """The network as .keras: normalized images in, dict of logits out."""
    num_classes: int | None = None
    """Logits of the checkpoint's head: 1 for U2-Net, 19 for Cityscapes networks; default: 1, and
    those that it has for a checkpoint of mmsegmentation."""
    model_options: tuple[str, ...] = ()
    """The network's own, NAME=VALUE, such as depth=101 for pspnet; give them to `skyseg train` too."""
    image_size: tuple[int, int] | None = None
    """Height and width, for networks whose weights depend on them: resnet_lstm."""
