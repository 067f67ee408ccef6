"""skyseg export: a network for other runtimes, each checked in its runtime before it is kept."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import keras

from skyseg_tf.data.records import Manifest, read_manifest
from skyseg_tf.errors import InputError, counted, flag_of, not_among
from skyseg_tf.exporters.agreement import LIMITS, Agreement, agreement, check_agreement
from skyseg_tf.exporters.formats import FORMATS, Format, check_packages
from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.photos import DRAWN_SIZE, Photos
from skyseg_tf.exporters.settings import ExportConfig
from skyseg_tf.files.aside import check_folder, make_folder
from skyseg_tf.files.locks import lock, lock_if_can_be
from skyseg_tf.files.room import check_memory, check_picture_size, largest_size
from skyseg_tf.masking.model_facts import ModelFacts
from skyseg_tf.masking.runtime import Runtime, load_runtime, model_suffixes
from skyseg_tf.models import MODELS, check_size
from skyseg_tf.runs.folder import network_of, read_json, read_run_data
from skyseg_tf.runs.model_folders import exports_of, run_of

_LOCK = ".lock"
_BYTES_PER_PIXEL = 300  # a guess at the least that both networks take


def export(config: ExportConfig) -> Agreement:
    """Writes an export and runs it beside the Keras model; it is kept only if both agree.

    Returns:
      How far the two are apart on photos of the val split, or on drawn scenes.

    Raises:
      InputError: a setting, the model or its records cannot be used, or the export differs by more
        than LIMITS[precision]. Nothing has been written then, and an older export stays.
    """
    # ------------------------------------------------------ the model and its photos
    form, run = _check(config), run_of(config.model)
    runtime = load_runtime(run or config.model, "keras")
    settings = read_json(run / "config.json") if run else {}
    records, manifest = _records(config, settings, runtime)
    data = (run and read_run_data(run)) or manifest
    size = _size(config, form, runtime, run and network_of(run), data and data.image_size)
    photos = Photos(runtime, size, records, manifest)
    name = run.resolve().name if run else runtime.name
    facts = replace(runtime.facts, name=name, working_size=size)
    out = _find_out(config, form, size)
    _check_room(config, runtime, size)

    # ----------------------------------------------------------------- write, aside
    ranges = photos("train", config.calibration_photos) if config.precision == "int8" else ()
    make_folder(out.parent)
    with _folder_aside(out) as folder:
        aside = folder / out.name
        form.write(ExportJob(runtime.network, facts, config.precision, aside, ranges))

        # --------------------------------------------- run it beside the Keras model
        measured = _compare(config, form.load(aside), runtime, facts, photos, out)
        megabytes = _megabytes(folder)
        _keep(folder, out, form)
    print(f"{out}: {megabytes:.1f} MB, size {_shown(size)}")
    return measured


def _compare(
    config: ExportConfig,
    exported: Runtime,
    runtime: Runtime,
    facts: ModelFacts,
    photos: Photos,
    out: Path,
) -> Agreement:
    """Runs both, prints how far they are apart, and refuses what is too far."""
    if exported.facts != facts:
        raise InputError(f"{out}: gives {exported.facts} instead of {facts}; was not kept")
    batches, count = photos.batches("val", config.photos), photos.count("val", config.photos)
    # At the size of its records, which need not be multiples of the divisor that free sizes have.
    pairs = ((runtime.infer(batch), exported(batch)) for batch in batches)
    measured = agreement(pairs, facts.threshold)
    limits = LIMITS[config.precision]
    shown = counted(count, "val photo" if photos.records else "drawn scene")
    print(f"{out.name} in {exported.backend} beside Keras, {shown}: {measured}")
    print(f"limits of {config.precision}: {limits}", flush=True)
    check_agreement(measured, limits, out)
    return measured


def _check(config: ExportConfig) -> Format:
    """The format; refuses what would fail later."""
    if config.format not in FORMATS:
        raise InputError(not_among("format", config.format, FORMATS))
    form = FORMATS[config.format]
    if config.precision not in LIMITS:
        raise InputError(not_among("precision", config.precision, LIMITS))
    if config.precision not in form.precisions:
        raise InputError(
            f"{config.format} is written in {', '.join(form.precisions)} alone; choose that or "
            "another --format"
        )
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"exports are made by Keras' TensorFlow backend, this is {keras.backend.backend()}: run "
            "the same command with KERAS_BACKEND=tensorflow, model.keras serves both"
        )
    check_packages(config.format)
    if config.image_size:
        check_picture_size("--image-size", config.image_size)
    for name in ("photos", "calibration_photos"):
        if getattr(config, name) < 1:
            raise InputError(f"{flag_of(name)} must be at least 1")
    _check_source(config.model)
    return form


def _check_room(config: ExportConfig, runtime: Runtime, size: tuple[int, int] | None) -> None:
    """Refuses a size at which no machine like this one can run the network, and too many photos."""
    size = size or runtime.size_for(*DRAWN_SIZE)
    pixels = size[0] * size[1] * runtime.frames
    check_memory(
        pixels * _BYTES_PER_PIXEL,
        f"comparing an export at {size[0]} x {size[1]}",
        lambda share: (
            f"give at most --image-size {largest_size(size, share, runtime.facts.divisor)}"
        ),
    )
    calibrating = config.calibration_photos if config.precision == "int8" else 0
    photos = max(config.photos, calibrating)
    check_memory(
        photos * pixels * 3,
        f"comparing or calibrating with {counted(photos, 'photo')} of {size[0]} x {size[1]}",
        lambda share: f"give at most {int(photos * share)}",
    )


def _check_source(model: str) -> None:
    run = run_of(model)
    if run and not (run / "model.keras").is_file():
        raise InputError(f"{run}: no model.keras in it; is it a run folder?")
    if Path(model).is_file() and Path(model).suffix in set(model_suffixes()) - {".keras"}:
        raise InputError(
            f"{model}: is an export itself; give the run, .keras file or packaged model behind it"
        )
    if Path(model).is_file() and Path(model).suffix != ".keras":
        raise InputError(f"{model}: is no network; give a run, a .keras file or a packaged model")


def _find_out(config: ExportConfig, form: Format, size: tuple[int, int] | None) -> Path:
    """Where the export goes; refuses a place that holds something else."""
    shown = f"_{size[0]}x{size[1]}" if size else ""
    name = form.name.format(precision=config.precision, size=shown)
    out = config.out or exports_of(config.model) / name
    check_folder(out.parent)
    suffix = Path(form.name).suffix
    if suffix and out.suffix != suffix:
        raise InputError(f"{out}: the name of this format ends in {suffix}; give such a --out")
    if out.is_dir() and not _is_older_export(out, form):
        raise InputError(f"{out}: is a folder with other things in it; give another --out")
    return out


def _is_older_export(folder: Path, form: Format) -> bool:
    return bool(form.folder_holds) and (folder / form.folder_holds).is_file()


def _records(
    config: ExportConfig, settings: dict, keras_runtime: Runtime
) -> tuple[Path, Manifest] | tuple[None, None]:
    """The records to take photos from; none, but for int8, where the model's own are not there."""
    given = config.records or settings.get("records")
    is_there = bool(given) and Path(given).is_dir()
    if not (is_there or config.records or config.precision == "int8"):
        if given:
            print(
                f"{config.model}: its records ({given}) are not there: drawn scenes stand for them"
            )
        return None, None
    if not is_there:
        what = "int8 takes its ranges from photos, and this model names no records"
        what = f"its records ({given}) are not there" if given else what
        raise InputError(f"{config.model}: {what}; give some, of its classes, by --records DIR")
    manifest = read_manifest(given)
    if tuple(manifest.class_names) != keras_runtime.class_names:
        raise InputError(
            f"{given}: records of {', '.join(manifest.class_names)}, the model knows "
            f"{', '.join(keras_runtime.class_names)}; give records of its classes by --records"
        )
    if manifest.frames != keras_runtime.frames:
        raise InputError(
            f"{given}: {manifest.frames} frame(s) a record, the model takes "
            f"{keras_runtime.frames}; give records of so many by --records"
        )
    return Path(given), manifest


def _size(
    config: ExportConfig,
    form: Format,
    keras_runtime: Runtime,
    network: str | None,
    trained_at: tuple[int, int] | None,
) -> tuple[int, int] | None:
    """The (height, width) that the export is fixed to; None: free."""
    own = keras_runtime.working_size
    size = tuple(config.image_size) if config.image_size else own
    if own and size != own:
        raise InputError(
            f"{config.model}: its network was built for {own[0]} x {own[1]} alone; leave "
            "--image-size out"
        )
    if size is None and config.precision in form.fixed:
        size = trained_at or keras_runtime.size_for(*DRAWN_SIZE)
    if size and network in MODELS:
        check_size(network, size)
    return size


@contextmanager
def _folder_aside(out: Path) -> Iterator[Path]:
    """A folder beside an export to write it in; what killed exports have left of theirs is removed.

    What converters put into the folder for temporary files lies beside it meanwhile, and is removed
    with it.
    """
    for left in out.parent.glob(f".{glob.escape(out.name)}.*/"):
        if held := lock_if_can_be(left / _LOCK):  # else an export is at work in it
            with held:
                shutil.rmtree(left, ignore_errors=True)
    before = tempfile.tempdir
    with _locked_folder(out) as aside:
        (folder := aside / "export").mkdir()
        tempfile.tempdir = str(aside)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


@contextmanager
def _locked_folder(out: Path) -> Iterator[Path]:
    """A folder that other exports see to be at work on, as far as the disk has locks."""
    while True:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            try:
                held = lock(Path(folder, _LOCK))
            except FileNotFoundError:
                continue
            except OSError:  # a disk without locks, where nobody removes anything either
                held = nullcontext()
            with held or nullcontext():
                # Else taken for a dead one's, in the moment before it was locked.
                if held and os.path.isdir(folder):
                    yield Path(folder)
                    return


def _keep(folder: Path, out: Path, form: Format) -> None:
    """Moves the export from its folder to its place; the file that names it comes last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == out.name):
        target = out.parent / path.name
        if target.is_dir():
            if not _is_older_export(target, form):
                raise InputError(f"{target}: is a folder with other things in it; give --out")
            target.rename(folder.with_name(f"{path.name}.old"))
        os.replace(path, target)


def _megabytes(folder: Path) -> float:
    """Of all files of an export, which lies alone in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _shown(size: tuple[int, int] | None) -> str:
    return f"{size[0]} x {size[1]}, batch 1" if size else "any, any batch"
