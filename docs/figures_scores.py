"""Tables of what networks cost, and of what they have learned.

`networks.json` and `packaged.json` are written by benchmarks/networks.py and benchmarks/boxed_model.py
with --out, `failures.json` by tools/failures_picture.py. `demo.json` is the metrics.json of `make train`,
`hour.json` and `longer.json` hold the rows that benchmarks/training.py and the trainings of
docs/results.md printed. `streets.json` holds the metrics.json that `skyseg evaluate` wrote of the
packaged `streets`, by dataset, and `idd.json` those of all networks that were trained on IDD-lite, with
what they cost.
"""

import json
import statistics

from figures_source import DOCS, read, table

from skyseg_tf.labels import SCHEMES
from skyseg_tf.models.networks import MODELS
from skyseg_tf.runs.packaged import WEIGHTS, read_packaged
from skyseg_tf.training.settings import TrainConfig

_PHOTOS = {
    "camvid_cityscapes": "CamVid val drive (101)",
    "labelmefacade": "LabelMeFacade, a third (33)",
    "ade20k_sky": "ADE20K, a third (33, most without sky)",
    "idd_lite": "IDD-lite val (204)",
    "horizon_uav": "Horizon-UAV, from the air, a third (122)",
    "skyfinder": "SkyFinder, by day and night, a third (40)",
    "msrc": "MSRC, objects, a third (131, most without sky)",
    "fisheye": "up through foliage, a third (15)",
}
_CAMVID11 = DOCS.parent / "zoo" / "camvid11_skyline_lite0" / "metrics.json"
_IN_README = ("camvid_cityscapes", "labelmefacade", "ade20k_sky", "horizon_uav", "skyfinder")
_TRAINED = ("trained on", "network", "sky IoU", "mean IoU")


def paper(name: str) -> str:
    """Where a network is published, without the authors' names."""
    return MODELS[name].paper or "a design of this package"


def networks() -> str:
    """What each network costs and has learned, in short."""
    facts, learned = read("networks")["networks"], read("idd")
    rows = [
        (
            f"`{name}`",
            paper(name),
            f"{facts[name]['parameters'] / 1e6:.1f}",
            facts[name]["forward_ms"],
            f"{learned[name]['mean_iou']:.3f}" if name in learned else "-",
        )
        for name in MODELS
    ]
    return table(("`--model`", "paper", "parameters, 10⁶", "ms", "IDD-lite mIoU"), rows, 2)


def all_of_networks() -> str:
    """What each network costs."""
    costs = read("networks")
    sizes = ["x".join(map(str, costs[key])) for key in ("gmac_size", "size")]
    half = "x".join(str(side // 2) for side in costs["size"])
    head = (
        "`--model`",
        "parameters",
        f"GMACs, {sizes[0]}",
        f"forward ms, {sizes[1]}",
        f"train step ms, {costs['batch_size']} of {half}",
    )
    rows = []
    for name in MODELS:
        fact = costs["networks"][name]
        cells = (f"{fact['parameters']:,}", fact["gmacs"], fact["forward_ms"], fact["step_ms"])
        rows.append((f"`{name}`", *cells))
    return table(head, rows)


def hour_summary() -> tuple[tuple[str, str], tuple[str, str]]:
    """Means over the seeds of the hour beside PyTorch: (sky IoU, mean IoU) of ours and theirs."""
    sides = read("hour").values()
    return tuple(
        tuple(f"{statistics.mean(row[key] for row in rows):.3f}" for key in ("sky_iou", "mean_iou"))
        for rows in sides
    )


def _demo_row() -> tuple[str, ...]:
    demo = read("demo")
    what = f"drawn streets, `make train` ({TrainConfig().epochs} epochs)"
    return what, "`skyline`", f"{demo['iou']['sky']:.3f}", f"{demo['mean_iou']:.3f}"


def _several_classes_rows() -> list[tuple[str, ...]]:
    """Of IDD-lite the best network, of CamVid the public split."""
    name, row = max(read("idd").items(), key=lambda item: item[1]["mean_iou"])
    camvid = json.loads(_CAMVID11.read_text())
    told = (
        (f"IDD-lite, 7 classes, from {row['start']}, {row['minutes']} minutes", name, row),
        ("CamVid, 11 classes, 85 minutes", "skyline_lite0", camvid),
    )
    return [
        (what, f"`{network}`", f"{found['iou']['sky']:.3f}", f"{found['mean_iou']:.3f}")
        for what, network, found in told
    ]


def _hour_rows() -> list[tuple[str, ...]]:
    network, (ours, theirs) = "`unet_efficientnet_b2`", hour_summary()
    return [
        ("CamVid, classes cityscapes19, an hour (3 seeds)", network, *ours),
        ("the same with segmentation_models.pytorch", network, *theirs),
    ]


def results() -> str:
    """The scores of the trainings that are told on the page of results."""
    longer = [
        (
            f"{row['data']}, {row['minutes']} minutes",
            f"`{row['network']}`",
            f"{row['sky_iou']:.3f}",
            f"{row['mean_iou']:.3f}",
        )
        for row in read("longer")
    ]
    return table(_TRAINED, [_demo_row(), *longer, *_several_classes_rows(), *_hour_rows()], 2)


def in_short() -> str:
    """The rows of the page of results that a reader looks for first."""
    return table(_TRAINED, [_demo_row(), *_several_classes_rows(), *_hour_rows()], 2)


def hour() -> str:
    """An hour of training, ours and PyTorch's."""
    rows = []
    for side, seeds in read("hour").items():
        for i, row in enumerate(seeds):
            scores = (f"{row['sky_iou']:.3f}", f"{row['mean_iou']:.3f}")
            rows.append(
                (side if i == 0 else "", row["seed"], row["epochs"] or "", row["minutes"], *scores)
            )
        spread = []
        for key in ("sky_iou", "mean_iou"):
            values = [row[key] for row in seeds]
            spread.append(f"**{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}**")
        rows.append(("", "**mean and spread**", "", "", *spread))
    return table(("", "seed", "epochs", "minutes", "sky IoU", "mean IoU"), rows)


def idd() -> str:
    """What networks learned from IDD-lite, of its own val split."""
    rows = [
        (
            f"`{name}`",
            row["start"],
            "x".join(map(str, row["size"])),
            row["epochs"],
            row["minutes"],
            *(f"{row['iou'][label]:.3f}" for label in SCHEMES["idd7"].class_names),
            f"**{row['mean_iou']:.3f}**",
        )
        for name, row in read("idd").items()
    ]
    head = ("network", "starts from", "size", "epochs", "minutes", *SCHEMES["idd7"].class_names)
    return table((*head, "mean"), rows, 2)


def camvid11() -> str:
    """IoU of each class of the network that was trained on CamVid's public split."""
    found = json.loads(_CAMVID11.read_text())
    scores = (f"{value:.3f}" for value in found["iou"].values())
    return table((*found["iou"], "mean"), [(*scores, f"**{found['mean_iou']:.3f}**")], 0)


def streets() -> str:
    """IoU of each class of the packaged `streets`."""
    rows = []
    for photos, found in read("streets").items():
        scores = (f"{value:.3f}" for value in (*found["iou"].values(), found["mean_iou"]))
        rows.append((_PHOTOS[photos], *scores))
    return table(("photos", *SCHEMES["idd7"].class_names, "mean"), rows)


def packaged() -> str:
    """Sky IoU and boundary F of the packaged networks with refinement."""
    found = read("packaged")
    names = [name for name in read_packaged()["models"] if name in found]
    rows = []
    for photos in _IN_README:
        cells = []
        for name in names:
            (row,) = (r for r in found[name] if r["photos"] == photos and r["refined"])
            cells.append(f"{row['iou']:.3f} / {row['f_2px']:.3f}")
        rows.append((_PHOTOS[photos].replace(", a third", ""), *cells))
    return table(("sky IoU / boundary F at 2 px", *(f"`{name}`" for name in names)), rows)


def all_of_packaged() -> str:
    """All rows of the networks in the package and of the peer."""
    head = ("photos", "network", "", "IoU", "F 1 px", "2 px", "4 px", "false sky", "ECE")
    rows = []
    for name, found in read("packaged").items():
        shown = (
            f"`{name}`"
            if name in read_packaged()["models"]
            else "U-Net of segmentation_models.pytorch"
        )
        for row in found:
            edges = (row[f"f_{pixels}px"] for pixels in (1, 2, 4))
            false = "-" if row["false_sky"] is None else f"{row['false_sky']:.2%}"
            rows.append(
                (
                    _PHOTOS[row["photos"]],
                    shown,
                    "refined" if row["refined"] else "plain",
                    f"{row['iou']:.3f}",
                    *("-" if edge is None else f"{edge:.3f}" for edge in edges),
                    false,
                    "-"
                    if row.get("calibration_error") is None
                    else f"{row['calibration_error']:.3f}",
                )
            )
    return table(head, rows, 3)


def packaged_costs() -> str:
    """What the packaged networks are."""
    costs = read("networks")["networks"]
    rows = []
    for name, packaged in read_packaged()["models"].items():
        network = json.loads((WEIGHTS / name / "config.json").read_text())["model"]
        size = (WEIGHTS / name / "exports" / "model_f32.onnx").stat().st_size / 1e6
        millions = f"{packaged['parameters'] / 1e6:.2f}"
        gmacs = costs[network]["gmacs"]
        rows.append((f"`{name}`", f"`{network}`", millions, f"{size:.1f}", gmacs))
    return table(("name", "network", "parameters, 10⁶", "MB as ONNX", "GMACs, 512x1024"), rows, 2)


def failures() -> str:
    """The line below the picture of failures."""
    scenes, rooms = (read("failures")[name] for name in ("scenes", "rooms"))
    return (
        f"*The worst {scenes['shown']} of {scenes['drawn']} drawn scenes in all conditions and the "
        f"worst {rooms['shown']} of {rooms['drawn']} drawn rooms, of a seed that no training saw. "
        f"On average {scenes['wrong']:.1%} and {rooms['wrong']:.1%} of the pixels are wrong.*"
    )
