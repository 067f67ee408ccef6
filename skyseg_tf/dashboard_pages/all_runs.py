"""Page: the scores of all runs, in one table per protocol."""

import streamlit as st

from skyseg_tf.dashboard_pages import session
from skyseg_tf.dashboard_pages.run_facts import Group, group_scores, table_rows

_SCORES = (
    "sky IoU",
    "mean IoU",
    "pixel accuracy",
    "sky boundary F",
    "boundary F of all classes",
    "calibration error",
)


def show() -> None:
    """Draws the page."""
    st.title("Runs")
    runs = session.runs(session.folders().runs)
    groups, damaged = group_scores(list(runs.values()))
    for line in damaged:
        st.warning(session.shown(line))
    if not groups:
        session.no_runs(session.folders().runs, "its scores show here")
        return
    st.caption(
        "One table per protocol: figures of different photos, sizes or rules cannot be compared, so "
        "they never share one. *truth* is a fingerprint of the labels; *void* is what has none and "
        "counts nowhere. Click a heading to sort, tick a row for more."
    )
    names = {path: name for name, path in runs.items()}
    for number, group in enumerate(groups):
        _table(group, names, f"runs_{number}")


def _table(group: Group, names: dict, key: str) -> None:
    data, _, rest = group.protocol.partition(", ")
    st.subheader(session.shown(data[:1].upper() + data[1:]))
    st.caption(session.shown(rest))
    rows = table_rows(group, names)
    event = st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key=key,
        column_config={"run": st.column_config.TextColumn(pinned=True)}
        | {name: st.column_config.NumberColumn(format="%.4f") for name in _SCORES},
    )
    chosen = event.selection.rows if event else []
    if not chosen:
        return
    scored = group.runs[chosen[0]]
    name = names[scored.run]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{name}**")
        if st.button("Training curves", key=f"{key}_curves", icon=":material/show_chart:"):
            session.choose("curves", [name])
            session.open_page("training")
        if scored.evaluation and st.button(
            "Worst photos", key=f"{key}_worst", icon=":material/sentiment_dissatisfied:"
        ):
            session.choose("worst_run", name)
            session.choose("worst_evaluation", scored.evaluation)
            session.open_page("worst")
        model = next((m for m in session.models() if m.source == str(scored.run)), None)
        if model and st.button("Inspect", key=f"{key}_inspect", icon=":material/visibility:"):
            session.choose("model", model)
            session.open_page("inspect")
