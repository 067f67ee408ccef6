import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from skyseg_tf.cli import VERBS, main, parse_flags


def run(*args):
    return subprocess.run(
        [sys.executable, "-c", "from skyseg_tf.cli import main; main()", *map(str, args)],
        capture_output=True,
        text=True,
    )


def test_overview_and_version(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([])
    assert exit_info.value.code == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)
    main(["--version"])
    assert capsys.readouterr().out.startswith("skyseg_tf ")
    with pytest.raises(SystemExit, match="no verb 'tarin'"):
        main(["tarin"])


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_explains_every_flag(verb):
    result = run(verb, "--help")
    assert result.returncode == 0
    assert f"usage: skyseg {verb}" in result.stdout
    assert result.stderr == ""
    assert "{None}" not in result.stdout  # a flag is left out or has a value


def test_flags_depart_from_the_defaults(capsys):
    @dataclass(frozen=True)
    class Config:
        size: tuple[int, int] | None = None
        rate: float | None = None
        kind: Literal["a", "b"] | None = "a"

    assert parse_flags(Config, [], "p") == Config()
    assert parse_flags(Config, ["--size", "1", "2"], "p", Config(rate=0.5)) == Config((1, 2), 0.5)
    with pytest.raises(SystemExit):
        parse_flags(Config, ["--help"], "p")
    usage = capsys.readouterr().out.splitlines()[0]
    assert "--rate FLOAT" in usage
    assert "--kind {a,b}" in usage
    with pytest.raises(SystemExit):
        parse_flags(Config, ["--rate", "None"], "p")


WRONG_INPUT = [
    (("build", "--source", "/nowhere", "--out", "x"), "/nowhere"),
    (("check", "--source", "/nowhere"), "/nowhere"),
    (("train", "--records", "/nowhere"), "no dataset.json"),
    (("serve", "--port", "99999"), "port is 99999"),
    (("dashboard", "--port", "99999"), "port is 99999"),
    (("replace", "gone.jpg", "--sky", "gone.jpg"), "gone.jpg); check the path"),
    (("predict", "gone.jpg"), "gone.jpg: no such file or folder; check the path"),
    (("train", "--records", "a", "--source", "b"), "not both"),
]


@pytest.mark.parametrize(("args", "message"), WRONG_INPUT)
def test_wrong_input_is_one_line_and_status_2(args, message, capfd):
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    assert exit_info.value.code == 2
    check_one_line(capfd.readouterr().err, args[0], message)


def test_a_process_of_its_own_says_no_more_than_that_line():
    """TensorFlow greets on stderr when it is imported."""
    args, message = WRONG_INPUT[-1]
    result = run(*args)
    assert result.returncode == 2
    check_one_line(result.stderr, args[0], message)


def check_one_line(stderr: str, verb: str, message: str) -> None:
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert stderr.startswith(f"skyseg {verb}: error: ")
