"""Puts a run into the package, where `--model NAME` finds it: weights/NAME/.

    python tools/box.py --run runs/skyline_sky --name skyline --data "..." --terms "..."

What is put there is a run folder, without what only its own training needs (checkpoints, TensorBoard),
and with exports/model_f32.onnx, which starts in a fraction of Keras' time. Both files hold their large
weights as float16, which halves them, and compute in float32.
"""

import io
import json
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import numpy as np

from skyseg_tf.console.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.files import sha256_of
from skyseg_tf.files.aside import write_aside
from skyseg_tf.runs.packaged import WEIGHTS

_KEPT = ("environment.json", "metrics.json", "model.keras")  # of the run, as they are
_KEPT_IF_THERE = ("history.csv",)
_LARGE = 16384  # arrays of fewer values stay float32: they weigh nothing and are touchier
_HALF_MAX = 65504.0


@dataclass(frozen=True, kw_only=True)
class BoxConfig:
    """Put a run into the package. Needs the extra `export`."""

    run: Path
    """Run folder of `skyseg train`; its best epoch is taken."""
    name: str
    """Name in the package."""
    data: str
    """What it was trained on."""
    terms: str
    """Terms of that data."""
    long_side: int = 512
    """The photo is shrunk to about this long side, in pixels, for the network."""
    default: bool = False
    """Make it the one that is taken when none is named; the first one always is."""
    out: Path = WEIGHTS
    """Folder of the packaged runs."""


def box(config: BoxConfig) -> Path:
    """Packages a run.

    Args:
      config: see BoxConfig.

    Returns:
      Its folder, `<out>/<name>`.

    Raises:
      InputError: no such run, one that cannot be packaged, or weights beyond float16.
    """
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    from skyseg_tf.exporters.export import export
    from skyseg_tf.exporters.settings import ExportConfig
    from skyseg_tf.runs.folder import read_run_data, write_json

    # ------------------------------------------------------------ the run itself
    told, data = settings_of(config.run), read_run_data(config.run)
    settings = {name: value for name, value in told.items() if not is_place(value)}
    if data is None:
        raise InputError(
            f"{config.run}: dataset.json, with its statistics, is missing; train again"
        )
    packaged = config.out / config.name
    packaged.mkdir(parents=True, exist_ok=True)
    for name in (*_KEPT, *(name for name in _KEPT_IF_THERE if (config.run / name).is_file())):
        shutil.copyfile(config.run / name, packaged / name)
    write_json(packaged / "dataset.json", replace(data, long_side=config.long_side))
    write_json(packaged / "config.json", settings)
    halve_keras(packaged / "model.keras")

    # -------------------------------------------------- what predict starts with
    export(ExportConfig(model=str(packaged), format="onnx"))
    exported = packaged / "exports" / "model_f32.onnx"
    halve_onnx(exported)

    # -------------------------------------------------------------------- its pins
    _add_entry(config, packaged)
    print(f"{packaged}: {sum(f.stat().st_size for f in _files(packaged)) / 1e6:.1f} MB")
    return packaged


def settings_of(run: Path) -> dict[str, Any]:
    """What the config.json of a run says; paths of the machine that it was trained on are Paths.

    Raises:
      InputError: it is no run, or one of another version.
    """
    from skyseg_tf.runs.folder import read_config, read_settings
    from skyseg_tf.training.settings import TrainConfig

    read_config(run, TrainConfig)  # refuses what is no run, or one of another version
    return read_settings(run, TrainConfig)


def is_place(value: Any) -> bool:
    """Whether a setting is a path, or several."""
    return isinstance(value, Path) or (isinstance(value, tuple) and any(map(is_place, value)))


def halve_keras(path: Path) -> None:
    """Stores the large float32 weights of a .keras file as float16; Keras reads them into float32.

    Raises:
      InputError: weights beyond float16.
    """
    import h5py

    def copy(source: h5py.Group, target: h5py.Group) -> None:
        target.attrs.update(source.attrs)
        for name, item in source.items():
            if isinstance(item, h5py.Group):
                copy(item, target.create_group(name))
                continue
            values = _halved(item[()], f"{path}: {item.name}")
            target.create_dataset(name, data=values).attrs.update(item.attrs)

    with (
        write_aside(path) as aside,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(aside, "w") as new,
    ):
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "model.weights.h5":
                weights = io.BytesIO()
                with h5py.File(io.BytesIO(content)) as source, h5py.File(weights, "w") as target:
                    copy(source, target)
                content = weights.getvalue()
            new.writestr(entry, content)


def halve_onnx(path: Path) -> None:
    """Stores the large float32 constants of an ONNX file as float16, each with a cast behind it.

    Runtimes cast constants once, when they load: the file is half as large and computes as before
    where the weights are numbers that float16 knows.

    Raises:
      InputError: weights beyond float16.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = _halved(numpy_helper.to_array(tensor), f"{path}: {tensor.name}")
        if array.dtype != np.float16:
            continue
        old, new = tensor.name, f"{tensor.name}/half"
        tensor.CopyFrom(numpy_helper.from_array(array, new))
        cast = helper.make_node("Cast", [new], [old], name=f"{old}/cast", to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    with write_aside(path) as aside:
        aside.write_bytes(model.SerializeToString())


def _halved(array: np.ndarray, where: str) -> np.ndarray:
    """A large float32 array as float16, all others as they are."""
    if array.dtype != np.float32 or array.size < _LARGE:
        return array
    if not np.abs(array).max() < _HALF_MAX:
        raise InputError(f"{where} has weights beyond float16")
    return array.astype(np.float16)


def _add_entry(config: BoxConfig, packaged: Path) -> None:
    from skyseg_tf.masking.backends.keras import load_network

    path = config.out / "models.json"
    index = json.loads(path.read_text()) if path.is_file() else {"default": config.name}
    entry = {
        "parameters": load_network(packaged / "model.keras").count_params(),
        "data": config.data,
        "terms": config.terms,
        "files": {f.relative_to(packaged).as_posix(): sha256_of(f) for f in _files(packaged)},
    }
    index["models"] = index.get("models", {}) | {config.name: entry}
    index["default"] = config.name if config.default else index["default"]
    with write_aside(path) as aside:
        aside.write_text(json.dumps(index, indent=2) + "\n")


def _files(packaged: Path) -> list[Path]:
    return sorted(path for path in packaged.rglob("*") if path.is_file())


def main(argv: list[str] | None = None, prog: str = "python tools/box.py") -> None:
    """Entry point of the command."""
    run_command(box, BoxConfig, argv, prog)


if __name__ == "__main__":
    main()
