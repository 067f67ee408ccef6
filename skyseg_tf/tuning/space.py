"""What a search varies: `learning_rate=loguniform:1e-4:1e-2` as text, as a Parameter, as a value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from skyseg_tf.errors import InputError, not_among

RANGES = ("uniform", "loguniform", "int")
_FORMS = "NAME=A,B,C or NAME=uniform:LOW:HIGH, loguniform:LOW:HIGH, int:LOW:HIGH"


@dataclass(frozen=True)
class Parameter:
    """One searched setting: listed values, or a range.

    Attributes:
      name: a field of the settings.
      values: those listed, of the field's own type; empty for a range.
      kind: `listed` or one of RANGES; `int` includes both ends.
      low, high: ends of a range.
    """

    name: str
    values: tuple = ()
    kind: str = "listed"
    low: float = 0.0
    high: float = 0.0

    @property
    def log(self) -> bool:
        """Whether a scale of it is logarithmic."""
        return self.kind == "loguniform"

    def suggest(self, trial: Any) -> Any:
        """The value of an Optuna trial: drawn now, or what it already has."""
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high))
        if self.kind != "listed":
            return trial.suggest_float(self.name, self.low, self.high, log=self.log)
        return trial.suggest_categorical(self.name, self.choices)

    @property
    def choices(self) -> tuple:
        """The listed values as Optuna stores them: it knows no paths."""
        return tuple(str(v) if isinstance(v, Path) else v for v in self.values)

    def setting(self, stored: Any) -> Any:
        """Inverts `choices`: what the settings take for a value that Optuna has stored."""
        return self.values[self.choices.index(stored)] if self.kind == "listed" else stored

    @property
    def extremes(self) -> tuple:
        """Values to try a check on: all that are listed, or both ends."""
        if self.kind == "listed":
            return self.values
        return (int(self.low), int(self.high)) if self.kind == "int" else (self.low, self.high)


def parse_space(
    texts: Sequence[str],
    settings: type,
    searchable: Sequence[str],
    options: Mapping[str, type] | None = None,
) -> list[Parameter]:
    """Reads a search space.

    Args:
      texts: one per searched field, such as `model=skynet,u2netp`, `ema=0,0.999`,
        `learning_rate=loguniform:1e-4:1e-2`, `batch_size=int:4:32`.
      settings: the dataclass whose fields these are.
      searchable: names of its fields that may be searched.
      options: name -> type of what else may be.

    Returns:
      A Parameter per text, in their order.

    Raises:
      InputError: a text of another form, an unknown field, one given twice, a value that the
        field does not take, or an empty range.
    """
    options = options or {}
    types, space = get_type_hints(settings) | options, []
    for text in texts:
        name, equals, given = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not given:
            raise InputError(f"--space {text}: write {_FORMS}")
        if name not in searchable and name not in options:
            known = not_among("setting to vary", name, (*searchable, *options))
            raise InputError(f"--space {text}: {known}")
        if name in [parameter.name for parameter in space]:
            raise InputError(f"--space {text}: {name} is given twice; leave one out")
        space.append(_parameter(text, name, given, types[name]))
    if not space:
        raise InputError(f"--space is empty: write {_FORMS}")
    return space


def _parameter(text: str, name: str, given: str, hint: Any) -> Parameter:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    kind, _, ends = given.partition(":")
    if kind in RANGES:
        return _range(text, name, kind, ends, kinds[0])
    values = tuple(
        _value(text, part.strip(), kinds[0], kinds[0] is not hint) for part in given.split(",")
    )
    if len(set(values)) < len(values):
        raise InputError(f"--space {text}: a value is listed twice; leave one out")
    return Parameter(name, values)


def _range(text: str, name: str, kind: str, ends: str, wanted: type) -> Parameter:
    if wanted not in (int, float) or (wanted is int) != (kind == "int"):
        forms = {int: "int:LOW:HIGH or a list", float: "uniform:, loguniform:LOW:HIGH or a list"}
        raise InputError(f"--space {text}: {name} takes {forms.get(wanted, 'a list: A,B,C')}")
    try:
        low, high = (wanted(end) for end in ends.split(":"))
    except ValueError:
        raise InputError(f"--space {text}: write {name}={kind}:LOW:HIGH, two numbers") from None
    if not -math.inf < low < high < math.inf or (kind == "loguniform" and low <= 0):
        raise InputError(
            f"--space {text}: LOW must be below HIGH{', and above 0' * (kind == 'loguniform')}"
        )
    return Parameter(name, (), kind, low, high)


def _value(text: str, part: str, kind: type, optional: bool) -> Any:
    if optional and part.lower() == "none":
        return None
    if kind is bool:
        if part.lower() not in ("true", "false"):
            raise InputError(f"--space {text}: '{part}' is neither true nor false")
        return part.lower() == "true"
    try:
        value = kind(part)
    except ValueError:
        raise InputError(f"--space {text}: '{part}' is no {kind.__name__}") from None
    if not part or (kind is float and not math.isfinite(value)):
        raise InputError(f"--space {text}: '{part}' is no value")
    return value
