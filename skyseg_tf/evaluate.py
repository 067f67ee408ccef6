"""skyseg evaluate: a run's scores on its records, or by the Cityscapes protocol at full size."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.quiet import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
from tqdm import tqdm

from skyseg_tf.cli import run_command
from skyseg_tf.comparison import compare_evaluations
from skyseg_tf.data.layouts import find_pairs, guess_mask_encoding, source_root
from skyseg_tf.data.photos import LabeledPhoto, photos_of_pairs, photos_of_records
from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError
from skyseg_tf.evaluation_folder import keep_worst, write_results
from skyseg_tf.images import check_folder
from skyseg_tf.image_scores import Evaluation, score_image
from skyseg_tf.inference import Predict, Views, predict_probs
from skyseg_tf.labels import SCHEMES, LabelScheme, check_encoding, class_ids
from skyseg_tf.models import MODELS
from skyseg_tf.refine import refine
from skyseg_tf.report import write_report
from skyseg_tf.runs import predictor, read_json, read_run_data
from skyseg_tf.scores import class_table
from skyseg_tf.settings import EvaluateConfig
from skyseg_tf.submission import check_submission, write_submission


@dataclass(frozen=True)
class RunFacts:
    """What scoring must know of a run: its network's name, classes, records and sizes."""

    network: str
    scheme: LabelScheme
    size: tuple[int, int]
    frames: int
    divisor: int
    records: Path | None


def evaluate(config: EvaluateConfig) -> Path:
    """Scores a run.

    Args:
      config: see EvaluateConfig.

    Returns:
      RUN/evaluation/<name> with metrics.json, per_class.csv, per_image.csv, plots/ and
      report.html; for photos without masks the folder of the submission.

    Raises:
      InputError: a setting, the run or the data cannot be used.
    """
    # ------------------------------------------------- what is asked, and of what
    name = config.name or evaluation_name(config)
    if config.compare:
        print(compare_evaluations([config.run, *config.compare], name))
        return config.run / "evaluation" / name
    _check(config)
    check_folder(config.run / "evaluation" / name)
    model = load_saved_model(config.run)
    facts = run_facts(config, model)
    views = Views(
        facts.size, config.multi_scale, config.flip, config.window, config.overlap, facts.divisor
    )
    views.check()
    if config.refine and not facts.scheme.is_binary:
        raise InputError(f"--refine is for runs of the classes sky, not {facts.scheme.name}")
    _check_fixed_size(model, views)
    photos, count = find_photos(config, facts)

    # ------------------------------------------------------- one photo at a time
    predict = predictor(model)
    images, worst, truth_hash = [], [], hashlib.sha256()
    for photo in tqdm(photos, total=count, desc=name, unit="photo", disable=config.quiet):
        pred, sky_prob = predict_photo(predict, photo, views, facts.scheme, config.refine)
        if config.submission:
            write_submission(config.submission, photo.name, pred, facts.scheme)
        if photo.truth is None:
            continue
        truth_hash.update(photo.name.encode() + photo.truth.tobytes())
        images.append(
            score_image(photo.name, photo.truth, pred, sky_prob, facts.scheme, photo.instances)
        )
        worst = keep_worst(worst, photo, pred, images[-1], facts.scheme, config.worst)

    # ----------------------------------------------------------------- results
    if config.submission:
        print(f"{config.submission}: {count} predictions as labelIds", flush=True)
    if not images:
        return config.submission
    protocol = _protocol(config, facts, views, len(images), truth_hash.hexdigest()[:12])
    evaluation = Evaluation(images, facts.scheme, describe_protocol(protocol))
    folder = config.run / "evaluation" / name
    write_results(folder, evaluation, worst, _settings(config, facts, protocol), config.bootstrap)
    write_report(config.run, name)
    print(class_table(evaluation.total.matrix, facts.scheme))
    print(f"{evaluation.summary}\n{evaluation.protocol}\nlook at {folder / 'report.html'}")
    return folder


def evaluation_name(config: EvaluateConfig) -> str:
    """The default name: data, split, and every option that changes the figures."""
    parts = [config.source.resolve().name] if config.source else []
    parts.append(config.split)
    if config.image_size:
        parts.append("{}x{}".format(*config.image_size))
    if config.multi_scale != (1.0,):
        parts.append("scales" + "-".join(f"{scale:g}" for scale in config.multi_scale))
    if config.window:
        parts.append("window{}x{}".format(*config.window))
    return "_".join(parts + ["flip"] * config.flip + ["refined"] * config.refine)


def _check(config: EvaluateConfig) -> None:
    if not config.source:
        for flag in ("submission", "image-size", "refine"):
            if getattr(config, flag.replace("-", "_")):
                raise InputError(f"--{flag} needs --source: records have a size of their own")
    if config.bootstrap < 0 or config.worst < 0:
        raise InputError("--bootstrap and --worst count from 0")
    if config.name and Path(config.name).name != config.name:
        raise InputError(f"--name {config.name}: give the name of a folder, without a path")


# --- the run ---


def load_saved_model(run: Path) -> keras.Model:
    """RUN/model.keras: raw RGB 0-255 in, probabilities out.

    Raises:
      InputError: no such file, or a damaged one.
    """
    path = run / "model.keras"
    if not path.is_file():
        raise InputError(f"{run}: no model.keras there; give the run folder of `skyseg train`")
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError) as error:
        first = str(error).strip().splitlines()[0][:120]
        raise InputError(
            f"{path}: not a saved network ({first}); restore it or train again"
        ) from None


def run_facts(config: EvaluateConfig, model: keras.Model) -> RunFacts:
    """Reads what the run says about itself.

    Raises:
      InputError: its classes or its records' size can be learned from nothing that is there.
    """
    settings = read_json(config.run / "config.json")
    network = settings.get("model") or config.run.name
    records = config.records or settings.get("records")
    data = read_manifest(config.records) if config.records else read_run_data(config.run)
    scheme = data.scheme if data else _scheme_of_metrics(read_json(config.run / "metrics.json"))
    if scheme is None:
        raise InputError(f"{config.run}: its classes are not known; name its records by --records")
    if model.output_shape[-1] != scheme.num_logits:
        raise InputError(
            f"{config.run}: {model.output_shape[-1]} outputs, but {scheme.num_logits} for classes "
            f"'{scheme.name}' of {records}; name the run's own records by --records"
        )
    clip = len(model.input_shape) == 5
    size = config.image_size or (data and data.image_size) or settings.get("image_size")
    size = size or model.input_shape[-3:-1]
    if None in size:
        raise InputError(
            f"{config.run}: the size of its records is not known; give it by --image-size"
        )
    divisor = MODELS[network].divisor if network in MODELS else 1
    return RunFacts(
        network, scheme, tuple(size), model.input_shape[1] if clip else 1, divisor,
        Path(records) if records else None,
    )  # fmt: skip


def _scheme_of_metrics(scores: dict) -> LabelScheme | None:
    names = tuple(scores.get("iou", ()))
    return next((scheme for scheme in SCHEMES.values() if scheme.class_names == names), None)


def _check_fixed_size(model: keras.Model, views: Views) -> None:
    fixed = model.input_shape[-3:-1]
    if None in fixed:
        return
    shown = [views.window] if views.window else views.sizes()
    if any(size != fixed for size in shown):
        raise InputError(
            f"the network takes {fixed[0]} x {fixed[1]} alone: leave --multi-scale out and give "
            f"--image-size or --window {fixed[0]} {fixed[1]}"
        )


# --- the photos ---


def find_photos(config: EvaluateConfig, facts: RunFacts) -> tuple[Iterator[LabeledPhoto], int]:
    """The photos to score, and their number.

    Raises:
      InputError: no such data, no masks to score by, or names that a submission cannot have.
    """
    if not config.source:
        if facts.records is None:
            raise InputError(f"{config.run}: names no records; give --records or --source")
        if not facts.records.is_dir():
            raise InputError(
                f"{config.run}: its records ({facts.records}) are not there; give --records or "
                "--source"
            )
        photos = photos_of_records(facts.records, config.split)
        return photos, read_manifest(facts.records).splits[config.split].count
    root = source_root(config.source)
    pairs = find_pairs(root, config.layout, [config.split])
    labeled = [pair for pair in pairs if pair.mask]
    if not labeled and not config.submission:
        raise InputError(
            f"{root}: split '{config.split}' has no masks to score by; --submission DIR writes "
            "predictions without"
        )
    if config.submission:
        check_submission(config.submission, [pair.name for pair in pairs])
    else:
        pairs = labeled
    encoding = config.encoding
    if labeled and not encoding:
        encoding = guess_mask_encoding(labeled, config.layout)
    if encoding:
        check_encoding(encoding)
    return photos_of_pairs(pairs, encoding, facts.scheme, facts.frames), len(pairs)


def predict_photo(
    predict: Predict, photo: LabeledPhoto, views: Views, scheme: LabelScheme, refined: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Class ids and probability of sky at the photo's own size.

    Returns:
      (H, W) uint8 class ids, and (H, W) float32 in 0-1, or None where the scheme has no sky.
    """
    if refined:
        small = predict_probs(predict, photo.image, views, views.size)[..., 0]
        sky_prob = refine(photo.photo, small)
        return class_ids(sky_prob[..., None]), sky_prob
    probs = predict_probs(predict, photo.image, views, photo.photo.shape[:2])
    sky = scheme.sky_channel
    return class_ids(probs), None if sky is None else probs[..., sky]


# --- the results ---


def _protocol(config, facts: RunFacts, views: Views, count: int, truth: str) -> dict:
    """What figures must share to be comparable; `data` is for people, `truth` decides."""
    height, width = facts.size
    if config.source:
        place = config.source.resolve().name
        how = "refined along the photo's edges" if config.refine else "resized bilinearly"
        scored_at = f"each label's own size (probabilities {how})"
    else:
        place, scored_at = facts.records.name, f"the records' size, {height}x{width}"
    return {
        "data": f"{config.split} split of {place}",
        "photos": count,
        "truth": truth,
        "classes": facts.scheme.name,
        "scored_at": scored_at,
        "views": views.describe(),
        "void": "ignored",
        "decision": "sky where p >= 0.5" if facts.scheme.is_binary else "largest probability",
    }


def _settings(config: EvaluateConfig, facts: RunFacts, protocol: dict) -> dict:
    """What metrics.json says beside the scores."""
    return {
        "protocol_facts": protocol,
        "network": facts.network,
        "scheme": facts.scheme.name,
        "input_size": list(facts.size),
        "settings": {key: value for key, value in vars(config).items() if key != "compare"},
    }


def describe_protocol(facts: dict) -> str:
    """A protocol in one line."""
    return (
        f"{facts['data']}, {facts['photos']} photos (truth {facts['truth']}), classes "
        f"{facts['classes']}, scored at {facts['scored_at']}, {facts['views']}, void "
        f"{facts['void']}, {facts['decision']}"
    )


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.evaluate") -> None:
    """Entry point of the command."""
    run_command(evaluate, EvaluateConfig, argv, prog)


if __name__ == "__main__":
    main()
