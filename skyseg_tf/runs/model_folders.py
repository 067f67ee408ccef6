"""Where things that are made of a model lie: beside it, or below runs/ for one of the package.

A model is what --model names: a run folder, a model file, or the name of a packaged run.
"""

from pathlib import Path

from skyseg_tf.runs.packaged import packaged_run


def run_of(model: str | Path) -> Path | None:
    """The run folder that is named, itself or by its model.keras; None for other models."""
    path = Path(model)
    if path.is_file() and path.name == "model.keras":
        return path.parent
    return path if path.is_dir() else packaged_run(model)


def evaluations_of(model: str | Path) -> Path:
    """RUN/evaluation, FILE.evaluation, or runs/evaluation/<name of a packaged run>."""
    return _folder(model, "evaluation")


def exports_of(model: str | Path) -> Path:
    """RUN/exports, FILE.exports, or runs/exports/<name of a packaged run>."""
    return _folder(model, "exports")


def _folder(model: str | Path, what: str) -> Path:
    path = Path(model)
    if path.is_file() and path.name != "model.keras":
        return path.with_name(f"{path.name}.{what}")
    if not path.exists():  # the package itself is not written into
        return Path("runs") / what / path
    return run_of(model) / what
