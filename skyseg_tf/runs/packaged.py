"""The runs that come with the package: weights/<name>/, named and pinned in weights/models.json.

They are runs as any other: model.keras, config.json, dataset.json, metrics.json, and in exports/ an
ONNX file for those who run them. `tools/box.py` puts one there.
"""

import json
from pathlib import Path
from typing import Any

from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of

WEIGHTS = Path(__file__).parents[1] / "weights"


def read_packaged() -> dict[str, Any]:
    """models.json: {"default": name, "models": {name: facts}}; empty if there is none.

    Of each run: files ({path in the run: its sha256}), parameters, data, terms.
    """
    index = WEIGHTS / "models.json"
    return json.loads(index.read_text()) if index.is_file() else {"default": None, "models": {}}


def packaged_run(model: str | Path | None) -> Path | None:
    """The folder of the packaged run that a --model names; None for other models.

    Args:
      model: a name, or None for the default one. A file or folder of the same name goes first.
    """
    index = read_packaged()
    name = index["default"] if model is None else str(model)
    if name not in index["models"] or (model is not None and Path(model).exists()):
        return None
    return WEIGHTS / name


def packaged_files(run: Path) -> dict[Path, str]:
    """The files of a packaged run that are pinned, each with its sha256."""
    pinned = read_packaged()["models"][run.name]["files"]
    return {run / name: sha256 for name, sha256 in pinned.items()}


def check_packaged(path: Path, wanted: str) -> None:
    """Refuses a file of a packaged run that is not the one that was put there.

    Raises:
      InputError: missing, or of another content.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing; install skyseg_tf again")
    if sha256_of(path) != wanted:
        raise InputError(
            f"{path}: its sha256 is not the one in models.json (damaged or altered); "
            "install skyseg_tf again"
        )
