"""Shell completion of `skyseg`: every verb, its flags, and the values of a flag where they are few.

    skyseg --completion bash >> ~/.bashrc
    skyseg --completion zsh >> ~/.zshrc            (after compinit)
    skyseg --completion fish > ~/.config/fish/completions/skyseg.fish

What is no flag is completed as a file. The flags are written into the script, so that Tab starts
no Python.
"""

import types
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from skyseg_tf.cli import SHELLS, VERBS, config_of
from skyseg_tf.errors import InputError, not_among

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]
_HIDDEN = get_args(tyro.conf.Suppress[int])[1]


@dataclass(frozen=True)
class Flag:
    """One flag of a verb.

    Attributes:
      name: with its dashes: "--image-size".
      choices: the values that it takes, where they are few.
    """

    name: str
    choices: tuple[str, ...] = ()


def flags_of(config: type) -> list[Flag]:
    """The flags that tyro makes of a command's settings.

    Args:
      config: the command's dataclass.

    Returns:
      Flags in the order of the fields; of a switch also its --no- twin.
    """
    flags = [Flag("--help")]
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        kind, marks = hints[field.name], ()
        if get_origin(kind) is Annotated:
            kind, *marks = get_args(kind)
        dashed = field.name.replace("_", "-")
        if _POSITIONAL in marks or _HIDDEN in marks:
            continue
        if is_dataclass(kind):  # its fields are flags of the command (OmitArgPrefixes)
            flags += flags_of(kind)[1:]
        elif kind is bool:
            flags += [Flag(f"--{dashed}"), Flag(f"--no-{dashed}")]
        else:
            flags.append(Flag(f"--{dashed}", _choices(kind)))
    return flags


def _choices(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(choice for part in get_args(kind) for choice in _choices(part))
    return ()


def completion(shell: str) -> str:
    """The script that completes `skyseg` in a shell.

    Args:
      shell: one of cli.SHELLS.

    Raises:
      InputError: another shell.
    """
    if shell not in SHELLS:
        raise InputError(not_among("completion for", shell, SHELLS))
    flags = {verb: flags_of(config_of(verb)) for verb in VERBS}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](flags)


def _bash(flags: dict[str, list[Flag]]) -> str:
    of_verb = "\n".join(
        f"    {verb}) flags='{' '.join(flag.name for flag in own)}' ;;"
        for verb, own in flags.items()
    )
    return f"""# Completion of skyseg for bash.
_skyseg() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} flags= values=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{" ".join(flags)} --version --completion' -- "$cur"))
    return
  fi
  case $verb in
{of_verb}
    --completion) values='{" ".join(SHELLS)}' ;;
  esac
  case "$verb ${{COMP_WORDS[COMP_CWORD - 1]}}" in
{_cases(flags, "    '{verb} {flag}') values='{choices}' ;;")}
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  elif [[ $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
  fi
}}
complete -o bashdefault -o default -F _skyseg skyseg
"""


def _zsh(flags: dict[str, list[Flag]]) -> str:
    verbs = " ".join(_quoted(f"{verb}:{text}") for verb, text in VERBS.items())
    of_verb = "\n".join(
        f"    {verb}) flags=({' '.join(flag.name for flag in own)}) ;;"
        for verb, own in flags.items()
    )
    return f"""#compdef skyseg
# Completion of skyseg for zsh.
_skyseg() {{
  local -a verbs flags values
  verbs=({verbs})
  if ((CURRENT == 2)); then
    _describe verb verbs
    return
  fi
  case $words[2] in
{of_verb}
    --completion) values=({" ".join(SHELLS)}) ;;
  esac
  case "$words[2] $words[CURRENT-1]" in
{_cases(flags, "    '{verb} {flag}') values=({choices}) ;;")}
  esac
  if [[ $PREFIX == -* ]]; then
    compadd -- $flags
  elif (( $#values )); then
    compadd -- $values
  else
    _files
  fi
}}
compdef _skyseg skyseg
"""


def _fish(flags: dict[str, list[Flag]]) -> str:
    lines = ["# Completion of skyseg for fish."]
    for verb, text in VERBS.items():
        first = "complete -c skyseg -n __fish_use_subcommand -f"
        lines.append(f"{first} -a {verb} -d {_quoted(text)}")
        for flag in flags[verb]:
            values = f" -x -a '{' '.join(flag.choices)}'" if flag.choices else ""
            seen = f"'__fish_seen_subcommand_from {verb}'"
            lines.append(f"complete -c skyseg -n {seen} -l {flag.name[2:]}{values}")
    lines.append("complete -c skyseg -n __fish_use_subcommand -l version")
    shells = f"-x -a '{' '.join(SHELLS)}'"
    lines.append(f"complete -c skyseg -n __fish_use_subcommand -l completion {shells}")
    return "\n".join(lines) + "\n"


def _cases(flags: dict[str, list[Flag]], line: str) -> str:
    return "\n".join(
        line.format(verb=verb, flag=flag.name, choices=" ".join(flag.choices))
        for verb, own in flags.items()
        for flag in own
        if flag.choices
    )


def _quoted(text: str) -> str:
    """As one word, for all three shells."""
    return "'" + text.replace("'", r"'\''") + "'"
