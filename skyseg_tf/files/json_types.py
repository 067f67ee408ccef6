"""What JSON makes of Python's types, and the way back."""

import json
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from skyseg_tf.errors import InputError


def typed(value: Any, kind: Any, path: str | Path, name: str) -> Any:
    """What JSON has made of a path, a tuple or a number, as it was.

    Args:
      value: as JSON has it.
      kind: its type: a scalar, a tuple, a list, a dict of str, or a union of these.
      path: the file, for the error message.
      name: its name there.

    Raises:
      InputError: it cannot have been of that type.
    """
    try:
        return _as_it_was(value, kind)
    except ValueError:
        shown = json.dumps(value)[:60]
        raise InputError(
            f"{path}: damaged: {name} is {shown}; restore the file or train again"
        ) from None


def _as_it_was(value: Any, kind: Any) -> Any:
    parts, origin = get_args(kind), get_origin(kind)
    if origin in (Union, UnionType):
        for part in parts:
            with suppress(ValueError):
                return _as_it_was(value, part)
    elif origin in (tuple, list) and isinstance(value, list):
        kinds = parts if origin is tuple and Ellipsis not in parts else parts[:1] * len(value)
        return origin(_as_it_was(item, one) for item, one in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: _as_it_was(item, parts[1]) for key, item in value.items()}
    elif kind is Path and isinstance(value, str) and "\0" not in value:
        return Path(value)
    elif type(value) is kind or (kind is float and type(value) is int and abs(value) < 2**53):
        return value
    raise ValueError
