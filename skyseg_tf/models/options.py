"""A network's own options: what its build function takes beside classes and size, as `NAME=VALUE`."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

from skyseg_tf.errors import InputError, not_among

_TRUTH = {"true": True, "false": False}


def options_of(build: Callable) -> dict[str, Any]:
    """The options of a network.

    Args:
      build: its function (num_classes, size, *, **options).

    Returns:
      Name -> type: int, bool, or a Literal of all values.
    """
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind == p.KEYWORD_ONLY}


def describe(build: Callable) -> str:
    """The options of a network and their values, for people; "" if it has none."""
    return ", ".join(
        f"{name}={'|'.join(_choices(kind)) or 'N'}" for name, kind in options_of(build).items()
    )


def parse_options(network: str, build: Callable, texts: Sequence[str]) -> dict[str, Any]:
    """Reads options.

    Args:
      network: its name, for the error messages.
      build: its function.
      texts: such as `depth=101`, each option once.

    Returns:
      What `build` takes.

    Raises:
      InputError: no such option, or a value that it does not take.
    """
    known, options = options_of(build), {}
    for text in texts:
        name, equals, given = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if not known:
            raise InputError(f"--model-options {text}: {network} has none; leave them out")
        if not equals:
            raise InputError(f"--model-options {text}: write NAME=VALUE: {describe(build)}")
        if name not in known:
            raise InputError(f"{network}: {not_among('option', name, known)} ({describe(build)})")
        if name in options:
            raise InputError(f"--model-options {text}: {name} is given twice; leave one out")
        options[name] = _value(f"{network}: {name}", known[name], given)
    return options


def _choices(kind: Any) -> list[str]:
    """All values as text; empty for a number."""
    return list(_TRUTH) if kind is bool else [str(value) for value in get_args(kind)]


def _value(what: str, kind: Any, given: str) -> Any:
    choices = _choices(kind)
    if choices and given.lower() not in choices:
        raise InputError(f"{what} is {' or '.join(choices)}, not '{given}'")
    if kind is bool:
        return _TRUTH[given.lower()]
    if get_origin(kind) is Literal:
        return get_args(kind)[choices.index(given.lower())]
    if not given.isdecimal() or not int(given):
        raise InputError(f"{what} is a whole number from 1, not '{given}'")
    return int(given)
