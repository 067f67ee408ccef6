"""What the pages share: caches, choices that last from page to page, errors in one line."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from skyseg_tf.dashboard_pages import figures, model_choices, sample_choices
from skyseg_tf.dashboard_pages.folders import Folders
from skyseg_tf.dashboard_pages.model_choices import ModelChoice
from skyseg_tf.dashboard_pages.sample_choices import LoadedSample, Sample
from skyseg_tf.errors import InputError
from skyseg_tf.images import resize_image
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.prediction import Prediction, enlarge, infer
from skyseg_tf.masking.runtime import Runtime, load_runtime

_TALLEST = "min(80vh, 800px)"  # of a picture: a portrait on a wide page would fill two windows
_FOUND_SECONDS = 5  # so old may the list of files be: a file that is dropped shows up by itself


def folders() -> Folders:
    """Where the dashboard looks."""
    return st.session_state.get("folders", Folders())


def shown(text: object) -> str:
    """A text, or an error, without the places of this machine: see Folders.without_places."""
    return folders().without_places(str(text))


@contextmanager
def explained() -> Iterator[None]:
    """Shows bad input, a failing disk and a lack of memory as one line on the page."""
    told = None
    try:
        yield
    except InputError as error:
        told = str(error)
    except OSError as error:
        told = f"{error.strerror or error} ({error.filename})"
    except MemoryError:
        told = "This machine has not enough memory for that; try a smaller photo or model"
    if told:
        st.error(shown(told), icon=":material/error:")


# --- choices ---


def pick(
    label: str, options: Sequence, key: str, show: Callable = lambda option: option.label, **more
):
    """A select box whose choice outlasts its page.

    Args:
      label: above it.
      options: at least one.
      key: of the choice.
      show: an option's text.
      more: for st.selectbox.
    """
    kept = f"kept_{key}"
    wanted = st.session_state.get(key, st.session_state.get(kept))
    if wanted not in options or key not in st.session_state:
        # A file that has changed is another option of the same name.
        same = [option for option in options if wanted is not None and show(option) == show(wanted)]
        st.session_state[key] = wanted if wanted in options else (same or options)[0]
    choice = st.selectbox(label, options, key=key, format_func=show, **more)
    st.session_state[kept] = choice
    return choice


def pick_several(label: str, options: Sequence[str], key: str, most: int) -> list[str]:
    """A box for up to `most` of the options, that outlasts its page; starts with the first."""
    kept = f"kept_{key}"
    chosen = st.session_state.get(key, st.session_state.get(kept, options[:1]))
    st.session_state[key] = [option for option in chosen if option in options]
    choice = st.multiselect(label, options, key=key, max_selections=most)
    st.session_state[kept] = choice
    return choice


def choose(key: str, option) -> None:
    """Makes a `pick` of another page, or of the next run, start at an option."""
    st.session_state[f"kept_{key}"] = option
    st.session_state.pop(key, None)


def open_page(name: str) -> None:
    """Goes to a page by its url path."""
    pages = st.session_state.get("pages", {})
    if name in pages:
        st.switch_page(pages[name])


def duration(seconds: float) -> str:
    """A time as people say it."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def swatches(legends: Mapping[str, Sequence[tuple[tuple[int, int, int], str]]]) -> None:
    """A line for each kind of picture: a square of each of its colors with what it means."""
    lines = []
    for title, marks in legends.items():
        parts = [
            f'<span style="white-space:nowrap;margin-left:1rem"><span style="display:inline-block;'
            f"width:.8em;height:.8em;border-radius:2px;border:1px solid #8886;margin-right:.35em;"
            f'vertical-align:-.05em;background:rgb{tuple(map(int, color))}"></span>{escape(text)}</span> '
            for color, text in marks
        ]
        lines.append(f"<div><b>{escape(title)}</b>{''.join(parts)}</div>")
    st.html(f'<div style="font-size:.85rem;opacity:.8;line-height:1.7">{"".join(lines)}</div>')


def picture(image: np.ndarray, caption: str | None = None, *, lossless: bool = False) -> None:
    """An (H, W, 3) uint8 picture as wide as its place; lossless for one of few plain colors."""
    kind = "PNG" if lossless else "JPEG"
    st.image(figures.for_page(image), caption=caption, width="stretch", output_format=kind)


def no_runs(folder: Path, what: str) -> None:
    """What to do where there is no run yet."""
    place = shown(folder)
    st.info(f"No runs below `{place}/` yet. Train one, and {what}:", icon=":material/school:")
    st.code("skyseg train", language="sh")
    st.caption(
        "Without options it draws street scenes, trains a small network on them within minutes and "
        f"leaves the run in `{place}/`. `skyseg dashboard --runs DIR` looks elsewhere."
    )


def limit_pictures() -> None:
    """Keeps photos whole in the window."""
    st.html(
        f"<style>[data-testid=stImage] img {{max-height: {_TALLEST}; object-fit: contain}}</style>"
    )


def of_aspect(key: str, size: tuple[int, int]):
    """A container as wide as its place, or less where it would be taller than the window."""
    height, width = size
    st.html(
        f"<style>.st-key-{key} {{aspect-ratio: {width} / {height}; min-height: 0; "
        f"max-width: calc({_TALLEST} * {width / height:.4f})}}</style>"
    )
    return st.container(key=key)


# --- what is there ---


def models() -> list[ModelChoice]:
    """See model_choices.find_models.

    Raises:
      InputError: there is none.
    """
    found = _models(folders())
    if not found:
        raise InputError(f"no model: put a run folder or a model file into {folders().models}/")
    return found


@st.cache_data(ttl=_FOUND_SECONDS, show_spinner=False)
def _models(where: Folders) -> list[ModelChoice]:
    return model_choices.find_models(where)


@st.cache_data(ttl=_FOUND_SECONDS, show_spinner=False)
def samples(folder: Path) -> tuple[list[Sample], list[str]]:
    """See sample_choices.find_samples."""
    return sample_choices.find_samples(folder)


@st.cache_data(ttl=_FOUND_SECONDS, show_spinner=False)
def runs(folder: Path) -> dict[str, Path]:
    """Run folders by a short name, those changed last first."""
    return {path.relative_to(folder).as_posix(): path for path in model_choices.find_runs(folder)}


# --- models and predictions; keyed on paths and times of change ---


@st.cache_resource(max_entries=8, show_spinner=False)
def _runtime(choice: ModelChoice) -> Runtime:
    return load_runtime(choice.source)


def runtime_of(choice: ModelChoice) -> Runtime:
    """A loaded model.

    Raises:
      InputError: it cannot be loaded.
    """
    with st.spinner(f"Loading {choice.label}"):
        return _runtime(choice)


@st.cache_data(max_entries=24, show_spinner=False)
def _loaded(sample: Sample, scheme: LabelScheme | None, frames: int) -> LoadedSample:
    return sample_choices.load_sample(sample, scheme, frames)


def load_sample(sample: Sample, runtime: Runtime | None = None) -> LoadedSample:
    """A sample with the truth and the clip that a model asks for; without model the photo alone.

    Raises:
      InputError: the photo cannot be read.
    """
    scheme = runtime and runtime.scheme
    with st.spinner("Drawing the scene" if sample.seed is not None else "Reading the photo"):
        return _loaded(sample, scheme, runtime.frames if runtime else 1)


@st.cache_data(max_entries=64, show_spinner=False)
def thumbnail(sample: Sample, width: int) -> np.ndarray:
    """The photo of a sample, (H, W, 3) uint8, scaled to a width.

    Raises:
      InputError: the photo cannot be read.
    """
    image = _loaded(sample, None, 1).image
    return resize_image(image, (max(1, round(image.shape[0] * width / image.shape[1])), width))


@dataclass(frozen=True)
class Answer:
    """What a model says of a photo.

    Attributes:
      prediction: at the photo's size.
      probs: (h, w, C) float32 at the network's size.
      seconds: from the photo to the mask, by a model that has run on this size before.
    """

    prediction: Prediction
    probs: np.ndarray
    seconds: float


@st.cache_resource(show_spinner=False)
def _warm() -> WeakKeyDictionary[Runtime, set[tuple[int, ...]]]:
    """Sizes of input on which a runtime has run; on a new one it compiles first."""
    return WeakKeyDictionary()


@st.cache_data(max_entries=12, show_spinner=False)
def _answer(_runtime: Runtime, _image, _clip, key: tuple, refined: bool) -> Answer:
    size = _runtime.size_for(*_image.shape[:2])
    if size not in (sizes := _warm().setdefault(_runtime, set())):
        infer(_runtime, [_image])
        sizes.add(size)
    start = time.perf_counter()
    probs = infer(_runtime, [_image if _clip is None else _clip])[0]
    prediction = enlarge(_runtime, _image, probs, refined=refined)
    return Answer(prediction, probs, time.perf_counter() - start)


def answer(
    runtime: Runtime,
    image: np.ndarray,
    key: tuple,
    *,
    clip: np.ndarray | None = None,
    threshold: float | None = None,
    refined: bool = True,
) -> Answer:
    """A model's answer, computed once per `key`; another threshold only cuts anew.

    Args:
      runtime: the model.
      image: (H, W, 3) uint8.
      key: what the answer depends on: the model's and the photo's own stamps.
      clip: (T, H, W, 3) for a model that takes clips; None repeats the photo.
      threshold: of `threshold_slider`; None for the model's own.
      refined: let edges follow the photo.
    """
    with st.spinner("Predicting"):
        told = _answer(runtime, image, clip, key, refined)
    if threshold is None:
        return told
    ids = runtime.scheme.class_ids(told.prediction.sky[..., None], threshold)
    return replace(told, prediction=replace(told.prediction, ids=ids))


def edge_toggle(key: str) -> bool:
    """Asks whether a mask is brought to the photo's own edges, as `skyseg predict` does."""
    said = "Brings the mask to the photo's full size along its edges, down to wires."
    return st.toggle("Edges follow the photo", True, key=key, help=said)


def threshold_slider(runtime: Runtime, key: str) -> float | None:
    """Asks from which probability a pixel is sky; None for a model to which that means nothing."""
    if not runtime.scheme.has_threshold:
        return None
    low, high, step = 0.01, 0.99, 0.01
    own = float(np.clip(runtime.threshold, low, high))
    said = "From this probability on a pixel counts as sky."
    return st.slider("Threshold", low, high, own, step, key=f"{key}_{runtime.name}", help=said)
