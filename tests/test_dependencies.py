"""Dependencies report to nobody and leave nothing in the home folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRACER = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg")
ALL_RUNTIMES = """
import numpy as np
from skyseg_tf.masking.runtime import load_runtime
photo = np.zeros((1, 64, 64, 3), np.uint8)
for backend in ("openvino", "onnxruntime", "keras"):
    assert load_runtime("skyline", backend)(photo).shape == (1, 64, 64, 1)
import ai_edge_litert.interpreter
"""


def run_at_an_empty_home(tmp_path: Path, *argv: str) -> tuple[list[str], set[str]]:
    """What a process left in its home folder, and the internet addresses that it tried.

    It has no network, where that can be had, so that nothing leaves this machine. Addresses need
    strace; without it there are none to tell.
    """
    home, log = tmp_path / "home", tmp_path / "connects"
    home.mkdir()
    kept = {"PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV"}
    environment = {key: value for key, value in os.environ.items() if key in kept}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    prefix = [*isolated(), *((*TRACER, "-o", str(log)) if can_trace() else ())]
    done = subprocess.run(
        [*prefix, sys.executable, *argv], env=environment, cwd=tmp_path, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    text = log.read_text() if log.exists() else ""
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    return left, set(re.findall(r'inet6?_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', text))


def isolated() -> list[str]:
    works = (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode
    )
    return ["unshare", "-n"] if works else []


def can_trace() -> bool:
    return (
        bool(shutil.which("strace"))
        and not subprocess.run([*TRACER, "-o", os.devnull, "true"], capture_output=True).returncode
    )


def test_every_runtime_leaves_home_empty_and_speaks_to_nobody(tmp_path):
    assert run_at_an_empty_home(tmp_path, "-c", ALL_RUNTIMES) == ([], set())
    assert not list(tmp_path.glob("skyseg-*"))  # the folder lent to Matplotlib and Keras


def test_a_killed_process_leaves_no_empty_folder(tmp_path):
    code = f"import os, skyseg_tf; assert '{tmp_path}' in os.environ['KERAS_HOME']; os._exit(9)"
    environment = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment)
    assert done.returncode == 9
    assert not list(tmp_path.glob("skyseg-*"))


@pytest.mark.skipif(not (isolated() and can_trace()), reason="needs unshare -n and strace")
def test_the_watch_sees_what_dependencies_do_unasked(tmp_path):
    """Else the test above would hold whatever happened."""
    left, addresses = run_at_an_empty_home(tmp_path, "-c", "import openvino")
    assert "intel/openvino_ga_cid" in left
    assert addresses  # of the name server, which comes before that of the service


def test_folders_that_are_there_stay_in_use(tmp_path):
    code = "import os, skyseg_tf; print(os.environ.get('KERAS_HOME'), 'MPLCONFIGDIR' in os.environ)"
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for name in ("MPLCONFIGDIR", "KERAS_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".cache" / "matplotlib").mkdir(parents=True)
    told = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert told.split() == ["None", "False"]


def test_scripts_that_import_a_runtime_import_the_package_first():
    for path in (ROOT / "benchmarks").rglob("*.py"):
        text = path.read_text()
        if re.search(r"^\s*import (openvino|onnxruntime|nncf)", text, re.MULTILINE):
            assert re.search(r"^(from|import) skyseg_tf", text, re.MULTILINE), path.name


@pytest.mark.slow
def test_every_command_leaves_home_empty_and_speaks_to_nobody(tmp_path):
    commands = (
        "doctor",
        "scenes --out tree --count 15 --size 64 128 --workers 1",
        "build --source tree --out records --image-size 32 64 --quiet",
        "train --records records --model skynet --epochs 1 --batch-size 4 --run run --quiet",
        "evaluate --model run --quiet",
        "evaluate --model run --source tree --quiet",
        "predict tree --model run --out masks --quiet",
        *(
            f"export --model run --format {form} --photos 2 --calibration-photos 2"
            for form in ("onnx", "openvino", "litert", "saved_model")
        ),
        "export --model run --format openvino --precision int8 --photos 2 --calibration-photos 2",
    )
    code = (
        "import shlex, sys\nfrom skyseg_tf.console import cli\n"
        "for line in sys.argv[1:]:\n"
        "    try:\n        cli.main(shlex.split(line))\n"
        "    except SystemExit as end:\n        assert not end.code, line\n"
    )
    left, addresses = run_at_an_empty_home(tmp_path, "-c", code, *commands)
    assert (left, addresses) == ([], set())
    assert list(tmp_path.glob("run/exports/*.xml"))
