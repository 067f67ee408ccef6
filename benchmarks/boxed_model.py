"""Scores of the boxed models by domain, at the photos' full size, with and without refinement.

python benchmarks/boxed_model.py TREE... [--every 3] [--model skyline] [--long-sides 384 512]

Each TREE is a labeled dataset that `skyseg check` understands. Trees with a val split give that
split; of plain folders every third photo in the order of their names is taken, which is what the
trainings of the box left out.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from skyseg_tf import metrics
from skyseg_tf.data.layouts import guess_mask_encoding, scan_tree
from skyseg_tf.data.photos import photos_of_pairs
from skyseg_tf.labels import get_scheme
from skyseg_tf.prediction import enlarge, infer
from skyseg_tf.runtime import load_runtime


def held_out(tree: Path, every: int) -> list:
    """Pairs that no training of the box has seen."""
    scan = scan_tree(tree)
    if scan.has_splits:
        return [pair for pair in scan.pairs if pair.split == "val"]
    return sorted(scan.pairs, key=lambda pair: pair.name)[every - 1 :: every]


def main() -> None:
    """Prints a row per tree, long side and refinement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", type=Path, nargs="+")
    parser.add_argument("--model")
    parser.add_argument("--backend")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--long-sides", type=int, nargs="+")
    flags = parser.parse_args()
    runtime = load_runtime(flags.model, flags.backend)
    sides = flags.long_sides or [runtime.facts.long_side]
    print(f"{runtime.name} on {runtime.backend}, threshold {runtime.threshold}")
    print(f"{'photos':<20}{'':>5}{'side':>6}  {'':<9}{'IoU':>7}{'F 1 px':>8}{'2 px':>7}{'4 px':>7}"
          f"{'false sky':>11}")  # fmt: skip
    for tree in flags.trees:
        pairs = held_out(tree, flags.every)
        photos = list(photos_of_pairs(pairs, guess_mask_encoding(pairs), get_scheme("sky")))
        for side in sides:
            runtime.facts = replace(runtime.facts, long_side=side)
            coarse = [infer(runtime, [photo.image])[0] for photo in photos]
            for refined in (False, True):
                matrix, counts, false, bare = np.zeros((2, 2), np.int64), 0, 0, 0
                for photo, probs in zip(photos, coarse, strict=True):
                    pred = enlarge(runtime, photo.image, probs, refined=refined).is_sky
                    matrix += metrics.confusion_matrix(photo.truth, pred.astype(np.uint8), 2)
                    counts += metrics.boundary_counts(photo.truth, pred, 1, (1.0, 2.0, 4.0))
                    if not (photo.truth == 1).any():
                        valid = photo.truth != 255
                        false, bare = false + pred[valid].sum(), bare + valid.sum()
                edges = "".join(f"{metrics.boundary_f(row):>7.3f}" for row in counts)
                share = f"{false / bare:>10.2%}" if bare else f"{'-':>10}"
                print(f"{tree.name:<20}{len(photos):>5}{side:>6}  {('plain', 'refined')[refined]:<9}"
                      f"{metrics.iou(matrix)[1]:>7.4f} {edges}{share}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
