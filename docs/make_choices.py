"""Writes choices.md: the tables of all that a flag can choose, made from the registries.

python docs/make_choices.py
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's
from skyseg_tf.data.augment.presets import AUGMENTATIONS, DESCRIPTIONS
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.data.layouts import LAYOUTS
from skyseg_tf.exporters.formats import FORMATS as EXPORT_FORMATS
from skyseg_tf.files.aside import write_aside
from skyseg_tf.labels import ENCODINGS, SCHEMES
from skyseg_tf.masking.backends import BACKENDS
from skyseg_tf.masking.formats import FORMATS as MASK_FORMATS
from skyseg_tf.models.networks import MODELS
from skyseg_tf.models.options import describe
from skyseg_tf.video.encoders import CONTAINERS, STREAMS
from skyseg_tf.video.formats import VIDEO_FORMATS

_ESCAPES = str.maketrans({"|": r"\|", "*": r"\*", "<": "&lt;"})  # signs of Markdown in plain words
PAGE = Path(__file__).with_name("choices.md")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown; the first column is code."""
    lines = [head, ["---"] * len(head)]
    lines += [(f"`{first}`", *rest) for first, *rest in rows]
    cells = [[str(cell).translate(_ESCAPES) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def code(names: Iterable[str]) -> str:
    """Names as code, in a line."""
    return ", ".join(f"`{name}`" for name in names)


def networks() -> str:
    """Table of MODELS: what each network is."""
    rows = [
        (
            name,
            network.paper or "a design of this package",
            "clips" if network.sequence else "photos",
            network.divisor,
            "yes" if network.imagenet else "-",
            describe(network.build) or "-",
        )
        for name, network in MODELS.items()
    ]
    head = ("`--model`", "published in", "takes", "sides are multiples of", "`--init imagenet`")
    return table((*head, "`--model-options`"), rows)


def recipes() -> str:
    """Table of MODELS: how each network is trained unless flags say otherwise."""
    rows = []
    for name, network in MODELS.items():
        recipe, losses = network.recipe, dict.fromkeys(network.recipe.loss)
        rows.append(
            (
                name,
                recipe.optimizer,
                f"{recipe.learning_rate:g}",
                " or ".join(losses),
                len(network.aux_weights) or "-",
            )
        )
    head = ("`--model`", "`--optimizer`", "`--learning-rate`", "`--loss` of two classes, or more")
    return table((*head, "auxiliary outputs"), rows)


def schemes() -> str:
    """Table of SCHEMES."""
    rows = [
        (
            name,
            ", ".join(scheme.class_names),
            "-" if scheme.sky is None else scheme.sky,
            scheme.num_logits,
        )
        for name, scheme in SCHEMES.items()
    ]
    return table(
        ("`--scheme`", "classes, in the order of their ids", "id of the sky", "outputs"), rows
    )


def mask_formats() -> str:
    """Table of the formats of masks."""
    rows = [
        (name, f"`{form.name}`", form.about, "yes" if form.needs_sky else "-")
        for name, form in MASK_FORMATS.items()
    ]
    return table(("`--format`", "file", "what it holds", "needs a class sky"), rows)


def video_formats() -> str:
    """Table of VIDEO_FORMATS."""
    rows = []
    for name, form in VIDEO_FORMATS.items():
        holds = [suffix for suffix, (_, encoders) in CONTAINERS.items() if form.kind in encoders]
        rows.append((name, form.about, code(holds), "yes" if form.needs_sky else "-"))
    return table(("`--format`", "what it shows", "in files", "needs a class sky"), rows)


def exports() -> str:
    """Table of the formats of exports."""
    rows = [
        (
            name,
            form.about,
            f"`{form.name}`",
            ", ".join(form.precisions),
            ", ".join(form.fixed) or "-",
            code(form.packages) or "-",
        )
        for name, form in EXPORT_FORMATS.items()
    ]
    head = ("`--format`", "for", "file", "`--precision`", "of one size alone in", "needs")
    return table(head, rows)


def backends() -> str:
    """Table of BACKENDS."""
    rows = [
        (name, code(backend.suffixes), f"`{backend.package}`", f"`{backend.install}`")
        for name, backend in BACKENDS.items()
    ]
    return table(("`--backend`", "runs", "package", "is installed by"), rows)


def page() -> str:
    """The whole page."""
    layouts = [(name, layout.about) for name, layout in LAYOUTS.items()]
    encodings = [(name, encoding.about) for name, encoding in ENCODINGS.items()]
    parts = [
        "# Choices",
        "What the flags can choose. Made by `python docs/make_choices.py` from the tables in the "
        "code, as the help texts and the error messages are.",
        "## Networks",
        networks(),
        "How each is trained unless flags say otherwise:",
        recipes(),
        "## Classes",
        schemes(),
        "Classes of your own are a JSON file: [Own labels](howto/own-labels.md).",
        "## Folders of datasets",
        table(("`--layout`", "what lies where"), layouts),
        "## Values of masks",
        table(("`--encoding`", "what they mean"), encodings),
        "## Storages of records",
        table(("`--storage`", "what it is"), STORAGES.items()),
        "## Changes of training photos",
        "`light` is taken unless told otherwise; for the demo, `flip`.",
        table(
            ("`--augment`", "what happens to photos"),
            [(name, DESCRIPTIONS[name]) for name in AUGMENTATIONS],
        ),
        "## Masks of photos",
        "`skyseg predict`, `skyseg serve` and the dashboard write these. In a file's name `{name}` "
        "is the photo's with its suffix, `{stem}` without.",
        mask_formats(),
        "## Masks of videos",
        video_formats(),
        f"Any of them also goes into a folder of PNG files, and all without transparency to "
        f"standard output as {' or '.join(STREAMS)}.",
        "## Exports",
        exports(),
        "What each does to the numbers: [Exports](export.md).",
        "## Runtimes",
        backends(),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    with write_aside(PAGE) as aside:
        aside.write_text(page())
    print(PAGE)
