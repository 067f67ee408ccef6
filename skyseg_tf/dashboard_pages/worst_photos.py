"""Page: the photos that a run does worst on; one click opens each."""

from pathlib import Path

import streamlit as st

from skyseg_tf.dashboard_pages import session
from skyseg_tf.dashboard_pages.run_facts import (
    evaluations_of,
    read_protocol,
    samples_of_evaluation,
    worst_photos,
)
from skyseg_tf.dashboard_pages.sample_choices import Sample
from skyseg_tf.errors import InputError

_COUNT, _COLUMNS, _WIDTH = 12, 3, 480


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
        run = session.shown(next(iter(all_runs.values())))
        st.code(f"skyseg evaluate --model {run}", language="sh")
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
        st.info("No photo of this evaluation is ranked: none has enough sky, true or predicted.")
        return
    st.caption(
        f"{session.shown(read_protocol(run, evaluation))}. Photos with next to no sky, true or predicted, are left "
        "out."
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
    for start in range(0, len(photos), _COLUMNS):
        columns = st.columns(_COLUMNS)
        for column, photo in zip(columns, photos[start : start + _COLUMNS], strict=False):
            with column:
                _card(run, photo, found.get(photo.name))


@st.cache_data(ttl=60, show_spinner="Looking for the photos")
def _found(run: str, evaluation: str, names: tuple[str, ...]) -> dict[str, Sample]:
    return samples_of_evaluation(Path(run), evaluation, list(names))


def _card(run: Path, photo, sample: Sample | None) -> None:
    if sample is None:
        st.markdown(f"**{photo.name}**  \n{photo.caption}")
        return
    try:
        st.image(session.thumbnail(sample, _WIDTH), width="stretch", output_format="JPEG")
    except (InputError, OSError) as error:
        st.warning(session.shown(error))
        return
    st.markdown(f"**{photo.caption}**  \n:small[{photo.name}]")
    if st.button("Inspect", key=f"open_{photo.name}", icon=":material/visibility:"):
        st.session_state["opened"] = sample
        session.choose("photo", sample)
        model = next((m for m in session.models() if m.source == str(run)), None)
        if model:
            session.choose("model", model)
        session.open_page("inspect")
