"""The model that `skyseg evaluate` scores: itself, its classes, and by which protocol."""

from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.data.records import read_manifest
from skyseg_tf.errors import InputError, counted, not_among
from skyseg_tf.files.json_types import typed
from skyseg_tf.labels import SCHEMES, Encoding, LabelScheme, encoding_of_scheme
from skyseg_tf.masking.runtime import Runtime, load_runtime
from skyseg_tf.models import MODELS
from skyseg_tf.runs.folder import network_of, read_json, read_run_data, scored_classes
from skyseg_tf.runs.model_folders import run_of
from skyseg_tf.scoring.settings import PROTOCOLS, EvaluateConfig


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
      encoding: see labels.encoding_of_scheme.
    """

    runtime: Runtime
    network: str
    scheme: LabelScheme
    protocol: str
    size: tuple[int, int] | None
    divisor: int
    records: Path | None
    encoding: Encoding | None


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
    network = (run and network_of(run)) or runtime.name
    records = config.records or settings.get("records")
    data = read_manifest(config.records) if config.records else run and read_run_data(run)
    scheme = data.scheme if data else _scheme_of(run, runtime)
    _check_classes(config.model, run, runtime, scheme, records)
    size = config.image_size
    if protocol == "records":
        known = data.image_size if data else _told_size(run)
        size = _first_size(config.model, size, known, runtime.working_size)
    divisor = runtime.facts.divisor
    if runtime.network is not None:  # a run's own file takes what its network takes, no more
        divisor = MODELS[network].divisor if network in MODELS else 1
    size, records = size and tuple(size), records and Path(records)
    encoding = encoding_of_scheme(scheme, data.encoding if data else None)
    return ScoredModel(runtime, network, scheme, protocol, size, divisor, records, encoding)


def _check_classes(
    model: str,
    run: Path | None,
    runtime: Runtime,
    scheme: LabelScheme | None,
    records: str | Path | None,
) -> None:
    """Refuses a model whose outputs are not those of the classes that it is to be scored by."""
    if scheme is None:
        raise InputError(f"{model}: its classes are not known; name its records by --records")
    differs = (runtime.channels, runtime.sky_channel) != (scheme.num_logits, scheme.sky_channel)
    if differs or (run is None and runtime.class_names != scheme.class_names):
        raise InputError(
            f"{model}: {counted(runtime.channels, 'output')} ({', '.join(runtime.class_names)}), but "
            f"{scheme.num_logits} for classes '{scheme.name}' of {records}; name records of its "
            "own classes by --records"
        )


def _first_size(model: str, *sizes: tuple[int, int] | None) -> tuple[int, int]:
    """The first that is known."""
    for size in filter(None, sizes):
        return size
    raise InputError(f"{model}: the size of its records is not known; give it by --image-size")


def _told_size(run: Path | None) -> tuple[int, int] | None:
    """The size that a run's settings name; None where they leave it to the records."""
    if run is None:
        return None
    path = run / "config.json"
    return typed(read_json(path).get("image_size"), tuple[int, int] | None, path, "image_size")


def _scheme_of(run: Path | None, runtime: Runtime) -> LabelScheme | None:
    """The model's own; a run without its dataset.json tells no more than the names it scored."""
    if run is None:
        return runtime.scheme
    names = scored_classes(run)
    return next((scheme for scheme in SCHEMES.values() if scheme.class_names == names), None)
