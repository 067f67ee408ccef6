"""OpenVINO: the fastest on CPUs of Intel."""

import queue
from pathlib import Path
from typing import Any

import numpy as np

from skyseg_tf.masking.backends.interface import Backend, Runtime
from skyseg_tf.masking.model_facts import METADATA_PREFIX, ModelFacts
from skyseg_tf.masking.model_files import not_numbers, reading, starts_with
from skyseg_tf.masking.onnx_file import check_self_contained, read_metadata

_check_xml = starts_with("OpenVINO", 0, b"<?xml", b"<net")


def load(path: Path, threads: int | None, streams: int) -> Runtime:
    """Loads a model file into OpenVINO.

    Raises:
      InputError: no such model, or one that does not say what its classes are.
    """
    import openvino as ov

    is_onnx = path.suffix == ".onnx"
    with reading(path, "OpenVINO", check_self_contained if is_onnx else _check_xml):
        core = ov.Core()
        network = core.read_model(path)
        _check_numbers(path, network)
        compiled = core.compile_model(network, "CPU", _settings(threads, streams))
        facts = ModelFacts.from_metadata(_metadata(path, network), path)
        port = compiled.input(0)
    as_bytes = port.element_type == ov.Type.u8
    batch = port.partial_shape[0]
    requests = queue.SimpleQueue()
    for _ in range(streams):
        requests.put(compiled.create_infer_request())

    def infer(images: np.ndarray) -> np.ndarray:
        request = requests.get()
        try:
            answer = request.infer(
                images.astype(np.uint8) if as_bytes else images,
                share_inputs=True,
                share_outputs=True,
            )
            return np.array(answer[0])
        finally:
            requests.put(request)

    fixed = batch.get_length() if batch.is_static else None
    return Runtime("openvino", path, facts, infer, fixed, streams)


def _metadata(path: Path, network: Any) -> dict[str, str]:
    """What the file says of its model."""
    if path.suffix == ".onnx":  # OpenVINO drops its metadata
        return read_metadata(path)
    told = network.get_rt_info().items()
    return {k: str(v.value) for k, v in told if k.startswith(METADATA_PREFIX)}


def _check_numbers(path: Path, network: Any) -> None:
    """Raises InputError for weights that are NaN."""
    for node in network.get_ordered_ops():
        is_weight = node.get_type_name() == "Constant"
        if is_weight and node.data.dtype.kind == "f" and np.isnan(node.data).any():
            raise not_numbers(path, node.get_friendly_name())


def _settings(threads: int | None, streams: int) -> dict[str, Any]:
    # Its default computes in bfloat16 where the CPU can: up to 0.12 off.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if streams > 1:  # a stream that is bound to a core stands still while a decoder has it
        settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": streams}
        settings |= {"ENABLE_CPU_PINNING": False}
    return settings | ({"INFERENCE_NUM_THREADS": threads} if threads else {})


BACKEND = Backend(
    "openvino",
    suffixes=(".xml", ".onnx"),
    package="openvino",
    distributions=("openvino",),
    install="pip install openvino",
    load=load,
    start_rank=3,
    is_rival=True,
)
