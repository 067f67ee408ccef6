"""The model zoo page: what each run is, what it scores, what it costs, made from run folders alone.

    python tools/zoo.py --runs runs/skyline_sky runs/bisenetv2 --out docs/zoo.md

Runs that were scored under one protocol share a table; unlike protocols never do.
"""

import csv
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.console.cli import run_command
from skyseg_tf.dashboard_pages.run_facts import Group, ScoredRun, group_scores
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import sha256_of
from skyseg_tf.images import write_aside
from skyseg_tf.masking.runtime import BACKENDS, Runtime, load_runtime

_LOG_ROWS = 8  # epochs that a page shows of a training
_COLUMNS = ("network", "parameters", "GMACs", "latency", "sky IoU", "mean IoU", "run")


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """Write the model zoo page from run folders."""

    runs: tuple[Path, ...]
    """Run folders of `skyseg train`; each needs model.keras and metrics.json."""
    out: Path = Path("docs/zoo.md")
    """The page."""
    image_size: tuple[int, int] = (256, 512)
    """Height and width at which GMACs and latency are taken, where the network takes any size."""
    backend: str | None = None
    """Runtime of the latency; default: the fastest that is there and has a file of the run."""
    repeats: int = 20
    """Photos, one at a time, of which the median is taken."""


@dataclass(frozen=True)
class Cost:
    """What a network takes.

    Attributes:
      parameters: weights of what model.keras holds, batch statistics included.
      gmacs: 1e9 multiply-accumulates for one photo (or clip) of `size`.
      latency_ms: median for one photo of `size`, batch 1.
      backend: runtime of the latency.
      size: (height, width).
    """

    parameters: int
    gmacs: float
    latency_ms: float
    backend: str
    size: tuple[int, int]


def count_gmacs(model, size: tuple[int, int]) -> float:
    """Multiply-accumulates of one forward pass, in 1e9.

    Args:
      model: a Keras model of one image or clip input, of any size or of this one.
      size: (height, width).

    Returns:
      Half of the floating-point operations that TensorFlow's profiler counts in the frozen graph.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler.model_analyzer import profile
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    shape = (1, *model.input_shape[1:-3], *size, 3)
    answer = tf.function(lambda images: model(images, training=False))
    frozen = convert_variables_to_constants_v2(
        answer.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    )
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation()).with_empty_output()
    return profile(frozen.graph, options=options.build()).total_float_ops / 2e9


def measure_latency(runtime: Runtime, size: tuple[int, int], repeats: int) -> float:
    """Median milliseconds of one photo (or clip) of noise, after two that are not counted."""
    frames = () if runtime.frames == 1 else (runtime.frames,)
    photo = np.random.default_rng(0).integers(0, 256, (1, *frames, *size, 3), np.uint8)
    times = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        runtime(photo)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def measure_cost(run: Path, config: ZooConfig) -> Cost:
    """What the network of a run takes.

    Raises:
      InputError: no model in the run, or none for the runtime.
    """
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    import keras

    runtime = load_runtime(run, config.backend)
    model = keras.models.load_model(run / "model.keras", compile=False)
    fixed = model.input_shape[-3:-1]
    size = runtime.working_size or (config.image_size if None in fixed else fixed)
    gmacs = count_gmacs(model, size)
    latency = measure_latency(runtime, size, config.repeats)
    return Cost(model.count_params(), gmacs, latency, runtime.backend, tuple(size))


def zoo(config: ZooConfig) -> Path:
    """Measures every run and writes the page.

    Args:
      config: see ZooConfig.

    Returns:
      The page.

    Raises:
      InputError: no run, a run without scores or model, two runs of one name, a wrong setting.
    """
    _check(config)
    groups, damaged = group_scores(list(config.runs))
    if damaged:
        raise InputError("; ".join(damaged))
    load = os.getloadavg()[0]
    costs = {run: measure_cost(run, config) for run in config.runs}
    parts = [_head(config, load)]
    for group in groups:
        parts.append(_table(group, costs))
    parts.append("## Runs")
    parts += [_run_section(run) for run in config.runs]
    with write_aside(config.out) as aside:
        aside.write_text("\n\n".join(parts) + "\n")
    print(f"{config.out}: {len(config.runs)} runs under {len(groups)} protocols")
    return config.out


def _check(config: ZooConfig) -> None:
    if not config.runs:
        raise InputError("no run given: name run folders by --runs")
    if config.backend is not None and config.backend not in BACKENDS:
        raise InputError(not_among("backend", config.backend, BACKENDS))
    if config.repeats < 1 or min(config.image_size) < 1:
        raise InputError("--repeats and --image-size must be at least 1")
    for run in config.runs:
        for name in ("config.json", "metrics.json", "model.keras"):
            if not (run / name).is_file():
                raise InputError(f"{run}: {name} is missing; is the training finished?")
    names = [_name(run) for run in config.runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two runs are called {', '.join(sorted(twice))}: rename a folder")


def _name(run: Path) -> str:
    return run.resolve().name


def device() -> str:
    """The processor in words: cores and model."""
    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        lines = (line.split(":", 1) for line in cpu.read_text().splitlines() if ":" in line)
        model = next((v.strip() for k, v in lines if k.strip() == "model name"), model)
    return f"{os.cpu_count()} cores of {model}"


# --- the page ---


def _head(config: ZooConfig, load: float) -> str:
    return (
        "# Model zoo\n\n"
        "Made by `python tools/zoo.py` from run folders. Parameters are those of `model.keras` "
        "without auxiliary heads, batch statistics included. GMACs are half the floating-point "
        "operations that TensorFlow's profiler counts. Latency: median of "
        f"{config.repeats} photos, one at a time, on {device()}, with a load of {load:.1f} of other work "
        "(1-minute average before the start); the runtime stands beside it. "
        "Scores stand in one table only if they were made alike."
    )


def _table(group: Group, costs: dict[Path, Cost]) -> str:
    rows = [_row(scored, costs[scored.run]) for scored in group.runs]
    lines = [f"| {' | '.join(cells)} |" for cells in (_COLUMNS, ["---"] * len(_COLUMNS), *rows)]
    return "\n".join([f"## {group.protocol}", "", *lines])


def _row(scored: ScoredRun, cost: Cost) -> Sequence[str]:
    settings = json.loads((scored.run / "config.json").read_text())
    size, name = "x".join(map(str, cost.size)), _name(scored.run)
    return (
        f"`{settings.get('model')}`",
        f"{cost.parameters:,}",
        f"{cost.gmacs:.2f} at {size}",
        f"{cost.latency_ms:.1f} ms, {cost.backend}, {size}",
        _score(scored.scores["iou"].get("sky")),
        _score(scored.scores["mean_iou"]),
        f"[{name}](#{_anchor(name)})",
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _anchor(name: str) -> str:
    return f"run-{''.join(c if c.isalnum() or c in '-_' else '-' for c in name.lower())}"


def _run_section(run: Path) -> str:
    weights, name = run / "model.keras", _name(run)
    parts = [
        f"### {name} {{#{_anchor(name)}}}",
        f"- command: {_command(run)}\n"
        f"- weights: `model.keras`, {weights.stat().st_size / 1e6:.1f} MB, sha256 "
        f"`{sha256_of(weights)}`\n"
        f"- made with {_environment(run)}",
    ]
    return "\n\n".join([*parts, _log(run)]).rstrip()


def _command(run: Path) -> str:
    from skyseg_tf.runs.folder import read_config
    from skyseg_tf.training.search import command_line
    from skyseg_tf.training.settings import TrainConfig

    try:
        return f"`{command_line(read_config(run, TrainConfig))}`"
    except InputError:  # settings that have since been renamed
        return "of another version of this program: see config.json in the run"


def _environment(run: Path) -> str:
    path = run / "environment.json"
    facts = json.loads(path.read_text()) if path.is_file() else {}
    versions = facts.get("versions", {})
    told = [
        f"{key} {versions[key]}"
        for key in ("skyseg_tf", "tensorflow", "keras", "jax")
        if key in versions
    ]
    told.append(f"Python {facts.get('python', 'unknown')}")
    commit = facts.get("git_commit")
    return ", ".join([*told, f"commit {commit[:12]}" if commit else "commit unknown"])


def _log(run: Path) -> str:
    """Some epochs of history.csv, the first and the last among them."""
    path = run / "history.csv"
    if not path.is_file():
        return ""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) > _LOG_ROWS:
        last = len(rows) - 1
        rows = [rows[round(i * last / (_LOG_ROWS - 1))] for i in range(_LOG_ROWS)]
    keys = ("epoch", "loss", "val_loss", "val_iou", "seconds")
    lines = [f"| {' | '.join(cells)} |" for cells in (keys, ["---"] * len(keys))]
    lines += [f"| {' | '.join(_short(row.get(key, '')) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def _short(text: str) -> str:
    return f"{float(text):.4g}" if text else ""


def main(argv: list[str] | None = None, prog: str = "python tools/zoo.py") -> None:
    """Entry point of the command."""
    run_command(zoo, ZooConfig, argv, prog)


if __name__ == "__main__":
    main()
