"""The full account of `skyseg evaluate`: counts of every photo, and all that follows from them.

Sums over photos give the scores, and their spread tells how they vary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skyseg_tf.labels import LabelScheme
from skyseg_tf.scoring import metrics
from skyseg_tf.scoring.instances import (
    instance_categories,
    instance_classes,
    instance_counts,
    instance_iou,
)
from skyseg_tf.scoring.scores import BOUNDARY_TOLERANCE, Scores

BOUNDARY_TOLERANCES = (1.0, 2.0, 4.0)  # pixels of the label
TRIMAP_WIDTHS = (2.0, 4.0, 8.0, 16.0)  # pixels of the label, to either side of the outline
CALIBRATION_BINS = 15
RANKED_SHARE = 0.005  # of less sky, true and predicted together, a few pixels decide about the IoU
_QUANTILES = {"p05": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95}


@dataclass(frozen=True)
class ImageScores:
    """Counts of one photo; the sums over photos have the same form.

    Attributes:
      name: of the photo.
      matrix: (C, C) int64 confusion matrix.
      boundary: (3, 4) int64, of sky at BOUNDARY_TOLERANCES; see metrics.boundary_counts.
      trimap: (4, 2, 2) int64, of sky at TRIMAP_WIDTHS; see metrics.trimap_matrices.
      calibration: (15, 3) float64, of sky; see metrics.calibration_counts.
      instances: (2, C, 4) float64, see instances.instance_counts; None without instanceIds.
    """

    name: str
    matrix: np.ndarray
    boundary: np.ndarray
    trimap: np.ndarray
    calibration: np.ndarray
    instances: np.ndarray | None


def score_image(
    name: str,
    truth: np.ndarray,
    pred: np.ndarray,
    sky_prob: np.ndarray | None,
    scheme: LabelScheme,
    instances: np.ndarray | None = None,
) -> ImageScores:
    """Counts of one photo.

    Args:
      name: of the photo.
      truth: (H, W) uint8 class ids, 255 left out.
      pred: (H, W) uint8 class ids.
      sky_prob: (H, W) float probability of sky; None where the scheme has no sky.
      scheme: the classes.
      instances: (H, W) instanceIds, or None.
    """
    sky = scheme.sky
    boundary = np.zeros((len(BOUNDARY_TOLERANCES), 4), np.int64)
    trimap = np.zeros((len(TRIMAP_WIDTHS), 2, 2), np.int64)
    calibration = np.zeros((CALIBRATION_BINS, 3))
    if sky is not None:
        boundary = metrics.boundary_counts(truth, pred, sky, BOUNDARY_TOLERANCES)
        trimap = metrics.trimap_matrices(truth, pred, sky, TRIMAP_WIDTHS)
        calibration = metrics.calibration_counts(truth, sky_prob, sky, CALIBRATION_BINS)
    return ImageScores(
        name,
        metrics.confusion_matrix(truth, pred, scheme.num_classes),
        boundary,
        trimap,
        calibration,
        None if instances is None else np.stack(instance_counts(instances, pred, scheme)),
    )


def one_against_rest(matrix: np.ndarray, class_id: int) -> np.ndarray:
    """(C, C) confusion matrix -> (2, 2) of one class (index 1) against all others."""
    hit = matrix[class_id, class_id]
    missed, false = matrix[class_id].sum() - hit, matrix[:, class_id].sum() - hit
    return np.array([[matrix.sum() - hit - missed - false, false], [missed, hit]], np.int64)


def _spread(values: np.ndarray) -> dict[str, float]:
    """How a score is distributed over photos; NaN is left out."""
    values = values[~np.isnan(values)]
    if not values.size:
        return {"images": 0}
    spread = {"mean": values.mean(), "std": values.std(), "min": values.min()}
    spread |= {key: np.percentile(values, q) for key, q in _QUANTILES.items()}
    return {"images": values.size} | {key: float(value) for key, value in spread.items()}


class Evaluation:
    """All photos of a split, scored.

    Attributes:
      images: one ImageScores per photo.
      scheme: the classes.
      protocol: what was compared with what, in words.
      total: their sums, as ImageScores; instances are summed where every photo has them.
    """

    def __init__(self, images: Sequence[ImageScores], scheme: LabelScheme, protocol: str):
        self.images, self.scheme, self.protocol = list(images), scheme, protocol
        sums = {
            key: np.sum([getattr(image, key) for image in self.images], axis=0)
            for key in ("matrix", "boundary", "trimap", "calibration")
        }
        have_instances = all(image.instances is not None for image in self.images)
        instances = np.sum([i.instances for i in self.images], 0) if have_instances else None
        self.total = ImageScores("all", instances=instances, **sums)

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        matrix = self.total.matrix
        text = f"mean IoU {metrics.mean_iou(matrix):.4f}"
        if self.scheme.sky is None:
            return text
        sky = self.scores["sky"]
        edges = ", ".join(f"{f:.3f} at {limit} px" for limit, f in sky["boundary_f"].items())
        return (
            f"{text}, sky IoU {sky['iou']:.4f}, boundary F {edges}, "
            f"calibration error {sky['calibration_error']:.4f}"
        )

    def image_iou(self) -> np.ndarray:
        """(n,) mean IoU of each photo, over the classes that occur in it."""
        return np.array([metrics.mean_iou(image.matrix) for image in self.images])

    def image_sky_iou(self) -> np.ndarray:
        """(n,) IoU of sky in each photo; NaN where the truth has none."""
        sky = self.scheme.sky
        return np.array(
            [
                metrics.iou(image.matrix)[sky] if image.matrix[sky].any() else np.nan
                for image in self.images
            ]
        )

    @cached_property
    def scores(self) -> dict:
        """What the metrics.json of an evaluation holds, but for its confidence intervals."""
        matrix, scheme = self.total.matrix, self.scheme
        boundary = self.total.boundary[BOUNDARY_TOLERANCES.index(BOUNDARY_TOLERANCE)]
        scores = Scores(matrix, boundary, scheme, self.protocol).as_dict()
        if not scheme.shows_sky_alone:  # there Scores means the outlines of all classes
            del scores["boundary_f"], scores["boundary_tolerance_pixels"]
        scores["images"] = len(self.images)
        scores["image_mean_iou"] = _spread(self.image_iou())
        scores |= self._categories() | self._instances()
        if scheme.sky is not None:
            scores["sky"] = self._sky(scheme.sky)
        return scores

    def _categories(self) -> dict:
        groups = self.scheme.categories
        if not groups:
            return {}
        values = metrics.group_iou(self.total.matrix, list(groups.values()))
        named = dict(zip(groups, values.tolist(), strict=True))
        return {"category_iou": named, "mean_category_iou": mean_of(values)}

    def _instances(self) -> dict:
        counts, names = self.total.instances, self.scheme.class_names
        classes = {names[i]: [i] for i in instance_classes(self.scheme)}
        if counts is None or not classes:
            return {}
        by_class = instance_iou(self.total.matrix, counts[0], classes)
        scores = {"iiou": by_class, "mean_iiou": mean_of(by_class.values())}
        if groups := instance_categories(self.scheme):
            by_category = instance_iou(self.total.matrix, counts[1], groups)
            scores |= {
                "category_iiou": by_category,
                "mean_category_iiou": mean_of(by_category.values()),
            }
        keys = ("found", "missed", "weighted_found", "weighted_missed")
        scores["instance_pixels"] = {
            name: dict(zip(keys, counts[0, i].tolist(), strict=True))
            for name, (i,) in classes.items()
        }
        return scores

    def _sky(self, sky: int) -> dict:
        pair = one_against_rest(self.total.matrix, sky)
        hit = float(pair[1, 1])
        return {
            "iou": float(metrics.iou(pair)[1]),
            "dice": float(metrics.dice(pair)[1]),
            "precision": hit / pair[:, 1].sum() if pair[:, 1].any() else float("nan"),
            "recall": hit / pair[1].sum() if pair[1].any() else float("nan"),
            "boundary_f": {
                f"{limit:g}": metrics.boundary_f(counts)
                for limit, counts in zip(BOUNDARY_TOLERANCES, self.total.boundary, strict=True)
            },
            "trimap_iou": {
                f"{width:g}": float(metrics.iou(counts)[1])
                for width, counts in zip(TRIMAP_WIDTHS, self.total.trimap, strict=True)
            },
            "image_iou": _spread(self.image_sky_iou()),
            "photos_without_sky": self._without_sky(sky),
            "calibration_error": metrics.calibration_error(self.total.calibration),
            "calibration": {
                key: column.tolist()
                for key, column in zip(
                    ("pixels", "probability_sum", "sky_pixels"),
                    self.total.calibration.T,
                    strict=True,
                )
            },
        }

    def _without_sky(self, sky: int) -> dict:
        """How much sky is seen in photos that have none."""
        # Of a photo in which nothing is labeled nobody knows whether it shows sky.
        known = [image.matrix for image in self.images if image.matrix.any()]
        without = [m for m in known if not m[sky].any()]
        shares = [float(m[:, sky].sum() / m.sum()) for m in without]
        labeled = sum(int(m.sum()) for m in without)
        false = sum(int(m[:, sky].sum()) for m in without)
        return {
            "images": len(without),
            "false_sky_share": false / labeled if labeled else float("nan"),
            "worst_share": max(shares, default=float("nan")),
            "images_above_1_percent": sum(share > 0.01 for share in shares),
        }

    def class_rows(self, intervals: dict | None = None) -> list[dict]:
        """One row per class, then one per category, for per_class.csv.

        Args:
          intervals: see `confidence_intervals`; None: their columns stay empty.
        """
        scores, rows = self.scores, []
        bounds = (intervals or {}).get("iou", {})
        for i, name in enumerate(self.scheme.class_names):
            low, high = bounds.get(name, ("", ""))
            columns = {"iou": scores["iou"][name], "iou_low": low, "iou_high": high}
            columns |= {"dice": scores["dice"][name], "iiou": scores.get("iiou", {}).get(name, "")}
            rows.append(self._row("class", name, [i], columns))
        for name, ids in self.scheme.categories.items():
            iiou = scores.get("category_iiou", {}).get(name, "")
            columns = {"iou": scores["category_iou"][name], "iiou": iiou}
            rows.append(self._row("category", name, ids, columns))
        return rows

    def _row(self, kind: str, name: str, ids: list[int], columns: dict) -> dict:
        """A row of `class_rows`; columns that are not given stay empty."""
        matrix = self.total.matrix
        empty = dict.fromkeys(("iou", "iou_low", "iou_high", "dice", "iiou"), "")
        return (
            {"kind": kind, "name": name}
            | empty
            | columns
            | {
                "true_pixels": int(matrix[ids].sum()),
                "predicted_pixels": int(matrix[:, ids].sum()),
                "protocol": self.protocol,
            }
        )

    def image_rows(self) -> list[dict]:
        """One row per photo, for per_image.csv."""
        sky = self.scheme.sky
        rows = []
        for image, mean in zip(self.images, self.image_iou(), strict=True):
            matrix = image.matrix
            row = {
                "name": image.name,
                "pixels": int(matrix.sum()),
                "mean_iou": float(mean),
                "pixel_accuracy": metrics.pixel_accuracy(matrix),
            }
            if sky is not None:
                pixels = max(1, int(matrix.sum()))
                row["sky_iou"] = float(metrics.iou(matrix)[sky])
                row["sky_share"] = float(matrix[sky].sum() / pixels)
                row["predicted_sky_share"] = float(matrix[:, sky].sum() / pixels)
                for limit, counts in zip(BOUNDARY_TOLERANCES, image.boundary, strict=True):
                    row[f"boundary_f_{limit:g}px"] = metrics.boundary_f(counts)
                row["calibration_error"] = metrics.calibration_error(image.calibration)
            rows.append(row | {"protocol": self.protocol})
        return rows


def mean_of(values: Iterable[float]) -> float:
    """Mean over what is no NaN; NaN if nothing is left."""
    kept = [value for value in values if not np.isnan(value)]
    return float(np.mean(kept)) if kept else float("nan")
