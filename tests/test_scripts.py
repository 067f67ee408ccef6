"""Scripts of tools/, benchmarks/ and docs/ read the package of the checkout that they lie in."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.starting import skyseg

ROOT = Path(__file__).parents[1]
FIRST = "sys.path.insert(0, str(Path(__file__).parents[1]))"
SCRIPTS = sorted(
    path
    for folder in ("tools", "benchmarks", "docs")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
    and re.search(r"^\s*(?:from|import) (?:skyseg_tf|tools)\b", path.read_text(), re.M)
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another package of that name, which is found first by whoever does not look after it."""
    package = tmp_path / "elsewhere" / "skyseg_tf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('another package')\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.chdir(package.parent)  # the working directory counts too


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_script_says_where_its_package_is_before_it_imports_any(path):
    """The script beside it and whatever is installed may import the package."""
    for node in ast.parse(path.read_text()).body:
        if ast.unparse(node) == FIRST:
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = getattr(node, "module", None) or node.names[0].name
            assert names.split(".")[0] in sys.stdlib_module_names, f"{names} before: {FIRST}"
    pytest.fail(f"lacks: {FIRST}")


def test_a_script_reads_the_package_that_it_lies_beside(elsewhere):
    script = ROOT / "tools" / "box.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert "usage" in done.stdout.lower(), done.stderr


def test_so_does_a_command_that_a_script_starts(elsewhere):
    done = subprocess.run(**skyseg("doctor", "--help"), capture_output=True, text=True)
    assert "skyseg doctor" in done.stdout, done.stderr


def test_scripts_start_commands_in_no_other_way():
    for path in SCRIPTS:
        assert not re.search(r'"-m",\s*f?"skyseg_tf', path.read_text()), path.name


def test_a_search_path_of_ones_own_is_kept(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    assert skyseg("doctor")["env"]["PYTHONPATH"] == os.pathsep.join((str(ROOT), "mine"))
    monkeypatch.delenv("PYTHONPATH")
    assert skyseg("doctor")["env"]["PYTHONPATH"] == str(ROOT)
