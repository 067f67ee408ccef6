"""Flags that a command cannot take, told in one line.

tyro tells them in a box of many lines, and has no public hook to tell them otherwise. What is
wrong is read from the flags themselves where that is plain, else from the words in its box.
"""

import re
from collections.abc import Collection, Sequence

from skyseg_tf.console.completion import flags_of
from skyseg_tf.console.foreign_flags import meant_by
from skyseg_tf.errors import nearest, not_among

_RULE = "─"


def in_one_line(told: str, config: type, argv: Sequence[str]) -> str:
    """What is wrong with flags that tyro has refused.

    Args:
      told: what it printed.
      config: the command's dataclass.
      argv: the flags.

    Returns:
      One line: the flag, what is wrong with it, and the nearest one that there is.
    """
    flags = {flag.name: flag for flag in flags_of(config)}
    for word, value in zip(argv, [*argv, ""][1:], strict=True):
        name, equals, given = word.partition("=")
        name, given = name.replace("_", "-"), given if equals else value
        if not re.match(r"--?[a-zA-Z]", name):
            continue
        if name not in flags:
            return _unknown(name, flags)
        if flags[name].choices and given not in flags[name].choices:
            return not_among(name, given, flags[name].choices)
    return _from_box(told, argv, flags)


def _unknown(name: str, flags: Collection[str]) -> str:
    near = nearest(name, flags)
    hint = meant_by(name, flags) or (f"did you mean {near}?" if near else "")
    return f"no option {name}" + (f"; {hint}" if hint else "")


def _from_box(told: str, argv: Sequence[str], flags: Collection[str]) -> str:
    rows = [row.strip("│").removeprefix(" ").rstrip() for row in told.splitlines()]
    rows = [row for row in rows if not row.startswith(("╭", "╰"))]
    ends = [i for i, row in enumerate(rows) if row.strip(_RULE) == "" and _RULE in row]
    first = " ".join(" ".join(rows[: ends[0] if ends else None]).split())
    if first.startswith("Missing from"):
        names = [m[1] for row in rows if (m := re.match(r" {4}(--[a-z-]+|[A-Z]+)\b", row))]
        return f"{' and '.join(names)} must be given" if names else first
    if extra := re.match(r"Unrecognized options: (.*)", first):
        name, equals, value = extra[1].split()[0].partition("=")
        if equals and re.fullmatch(r"[a-z]\w*", name):  # lr0=0.01, as Ultralytics has it
            flag = f"--{name.replace('_', '-')}"
            if flag not in flags:
                return _unknown(flag, flags)
            return f"not understood: {name}={value}: write {flag} {value}"
        return f"not understood: {extra[1]}: perhaps a flag is missing before it, or a quote"
    blamed = re.search(r"(?:parsing |argument ')(--[a-z-]+)", first)
    if not blamed:
        return first
    name = blamed[1]
    shown = next((row for row in rows if row.strip().startswith(f"{name} ")), "")
    wanted = shown.strip().removeprefix(name).strip(" {}")
    wanted = wanted or next(iter(re.findall(r"Expected (\d+ values?)", first)), "a value")
    given = _values_of(name, argv)
    return f"{name} takes {wanted}, " + (f"not '{given}'" if given else "and none is given")


def _values_of(name: str, argv: Sequence[str]) -> str:
    """What stands behind a flag, up to the next one."""
    values: list[str] = []
    for i, word in enumerate(argv):
        flag, _, joined = word.partition("=")
        if flag.replace("_", "-") == name:
            values = [joined] if joined else []
            for value in argv[i + 1 :]:
                if value.startswith("--"):
                    break
                values.append(value)
    return " ".join(values)
