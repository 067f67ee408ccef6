"""OpenVINO: the fastest on Intel CPUs."""

import contextlib
import io
import logging
from tempfile import TemporaryDirectory

from skyseg_tf.exporters.job import ExportJob
from skyseg_tf.exporters.onnx_graph import build_onnx
from skyseg_tf.exporters.openvino_rewrites import enlarge_by_products, rewrite_for_cpu, tail
from skyseg_tf.exporters.openvino_rounding import round_first_together


def write_openvino(job: ExportJob) -> None:
    """Writes job.path (.xml) and the .bin beside it: uint8 RGB (B, H, W, 3) -> float32 probabilities.

    f16 stores the weights in half the bytes and computes in what the CPU is told to. int8 is NNCF's
    post-training quantization, whose first weights are then rounded better.
    """
    import openvino as ov

    network = read_network(job)
    rewrite_for_cpu(network)
    if job.precision == "int8":
        exact, network = network, quantize(network, job.photos)
        round_first_together(network, exact, job.photos)
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
    return [n.get_friendly_name() for n in tail(network) if n.get_type_name() == "Interpolate"]
