"""The shells complete what the command line understands; the library writes the scripts."""

import re
import shutil
import subprocess
import sys

import pytest

from skyseg_tf.console.cli import VERBS, config_of, main, parse_flags
from skyseg_tf.console.command import command_app, completion, flags_of


@pytest.fixture(scope="module")
def scripts():
    """Shell -> its script."""
    commands = {verb: (config_of(verb), text) for verb, text in VERBS.items()}
    return {shell: completion(shell, commands) for shell in ("bash", "zsh", "fish")}


@pytest.mark.parametrize("verb", VERBS)
def test_flags_are_those_of_the_help(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    with pytest.raises(SystemExit) as exit_info:
        parse_flags(config_of(verb), ["--help"], f"skyseg {verb}")
    assert exit_info.value.code == 0
    shown = capsys.readouterr().out
    assert f"Usage: skyseg {verb}" in shown
    told = set(re.findall(r"(?<![\w`-])--[a-z0-9-]+", shown))
    flags = flags_of(command_app(config_of(verb), verb))
    assert len(set(flags)) == len(flags)
    assert set(flags) <= told
    first_of_line = set(re.findall(r"^│[* ]* (--[a-z][a-z0-9-]*)", shown, re.M))
    assert first_of_line - set(flags) == set()
    assert first_of_line


def bash(script, *words):
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_skyseg\n"
    result = subprocess.run(
        ["bash", "-c", code + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [word.strip() for word in result.stdout.split()]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash(scripts):
    script = scripts["bash"]
    assert bash(script, "skyseg", "pre") == ["predict"]
    assert bash(script, "skyseg", "train", "--image") == ["--image-size"]
    assert bash(script, "skyseg", "predict", "--no-ref") == ["--no-refine"]
    assert bash(script, "skyseg", "predict", "--format", "alpha") == ["alpha8", "alpha16"]
    assert bash(script, "skyseg", "train", "--model", "bise") == ["bisenetv2"]
    assert bash(script, "skyseg", "--completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish(scripts, tmp_path):
    script = tmp_path / "skyseg.fish"
    script.write_text(scripts["fish"])

    def offered(line):
        command = f"source {script}; complete -C '{line}'"
        shown = subprocess.run(
            ["fish", "-N", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout
        return [row.split("\t")[0] for row in shown.splitlines()]

    assert offered("skyseg pre") == ["predict"]
    assert offered("skyseg train --image") == ["--image-size"]
    assert sorted(offered("skyseg predict --format alpha")) == ["alpha16", "alpha8"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh(scripts, tmp_path):
    script = tmp_path / "_skyseg"
    script.write_text(scripts["zsh"])
    subprocess.run(["zsh", "-f", "-n", script], check=True)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_know_verbs_flags_and_values(scripts, shell):
    for word in (*VERBS, "image-size", "alpha16", "bisenetv2"):
        assert word in scripts[shell]


def test_an_unknown_shell_is_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["--completion", "tcsh"])
    told = capsys.readouterr().err
    assert told.startswith("skyseg: error: no completion for 'tcsh': there are bash, zsh, fish")
    assert told.count("\n") == 1


HEAVY = {"tensorflow", "keras", "numpy", "PIL", "cv2", "matplotlib", "fastapi", "optuna", "onnx"}


@pytest.mark.parametrize(
    ("call", "more"),
    [
        ("main(['--version'])", {"cyclopts"}),
        ("main(['--help'])", {"cyclopts"}),
        ("main(['--completion', 'bash'])", set()),
        ("[config_of(verb) for verb in VERBS]", {"rich"}),
    ],
)
def test_what_is_only_told_starts_no_library(call, more):
    code = (
        f"import sys; from skyseg_tf.console.cli import VERBS, config_of, main; {call}\n"
        f"heavy = {HEAVY | more} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
