"""Workflows, container and citation speak of things that exist."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from test_docs import check_command, commands_in

from skyseg_tf import __version__, build
from skyseg_tf import scenes as scenes_command
from skyseg_tf.data.records import read_manifest
from skyseg_tf.runs.packaged import read_packaged
from skyseg_tf.training.settings import TrainConfig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skyseg_tf"
VERBS = {"scenes": scenes_command.main, "build": build.main}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(value):
    """Every `run:` of a workflow."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "run" else commands(item)
    elif isinstance(value, list):
        for item in value:
            yield from commands(item)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_there_is(path):
    workflow = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    found = list(commands(workflow["jobs"]))
    assert found
    for text in found:
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
        for line in text.replace("env/bin/", "").splitlines():
            for verb, *flags in commands_in(line):
                check_command(verb, flags, path.name)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] > 0


def test_the_tests_run_on_every_python_of_the_package():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    tested = workflow["jobs"]["tests"]["strategy"]["matrix"]["python-version"]
    claimed = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert tested == claimed


def test_the_container_copies_what_there_is_and_what_dockerignore_lets_through():
    ignore = (ROOT / ".dockerignore").read_text().split()
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            for name in shlex.split(line)[1:-1]:
                assert (ROOT / name).exists(), name
                assert any(fnmatch.fnmatch(name, pattern) for pattern in let_through), name
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).is_file()


def test_citation_and_pipeline_speak_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    made = {next(iter(out)) for stage in pipeline["stages"].values() for out in stage["outs"]}
    for name, stage in pipeline["stages"].items():
        assert set(stage.get("deps", ())) <= made, name
        lines = [stage["cmd"]] if isinstance(stage["cmd"], str) else stage["cmd"]
        for (verb, *flags), *others in map(commands_in, lines):
            assert not others
            check_command(verb, flags, name)
    (defaults,) = pipeline["vars"]
    assert defaults["epochs"] == TrainConfig().epochs
    drawn = pipeline["stages"]["data"]["cmd"].replace("${scenes}", str(defaults["scenes"]))
    (target,) = re.findall(r"-m skyseg_tf\.(scenes .*)", (ROOT / "Makefile").read_text())
    assert drawn == f"skyseg {target}".replace("demo_scenes", "dvc_scenes")


def test_the_pipeline_runs_again_with_more_scenes(tmp_path, monkeypatch):
    """Before a stage runs again DVC removes what it has made, but for what it is told to keep."""
    monkeypatch.chdir(tmp_path)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for scenes in (5, 10):
        for stage in (stages["data"], stages["build"]):
            for out in stage["outs"]:
                ((path, options),) = out.items()
                if not options.get("persist") and Path(path).exists():
                    Path(path).unlink()
            words = stage["cmd"].replace("${scenes}", str(scenes)).replace("128 256", "64 128")
            verb, *flags = shlex.split(words)[1:]
            with pytest.raises(SystemExit) as ended:
                VERBS[verb]([*flags, "--workers", "1"])
            assert ended.value.code == 0
        splits = read_manifest("data/dvc_sky").splits
        assert sum(split.count for split in splits.values()) == scenes


@pytest.mark.skipif(bool(shutil.which("uv", path=os.defpath)), reason="uv fetches a Python itself")
def test_make_refuses_a_python_that_nothing_was_tested_with(tmp_path):
    python = tmp_path / "python3.14"  # it runs what it is given as a Python of that version would
    told = "import sys; sys.version_info = (3, 14); exec(sys.argv[1])"
    python.write_text(f"#!/bin/sh\ntest $1 = -c && exec {sys.executable} -c '{told}' \"$2\"\n")
    python.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = ["make", "env", f"PYTHON={python}"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, text=True
    )
    assert done.returncode
    assert "Python 3.11 to 3.13" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_release_holds_the_weights_and_their_hashes(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["build"]["steps"]}
    (tmp_path / "skyseg_tf").symlink_to(PACKAGE)
    script = ["bash", "-euo", "pipefail", "-c", steps["The packaged weights"]["run"]]
    subprocess.run(script, cwd=tmp_path, check=True)
    folder = tmp_path / "weights"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    for name in read_packaged()["models"]:
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            there = {entry.name for entry in archive.getmembers() if entry.isfile()}
        files = (path for path in (PACKAGE / "weights" / name).rglob("*") if path.is_file())
        assert there == {str(path.relative_to(PACKAGE / "weights")) for path in files}


def test_hooks_run_files_that_there_are():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "rules", "notebooks"}
    entries = " ".join(hook["entry"] for hook in hooks)
    for name in re.findall(r"tests/\w+\.py", entries):
        assert (ROOT / name).is_file()
