"""Pictures of the dashboard: interactive figures, and small copies for the page."""

import base64
import io
from collections.abc import Iterable

import cv2
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from skyseg_tf.images import SKY_TINT, draw_overlay, resize_image, resize_mask
from skyseg_tf.masking.prediction import Prediction
from skyseg_tf.scoring.plots import TRAIN, VAL

# Okabe & Ito's, apart for eyes that do not tell red from green, too.
_RUN_COLORS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
_HOVER_WIDTH = 320  # cells of the probability map: what a browser gets stays below half a megabyte
_PAGE_WIDTH = 1000  # pixels of a picture on the page


def for_page(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 no wider than the page shows it."""
    height, width = picture.shape[:2]
    if width <= _PAGE_WIDTH:
        return picture
    return resize_image(picture, (max(1, round(height * _PAGE_WIDTH / width)), _PAGE_WIDTH))


def page_icon() -> Image.Image:
    """Sky over a hill; an icon by name would be fetched from the internet."""
    side = np.arange(32)
    hill = 20 + 5 * np.sin(side / 5)
    picture = np.where((side[:, None] < hill)[..., None], (70, 130, 180), (60, 70, 60))
    return Image.fromarray(picture.astype(np.uint8))


def probability_figure(
    prediction: Prediction,
    truth: np.ndarray | None,
    probs: np.ndarray,
    what: str,
    threshold: float | None,
) -> go.Figure:
    """A photo under its probabilities, which show under the mouse.

    Args:
      prediction: of the photo.
      truth: (H, W) uint8 class ids, or None.
      probs: (H, W) float32 in 0-1.
      what: the class whose probability it is.
      threshold: outlined; None for no line.

    Returns:
      A figure without a size of its own: it fills its place, which should have the photo's aspect.
    """
    height, width = prediction.image.shape[:2]
    rows = max(1, round(height * min(1, _HOVER_WIDTH / width)))
    cells = (rows, min(width, _HOVER_WIDTH))
    small = cv2.resize(probs, cells[::-1], interpolation=cv2.INTER_AREA).round(3)
    dx, dy = width / cells[1], height / cells[0]
    grid = {"x0": dx / 2, "dx": dx, "y0": dy / 2, "dy": dy, "z": small}
    words = _words_under_the_mouse(prediction, truth, cells)
    figure = go.Figure(_probability_map(grid, words, what))
    if threshold is not None and small.min() < threshold < small.max():
        figure.add_trace(_threshold_line(grid, threshold))
    _put_under(figure, prediction.image)
    figure.update_layout(
        margin=dict.fromkeys("lrtb", 0),
        dragmode=False,
        hoverlabel={"font": {"size": 13}},
    )
    return figure


def _words_under_the_mouse(
    prediction: Prediction, truth: np.ndarray | None, cells: tuple[int, int]
) -> np.ndarray:
    """(rows, columns) str: the classes at the middle of each cell."""
    height, width = prediction.ids.shape
    rows = ((np.arange(cells[0]) + 0.5) * (height / cells[0])).astype(int)
    columns = ((np.arange(cells[1]) + 0.5) * (width / cells[1])).astype(int)
    middle = np.ix_(rows, columns)
    names = np.full(256, "ignored", object)
    names[: len(prediction.class_names)] = prediction.class_names
    words = "predicted " + names[prediction.ids[middle]]
    return words if truth is None else words + ", truth " + names[truth[middle]]


def _probability_map(grid: dict, words: np.ndarray, what: str) -> go.Heatmap:
    shown = f"<b>{what} %{{z:.3f}}</b><br>%{{text}}<br>x %{{x:.0f}}, y %{{y:.0f}}<extra></extra>"
    return go.Heatmap(
        **grid,
        zmin=0,
        zmax=1,
        text=words,
        colorscale=[[0, _tint(0)], [1, _tint(0.6)]],
        hovertemplate=shown,
        showscale=False,
    )


def _threshold_line(grid: dict, threshold: float) -> go.Contour:
    return go.Contour(
        **grid,
        contours={"start": threshold, "end": threshold, "size": 1, "coloring": "none"},
        line={"color": _tint(1), "width": 1.5},
        hoverinfo="skip",
        showscale=False,
        showlegend=False,
    )


def _put_under(figure: go.Figure, image: np.ndarray) -> None:
    """Puts a photo under a figure whose axes are the photo's pixels."""
    height, width = image.shape[:2]
    place = {"xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": width, "sizey": height}
    figure.add_layout_image(source=_data_uri(image), sizing="stretch", layer="below", **place)
    figure.update_xaxes(visible=False, range=[0, width])
    figure.update_yaxes(visible=False, range=[height, 0])


def _tint(alpha: float) -> str:
    """The overlay's color, which shows on every sky, as CSS writes it."""
    return f"rgba{(*SKY_TINT, alpha)}"


def _data_uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(for_page(image)).save(file, format="jpeg", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def curves_figure(histories: dict[str, dict[str, list[float]]], key: str) -> go.Figure:
    """A score by epoch, train dotted and val solid; the epoch of the best IoU is marked.

    Colors tell the splits of one run, or else runs apart; then the legend is that of `run_marks`.

    Args:
      histories: by run, columns as history.read_history gives them.
      key: "loss" or "iou".
    """
    figure = go.Figure()
    alone = len(histories) == 1
    for history, (color, name) in zip(histories.values(), run_marks(histories), strict=True):
        train, val = (TRAIN, VAL) if alone else [f"rgb{color}"] * 2
        prefix = "" if alone else f"{name} · "
        epochs, best = history["epoch"], best_epoch(history)
        _add_curve(figure, epochs, history[key], train, "dot", f"{prefix}train")
        _add_curve(figure, epochs, history[f"val_{key}"], val, "solid", f"{prefix}val")
        if best is not None:
            _add_circle(figure, epochs[best], history[f"val_{key}"][best], val)
    figure.update_layout(
        height=360,
        hovermode="x unified",
        uirevision="kept",  # a page that is drawn anew as a training goes on keeps its zoom
        showlegend=alone,
        margin=dict.fromkeys("lrtb", 8),
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    limits = [0, 1] if key == "iou" else None
    last = max(history["epoch"][-1] for history in histories.values())
    figure.update_xaxes(title="epoch", range=[0.8, last + 0.2], automargin=True)
    figure.update_xaxes(tick0=0, dtick=_tick_step(last))
    figure.update_yaxes(title=None, rangemode="tozero", automargin=True, range=limits)
    return figure


def _tick_step(last: float) -> int:
    """Epochs from tick to tick: 1, 2, 5, 10, ..., of which a dozen reach to the last one."""
    steps = (digit * 10**zeros for zeros in range(9) for digit in (1, 2, 5))
    return next(step for step in steps if last <= 12 * step)


def _add_curve(figure: go.Figure, epochs, values, color: str, dash: str, name: str) -> None:
    figure.add_scatter(
        x=epochs,
        y=values,
        mode="lines+markers" if len(values) < 60 else "lines",
        line={"color": color, "dash": dash, "width": 2},
        marker={"size": 5},
        name=name,
        hovertemplate="%{y:.4f}",
    )


def _add_circle(figure: go.Figure, epoch: float, value: float, color: str) -> None:
    figure.add_scatter(
        x=[epoch],
        y=[value],
        mode="markers",
        marker={"size": 13, "symbol": "circle-open", "line": {"width": 2}, "color": color},
        name="best epoch",
        hoverinfo="skip",
        cliponaxis=False,
    )


def run_marks(names: Iterable[str]) -> list[tuple[tuple[int, int, int], str]]:
    """The color of each run in the figures of several."""
    return [(_RUN_COLORS[i % len(_RUN_COLORS)], name) for i, name in enumerate(names)]


def best_epoch(history: dict[str, list[float]]) -> int | None:
    """Index of the epoch with the highest IoU on val: the one whose weights a run keeps."""
    known = [i for i, value in enumerate(history["val_iou"]) if not np.isnan(value)]
    return max(known, key=history["val_iou"].__getitem__) if known else None


def channel_at_size(probs: np.ndarray, channel: int, size: tuple[int, int]) -> np.ndarray:
    """(h, w, C) probabilities -> (H, W) float32 of one class at the photo's size, bilinear."""
    return cv2.resize(probs[..., channel], size[::-1], interpolation=cv2.INTER_LINEAR)


def prediction_picture(prediction: Prediction) -> np.ndarray:
    """The photo as `skyseg predict --format overlay` gives it, at the page's size."""
    picture = for_page(prediction.image)
    ids = resize_mask(prediction.ids, picture.shape[:2])
    return draw_overlay(picture, ids, prediction.scheme)
