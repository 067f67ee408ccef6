"""Real starts of the command on videos, with its runtimes; benchmarks/starts.py makes 200."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "starts.py"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--backend", "openvino"]])
def test_starts_on_a_busy_machine_end(flags):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--count", "8", *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 starts beside 2 busy processes: 0 hung" in done.stdout
