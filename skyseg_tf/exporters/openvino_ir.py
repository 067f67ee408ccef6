"""OpenVINO: the fastest on Intel CPUs."""

import contextlib
import io
import logging
from tempfile import TemporaryDirectory

import numpy as np

from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.onnx_graph import build_onnx
from skyseg_tf.models.blocks import interpolation_matrix


def write_openvino(job: ExportJob) -> None:
    """Writes job.path (.xml) and the .bin beside it: uint8 RGB (B, H, W, 3) -> float32 probabilities.

    f16 stores the weights in half the bytes and computes in what the CPU is told to. int8 is NNCF's
    post-training quantization.
    """
    import openvino as ov

    network = read_network(job)
    if job.precision == "int8":
        network = quantize(network, job.photos)
    enlarge_by_products(network)
    network.input(0).get_node().set_layout(ov.Layout("NTHWC" if job.facts.frames > 1 else "NHWC"))
    for key, text in job.facts.to_metadata().items():
        network.set_rt_info(text, [key])
    ov.save_model(network, job.path, compress_to_fp16=job.precision == "f16")


def read_network(job: ExportJob):
    """The float32 openvino.Model of a job, by way of ONNX, whose graph both share."""
    import openvino as ov

    with TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        with open(path, "wb") as file:
            file.write(build_onnx(job).SerializeToString())
        return ov.convert_model(path)


def quantize(network, photos):
    """int8 by NNCF: weights per channel, activations by their extremes over the photos.

    Two of NNCF's defaults are turned off. The mean of each photo's extremes cuts off what few photos
    show: on a small network probabilities were off by three times as much. Its correction of biases
    made them worse by a factor of ten there, and helped nowhere.

    Args:
      network: openvino.Model from uint8 RGB, of a fixed size: where sizes are free, OpenVINO 2026.4
        answers wrongly in eight bits (the same file, reshaped to one size, is right).
      photos: (1, H, W, 3) uint8 each.

    Returns:
      The quantized openvino.Model; the logits are float32.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        return nncf.quantize(
            network,
            nncf.Dataset(list(photos)),
            # Symmetric: OpenVINO 2026.4 pools values that have a zero point wrongly.
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(photos),
            ignored_scope=nncf.IgnoredScope(names=_enlarging(network)),
            advanced_parameters=AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                disable_bias_correction=True,
            ),
        )


def _enlarging(network) -> list[str]:
    """The resizing of logits, before which eight bits would round them once more."""
    tail = _tail(network)
    return [n.get_friendly_name() for n in tail if n.get_type_name() == "Interpolate"]


def _is_convolution(node) -> bool:
    kinds = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")
    return node.get_type_name() in kinds


def _tail(network) -> list:
    """The nodes behind the last convolutions, and these themselves."""
    found, waiting = {}, [network.output(0).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() in found:
            continue
        found[node.get_friendly_name()] = node
        if not _is_convolution(node):
            waiting += [value.get_source_output().get_node() for value in node.inputs()]
    return list(found.values())


def enlarge_by_products(network) -> None:
    """Enlarges the logits by two matrix products in place of Interpolate, where sizes are fixed.

    The same numbers to the last bits. Interpolate works on single values where there is one
    channel: enlarging BiSeNetV2's logits to 512x1024 took an eighth of the network's time in int8.
    """
    from openvino import opset13 as op

    for node in _tail(network):
        if node.get_type_name() != "Interpolate" or node.output(0).get_partial_shape().is_dynamic:
            continue
        how = node.get_attributes()
        before, after = node.input(0).get_shape(), node.output(0).get_shape()
        plain = how["mode"] in ("linear", "linear_onnx") and not how["antialias"]
        half_pixel = how["coordinate_transformation_mode"] == "half_pixel"
        grows = list(before[:2]) == list(after[:2]) and before[2] < after[2]
        if not (plain and half_pixel and grows and len(before) == 4 and before[3] < after[3]):
            continue
        rows, columns = (
            np.asarray(interpolation_matrix(before[axis], after[axis], False, "float32"))
            for axis in (2, 3)
        )
        tall = op.matmul(op.constant(rows[None, None]), node.input_value(0), False, False)
        large = op.matmul(tall, op.constant(columns[None, None]), False, True)
        for reader in list(node.output(0).get_target_inputs()):
            reader.replace_source_output(large.output(0))
    network.validate_nodes_and_infer_types()
