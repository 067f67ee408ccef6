"""Models small enough to be written down, for everything around a network."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from skyseg_tf.labels import SCHEMES
from skyseg_tf.masking.runtime import ModelFacts

# z = rgb @ WEIGHT + BIAS: blue that is not red is sky.
WEIGHT, BIAS = np.array([[-0.1], [0.0], [0.1]], np.float32), np.array([-3.0], np.float32)


def blue_probs(rgb: np.ndarray) -> np.ndarray:
    """What `blue_model` computes."""
    return 1 / (1 + np.exp(-(rgb.astype(np.float64) @ WEIGHT + BIAS)))


def blue_model(path: Path, *, scheme="sky", size=None, batch="batch", metadata=True, **facts):
    """Writes an ONNX file: sigmoid for the sky scheme; else softmax, all but sky and one more at -99."""
    channels = SCHEMES[scheme].num_logits
    weight, bias = WEIGHT, BIAS
    if channels > 1:
        weight, bias = np.zeros((3, channels), np.float32), np.full(channels, -99, np.float32)
        sky = SCHEMES[scheme].sky
        bias[1 if sky == 0 else 0] = 0
        if sky is not None:
            weight[:, sky], bias[sky] = WEIGHT[:, 0], BIAS[0]
    height, width = size or ("height", "width")
    final = "Sigmoid" if channels == 1 else "Softmax"
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rgb", "weight"], ["z"]),
            helper.make_node("Add", ["z", "bias"], ["logits"]),
            helper.make_node(final, ["logits"], ["probabilities"]),
        ],
        "blue",
        [helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [batch, height, width, 3])],
        [
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, [batch, height, width, channels]
            )
        ],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    opset = helper.make_opsetid("", 15)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    if metadata:
        told = ModelFacts("blue", SCHEMES[scheme], working_size=size, **facts)
        for key, text in told.to_metadata().items():
            model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)
    return path


def blue_photo(height: int = 60, width: int = 90) -> np.ndarray:
    """A photo whose upper third is blue and the rest brown."""
    photo = np.full((height, width, 3), (120, 90, 60), np.uint8)
    photo[: height // 3] = (90, 150, 230)
    return photo
