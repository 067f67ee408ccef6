"""Page: loss and IoU of trainings, epoch by epoch."""

from pathlib import Path

import streamlit as st

from skyseg_tf.dashboard_pages import figures, session
from skyseg_tf.dashboard_pages.run_facts import network_of
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
    histories = _histories({name: runs[name] for name in chosen})
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
                figures.curves_figure(histories, key),
                key=f"curve_{key}",
                config={"displayModeBar": False},
                alt=f"{title} by epoch of {', '.join(histories)}",
            )
    st.caption(
        "Solid: val; dotted: train. IoU is that of sky where the classes are sky and not sky, else "
        "the mean over the classes. The circle marks the epoch of the best one, whose weights the "
        "run keeps. Drag to zoom in, double-click to zoom out. A training that goes on shows its "
        "new epochs when the page is used or reloaded."
    )


def _histories(runs: dict[str, Path]) -> dict[str, dict[str, list[float]]]:
    """The histories that can be read; of the others the page says why not."""
    found = {}
    for name, path in runs.items():
        with session.explained():
            found[name] = read_history(path)
    return found


def _figures_of(histories: dict, runs: dict[str, Path]) -> None:
    rows = []
    for name, history in histories.items():
        best = figures.best_epoch(history)
        epoch = None if best is None else int(history["epoch"][best])
        iou = None if best is None else history["val_iou"][best]
        seconds = sum(value for value in history.get("seconds", ()) if value == value)
        rows.append(
            {
                "run": name,
                "network": network_of(runs[name]),
                "epochs": len(history["epoch"]),
                "best val IoU": iou,
                "in epoch": epoch,
                "minutes": seconds / 60,
            }
        )
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={
            "best val IoU": st.column_config.NumberColumn(format="%.4f"),
            "minutes": st.column_config.NumberColumn(format="%.1f"),
        },
    )
