"""The project's rules, as tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skyseg_tf"
FILES = sorted(PACKAGE.rglob("*.py"))
NO_TENSORFLOW = (
    "dependencies",
    "errors",
    "locks",
    "json_file",
    "json_types",
    "history",
    "foreign_flags",
    "files",
    "decoders",
    "labels",
    "photo_metadata",
    "images",
    "metrics",
    "instances",
    "image_scores",
    "inference",
    "submission",
    "comparison",
    "report",
    "plots",
    "plots_scores",
    "plots_search",
    "cli",
    "completion",
    "wrong_flags",
    "port",
    "zoo",
    "settings",
    "scenes",
    "check",
    "flatten",
    "model_folders",
    "model_facts",
    "backends",
    "runtime",
    "box",
    "prediction",
    "coco",
    "formats",
    "nerfstudio",
    "photo_stages",
    "predict",
    "backdrop",
    "matting",
    "replace",
    "doctor",
    "predict_video",
    "dashboard",
    "dashboard_pages.sources",
    "dashboard_pages.run_facts",
    "dashboard_pages.uploads",
    "dashboard_pages.figures",
    "dashboard_pages.session",
    "dashboard_pages.inspect_photo",
)

# A module may import only modules of lower floors, or of its own where it says so.
FLOORS = [
    ["dependencies", "errors", "quiet", "png", "settings", "locks", "foreign_flags"],
    ["files", "photo_metadata", "port", "json_file", "json_types", "model_folders"],
    ["raw_photos"],
    ["decoders"],
    ["labels", "images", "onnx_file", "refine", "search_space", "state_dicts"],
    ["backdrop"],
    ["matting"],
    ["stages", "smoothing", "video_settings", "history"],
    ["video"],
    ["video_write", "video_compose", "camera"],
    ["data.listing", "data.encodings", "data.layouts", "data.check_report", "data.checks"],
    ["data.branches"],
    ["data.skies", "data.effects"],
    [
        "data.scenes",
        "data.rgb_stats",
        "data.augment",
        "models.blocks",
        "losses",
        "metrics",
        "instances",
        "plots",
        "trials",
    ],
    ["data.examples"],
    ["data.manifest"],
    ["data.integrity"],
    [
        "data.records",
        "data.augment_examples",
        "data.augment_image",
        "scores",
        "plots_scores",
        "plots_search",
    ],
    [
        "data.pipeline",
        "data.photos",
        *(f"models.{p.stem}" for p in (PACKAGE / "models").glob("[a-z]*.py")),
    ],
    ["models"],
    ["cli", "runs", "recipes", "image_scores", "inference", "submission", "comparison"],
    ["report", "evaluation_folder", "completion"],
    ["wrong_flags"],
    [
        "trained_model",
        "watching",
        "checkpoints",
        "devices",
        "precision",
        "learning_rate",
        "seeds",
        "imagenet",
    ],
    ["train_config"],
    ["fitting"],
    ["model_facts"],
    ["backends"],
    ["runtime"],
    ["prediction"],
    ["coco"],
    ["formats"],
    ["nerfstudio", "photo_stages"],
    [
        "predict_video",
        "serve_answers",
        "serve_metrics",
        "serve_page",
        "serve_requests",
    ],
    ["agreement", "exporters.job"],
    ["exporters.onnx_graph", "exporters.litert", "exporters.saved_model"],
    ["exporters.openvino_rewrites", "exporters.openvino_rounding"],
    ["exporters.openvino_ir"],
    ["exporters"],
    ["box", "predict", "replace", "doctor"],
    [
        "export",
        "serve",
        "scenes",
        "check",
        "flatten",
        "build",
        "evaluate",
        "import_weights",
        "train",
    ],
    ["search"],
    ["dashboard_pages", "dashboard_pages.sources", "dashboard_pages.uploads"],
    ["dashboard_pages.run_facts", "dashboard_pages.figures"],
    ["dashboard_pages.session"],
    [
        "dashboard_pages.inspect_photo",
        "dashboard_pages.your_photo",
        "dashboard_pages.training",
        "dashboard_pages.all_runs",
        "dashboard_pages.worst_photos",
    ],
    ["dashboard"],
    ["zoo"],
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def floor(name: str) -> int:
    if name.startswith("data.scene"):
        name = "data.scenes"  # drawn in several files
    return next(i for i, names in enumerate(FLOORS) if name in names)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skyseg_tf"):
            below = node.module.removeprefix("skyseg_tf").lstrip(".")
            names = {f"{below}.{alias.name}".lstrip(".") for alias in node.names}
            modules = {module_name(file) for file in FILES}
            found |= {name if name in modules else below for name in names} - {""}
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down(path):
    name = module_name(path)
    if name in ("", "__init__", "data"):
        return
    same_floor = {"data.layouts", "data.checks", "data.check_report", "data.encodings", "cli"}
    for other in imports(path):
        if name.startswith("data.scene") and other.startswith("data.scene"):
            continue
        below = floor(other) < floor(name) or (other in ("build", "evaluate") and name == "train")
        # blocks.py is shared by the networks; they share a floor in the list above.
        below |= other == "models.blocks" and name.startswith("models.")
        assert below or (name in same_floor and floor(other) == floor(name)), f"{name} -> {other}"


def test_light_modules_start_without_tensorflow():
    code = (
        f"import sys; [__import__('skyseg_tf.' + n) for n in {NO_TENSORFLOW}]; "
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_verb_is_a_module():
    from skyseg_tf.cli import VERBS

    for verb in VERBS:
        tree = ast.parse((PACKAGE / f"{verb}.py").read_text())
        assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_public_functions_that_raise_input_errors_say_so(path):
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        raises = [n for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc is not None]
        if any("InputError" in ast.unparse(n.exc) for n in raises):
            assert "Raises:" in (ast.get_docstring(node) or ""), f"{path.name}: {node.name}"


def test_nothing_unfinished_and_no_foreign_loader():
    for path in FILES:
        text = path.read_text()
        for word in ("TODO", "FIXME", "XXX", "import pickle", "allow_pickle=True", "import torch"):
            if word == "import torch" and path.name == "state_dicts.py":
                continue
            assert word not in text, f"{path.name}: {word}"
