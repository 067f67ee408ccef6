"""skyseg doctor: what is installed, what it is good for, and how to get what is missing."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyseg_tf import __version__
from skyseg_tf.console.cli import run_command
from skyseg_tf.errors import InputError, counted

if TYPE_CHECKING:  # `--help` does without
    from packaging.requirements import Requirement

# Extra of the package: what it is for.
EXTRAS = {
    "export": "skyseg export; the OpenVINO and LiteRT runtimes",
    "raw": "raw photos of cameras (DNG, NEF, CR2, ARW, ...)",
    "video": "skyseg predict of videos and cameras",
    "serve": "skyseg serve",
    "dashboard": "the dashboard",
    "scale": "work on several machines, search of settings",
    "jax": "Keras on JAX",
}


@dataclass(frozen=True)
class DoctorConfig:
    """Say which runtimes, extras and hardware are there, and the line that installs what is missing.

    Example: skyseg doctor
    """

    json: bool = False
    """Print JSON instead of text."""


def examine() -> dict:
    """What is there.

    Returns:
      "version", "python", "machine" (cores, memory, GPUs), "backends" (name -> version or None),
      "default_backend", "quick_backend" (for a few photos), "extras" (name -> missing distributions),
      "box" (model -> "ok" or what is wrong with it).
    """
    from skyseg_tf.masking.runtime import BACKENDS, installed
    from skyseg_tf.runs.packaged import read_packaged

    found = [name for name in BACKENDS if installed(name)]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count() or 1,
            "memory_gib": _memory(),
            "gpus": gpus(),
        },
        "backends": {name: _backend_version(name) for name in BACKENDS},
        "default_backend": found[0] if found else None,
        "quick_backend": min(found, key=lambda name: BACKENDS[name].start_rank, default=None),
        "extras": {name: missing_of(name) for name in EXTRAS},
        "box": {name: _state(name) for name in read_packaged()["models"]},
    }


def missing_of(extra: str) -> list[str]:
    """Requirements of one extra that this installation does not meet, as pip wants them.

    Raises:
      InputError: the package runs from its folder alone: nothing tells what its extras need.
    """
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        told = requires("skyseg_tf") or ()
    except PackageNotFoundError:
        raise InputError("skyseg_tf itself is not installed: pip install . in its folder") from None
    wanted = [
        requirement
        for requirement in map(Requirement, told)
        if requirement.marker and requirement.marker.evaluate({"extra": extra})
    ]
    return [f"{one.name}{one.specifier}" for one in wanted if not _meets(one)]


def _meets(requirement: "Requirement") -> bool:
    found = version_or_none(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def version_or_none(distribution: str) -> str | None:
    """Of a distribution that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _backend_version(name: str) -> str | None:
    from skyseg_tf.masking.runtime import BACKENDS, installed

    if not installed(name):
        return None
    versions = map(version_or_none, BACKENDS[name].distributions)
    return next(filter(None, versions), "of unknown version")


def _memory() -> float | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # Windows
        return None
    return round(pages * size / 2**30, 1)


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that the driver shows."""
    folder = Path("/proc/driver/nvidia/gpus")
    names = []
    for file in sorted(folder.glob("*/information")):
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        names.append(lines.get("Model", file.parent.name).strip())
    return names


def _state(name: str) -> str:
    from skyseg_tf.runs.packaged import WEIGHTS, check_packaged, packaged_files

    try:
        for path, sha256 in packaged_files(WEIGHTS / name).items():
            check_packaged(path, sha256)
    except InputError as error:
        return str(error)
    return "ok"


def doctor(config: DoctorConfig) -> int:
    """Prints what `examine` finds.

    Args:
      config: see DoctorConfig.

    Returns:
      0 if masks can be made: a runtime is there and no packaged model is damaged; else 1.
    """
    facts = examine()
    print(json.dumps(facts, indent=2) if config.json else page(facts))
    damaged = [name for name, state in facts["box"].items() if state != "ok"]
    return 0 if facts["default_backend"] and not damaged else 1


def page(facts: dict) -> str:
    """`examine`'s answer for people."""
    from skyseg_tf.masking.runtime import BACKENDS

    machine = facts["machine"]
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    lines = [
        f"skyseg_tf {facts['version']}, Python {facts['python']}, {machine['system']}",
        f"hardware   {counted(machine['cores'], 'core')}{memory}, "
        f"{', '.join(machine['gpus']) or 'no NVIDIA GPU'}",
    ]
    for name, text in facts["backends"].items():
        state = f"{text}{_taken_for(name, facts)}"
        lines.append(_row("backend", name, state if text else f"missing: {BACKENDS[name].install}"))
    for name, missing in facts["extras"].items():
        state = f'missing {", ".join(missing)}: pip install "skyseg_tf[{name}]"'
        lines.append(_row("extra", name, state if missing else f"there: {EXTRAS[name]}"))
    for name, state in facts["box"].items():
        lines.append(_row("model", name, state))
    if not facts["box"]:
        lines.append(_row("model", "-", "none in the package: name one with --model"))
    return "\n".join(lines)


def _taken_for(name: str, facts: dict) -> str:
    """For which work a backend is taken where --backend names none."""
    default, quick = facts["default_backend"], facts["quick_backend"]
    if name == quick != default:
        return " (for a few photos)"
    return " (default)" if name == default else ""


def _row(kind: str, name: str, state: str) -> str:
    return f"{kind:<10} {name:<12} {state}"


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.doctor") -> None:
    """Entry point of the command."""
    run_command(doctor, DoctorConfig, argv, prog)


if __name__ == "__main__":
    main()
