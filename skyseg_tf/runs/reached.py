"""How far the checkpoints of a run are, without the network that they are of."""

import json
from pathlib import Path

import numpy as np

GENERATIONS = ("newest.npz", "last.npz", "previous.npz")  # the first only amid the renaming


def reached(run: str | Path) -> tuple[int, int]:
    """(finished epochs, batches done of the next one) of a run's newest checkpoint that says so.

    Args:
      run: run folder. Before its first checkpoint, and without any run, it is at (0, 0).
    """
    for name in GENERATIONS:
        try:
            with np.load(Path(run, "checkpoints", name)) as file:
                facts = json.loads(file["facts"].tobytes())
            return int(facts["epoch"]), int(facts["step"])
        except Exception:  # what is wrong with it is told where it is loaded
            continue
    return 0, 0
