"""What this machine has room for: asked before work begins that could only fail for lack of it.

Linux promises memory that is not there and ends the process that takes it, libraries crash where
they get none, and a full disk shows after hours. Estimates here are low ones: what they refuse
would not have fitted.
"""

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from skyseg_tf.errors import InputError
from skyseg_tf.files import MAX_PIXELS

_FULL = 1_000_000  # bytes of a disk, of which nothing worth having fits into less
_MOST_SIDE = 32_000  # of a picture: OpenCV's warps count pixels in 16 bits
_CGROUPS = (  # limit and use of this process' group, in version 2 and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def check_picture_size(flag: str, size: tuple[int, int]) -> None:
    """Refuses pictures that no command here could read again.

    Args:
      flag: that gave the size.
      size: (height, width).

    Raises:
      InputError: a side or the number of pixels is too large.
    """
    height, width = size
    if max(size) > _MOST_SIDE or height * width > MAX_PIXELS:
        raise InputError(
            f"{flag} {height} {width}: too large a picture; give sides of at most {_MOST_SIDE:,} and "
            f"at most {MAX_PIXELS / 1e6:.0f} megapixels"
        )


def free_memory() -> float:
    """Bytes that this process can still take; infinity where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return math.inf
    import resource

    machine, own = _kilobytes("/proc/meminfo"), _kilobytes("/proc/self/status")
    free = [machine.get("MemAvailable", math.inf) + machine.get("SwapFree", 0)]
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            free.append(most - own[used])
    free += [_left_in_group(Path(limit), Path(used)) for limit, used in _CGROUPS]
    return max(0.0, min(free))


def _kilobytes(path: str) -> dict[str, float]:
    """The lines `Name: 123 kB` of a file in /proc, in bytes."""
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return {line[0].rstrip(":"): 1024.0 * int(line[1]) for line in lines if line[-1:] == ["kB"]}


def _left_in_group(limit: Path, used: Path) -> float:
    """What a container may still take; files in its cache count as taken, though they would yield."""
    try:
        most, taken = limit.read_text().strip(), float(used.read_text())
        stat = dict(line.split() for line in (used.parent / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return math.inf
    cache = float(stat.get("inactive_file", 0)) + float(stat.get("active_file", 0))
    return math.inf if most == "max" else float(most) - taken + cache


def check_memory(need: float, what: str, advise: Callable[[float], str]) -> None:
    """Refuses work that memory does not hold.

    Args:
      need: bytes, beside what the process has.
      what: the work, with the settings that make it large.
      advise: share of `need` that is there, below 1 -> what would fit.

    Raises:
      InputError: in one line what is needed, what is there, and what would fit.
    """
    if need > (free := free_memory()):
        raise InputError(
            f"{what} needs about {amount(need)} of memory, {amount(free)} are free; "
            f"{advise(free / need)}"
        )


def check_disk(place: str | Path, need: float, what: str, advise: Callable[[float], str]) -> None:
    """Refuses work whose result the disk does not hold.

    Args:
      place: file or folder of the result, there already or not.
      need: bytes that will be written there.
      what: the results, with the settings that make them large.
      advise: share of `need` that is free, below 1 -> what would fit.

    Raises:
      InputError: in one line what is needed, what is there, and what would fit.
    """
    folder = next(
        one for one in (Path(place).absolute(), *Path(place).absolute().parents) if one.is_dir()
    )
    if need > (free := shutil.disk_usage(folder).free):
        hint = "free some space or choose another place" if free < _FULL else advise(free / need)
        raise InputError(
            f"{what} would take about {amount(need)} in {folder}, {amount(free)} are free; {hint}"
        )


def amount(count: float) -> str:
    """A number of bytes for people."""
    if count < 1e9:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e9:,.0f} GB" if count >= 10e9 else f"{count / 1e9:.1f} GB"


def largest_size(size: tuple[int, int], share: float, divisor: int = 1) -> str:
    """A size of about the same aspect with a share of the pixels, as flags take it: "256 512".

    Args:
      size: (height, width), too large.
      share: of its pixels, 0-1.
      divisor: of both sides.
    """
    sides = (max(divisor, int(side * math.sqrt(share)) // divisor * divisor) for side in size)
    return " ".join(map(str, sides))


def fewer_workers(workers: int, share: float, otherwise: str) -> str:
    """The advice to take fewer workers where one alone would fit, and what else would help.

    Args:
      workers: too many.
      share: of their need that is there, 0-1.
      otherwise: what would fit with as many.
    """
    fits = int(workers * share)
    return f"give --workers {fits}, or {otherwise}" if fits else f"give {otherwise}"
