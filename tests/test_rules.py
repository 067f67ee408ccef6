"""The project's rules, as tests."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from skyseg_tf.console.cli import VERBS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skyseg_tf"
FILES = sorted(PACKAGE.rglob("*.py"))
NO_TENSORFLOW = (
    "console.dependencies",
    "errors",
    "exporters",
    "files.locks",
    "files.aside",
    "files.places",
    "files.json_file",
    "files.streams",
    "files.json_types",
    "files.templates",
    "runs.history",
    "console.foreign_flags",
    "files",
    "images.decoders",
    "labels",
    "images.metadata",
    "images",
    "scoring.metrics",
    "scoring.instances",
    "scoring.evaluation",
    "masking.views",
    "scoring.submission",
    "scoring.comparison",
    "scoring.report",
    "scoring.plots",
    "scoring.plots_scores",
    "tuning.plots",
    "console.cli",
    "console.command",
    "console.parsing",
    "console.flags",
    "server.port",
    *VERBS,
    "runs.model_folders",
    "runs.packaged",
    "masking.model_facts",
    "masking.backends",
    "masking.runtime",
    "masking.prediction",
    "masking.coco",
    "masking.formats",
    "masking.nerfstudio",
    "masking.stages",
    "masking.photo_stages",
    "masking.photo_inputs",
    "masking.photo_jobs",
    "masking.sky_facts",
    "compositing.backdrop",
    "compositing.matting",
    "compositing.replacement",
    "video.encoders",
    "video.formats",
    "video.predict",
    "dashboard_pages.model_choices",
    "dashboard_pages.sample_choices",
    "dashboard_pages.run_facts",
    "dashboard_pages.uploads",
    "dashboard_pages.figures",
    "dashboard_pages.session",
    "dashboard_pages.inspect_photo",
)

# A module imports from lower floors and from its own room; a room is a folder, and what lies
# beside the folders on the first and the last floor is one room each.
FLOORS = (
    ("errors", "console", "files", "images", "labels"),
    (
        "training.losses",
        "scoring.metrics",
        "scoring.instances",
        "scoring.plots",
        "scoring.plots_frame",
        "scoring.plots_scores",
    ),
    ("data", "models"),
    ("runs",),
    ("masking", "scoring", "tuning"),
    (
        "training",
        "scoring.story",
        "scoring.protocol",
        "scoring.scored_model",
        "exporters",
        "video",
        "server",
        "compositing",
        "scale",
    ),
    ("dashboard_pages", "__main__", *VERBS),
)
ONE_ROOM = (0, len(FLOORS) - 1)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def floor(name: str) -> int:
    """The floor of the longest entry that a module is or lies in."""
    entries = {entry: i for i, entries in enumerate(FLOORS) for entry in entries}
    fits = [entry for entry in entries if name == entry or name.startswith(f"{entry}.")]
    assert fits, f"{name} lies on no floor"
    return entries[max(fits, key=len)]


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
    if name in ("", "__init__"):
        return
    for other in imports(path):
        same_room = name.split(".")[0] == other.split(".")[0]
        same_room |= floor(name) == floor(other) and floor(name) in ONE_ROOM
        assert same_room or floor(other) < floor(name), f"{name} -> {other}"


def test_the_root_holds_verbs_and_few_rooms():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    rooms = entries - {f"{verb}.py" for verb in ("__main__", *VERBS)}
    assert ".streamlit" in rooms  # no room, but Streamlit looks for it beside its script
    assert len(rooms - {".streamlit"}) <= 20


def test_light_modules_start_without_tensorflow():
    code = (
        f"import sys; [__import__('skyseg_tf.' + n) for n in {NO_TENSORFLOW}]; "
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_verb_is_a_module():
    from skyseg_tf.console.cli import VERBS

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


def names_by_module() -> dict[str, set[str]]:
    """Last word of a module or room -> what is defined, taken or imported there."""
    known = {}
    for path in FILES:
        words = module_name(path).split(".")
        known.setdefault(words[-1], set())
        known.setdefault(words[-2] if words[1:] else "skyseg_tf", set()).add(words[-1])
        for node in walked(path):
            for field in ("name", "id", "arg", "attr"):
                if isinstance(name := getattr(node, field, None), str):
                    known[words[-1]].add(name)
    return known


@cache
def walked(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def told_in(path: Path) -> str:
    """Comments and docstrings."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    told = [ast.get_docstring(node) for node in walked(path) if isinstance(node, nodes)]
    return "\n".join([*filter(None, told), *re.findall(r"# .*", path.read_text())])


def test_comments_refer_to_what_there_is():
    """A reader who is sent to `module.name`, or told to see a_name, finds it there."""
    known = names_by_module()
    everywhere = set(known).union(*known.values()) | {
        p.stem for p in Path(__file__).parent.iterdir()
    }
    others = {"keras", "openvino", "onnxruntime", "runtime"}  # libraries, and a variable
    suffixes = {"json", "csv", "html", "py", "npz", "keras", "xml", "jpg", "png", "mp4", "onnx"}
    for path in FILES:
        told = told_in(path)
        for module, name in re.findall(r"(?<![\w./])([a-z_]+)\.([A-Za-z_]\w+)", told):
            if module in known and module not in others and name not in suffixes:
                assert name in known[module], f"{path.name}: {module}.{name}"
        for name in re.findall(r"\bsee ([a-z]+_[a-z_]+)\b", told):
            assert name in everywhere, f"{path.name}: see {name}"


def test_nothing_unfinished_and_no_foreign_loader():
    for path in FILES:
        text = path.read_text()
        for word in ("TODO", "FIXME", "XXX", "import pickle", "allow_pickle=True", "import torch"):
            if word == "import torch" and path.name == "state_dicts.py":
                continue
            assert word not in text, f"{path.name}: {word}"


def test_numbers_of_things_are_told_by_errors_counted():
    """Of one it makes no "1 photos"."""
    things = "photos|frames|records|masks|epochs|trials|shards|scenes|images|predictions|pairs"
    told = re.compile(rf"\{{[^{{}}]+\}} (?:{things})\b")
    never_one = {
        "{MAX_FRAMES} frames",
        "{MOST:,} scenes",
        "{drawn} scenes",
        "{report.fps:.1f} frames",
        "{uploads.MAX_FRAMES} frames",
    }
    for path in FILES:
        assert not set(told.findall(path.read_text())) - never_one, path.name


def test_the_names_that_help_shows_are_those_of_the_registries():
    from importlib import import_module

    from skyseg_tf.console import flags

    shown = [
        value for name, value in vars(flags).items() if name.isupper() and type(value) is tuple
    ]
    assert len(shown) > 10
    for file, registry in shown:
        module = import_module(f"skyseg_tf.{module_name(PACKAGE / file)}")
        assert flags.names(file, registry) == tuple(getattr(module, registry)), registry
