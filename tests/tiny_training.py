"""`skyseg train` of the small network, by this process or by several; `python tiny_training.py FLAGS`."""

import os
import sys
import time
from pathlib import Path

from skyseg_tf.console.cli import parse_flags
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.training.processes import join
from skyseg_tf.training.settings import TrainConfig


def train(config: TrainConfig) -> Path:
    """As skyseg_tf.train.train, of the small network."""
    import_tensorflow_quietly()
    join(config)
    from tiny_network import NETWORKS

    from skyseg_tf.models import MODELS
    from skyseg_tf.training import story

    MODELS.update(NETWORKS)
    return story.train(config)


def objective(run: Path, params: dict, report) -> float:
    """A trial that takes two seconds and notes its machine, its starts and its epochs."""
    from ray import get_runtime_context

    (run / "node.txt").write_text(get_runtime_context().get_node_id())
    with open(run / "starts.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    for epoch in range(1, 5):
        time.sleep(0.5)
        report(epoch, params["learning_rate"] * epoch / params["batch_size"], 0.5)
        (run / "epochs.txt").write_text(str(epoch))
    return params["learning_rate"] * 4 / params["batch_size"]


def note_start(folder: Path, coordinator: str, process_id: int, again: bool) -> int:
    """What one of several processes does that only notes when it began."""
    (folder / str(process_id)).write_text(str(time.time()))
    return process_id


if __name__ == "__main__":
    train(parse_flags(TrainConfig, sys.argv[1:], "tiny_training"))
