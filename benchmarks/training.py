"""An hour of training, ours beside PyTorch's: one network, the same photos, cores and minutes.

    python benchmarks/training.py TREE --torch-python PATH [--minutes 60] [--seeds 0 1 2]
                                  [--epochs N M] [--scenes N] [--work FOLDER] [--only ours]

TREE is a labeled dataset that `skyseg check` understands (CamVid), classes cityscapes19. U-Net with
EfficientNet-B2 from random weights: by `skyseg train` with the recipe below, and by
segmentation_models.pytorch (benchmarks/torch_training.py, by a Python that has it) at --size. Ours
trains N epochs at --size, then M at --fine-size or as many of them as --minutes still hold. It also
takes --scenes drawn scenes, since the photos are few, opens the crowns that CamVid labels as blobs,
and draws bare trees and pale walls before the photos' skies; its minutes count the drawing.
Decoding the photos is counted for neither. A training of ours that takes longer than --minutes is
refused: give N that leaves time on the machine at hand. Each training runs alone; both keep the
weights that did best on the val split.

Both are scored alike: probabilities at --size are brought to the labels' own size, void left out,
one confusion matrix over the val split; sky IoU and the mean over the classes that occur. A row is
kept in --work and not trained again, so a stopped benchmark goes on.
"""

import argparse
import csv
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import numpy as np
from smp_peer import torch_python, train_peer

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.photos import photos_of_pairs, photos_of_records
from skyseg_tf.data.records import read_manifest
from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.labels import get_scheme
from skyseg_tf.masking.views import resize_probs
from skyseg_tf.scoring import metrics
from tools.starting import skyseg

SCHEME = get_scheme("cityscapes19")
SKY = SCHEME.class_names.index("sky")
RECIPE = [
    "--model", "unet_efficientnet_b2", "--loss", "ce_dice", "--augment", "geometric",
    "--extra-classes", "known", "--open-crowns", "--precision", "mixed_bfloat16",
]  # fmt: skip
COARSE = ["--learning-rate", "2e-3", "--ema", "0.998"]
FINE = ["--learning-rate", "5e-4", "--ema", "0.99"]


def prepare(tree: Path, size: tuple[int, int], work: Path) -> Path:
    """Records of the photos."""
    records = work / f"photos_{size[0]}x{size[1]}"
    build(
        BuildConfig(source=tree, out=records, scheme=SCHEME.name, image_size=size, storage="uint8")
    )
    return records


def call(verb: str, *flags) -> None:
    """A command that users type; where it fails it has said why."""
    done = subprocess.run(**skyseg(verb, *flags))
    if done.returncode:
        raise SystemExit(done.returncode)


def still_fitting(coarse: Path, spent: float, minutes: float, growth: float) -> int:
    """How many fine epochs the minutes still hold, as the epochs before them tell.

    Args:
      coarse: the run of the first stage.
      spent: its minutes; what it spent beside its epochs (drawing, saving) a second one spends too.
      minutes: of both.
      growth: pixels of the second stage for each of the first.
    """
    with open(coarse / "history.csv", newline="") as file:
        epochs = [float(line["seconds"]) / 60 for line in csv.DictReader(file)]
    aside = spent - sum(epochs)
    return max(0, int((minutes - spent - aside) / (growth * statistics.mean(epochs))))


def train_stage(photos: Path, scenes: int, drawing: int, run: Path, *flags) -> None:
    """Draws scenes of the photos' size, by the seed ``drawing``, and trains on both."""
    size = read_manifest(photos).image_size
    with tempfile.TemporaryDirectory(dir=run.parent) as aside:
        mixed = []
        if scenes:
            tree, records = Path(aside) / "tree", Path(aside) / "records"
            # Four of five are for training.
            call("scenes", "--out", tree, "--count", scenes * 5 // 4, "--size", *size,
                 "--seed", drawing, "--conditions", "cityscapes")  # fmt: skip
            call("build", "--source", tree, "--out", records, "--scheme", SCHEME.name,
                 "--image-size", *size, "--storage", "uint8",
                 "--rgb-stats", photos / "rgb_stats.json")  # fmt: skip
            mixed = ["--extra-records", records]
        call("train", "--records", photos, *mixed, *RECIPE, *flags,
             "--run", run, "--plots", run / "plots", "--quiet")  # fmt: skip


def train_ours(
    photos: Path, fine: Path, epochs: list[int], scenes: int, seed: int, run: Path, minutes: float
) -> str:
    """Trains at one size, then at a larger one as long as the minutes last.

    Args:
      photos: records of the first size.
      fine: of the second.
      epochs: at each, at most.
      scenes: drawn for training, at each.
      seed: of everything.
      run: will be the run folder of the last stage; a first one lies beside it.
      minutes: of both.

    Returns:
      The epochs trained, such as "24 + 2".
    """
    begun = time.perf_counter()
    coarse = run.with_name(f"{run.name}_coarse")
    # A stopped training begins anew, drawing included: all its time counts.
    for folder in (coarse, run):
        shutil.rmtree(folder, ignore_errors=True)
    seeded = ["--seed", seed]
    train_stage(photos, scenes, seed, coarse, *seeded, *COARSE, "--epochs", epochs[0])
    growth = math.prod(read_manifest(fine).image_size) / math.prod(read_manifest(photos).image_size)
    spent = (time.perf_counter() - begun) / 60
    more = min(epochs[1], still_fitting(coarse, spent, minutes, growth))
    if not more:
        coarse.rename(run)
        return f"{epochs[0]}"
    train_stage(fine, scenes, seed + 1000, run, *seeded, *FINE, "--init", coarse, "--epochs", more)
    return f"{epochs[0]} + {more}"


def our_probs(run: Path, photos: list) -> np.ndarray:
    """(N, H, W, C) of the run's saved network, which takes raw RGB."""
    from skyseg_tf.exporters.saved_model import load_saved_model
    from skyseg_tf.runs.model_file import predictor

    predict = predictor(load_saved_model(run))
    return np.concatenate([predict(photo.image[None]) for photo in photos])


def score(probs: np.ndarray, photos: list, truths: dict[str, np.ndarray]) -> dict:
    """Sky IoU and mean IoU at the labels' own size."""
    matrix = np.zeros((SCHEME.num_classes, SCHEME.num_classes), np.int64)
    for photo, one in zip(photos, probs, strict=True):
        truth = truths[photo.name]
        pred = resize_probs(one.astype(np.float32), truth.shape).argmax(-1)
        matrix += metrics.confusion_matrix(truth, pred, SCHEME.num_classes)
    return {"sky": float(metrics.iou(matrix)[SKY]), "mean": metrics.mean_iou(matrix)}


def read_flags() -> argparse.Namespace:
    """What is typed; `sides` has those that take part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument(
        "--torch-python", type=torch_python, help="a Python with what torch_training.py needs"
    )
    parser.add_argument("--only", choices=("ours", "peer"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--epochs", type=int, nargs=2, default=(24, 2), metavar=("N", "M"))
    parser.add_argument("--scenes", type=int, default=360)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256))
    parser.add_argument("--fine-size", type=int, nargs=2, default=(288, 384))
    parser.add_argument("--work", type=Path, default=Path("runs/training_benchmark"))
    args = parser.parse_args()
    args.sides = [args.only] if args.only else ["ours", "peer"]
    if "peer" in args.sides and not args.torch_python:
        parser.error("--torch-python: name a Python that has PyTorch, or give --only ours")
    return args


def run_ours(
    args: argparse.Namespace, seed: int, photos: Path, fine: Path, val: list
) -> tuple[np.ndarray, dict]:
    """Probabilities of the val photos by a network that is trained here; epochs and minutes."""
    begun, run = time.perf_counter(), args.work / f"ours_{seed}"
    epochs = train_ours(photos, fine, args.epochs, args.scenes, seed, run, args.minutes)
    minutes = (time.perf_counter() - begun) / 60
    if minutes > args.minutes:
        raise InputError(f"{minutes:.1f} minutes: give fewer --epochs")
    return our_probs(run, val), {"epochs": epochs, "minutes": minutes}


def run_peer(
    args: argparse.Namespace, seed: int, photos: Path, val: list
) -> tuple[np.ndarray, dict]:
    """The same by PyTorch's network, which tells no epochs."""
    begun, out = time.perf_counter(), args.work / f"peer_{seed}.npy"
    train, stats = list(photos_of_records(photos, "train")), read_manifest(photos).rgb_stats
    probs = train_peer(
        args.torch_python, train, val, mean_and_std(stats), SCHEME.num_logits, args.minutes, seed, out
    )  # fmt: skip
    return probs, {"epochs": "-", "minutes": (time.perf_counter() - begun) / 60}


def tell_spread(side: str, rows: list[dict]) -> None:
    """Prints mean and standard deviation over the seeds."""
    told = [
        f"{name} IoU {statistics.mean(row[name] for row in rows):.4f} +- "
        f"{statistics.stdev(row[name] for row in rows):.4f}"
        for name in ("sky", "mean")
    ]
    print(f"{side}: {', '.join(told)} over {len(rows)} seeds")


def main() -> None:
    """Prints a row per training, then mean and spread of each side."""
    args = read_flags()
    args.work.mkdir(parents=True, exist_ok=True)
    photos = prepare(args.tree, tuple(args.size), args.work)
    fine = prepare(args.tree, tuple(args.fine_size), args.work) if "ours" in args.sides else photos
    val = list(photos_of_records(photos, "val"))
    pairs = find_pairs(args.tree, splits=["val"])
    labeled = photos_of_pairs(pairs, guess_mask_encoding(pairs), SCHEME)
    truths = {photo.name: photo.truth for photo in labeled}
    names = f"{'epochs':>8}{'minutes':>9}{'sky IoU':>9}{'mean IoU':>10}"
    print(f"{'':<10}{'seed':>5}{names}", flush=True)
    rows = {side: [] for side in args.sides}
    for seed in args.seeds:
        for side in args.sides:
            kept = args.work / f"{side}_{seed}.json"
            if not kept.exists():
                if side == "ours":
                    probs, told = run_ours(args, seed, photos, fine, val)
                else:
                    probs, told = run_peer(args, seed, photos, val)
                kept.write_text(json.dumps(told | score(probs, val, truths)))
            row = json.loads(kept.read_text())
            rows[side].append(row)
            print(f"{side:<10}{seed:>5}{row['epochs']:>8}{row['minutes']:>9.1f}"
                  f"{row['sky']:>9.4f}{row['mean']:>10.4f}", flush=True)  # fmt: skip
    for side, results in rows.items():
        if len(results) > 1:
            tell_spread(side, results)


if __name__ == "__main__":
    with one_line_errors("training.py"):
        main()
