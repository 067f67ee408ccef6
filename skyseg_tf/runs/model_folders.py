"""Where things that are made of a model lie: beside it, or below runs/ for one of the box.

A model is what --model names: a run folder, a model file, or the name of one in the box.
"""

from pathlib import Path


def run_of(model: str | Path) -> Path | None:
    """The run folder that is named, itself or by its model.keras; None for other models."""
    path = Path(model)
    if path.is_file() and path.name == "model.keras":
        return path.parent
    return path if path.is_dir() else None


def evaluations_of(model: str | Path) -> Path:
    """RUN/evaluation, FILE.evaluation, or runs/evaluation/<name in the box>."""
    return _folder(model, "evaluation")


def exports_of(model: str | Path) -> Path:
    """RUN/exports, FILE.exports, or runs/exports/<name in the box>."""
    return _folder(model, "exports")


def _folder(model: str | Path, what: str) -> Path:
    path, run = Path(model), run_of(model)
    if run:
        return run / what
    return path.with_name(f"{path.name}.{what}") if path.is_file() else Path("runs") / what / path
