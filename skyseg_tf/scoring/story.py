"""What `skyseg evaluate` does: the scores of what `skyseg predict` writes, or of a model on its records.

By which protocol is said in protocol.py.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from skyseg_tf.data.copies import local_records
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.photos import LabeledPhoto, photos_of_pairs, photos_of_records
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.scan import find_pairs, source_root
from skyseg_tf.data.sources import size_of_pair
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files.aside import check_folder
from skyseg_tf.files.places import is_remote
from skyseg_tf.files.room import check_memory, check_picture_size, largest_size
from skyseg_tf.labels import Encoding, check_encoding
from skyseg_tf.masking.prediction import predict_image
from skyseg_tf.masking.runtime import FEW_PHOTOS, Runtime
from skyseg_tf.masking.views import Views
from skyseg_tf.runs.model_folders import evaluations_of
from skyseg_tf.scoring.comparison import compare_evaluations, read_scores
from skyseg_tf.scoring.evaluation import Evaluation, ImageScores, score_image
from skyseg_tf.scoring.intervals import confidence_intervals, intervals_in_words
from skyseg_tf.scoring.protocol import (
    describe_protocol,
    evaluation_name,
    is_refined,
    protocol_facts,
)
from skyseg_tf.scoring.report import write_report
from skyseg_tf.scoring.results import WorstPhoto, keep_worst, write_results
from skyseg_tf.scoring.scored_model import ScoredModel, scored_model
from skyseg_tf.scoring.scores import class_table
from skyseg_tf.scoring.settings import EvaluateConfig
from skyseg_tf.scoring.submission import check_submission, write_submission

_BYTES_PER_PIXEL = 150  # a guess at the least that a network takes: its input and a layer or two
_LANDSCAPE = (720, 1280)  # stands for all photos where each has a size of its own


def evaluate(config: EvaluateConfig) -> Path:
    """Scores a model.

    Args:
      config: see EvaluateConfig.

    Returns:
      The folder <name> in model_folders.evaluations_of(config.model), with metrics.json,
      per_class.csv, per_image.csv, plots/ and report.html; for photos without masks the folder of
      the submission.

    Raises:
      InputError: a setting, the model or the data cannot be used.
    """
    # ------------------------------------------------- what is asked, and of what
    name = config.name or evaluation_name(config)
    folder = evaluations_of(config.model) / name
    _check(config)
    if config.compare:
        print(compare_evaluations([config.model, *config.compare], name))
        return folder
    check_folder(folder)
    if config.records:
        copied = local_records(config.records, config.data, config.quiet)
        config = replace(config, records=copied)
    _refuse_other_data(folder, config)
    pairs = find_labeled(config) if config.source else None
    facts = scored_model(config, few=pairs is not None and len(pairs) < FEW_PHOTOS)
    views = Views(
        facts.size, config.multi_scale, config.flip, config.window, config.overlap, facts.divisor
    )
    _check_views(facts.runtime, views.at(facts.runtime.size_for(*_LANDSCAPE)))
    if pairs is not None:
        config = replace(config, encoding=_find_encoding(config, facts, pairs))
    photos, count = find_photos(config, facts, pairs)

    # ------------------------------------------------------- one photo at a time
    photos = tqdm(photos, name, count, unit="photo", disable=config.quiet)
    scored = _score(config, facts, views, photos)

    # ----------------------------------------------------------------- results
    if config.submission:
        print(f"{config.submission}: {counted(count, 'prediction')} as labelIds", flush=True)
    if not scored.images:
        return config.submission
    protocol = protocol_facts(config, facts, views, len(scored.images), scored.truth)
    evaluation = Evaluation(scored.images, facts.scheme, describe_protocol(protocol))
    told = _settings(config, facts, protocol)
    intervals = confidence_intervals(evaluation, config.bootstrap) if config.bootstrap else None
    write_results(folder, evaluation, scored.worst, told, intervals)
    write_report(config.model, name)
    print(class_table(evaluation.total.matrix, facts.scheme))
    print(evaluation.summary)
    if intervals:
        print(intervals_in_words(intervals, facts.scheme))
    print(f"{evaluation.protocol}\nlook at {folder / 'report.html'}")
    return folder


def _check(config: EvaluateConfig) -> None:
    if not config.source:
        for flag in ("submission", "image-size"):
            if getattr(config, flag.replace("-", "_")):
                raise InputError(f"--{flag} needs --source: records have a size of their own")
    if config.bootstrap < 0 or config.worst < 0:
        raise InputError("--bootstrap and --worst count from 0")
    if config.name and (Path(config.name).name != config.name or config.name == ".."):
        raise InputError(f"--name {config.name}: give the name of a folder, without a path")


def _refuse_other_data(folder: Path, config: EvaluateConfig) -> None:
    """Refuses a folder with the scores on other data, whose name may be the same."""
    try:
        held = read_scores(folder / "metrics.json").get("settings", {})
    except (FileNotFoundError, InputError):
        return  # nothing is lost
    data, theirs = _data_of(vars(config)), _data_of(held)
    if held and theirs != data:
        raise InputError(
            f"{folder}: holds the scores on {' and '.join(theirs.values()) or 'other records'}; give "
            "these another name by --name, or remove it"
        )


def _data_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Where the data that was named lies, from wherever it is looked for later."""
    named = {key: str(settings[key]) for key in ("source", "records") if settings.get(key)}
    return {
        key: path if is_remote(path) else str(Path(path).resolve()) for key, path in named.items()
    }


# --- the photos ---


def _check_views(runtime: Runtime, views: Views) -> None:
    """Refuses what the network cannot be shown."""
    views.check()
    for size in views.sizes():
        check_picture_size("a view of", size)
    shown = views.window or max(views.sizes(), key=math.prod)
    check_memory(
        math.prod(shown) * _BYTES_PER_PIXEL,
        f"showing the network {shown[0]} x {shown[1]} pixels",
        lambda share: (
            "give at most --window, or --image-size and --multi-scale of, "
            f"{largest_size(shown, share, views.divisor)}"
        ),
    )
    fixed = runtime.working_size
    if fixed is None:
        return
    shown = [views.window] if views.window else views.sizes()
    if any(size != fixed for size in shown):
        raise InputError(
            f"the network takes {fixed[0]} x {fixed[1]} alone: leave --multi-scale out and give "
            f"--image-size or --window {fixed[0]} {fixed[1]}"
        )


def find_labeled(config: EvaluateConfig) -> list[Pair]:
    """The photos of --source: with masks, or for a submission all of them.

    Raises:
      InputError: no such data, no masks to score by, one of another size than its photo, or names
        that a submission cannot have.
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
    if not is_remote(root):  # there a head costs a whole file
        for pair in labeled:  # now, not after hours of work
            size_of_pair(pair.image, pair.mask)
    return labeled


def _find_encoding(
    config: EvaluateConfig, facts: ScoredModel, pairs: list[Pair]
) -> Encoding | None:
    """How the masks store classes; None where no photo has one."""
    encoding = config.encoding
    if not encoding and any(pair.mask for pair in pairs):
        encoding = guess_mask_encoding(pairs, config.layout, of_scheme=facts.encoding)
    if encoding:
        check_encoding(encoding)
    return encoding


def find_photos(
    config: EvaluateConfig, facts: ScoredModel, pairs: list[Pair] | None
) -> tuple[Iterator[LabeledPhoto], int]:
    """The photos to score, and their number.

    Args:
      config: see EvaluateConfig; its encoding is known where pairs have masks.
      facts: of the model.
      pairs: of `find_labeled`; None for records.

    Raises:
      InputError: no such records.
    """
    if pairs is None:
        if facts.records is None:
            raise InputError(
                f"{config.model}: no photos to score it on; give --source DIR, a dataset with masks, "
                "or --records DIR, of `skyseg build`"
            )
        if not facts.records.is_dir():
            raise InputError(
                f"{config.model}: its records ({facts.records}) are not there; give --records or "
                "--source"
            )
        photos = photos_of_records(facts.records, config.split)
        return photos, read_manifest(facts.records).splits[config.split].count
    return photos_of_pairs(pairs, config.encoding, facts.scheme, facts.runtime.frames), len(pairs)


# --- the scores ---


class _Scored(NamedTuple):
    """What scoring the photos gave: counts of each, the worst of them, a hash of their truth."""

    images: list[ImageScores]
    worst: list[WorstPhoto]
    truth: str


def _score(
    config: EvaluateConfig, facts: ScoredModel, views: Views, photos: Iterable[LabeledPhoto]
) -> _Scored:
    """Predicts photo after photo, writes the submission's masks, and counts where there is truth."""
    images, worst, truth = [], [], hashlib.sha256()
    for photo in photos:
        prediction = predict_image(
            facts.runtime, photo.image, views, refined=is_refined(config, facts)
        )
        pred = prediction.ids
        if config.submission:
            write_submission(config.submission, photo.name, pred, facts.scheme)
        if photo.truth is None:
            continue
        truth.update(photo.name.encode() + photo.truth.tobytes())
        scores = score_image(
            photo.name, photo.truth, pred, prediction.sky, facts.scheme, photo.instances
        )
        images.append(scores)
        worst = keep_worst(worst, photo, pred, scores, facts.scheme, config.worst)
    return _Scored(images, worst, truth.hexdigest()[:12])


# --- the results ---


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
        "settings": {k: v for k, v in vars(config).items() if k != "compare"}
        | _data_of(vars(config)),
    }
