"""ONNX Runtime: any CPU, and GPUs of NVIDIA where onnxruntime-gpu is installed."""

import os
from pathlib import Path

import numpy as np

from skyseg_tf.masking.backends.interface import Backend, Runtime
from skyseg_tf.masking.model_facts import ModelFacts
from skyseg_tf.masking.model_files import reading
from skyseg_tf.masking.onnx_file import check_self_contained, read_metadata


def load(path: Path, threads: int | None, streams: int) -> Runtime:
    """Loads a model file into ONNX Runtime.

    Raises:
      InputError: no such model, or one that does not say what its classes are.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors are raised, too
    if streams > 1:
        threads = max(1, (threads or os.cpu_count()) // streams)
    options.intra_op_num_threads = threads or 0  # 0: all cores
    # On CPUs without VNNI, sums of eight-bit products would else overflow their 16 bits in silence.
    options.add_session_config_entry("session.x64quantprecision", "1")
    known = ort.get_available_providers()
    providers = [
        name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known
    ]
    with reading(path, "ONNX Runtime", check_self_contained):
        # Falling back from the only provider to itself, it would print why.
        session = ort.InferenceSession(
            str(path), options, providers=providers, enable_fallback=len(providers) > 1
        )
        facts = ModelFacts.from_metadata(read_metadata(path), path)
        entry = session.get_inputs()[0]
        first = entry.shape[0]  # the name of a free one may be no text
    as_bytes = entry.type == "tensor(uint8)"

    def infer(images: np.ndarray) -> np.ndarray:
        feed = images.astype(np.uint8) if as_bytes else images
        return session.run(None, {entry.name: feed})[0]

    batch = first if isinstance(first, int) else None  # a name where it is free
    return Runtime("onnxruntime", path, facts, infer, batch, streams)


BACKEND = Backend(
    "onnxruntime",
    suffixes=(".onnx",),
    package="onnxruntime",
    distributions=("onnxruntime", "onnxruntime-gpu"),
    install="pip install onnxruntime",
    load=load,
    start_rank=1,
    is_rival=True,
)
