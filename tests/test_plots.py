"""Plots with what is hard to draw: long names, many classes, one epoch, nothing at all."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from skyseg_tf.labels import LabelScheme
from skyseg_tf.scoring import plots, plots_scores
from skyseg_tf.tuning.plots import plot_heat_map
from skyseg_tf.tuning.space import Parameter

TITLE = "unet_efficientnet_b2 on val split of a_dataset_in_a_folder_with_a_long_name"
PROTOCOL = (
    "val split of camvid, 8 photos (truth 0660bc07d705), classes camvid11, photo protocol, scored at "
    "each label's own size (probabilities refined along the photo's edges), single scale, void "
    "ignored, sky where its refined p >= 0.5, else largest probability"
)
# As people whose eyes lack one kind of cone see linear RGB (Machado et al. 2009).
SEEN_BY = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def scheme(count: int, name: str = "class {}") -> LabelScheme:
    names = ("sky", *(name.format(i) for i in range(1, count)))
    colors = tuple((40 * i % 256, 90, 200) for i in range(count))
    return LabelScheme("drawn", names, colors, tuple((each,) for each in names))


def extents(figure) -> list:
    """(text, place in pixels) of all that is written, of a figure that is drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [*figure.texts, figure._suptitle]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):  # ticks beyond the ends are not drawn
            low, high = sorted(axis.get_view_interval())
            marks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            texts += [label for mark, label in marks if low <= mark <= high]
    texts = {id(text): text for text in texts if text and text.get_text()}.values()
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]


def assert_is_readable(figure) -> None:
    """Nothing is cut, and neither title nor protocol lies over anything."""
    found = extents(figure)
    width, height = figure.canvas.get_width_height()
    for text, place in found:
        assert -2 < place.x0 < place.x1 < width + 2, text
        assert -2 < place.y0 < place.y1 < height + 2, text
    framing = {figure._suptitle.get_text(), *(text.get_text() for text in figure.texts)}
    for (one, place), (other, there) in itertools.permutations(found, 2):
        if one in framing:
            assert not place.overlaps(there), (one, other)


def test_bars_of_classes_with_long_names():
    values = np.array([0.9, 0.0, np.nan, np.nan, 0.3, 0.7])
    classes = scheme(6, "number {}, vegetation beside pavements, parking lots and terrain")
    figure = plots.plot_iou_scores(values, 0.475, classes, TITLE, PROTOCOL)
    assert_is_readable(figure)
    assert "mean IoU 0.475" in figure._suptitle.get_text().replace("\n", " ")
    assert figure.axes[0].get_position().width > 0.6  # the names leave room for the bars


def test_bars_where_no_class_is_labeled():
    figure = plots.plot_iou_scores(np.full(3, np.nan), np.nan, scheme(3), TITLE, PROTOCOL)
    assert_is_readable(figure)
    assert "mean IoU none" in figure._suptitle.get_text().replace("\n", " ")
    assert not figure.axes[0].get_yticklabels()


@pytest.mark.parametrize("count", [1, 2, 11])
def test_confusion_of_classes_with_long_names(count):
    classes = scheme(count, "number {}, vegetation beside pavements and parking lots")
    matrix = np.eye(count, dtype=int) * 90 + 10
    assert_is_readable(plots.plot_confusion_matrix(matrix, classes, TITLE, PROTOCOL))


def test_confusion_of_many_classes_is_a_picture_without_figures():
    """ADE20K has 150 classes: 22,500 figures took minutes to draw, and a page of 80 inches."""
    figure = plots.plot_confusion_matrix(np.eye(150, dtype=int) + 1, scheme(150), TITLE)
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches()) < 30
    assert figure.axes[1].get_ylabel() == "% of each true class"  # the scale says it instead


def test_confusion_of_nothing(recwarn):
    figure = plots.plot_confusion_matrix(np.zeros((3, 3), int), scheme(3), TITLE, PROTOCOL)
    assert_is_readable(figure)
    assert not recwarn.list


def history(epochs: int, value: float = 0.5) -> list[dict[str, float]]:
    row = dict.fromkeys(("loss", "iou", "val_loss", "val_iou"), value)
    return [{"epoch": epoch} | row for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize(("epochs", "value"), [(1, 0.5), (2, 0.5), (500, 0.5), (3, np.nan)])
def test_curves_of_few_and_many_epochs(epochs, value):
    figure = plots.plot_learning_curves(history(epochs, value), TITLE, "mean IoU")
    assert_is_readable(figure)
    _, score = figure.axes
    assert score.get_title("left") == "mean IoU"  # of sky or of all classes: two measures
    ticks = [tick for tick in score.get_xticks() if 1 <= tick <= epochs]
    assert ticks
    assert ticks == list(map(round, ticks))
    assert {line.get_marker() for line in score.lines} == {"o" if epochs < 60 else "None"}


def test_plots_of_an_evaluation_under_a_long_protocol():
    counts = np.zeros((15, 3))
    counts[0] = 1000, 1, 0  # no photo has sky, and the network is sure of it
    f, bands = {"1": 0.7, "2": 0.8, "4": 0.9}, {"2": 0.5, "4": 0.6, "16": 0.9}
    for figure in (
        plots_scores.plot_reliability(counts, 0.01, TITLE, PROTOCOL),
        plots_scores.plot_image_iou(np.array([0.02, np.nan]), "sky IoU", TITLE, PROTOCOL),
        plots_scores.plot_outline(f, bands, 0.95, TITLE, PROTOCOL),
    ):
        assert_is_readable(figure)
        for axes in figure.axes:
            assert axes.get_legend() is None or not axes.patches, "a legend may hide a bar"


def test_a_heat_map_of_a_search_under_a_long_protocol():
    space = [Parameter(name, (0.1, 0.2)) for name in ("learning_rate", "ema")]
    figure = plot_heat_map([], *space, TITLE, PROTOCOL)
    assert_is_readable(figure)


def test_a_legend_of_long_names_fits_its_sheet():
    assert plots._legend_columns([7, 3, 11, 15, 22, 22, 23]) == 7  # of sky and not sky
    assert plots._legend_columns([60] * 8) == 2
    assert plots._legend_columns([400]) == 1


def lab(color, eyes: np.ndarray) -> np.ndarray:
    value = np.array(color) / 255
    linear = eyes @ np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(XYZ @ linear, 0) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", SEEN_BY.values(), ids=SEEN_BY)
def test_right_false_and_missed_sky_look_different_to_all(eyes):
    colors = [color for color, _ in plots.difference_marks(LabelScheme(
        "sky", ("not sky", "sky"), ((90, 90, 90), (70, 130, 180)), (("road",), ("sky",))
    ))]  # fmt: skip
    for one, other in itertools.combinations([*colors, (45, 45, 45)], 2):
        assert np.linalg.norm(lab(one, eyes) - lab(other, eyes)) > 30
