"""Page: a visitor's own photo or short video, its mask, and the mask as a file."""

import hashlib
from dataclasses import replace

import numpy as np
import streamlit as st

from skyseg_tf.dashboard_pages import figures, session, uploads
from skyseg_tf.dashboard_pages.model_choices import ModelChoice
from skyseg_tf.masking.formats import FORMATS, default_format, encode_prediction
from skyseg_tf.masking.runtime import Runtime
from skyseg_tf.masking.sky_facts import sky_facts


def show() -> None:
    """Draws the page."""
    st.title("Your photo")
    upload = st.file_uploader("A photo or a short video", key="upload")
    st.caption(
        f"{uploads.KINDS}. Up to {st.get_option('server.maxUploadSize')} MB and "
        f"{uploads.MAX_MEGAPIXELS} megapixels; of a video the first {uploads.MAX_FRAMES} frames. "
        "Nothing is kept. A file that turns red is too large."
    )
    choice = session.pick("Model", session.models(), "model")
    if upload is None:
        st.info(
            "Drop a photo into the box above and its sky mask appears, ready to download for COLMAP, "
            "Metashape, ODM, as a cut-out, as probabilities and more.",
            icon=":material/image:",
        )
        return
    with session.explained():
        runtime = session.runtime_of(choice)
        content = upload.getvalue()
        if uploads.is_video(upload.name):
            _video(upload.name, content, choice, runtime)
        else:
            _photo(upload.name, content, choice, runtime)


@st.cache_data(max_entries=4, show_spinner=False)
def _decoded(digest: str, name: str, _content: bytes):
    return uploads.read_upload(name, _content)


def _photo(name: str, content: bytes, choice: ModelChoice, runtime: Runtime) -> None:
    digest = hashlib.sha256(content).hexdigest()
    photo = _decoded(digest, name, content)
    image = photo.image
    controls = st.columns([2, 1], vertical_alignment="bottom")
    with controls[0]:
        threshold = session.threshold_slider(runtime, "upload_threshold")
    with controls[1]:
        refined = session.edge_toggle("upload_refined")
    told = session.answer(runtime, image, (choice, digest), threshold=threshold, refined=refined)
    prediction = replace(told.prediction, metadata=photo.metadata)
    left, right = st.columns(2)
    with left:
        session.picture(image, name)
    with right:
        tinted = ": the tinted part is sky" if prediction.scheme.shows_sky_alone else ""
        session.picture(figures.prediction_picture(prediction), f"Prediction{tinted}")
    scheme = prediction.scheme
    if not scheme.shows_sky_alone:
        there = np.unique(prediction.ids)
        session.swatches({"Prediction": [(scheme.colors[i], scheme.class_names[i]) for i in there]})
    facts = sky_facts(prediction)
    with st.container(horizontal=True, gap="medium"):
        if prediction.sky is not None:
            st.metric("Sky share", f"{100 * facts['sky_share']:.1f} %", width="content")
            st.metric(
                "Confidence",
                f"{facts['confidence']:.3f}",
                width="content",
                help="Mean probability of what was decided, sky or not, over all pixels: 0.5 to 1.",
            )
        st.metric("Size", f"{facts['width']} × {facts['height']}", width="content")
        st.metric("Time", session.duration(told.seconds), width="content")
    if prediction.sky is not None and not facts["sky"]:
        st.info("No pixel of this photo is sky at this threshold: its mask is empty.")
    _download(name, prediction, (choice, digest, threshold, refined))


@st.cache_data(max_entries=8, show_spinner=False)
def _encoded(wanted: str, _prediction, name: str, key: tuple) -> tuple[str, bytes]:
    return encode_prediction(wanted, _prediction, name)


def _download(name: str, prediction, key: tuple) -> None:
    st.subheader("Download")
    kinds = [
        kind for kind, how in FORMATS.items() if prediction.sky is not None or not how.needs_sky
    ]
    usual = default_format(prediction.scheme)
    kinds.sort(key=lambda kind: kind != usual)
    format_column, button_column = st.columns([2, 1], vertical_alignment="bottom")
    with format_column:
        wanted = session.pick(
            "Format", kinds, f"format_{usual}", lambda kind: f"{kind} · {FORMATS[kind].about}"
        )
    file_name, content = _encoded(wanted, prediction, name, key)
    with button_column:
        _download_button(content, file_name, "download", width="stretch")
    st.caption(f"It is saved as {file_name}.")


def _download_button(content: bytes, file_name: str, key: str, **more) -> None:
    st.download_button(
        f"Download {_size(content)}",
        content,
        file_name,
        uploads.media_type(file_name),
        key=key,
        on_click="ignore",
        icon=":material/download:",
        type="primary",
        **more,
    )


def _size(content: bytes) -> str:
    kilobytes = len(content) / 1000
    return (
        f"({kilobytes / 1000:.1f} MB)" if kilobytes >= 1000 else f"({max(kilobytes, 0.1):.1f} kB)"
    )


@st.cache_data(max_entries=3, show_spinner=False)
def _masked(digest: str, name: str, _content: bytes, choice: ModelChoice, wanted: str, threshold):
    return uploads.mask_video(name, _content, session.runtime_of(choice), wanted, threshold)


def _video(name: str, content: bytes, choice: ModelChoice, runtime: Runtime) -> None:
    kinds = uploads.video_kinds(has_sky=runtime.sky_channel is not None)
    wanted = session.pick(
        "Shows", list(kinds), "video_format", lambda kind: f"{kind} · {kinds[kind]}"
    )
    threshold = session.threshold_slider(runtime, "video_threshold")
    digest = hashlib.sha256(content).hexdigest()
    with st.spinner(f"Frame by frame, the first {uploads.MAX_FRAMES} at most"):
        file_name, masks, facts = _masked(digest, name, content, choice, wanted, threshold)
    st.video(masks)
    st.caption(facts)
    _download_button(masks, file_name, "download_video")
