"""Tables of a run as CSV, above all history.csv: the history of a training, one line per epoch."""

import csv
from collections.abc import Sequence
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files.aside import write_aside

_COLUMNS = {"epoch", "loss", "val_loss", "iou", "val_iou"}


def write_rows(path: str | Path, rows: Sequence[dict]) -> None:
    """Writes one row or more, all of the same keys, as CSV: whole or not at all."""
    with write_aside(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def read_history(run: Path) -> dict[str, list[float]]:
    """history.csv of a run by column; NaN where a cell is empty.

    Raises:
      InputError: no such file, or a damaged one.
    """
    path = run / "history.csv"
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {
            key: [float(row[key]) if row[key] else float("nan") for row in rows]
            for key in (rows[0] if rows else ())
        }
    except FileNotFoundError:
        raise InputError(
            f"{run.name}: no history.csv yet: wait until an epoch is finished"
        ) from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise InputError(f"{path}: damaged; train the run again") from None
    if not columns.keys() >= _COLUMNS:
        raise InputError(f"{path}: not the history of a training; train the run again")
    return columns
