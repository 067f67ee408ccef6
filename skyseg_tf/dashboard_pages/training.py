"""Page: loss and IoU of trainings, epoch by epoch."""

from pathlib import Path

import streamlit as st

from skyseg_tf.dashboard_pages import figures, session
from skyseg_tf.dashboard_pages.run_facts import network_of
from skyseg_tf.errors import InputError
from skyseg_tf.runs.history import read_history

_MOST = 6


def show() -> None:
    """Draws the page."""
    st.title("Training")
    runs = {
        name: path
        for name, path in session.runs(session.folders().runs).items()
        if (path / "history.csv").is_file()
    }
    if not runs:
        session.no_runs(session.folders().runs, "its curves show here while it goes on")
        return
    chosen = session.pick_several("Runs", list(runs), "curves", _MOST)
    if not chosen:
        st.info("Pick one run or several.")
        return
    histories = {}
    for name in chosen:
        try:
            histories[name] = read_history(runs[name])
        except InputError as error:
            st.error(str(error), icon=":material/error:")
    if not histories:
        return
    _figures_of(histories, runs)
    if len(histories) > 1:
        session.swatches({"Runs": figures.run_marks(histories)})
    loss, score = st.columns(2)
    for column, key, title in ((score, "iou", "IoU"), (loss, "loss", "Loss")):
        with column:
            st.subheader(title)
            st.plotly_chart(
                figures.curves_figure(histories, key), key=f"curve_{key}",
                config={"displayModeBar": False}, alt=f"{title} by epoch of {', '.join(histories)}",
            )  # fmt: skip
    st.caption(
        "Solid: val; dotted: train. IoU is that of sky where the classes are sky and not sky, else "
        "the mean over the classes. The circle marks the epoch of the best one, whose weights the "
        "run keeps. Drag to zoom in, double-click to zoom out. A training that goes on shows its "
        "new epochs when the page is used or reloaded."
    )


def _figures_of(histories: dict, runs: dict[str, Path]) -> None:
    rows = []
    for name, history in histories.items():
        best = figures.best_epoch(history)
        seconds = sum(value for value in history.get("seconds", ()) if value == value)
        rows.append(
            {
                "run": name, "network": network_of(runs[name]), "epochs": len(history["epoch"]),
                "best val IoU": None if best is None else history["val_iou"][best], "in epoch": None if best is None else int(history["epoch"][best]),
                "minutes": seconds / 60,
            }
        )  # fmt: skip
    st.dataframe(
        rows, hide_index=True, width="stretch",
        column_config={
            "best val IoU": st.column_config.NumberColumn(format="%.4f"),
            "minutes": st.column_config.NumberColumn(format="%.1f"),
        },
    )  # fmt: skip
