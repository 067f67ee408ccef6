"""The one exception for bad input, and the one way to speak of numbers and of unknown names."""

import errno
import os
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

_HINTS = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file",
    errno.EEXIST: "a file is in the way, choose another place",
    errno.ENOTDIR: "a part of that path is a file, choose another place",
    errno.EACCES: "check its permissions or choose another place",
    errno.EROFS: "choose another place",
    errno.ELOOP: "links lead in a circle there, mend them",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit (ulimit -n) or give fewer workers",
    errno.EFBIG: "this disk or `ulimit -f` takes no such file, choose another place",
    errno.ENOSPC: "free some space and run the same command again",
}
# Characters of a line; only a value that a damaged or hostile file holds makes it longer.
_MOST = 1000


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, where (file, record, field), and what to do.
    The commands print it without a traceback and exit with status 2.
    """

    def __str__(self) -> str:
        """The message in one short line, whatever the names and values are that it quotes."""
        return _shortened(printable(super().__str__()))


class NoFolder(InputError, OSError):
    """A folder for output cannot be made: as on a full disk, it is no single file's affair."""


class LostProcess(InputError):
    """Another process that this one worked together with has ended before its time."""


class Stuck(KeyboardInterrupt):
    """Told to end by Ctrl-C or SIGTERM while a thread hangs in a library.

    Nothing that this thread works on may be closed, and the process must not wait for it.
    """


def printable(text: str) -> str:
    """Text of one line that any terminal takes.

    A file's name may hold line breaks, escape sequences and bytes that are no text; they are shown
    as escapes.
    """
    strange = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, ends of lines
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in strange else char
        for char in text
    )


def _shortened(line: str) -> str:
    """Without its middle where it is too long: where it happened comes first, what to do last."""
    return line if len(line) <= _MOST else f"{line[: _MOST // 2]} ... {line[-_MOST // 2 :]}"


def plain_line(error: Exception) -> str:
    """What an error that is no bug says, for people: one line; of the system's own, what to do too."""
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        hint = _HINTS.get(error.errno)
        if error.errno == errno.ENOENT and isinstance(error.filename, str):
            hint = missing_hint(error.filename)
        return printable(f"{error.strerror}{where}{f'; {hint}' if hint else ''}")
    return _shortened(printable(" ".join(str(error).split())))


def in_one_line(error: BaseException) -> str:
    """What a library's error says, without line breaks, and no more of it than a line should hold."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def counted(count: int, one: str, more: str = "") -> str:
    """A number and what it counts: "1 photo", "2,000 photos".

    Args:
      count: how many.
      one: what one of them is called.
      more: what several are called, where that is not the same with an s.
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def flag_of(setting: str, value: object = None) -> str:
    """What is typed for a setting: --batch-size for batch_size, --no-refine where that is False."""
    return f"--{'no-' if value is False else ''}{setting.replace('_', '-')}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody who typed `name` most likely meant; None if none is like it."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, n=1)
    if not found and len(name) > 2:
        found = [one for one in by_lower if one.startswith(name.lower())]
    return by_lower[found[0]] if found else None


def missing_hint(path: str | Path) -> str:
    """What to do about a path that is not there.

    Returns:
      "did you mean ...?" with a path that is there, where one part of the path is a slip of the
      keyboard; where a link points, where it is one; else "check the path".
    """
    path = Path(path)
    if path.is_symlink():
        return f"it is a link to {os.readlink(path)}, mend that"
    for part in (path, *path.parents):  # the first one whose folder is there has the slip
        try:
            beside = os.listdir(part.parent)
        except OSError:
            continue
        near = nearest(part.name, beside)
        meant = part.parent / near / path.relative_to(part) if near else path
        return f"did you mean {meant}?" if meant.exists() else "check the path"
    return "check the path"


def not_among(what: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not known.

    Args:
      what: what it should be the name of, such as "network".
      name: as given.
      known: all that there are.

    Returns:
      One line with all of them and, after a slip of the keyboard, the one that was meant.
    """
    known = list(known)
    near = nearest(str(name), known)
    hint = f"; did you mean {near}?" if near else ""
    return f"no {what} '{name}': there are {', '.join(known)}{hint}"
