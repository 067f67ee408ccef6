"""The box: trained networks that come with the package, each one ONNX file of raw RGB.

    python tools/box.py --run runs/skyline_sky --name skyline --data "..." --terms "..."

puts the network of a run into it.

The weights are stored once: the runtimes read the graph, and the Keras runtime rebuilds the
network by its name and takes the weights out of the same file (`models.folded`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyseg_tf.console.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside
from skyseg_tf.labels import get_scheme
from skyseg_tf.masking.runtime import BOX, METADATA_PREFIX, ModelFacts, sha256_of

_SMALL = 1024  # constants of fewer values stay float32: they weigh nothing and are touchier
_HALF_MAX = 65504.0


def write_box(
    network,
    stats: dict[str, float],
    out_dir: str | Path,
    *,
    name: str,
    data: str,
    terms: str,
    scheme: str = "sky",
    options: dict | None = None,
    threshold: float = 0.5,
    long_side: int = 512,
    divisor: int = 32,
    half: bool = True,
    default: bool = False,
) -> Path:
    """Puts a trained network into a box, and what it is into the box's models.json.

    Args:
      network: keras.Model of models.build_model with free height and width.
      stats: six numbers of rgb_stats.json that its images were normalized by.
      out_dir: the box's folder; runtime.BOX for the package's own.
      name: of the model in the box.
      data: what it was trained on.
      terms: of that data.
      scheme: its classes, a key of labels.SCHEMES.
      options: of build_model, as far as they were not the defaults.
      threshold: probability from which a pixel is sky.
      long_side: see runtime.ModelFacts.
      divisor: see runtime.ModelFacts.
      half: store large weights as float16; they are computed in float32 all the same.
      default: make it the one that is taken when none is named (the first always is).

    Returns:
      The ONNX file, `<out_dir>/<name>.onnx`.

    Raises:
      InputError: a layer that cannot be stored, or weights beyond float16.
    """
    out_dir = Path(out_dir)
    facts = ModelFacts(
        name, get_scheme(scheme), threshold=threshold, long_side=long_side, divisor=divisor
    )
    graph = _export(network, stats, divisor)
    names = _match(network, graph)
    if half:
        halved = _halve(graph)
        names = {key: halved.get(constant, constant) for key, constant in names.items()}
    metadata = facts.to_metadata() | {f"{METADATA_PREFIX}weights": json.dumps(names)}
    for key, text in metadata.items():
        graph.metadata_props.add(key=key, value=text)
    path = out_dir / f"{name}.onnx"
    with write_aside(path) as aside:
        aside.write_bytes(graph.SerializeToString())
    entry = {
        "file": path.name,
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "network": network.name,
        "num_classes": network.output["logits"].shape[-1],
        "options": options or {},
        "parameters": network.count_params(),
        "stats": stats,
        "data": data,
        "terms": terms,
    }
    _add_entry(out_dir / "models.json", name, entry, default)
    return path


def _add_entry(index: Path, name: str, entry: dict, default: bool) -> None:
    box = json.loads(index.read_text()) if index.is_file() else {"default": name, "models": {}}
    box["models"][name] = entry
    box["default"] = name if default else box["default"]
    with write_aside(index) as aside:
        aside.write_text(json.dumps(box, indent=2) + "\n")


def _export(network, stats: dict[str, float], divisor: int):
    """The ONNX graph of raw RGB to probabilities, all sizes free."""
    from skyseg_tf.exporters.onnx_graph import keras_to_onnx
    from skyseg_tf.runs.folder import make_saved_model

    model = make_saved_model(network, stats)
    model(np.zeros((1, 2 * divisor, 2 * divisor, 3), np.float32))  # Keras exports what has run once
    graph = keras_to_onnx(model)
    for port in (*graph.graph.input, *graph.graph.output):
        for dim, text in zip(
            port.type.tensor_type.shape.dim, ("batch", "height", "width"), strict=False
        ):
            dim.dim_param = text
    return graph


def _match(network, graph) -> dict[str, str]:
    from onnx import numpy_helper

    from skyseg_tf.models.folded import match_weights

    constants = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    by_size: dict[int, list[str]] = {}
    for key, array in constants.items():
        if array.dtype == np.float32:
            by_size.setdefault(array.size, []).append(key)

    def find(wanted: np.ndarray) -> str | None:
        bare = wanted.squeeze()
        for key in by_size.get(wanted.size, ()):
            array = constants[key].squeeze()
            if array.shape == bare.shape and np.allclose(array, bare, rtol=1e-4, atol=1e-6):
                return key
        return None

    return match_weights(network, find)


def _halve(graph) -> dict[str, str]:
    """Stores large float32 constants as float16 with a cast behind; old name -> stored name."""
    from onnx import TensorProto, helper, numpy_helper

    halved = {}
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < _SMALL:
            continue
        if not np.abs(array).max() < _HALF_MAX:
            raise InputError(f"{tensor.name}: weights beyond float16; give half=False")
        old, new = tensor.name, f"{tensor.name}/half"
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), new))
        cast = helper.make_node("Cast", [new], [old], name=f"{old}/cast", to=TensorProto.FLOAT)
        graph.graph.node.insert(0, cast)
        halved[old] = new
    return halved


@dataclass(frozen=True, kw_only=True)
class BoxConfig:
    """Put the network of a run into the package's box. Needs the extra `export`."""

    run: Path
    """Run folder of `skyseg train`; its best epoch is taken."""
    name: str
    """Name in the box."""
    data: str
    """What it was trained on."""
    terms: str
    """Terms of that data."""
    long_side: int = 512
    """The photo is shrunk to about this long side, in pixels, for the network."""
    threshold: float = 0.5
    """Probability from which a pixel is sky."""
    default: bool = False
    """Make it the one that is taken when none is named."""
    out: Path = BOX
    """Folder of the box."""


def box(config: BoxConfig) -> None:
    """Boxes a run.

    Raises:
      InputError: no such run, or one that cannot be boxed.
    """
    from skyseg_tf.console.dependencies import import_tensorflow_quietly

    import_tensorflow_quietly()
    from skyseg_tf.models import build_model, parse_model_options
    from skyseg_tf.runs.folder import read_config, read_run_data
    from skyseg_tf.training.checkpoints import load_initial_weights
    from skyseg_tf.training.settings import TrainConfig

    settings, data = read_config(config.run, TrainConfig), read_run_data(config.run)
    if data is None:
        raise InputError(
            f"{config.run}: dataset.json, with its statistics, is missing; train again"
        )
    scheme = data.scheme
    options = parse_model_options(settings.model, settings.model_options)
    network = build_model(settings.model, scheme.num_logits, **options)
    load_initial_weights(config.run, network)
    path = write_box(
        network, data.rgb_stats, config.out, name=config.name, data=config.data,
        terms=config.terms, scheme=scheme.name, threshold=config.threshold,
        long_side=config.long_side, default=config.default, options=options,
    )  # fmt: skip
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def main(argv: list[str] | None = None, prog: str = "python tools/box.py") -> None:
    """Entry point of the command."""
    run_command(box, BoxConfig, argv, prog)


if __name__ == "__main__":
    main()
