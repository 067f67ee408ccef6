"""Reads small JSON files that people may have edited, cut off or exchanged."""

import json
from collections import Counter
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files.places import place

MAX_BYTES = 64 << 20  # a manifest of ten thousand shards has 2 MB


def read_object(path: str | Path, advice: str) -> dict:
    """Reads a JSON object.

    Args:
      path: the file, which may be a URL (see places).
      advice: what to do about a damaged one, for the error message.

    Returns:
      The object; what is in it is for the caller to check.

    Raises:
      FileNotFoundError: no such file.
      InputError: not JSON, nested too deep, no object, an entry that stands there twice, or larger
        than MAX_BYTES.
    """
    with place(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES >> 20} MB, which no such file is; {advice}"
        )
    try:
        value = json.loads(content, object_pairs_hook=_each_once)
    except RecursionError:
        raise InputError(f"{path}: nested too deep; {advice}") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged, not JSON ({error}); {advice}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; {advice}")
    return value


def _each_once(pairs: list[tuple[str, object]]) -> dict:
    """An object whose entries differ: of two of one name nobody knows which one is meant."""
    value = dict(pairs)
    if len(value) < len(pairs):
        ((double, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"'{double}' stands there twice")
    return value
