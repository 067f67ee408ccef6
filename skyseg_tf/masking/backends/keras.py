"""Keras: a run's own model.keras, on TensorFlow or JAX."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.files import open_archive, read_member, sha256_of
from skyseg_tf.files.memory import EXTRA_BYTES
from skyseg_tf.labels import SCHEMES, LabelScheme
from skyseg_tf.masking.backends.interface import Backend, Runtime
from skyseg_tf.masking.model_facts import ModelFacts
from skyseg_tf.masking.model_files import not_numbers, reading

_MAX_CONFIG = 64_000_000  # bytes of config.json in a .keras file


def load(path: Path, threads: int | None, streams: int) -> Runtime:
    """Loads a model file into Keras; the classes are those of the run around the file.

    Raises:
      InputError: no such model, or one that does not say what its classes are.
    """
    network = load_network(path, threads)
    for variable in network.variables:
        values = np.asarray(variable)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise not_numbers(path, variable.path)
    return _keras_runtime(path, network, _facts_of_run(path, network))


def load_network(path: Path, threads: int | None = None):
    """The keras.Model in a .keras file.

    Raises:
      InputError: damaged, or no .keras file.
    """
    keras = _import_keras(threads)
    with reading(path, "Keras", _check_archive):
        return keras.models.load_model(path, compile=False)


def _check_archive(path: Path) -> None:
    with open_archive(path, path.stat().st_size + EXTRA_BYTES) as archive:
        names = set(archive.namelist())
        if missing := sorted({"config.json", "model.weights.h5"} - names):
            raise InputError(f"{path}: no {missing[0]} in it, so no .keras file; train again")
        try:
            json.loads(read_member(archive, "config.json", _MAX_CONFIG))
        except InputError:
            raise
        except (ValueError, RecursionError):
            raise InputError(f"{path}: its config.json is damaged; train again") from None


def _import_keras(threads: int | None):
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    import_module("skyseg_tf.models")  # its layers must be known before a file names them
    return import_module("keras")


def _keras_runtime(path: Path, network, facts: ModelFacts) -> Runtime:
    from skyseg_tf.runs.model_file import predictor

    return Runtime("keras", path, facts, predictor(network), network=network)


def _facts_of_run(path: Path, network) -> ModelFacts:
    """What model.keras and the files beside it tell."""
    from skyseg_tf.runs.folder import read_run_data, scored_classes

    _check_network(path, network)
    run, channels, shape = path.parent, network.output_shape[-1], network.input_shape
    data = read_run_data(run)
    if data and data.scheme.num_logits == channels:
        scheme = data.scheme
    else:
        scheme = _scheme_of_channels(path, channels, scored_classes(run))
    facts = ModelFacts(
        run.resolve().name if (run / "config.json").is_file() else path.stem,
        scheme,
        working_size=tuple(shape[-3:-1]) if shape[-3] and shape[-2] else None,
        frames=shape[1] if len(shape) == 5 else 1,
        sha256=sha256_of(path),
    )
    return replace(facts, long_side=data.long_side or max(data.image_size)) if data else facts


def _check_network(path: Path, network) -> None:
    """Refuses what takes no photos or gives no probabilities, such as a file of import_weights."""
    taken, given = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    photos = isinstance(taken, tuple) and len(taken) in (4, 5) and taken[-1] == 3
    named = isinstance(network.get_config().get("output_layers"), dict)  # of one, no shape tells
    if named or not (photos and isinstance(given, tuple) and len(given) == 4):
        raise InputError(
            f"{path}: is no network from RGB (B, H, W, 3) to probabilities (B, H, W, C); give a "
            "run of `skyseg train` (which takes a file of import_weights by --init)"
        )


def _scheme_of_channels(path: Path, channels: int, scored: tuple[str, ...]) -> LabelScheme:
    """Classes of a model.keras that came without its dataset.json."""
    fitting = [scheme for scheme in SCHEMES.values() if scheme.num_logits == channels]
    for scheme in fitting:
        if not scored or scheme.class_names == scored:
            return scheme
    raise InputError(
        f"{path}: nothing tells what its {channels} classes are; keep dataset.json of its run "
        "beside it"
    )


BACKEND = Backend(
    "keras",
    suffixes=(".keras",),
    package="tensorflow",
    distributions=("keras",),
    install="pip install tensorflow keras",
    load=load,
    start_rank=4,
)
