"""Pictures of a training and of its result, readable by someone who has not seen the code."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.patches
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from skyseg_tf.files.aside import write_aside
from skyseg_tf.images import SKY_TINT, colorize, draw_overlay
from skyseg_tf.labels import IGNORE, LabelScheme

_GRID = {"axis": "y", "alpha": 0.25, "linewidth": 0.8}


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110, metadata={"Software": None})


def _plain(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def plot_iou_scores(
    values: np.ndarray, mean: float, scheme: LabelScheme, title: str, subtitle: str
) -> Figure:
    """Bars of IoU per class in the classes' colors.

    Args:
      values: (C,) IoU in 0-1; NaN for a class that is neither labeled nor predicted, which is named below.
      mean: mean IoU.
      scheme: names and colors.
      title: network and dataset.
      subtitle: the protocol.
    """
    order = [i for i in np.argsort(-np.nan_to_num(values, nan=-1.0)) if not np.isnan(values[i])]
    absent = [scheme.class_names[i] for i in range(len(values)) if np.isnan(values[i])]
    figure = Figure(figsize=(9, 1.7 + 0.36 * len(order)), layout="constrained")
    axes = figure.subplots()
    names = [scheme.class_names[i] for i in order]
    colors = [np.array(scheme.colors[i]) / 255 for i in order]
    axes.barh(names, values[order], color=colors, edgecolor="#333333", linewidth=0.6)
    for row, i in enumerate(order):  # in a column of their own, where no bar and no line is
        axes.text(1.015, row, f"{values[i]:.3f}", va="center")
    outline = [withStroke(linewidth=2.8, foreground="white")]  # some classes are as red as the line
    axes.axvline(mean, color="#c0392b", linestyle="--", linewidth=1.2, path_effects=outline)
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.invert_yaxis()
    axes.set_xlabel("intersection over union (IoU); dashed: the mean")
    note = f"\nneither labeled nor predicted: {', '.join(absent)}" if absent else ""
    axes.set_title(f"{title}: mean IoU {mean:.3f}", loc="left", fontsize=13, fontweight="bold")
    figure.text(0.995, 0.005, subtitle + note, ha="right", va="bottom", fontsize=8, color="#555555")
    below = 0.16 * (2 + (subtitle + note).count("\n")) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
    axes.grid(axis="x", alpha=0.25)
    _plain(axes)
    return figure


def plot_learning_curves(history: Sequence[dict[str, float]], title: str) -> Figure:
    """Loss and IoU by epoch, train and val.

    Args:
      history: one dict per epoch with epoch, loss, iou, val_loss, val_iou.
      title: what was trained.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, key, name in zip(
        figure.subplots(1, 2), ("loss", "iou"), ("loss", "IoU"), strict=True
    ):
        axes.plot(epochs, [row[key] for row in history], "o-", color="#2c7fb8", label="train", ms=4)
        axes.plot(
            epochs, [row[f"val_{key}"] for row in history], "o-", color="#d95f0e", label="val", ms=4
        )
        axes.set_xlabel("epoch")
        axes.set_title(name, loc="left")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.grid(**_GRID)
        axes.legend(frameon=False)
        _plain(axes)
        axes.set_ylim(0, 1.0 if key == "iou" else None)
    figure.suptitle(title, fontweight="bold")
    return figure


def plot_confusion_matrix(
    matrix: np.ndarray, scheme: LabelScheme, title: str, subtitle: str = ""
) -> Figure:
    """Share of each true class (rows) that was predicted as each class (columns), in percent.

    Args:
      matrix: (C, C) counts, rows are truth.
      scheme: class names.
      title: what was measured.
      subtitle: the protocol.
    """
    used = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    names = [scheme.class_names[i] for i in used]
    counts = matrix[np.ix_(used, used)].astype(float)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.6 + 0.52 * len(used)
    figure = Figure(figsize=(max(side + 1, 6.5 * bool(subtitle)), side), layout="constrained")
    axes = figure.subplots()
    if subtitle:
        figure.text(0.99, 0.005, subtitle, ha="right", va="bottom", fontsize=7, color="#555555")
        below = 0.14 * (2 + subtitle.count("\n")) / side
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(share.shape):
        if share[row, column] >= 0.5:
            color = "white" if share[row, column] > 55 else "#222222"
            axes.text(
                column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=color
            )
    axes.set_xticks(range(len(used)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(used)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title(f"{title}\n% of each true class", loc="left", fontsize=11)
    return figure


_RIGHT, _FALSE, _MISSED = (88, 160, 96), (214, 60, 60), (240, 170, 40)


def prediction_pictures(
    image: np.ndarray, truth: np.ndarray, pred: np.ndarray, scheme: LabelScheme
) -> tuple[np.ndarray, ...]:
    """The four pictures in which a prediction is shown.

    Args:
      image: (H, W, 3) uint8.
      truth, pred: (H, W) uint8 class ids; 255 in the truth is ignored.
      scheme: the classes.

    Returns:
      Photo, truth, prediction over the photo, and `difference`: (H, W, 3) uint8 each.
    """
    laid_over = draw_overlay(image, pred, scheme)
    return image, colorize(truth, scheme.palette), laid_over, difference(truth, pred, scheme)


def difference(truth: np.ndarray, pred: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Colors where a prediction is wrong.

    Args:
      truth, pred: (H, W) uint8 class ids; 255 in the truth is ignored.
      scheme: the classes.

    Returns:
      (H, W, 3) uint8: dark where right, black where ignored; of sky alone red is false, orange
      missed and green right sky, of several classes every error is red.
    """
    picture = np.full((*truth.shape, 3), 45, np.uint8)
    for color, _, is_there in _marks(scheme):
        picture[is_there(truth, pred)] = color
    picture[truth == IGNORE] = 0
    return picture


def difference_marks(scheme: LabelScheme) -> tuple[tuple[tuple[int, int, int], str], ...]:
    """The colors of `difference`, (R, G, B) 0-255, and what each means."""
    return tuple((color, text) for color, text, _ in _marks(scheme))


def _marks(scheme: LabelScheme) -> tuple[tuple, ...]:
    """(color, text, (truth, pred) -> where) of each kind of pixel that a difference shows."""
    if not scheme.shows_sky_alone:
        return ((_FALSE, "wrong class", lambda truth, pred: truth != pred),)
    sky = scheme.sky
    return (
        (_RIGHT, "sky, right", lambda truth, pred: (truth == sky) & (pred == sky)),
        (_FALSE, "sky, false", lambda truth, pred: (truth != sky) & (pred == sky)),
        (_MISSED, "sky, missed", lambda truth, pred: (truth == sky) & (pred != sky)),
    )


def plot_predictions(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    preds: Sequence[np.ndarray],
    scheme: LabelScheme,
    title: str,
    captions: Sequence[str] = (),
    first: str = "photo",
) -> Figure:
    """A sheet of photo, truth, prediction and difference, one row each.

    Args:
      images: (H, W, 3) uint8.
      truths: (H, W) uint8 class ids.
      preds: (H, W) uint8 class ids.
      scheme: colors and names.
      title: what was trained.
      captions: one line above each photo, or none.
      first: what the pictures of the first column are.
    """
    height, width = images[0].shape[:2]
    columns = (first, "truth", "prediction", "difference")
    figure = Figure(figsize=(12, 12 * height / width / 4 * len(images) + 1.1), layout="constrained")
    axes = figure.subplots(len(images), 4, squeeze=False)
    for row, image, truth, pred in zip(axes, images, truths, preds, strict=True):
        pictures = prediction_pictures(image, truth, pred, scheme)
        for axis, picture, name in zip(row, pictures, columns, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            if row[0] is axes[0, 0]:  # above the line that the caption takes
                axis.set_title(f"{name}\n" if captions else name, fontsize=11)
    for row, caption in zip(axes, captions, strict=False):
        row[0].set_title(caption, fontsize=8, loc="left")
    figure.suptitle(title, fontweight="bold")
    _legend(figure, scheme, truths, preds)
    return figure


def _legend(figure: Figure, scheme: LabelScheme, truths: Sequence, preds: Sequence) -> None:
    patch = matplotlib.patches.Patch
    seen = set(np.unique(np.concatenate([m.ravel() for m in (*truths, *preds)])).tolist()) - {
        IGNORE
    }
    handles = [
        patch(color=np.array(scheme.colors[i]) / 255, label=scheme.class_names[i]) for i in seen
    ]
    handles.append(patch(color="black", label="not labeled"))
    if scheme.shows_sky_alone:
        handles.append(patch(color=np.array(SKY_TINT) / 255, label="prediction: sky"))
    handles += [
        patch(color=np.array(color) / 255, label=f"difference: {name}")
        for color, name in difference_marks(scheme)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=9)


def plot_augmentations(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray]], sky_class_id: int, title: str
) -> Figure:
    """A labeled sheet of pictures, with the outline of the mask's sky wherever the mask moved.

    Args:
      panels: name, (H, W, 3) on 0-255, (H, W) uint8 mask each, such as
        augment.examples.effect_examples gives.
      sky_class_id: of the sky in the masks.
      title: what is shown.
    """
    columns = 6
    rows = -(-len(panels) // columns)
    height, width = panels[0][1].shape[:2]
    figure = Figure(
        figsize=(14, rows * (14 / columns * height / width + 0.3) + 0.8), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:  # also where no panel is left
        axis.set_axis_off()
    for axis, (name, image, mask) in zip(axes, panels, strict=False):
        axis.imshow(_hatched(image, mask))
        sky = mask == sky_class_id
        # Elsewhere the outline would only hide what happens to thin things before the sky.
        moved = name == panels[0][0] or not np.array_equal(mask, panels[0][2])
        if moved and sky.any() and not sky.all():
            axis.contour(sky, [0.5], colors="#ffd400", linewidths=0.7)
        axis.set_title(name, fontsize=10, loc="left", pad=3)
    figure.suptitle(title, fontweight="bold")
    figure.text(
        0.5,
        0.004,
        "yellow: outline of the sky in the mask, where the mask moves too; hatched: outside the photo, "
        "ignored",
        ha="center",
        va="bottom",
        fontsize=9,
        color="#555555",
    )
    figure.get_layout_engine().set(rect=(0, 0.02, 1, 0.98))
    return figure


def _hatched(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, hatched where the mask is ignored: a dark photo has no end in black."""
    picture = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    stripes = np.indices(mask.shape).sum(0) // 4 % 2 == 0
    picture[mask == IGNORE] = np.where(stripes, 235, 205)[mask == IGNORE, None]
    return picture
