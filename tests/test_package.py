"""The wheel and the sdist: what is in them, and that they work from an empty environment."""

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skyseg_tf import __version__
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.images import read_image, write_image
from skyseg_tf.labels import LABEL_ID
from skyseg_tf.runs.packaged import WEIGHTS

ROOT = Path(__file__).parents[1]
WHEEL = f"skyseg_tf-{__version__}-py3-none-any.whl"
EXTRAS = sorted(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "MANIFEST.in")


def build(kind: str, source: Path, out: Path) -> Path:
    """Builds with the backend that pyproject.toml names, in this environment."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


def names(archive: Path) -> set[str]:
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        return {member.name.split("/", 1)[1] for member in tar if member.isfile()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The tree as someone has it who works in it: with data, runs, and an asset of a page."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    leftovers = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "skyseg_tf", folder / "skyseg_tf", ignore=leftovers)
    for name in (
        "data/photo.png",
        "runs/a/model.keras",
        "tests/test_x.py",
        "benchmarks/x.py",
        "tools/box.py",
    ):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("")
    assets = folder / "skyseg_tf" / "data" / "pages"
    assets.mkdir()
    for name in ("page.html", "page.css"):
        (assets / name).write_text("")
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build("wheel", source, tmp_path_factory.mktemp("dist") / "wheel")


def test_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.name == WHEEL
    inside = names(wheel)
    tracked = {str(path.relative_to(ROOT)) for path in (ROOT / "skyseg_tf").rglob("*.py")}
    assert tracked <= inside
    weights = {str(path.relative_to(ROOT)) for path in WEIGHTS.rglob("*") if path.is_file()}
    assert len(weights) >= 13
    assert weights <= inside
    assert wheel.stat().st_size < 40e6
    assert {"skyseg_tf/py.typed", f"skyseg_tf-{__version__}.dist-info/licenses/LICENSE"} <= inside
    assert {"skyseg_tf/data/pages/page.html", "skyseg_tf/data/pages/page.css"} <= inside
    tops = {name.split("/")[0] for name in inside}
    assert tops == {"skyseg_tf", f"skyseg_tf-{__version__}.dist-info"}


def test_metadata(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"skyseg_tf-{__version__}.dist-info/METADATA").decode()
    for line in (
        "Requires-Python: >=3.11",
        "License-Expression: Apache-2.0",
        "Classifier: Programming Language :: Python :: 3.12",
        "Classifier: Programming Language :: Python :: 3.13",
        "Classifier: Typing :: Typed",
        "Provides-Extra: export",
        "Provides-Extra: docs",
    ):
        assert line in metadata
    scripts = zipfile.ZipFile(wheel).read(f"skyseg_tf-{__version__}.dist-info/entry_points.txt")
    assert b"skyseg = skyseg_tf.console.cli:main" in scripts


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_the_exact_versions_go_with_each_extra(extra, python):
    """Else `make` and pip try one version of each package after the other, for ever."""
    here = Path(sys.executable).parent
    uv = shutil.which("uv") or shutil.which("uv", path=here) or pytest.skip("needs uv")
    files = ["requirements.txt", "pyproject.toml", "--extra", extra, "--python-version", python]
    done = subprocess.run(
        [uv, "pip", "compile", "-q", *files], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_wheel_of_the_sdist_is_the_same(source, wheel, tmp_path):
    sdist = build("sdist", source, tmp_path / "dist")
    inside = names(sdist)
    assert {*SOURCES, "skyseg_tf/weights/skyline/model.keras", "skyseg_tf/py.typed"} <= inside
    assert not [name for name in inside if re.match(r"(tests|data|runs|benchmarks|tools)/", name)]
    with tarfile.open(sdist) as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"skyseg_tf-{__version__}"
    assert names(build("wheel", unpacked, tmp_path / "again")) == names(wheel)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # pip installs TensorFlow: minutes, more beside other work
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """Base dependencies alone: the console command predicts with the packaged model."""
    env = tmp_path / "env"
    python = str(env / "bin" / "python")
    if uv := shutil.which("uv"):
        steps = [
            [uv, "venv", "-q", "--python", sys.executable, str(env)],
            [uv, "pip", "install", "-q", "--python", python, str(wheel)],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(env)],
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)],
        ]
    for step in steps:
        subprocess.run(step, check=True, cwd=tmp_path)

    def skyseg(*args, **options):
        return subprocess.run(
            [str(env / "bin" / "skyseg"), *args], cwd=tmp_path, capture_output=True, **options
        )

    assert skyseg("--version").stdout.decode() == f"skyseg_tf {__version__}\n"
    scene = draw_scene(1, (144, 256), conditions="cityscapes")
    write_image(tmp_path / "photo.png", scene.image)
    done = skyseg("predict", "photo.png", text=True)
    assert done.returncode == 0, done.stderr
    assert "skyline, onnxruntime" in done.stdout
    mask = read_image(tmp_path / "masks" / "photo.png")[..., 0]
    assert mask.shape == (144, 256)
    assert set(np.unique(mask)) == {0, 255}
    sky, truth = mask == 255, scene.label_ids == LABEL_ID["sky"]
    assert (sky & truth).sum() > 0.8 * (sky | truth).sum()
    jpeg = skyseg("predict", "-", input=(tmp_path / "photo.png").read_bytes())
    assert jpeg.returncode == 0
    assert read_image_bytes(jpeg.stdout).shape[:2] == (144, 256)
    told = skyseg("doctor", text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "pip install" in skyseg("serve", text=True).stderr  # its extra is not there
    for verb in ("train", "serve", "export"):
        assert skyseg(verb, "--help").returncode == 0


def read_image_bytes(content: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)))
