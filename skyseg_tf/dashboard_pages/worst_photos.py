"""Page: the photos that a run does worst on, and what it says of them; one click opens each."""

from pathlib import Path

import numpy as np
import streamlit as st

from skyseg_tf.dashboard_pages import figures, session
from skyseg_tf.dashboard_pages.model_choices import ModelChoice
from skyseg_tf.dashboard_pages.run_facts import (
    BadPhoto,
    evaluations_of,
    read_protocol,
    refines,
    samples_of_evaluation,
    worst_photos,
)
from skyseg_tf.dashboard_pages.sample_choices import Sample
from skyseg_tf.errors import InputError

_COUNT, _COLUMNS, _WIDTH = 12, 2, 480


def show() -> None:
    """Draws the page."""
    st.title("Worst photos")
    folder = session.folders().runs
    all_runs = session.runs(folder)
    runs = {name: path for name, path in all_runs.items() if evaluations_of(path)}
    if not runs:
        if not all_runs:
            session.no_runs(folder, "evaluate it to see where it fails")
            return
        st.info("No run has been evaluated yet. This scores one photo by photo:")
        models = {model.source for model in session.models()}
        with_model = [path for path in all_runs.values() if str(path) in models]
        run = (with_model or list(all_runs.values()))[0]  # one that can be evaluated, if any
        st.code(f"skyseg evaluate --model {session.shown(run)}", language="sh")
        return
    left, right = st.columns(2)
    with left:
        name = session.pick("Run", list(runs), "worst_run", str)
    with right:
        evaluation = session.pick("Evaluation", evaluations_of(runs[name]), "worst_evaluation", str)
    with session.explained():
        _sheet(runs[name], evaluation)


def _sheet(run: Path, evaluation: str) -> None:
    photos = worst_photos(run, evaluation, _COUNT)
    if not photos:
        st.info("No photo of this evaluation is ranked: none has enough sky or any label.")
        return
    protocol = session.shown(read_protocol(run, evaluation))
    st.caption(
        f"{protocol[:1].upper()}{protocol[1:]}. Photos with next to no sky, true or "
        "predicted, are left out. Each photo is followed by the same with what the run predicts, as "
        "far as both are still there."
    )
    found = _found(str(run), evaluation, tuple(photo.name for photo in photos))
    if not found:
        st.warning(
            "The photos are no longer where they were when they were scored; these are the names, "
            "and the report has small pictures."
        )
        sheet = run / "evaluation" / evaluation / "plots" / "worst.png"
        if sheet.is_file():
            st.image(str(sheet), width="stretch")
    model = _model_of(run) if found else None
    if model and not (runtime := session.runtime_of(model)).scheme.shows_sky_alone:
        colors = zip(runtime.colors, runtime.class_names, strict=True)
        session.swatches({"Prediction": list(colors)})
    refined = refines(run, evaluation)
    for start in range(0, len(photos), _COLUMNS):
        columns = st.columns(_COLUMNS)
        for column, photo in zip(columns, photos[start : start + _COLUMNS], strict=False):
            with column:
                _card(photo, found.get(photo.name), model, refined)


def _model_of(run: Path) -> ModelChoice | None:
    """The run as a model; None where it is none any more, of which the page then tells once."""
    model = next((one for one in session.models() if one.source == str(run)), None)
    try:
        if model:
            session.runtime_of(model)
        return model
    except (InputError, OSError) as error:
        st.warning(f"The photos are shown without predictions: {session.shown(error)}")
        return None


@st.cache_data(ttl=60, show_spinner="Looking for the photos")
def _found(run: str, evaluation: str, names: tuple[str, ...]) -> dict[str, Sample]:
    return samples_of_evaluation(Path(run), evaluation, list(names))


def _card(photo: BadPhoto, sample: Sample | None, model: ModelChoice | None, refined: bool) -> None:
    """One photo beside its prediction, as far as photo and model are still there."""
    if sample is None:
        st.markdown(f"**{photo.name}**  \n{photo.caption}")
        return
    try:
        pictures = [session.thumbnail(sample, _WIDTH)]
        if model:
            pictures.append(_predicted(sample, model, refined))
    except (InputError, OSError) as error:
        st.warning(session.shown(error))
        return
    for place, picture in zip(st.columns(len(pictures)), pictures, strict=True):
        with place:
            session.picture(picture)
    st.markdown(f"**{photo.caption}**  \n:small[{photo.name}]")
    if st.button("Inspect", key=f"open_{photo.name}", icon=":material/visibility:"):
        st.session_state["opened"] = sample
        session.choose("photo", sample)
        if model:
            session.choose("model", model)
        session.open_page("inspect")


@st.cache_data(max_entries=64, show_spinner=False)
def _predicted(sample: Sample, model: ModelChoice, refined: bool) -> np.ndarray:
    """The photo under what the model says of it, (H, W, 3) uint8, at most as wide as a page."""
    runtime = session.runtime_of(model)
    loaded = session.load_sample(sample, runtime)
    told = session.answer(runtime, loaded.image, (model, sample), clip=loaded.clip, refined=refined)
    return figures.for_page(figures.prediction_picture(told.prediction))
