"""The shells complete what tyro understands."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skyseg_tf import cli
from skyseg_tf.cli import SHELLS, VERBS, config_of, main, print_help
from skyseg_tf.console.completion import completion, flags_of


@pytest.mark.parametrize("verb", VERBS)
def test_flags_are_those_of_the_help(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as exit_info:
        print_help(verb)
    assert exit_info.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: skyseg {verb}" in shown
    heads = " ".join(re.findall(r"^[│ ] {1,2}(-\S.*)", shown, re.M))
    told = set(re.findall(r"(?<!\S)--[a-z0-9-]+", heads))
    flags = [flag.name for flag in flags_of(config_of(verb))]
    assert len(set(flags)) == len(flags)
    assert set(flags) - told == set()
    first_of_line = set(re.findall(r"^[│ ] {1,2}(?:-h, )?(--[a-z][a-z0-9-]*)", shown, re.M))
    assert first_of_line - set(flags) == set()
    assert len(first_of_line) > 1


def test_slow_verbs_run_with_the_settings_that_their_help_shows():
    package = Path(cli.__file__).parent
    for verb, name in cli._SETTINGS_APART.items():
        body = ast.parse((package / f"{verb}.py").read_text()).body
        (main,) = (n for n in body if isinstance(n, ast.FunctionDef) and n.name == "main")
        run = next(
            n for n in ast.walk(main) if isinstance(n, ast.Call) and "run_" in ast.unparse(n)
        )
        assert ast.unparse(run).startswith("run_command(")
        assert run.args[1].id == name, verb


def bash(*words):
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"{completion('bash')}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_skyseg\n"
    result = subprocess.run(
        ["bash", "-c", script + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return result.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash():
    assert bash("skyseg", "pre") == ["predict"]
    assert bash("skyseg", "train", "--image") == ["--image-size"]
    assert bash("skyseg", "predict", "--no-ref") == ["--no-refine"]
    assert bash("skyseg", "predict", "--format", "alpha") == ["alpha8", "alpha16"]
    assert bash("skyseg", "predict", "photo") == []  # bash then completes files
    assert bash("skyseg", "--completion", "") == list(SHELLS)


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish(tmp_path):
    script = tmp_path / "skyseg.fish"
    script.write_text(completion("fish"))

    def offered(line):
        command = f"source {script}; complete -C '{line}'"
        shown = subprocess.run(
            ["fish", "-N", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout
        return [row.split("\t")[0] for row in shown.splitlines()]

    assert offered("skyseg pre") == ["predict"]
    assert offered("skyseg train --image") == ["--image-size"]
    assert sorted(offered("skyseg predict --format alpha")) == ["alpha16", "alpha8"]
    assert "run's network" in completion("fish").replace("'\\''", "'")


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh(tmp_path):
    script = tmp_path / "_skyseg"
    script.write_text(completion("zsh"))
    # The functions that zsh's own completion gives are replaced by ones that print.
    code = f"""
    compdef() {{ }}; _describe() {{ print -l $verbs }}; _files() {{ print files }}
    compadd() {{ shift; for word in $@; do [[ $word == $PREFIX* ]] && print -- $word; done }}
    source {script}
    try() {{ words=($@); CURRENT=$#; PREFIX=${{words[-1]}}; _skyseg }}
    try skyseg x; try skyseg train --image; try skyseg predict --format alpha; try skyseg check d
    """
    shown = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    assert f"predict:{VERBS['predict']}" in lines
    assert lines[len(VERBS) :] == ["--image-size", "alpha8", "alpha16", "files"], shown.stderr


def test_an_unknown_shell_is_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["--completion", "tcsh"])
    told = capsys.readouterr().err
    assert told.startswith("skyseg: error: no completion for 'tcsh': there are bash, zsh, fish")
    assert told.count("\n") == 1


def test_version_and_completion_start_no_library():
    code = (
        "import sys; from skyseg_tf.cli import main; main(['--version'])\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'tyro', 'PIL', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    code = (
        "import sys; from skyseg_tf.cli import main; main(['--completion', 'bash'])\n"
        "heavy = {'tensorflow', 'keras', 'fastapi', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
