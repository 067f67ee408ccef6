"""Figures have one source: pages that tell them say what docs/figures/ and the code say."""

import importlib
import json
from pathlib import Path

import pytest
import yaml
from test_models import COUNTS, MORE_COUNTS

from skyseg_tf.models.networks import MODELS
from skyseg_tf.runs.packaged import WEIGHTS, read_packaged
from skyseg_tf.training.settings import TrainConfig

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
NAMES = (
    "README.md",
    "docs/results.md",
    "docs/model_card.md",
    "docs/benchmarks.md",
    "docs/explanation/faults.md",
)


@pytest.fixture
def make_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("make_figures")


def read(name: str):
    return json.loads((FIGURES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_page_tells_the_figures_of_its_source(make_figures, name):
    page = ROOT / name
    assert page.read_text() == make_figures.page(page), "run docs/make_figures.py"


def test_every_page_with_tables_of_figures_is_made(make_figures):
    pages = {ROOT / "README.md", *(ROOT / "docs").rglob("*.md")}
    marked = {page for page in pages if "<!-- figures:" in page.read_text()}
    assert marked == set(make_figures.PAGES) == {ROOT / name for name in NAMES}


def test_what_make_bench_measures_anew_gets_a_table(make_figures, monkeypatch):
    """An hour of measuring does not end in an error since nobody has written of it before."""
    told = make_figures.PAGES[make_figures.OPEN]
    monkeypatch.setitem(
        make_figures.PAGES, make_figures.OPEN, told | {"something": lambda: "| 1 |"}
    )
    page = make_figures.page(make_figures.OPEN)
    assert page == make_figures.OPEN.read_text() + (
        "\n## `something.py`\n\n<!-- figures: something -->\n| 1 |\n<!-- end -->\n"
    )


def test_a_figure_changed_by_hand_is_found(make_figures, tmp_path):
    page = tmp_path / "README.md"
    page.write_text((ROOT / "README.md").read_text().replace("0.9", "0.8"))
    make_figures.PAGES[page] = make_figures.PAGES[ROOT / "README.md"]
    assert make_figures.page(page) == (ROOT / "README.md").read_text()
    page.write_text("no table")
    with pytest.raises(LookupError, match="tables"):
        make_figures.page(page)
    del make_figures.PAGES[page]


def test_facts_of_networks_are_those_of_the_networks():
    """Parameters are counted in tests/test_models.py; those of resnet_lstm depend on the size."""
    facts = read("networks")["networks"]
    assert facts.keys() == MODELS.keys()
    for name, classes, options, everything, _ in COUNTS + MORE_COUNTS:
        if classes == 1 and not options:
            assert facts[name]["parameters"] == everything, name


def test_figures_that_stand_in_two_places_agree():
    for name in read_packaged()["models"]:
        scores = json.loads((WEIGHTS / name / "metrics.json").read_text())
        if name == "streets":
            assert scores["iou"] == read("streets")["idd_lite"]["iou"]
            assert scores["mean_iou"] == read("idd")["skyline_lite0"]["mean_iou"]
            continue
        (row,) = (
            row
            for row in read("packaged")[name]
            if row["photos"] == "camvid_cityscapes" and row["refined"]
        )
        assert f"{scores['iou']['sky']:.3f}" == f"{row['iou']:.3f}"
        assert f"{scores['boundary_f']:.3f}" == f"{row['f_2px']:.3f}"


def test_the_pipeline_of_dvc_is_the_demo():
    variables = yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"][0]
    assert variables["epochs"] == TrainConfig().epochs
    assert f"--count {variables['scenes']} " in (ROOT / "Makefile").read_text()


def test_no_docstring_tells_what_a_network_costs():
    """What is measured stands in docs/figures/networks.json alone."""
    for path in (ROOT / "skyseg_tf" / "models").glob("*.py"):
        assert "GMAC" not in path.read_text(), path.name
