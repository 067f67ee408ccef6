"""An hour of training, ours beside PyTorch's: one network, the same photos, cores and minutes.

    python benchmarks/training.py TREE --torch-python PATH [--minutes 60] [--seeds 0 1 2]
                                  [--scheme NAME] [--epochs N M] [--scenes N] [--work FOLDER]
                                  [--only ours] [--out FILE]

TREE is a labeled dataset that `skyseg check` understands (CamVid, IDD-lite). U-Net with
EfficientNet-B2 from random weights: by `skyseg train` with the recipe below, and by
segmentation_models.pytorch (benchmarks/torch_training.py, by a Python that has it) at --size. Ours
trains N epochs at --size, then M at --fine-size or as many of them as --minutes still hold. Where
photos are few it also takes --scenes drawn scenes, opens the crowns that CamVid labels as blobs, and
draws bare trees and pale walls before the photos' skies; its minutes count the drawing.
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
from skyseg_tf.labels import LabelScheme, get_scheme
from skyseg_tf.masking.views import resize_probs
from skyseg_tf.runs.folder import write_json
from skyseg_tf.scoring import metrics
from tools.starting import skyseg

RECIPE = [
    "--model", "unet_efficientnet_b2", "--loss", "ce_dice", "--augment", "geometric",
    "--precision", "mixed_bfloat16",
]  # fmt: skip
SIDES = {"ours": "skyseg train", "peer": "segmentation_models.pytorch"}
WITH_SCENES = ["--extra-classes", "known", "--open-crowns"]
COARSE = ["--learning-rate", "2e-3", "--ema", "0.998"]
FINE = ["--learning-rate", "5e-4", "--ema", "0.99"]


def prepare(tree: Path, scheme: str, size: tuple[int, int], work: Path) -> Path:
    """Records of the photos."""
    records = work / f"photos_{size[0]}x{size[1]}"
    build(BuildConfig(source=tree, out=records, scheme=scheme, image_size=size, storage="uint8"))
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
    manifest = read_manifest(photos)
    size = manifest.image_size
    with tempfile.TemporaryDirectory(dir=run.parent) as aside:
        mixed = []
        if scenes:
            tree, records = Path(aside) / "tree", Path(aside) / "records"
            # Four of five are for training.
            call("scenes", "--out", tree, "--count", scenes * 5 // 4, "--size", *size,
                 "--seed", drawing, "--conditions", "cityscapes")  # fmt: skip
            call("build", "--source", tree, "--out", records, "--scheme", manifest.scheme.name,
                 "--image-size", *size, "--storage", "uint8",
                 "--rgb-stats", photos / "rgb_stats.json")  # fmt: skip
            mixed = ["--extra-records", records, *WITH_SCENES]
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


def score(
    probs: np.ndarray, photos: list, truths: dict[str, np.ndarray], scheme: LabelScheme
) -> dict:
    """Sky IoU and mean IoU at the labels' own size."""
    matrix = np.zeros((scheme.num_classes, scheme.num_classes), np.int64)
    for photo, one in zip(photos, probs, strict=True):
        truth = truths[photo.name]
        pred = resize_probs(one.astype(np.float32), truth.shape).argmax(-1)
        matrix += metrics.confusion_matrix(truth, pred, scheme.num_classes)
    sky = metrics.iou(matrix)[scheme.class_names.index("sky")]
    return {"sky_iou": float(sky), "mean_iou": metrics.mean_iou(matrix)}


def read_flags() -> argparse.Namespace:
    """What is typed; `sides` has those that take part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument(
        "--torch-python", type=torch_python, help="a Python with what torch_training.py needs"
    )
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--epochs", type=int, nargs=2, default=(24, 2), metavar=("N", "M"))
    parser.add_argument("--scenes", type=int, default=360)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--scheme", default="cityscapes19")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256))
    parser.add_argument("--fine-size", type=int, nargs=2, default=(288, 384))
    parser.add_argument("--work", type=Path, default=Path("runs/training_benchmark"))
    parser.add_argument("--out", type=Path, help="JSON that will hold the rows")
    args = parser.parse_args()
    args.sides = [args.only] if args.only else list(SIDES)
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
    train, manifest = list(photos_of_records(photos, "train")), read_manifest(photos)
    stats, classes = mean_and_std(manifest.rgb_stats), manifest.scheme.num_logits
    probs = train_peer(
        args.torch_python, train, val, stats, classes, args.minutes, seed, out
    )  # fmt: skip
    return probs, {"epochs": None, "minutes": (time.perf_counter() - begun) / 60}


def tell_spread(side: str, rows: list[dict]) -> None:
    """Prints mean and standard deviation over the seeds."""
    told = [
        f"{name} {statistics.mean(row[key] for row in rows):.4f} +- "
        f"{statistics.stdev(row[key] for row in rows):.4f}"
        for name, key in (("sky IoU", "sky_iou"), ("mean IoU", "mean_iou"))
    ]
    print(f"{side}: {', '.join(told)} over {len(rows)} seeds")


def main() -> None:
    """Prints a row per training, then mean and spread of each side."""
    args = read_flags()
    args.work.mkdir(parents=True, exist_ok=True)
    sizes = [args.size, args.fine_size] if "ours" in args.sides else [args.size]
    photos, *fine = [prepare(args.tree, args.scheme, tuple(size), args.work) for size in sizes]
    val, scheme = list(photos_of_records(photos, "val")), get_scheme(args.scheme)
    pairs = find_pairs(args.tree, splits=["val"])
    labeled = photos_of_pairs(pairs, guess_mask_encoding(pairs), scheme)
    truths = {photo.name: photo.truth for photo in labeled}
    names = f"{'epochs':>8}{'minutes':>9}{'sky IoU':>9}{'mean IoU':>10}"
    print(f"{'':<10}{'seed':>5}{names}", flush=True)
    rows = {side: [] for side in args.sides}
    for seed in args.seeds:
        for side in args.sides:
            kept = args.work / f"{side}_{seed}.json"
            if not kept.exists():
                if side == "ours":
                    probs, told = run_ours(args, seed, photos, *fine, val)
                else:
                    probs, told = run_peer(args, seed, photos, val)
                kept.write_text(json.dumps(told | score(probs, val, truths, scheme)))
            row = {"seed": seed} | json.loads(kept.read_text())
            rows[side].append(row)
            print(f"{side:<10}{seed:>5}{row['epochs'] or '-':>8}{row['minutes']:>9.1f}"
                  f"{row['sky_iou']:>9.4f}{row['mean_iou']:>10.4f}", flush=True)  # fmt: skip
    for side, results in rows.items():
        if len(results) > 1:
            tell_spread(side, results)
    if args.out:
        write_json(args.out, {SIDES[side]: results for side, results in rows.items()})


if __name__ == "__main__":
    with one_line_errors("training.py"):
        main()
