"""The folders whose models, samples and runs the dashboard shows."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Where the dashboard looks; nobody who only visits it can name another place."""

    runs: Path = Path("runs")
    """Run folders of `skyseg train`."""
    models: Path = Path("models_display")
    """More models: run folders, and model files of any backend."""
    data: Path = Path("data_display")
    """Samples: gtFine, leftImg8bit and leftImg8bit_sequence as in Cityscapes, or plain photos."""
