"""What `skyseg train` does: from records to a run folder and its IoU plots."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from skyseg_tf.data.augment.presets import Classes, make_augment, make_mix
from skyseg_tf.data.building import build
from skyseg_tf.data.drawing.scenes import write_scenes
from skyseg_tf.data.integrity import DamagedRecords, naming_damage
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import MANIFEST, Manifest, read_manifest
from skyseg_tf.data.rgb_stats import denormalize, mean_and_std
from skyseg_tf.data.scan import find_pairs, source_root
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import InputError
from skyseg_tf.images import check_folder
from skyseg_tf.labels import LabelScheme, get_scheme
from skyseg_tf.models import MODELS, build_model, parse_model_options
from skyseg_tf.models.imagenet import IMAGENET, load_imagenet
from skyseg_tf.models.recipes import compile_model
from skyseg_tf.runs.folder import (
    RunData,
    environment,
    read_config,
    read_json,
    read_run_data,
    read_settings,
    save_model,
    training_in,
    write_json,
)
from skyseg_tf.runs.packaged import packaged_run
from skyseg_tf.scoring import plots
from skyseg_tf.scoring.scores import Scores, class_table, predict_masks, score
from skyseg_tf.training import bad_records
from skyseg_tf.training.checkpoints import load_checkpoint, load_initial_weights
from skyseg_tf.training.devices import use_devices
from skyseg_tf.training.learning_rate import RisingRate, find_rate, plot_rate_curve
from skyseg_tf.training.loop import (
    Progress,
    Schedule,
    Terminated,
    fit,
    is_over,
    load_progress,
    targets_of,
)
from skyseg_tf.training.losses import class_weights, weighted_cross_entropy
from skyseg_tf.training.precision import Arithmetic, candidates, choose_arithmetic
from skyseg_tf.training.seeds import summarize, table
from skyseg_tf.training.settings import TrainConfig
from skyseg_tf.training.settings_check import (
    augment_of,
    check_flags,
    check_settings,
    recipe_of,
    resumed,
)
from skyseg_tf.training.trained_model import TrainedModel
from skyseg_tf.training.watching import Board, LiveCurves, make_tracker

# Drawn at the size of the records: shrinking would blur the photos but not the masks.
DEMO_SCENES, DEMO_SIZE = 900, (128, 256)
_TAKEN = (
    "{0}: holds a run already; choose another --run, go on with it by --resume {0}, or delete it"
)


def train(config: TrainConfig, on_epoch: Callable[[dict[str, float]], None] | None = None) -> Path:
    """Trains a network.

    Args:
      config: see TrainConfig.
      on_epoch: gets each new row of the history (see fitting.fit) once its checkpoint is written;
        what it raises ends the training there. Not for several seeds.

    Returns:
      The run folder (see runs). `config.plots` gets `<model>_iou_scores.png`.

    Raises:
      InputError: a setting or the data cannot be used; nothing has been written into the run then.
      SystemExit: SIGTERM came; all is saved, and `resume` goes on.
    """
    config = resumed(config, TrainConfig()) if config.resume else config
    return train_settled(config, on_epoch or (lambda row: None))


def train_settled(
    config: TrainConfig, on_epoch: Callable[[dict[str, float]], None] = lambda row: None
) -> Path:
    """`train`, with settings that are complete also where a run is resumed."""
    # It would merge additions into AddN, whose order of summing changes (see models.blocks.Fork).
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    config, manifest = prepare(config)
    if config.precision == "auto":
        config = fastest_arithmetic(config, manifest)
    try:
        with _device_errors_told(config), naming_damage(config.records, *config.extra_records):
            if config.find_lr:
                return find_learning_rate(config, manifest)
            with training_in(config.run):
                if config.seeds > 1:
                    return train_seeds(config)
                with use_devices(config.devices, config.batch_size):
                    return _train_one(config, manifest, on_epoch)
    except DamagedRecords as damage:
        return train_settled(_without_damaged(config, damage), on_epoch)


def _without_damaged(config: TrainConfig, damage: DamagedRecords) -> TrainConfig:
    """The settings to go on with where records were damaged while a training ran.

    It goes on from its last checkpoint, as it would after a kill: the way from there on hangs on the
    checkpoint and on what is skipped alone, however often it is killed.
    """
    known = bad_records.skipped_records(replace(config, resume=config.run))
    if known is None or (now := bad_records.skipped_records(config, anew=True)) == known:
        raise damage
    print(f"{damage}; going on without", flush=True)
    if not (config.run / "config.json").exists():
        return config
    bad_records.keep_skipped(config, now)
    return replace(config, resume=config.run)


@contextmanager
def _device_errors_told(config: TrainConfig) -> Iterator[None]:
    """Says what to do where TensorFlow lacks memory or XLA an operation."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise InputError(
            f"memory does not hold --batch-size {config.batch_size}; give a smaller one, and "
            "--accumulate where a step shall be of as many photos"
        ) from None
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        if not config.xla:
            raise
        raise InputError(
            f"--xla: XLA cannot compile a training step of {config.model} in {config.precision} "
            "here; leave --xla out, or give --precision auto, which tries it"
        ) from None


def _train_one(
    config: TrainConfig, manifest: Manifest, on_epoch: Callable[[dict[str, float]], None]
) -> Path:
    """One training, from settings that `prepare` has completed to its run folder."""
    # ---------------------------------------------------------------- data
    run, scheme = config.run, manifest.scheme
    skipped = bad_records.skipped_records(config)
    manifest = bad_records.without(manifest, config.records, skipped)
    train_data, val_data = make_streams(config, scheme)
    steps = int(train_data(0, 0).cardinality())

    # ------------------------------------------------------------- network
    keras.utils.set_random_seed(config.seed)
    model = compiled_network(config, manifest, steps)
    network = _in_float32(model, config, manifest)
    print(f"{config.model}: {model.count_params():,} parameters, classes of {scheme.name}, "
          f"{manifest.image_size[0]}x{manifest.image_size[1]}, {config.epochs} epochs of {steps} "
          f"steps, {manifest.splits['val'].count} val photos", flush=True)  # fmt: skip
    skips = f", {count} damaged records skipped" if (count := bad_records.count(skipped)) else ""

    # ------------------------------------------------------------ training
    watchers = [Board(run / "tensorboard", scheme, *pick_photos(val_data, manifest, 4))]
    if config.track:
        watchers.append(make_tracker(config.track, run, config))
    schedule = Schedule(config.epochs, steps, config.checkpoint_steps, config.patience)
    progress = _start_or_go_on(config, model, manifest, schedule, skipped)
    watchers.append(LiveCurves(f"{config.model}, {scheme.name}", progress.history))

    def save() -> None:
        _copy_weights(model, network)
        save_model(run / "model.keras", network, manifest.rgb_stats)

    try:
        for row in fit(
            model, run, train_data, val_data, schedule, progress=progress,
            watchers=watchers, on_best=save, quiet=config.quiet,
        ):  # fmt: skip
            print(f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']:.4f} "
                  f"IoU {row['iou']:.4f}  val loss {row['val_loss']:.4f} "
                  f"IoU {row['val_iou']:.4f}  {row['seconds']:.0f} s, "
                  f"{row['waiting']:.0%} waiting for data{skips}", flush=True)  # fmt: skip
            on_epoch(row)
    except KeyboardInterrupt:
        print("stopped: finishing with what there is (Ctrl-C again to give up)", flush=True)
    except Terminated:
        print(f"terminated: saved; go on with --resume {run}", flush=True)
        raise SystemExit(143) from None  # what a shell says of a process that SIGTERM ended

    # -------------------------------------------------------------- result
    if progress.history:
        load_checkpoint(run / "checkpoints" / "best.npz", model, optimizer=False)
    save()
    scores = score(network, val_data, scheme, _protocol(manifest, config.records))
    write_plots(config, scores, progress.history, network, val_data, manifest)
    write_json(run / "metrics.json", scores.as_dict() | bad_records.told(skipped))
    print(class_table(scores.matrix, scheme))
    print(f"{scores.summary}\nlook at {config.plots / f'{config.model}_iou_scores.png'} "
          f"and {run / 'plots'}")  # fmt: skip
    return run


def prepare(config: TrainConfig) -> tuple[TrainConfig, Manifest]:
    """Finds or builds the records, refuses what cannot work, and settles the run's folder.

    Args:
      config: as given.

    Returns:
      The settings with records and run, and the records' manifest.

    Raises:
      InputError: a setting or the data cannot be used.
    """
    config = _following_init(config)
    check_flags(config)  # first, for building records may take long
    records, manifest = find_records(config)
    check_settings(config, manifest, records)
    scheme = manifest.scheme
    run = config.resume or _new_run(config, scheme)
    augment = augment_of(config)
    config = replace(config, records=records, source=None, augment=augment, run=run)
    for folder in (run, config.plots):
        check_folder(folder)
    make_streams(config, scheme)[0](0, 0)  # refuses what cannot be mixed or fills no batch
    return config, manifest


def _following_init(config: TrainConfig) -> TrainConfig:
    """Without --model, the network that --init is of, where a run or a boxed model says so."""
    if not config.init or config.resume or config.model != TrainConfig.model:
        return config
    run = packaged_run(config.init) or config.init
    told = read_settings(run, TrainConfig) if run.is_dir() else {}
    options = config.model_options or told.get("model_options") or ()
    return replace(config, model=told.get("model") or config.model, model_options=options)


def train_seeds(config: TrainConfig) -> Path:
    """Trains `config.seeds` times; the runs are folders of the run. Finished ones are kept on resume.

    Args:
      config: completed by `prepare`.

    Returns:
      The run folder, with seeds.json (see seeds.summarize).
    """
    write_json(config.run / "config.json", replace(config, resume=None))
    runs = [config.run / f"seed_{config.seed + i}" for i in range(config.seeds)]
    for i, run in enumerate(runs):
        print(f"--- seed {config.seed + i}: {run}", flush=True)
        begun = run if (run / "config.json").exists() else None
        finished = begun and (run / "metrics.json").exists()
        if not finished or read_config(run, TrainConfig).epochs != config.epochs:
            one = {"seeds": 1, "seed": config.seed + i, "run": run, "resume": begun}
            train_settled(replace(config, **one, plots=run / "plots"))
        keras.backend.clear_session()
    summary = summarize(runs)
    write_json(config.run / "seeds.json", summary)
    print(table(summary))
    return config.run


def find_learning_rate(config: TrainConfig, manifest: Manifest) -> Path:
    """Draws the loss over rising learning rates and says which one it suggests.

    Args:
      config: completed by `prepare`; nothing is written into its run.
      manifest: of the records.

    Returns:
      The plot, in `config.plots`.
    """
    rising = RisingRate()
    with use_devices(config.devices, config.batch_size):
        keras.utils.set_random_seed(config.seed)
        model = compiled_network(replace(config, ema=0.0, accumulate=1), manifest, 1, rising)
        train_data, _ = make_streams(config, manifest.scheme)
        curve = find_rate(model, train_data(0, 0).map(targets_of(model)), rising)
    title = f"{config.model}, {manifest.scheme.name}, batches of {config.batch_size}"
    path = config.plots / f"{config.model}_learning_rate.png"
    plots.save_figure(plot_rate_curve(curve, title), path)
    print(f"--learning-rate {curve.suggested:.1e}: the loss falls fastest there; look at {path}")
    return path


def fastest_arithmetic(config: TrainConfig, manifest: Manifest) -> TrainConfig:
    """Settles --precision auto by a few steps of each kind of arithmetic, and says what came out.

    Args:
      config: completed by `prepare`.
      manifest: of the records.
    """

    def build(arithmetic: Arithmetic) -> TrainedModel:
        return compiled_network(replace(config, **arithmetic._asdict(), init=None), manifest, 1)

    train_data, _ = make_streams(config, manifest.scheme)
    images, masks = next(iter(train_data(0, 0)))
    best, times = choose_arithmetic(
        build, lambda model: targets_of(model)(images.numpy(), masks.numpy()), candidates()
    )
    told = [f"{a} {'fails' if ms is None else f'{ms:.0f} ms'}" for a, ms in times.items()]
    print(f"precision: {best} ({', '.join(told)} a step)", flush=True)
    return replace(config, **best._asdict())


def make_streams(config: TrainConfig, scheme: LabelScheme):
    """The train split as a function of (epoch, batches to skip), and the val split."""
    classes, augment, mix = Classes.of(scheme), None, None
    if config.augment != "none" or config.open_crowns:  # else records go through without a detour
        augment = make_augment(config.augment, classes, open_trees=config.open_crowns)
        mix = make_mix(config.augment, classes.sky)

    known = None
    if config.extra_classes == "known":
        manifest = read_manifest(config.records, shards_are_there=False)
        shown = manifest.splits["train"].class_pixels
        known = [class_id for class_id, pixels in enumerate(shown) if pixels]

    # A run that goes on has had its records' digests compared when it began.
    checks = {"digests": not config.resume, "left_out": bad_records.skipped_records(config)}

    def train_data(epoch: int, skip_batches: int) -> tf.data.Dataset:
        return make_dataset(
            config.records, "train", config.batch_size, shuffle=True, seed=config.seed,
            epoch=epoch, augment=augment, mix=mix, extra=config.extra_records,
            classes=known, drop_remainder=True, skip_batches=skip_batches, **checks,
        )  # fmt: skip

    return train_data, make_dataset(config.records, "val", config.batch_size, **checks)


def compiled_network(
    config: TrainConfig, manifest: Manifest, steps: int,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> TrainedModel:  # fmt: skip
    """The network with its start weights, optimizer, loss and averages.

    Args:
      config: see TrainConfig.
      manifest: of the records.
      steps: batches of an epoch.
      schedule: learning rate by step, in place of the settings'.
    """
    model = TrainedModel.of(_network(config, manifest, config.precision))
    if str(config.init) == IMAGENET and not config.resume:
        origin = load_imagenet(model, *mean_and_std(manifest.rgb_stats))
        print(f"encoder of {origin}, trained on ImageNet", flush=True)
    elif config.init and not config.resume:
        fresh = load_initial_weights(packaged_run(config.init) or config.init, model)
        print(f"weights of {config.init}; fresh: {', '.join(fresh) or 'none'}", flush=True)
    weights = class_weights(manifest.splits["train"].class_pixels) if config.class_weights else None
    compile_model(
        model, recipe_of(config), steps=steps * config.epochs,
        loss=None if weights is None else weighted_cross_entropy(weights),
        accumulate=config.accumulate, schedule=schedule, xla=config.xla,
    )  # fmt: skip
    if config.ema:
        model.average_weights(config.ema, config.accumulate)
    return model


def _network(config: TrainConfig, manifest: Manifest, precision: str) -> keras.Model:
    """The network with its start weights, computing in `precision`."""
    keras.config.set_dtype_policy(precision)
    # Only sequence models need to know the size; the others then take photos of any.
    clips = {"size": manifest.image_size, "frames": manifest.frames}
    options = parse_model_options(config.model, config.model_options)
    options |= clips if MODELS[config.model].sequence else {}
    return build_model(config.model, manifest.scheme.num_logits, **options)


def _in_float32(model: TrainedModel, config: TrainConfig, manifest: Manifest) -> keras.Model:
    """What others get of a training in mixed precision: ONNX Runtime, for one, has no bfloat16.

    Keras' policy is float32 from then on, also for what is made of the network; the layers of
    `model` keep theirs.
    """
    return model if config.precision == "float32" else _network(config, manifest, "float32")


def _copy_weights(model: TrainedModel, network: keras.Model) -> None:
    """Gives a network of `_in_float32` the weights of the model it stands for."""
    for variable, trained in zip(network.variables, model.variables, strict=True):
        if variable is not trained:
            variable.assign(trained)


def _start_or_go_on(
    config: TrainConfig, model: TrainedModel, manifest: Manifest, schedule: Schedule,
    skipped: bad_records.Skipped | None,
) -> Progress:  # fmt: skip
    """Writes what a new run was made of, or loads the checkpoint of the one that is resumed."""
    run, identity, progress = config.run, _identity(config), None
    if config.resume:
        progress = _load_progress(config, model, identity, schedule)
        print(f"{run}: going on at epoch {progress.epoch + 1}, step {progress.step}", flush=True)
        if progress.epoch < config.epochs:
            (run / "metrics.json").unlink(missing_ok=True)  # it is no finished run any more
    elif (run / "config.json").exists():  # since `prepare` has looked
        raise InputError(_TAKEN.format(run))
    for name, content in (
        ("environment", environment(config.seed) | bad_records.told(skipped)),
        ("dataset", RunData.of(manifest, identity)),
    ):
        if not (run / f"{name}.json").exists() or not config.resume:
            write_json(run / f"{name}.json", content)
    bad_records.keep_skipped(config, skipped)
    if config.resume and skipped is not None:  # it may have begun with other ones
        told = read_json(run / "environment.json") | bad_records.told(skipped)
        write_json(run / "environment.json", told)
    write_json(run / "config.json", replace(config, resume=None))
    return progress or Progress(identity)


def _load_progress(
    config: TrainConfig, model: TrainedModel, identity: str, schedule: Schedule
) -> Progress:
    """The progress of a run that is resumed; refuses other records, and epochs that are not to be."""
    run, data = config.run, read_run_data(config.run)
    if data and data.records_sha256 not in ("", identity):
        raise InputError(
            f"{config.records}: not the records that {run} was begun with, or they have changed "
            "since; name those by --records, or train again, in another --run"
        )
    progress = load_progress(run / "checkpoints", model, identity)
    if config.epochs < progress.epoch:
        raise InputError(
            f"{run}: {progress.epoch} epochs are done, --epochs {config.epochs} is fewer; give "
            "more, or leave it out"
        )
    if is_over(progress, schedule) and progress.epoch < config.epochs != _epochs_before(run):
        raise InputError(
            f"{run}: ended by --patience {config.patience} after epoch {progress.epoch}, more "
            f"--epochs change nothing; start another run with --init {run}"
        )
    return progress


def _epochs_before(run: Path) -> int:
    return read_config(run, TrainConfig).epochs


def _identity(config: TrainConfig) -> str:
    """Names the content of all records."""
    digest = hashlib.sha256()
    for folder in (config.records, *config.extra_records):
        for split in read_manifest(folder, shards_are_there=False).splits.values():
            digest.update("".join(shard.sha256 for shard in split.shards).encode())
    return digest.hexdigest()


def _new_run(config: TrainConfig, scheme: LabelScheme) -> Path:
    """The folder asked for, or the first free one of the default name."""
    default = f"runs/{config.model}_{scheme.name}"
    names = [config.run] if config.run else [default, *(f"{default}_{i}" for i in range(2, 10_000))]
    free = next((Path(name) for name in names if not (Path(name) / "config.json").exists()), None)
    if free is None:
        raise InputError(_TAKEN.format(config.run))
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
        strict = config.on_bad_record == "stop"
        return Path(config.records), read_manifest(config.records, shards_are_there=strict)
    _check_no_dataset(config)
    scheme = config.scheme or "sky"
    name = get_scheme(scheme).name
    if config.source:
        source, size = source_root(config.source), config.image_size or (256, 512)
        find_pairs(source, None, ["train", "val"])  # refuses an empty one before the work
    else:
        source, size = config.data / "demo_scenes", config.image_size or DEMO_SIZE
        write_scenes(source, DEMO_SCENES, size=DEMO_SIZE, seed=0, conditions="cityscapes")
    out = config.data / f"{source.resolve().name}_{name}_{size[0]}x{size[1]}"
    build_config = BuildConfig(
        out=out, source=source, scheme=scheme, image_size=size, storage="uint8", quiet=config.quiet
    )
    return out, build(build_config)


def _check_no_dataset(config: TrainConfig) -> None:
    """Refuses --data that holds what somebody wants to train on: elsewhere that flag means this."""
    if config.source or config.data == TrainConfig.data:
        return
    flag = "--records" if (config.data / MANIFEST).is_file() else "--source"
    try:
        if flag == "--source":
            find_pairs(config.data, None, ["train"])
    except InputError:
        return
    raise InputError(
        f"--data {config.data}: that flag is where the demo is put; give this dataset by "
        f"{flag} {config.data}"
    )


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
    photos, images, masks = pick_photos(val_data, manifest, 6)
    figure = plots.plot_predictions(
        list(photos), list(masks), list(predict_masks(model, images)), scheme,
        f"{title}: photos of the val split, not trained on",
    )  # fmt: skip
    plots.save_figure(figure, folder / "predictions.png")


def pick_photos(
    val_data: tf.data.Dataset, manifest: Manifest, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos from all over the val split: its first batch may be one street.

    Args:
      val_data: batches of (images, masks).
      manifest: of the records.
      count: how many at most.

    Returns:
      (N, H, W, 3) uint8 photos (of a clip the last), the images as the network takes them, and
      (N, H, W) uint8 masks.
    """
    every = max(1, manifest.splits["val"].count // count)
    picked = list(val_data.unbatch().shard(every, 0).take(count).as_numpy_iterator())
    images, masks = (np.stack(part) for part in zip(*picked, strict=True))
    photos = denormalize(images if images.ndim == 4 else images[:, -1], manifest.rgb_stats)
    return photos, images, masks
