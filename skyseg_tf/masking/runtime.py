"""Runs a trained network on photos, in whichever runtime is installed.

    runtime = load_runtime()                        # the packaged model, fastest runtime
    probs = runtime(images)                         # (B, H, W, 3) uint8 -> (B, H, W, C) float32

Every model here takes raw RGB 0-255 and gives probabilities. One class is sky (C = 1), more are a
softmax. Nothing imports TensorFlow before the Keras runtime is asked for.
"""

import math
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError, missing_hint, nearest, not_among
from skyseg_tf.files import sha256_of
from skyseg_tf.labels import class_ids
from skyseg_tf.masking.backends import BACKENDS, Runtime
from skyseg_tf.masking.model_facts import METADATA_PREFIX, ModelFacts
from skyseg_tf.masking.model_files import bounded
from skyseg_tf.runs.packaged import check_packaged, packaged_files, packaged_run, read_packaged

__all__ = [
    "BACKENDS",
    "FEW_PHOTOS",
    "METADATA_PREFIX",
    "ModelFacts",
    "Runtime",
    "class_ids",
    "installed",
    "load_fastest",
    "load_runtime",
    "sha256_of",
]

FEW_PHOTOS = 1000  # below, loading OpenVINO and trying it takes longer than it saves
_FIRST_SIDE = 256  # pixels at most of the picture for the very first call
# Held from a model's loading to the end of its first call. OpenVINO fills tables at the first call
# in a process, behind a C++ guard, and gives up Python's lock meanwhile: a second thread that comes
# to the guard with that lock in hand waits for the first, and the first for the lock, for ever.
_FIRST_CALLS = threading.Lock()
_TRIAL_PHOTO = (720, 1280)
_TRIAL_ROUNDS, _TRIAL_SECONDS = 5, 1.0
_PRECISIONS = ("f32", "f16", "int8")


def installed(backend: str) -> bool:
    """Whether a backend's package is there; nothing is imported."""
    return BACKENDS[backend].is_installed()


def load_runtime(
    model: str | Path | None = None,
    backend: str | None = None,
    *,
    threads: int | None = None,
    streams: int = 1,
    quick: bool = False,
) -> Runtime:
    """Loads a model into a runtime.

    Args:
      model: None for the packaged model, or the name of one of them; a run folder (its exports/, or
        its model.keras); a file that one of BACKENDS runs.
      backend: one of BACKENDS; None for the first of them that is installed and can run it.
      threads: how many the runtime uses; None for all cores.
      streams: how many calls share them and run at once, where the backend can: each takes longer,
        but no thread waits for another, so that more are done.
      quick: without `backend`, take the one that loads fastest, for a few photos.

    Returns:
      The runtime. It has answered one call already, so that any number of threads may share it. Of a
      run folder an export is used only if it was made from the model.keras that lies there now.

    Raises:
      InputError: no such model or backend, not installed, a model that fails its checksum or its
        first call, an export older than its run.
    """
    backend, path = _choose(model, backend, quick)
    if packaged := packaged_run(model):
        check_packaged(path, packaged_files(packaged)[path])
    with _FIRST_CALLS:
        loaded = BACKENDS[backend].load(path, threads, streams)
        _call_once(loaded)
    if model is not None and Path(model).is_dir():
        _check_fresh(Path(model), loaded)
    return loaded


def check_runtime(model: str | Path | None, backend: str | None) -> None:
    """Refuses what `load_runtime` would before it loads anything.

    Args:
      model, backend: see load_runtime.

    Raises:
      InputError: no such model or backend, or the backend is not installed.
    """
    _choose(model, backend, quick=False)


def _choose(model: str | Path | None, backend: str | None, quick: bool) -> tuple[str, Path]:
    """The backend, the preferred or quickest one that can if none is named, and its file."""
    if backend is not None and backend not in BACKENDS:
        raise InputError(not_among("backend", backend, BACKENDS))
    files = _model_files(model)
    if backend is None:
        ready = [name for name in files if installed(name)]
        if not ready:
            install = BACKENDS[next(iter(files))].install
            raise InputError(f"{_shown(model)}: needs {' or '.join(files)}: `{install}`")
        backend = min(ready, key=lambda name: BACKENDS[name].start_rank) if quick else ready[0]
    elif not installed(backend):
        raise InputError(f"{backend} is not installed: `{BACKENDS[backend].install}`")
    elif backend not in files:
        raise InputError(
            f"{_shown(model)}: {backend} cannot run it, but {', '.join(files)} can; "
            "`skyseg export` makes files for the others"
        )
    return backend, files[backend]


def _call_once(runtime: Runtime) -> None:
    """Lets a runtime answer a small black picture."""
    facts = runtime.facts
    side = -(-min(facts.long_side, _FIRST_SIDE) // facts.divisor) * facts.divisor
    with bounded(runtime.path, runtime.backend):  # layers without a size take memory only now
        runtime(_black(runtime, runtime.working_size or (side, side)))


def _black(runtime: Runtime, size: tuple[int, int]) -> np.ndarray:
    """A batch of one photo, or of one clip where the network takes clips."""
    clip = (runtime.frames,) if runtime.frames > 1 else ()
    return np.zeros((1, *clip, *size, 3), np.uint8)


def load_fastest(
    model: str | Path | None = None,
    backend: str | None = None,
    *,
    threads: int | None = None,
    streams: int = 1,
) -> Runtime:
    """`load_runtime` with the backend that is faster here, by a second of trials: for long work.

    Args:
      model, backend, threads, streams: see load_runtime. Nothing is tried with `backend`, nor
        where each backend has a file of its own: which one serves must not hang on a clock.

    Raises:
      InputError: see load_runtime.
    """
    files = _model_files(model)
    rivals = [name for name in files if BACKENDS[name].is_rival and installed(name)]
    if backend is not None or len(rivals) < 2 or len({files[name] for name in rivals}) > 1:
        return load_runtime(model, backend, threads=threads, streams=streams)
    loaded = [load_runtime(model, name, threads=threads, streams=streams) for name in rivals]
    best = dict.fromkeys(loaded, math.inf)
    start = time.perf_counter()
    for _ in range(_TRIAL_ROUNDS):
        for runtime in loaded:
            best[runtime] = min(best[runtime], _trial_seconds(runtime))
        if time.perf_counter() - start > _TRIAL_SECONDS:
            break
    return min(loaded, key=best.get)


def _trial_seconds(runtime: Runtime) -> float:
    """Seconds of as many photos as it takes at once; the first call of their size comes before."""
    photos = [_black(runtime, runtime.size_for(*_TRIAL_PHOTO))] * runtime.streams
    with ThreadPoolExecutor(runtime.streams) as pool:
        list(pool.map(runtime, photos))
        start = time.perf_counter()
        list(pool.map(runtime, photos))
    return time.perf_counter() - start


def _shown(model: str | Path | None) -> str:
    return "the packaged model" if model is None else str(model)


# --- which file ---


def _model_files(model: str | Path | None) -> dict[str, Path]:
    """Backend -> the file that it would run, in order of preference."""
    if packaged := packaged_run(model):
        return _by_backend(packaged_files(packaged))
    if model is None:
        raise InputError("this installation has no packaged model: give --model RUN or FILE")
    path = Path(model)
    if path.is_dir():
        return _files_of_run(path)
    check_model_is_there(path)
    files = {name: path for name, backend in BACKENDS.items() if path.suffix in backend.suffixes}
    if not files:
        raise InputError(f"{path}: no model; give {', '.join(model_suffixes())} or a run folder")
    return files


def check_model_is_there(model: str | Path) -> None:
    """Refuses what is not there, before a command imports TensorFlow for seconds to find that out.

    Args:
      model: see load_runtime.

    Raises:
      InputError: no such file, run folder or packaged model.
    """
    path = Path(model)
    if path.exists() or packaged_run(model):
        return
    names = read_packaged()["models"]
    known = f"; packaged are: {', '.join(names)}" if names else ""
    near = nearest(str(model), names)
    meant = f"did you mean {near}?" if near else missing_hint(path)
    raise InputError(f"{path}: no such run folder or model file{known}; {meant}")


def model_suffixes() -> list[str]:
    """Of all files that a backend runs."""
    return list(dict.fromkeys(s for backend in BACKENDS.values() for s in backend.suffixes))


def _files_of_run(run: Path) -> dict[str, Path]:
    """Backend -> file, of the exports and the model.keras of a run folder."""
    files = _by_backend([*(run / "exports").glob("*"), *run.glob("model.keras")])
    if not files and (run / "config.json").is_file():
        raise InputError(
            f"{run}: no epoch of its training is finished, it has no model yet; go on with "
            f"`skyseg train --resume {run}`"
        )
    if not files:
        raise InputError(f"{run}: neither model.keras nor exports/ in it; is it a run folder?")
    return files


def _by_backend(found: Iterable[Path]) -> dict[str, Path]:
    """Backend -> the best of the files that it runs, in order of preference."""
    files = {}
    for name, backend in BACKENDS.items():
        runs = [file for file in found if file.suffix in backend.suffixes]
        if runs:
            files[name] = min(runs, key=lambda file: _rank(file, backend.suffixes))
    return files


def _rank(file: Path, suffixes: tuple[str, ...]) -> tuple[int, int, str]:
    """A backend's own format first, then full precision; a quantized export is run when named."""
    ranks = [i for i, precision in enumerate(_PRECISIONS) if precision in file.stem]
    return (suffixes.index(file.suffix), ranks[0] if ranks else 0, file.name)


def _check_fresh(run: Path, loaded: Runtime) -> None:
    source, made_from = run / "model.keras", loaded.facts.sha256
    if loaded.path == source or not source.is_file() or not made_from:
        return
    if sha256_of(source) != made_from:
        raise InputError(
            f"{loaded.path}: was exported from another model.keras than the one beside it; "
            "run `skyseg export` again or give --backend keras"
        )
