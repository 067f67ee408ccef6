"""Scores of the packaged models by domain, at the photos' full size, with and without refinement.

    python benchmarks/boxed_model.py TREE... [--every 3] [--model skyline] [--long-sides 384 512]
                                     [--torch-python PATH] [--minutes 18] [--seed 0]
                                     [--out docs/figures/packaged.json]

Each TREE is a labeled dataset that `skyseg check` understands. Trees with a val split give that
split; of plain folders every third photo in the order of their names is taken, or every third
flight, which is what the trainings of these models left out (domains.py).

--torch-python names a Python with what torch_training.py needs: it trains segmentation_models
.pytorch's U-Net with EfficientNet-B2 from random weights for --minutes on the other photos of all
trees, at 240x320 as ours were, and its masks are scored beside ours. Its best weights are chosen
by the very photos that are scored, which flatters it.

--out keeps the rows, one list for each network, for docs/make_figures.py; others in the file stay.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import numpy as np
from domains import load, split_pairs
from smp_peer import torch_python, train_peer

from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.photos import LabeledPhoto
from skyseg_tf.images import resize_image, resize_mask
from skyseg_tf.masking.prediction import enlarge, infer
from skyseg_tf.masking.runtime import load_runtime
from skyseg_tf.masking.views import resize_probs
from skyseg_tf.scoring import metrics

PEER_SIZE = (240, 320)


def peer_probs(
    train: list[LabeledPhoto], held_out: list[LabeledPhoto], python: str, minutes: float, seed: int
) -> list[np.ndarray]:
    """The peer's probability of sky for each held-out photo, (H, W) at full size."""
    small = [
        [
            LabeledPhoto(p.name, resize_image(p.image, PEER_SIZE), resize_mask(p.truth, PEER_SIZE))
            for p in photos
        ]
        for photos in (train, held_out)
    ]
    pixels = np.stack([photo.image for photo in small[0]]).reshape(-1, 3)
    stats = pixels.mean(0), pixels.std(0)
    with tempfile.TemporaryDirectory() as folder:
        probs = train_peer(python, *small, stats, 2, minutes, seed, Path(folder) / "logits.npy")
    return [
        resize_probs(one, photo.truth.shape)[..., 1]
        for one, photo in zip(probs, held_out, strict=True)
    ]


def print_row(
    label: str, photos: list[LabeledPhoto], skies: Iterable[np.ndarray], threshold: float
) -> dict:
    """Prints and returns the scores of probabilities (H, W) over all photos."""
    matrix, counts, bins, false, bare = np.zeros((2, 2), np.int64), 0, 0, 0, 0
    for photo, sky in zip(photos, skies, strict=True):
        pred = sky >= threshold
        matrix += metrics.confusion_matrix(photo.truth, pred.astype(np.uint8), 2)
        counts += metrics.boundary_counts(photo.truth, pred, 1, (1.0, 2.0, 4.0))
        bins += metrics.calibration_counts(photo.truth, sky)
        if not (photo.truth == 1).any():
            valid = photo.truth != 255
            false, bare = false + pred[valid].sum(), bare + valid.sum()
    f_scores = [metrics.boundary_f(row) for row in counts]
    share = f"{false / bare:>10.2%}" if bare else f"{'-':>10}"
    edges = "".join(f"{score:>7.3f}" for score in f_scores)
    iou, error = metrics.iou(matrix)[1], metrics.calibration_error(bins)
    print(f"{label}{iou:>7.4f} {edges}{share}{error:>9.4f}", flush=True)
    scores = {"iou": iou} | dict(zip(("f_1px", "f_2px", "f_4px"), f_scores, strict=True))
    rounded = {key: round(float(score), 3) for key, score in scores.items()}
    rounded["false_sky"] = round(float(false / bare), 4) if bare else None
    return rounded | {"calibration_error": round(error, 4)}


def main() -> None:
    """Prints a row per tree, long side and refinement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", type=Path, nargs="+")
    parser.add_argument("--model")
    parser.add_argument("--backend")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--long-sides", type=int, nargs="+")
    parser.add_argument(
        "--torch-python", type=torch_python, help="a Python with what torch_training.py needs"
    )
    parser.add_argument("--minutes", type=float, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of all rows, for docs/make_figures.py")
    flags = parser.parse_args()
    rows = {}
    runtime = load_runtime(flags.model, flags.backend)
    sides = flags.long_sides or [runtime.facts.long_side]
    print(f"{runtime.name} on {runtime.backend}, threshold {runtime.threshold}")
    print(f"{'photos':<20}{'':>5}{'side':>6}  {'':<9}{'IoU':>7}{'F 1 px':>8}{'2 px':>7}{'4 px':>7}"
          f"{'false sky':>11}{'ECE':>8}")  # fmt: skip
    pairs = {tree: split_pairs(tree, flags.every) for tree in flags.trees}
    held_out = {tree: load(unseen) for tree, (_, unseen) in pairs.items()}
    for tree, photos in held_out.items():
        for side in sides:
            runtime.facts = replace(runtime.facts, long_side=side)
            coarse = [infer(runtime, [photo.image])[0] for photo in photos]
            for refined in (False, True):
                skies = (
                    enlarge(runtime, photo.image, probs, refined=refined).sky
                    for photo, probs in zip(photos, coarse, strict=True)
                )
                label = f"{tree.name:<20}{len(photos):>5}{side:>6}"
                scores = print_row(
                    f"{label}  {('plain', 'refined')[refined]:<9}", photos, skies, runtime.threshold
                )
                row = {"photos": tree.name, "refined": refined, **scores}
                rows.setdefault(runtime.name, []).append(row)
    if flags.torch_python:
        train = [photo for seen, _ in pairs.values() for photo in load(seen)]
        unseen = [photo for photos in held_out.values() for photo in photos]
        probs = iter(peer_probs(train, unseen, flags.torch_python, flags.minutes, flags.seed))
        for tree, photos in held_out.items():
            skies = (next(probs) for _ in photos)
            label = f"{tree.name:<20}{len(photos):>5}{PEER_SIZE[1]:>6}  {'peer':<9}"
            row = {"photos": tree.name, "refined": False, **print_row(label, photos, skies, 0.5)}
            rows.setdefault("smp_unet_efficientnet_b2", []).append(row)
    if flags.out:
        before = json.loads(flags.out.read_text()) if flags.out.is_file() else {}
        flags.out.write_text(json.dumps(before | rows, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors("boxed_model.py"):
        main()
