"""Page: loss and IoU of trainings, epoch by epoch."""

from pathlib import Path

import streamlit as st

from skyseg_tf.dashboard_pages import figures, session
from skyseg_tf.dashboard_pages.run_facts import epochs_of, network_of, trains_for_sky
from skyseg_tf.runs.history import read_history

_MOST = 6
_REFRESH_SECONDS = 5  # a training writes its history epoch by epoch


def show() -> None:
    """Draws the page."""
    st.title("Training")
    _curves()


@st.fragment(run_every=_REFRESH_SECONDS)
def _curves() -> None:
    """All below the title, drawn anew by itself."""
    folder = session.folders().runs
    all_runs = session.runs(folder)
    runs = {name: path for name, path in all_runs.items() if (path / "history.csv").is_file()}
    if not all_runs:
        session.no_runs(folder, "its curves show here while it goes on")
        return
    if not runs:
        first = session.shown(next(iter(all_runs)))
        st.info(f"{first} has not finished an epoch yet; its curves show here when it has.")
        return
    chosen = session.pick_several("Runs", list(runs), "curves", _MOST)
    if not chosen:
        st.info("Pick one run or several.")
        return
    histories = _histories({name: runs[name] for name in chosen})
    if not histories:
        return
    of_sky = {name: trains_for_sky(runs[name]) for name in histories}
    _figures_of(histories, runs, of_sky)
    if len(histories) > 1:
        session.swatches({"Runs": figures.run_marks(histories)})
    kinds = sorted(set(of_sky.values()), reverse=True)
    titles = {
        "iou": " or ".join("sky IoU" if kind else "mean IoU" for kind in kinds),
        "loss": "loss",
    }
    titles = {key: title[0].upper() + title[1:] for key, title in titles.items()}
    loss, score = st.columns(2)
    for column, key in ((score, "iou"), (loss, "loss")):
        with column:
            st.subheader(titles[key])
            st.plotly_chart(
                figures.curves_figure(histories, key),
                key=f"curve_{key}",
                config={"displayModeBar": False},
                alt=f"{titles[key]} by epoch of {', '.join(histories)}",
            )
    st.caption(
        "Solid: val; dotted: train. The circle marks the epoch of the best IoU on val, whose weights "
        "the run keeps: that of sky where the classes are sky and not sky, else the mean over the "
        "classes. Drag to zoom in, double-click to zoom out. New epochs show by themselves."
    )


def _histories(runs: dict[str, Path]) -> dict[str, dict[str, list[float]]]:
    """The histories that can be read; of the others the page says why not."""
    found = {}
    for name, path in runs.items():
        with session.explained():
            found[name] = read_history(path)
    return found


def _figures_of(histories: dict, runs: dict[str, Path], of_sky: dict[str, bool]) -> None:
    rows = []
    for name, history in histories.items():
        best = figures.best_epoch(history)
        epoch = None if best is None else int(history["epoch"][best])
        iou = None if best is None else history["val_iou"][best]
        done, wanted = len(history["epoch"]), epochs_of(runs[name])
        seconds = sum(value for value in history.get("seconds", ()) if value == value)
        rows.append(
            {
                "run": name,
                "network": network_of(runs[name]),
                "epochs": f"{done} of {wanted}" if wanted else str(done),
                f"best {'sky' if of_sky[name] else 'mean'} IoU": iou,
                "in epoch": epoch,
                "minutes": seconds / 60,
            }
        )
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.NumberColumn(format=form)
            for name, form in (
                ("best sky IoU", "%.4f"),
                ("best mean IoU", "%.4f"),
                ("minutes", "%.1f"),
            )
        },
    )
