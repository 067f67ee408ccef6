"""Standard streams that are closed, full, or read by nobody any more, as users of shells have them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKYSEG = f'"{sys.executable}" -m skyseg_tf'


def shell(line, **options):
    """Python buffers what it prints, as it does unless a variable says otherwise."""
    without = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        env={**without, "PYTHONPATH": str(ROOT)},
        **options,
    )


@pytest.mark.parametrize("flags", ["--help", "--version", "scenes --help"])
def test_a_full_standard_output_is_one_line(flags):
    done = shell(f"{SKYSEG} {flags} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "error: No space left on device" in done.stderr


@pytest.mark.parametrize("flags", ["--help", "--version", "scenes --help"])
@pytest.mark.parametrize("buffered", ["", "PYTHONUNBUFFERED=1 "])
def test_nobody_who_reads_is_no_error(flags, buffered):
    done = shell(f"{buffered}{SKYSEG} {flags} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_keeps_its_status_and_its_stream():
    assert shell(f"{SKYSEG} predict nope.jpg 2> /dev/full").returncode == 2
    done = shell(f"{SKYSEG} predict nope.jpg 2>&-")
    assert (done.returncode, done.stdout) == (2, "")


COMMAND = """
import sys
from skyseg_tf.console.cli import one_line_errors
from skyseg_tf.files.streams import binary_input, binary_output
with one_line_errors("skyseg x"):
    {0}
"""


def python(work, streams):
    return shell(f"\"{sys.executable}\" -c '{COMMAND.format(work)}' {streams}")


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path):
    work = f'print(open("{tmp_path}/x", "w").fileno(), file=open("{tmp_path}/told", "w"))'
    assert python(work, "<&- >&- 2>&-").returncode == 0
    assert int((tmp_path / "told").read_text()) > 2


def test_what_is_told_on_a_closed_stderr_does_not_enter_the_output():
    done = python('binary_output().write(b"mask"); print("told", file=sys.stderr)', "2>&-")
    assert (done.returncode, done.stdout) == (0, "mask")


@pytest.mark.parametrize(
    ("work", "streams", "line"),
    [
        (
            "binary_input()",
            "<&-",
            "standard input is closed; pipe a file into it, or give its name",
        ),
        ("binary_output()", ">&-", "standard output is closed; give a file by --out"),
    ],
)
def test_a_closed_stream_that_is_needed_is_told(work, streams, line):
    done = python(work, streams)
    assert (done.returncode, done.stderr) == (2, f"skyseg x: error: {line}\n")
