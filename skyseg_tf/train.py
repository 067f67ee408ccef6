"""skyseg train: from records to a run folder and its IoU plots.

Without arguments it draws a demo dataset, builds its records and trains on them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from skyseg_tf.quiet import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from skyseg_tf import plots
from skyseg_tf.build import BuildConfig, build
from skyseg_tf.cli import run_command
from skyseg_tf.data.augment import augment
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import Manifest, read_manifest
from skyseg_tf.data.rgb_stats import denormalize
from skyseg_tf.data.scenes import write_scenes
from skyseg_tf.errors import InputError
from skyseg_tf.scores import Scores, predict_masks, score
from skyseg_tf.labels import SCHEMES, LabelScheme, get_scheme
from skyseg_tf.losses import LOSSES, ONE_LOGIT_ONLY, class_weights, weighted_cross_entropy
from skyseg_tf.models import MODELS, build_model, check_size
from skyseg_tf.recipes import OPTIMIZERS, RECIPES, Recipe, compile_model
from skyseg_tf.runs import (
    environment,
    load_checkpoint,
    load_initial_weights,
    save_checkpoint,
    save_model,
    write_history,
    write_json,
)
from skyseg_tf.trained_model import TrainedModel

DEMO_SCENES, DEMO_SIZE = 240, (256, 512)  # drawn at twice the size of the demo records


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
    model: str = "unet_efficientnet_b2"
    """Network: a key of models.MODELS; the default learns most per minute on a CPU."""
    init: Path | None = None
    """Run of the same network to start from, or a file of import_weights; its head is left out where the classes differ."""
    precision: str = "float32"
    """float32, mixed_bfloat16 or mixed_float16."""
    # --- training
    epochs: int = 8
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
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, such as 0.999; what is validated and
    saved is then the average. 0: none."""
    augment: bool = True
    """Flip, scale, crop, turn and change the light of the training photos."""
    seed: int = 0
    """Of weights, order and augmentation."""
    # --- result
    run: Path | None = None
    """Run folder; default: runs/<model>_<scheme>."""
    plots: Path = Path("plots")
    """Folder of the IoU plot, beside the run's own plots."""
    quiet: bool = False
    """No progress bar."""


def train(config: TrainConfig) -> Path:
    """Trains a network.

    Args:
      config: see TrainConfig.

    Returns:
      The run folder (see runs). `config.plots` gets `<model>_iou_scores.png`.

    Raises:
      InputError: a setting or the data cannot be used; nothing has been written into the run then.
    """
    # ---------------------------------------------------------------- data
    records, manifest = find_records(config)
    scheme = get_scheme(manifest.scheme)
    _check(config, manifest, records)
    config = replace(config, records=records, run=_new_run(config, scheme))

    def train_data(epoch: int) -> tf.data.Dataset:
        return make_dataset(
            records, "train", config.batch_size, shuffle=True, seed=config.seed, epoch=epoch,
            augment=augment if config.augment else None, extra=config.extra_records,
            drop_remainder=True,
        )  # fmt: skip

    val_data = make_dataset(records, "val", config.batch_size)
    steps = int(train_data(0).cardinality())

    # ------------------------------------------------------------- network
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    # Only sequence models need to know the size; the others then take photos of any.
    clips = {"size": manifest.image_size, "frames": manifest.frames}
    options = clips if MODELS[config.model].sequence else {}
    model = TrainedModel.of(build_model(config.model, scheme.num_logits, **options))
    if config.init:
        fresh = load_initial_weights(config.init, model)
        print(f"weights of {config.init}; fresh: {', '.join(fresh) or 'none'}", flush=True)
    weights = class_weights(manifest.splits["train"].class_pixels) if config.class_weights else None
    compile_model(
        model, _recipe(config), steps=steps * config.epochs, num_classes=scheme.num_classes,
        loss=None if weights is None else weighted_cross_entropy(weights),
    )  # fmt: skip
    if config.ema:
        model.average_weights(config.ema)
    print(f"{config.model}: {model.count_params():,} parameters, classes of {scheme.name}, "
          f"{manifest.image_size[0]}x{manifest.image_size[1]}, {config.epochs} epochs of {steps} "
          f"steps, {manifest.splits['val'].count} val photos", flush=True)  # fmt: skip

    # ------------------------------------------------------------ training
    write_json(config.run / "config.json", config)
    write_json(config.run / "environment.json", environment(config.seed))
    history = []
    try:
        for row in fit(model, config, train_data, val_data):
            history.append(row)
            print(f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']:.4f} "
                  f"IoU {row['iou']:.4f}  val loss {row['val_loss']:.4f} "
                  f"IoU {row['val_iou']:.4f}  {row['seconds']:.0f} s", flush=True)  # fmt: skip
    except KeyboardInterrupt:
        print("stopped: finishing with what there is (Ctrl-C again to give up)", flush=True)

    # -------------------------------------------------------------- result
    if history:
        load_checkpoint(config.run / "checkpoints" / "best.npz", model)
    save_model(config.run / "model.keras", model, manifest.rgb_stats)
    scores = score(model, val_data, scheme, _protocol(manifest, records))
    write_json(config.run / "metrics.json", scores.as_dict())
    write_plots(config, scores, history, model, val_data, manifest)
    print(f"{scores.summary}\nlook at {config.plots / f'{config.model}_iou_scores.png'} "
          f"and {config.run / 'plots'}")  # fmt: skip
    return config.run


def fit(
    model: TrainedModel, config: TrainConfig, train_data: Callable, val_data: tf.data.Dataset
) -> Iterator[dict[str, float]]:
    """Trains epoch by epoch, leaving checkpoints, history.csv and TensorBoard logs in the run.

    Args:
      model: compiled.
      config: see TrainConfig.
      train_data: epoch, from 0 -> batches of (images, masks).
      val_data: batches of (images, masks).

    Yields:
      After each epoch: epoch (from 1), loss, iou, val_loss, val_iou, seconds.
      `checkpoints/best.npz` is of the epoch with the best val_iou. With averaged weights it and
      the val scores are those of the averages.
    """

    def for_every_output(image, mask):
        return image, dict.fromkeys(model.output, mask[..., None])

    checkpoints = config.run / "checkpoints"
    board = tf.summary.create_file_writer(str(config.run / "tensorboard"))
    history, best = [], -1.0
    for epoch in range(config.epochs):
        started = time.time()
        result = model.fit(
            train_data(epoch).map(for_every_output),
            initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0,
            callbacks=[] if config.quiet else [ProgressBar(config.epochs)],
        ).history  # fmt: skip
        trained = {key: values[0] for key, values in result.items()}
        with model.averaged():
            val = model.evaluate(val_data.map(for_every_output), verbose=0, return_dict=True)
            row = {"epoch": epoch + 1} | _row(trained, val) | {"seconds": time.time() - started}
            history.append(row)
            if row["val_iou"] > best:
                best = row["val_iou"]
                save_checkpoint(checkpoints / "best.npz", model, {"history": history})
        save_checkpoint(checkpoints / "last.npz", model, {"history": history})
        write_history(config.run / "history.csv", history)
        with board.as_default(step=epoch + 1):
            for key in ("loss", "iou"):
                tf.summary.scalar(f"{key}/train", row[key])
                tf.summary.scalar(f"{key}/val", row[f"val_{key}"])
        board.flush()
        yield row


def _new_run(config: TrainConfig, scheme: LabelScheme) -> Path:
    """The folder asked for, or the first free one of the default name."""
    default = f"runs/{config.model}_{scheme.name}"
    names = [config.run] if config.run else [default, *(f"{default}_{i}" for i in range(2, 10_000))]
    free = next((Path(name) for name in names if not (Path(name) / "config.json").exists()), None)
    if free is None:
        raise InputError(f"{config.run}: holds a run already; choose another --run or delete it")
    return free


def _protocol(manifest: Manifest, records: Path) -> str:
    height, width = manifest.image_size
    return (
        f"val split of {records.name}, {manifest.splits['val'].count} photos at {height}x{width}, "
        "single scale, void ignored, epoch of the best val IoU"
    )


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
        return Path(config.records), read_manifest(config.records)
    scheme = config.scheme or "sky"
    if config.source:
        source, size = Path(config.source), config.image_size or (256, 512)
    else:
        source, size = config.data / "demo_scenes", config.image_size or (128, 256)
        write_scenes(source, DEMO_SCENES, size=DEMO_SIZE, seed=0)
    out = config.data / f"{source.resolve().name}_{scheme}_{size[0]}x{size[1]}"
    build_config = BuildConfig(
        out=out, source=source, scheme=scheme, image_size=size, storage="uint8", quiet=config.quiet
    )
    return out, build(build_config)


def _check(config: TrainConfig, manifest: Manifest, records: Path) -> None:
    """Refuses what would fail later, before anything is written."""
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
    for name, minimum in (("epochs", 1), ("batch_size", 1), ("learning_rate", 0), ("power", 0)):
        value = getattr(config, name)
        if value is not None and value < minimum:
            raise InputError(f"--{name.replace('_', '-')} is {value}: at least {minimum}, please")
    if not 0 <= config.ema < 1:
        raise InputError(f"--ema is {config.ema}: a decay from 0 to below 1, such as 0.999")
    for name, value, known in (
        ("optimizer", config.optimizer, (None, *OPTIMIZERS)),
        ("loss", config.loss, (None, *LOSSES)),
        ("precision", config.precision, ("float32", "mixed_bfloat16", "mixed_float16")),
    ):
        if value not in known:
            raise InputError(f"no {name} '{value}': there are {', '.join(filter(None, known))}")
    if config.loss in ONE_LOGIT_ONLY and SCHEMES[manifest.scheme].num_logits > 1:
        raise InputError(f"--loss {config.loss} is for sky / not sky alone; leave it out")
    if config.loss and config.class_weights:
        raise InputError("--class-weights weights the cross-entropy; leave --loss out")


def _recipe(config: TrainConfig) -> Recipe:
    """The network's own settings, with those that the flags give."""
    names = ("optimizer", "learning_rate", "power", "warmup_steps", "weight_decay")
    given = {name: getattr(config, name) for name in names}
    if config.loss:
        given["loss"] = (config.loss, config.loss)
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(RECIPES[config.model], **changes)


def _row(trained: dict, val: dict) -> dict[str, float]:
    """Loss and IoU of history.csv from what Keras measured."""
    row = {}
    for prefix, measured in (("", trained), ("val_", val)):
        row[f"{prefix}loss"] = measured["loss"]
        row[f"{prefix}iou"] = next(v for key, v in measured.items() if key.endswith("iou"))
    return row


class ProgressBar(keras.callbacks.Callback):
    """A line per epoch: share, time left, loss, IoU."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        """Opens the bar."""
        self.bar = tqdm(
            total=self.params["steps"], desc=f"epoch {epoch + 1}/{self.epochs}", leave=False
        )

    def on_train_batch_end(self, batch, logs=None):
        """Moves it by one step."""
        iou = next(value for key, value in logs.items() if key.endswith("iou"))
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", IoU=f"{iou:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        """Closes it."""
        self.bar.close()


def write_plots(
    config: TrainConfig, scores: Scores, history: list[dict], model: keras.Model,
    val_data: tf.data.Dataset, manifest: Manifest,
) -> None:  # fmt: skip
    """IoU bars (in the run and in --plots), learning curves, confusion matrix, and predictions."""
    scheme, values, folder = scores.scheme, scores.as_dict(), config.run / "plots"
    title = f"{config.model}, {scheme.name}"
    bars = plots.plot_iou_scores(
        np.array(list(values["iou"].values())), values["mean_iou"], scheme, title, scores.protocol
    )
    plots.save_figure(bars, folder / "iou_scores.png")
    plots.save_figure(bars, config.plots / f"{config.model}_iou_scores.png")
    if history:
        plots.save_figure(
            plots.plot_learning_curves(history, title), folder / "learning_curves.png"
        )
    figure = plots.plot_confusion_matrix(scores.matrix, scheme, title)
    plots.save_figure(figure, folder / "confusion_matrix.png")
    # Photos from all over the split: its first batch may be one street.
    every = max(1, manifest.splits["val"].count // 6)
    picked = [pair for i, pair in enumerate(val_data.unbatch()) if i % every == 0][:6]
    images = np.stack([image.numpy() for image, _ in picked])
    photos = denormalize(images if images.ndim == 4 else images[:, -1], manifest.rgb_stats)
    figure = plots.plot_predictions(
        list(photos), [mask.numpy() for _, mask in picked], list(predict_masks(model, images)),
        scheme, f"{title}: photos of the val split, not trained on",
    )  # fmt: skip
    plots.save_figure(figure, folder / "predictions.png")


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.train") -> None:
    """Entry point of the command."""
    run_command(lambda config: train(config) and None, TrainConfig, argv, prog)


if __name__ == "__main__":
    main()
