"""Pictures of a training and of its result, readable by someone who has not seen the code."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.patches
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from skyseg_tf.files.aside import write_aside
from skyseg_tf.images import SKY_TINT, colorize, draw_overlay
from skyseg_tf.labels import IGNORE, LabelScheme
from skyseg_tf.scoring.plots_frame import GRID, framed, plain

TRAIN, VAL = "#2c7fb8", "#d95f0e"

_LONG_NAME = 28  # letters of a class's name in one line
_ROWS = ((40, 0.36), (10**9, 0.22))  # most bars, and inches of each
_CELLS = ((20, 0.52, 10), (40, 0.32, 7), (10**9, 0.17, 7))  # most classes, inches, font size
_MARKED = 60  # epochs up to which each is a dot; more of them are a thick line


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110, metadata={"Software": None})


def _two_lines(name: str) -> str:
    """A name that leaves room for what is drawn beside it."""
    return "\n".join(textwrap.wrap(name, _LONG_NAME, max_lines=2, placeholder=" …"))


def plot_iou_scores(
    values: np.ndarray, mean: float, scheme: LabelScheme, title: str, subtitle: str
) -> Figure:
    """Bars of IoU per class in the classes' colors.

    Args:
      values: (C,) IoU in 0-1; NaN for a class that is neither labeled nor predicted, which is named below.
      mean: mean IoU; NaN where no class has one.
      scheme: names and colors.
      title: network and dataset.
      subtitle: the protocol.
    """
    order = [i for i in np.argsort(-np.nan_to_num(values, nan=-1.0)) if not np.isnan(values[i])]
    absent = [scheme.class_names[i] for i in range(len(values)) if np.isnan(values[i])]
    row_height = next(height for most, height in _ROWS if len(order) <= most)
    figure = Figure(figsize=(9, 1.1 + row_height * max(len(order), 1)), layout="constrained")
    axes = figure.subplots()
    colors = [np.array(scheme.colors[i]) / 255 for i in order]
    rows = range(len(order))
    axes.barh(rows, values[order], color=colors, edgecolor="#333333", linewidth=0.6)
    axes.set_yticks(rows, [_two_lines(scheme.class_names[i]) for i in order])
    for row, i in enumerate(order):  # in a column of their own, where no bar and no line is
        axes.text(1.015, row, f"{values[i]:.3f}", va="center")
    outline = [withStroke(linewidth=2.8, foreground="white")]  # some classes are as red as the line
    axes.axvline(mean, color="#c0392b", linestyle="--", linewidth=1.2, path_effects=outline)
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.set_xlabel("intersection over union (IoU); dashed: the mean")
    axes.grid(axis="x", alpha=0.25)
    plain(axes)
    note = f"\nneither labeled nor predicted: {', '.join(absent)}" if absent else ""
    told = "none" if np.isnan(mean) else f"{mean:.3f}"
    framed(figure, f"{title}: mean IoU {told}", subtitle + note)
    return figure


def plot_learning_curves(history: Sequence[dict[str, float]], title: str, measure: str) -> Figure:
    """Loss and IoU by epoch, train and val.

    Args:
      history: one dict per epoch with epoch, loss, iou, val_loss, val_iou.
      title: what was trained.
      measure: of which classes the IoU is: "sky IoU" or "mean IoU".
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    epochs = [row["epoch"] for row in history]
    form = "o-" if len(epochs) <= _MARKED else "-"
    for axes, key, name in zip(
        figure.subplots(1, 2), ("loss", "iou"), ("loss", measure), strict=True
    ):
        for column, color, label in ((key, TRAIN, "train"), (f"val_{key}", VAL, "val")):
            axes.plot(
                epochs, [row[column] for row in history], form, color=color, label=label, ms=4
            )
        axes.set_xlabel("epoch")
        axes.set_title(name, loc="left")
        edge = max(0.5, 0.03 * (epochs[-1] - epochs[0]))  # a half where there is one epoch
        axes.set_xlim(epochs[0] - edge, epochs[-1] + edge)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(axis="y", **GRID)
        axes.legend(frameon=False)
        plain(axes)
        axes.set_ylim(0, 1.0 if key == "iou" else None)
    framed(figure, title)
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
    used = used if len(used) else np.arange(len(matrix))
    names = [_two_lines(scheme.class_names[i]) for i in used]
    counts = matrix[np.ix_(used, used)].astype(float)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell, points = next(form for most, *form in _CELLS if len(used) <= most)
    side = 2.4 + cell * len(used)
    figure = Figure(figsize=(max(side + 1, 6.5), side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    if len(used) > _CELLS[-2][0]:  # ten thousand figures would take minutes, and nobody reads them
        figure.colorbar(picture, ax=axes, shrink=0.5, label="% of each true class")
    else:
        _percents(axes, share, points)
    axes.set_xticks(range(len(used)), names, rotation=45, ha="right", fontsize=points)
    axes.set_yticks(range(len(used)), names, fontsize=points)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("% of each true class", loc="left", fontsize=11)
    framed(figure, title, subtitle)
    return figure


def _percents(axes, share: np.ndarray, points: float) -> None:
    """Writes the shares that are not next to nothing into their cells."""
    for row, column in np.argwhere(share >= 0.5):
        color = "white" if share[row, column] > 55 else "#222222"
        text = f"{share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=points)


# Told apart by eyes that do not tell red from green, too: right and false lie side by side.
_RIGHT, _FALSE, _MISSED = (86, 150, 200), (214, 60, 60), (245, 200, 60)


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
      (H, W, 3) uint8: dark where right, black where ignored; of sky alone red is false, yellow
      missed and blue right sky, of several classes every error is red.
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
    columns = _legend_columns([len(handle.get_label()) for handle in handles])
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )


def _legend_columns(letters: Sequence[int]) -> int:
    """So many columns, seven at most, that entries of such lengths are no wider than the sheet."""
    for columns in range(7, 1, -1):
        parts = [part for part in np.array_split(letters, columns) if len(part)]
        if sum(max(part) + 6 for part in parts) <= 175:
            return columns
    return 1


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
