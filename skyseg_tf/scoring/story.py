"""What `skyseg evaluate` does: the scores of what `skyseg predict` writes, or of a model on its records.

Two protocols. `photo`: each photo of a dataset tree goes the road of `skyseg predict` (see
masking.prediction) with its defaults, and the ids that it would write are scored at the label's own
size. `records`: as training scores itself, squashed to the records' size and never refined; the
records themselves, or with a dataset tree its photos, enlarged to the labels' size again.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from skyseg_tf.data.copies import local_records
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.photos import LabeledPhoto, photos_of_pairs, photos_of_records
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.scan import find_pairs, source_root
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.images import check_folder
from skyseg_tf.labels import SCHEMES, LabelScheme, check_encoding
from skyseg_tf.masking.prediction import predict_image
from skyseg_tf.masking.runtime import FEW_PHOTOS, Runtime, load_runtime
from skyseg_tf.masking.views import Views
from skyseg_tf.models import MODELS
from skyseg_tf.runs.folder import read_json, read_run_data
from skyseg_tf.runs.model_folders import evaluations_of, run_of
from skyseg_tf.scoring.comparison import compare_evaluations
from skyseg_tf.scoring.evaluation import Evaluation, score_image
from skyseg_tf.scoring.report import write_report
from skyseg_tf.scoring.results import keep_worst, write_results
from skyseg_tf.scoring.scores import class_table
from skyseg_tf.scoring.settings import EvaluateConfig
from skyseg_tf.scoring.submission import check_submission, write_submission

PROTOCOLS = ("photo", "records")
_LANDSCAPE = (720, 1280)  # stands for all photos where each has a size of its own


@dataclass(frozen=True)
class ScoredModel:
    """What scoring must know of a model.

    Attributes:
      runtime: it itself.
      network: its name, for people.
      scheme: its classes.
      protocol: one of PROTOCOLS.
      size: (height, width) that a photo is brought to; None: runtime.size_for of each photo, as
        `skyseg predict` does.
      divisor: of the heights and widths that the network takes.
      records: those it was trained on, or that are named; None where neither is known.
    """

    runtime: Runtime
    network: str
    scheme: LabelScheme
    protocol: str
    size: tuple[int, int] | None
    divisor: int
    records: Path | None


def evaluate(config: EvaluateConfig) -> Path:
    """Scores a model.

    Args:
      config: see EvaluateConfig.

    Returns:
      The folder <name> in model_folders.evaluations_of(config.model), with metrics.json, per_class.csv, per_image.csv, plots/ and
      report.html; for photos without masks the folder of the submission.

    Raises:
      InputError: a setting, the model or the data cannot be used.
    """
    # ------------------------------------------------- what is asked, and of what
    name = config.name or evaluation_name(config)
    folder = evaluations_of(config.model) / name
    if config.compare:
        print(compare_evaluations([config.model, *config.compare], name))
        return folder
    _check(config)
    check_folder(folder)
    if config.records:
        copied = local_records(config.records, config.data, config.quiet)
        config = replace(config, records=copied)
    pairs = find_labeled(config) if config.source else None
    facts = scored_model(config, few=pairs is not None and len(pairs) < FEW_PHOTOS)
    runtime, refined = facts.runtime, config.refine and facts.protocol == "photo"
    views = Views(
        facts.size, config.multi_scale, config.flip, config.window, config.overlap, facts.divisor
    )
    _check_views(runtime, views.at(runtime.size_for(*_LANDSCAPE)))
    photos, count = find_photos(config, facts, pairs)

    # ------------------------------------------------------- one photo at a time
    images, worst, truth_hash = [], [], hashlib.sha256()
    for photo in tqdm(photos, total=count, desc=name, unit="photo", disable=config.quiet):
        prediction = predict_image(runtime, photo.image, views, refined=refined)
        pred = prediction.ids
        if config.submission:
            write_submission(config.submission, photo.name, pred, facts.scheme)
        if photo.truth is None:
            continue
        truth_hash.update(photo.name.encode() + photo.truth.tobytes())
        scored = score_image(
            photo.name, photo.truth, pred, prediction.sky, facts.scheme, photo.instances
        )
        images.append(scored)
        worst = keep_worst(worst, photo, pred, images[-1], facts.scheme, config.worst)

    # ----------------------------------------------------------------- results
    if config.submission:
        print(f"{config.submission}: {count} predictions as labelIds", flush=True)
    if not images:
        return config.submission
    protocol = _protocol(config, facts, views, len(images), truth_hash.hexdigest()[:12])
    evaluation = Evaluation(images, facts.scheme, describe_protocol(protocol))
    write_results(folder, evaluation, worst, _settings(config, facts, protocol), config.bootstrap)
    write_report(config.model, name)
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
    parts += ["flip"] * config.flip
    if config.source and protocol_of(config) == "records":
        return "_".join([*parts, "records"])
    return "_".join(parts + ["unrefined"] * (config.source is not None and not config.refine))


def protocol_of(config: EvaluateConfig) -> str:
    """The one asked for; by default that of photos where there is a tree of them.

    Raises:
      InputError: no such protocol, or the one of photos without any.
    """
    protocol = config.protocol or ("photo" if config.source else "records")
    if protocol not in PROTOCOLS:
        raise InputError(not_among("protocol", protocol, PROTOCOLS))
    if protocol == "photo" and not config.source:
        raise InputError("--protocol photo needs --source: records have a size of their own")
    return protocol


def _check(config: EvaluateConfig) -> None:
    if not config.source:
        for flag in ("submission", "image-size"):
            if getattr(config, flag.replace("-", "_")):
                raise InputError(f"--{flag} needs --source: records have a size of their own")
    if config.bootstrap < 0 or config.worst < 0:
        raise InputError("--bootstrap and --worst count from 0")
    if config.name and Path(config.name).name != config.name:
        raise InputError(f"--name {config.name}: give the name of a folder, without a path")


# --- the model ---


def scored_model(config: EvaluateConfig, few: bool = False) -> ScoredModel:
    """Loads the model and reads what is known about it.

    Args:
      config: see EvaluateConfig.
      few: there are few photos: `skyseg predict` takes the runtime that loads fastest.

    Raises:
      InputError: no such model, or its classes or its records' size can be learned from nothing
        that is there.
    """
    run, protocol = run_of(config.model), protocol_of(config)
    if protocol == "photo":
        runtime = load_runtime(config.model, config.backend, quick=few)
    else:
        runtime = load_runtime(run or config.model, config.backend or ("keras" if run else None))
    settings = read_json(run / "config.json") if run else {}
    network = settings.get("model") or runtime.name
    records = config.records or settings.get("records")
    data = read_manifest(config.records) if config.records else run and read_run_data(run)
    scheme = data.scheme if data else _scheme_of(run, runtime)
    if scheme is None:
        raise InputError(
            f"{config.model}: its classes are not known; name its records by --records"
        )
    differs = (runtime.channels, runtime.sky_channel) != (scheme.num_logits, scheme.sky_channel)
    if differs or (run is None and runtime.class_names != scheme.class_names):
        raise InputError(
            f"{config.model}: {runtime.channels} outputs ({', '.join(runtime.class_names)}), but "
            f"{scheme.num_logits} for classes '{scheme.name}' of {records}; name records of its "
            "own classes by --records"
        )
    size = config.image_size
    if protocol == "records":
        size = size or (data and data.image_size) or settings.get("image_size")
        size = size or runtime.working_size
        if size is None:
            raise InputError(
                f"{config.model}: the size of its records is not known; give it by --image-size"
            )
    divisor = runtime.facts.divisor
    if runtime.network is not None:
        divisor = MODELS[network].divisor if network in MODELS else 1
    return ScoredModel(
        runtime,
        network,
        scheme,
        protocol,
        size and tuple(size),
        divisor,
        records and Path(records),
    )


def _scheme_of(run: Path | None, runtime: Runtime) -> LabelScheme | None:
    """The model's own; a run without its dataset.json tells no more than the names it scored."""
    if run is None:
        return runtime.scheme
    names = tuple(read_json(run / "metrics.json").get("iou", ()))
    return next((scheme for scheme in SCHEMES.values() if scheme.class_names == names), None)


def _check_views(runtime: Runtime, views: Views) -> None:
    """Refuses what the network cannot be shown."""
    views.check()
    fixed = runtime.working_size
    if fixed is None:
        return
    shown = [views.window] if views.window else views.sizes()
    if any(size != fixed for size in shown):
        raise InputError(
            f"the network takes {fixed[0]} x {fixed[1]} alone: leave --multi-scale out and give "
            f"--image-size or --window {fixed[0]} {fixed[1]}"
        )


# --- the photos ---


def find_labeled(config: EvaluateConfig) -> list[Pair]:
    """The photos of --source: with masks, or for a submission all of them.

    Raises:
      InputError: no such data, no masks to score by, or names that a submission cannot have.
    """
    root = source_root(config.source)
    pairs = find_pairs(root, config.layout, [config.split])
    if config.submission:
        check_submission(config.submission, [pair.name for pair in pairs])
        return pairs
    labeled = [pair for pair in pairs if pair.mask]
    if not labeled:
        raise InputError(
            f"{root}: split '{config.split}' has no masks to score by; --submission DIR writes "
            "predictions without"
        )
    return labeled


def find_photos(
    config: EvaluateConfig, facts: ScoredModel, pairs: list[Pair] | None
) -> tuple[Iterator[LabeledPhoto], int]:
    """The photos to score, and their number.

    Args:
      config: see EvaluateConfig.
      facts: of the model.
      pairs: of `find_labeled`; None for records.

    Raises:
      InputError: no such records, or masks of an encoding that is not known.
    """
    if pairs is None:
        if facts.records is None:
            raise InputError(f"{config.model}: names no records; give --records or --source")
        if not facts.records.is_dir():
            raise InputError(
                f"{config.model}: its records ({facts.records}) are not there; give --records or "
                "--source"
            )
        photos = photos_of_records(facts.records, config.split)
        return photos, read_manifest(facts.records).splits[config.split].count
    labeled, encoding = [pair for pair in pairs if pair.mask], config.encoding
    if labeled and not encoding:
        encoding = guess_mask_encoding(labeled, config.layout)
    if encoding:
        check_encoding(encoding)
    return photos_of_pairs(pairs, encoding, facts.scheme, facts.runtime.frames), len(pairs)


# --- the results ---


def _protocol(config, facts: ScoredModel, views: Views, count: int, truth: str) -> dict:
    """What figures must share to be comparable; `data` is for people, `truth` decides."""
    refined = config.refine and facts.protocol == "photo"
    if config.source:
        place = config.source.resolve().name
        how = "refined along the photo's edges" if refined else "resized bilinearly"
        scored_at = f"each label's own size (probabilities {how})"
    else:
        height, width = facts.size
        place, scored_at = facts.records.name, f"the records' size, {height}x{width}"
    return {
        "data": f"{config.split} split of {place}",
        "photos": count,
        "truth": truth,
        "classes": facts.scheme.name,
        "protocol": facts.protocol,
        "scored_at": scored_at,
        "views": views.describe(),
        "void": "ignored",
        "decision": facts.scheme.decision(facts.runtime.threshold, refined=refined),
    }


def _settings(config: EvaluateConfig, facts: ScoredModel, protocol: dict) -> dict:
    """What metrics.json says beside the scores."""
    size = facts.size or facts.runtime.working_size
    return {
        "protocol_facts": protocol,
        "network": facts.network,
        "scheme": facts.scheme.name,
        "backend": facts.runtime.backend,
        "model_file": str(facts.runtime.path),
        "input_size": list(size or [facts.runtime.facts.long_side]),
        "settings": {key: value for key, value in vars(config).items() if key != "compare"},
    }


def describe_protocol(facts: dict) -> str:
    """A protocol in one line."""
    return (
        f"{facts['data']}, {facts['photos']} photos (truth {facts['truth']}), classes "
        f"{facts['classes']}, {facts['protocol']} protocol, scored at {facts['scored_at']}, {facts['views']}, void "
        f"{facts['void']}, {facts['decision']}"
    )
