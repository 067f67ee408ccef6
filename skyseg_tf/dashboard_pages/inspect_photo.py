"""Page: one photo, what one or two models say of it, and how far that is from the truth."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from skyseg_tf.dashboard_pages import figures, session
from skyseg_tf.dashboard_pages.model_choices import ModelChoice
from skyseg_tf.dashboard_pages.sample_choices import LoadedSample, Sample
from skyseg_tf.dashboard_pages.session import Answer
from skyseg_tf.images import SKY_TINT, colorize
from skyseg_tf.labels import IGNORE
from skyseg_tf.masking.runtime import Runtime, model_suffixes
from skyseg_tf.scoring import metrics, plots
from skyseg_tf.scoring.scores import BOUNDARY_TOLERANCE

_NONE = ModelChoice("None", "", 0)
_IOU = "Pixels that are sky in truth and prediction, of those that are sky in either: 1 is perfect."
_ACCURACY = "Pixels whose class is right, of those that have one in truth."
_MEAN = "The same for each class in this photo, and their mean."
_BOUNDARY = "How well the sky's edge is met, to 2 pixels: 1 is perfect."


def show() -> None:
    """Draws the page."""
    st.title("Inspect")
    st.caption("A photo, what a model says of it, and how far that is from the truth.")
    where = session.folders()
    samples, notes = session.samples(where.data)
    if opened := st.session_state.get("opened"):  # from the page of worst photos
        samples = [opened, *(sample for sample in samples if sample != opened)]
    models = session.models()
    for note in notes:
        st.warning(session.shown(note))
    first, second, third = st.columns([1.2, 1, 1])
    with first:
        sample = session.pick("Photo", samples, "photo")
    with second:
        choice = session.pick("Model", models, "model")
    with third:
        other = session.pick("Second model", [_NONE, *models], "second_model")
    choices = [choice] if other in (_NONE, choice) else [choice, other]
    if other == choice:
        st.caption("Both models are the same: pick another one to compare.")

    sides = []
    for one in choices:
        with session.explained():
            runtime = session.runtime_of(one)
            loaded = session.load_sample(sample, runtime)
            sides.append(_Side(len(sides), one, runtime, sample, loaded))
    if sides:
        _compare(sides)
    _add_yours(where.data, where.runs, where.models)


def _compare(sides: list["_Side"]) -> None:
    """Asks for a threshold and shows what the models say at it."""
    threshold = None
    controls = st.columns([2, 1], vertical_alignment="bottom")
    with controls[0]:
        cut = next((side.runtime for side in sides if side.scheme.has_threshold), None)
        threshold = session.threshold_slider(cut, "threshold") if cut else None
    with controls[1]:
        refined = session.edge_toggle("refined")
    for side in sides:
        side.ask(threshold, refined)
    _draw(sides)


class _Side:
    """One model on the photo: its answer and its scores."""

    def __init__(
        self,
        number: int,
        choice: ModelChoice,
        runtime: Runtime,
        sample: Sample,
        loaded: LoadedSample,
    ) -> None:
        self.number = number
        self.choice, self.runtime, self.sample, self.loaded = choice, runtime, sample, loaded
        self.scheme = runtime.scheme

    def ask(self, threshold: float | None, refined: bool) -> None:
        """Computes answer and scores."""
        self.threshold = threshold if self.scheme.has_threshold else None
        self.answer: Answer = session.answer(
            self.runtime,
            self.loaded.image,
            (self.choice, self.sample),
            clip=self.loaded.clip,
            threshold=self.threshold,
            refined=refined,
        )
        self.ids = self.answer.prediction.ids
        self.matrix = None
        if self.loaded.truth is not None:
            self.matrix = metrics.confusion_matrix(
                self.loaded.truth, self.ids, self.scheme.num_classes
            )


def _draw(sides: list[_Side]) -> None:
    for note in dict.fromkeys(note for side in sides for note in side.loaded.notes):
        st.info(session.shown(note))
    _clip(sides)
    _beside([partial(_figures_of, side) for side in sides])
    _pictures(sides)
    session.swatches(_legends(sides))
    st.subheader("Probability under the mouse")
    _beside([partial(_probability, side, named=len(sides) > 1) for side in sides])
    line = "; the line runs where the probability is the threshold"
    has_line = any(side.threshold is not None for side in sides)
    st.caption(
        f"Point at the photo, or tap it. The stronger the tint, the more probable{line * has_line}."
    )
    _iou_table(sides)


def _pictures(sides: list[_Side]) -> None:
    """Photo, truth, predictions and differences, as far as there is a truth."""
    photo = partial(session.picture, sides[0].loaded.image, "Photo")
    predictions = [partial(_prediction, side) for side in sides]
    known = [side for side in sides if side.loaded.truth is not None]
    if not known:
        st.info("No truth for this photo, so no difference and no IoU.", icon=":material/info:")
        _beside([photo, *predictions])
        return
    _beside([photo, partial(_truth, known[0])])
    differences = [partial(_difference, side) for side in known]
    if len(sides) == 1:
        _beside(predictions + differences)
    else:
        _beside(predictions)
        _beside(differences)


def _beside(parts: list[Callable[[], None]]) -> None:
    """Draws each part in a column of its own."""
    for column, draw in zip(st.columns(len(parts)), parts, strict=True):
        with column:
            draw()


def _clip(sides: list[_Side]) -> None:
    """The frames that a model sees before the photo, where one takes clips."""
    clip = next((side.loaded.clip for side in sides if side.loaded.clip is not None), None)
    if clip is None:
        return
    st.subheader("Frames that go in")
    labels = [*map(str, range(1 - len(clip), 0)), "the photo"]
    _beside([partial(session.picture, *part) for part in zip(clip, labels, strict=True)])


def _figures_of(side: _Side) -> None:
    """The scores in large figures."""
    prediction, scheme = side.answer.prediction, side.scheme
    spent = f"{session.duration(side.answer.seconds)} in {side.runtime.backend}"
    st.markdown(f"**{side.choice.label}** · :gray[{spent}]")
    told = []
    if side.matrix is not None:
        sky = scheme.sky
        if sky is not None:
            told.append(("Sky IoU", _figure(metrics.iou(side.matrix)[sky]), _IOU))
        told.append(("Mean IoU", _figure(metrics.mean_iou(side.matrix)), _MEAN))
        if sky is not None:
            edges = metrics.boundary_counts(side.loaded.truth, side.ids, sky, BOUNDARY_TOLERANCE)
            told.append(("Sky boundary F", _figure(metrics.boundary_f(edges)), _BOUNDARY))
        told.append(("Pixel accuracy", _figure(metrics.pixel_accuracy(side.matrix)), _ACCURACY))
    if prediction.sky is not None:
        told.append(("Sky share", f"{100 * prediction.sky_share:.1f} %", None))
    with st.container(horizontal=True, gap="medium"):
        for label, value, about in told:
            st.metric(label, value, width="content", help=about)


def _figure(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.3f}"


def _truth(side: _Side) -> None:
    session.picture(colorize(side.loaded.truth, side.scheme.palette), "Truth", lossless=True)


def _prediction(side: _Side) -> None:
    picture = figures.prediction_picture(side.answer.prediction)
    session.picture(picture, f"Prediction of {side.choice.label}")


def _difference(side: _Side) -> None:
    picture = plots.difference(side.loaded.truth, side.ids, side.scheme)
    session.picture(picture, f"Difference, {side.choice.label}", lossless=True)


def _legends(sides: list[_Side]) -> dict[str, list[tuple[tuple[int, int, int], str]]]:
    """What the colors of truth, predictions and differences mean.

    Two models may have other colors for one name, as CamVid's sky is grey: then each has its own.
    """
    known = [side for side in sides if side.loaded.truth is not None]
    truth = _truth_marks(known[0]) if known else {}
    marks = [_prediction_marks(side) for side in sides]
    one_key = len({tuple(_prediction_colors(side).items()) for side in sides}) == 1
    predicted = {
        f"Prediction of {side.choice.label}": part for side, part in zip(sides, marks, strict=True)
    }
    if one_key:
        predicted = {"Prediction": {name: color for part in marks for name, color in part.items()}}
    if truth and one_key and not sides[0].scheme.shows_sky_alone:
        legends = {"Truth and prediction": truth | predicted["Prediction"]}
    else:
        legends = {"Truth": truth, **predicted}
    legends["Difference"] = {
        text: color for side in known for color, text in plots.difference_marks(side.scheme)
    }
    return {
        title: [(color, text) for text, color in marks.items()]
        for title, marks in legends.items()
        if marks
    }


def _truth_marks(side: _Side) -> dict[str, tuple[int, int, int]]:
    """Color by name of the classes that the truth has."""
    names, colors = side.runtime.class_names, side.runtime.colors
    seen = set(np.unique(side.loaded.truth).tolist())
    marks = {names[i]: colors[i] for i in sorted(seen - {IGNORE})}
    return marks | ({"ignored": (0, 0, 0)} if IGNORE in seen else {})


def _prediction_colors(side: _Side) -> dict[str, tuple[int, int, int]]:
    """Color by name of what a model's predictions show."""
    if side.scheme.shows_sky_alone:
        return {"sky": SKY_TINT}
    return dict(zip(side.runtime.class_names, map(tuple, side.runtime.colors), strict=True))


def _prediction_marks(side: _Side) -> dict[str, tuple[int, int, int]]:
    """Those of `_prediction_colors` that are in the photo's prediction."""
    colors = _prediction_colors(side)
    if side.scheme.shows_sky_alone:
        return colors
    names = list(colors)
    return {names[i]: colors[names[i]] for i in np.unique(side.ids)}


def _probability(side: _Side, named: bool) -> None:
    prediction, names = side.answer.prediction, list(side.runtime.class_names)
    what, probs = "sky", prediction.sky
    if not side.scheme.has_threshold:
        start = names.index("sky") if "sky" in names else 0
        what = st.selectbox(
            "Class",
            names,
            index=start,
            key=f"class_{side.number}_{side.runtime.name}",
            label_visibility="collapsed",
        )
        probs = figures.channel_at_size(side.answer.probs, names.index(what), side.ids.shape)
    figure = figures.probability_figure(prediction, side.loaded.truth, probs, what, side.threshold)
    with session.of_aspect(f"probability_{side.number}", side.ids.shape):
        st.plotly_chart(
            figure,
            key=f"figure_{side.number}",
            height="stretch",
            config={"displayModeBar": False},
            alt=f"Probability of {what} over the photo, by {side.choice.label}",
        )
    if named:
        st.caption(side.choice.label)


def _iou_table(sides: list[_Side]) -> None:
    scored = [side for side in sides if side.matrix is not None]
    if not scored:
        return
    st.subheader("IoU per class")
    columns = {}
    for side in scored:
        values = metrics.iou(side.matrix)
        rows = zip(side.scheme.class_names, values, strict=True)
        columns[side.choice.label] = {
            **{name: value for name, value in rows if not np.isnan(value)},
            "mean IoU": metrics.mean_iou(side.matrix),
        }
    table = pd.DataFrame(columns).rename_axis("class").reset_index()
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.ProgressColumn(name, min_value=0, max_value=1, format="%.3f")
            for name in columns
        },
    )


def _add_yours(data: Path, runs: Path, models: Path) -> None:
    suffixes = ", ".join(f"`{suffix}`" for suffix in model_suffixes())
    data, runs, models = map(session.shown, (data, runs, models))
    with st.expander("Add models and photos", icon=":material/add:"):
        st.markdown(
            f"- **Photos with truth:** drop a Cityscapes tree into `{data}/`: `leftImg8bit/`, "
            f"`gtFine/`, and `leftImg8bit_sequence/` for models that take clips. Photos alone work "
            f"too, without IoU.\n"
            f"- **Models:** every run below `{runs}/` is here by itself. Others ({suffixes} of "
            f"`skyseg export`, or whole run folders) go into `{models}/`. What is exported answers "
            "sooner than Keras.\n\n"
            "They show up within seconds; nothing needs to be restarted."
        )
