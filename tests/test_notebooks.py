"""The notebooks: thin, tidy, and runnable from top to bottom."""

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest

from tools.notebooks import execute

ROOT = Path(__file__).parents[1]
MAX_LINES, MAX_BYTES = 12, 300_000
DEMO = {"SCENES": 12, "SCENE_SIZE": (64, 128)}
RECORDS = DEMO | {"IMAGE_HEIGHT": 32}
# Settings that make a run of seconds, and what it must leave behind.
NOTEBOOKS = {
    "data_folder_format.ipynb": (DEMO, ["data/flat/train/images", "data/flat/val/annotations"]),
    "dataset_build.ipynb": (
        RECORDS | {"COMPARED": 4},
        [f"data/notebook_scenes_sky_32x64_normalized/{x}.json" for x in ("dataset", "rgb_stats")],
    ),
    "train.ipynb": (
        RECORDS | {"MODEL": "skynet", "EPOCHS": 1},
        ["runs/notebook/model.keras", "runs/notebook/metrics.json", "plots/skynet_iou_scores.png"],
    ),
}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:work|tmp|home|root|usr|opt|mnt|var|Users)\b|[A-Z]:\\\\")


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / name, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell


def tree_of(cell: nbformat.NotebookNode) -> ast.Module:
    return ast.parse("\n".join(x for x in cell.source.splitlines() if not x.startswith("%")))


def texts(notebook: nbformat.NotebookNode) -> str:
    """All that a reader sees as text, of cells and outputs."""
    found = [cell.source for cell in notebook.cells]
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        data = output.get("data", {})
        found += [output.get("text", "")]
        found += [text for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join(found)


def pictures(output: nbformat.NotebookNode) -> list[str]:
    return [kind for kind in output.get("data", {}) if kind.startswith("image/")]


def test_all_notebooks_are_known():
    assert {path.name for path in ROOT.glob("*.ipynb")} == NOTEBOOKS.keys()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_is_thin(name):
    notebook = read(name)
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert not any(isinstance(node, kinds) for node in ast.walk(tree_of(cell))), cell.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_opens_with_words_and_settings(name):
    notebook = read(name)
    opening = notebook.cells[0]
    assert opening.cell_type == "markdown"
    assert opening.source.startswith("# ")
    assert "**Takes**" in opening.source
    assert "**Writes**" in opening.source
    cell = parameters(notebook)
    assert cell is code_cells(notebook)[0]
    assert "SOURCE = None" in cell.source
    assert all(isinstance(node, ast.Assign) for node in tree_of(cell).body)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_is_stored_with_small_clean_outputs(name):
    assert (ROOT / name).stat().st_size < MAX_BYTES
    notebook = read(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(pictures(output) for output in outputs)
    assert not [x for x in outputs if x.output_type == "error" or x.get("name") == "stderr"]
    assert not MACHINE_PATH.findall(texts(notebook))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One working directory for all, so that the demo dataset is drawn once."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(name, folder):
    notebook = read(name)
    settings, written = NOTEBOOKS[name]
    cell = parameters(notebook)
    given = {target.id for node in tree_of(cell).body for target in node.targets}
    assert settings.keys() <= given
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in settings.items())
    notebook.cells.append(nbformat.v4.new_code_cell("import sys; print(sys.executable)"))
    execute(notebook, folder, timeout=240)
    assert notebook.cells[-1].outputs[0].text.strip() == sys.executable
    told = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [output for output in told if output.get("name") == "stderr"]  # TensorFlow's chatter
    for path in written:
        assert (folder / path).exists(), path
    if name == "train.ipynb":  # curves that are drawn anew in place
        (training,) = [cell for cell in notebook.cells if cell.source == "run = train(config)"]
        assert len([output for output in training.outputs if pictures(output)]) == 1
