"""Predictions in the form that the Cityscapes benchmark and cityscapesScripts take.

One PNG of labelIds (not trainIds) per photo, at the photo's own size, named after it:
`<city>_<sequence>_<frame>_pred_labelIds.png`. The evaluator looks for
`<city>_<sequence>_<frame>*.png` below one folder and wants exactly one match.

Reference: cityscapesScripts, evaluation/evalPixelLevelSemanticLabeling.py, getPrediction.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.images import write_image
from skyseg_tf.labels import LabelScheme

SUFFIX = "_pred_labelIds.png"
_NAME = re.compile(r"[^/]+_\d{6}_\d{6}")


def check_submission(folder: str | Path, names: Iterable[str]) -> None:
    """Refuses what the evaluator would stumble over, before anything is written.

    Args:
      folder: where the predictions will be written.
      names: of the photos.

    Raises:
      InputError: a photo without a Cityscapes name, or other predictions of it in the folder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder for the predictions")
    others = {}
    for path in folder.rglob("*.png") if folder.exists() else ():
        match = _NAME.match(path.name)
        if match and path != folder / f"{match[0]}{SUFFIX}":
            others[match[0]] = path
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name}: the benchmark wants photos named <city>_<6 digits>_<6 digits>; "
                "leave --submission out for other datasets"
            )
        if name in others:
            raise InputError(
                f"{others[name]}: another prediction of {name}, and the evaluator wants "
                "one; choose an empty folder"
            )


def write_submission(folder: str | Path, name: str, pred: np.ndarray, scheme: LabelScheme) -> Path:
    """Writes one prediction.

    Args:
      folder: of all predictions.
      name: the photo's, "<city>_<sequence>_<frame>".
      pred: (H, W) uint8 class ids, at the photo's own size.
      scheme: the classes.

    Returns:
      The file.
    """
    path = Path(folder) / f"{name}{SUFFIX}"
    write_image(path, scheme.label_ids[pred])
    return path
