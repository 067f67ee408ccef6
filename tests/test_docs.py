"""The pages: every block is run or says why not, and names nothing that does not exist."""

import ast
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import skyseg_tf
from skyseg_tf.console.cli import VERBS, config_of
from skyseg_tf.console.command import command_app, flags_of
from skyseg_tf.console.flags import model_suffixes as suffixes_in_helps
from skyseg_tf.console.flags import packaged_models as packaged_in_helps
from skyseg_tf.data.drawing.dataset import write_scenes
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.data.examples import STORAGES
from skyseg_tf.export import export
from skyseg_tf.exporters.formats import FORMATS as EXPORT_FORMATS
from skyseg_tf.exporters.settings import ExportConfig
from skyseg_tf.labels import LABEL_ID
from skyseg_tf.masking.formats import FORMATS as MASK_FORMATS
from skyseg_tf.masking.runtime import model_suffixes
from skyseg_tf.models.networks import MODELS
from skyseg_tf.runs.packaged import read_packaged

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
MARKS_OPTIONAL = ("README.md", "CONTRIBUTING.md")  # read where nobody renders the marks
RUN, NOT_RUN = "<!-- run -->", "<!-- not run:"
SHELL, PYTHON = ("sh", "bash", "shell"), ("python", "py")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_SEPARATORS = {"|", "&&", "||", ";", ">", "<", "|&"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and how it is marked."""

    page: Path
    language: str
    text: str
    run: bool
    reason: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"


def blocks_of(page: Path) -> list[Block]:
    text, blocks = page.read_text(), []
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()].rstrip().rsplit("\n", 1)[-1]
        after = text[fence.end() :].lstrip()
        marks = before == RUN, after.startswith(NOT_RUN)
        blocks.append(Block(page, fence[1], fence[2], *marks))
    return blocks


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUNNABLE = [page for page in PAGES if any(block.run for block in blocks_of(page))]


def test_there_are_blocks_of_both_kinds():
    assert len([block for block in BLOCKS if block.run]) > 15
    assert len([block for block in BLOCKS if block.reason]) > 10


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_block_is_marked_and_parses(page, tmp_path):
    for block in blocks_of(page):
        if block.language in SHELL:
            script = tmp_path / "block.sh"
            script.write_text(block.text)
            result = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
            assert result.returncode == 0, f"{block}: {result.stderr}"
        elif block.language in PYTHON:
            ast.parse(block.text)
        elif block.language == "json":
            json.loads(block.text)
        assert not (block.run and block.reason), block
        if block.language in SHELL + PYTHON + ("js",) and page.name not in MARKS_OPTIONAL:
            assert block.run or block.reason, (
                f"{block}: say {RUN} before or '{NOT_RUN} why -->' after it"
            )


def commands_in(line: str) -> list[list[str]]:
    """[verb, flag, ...] of every call of skyseg in a line of shell."""
    words = shlex.split(line, comments=True)
    found, i = [], 0
    while i < len(words):
        verb = None
        if words[i] == "skyseg" and i + 1 < len(words):
            verb = words[i + 1]
        elif words[i].startswith("skyseg_tf.") and words[i - 1] == "-m":
            verb, i = words[i].removeprefix("skyseg_tf."), i - 1
        if verb is None:
            i += 1
            continue
        end = next((j for j in range(i, len(words)) if words[j] in _SEPARATORS), len(words))
        flags = [word.split("=")[0] for word in words[i + 2 : end] if re.match(r"--[a-z]", word)]
        found.append([verb.strip(), *flags])
        i = end + 1
    return found


def known_flags(verb: str) -> set[str]:
    return {"--help", *flags_of(command_app(config_of(verb), verb))}


def check_command(verb: str, flags: list[str], where: str) -> None:
    if verb.startswith("--"):
        assert verb in ("--version", "--completion", "--help"), f"{where}: skyseg {verb}"
        return
    assert verb in VERBS, f"{where}: {verb}"
    known = known_flags(verb)
    assert set(flags) <= known, f"{where}: skyseg {verb} has no {set(flags) - known}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_shows_one_example(verb):
    examples = re.findall(r"^ *Example: (.+)$", config_of(verb).__doc__, re.M)
    (line,) = examples
    ((told, *flags),) = commands_in(line)
    assert told == verb
    check_command(told, flags, verb)


def test_commands_are_found():
    line = "A=1 skyseg train --epochs 2 --run=x | head; python -m skyseg_tf.build --out a  # --no"
    assert commands_in(line) == [["train", "--epochs", "--run"], ["build", "--out"]]
    with pytest.raises(AssertionError, match="has no"):
        check_command("train", ["--epoch"], "here")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_and_flag_exists(page):
    text = page.read_text()
    lines = [
        line
        for block in blocks_of(page)
        if block.language in SHELL
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    prose = " ".join(_FENCE.sub("", text).split())
    spans = re.findall(r"`([^`]+)`", prose)
    for line in lines + [span for span in spans if span.startswith("skyseg ")]:
        for verb, *flags in commands_in(line):
            if verb != "VERB":  # stands for any
                check_command(verb, flags, page.name)
    known = {flag for verb in VERBS for flag in known_flags(verb)}
    known |= {"--version", "--completion", "--out", "--torch-python"}
    alone = {span.split()[0] for span in spans if re.match(r"--[a-z][a-z-]+", span)}
    if page.name != "commands.md":
        assert alone <= known, f"{page.name}: no command has {alone - known}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_name_that_python_blocks_import_exists(page):
    for block in blocks_of(page):
        if block.language not in PYTHON:
            continue
        for node in ast.walk(ast.parse(block.text)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
                "skyseg_tf"
            ):
                continue
            path = ROOT / node.module.replace(".", "/")
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            there = set(names_of(file)) | {p.stem for p in path.glob("*.py")}
            there |= set(skyseg_tf.__all__) if node.module == "skyseg_tf" else set()
            assert {alias.name for alias in node.names} <= there, f"{block}: {node.module}"


def names_of(file: Path):
    """Everything that a module defines or imports, by its text alone."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_python_page_names_what_is_public():
    page = (DOCS / "api.md").read_text()
    told = {
        name for names in re.findall(r"members: \[([^]]*)\]", page) for name in names.split(", ")
    }
    assert set(skyseg_tf.__all__) - {"__version__", "metrics"} <= told
    assert "::: skyseg_tf.scoring.metrics" in page
    for name in skyseg_tf.__all__:
        assert getattr(skyseg_tf, name) is not None


def test_the_architecture_page_names_files_that_are_there():
    text = (DOCS / "explanation" / "architecture.md").read_text()
    rooms = {path.name for path in (ROOT / "skyseg_tf").iterdir() if path.is_dir()}
    for name in re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", text):
        roots = (
            ROOT / "skyseg_tf",
            ROOT,
            ROOT / "skyseg_tf/data/augment",
            ROOT / "skyseg_tf/images",
        )
        assert name == "skyseg_tf/" or any((root / name).exists() for root in roots), name
    drawn = set(re.findall(r">(\w+)/<", (DOCS / "explanation" / "house.svg").read_text()))
    assert rooms - {"__pycache__", "weights", ".streamlit"} <= drawn


# --- running them ---


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """What the pages speak of: photo.jpg, photos/, sky.jpg, mine/, scene/, a model file."""
    from skyseg_tf.images import read_image, read_mask, write_image
    from skyseg_tf.labels import LABEL_ID

    folder = tmp_path_factory.mktemp("docs")
    write_scenes(folder / "tree", 10, size=(96, 192), seed=5, conditions="cityscapes", workers=1)
    photos = sorted((folder / "tree" / "leftImg8bit").rglob("*.png"))
    for i, photo in enumerate(photos):
        name = photo.name.removesuffix("_leftImg8bit.png")
        split = photo.parents[1].name
        mask = photo.with_name(f"{name}_gtFine_labelIds.png")
        mask = Path(str(mask).replace("leftImg8bit", "gtFine"))
        for source, kind in ((photo, "images"), (mask, "masks")):
            target = folder / "mine" / kind / split / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        if i < 3:
            write_image(folder / "photos" / f"{i}.jpg", read_image(photo))
    write_scenes(folder / "large", 6, size=(192, 384), seed=6, conditions="cityscapes", workers=1)
    masks = sorted((folder / "large" / "gtFine").rglob("*_labelIds.png"))
    masks.sort(key=lambda path: (read_mask(path) == LABEL_ID["sky"]).mean())
    for mask, name in ((masks[-1], "photo.jpg"), (masks[-2], "sky.jpg")):
        photo = str(mask).replace("gtFine_labelIds", "leftImg8bit").replace("gtFine", "leftImg8bit")
        write_image(folder / name, read_image(photo))
    for images in ("images", "images_2"):
        shutil.copytree(folder / "photos", folder / "scene" / images)
    frames = [{"file_path": f"images/{i}.jpg"} for i in range(3)]
    (folder / "scene" / "transforms.json").write_text(json.dumps({"frames": frames}))
    (folder / "exports").mkdir()
    shutil.copy(ROOT / "skyseg_tf/weights/skyline/exports/model_f32.onnx", folder / "exports")
    shutil.rmtree(folder / "tree")
    shutil.rmtree(folder / "large")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)  # several trainings a page; beside other work they take 20 minutes
@pytest.mark.parametrize("page", RUNNABLE, ids=page_id)
def test_runnable_blocks_run(page, drawn, tmp_path):
    folder = tmp_path / "page"
    shutil.copytree(drawn, folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks_of(page):
        if block.run:
            shell = ["bash", "-euo", "pipefail", "-c"]
            command = shell if block.language in SHELL else [sys.executable, "-c"]
            done = subprocess.run(
                [*command, block.text], cwd=folder, env=os.environ | {"PATH": path},
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    if page.name == "colmap.md":
        frames = json.loads((folder / "scene" / "transforms.json").read_text())["frames"]
        assert all((folder / "scene" / frame["mask_path"]).is_file() for frame in frames)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_exports_run_in_python_as_the_page_says(drawn, tmp_path):
    """Each runtime's lines, with exports of a packaged network under the names of the pages."""
    pages = (DOCS / "export.md", DOCS / "howto" / "raspberry-pi.md")
    blocks = [block for page in pages for block in blocks_of(page) if block.language in PYTHON]
    blocks = [block for block in blocks if block.reason]
    shutil.copy(drawn / "photo.jpg", tmp_path)
    forms = ("onnx", "openvino", "saved_model", "litert")
    for form, block in zip(forms, blocks, strict=True):
        (name,) = re.findall(r'"((?:saved_)?model_[\w.]+)"', block.text)
        size = (128, 256) if "128x256" in name else (256, 512)
        out = tmp_path / name
        export(ExportConfig("skyline_free", form, image_size=size, out=out, photos=2))
        code = f"{block.text}\nassert probs.shape == (*{size}, 1), probs.shape"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-2000:]}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "api" / "index.html").is_file()
    for page in (tmp_path / "site").rglob("*.html"):  # nothing is loaded from elsewhere
        loads = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert not loads, f"{page}: {loads}"


@pytest.mark.parametrize("script", ["make_commands", "make_choices"])
def test_a_page_that_is_made_is_up_to_date(monkeypatch, script):
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(script)
    assert module.PAGE.read_text() == module.page(), f"run docs/{script}.py"


@pytest.mark.parametrize("script", sorted(path.name for path in DOCS.glob("make_*.py")))
def test_a_page_is_made_of_the_repository_that_its_script_lies_in(tmp_path, script):
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    for folder in (clone, elsewhere / "skyseg_tf"):
        folder.mkdir(parents=True)
    (elsewhere / "skyseg_tf" / "__init__.py").write_text("raise SystemExit('another package')\n")
    for name in ("docs", "benchmarks", "skyseg_tf"):
        (clone / name).symlink_to(ROOT / name)
    code = (
        "import os, runpy, sys; sys.path[0] = os.path.dirname(sys.argv[1]); runpy.run_path(sys.argv[1]); "
        "import skyseg_tf; print(skyseg_tf.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(clone / "docs" / script)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(elsewhere)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(clone / "skyseg_tf" / "__init__.py"), done.stderr


def test_the_picture_of_the_house_is_up_to_date():
    from tools import house_picture

    told = house_picture.PICTURE.read_text() == house_picture.picture()
    assert told, "run tools/house_picture.py"


def rows_of(page: Path, head: str) -> dict[str, list[str]]:
    """The table of a page whose first cell begins so: first cell without marks -> other cells."""
    lines = page.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head}"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        rows[name.removesuffix(" (default)").strip("`")] = cells
    return rows


def test_tables_by_hand_say_what_the_registries_say():
    """Tables of measurements may lack what is new; docs/choices.md, which is made, has all."""
    assert set(rows_of(ROOT / "README.md", "`--model`")) <= set(MODELS)
    assert list(rows_of(DOCS / "explanation" / "records.md", "`--storage`")) == list(STORAGES)
    exports = rows_of(DOCS / "export.md", "`--format`")
    assert set(exports) <= set(EXPORT_FORMATS)
    for name, (*precisions, size) in exports.items():
        form = EXPORT_FORMATS[name]
        told = zip(("f32", "f16", "int8"), precisions, strict=True)
        assert tuple(key for key, cell in told if cell != "-") == form.precisions, name
        assert (size.startswith("fixed")) == (form.fixed == form.precisions), name
    *known, rest = rows_of(DOCS / "howto" / "colmap.md", "`--format`").items()
    for name, (file, seen) in known:
        form = MASK_FORMATS[name]
        assert seen.startswith(form.pixels), name
        if name != "nerfstudio":  # its masks lie where transforms.json says
            shown = form.name.format(name="<photo.jpg>", stem="<photo>")
            assert file == f"`{shown}`", name
    assert rest[1][1].startswith("upright")
    others = set(MASK_FORMATS) - {name for name, _ in known}
    assert all(getattr(MASK_FORMATS[name], "pixels", "upright") == "upright" for name in others)


def told_in_code() -> list[str]:
    """Every text in the package, with … for what is filled in."""
    texts = []
    for path in (ROOT / "skyseg_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                texts.append("".join(part if isinstance(part, str) else "…" for part in parts))
    return texts


def test_troubleshooting_quotes_messages_that_the_program_writes():
    told = told_in_code()
    page = (DOCS / "howto" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    assert len(messages) > 20
    for message in messages:
        assert any(message in text for text in told), message


def test_every_how_to_says_what_one_has_and_what_one_gets():
    for page in (DOCS / "howto").glob("*.md"):
        opening = " ".join(page.read_text().split("\n\n")[1].split())
        assert opening.startswith("You have "), page.name
        assert "You get " in opening or "You find " in opening, page.name


def test_helps_name_every_kind_of_model_file_and_format():
    """Importing the registries for a help text would take longer than the help."""
    assert set(suffixes_in_helps()) == set(model_suffixes())
    assert list(packaged_in_helps()) == list(read_packaged()["models"])
    text = " ".join(inspect.getsource(config_of("predict")).split())
    turned = re.search(r"mask is turned too, except for ([\w, ]+), which", text)[1]
    stored = [
        name for name, form in MASK_FORMATS.items() if getattr(form, "pixels", "") == "stored"
    ]
    assert sorted(re.split(", | and ", turned)) == sorted(stored)
    words = set(re.findall(r"[\w-]+", text))
    assert set(MASK_FORMATS) <= words


def test_the_ros_node_answers_an_image_with_its_mask(monkeypatch):
    """With stand-ins for ROS: rows with padding, blue first, as cameras send them."""
    height, width, step = 144, 256, 800
    scene = draw_scene(1, (height, width), conditions="cityscapes")
    photo = scene.image[..., ::-1]  # B, G, R
    rows = np.zeros((height, step), np.uint8)
    rows[:, : 3 * width] = photo.reshape(height, -1)
    published, logged = [], []

    class Image(types.SimpleNamespace):
        pass

    class Node:
        def __init__(self, name):
            assert name == "sky_mask"

        def declare_parameter(self, name, default):
            return types.SimpleNamespace(value=default)

        def create_publisher(self, kind, topic, queue):
            assert (kind, topic) == (Image, "sky_mask")
            return types.SimpleNamespace(publish=published.append)

        def create_subscription(self, kind, topic, callback, qos):
            assert (kind, topic, qos) == (Image, "image_raw", "sensor")
            self.callback = callback

        def get_logger(self):
            return types.SimpleNamespace(error=logged.append)

    def spin(node):
        facts = {"height": height, "width": width, "step": step, "header": "stamp 7"}
        node.callback(Image(encoding="mono16", data=b"", **facts))
        node.callback(Image(encoding="bgr8", data=rows.tobytes(), **facts))

    stand_ins = {
        "rclpy": {"init": lambda: None, "spin": spin},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": "sensor"},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": Image},
    }
    for name, content in stand_ins.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    (block,) = (b for b in blocks_of(DOCS / "howto" / "ros2.md") if b.language in PYTHON)
    exec(compile(block.text, "ros2.md", "exec"), {"__name__": "ros2"})
    (answer,) = published
    assert "mono16" in logged[0]
    assert (answer.encoding, answer.step, answer.header) == ("mono8", width, "stamp 7")
    mask = np.frombuffer(answer.data, np.uint8).reshape(height, width)
    assert set(np.unique(mask)) == {0, 255}
    truth = scene.label_ids == LABEL_ID["sky"]
    assert ((mask == 255) & truth).sum() > 0.8 * ((mask == 255) | truth).sum()
