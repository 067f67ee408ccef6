"""Writes commands.md: every command with its help.

python docs/make_commands.py
"""

import contextlib
import io
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's
from skyseg_tf.console.cli import VERBS, config_of, parse_flags
from skyseg_tf.files.aside import write_aside

PAGE = Path(__file__).with_name("commands.md")


def help_of(verb: str) -> list[str]:
    """The lines of `skyseg VERB --help`, 80 characters wide and without colors."""
    os.environ["COLUMNS"] = "80"
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        parse_flags(config_of(verb), ["--help"], f"skyseg {verb}")
    lines = shown.getvalue().strip().splitlines()
    return [line.rstrip() for line in lines]


def page() -> str:
    """The whole page."""
    rows = [f"| [`skyseg {verb}`](#skyseg-{verb}) | {text} |" for verb, text in VERBS.items()]
    parts = [
        "# Commands",
        "This is what `skyseg VERB --help` prints. "
        "`python -m skyseg_tf.VERB` is the same command. `skyseg --completion bash` (or `zsh`, "
        "`fish`) prints a script that completes verbs and flags. Bad input ends in one line on "
        "stderr and status 2, Ctrl-C in status 130.",
        "\n".join(["| command | what it does |", "|---|---|", *rows]),
    ]
    for verb in VERBS:
        shown = "\n".join(help_of(verb))
        parts += [f"## skyseg {verb}", f"```text\n{shown}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    with write_aside(PAGE) as aside:
        aside.write_text(page())
    print(PAGE)
