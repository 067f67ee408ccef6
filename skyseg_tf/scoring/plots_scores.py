"""Pictures of an evaluation: calibration, outlines, and how photos differ."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skyseg_tf.errors import counted
from skyseg_tf.scoring.plots_frame import GRID, framed, plain

_BLUE, _ORANGE, _GREY = "#2c7fb8", "#d95f0e", "#888888"


def _panels() -> tuple[Figure, np.ndarray]:
    """Two axes beside each other."""
    figure = Figure(figsize=(10, 4.1), layout="constrained")
    axes = figure.subplots(1, 2)
    for each in axes:
        plain(each)
        each.grid(**GRID)
    return figure, axes


def plot_reliability(counts: np.ndarray, error: float, title: str, subtitle: str) -> Figure:
    """Reliability curve: how often it is sky where the network says so with some probability.

    Args:
      counts: (bins, 3) of metrics.calibration_counts.
      error: expected calibration error.
      title: network and dataset.
      subtitle: the protocol.

    Reference: Niculescu-Mizil & Caruana, "Predicting good probabilities with supervised
      learning", ICML 2005.
    """
    pixels, probs, of_class = counts.T
    used = pixels > 0
    figure, (curve, share) = _panels()
    curve.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label="as often as it says")
    curve.plot(
        (probs[used] / pixels[used]),
        (of_class[used] / pixels[used]),
        "o-",
        color=_BLUE,
        ms=4,
        clip_on=False,  # a network that is sure has its points in the corners
        label="this network",
    )
    curve.set(
        xlim=(0, 1), ylim=(0, 1.02), xlabel="predicted probability of sky", ylabel="share of sky"
    )
    curve.set_title(f"expected calibration error {error:.4f}", loc="left", fontsize=11)
    curve.legend(frameon=False, loc="upper left")
    edges = np.linspace(0, 1, len(counts) + 1)
    heights = pixels / max(pixels.sum(), 1)
    share.bar(edges[:-1], heights, np.diff(edges), align="edge", color=_BLUE, edgecolor="white")
    share.set_yscale("log")
    share.set(xlim=(0, 1), xlabel="predicted probability of sky", ylabel="share of pixels (log)")
    share.set_title("how often each probability is said", loc="left", fontsize=11)
    framed(figure, f"{title}: calibration", subtitle)
    return figure


def plot_image_iou(
    values: np.ndarray, what: str, title: str, subtitle: str, bins: int = 20
) -> Figure:
    """Histogram and cumulative share of a score over photos.

    Args:
      values: (n,) in 0-1, NaN for photos that have none.
      what: the score's name, such as "sky IoU".
      title: network and dataset.
      subtitle: the protocol.
      bins: of the histogram.
    """
    values = np.sort(values[~np.isnan(values)])
    median = np.median(values)
    figure, (counts, ordered) = _panels()
    counts.hist(values, np.linspace(0, 1, bins + 1), color=_BLUE, edgecolor="white")
    counts.set(xlim=(0, 1), xlabel=f"{what} of a photo", ylabel="photos")
    counts.yaxis.get_major_locator().set_params(integer=True)
    share = np.arange(1, len(values) + 1) / len(values)
    ordered.step([0, *values, 1], [0, *share, 1], where="post", color=_BLUE)
    ordered.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"{what} of a photo")
    ordered.set_ylabel("share of photos at or below")
    ordered.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (counts, ordered):
        axes.axvline(median, color=_ORANGE, linestyle="--")
    counts.set_title(f"dashed: the median, {median:.3f}", loc="left", fontsize=11)
    framed(figure, f"{title}: {what} by photo ({counted(len(values), 'photo')})", subtitle)
    return figure


def plot_outline(
    boundary_f: dict[str, float],
    trimap_iou: dict[str, float],
    iou: float,
    title: str,
    subtitle: str,
) -> Figure:
    """How exact the outline of the sky is.

    Args:
      boundary_f: tolerance in pixels -> boundary F in 0-1.
      trimap_iou: half width of the band in pixels -> IoU of sky within it.
      iou: IoU of sky over whole photos.
      title: network and dataset.
      subtitle: the protocol.
    """
    figure, (outline, band) = _panels()
    bars = outline.bar(list(boundary_f), list(boundary_f.values()), color=_BLUE, width=0.6)
    outline.bar_label(bars, fmt="%.3f", padding=2)
    outline.set(ylim=(0, 1.08), xlabel="tolerance in pixels", ylabel="boundary F")
    outline.set_title("outline of the sky found", loc="left", fontsize=11)
    band.plot(list(trimap_iou), list(trimap_iou.values()), "o-", color=_BLUE, label="in the band")
    for width, value in trimap_iou.items():
        above = 7 if not 0 <= iou - value < 0.1 else -16  # not across the dashed line
        band.annotate(
            f"{value:.3f}", (width, value), (0, above), textcoords="offset points", ha="center"
        )
    band.margins(x=0.08)
    band.axhline(iou, color=_ORANGE, linestyle="--", label=f"whole photos: {iou:.3f}")
    band.set(ylim=(0, 1.08), xlabel="half width of the band in pixels", ylabel="sky IoU")
    band.set_title("sky IoU near its true outline (trimap)", loc="left", fontsize=11)
    band.legend(frameon=False, loc="lower right")
    framed(figure, f"{title}: edges of the sky", subtitle)
    return figure
