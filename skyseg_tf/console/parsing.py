"""From flags to the settings of a command; slips of the keyboard are told in one line."""

import math
import os
import re
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import App, Argument
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from skyseg_tf.console.command import command_app, flags_of
from skyseg_tf.console.foreign_flags import meant_by
from skyseg_tf.errors import InputError, nearest, not_among
from skyseg_tf.files.places import is_remote, local_path

_OF_PLACES = ("--source", "--records", "--model")  # what a file or folder without a flag is
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # and no letter of a drive


def parse(config: type, argv: Sequence[str], prog: str, default: Any = None) -> Any:
    """The config that flags give; --help exits.

    Args:
      config: a frozen dataclass.
      argv: the flags.
      prog: the name shown in the help.
      default: a config from which the flags depart; None for the fields' own defaults.

    Raises:
      InputError: a flag that there is not, or a value that it does not take.
    """
    app, given, argv = command_app(config, prog), [], [_as_path(word) for word in argv]
    if _asks_for_help(argv):  # cyclopts would read all flags once more before it sees that
        app.asks_for_help = True
        with suppress(SystemExit):  # Rich's own, of status 1, where nobody reads on
            app.help_print([])
        sys.exit(0)
    app.config = lambda app, commands, arguments: given.extend(a for a in arguments if a.tokens)
    try:
        parsed = app(argv, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise InputError(_in_one_line(error, app, given, argv)) from None
    _refuse_swallowed(given, argv, flags_of(app))
    for argument in given:  # cyclopts reads the word none as None, takes nan and inf, and rounds
        if argument.value is None or _is_no_number(argument) or _was_rounded(argument):
            values = [token.value for token in argument.tokens]
            raise InputError(_wrong_value(argument.tokens[0].keyword, argument, values))
        _refuse_urls(config, argument)
    if default is None:
        return parsed
    names = [argument.field_info.name for argument in given]
    return replace(default, **{name: getattr(parsed, name) for name in names})


def _refuse_urls(config: type, argument: Argument) -> None:
    """Refuses a URL where only a folder here would be made of it, of the name `s3:` or `https:`."""
    values = argument.value if isinstance(argument.value, tuple) else (argument.value,)
    if not any(isinstance(value, Path) for value in values):
        return
    takes = "takes a path of this machine, no URL; copy it there or back"
    storages = argument.field_info.name in getattr(config, "URLS", ())
    if storages:
        takes = "takes a path of this machine or a URL of a storage, such as s3://bucket/folder"
    for given in (token.value for token in argument.tokens):
        if (is_remote(given) and not storages) or (_URL.match(given) and not is_remote(given)):
            flag = argument.tokens[0].keyword or argument.field_info.name
            raise InputError(f"{flag} {given}: {takes}")


def _as_path(word: str) -> str:
    """A word with the folder that its ~ stands for, which shells leave in --out=~/x; no file:// URL."""
    flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return f"{flag}{equals}{local_path(os.path.expanduser(value))}"


def _is_no_number(argument: Argument) -> bool:
    """Whether a number is NaN or infinite, which no setting can be."""
    values = argument.value if isinstance(argument.value, tuple) else (argument.value,)
    return any(isinstance(value, float) and not math.isfinite(value) for value in values)


def _was_rounded(argument: Argument) -> bool:
    """Whether a fraction was given where whole numbers are taken."""
    values = argument.value if isinstance(argument.value, tuple) else (argument.value,)
    if not all(isinstance(value, int) for value in values):
        return False
    fractions = [
        token.value for token in argument.tokens if re.fullmatch(r"-?\d*\.\d+", token.value)
    ]
    return any(not float(fraction).is_integer() for fraction in fractions)


def _asks_for_help(argv: Sequence[str]) -> bool:
    typed = argv[: argv.index("--")] if "--" in argv else argv
    return "--help" in typed or "-h" in typed


def _refuse_swallowed(given: list[Argument], argv: Sequence[str], flags: Collection[str]) -> None:
    """Where "-" is a value, cyclopts takes unknown flags for values as well."""
    typed = argv[: argv.index("--")] if "--" in argv else argv
    for token in (token for argument in given for token in argument.tokens):
        if re.match(r"--?[a-zA-Z]", token.value) and token.value in typed:
            if token.keyword and f"{token.keyword}={token.value}" not in typed:
                raise InputError(f"{token.keyword} takes a value, and none is given")
            if not token.keyword:
                raise InputError(_unknown(token.value, flags))


def _in_one_line(error: CycloptsError, app: App, given: list[Argument], argv: Sequence[str]) -> str:
    flags = flags_of(app)
    match error:
        case UnknownOptionError():
            return _unknown(error.token.keyword or error.token.value, flags)
        case UnusedCliTokensError():
            return _not_understood(error.unused_tokens, flags)
        case RepeatArgumentError():
            return f"{_dashed(error.token.keyword)} is given twice"
        case MissingArgumentError(keyword=None):
            words = [word for word in argv if re.match(r"--?[a-zA-Z]", word)]
            if strange := [w for w in words if _dashed(w.partition("=")[0]) not in flags]:
                return _unknown(strange[0], flags)
            required = [a for a in app.assemble_argument_collection() if a.required]
            known = {a.name for a in given}
            names = [_label(a) for a in required if a.name not in known]
            return f"{' and '.join(names)} must be given"
        case MissingArgumentError():
            return _wrong_value(error.keyword, error.argument, error.tokens_so_far)
        case CoercionError(argument=Argument(), token=token) if token and token.keyword:
            values = [t.value for t in error.argument.tokens or [token]]
            return _wrong_value(token.keyword, error.argument, values)
    return " ".join(str(error).split())


def _unknown(word: str, flags: Collection[str]) -> str:
    if os.path.lexists(word):
        return f"no option {word}; a file of that name is given as ./{word}"
    name = _dashed(word.partition("=")[0])
    hint = meant_by(name, flags)
    if hint is None:  # without the dashes, in which all flags are alike
        near = nearest(name.lstrip("-"), [flag.lstrip("-") for flag in flags])
        hint = f"did you mean --{near}?" if near else ""
    return f"no option {name}" + (f"; {hint}" if hint else "")


def _not_understood(words: Sequence[str], flags: Collection[str]) -> str:
    name, equals, value = words[0].partition("=")
    if equals and re.fullmatch(r"[a-z]\w*", name):  # lr0=0.01, as Ultralytics has it
        flag = _dashed(f"--{name}")
        if flag not in flags:
            return _unknown(flag, flags)
        return f"not understood: {name}={value}: write {flag} {value}"
    flag = next((flag for flag in _OF_PLACES if flag in flags), None)
    if flag and Path(words[0]).exists():
        return f"not understood: {words[0]}: write {flag} {words[0]}"
    return f"not understood: {' '.join(words)}: perhaps a flag is missing before it, or a quote"


def _wrong_value(keyword: str, argument: Argument, values: Sequence[str]) -> str:
    name, told = _dashed(keyword), " ".join(values)
    if (known := argument.get_choices(force=True)) and values:
        wrong = next((value for value in values if value not in known), told)
        return not_among(name, wrong, known)
    return f"{name} takes {_kind(argument)}, " + (f"not '{told}'" if told else "and none is given")


def _kind(argument: Argument) -> str:
    """What a flag takes, in the words of the help: INT INT."""
    if known := argument.get_choices(force=True):
        return " or ".join(known)
    count, of_any_number = argument.token_count()
    if not count:  # a switch, as --quiet=false
        return "true or false"
    kind = re.sub(r"\W+", " ", str(argument.hint))
    word = next((w for w in ("int", "float", "bool", "Path") if w in kind.split()), "text").upper()
    return f"{word} ..." if of_any_number else " ".join([word] * count)


def _label(argument: Argument) -> str:
    return argument.name if argument.index is None else argument.name.lstrip("-").upper()


def _dashed(flag: str) -> str:
    return flag.replace("_", "-")
