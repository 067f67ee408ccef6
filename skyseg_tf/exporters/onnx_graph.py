"""ONNX: for ONNX Runtime on every platform, for browsers, and as the way to OpenVINO and TensorRT."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from skyseg_tf.exporters.job import ExportJob, model_from_bytes, signature

OPSET = 17  # Keras writes 15 to 18; ONNX Runtime 1.12 and TensorRT 8.6 read 17
_PROBABILITIES = "probabilities"
# A sum in eight bits costs accuracy where a skip connection joins, and saves no time on a CPU: the
# convolution before it takes the sum along. Products are the gates of attention. Relu and Clip (ReLU6)
# go into the range of the convolution before them, whose eight bits would else be spent on what they
# cut off.
_QUANTIZED = ["Conv", "ConvTranspose", "MaxPool", "AveragePool", "Concat", "Relu", "Clip", "Pad"]


def write_onnx(job: ExportJob) -> None:
    """Writes job.path: "rgb" uint8 (B, H, W, 3) -> "probabilities" float32 (B, H, W, C).

    f16 computes in float16 (its ends stay uint8 and float32); int8 is QDQ with uint8 activations
    and weights of seven bits per channel, which every CPU sums right.
    """
    graph = build_onnx(job)
    if job.precision == "f16":
        graph = _to_float16(graph)
    elif job.precision == "int8":
        from onnxruntime.quantization import QuantType

        # CPUs without VNNI add two products in 16 bits, which those of eight-bit weights overflow.
        graph = _quantize(job, graph, activation_type=QuantType.QUInt8, reduce_range=True)
    _save(job, graph)


def write_tensorrt_onnx(job: ExportJob) -> None:
    """Writes job.path for TensorRT 8.6 and later, from which trtexec builds an engine.

    f16 is for strongly typed networks; int8 is QDQ as TensorRT wants it: symmetric, int8 on both
    sides, biases left in float32, convolutions alone.
    """
    graph = build_onnx(job)
    if job.precision == "f16":
        graph = _to_float16(graph)
    elif job.precision == "int8":
        from onnxruntime.quantization import QuantType

        graph = _quantize(
            job,
            graph,
            activation_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "ConvTranspose"],
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "DedicatedQDQPair": True,
            },
        )
    _save(job, graph)


def build_onnx(job: ExportJob):
    """The float32 onnx.ModelProto of a job: "rgb" uint8 -> "probabilities" float32."""
    model = model_from_bytes(job)
    side = job.facts.divisor
    size = job.facts.working_size or (2 * side, 2 * side)
    clip = (job.facts.frames,) if job.facts.frames > 1 else ()
    model(np.zeros((1, *clip, *size, 3), np.uint8))  # Keras exports what has run once
    graph = keras_to_onnx(model, opset_version=OPSET, input_signature=signature(model))
    _plain_resize(graph.graph)
    scale_channels_first(graph.graph)
    _name_output(graph.graph)
    if not job.facts.working_size:
        for port in (*graph.graph.input, *graph.graph.output):
            dims = port.type.tensor_type.shape.dim  # (B, H, W, C), of clips (B, T, H, W, 3)
            for place, text in ((0, "batch"), (-3, "height"), (-2, "width")):
                dims[place].dim_param = text
    return graph


def keras_to_onnx(model, **options):
    """The onnx.ModelProto of a keras.Model that has run once; options are Model.export's."""
    import onnx

    with TemporaryDirectory() as folder, _no_chatter():
        model.export(f"{folder}/model.onnx", format="onnx", verbose=False, **options)
        graph = onnx.load(f"{folder}/model.onnx")
    _squeeze_output(graph.graph, len(model.outputs[0].shape))
    return graph


def _squeeze_output(graph, rank: int) -> None:
    """Takes away the dimension of 1 that tf2onnx 1.17 now and then leaves before the batch.

    For one class it turns the last transposition into a Reshape to (1, B, H, W, 1) with a Squeeze
    behind it, and loses the Squeeze if the Reshape's answer is the graph's output by then: the order
    of its optimizers' steps is not the same from run to run.
    """
    from onnx import helper, numpy_helper

    output = graph.output[0]
    dims = output.type.tensor_type.shape.dim
    if len(dims) == rank:
        return
    axes = numpy_helper.from_array(np.zeros(1, np.int64), f"{output.name}/first")
    last = next(node for node in graph.node if output.name in node.output)
    raw = f"{output.name}/unsqueezed"
    last.output[list(last.output).index(output.name)] = raw
    graph.initializer.append(axes)
    graph.node.append(helper.make_node("Squeeze", [raw, axes.name], [output.name]))
    del dims[0]


def _plain_resize(graph) -> None:
    """Says resizing as ONNX does since opset 13.

    TensorFlow's nearest neighbour, floor((i + 0.5) x scale), is half_pixel, (i + 0.5) x scale - 0.5,
    with halves rounded up. Inputs that do not count are left out instead of empty: the conversion
    to float16 would give them a cast. A scale such as 13 / 7 is rounded up: its product with 7 must
    not fall below 13, of which ONNX takes the whole part.
    """
    from onnx import numpy_helper

    for tensor in _scales(graph):
        values = numpy_helper.to_array(tensor)
        up = np.where(values % 1, np.nextafter(values, np.float32(np.inf)), values)
        tensor.CopyFrom(numpy_helper.from_array(up, tensor.name))
    new = {"coordinate_transformation_mode": b"half_pixel", "nearest_mode": b"round_prefer_ceil"}
    empty = {tensor.name for tensor in graph.initializer if 0 in tensor.dims}
    for node in graph.node:
        if node.op_type != "Resize":
            continue
        modes = {attribute.name: attribute for attribute in node.attribute}
        if modes["coordinate_transformation_mode"].s == b"tf_half_pixel_for_nn":
            for name, value in new.items():
                modes[name].s = value
        for i, name in enumerate(node.input):
            node.input[i] = "" if name in empty else name
    _remove_unread(graph, empty)


def _scales(graph) -> list:
    """The constants by which pictures are resized."""
    names = {node.input[2] for node in graph.node if node.op_type == "Resize"}
    return [tensor for tensor in graph.initializer if tensor.name in names - {""}]


def scale_channels_first(graph) -> None:
    """Moves what scales each channel of a picture behind its transposition to channels first.

    Before it ONNX Runtime broadcasts three values over each pixel: a tenth of a small network's time.
    The numbers stay the same.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    turns = [node for node in graph.node if node.op_type == "Transpose"]
    for turn in (node for node in turns if list(node.attribute[0].ints) == [0, 3, 1, 2]):
        chain, source = [], turn.input[0]
        while (node := makers.get(source)) and _scales_channels(node, constants):
            chain.insert(0, node)
            source = node.input[0]
        scaled, inside = {node.output[0] for node in chain}, [turn, *chain]
        others = [node for node in graph.node if scaled & {*node.input} and node not in inside]
        if chain and all(node.op_type == "Shape" for node in others):
            for node in others:
                node.input[0] = source  # of the same shape
            _move_behind(graph, turn, chain, constants)


def _scales_channels(node, constants: dict) -> bool:
    """Whether a node multiplies or adds one constant for each channel of (B, H, W, C)."""
    return (
        node.op_type in ("Mul", "Add")
        and node.input[1] in constants
        and len(constants[node.input[1]].dims) == 1
    )


def _move_behind(graph, turn, chain: list, constants: dict) -> None:
    """Lets a transposition to channels first come before a chain of scaling nodes."""
    from onnx import numpy_helper

    place, result, known = list(graph.node).index(chain[0]), turn.output[0], set()
    source = turn.output[0] = f"{result}/pixels"
    turn.input[0] = chain[0].input[0]
    for node in chain:
        known.add(node.input[1])
        values = numpy_helper.to_array(constants[node.input[1]]).reshape(-1, 1, 1)
        first = numpy_helper.from_array(values, f"{node.output[0]}/constant")
        graph.initializer.append(first)
        node.input[:] = [source, first.name]
        source = node.output[0] = f"{node.output[0]}/first"
    chain[-1].output[0] = result
    graph.node.remove(turn)
    graph.node.insert(place, turn)
    _remove_unread(graph, known)


def _remove_unread(graph, names: set[str]) -> None:
    """Removes those of the constants that no node reads any more."""
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in names - read]:
        graph.initializer.remove(tensor)


def _name_output(graph) -> None:
    old = graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = _PROBABILITIES
    graph.output[0].name = _PROBABILITIES


def _to_float16(graph):
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below 6e-8 become that
        graph = convert_float_to_float16(graph, keep_io_types=True)
    seen = set()
    for node in list(graph.graph.node):
        if seen.issuperset(node.output):  # it casts a shared constant once for each reader
            graph.graph.node.remove(node)
        seen.update(node.output)
    OnnxModel(graph).topological_sort()  # its casts come last, whoever reads them
    return graph


def _quantize(job: ExportJob, graph, **options):
    """Static QDQ quantization by ONNX Runtime; ranges are the extremes over the photos."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Photos(CalibrationDataReader):
        def __init__(self):
            self.photos = iter(job.photos)

        def get_next(self):
            photo = next(self.photos, None)
            return None if photo is None else {"rgb": photo}

    options = {"op_types_to_quantize": _QUANTIZED} | options
    with TemporaryDirectory() as folder, _no_chatter():
        given, plain, quantized = (Path(folder) / f"{name}.onnx" for name in ("a", "b", "c"))
        given.write_bytes(graph.SerializeToString())
        quant_pre_process(str(given), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(quantized),
            Photos(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_last_convolutions(onnx.load(plain).graph),
            **options,
        )
        return onnx.load(quantized)


def _last_convolutions(graph) -> list[str]:
    """The convolutions whose answer reaches the output by no other: they give the logits.

    A logit decides a pixel alone, nothing averages its rounding away.
    """
    makers = {name: node for node in graph.node for name in node.output}
    found, seen, waiting = [], set(), [graph.output[0].name]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in ("Conv", "ConvTranspose"):
            found.append(node.name)
        else:
            waiting += node.input
    return found


def _save(job: ExportJob, graph) -> None:
    import onnx

    del graph.metadata_props[:]
    for key, text in job.facts.to_metadata().items():
        graph.metadata_props.add(key=key, value=text)
    graph.producer_name, graph.doc_string = "skyseg_tf", ""
    onnx.checker.check_model(graph)
    job.path.write_bytes(graph.SerializeToString())


@contextlib.contextmanager
def _no_chatter():
    """tf2onnx and the quantizer talk to stdout, to the log and in warnings."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
