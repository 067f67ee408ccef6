"""The figures of one photo's sky: its share, its confidence, the line where it ends."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from skyseg_tf.masking.prediction import Prediction

_FIGURES = ("height", "width", "sky", "sky_share", "confidence")
_COLUMNS = ("file", *_FIGURES, "horizon_left", "horizon_right")


def sky_facts(prediction: Prediction) -> dict:
    """Figures of one photo.

    Returns:
      "sky" (bool: whether there is any), "sky_share" (of the pixels, 0-1), "horizon" (the line
      under which there is no more sky, see `horizon_line`, or None), "confidence" (mean over all
      pixels of the probability of what was decided, 0.5-1; None without a sky class), and
      "classes": share of each.
    """
    is_sky = prediction.is_sky
    shares = np.bincount(prediction.ids.ravel(), minlength=256) / prediction.ids.size
    facts = {
        "height": prediction.ids.shape[0],
        "width": prediction.ids.shape[1],
        "model": prediction.model,
        "sky": bool(is_sky.any()),
        "sky_share": round(prediction.sky_share, 6),
        "horizon": horizon_line(is_sky),
        "confidence": None,
        "classes": {
            name: round(float(shares[i]), 6) for i, name in enumerate(prediction.class_names)
        },
    }
    if prediction.sky is not None:
        decided = np.where(is_sky, prediction.sky, 1 - prediction.sky)
        facts["confidence"] = round(float(decided.mean(dtype=np.float64)), 4)
    return facts


def horizon_line(is_sky: np.ndarray) -> dict | None:
    """Where the sky ends, as a straight line.

    Args:
      is_sky: (H, W) bool.

    Returns:
      {"left", "right"}: height of the line at the left and right edge as a share of the photo's
      height, 0 at the top; the median-slope line (Theil-Sen) through the lowest sky pixel of each
      column that has sky. None where fewer than a tenth of the columns have any.
    """
    height, width = is_sky.shape
    columns = np.flatnonzero(is_sky.any(0))
    if len(columns) < max(2, width / 10):
        return None
    columns = columns[:: max(1, len(columns) // 256)]
    lowest = height - is_sky[::-1, columns].argmax(0)
    x, y = (columns + 0.5) / width, lowest / height
    i, j = np.triu_indices(len(x), 1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))
    left = float(np.median(y - slope * x))
    return {"left": round(left, 4), "right": round(left + slope, 4)}


def facts_row(name: str, prediction: Prediction) -> dict:
    """The figures of `sky_facts` and the horizon's two ends, in a line of a table."""
    facts = sky_facts(prediction)
    horizon = facts["horizon"] or {}
    facts |= {f"horizon_{side}": horizon.get(side) for side in ("left", "right")}
    return {"file": name, **facts}


def render_csv(rows: Sequence[dict]) -> str:
    """Rows of `facts_row` under a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
