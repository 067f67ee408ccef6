"""How far a training is, and how far it is to go.

What a training has done is a Progress; together with the variables it is all that a checkpoint
holds, and going on from it gives the very weights of a training that was never stopped.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_type_hints

from skyseg_tf.errors import InputError
from skyseg_tf.files.json_types import typed
from skyseg_tf.training.checkpoints import load_latest
from skyseg_tf.training.step import TrainedModel


@dataclass
class Progress:
    """How far a training is.

    Attributes:
      data: what identifies the records; a training goes on with the same ones only.
      epoch: finished epochs.
      step: batches done of the epoch that runs.
      metrics: values of the running metrics after them.
      trained: loss and IoU over the train split once all batches of the epoch are done.
      seconds: spent in the epoch that runs.
      waited: those of them in which no batch was ready.
      history: one row per finished epoch, see `fit`.
    """

    data: str = ""
    epoch: int = 0
    step: int = 0
    metrics: list = field(default_factory=list)
    trained: dict[str, float] | None = None
    seconds: float = 0.0
    waited: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Adds an epoch's row to the history and goes to the start of the next."""
        self.history.append(row)
        self.epoch, self.step, self.metrics, self.trained = row["epoch"], 0, [], None
        self.seconds = self.waited = 0.0


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to save.

    Attributes:
      epochs: at most.
      steps: batches of an epoch.
      checkpoint_steps: also save after every so many batches; 0: after epochs alone.
      patience: stop after so many epochs without a better val IoU; 0: never.
    """

    epochs: int
    steps: int
    checkpoint_steps: int = 0
    patience: int = 0


def load_progress(folder: Path, model: TrainedModel, data: str) -> Progress:
    """Sets a model to the newest whole checkpoint of a run.

    Args:
      folder: `checkpoints` of the run.
      model: compiled, with its averages.
      data: what identifies the records.

    Returns:
      How far that is; no step where there is no checkpoint yet.

    Raises:
      InputError: no whole checkpoint, or one of another network, optimizer or data.
    """
    facts = load_latest(folder, model)
    if facts is None:
        return Progress(data)
    hints = get_type_hints(Progress)
    for name in hints.keys() - facts.keys():
        raise InputError(f"{folder}: a checkpoint without {name}; train again, in another --run")
    progress = Progress(
        **{name: typed(facts[name], kind, folder, name) for name, kind in hints.items()}
    )
    if progress.data != data:
        raise InputError(f"{folder}: the records have changed since; train again, in another --run")
    if len(progress.metrics) not in (0, len(model.metric_parts)):
        raise InputError(
            f"{folder}: stopped within an epoch by another version of this program; go on with that "
            "one, or train again, in another --run"
        )
    return progress


def is_over(progress: Progress, schedule: Schedule) -> bool:
    """Whether all epochs are done, or the last `patience` ones brought no better val IoU."""
    scores = [row["val_iou"] for row in progress.history]
    stale = len(scores) - 1 - scores.index(max(scores)) if scores else 0
    return progress.epoch >= schedule.epochs or (
        bool(schedule.patience) and stale >= schedule.patience
    )
