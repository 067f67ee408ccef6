"""Draws the picture of the model card: the drawn scenes that the packaged network masks worst.

    python tools/failures_picture.py

Scenes and rooms are of a seed that no training saw. How much of them is wrong on average goes into
docs/figures/failures.json, from which docs/make_figures.py writes the line below the picture.
"""

import heapq
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import numpy as np

from skyseg_tf.data.drawing.dataset import scene_seed
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.labels import IGNORE, decode_mask
from skyseg_tf.masking.prediction import Prediction, predict_image
from skyseg_tf.masking.runtime import Runtime, load_runtime
from skyseg_tf.runs.folder import write_json
from skyseg_tf.scoring.plots import plot_predictions, save_figure

DOCS = Path(__file__).parents[1] / "docs"
SIZE = (240, 320)
SEED = 99  # the trainings have 7 and 21
SHEETS = (("scenes", "all", 160, 4), ("rooms", "indoors", 60, 2))  # conditions, drawn, shown


@dataclass(frozen=True, order=True)
class Failure:
    """A scene and how much of it is wrong, by which failures are ordered.

    Attributes:
      wrong: share of the labeled pixels, 0-1.
      index: of the scene.
      truth: (H, W) uint8 class ids, 255 = ignored.
      prediction: of the scene.
    """

    wrong: float
    index: int
    truth: np.ndarray
    prediction: Prediction


def failure(runtime: Runtime, index: int, conditions: str) -> Failure:
    """Draws a scene and masks it as `skyseg predict` does."""
    scene = draw_scene(scene_seed("val", index, SEED), SIZE, conditions=conditions)
    prediction = predict_image(runtime, scene.image)
    truth = decode_mask(scene.label_ids, "labelIds", prediction.scheme, f"scene {index}")
    wrong = (prediction.ids != truth)[truth != IGNORE].mean()
    return Failure(float(wrong), index, truth, prediction)


def main() -> None:
    """Draws it into docs/."""
    runtime, shown, told = load_runtime(), [], {}
    for name, conditions, count, most in SHEETS:
        failures = [failure(runtime, i, conditions) for i in range(count)]
        told[name] = {
            "drawn": count,
            "shown": most,
            "wrong": round(float(np.mean([one.wrong for one in failures])), 5),
        }
        shown += heapq.nlargest(most, failures)
    worst = ", then ".join(
        f"the {most} worst of {count} drawn {name}" for name, _, count, most in SHEETS
    )
    figure = plot_predictions(
        [one.prediction.image for one in shown],
        [one.truth for one in shown],
        [one.prediction.ids for one in shown],
        shown[0].prediction.scheme,
        f"{runtime.name}: {worst}",
        [f"{one.wrong:.0%} of the pixels wrong" for one in shown],
        first="drawing",
    )
    save_figure(figure, DOCS / "model_card_failures.png")
    write_json(DOCS / "figures" / "failures.json", told)
    print(DOCS / "model_card_failures.png", told)


if __name__ == "__main__":
    main()
