"""The evaluator of cityscapesScripts, run on written PNGs."""

from pathlib import Path

import numpy as np
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official


def run_official(monkeypatch, truths: list[Path], predictions: Path) -> tuple[dict, dict]:
    """Its result and its instance statistics.

    Args:
      monkeypatch: of pytest.
      truths: *_gtFine_labelIds.png, instanceIds beside them.
      predictions: folder in which its own search finds one file for each truth.
    """
    # NumPy 2.4 dropped in1d, which version 2.3.0 of the scripts still calls.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(predictions))
    args = official.args
    for key, value in (
        ("predictionPath", None), ("predictionWalk", None), ("quiet", True), ("JSONOutput", False),
    ):  # fmt: skip
        monkeypatch.setattr(args, key, value)
    kept = {}
    generate = official.generateInstanceStats

    def keeping(args):
        kept.update(generate(args))
        return kept

    monkeypatch.setattr(official, "generateInstanceStats", keeping)
    found = [official.getPrediction(args, str(truth)) for truth in truths]
    return official.evaluateImgLists(found, list(map(str, truths)), args), kept
