"""OpenVINO graphs said otherwise: the same sums in operations for which its CPU plugin is quick.

Measured on BiSeNetV2 at 512x1024 in int8 (`benchmarks/runtimes.py`), where together they take off a
tenth of the time. Each looks for one pattern of a float32 graph, and leaves what it does not know.
"""

import numpy as np

from skyseg_tf.models.blocks import interpolation_matrix


def rewrite_for_cpu(network) -> None:
    """Applies what has to come before a quantization, in place.

    Args:
      network: float32 openvino.Model from uint8 RGB.
    """
    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Pad":
            _pad_in_pooling(node)
        elif kind == "GroupConvolution":
            _repeat_channels(node)
        elif kind == "Parameter":
            _rescale_rows(node)
    network.validate_nodes_and_infer_types()


def enlarge_by_products(network) -> None:
    """Enlarges the logits by two matrix products in place of Interpolate, where sizes are fixed.

    Interpolate works on single values where there is one channel: enlarging BiSeNetV2's logits to
    512x1024 took an eighth of the network's time in int8. Comes after a quantization, which leaves
    the Interpolate alone. Rows grow last: they are the shorter product.

    Args:
      network: openvino.Model, changed in place.
    """
    from openvino import opset13 as op

    for node in tail(network):
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
        wide = op.matmul(node.input_value(0), op.constant(columns[None, None]), False, True)
        large = op.matmul(op.constant(rows[None, None]), wide, False, False)
        _replace(node, large)
    network.validate_nodes_and_infer_types()


def tail(network) -> list:
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


def _rescale_rows(entrance) -> None:
    """Normalizes the pixels as rows of 3 W values, where W is fixed.

    With the three channels innermost the vector units work on three numbers at a time.
    """
    from openvino import opset13 as op

    if entrance.output(0).get_partial_shape().is_dynamic:
        return
    shape = entrance.output(0).get_shape()
    start = _only_reader(entrance)
    if start is None or start.get_type_name() != "Convert":
        return
    value, last = start.output(0), start
    while (step := _only_reader(last)) is not None and step.get_type_name() in ("Multiply", "Add"):
        factor = _constant(step, 1)
        if factor is None or factor.shape[-1:] != (shape[-1],) or factor.size != shape[-1]:
            break
        if last is start:
            rows = np.array([*shape[:-2], shape[-2] * shape[-1]])
            value = op.reshape(value, op.constant(rows), False)
        row = np.tile(factor.reshape(-1), shape[-2])
        make = op.multiply if step.get_type_name() == "Multiply" else op.add
        value, last = make(value, op.constant(row)), step
    if last is not start:
        _replace(last, op.reshape(value, op.constant(np.array(shape)), False))


def _pad_in_pooling(pad) -> None:
    """Zeros around a ReLU's answers are no maximum: the pooling's own padding does as well.

    Pad has no vector code in eight bits.
    """
    from openvino import opset13 as op

    pool = _only_reader(pad)
    begin, end, value = (_constant(pad, port) for port in (1, 2, 3))
    if pool is None or pool.get_type_name() != "MaxPool" or begin is None or end is None:
        return
    how = pool.get_attributes()
    zeros = pad.get_attributes()["pad_mode"] == "constant" and (value is None or not value.any())
    unpadded = how["auto_pad"] in ("explicit", "valid") and not any(
        how["pads_begin"] + how["pads_end"]
    )
    spatial = not (begin[:2].any() or end[:2].any()) and begin.min() >= 0 and end.min() >= 0
    answers = pad.input_value(0)
    if not (zeros and unpadded and spatial and answers.get_node().get_type_name() == "Relu"):
        return
    kernel = how["kernel"]
    if max(*begin[2:], *end[2:]) >= min(kernel):  # a window of nothing but padding
        return
    window = (how["strides"], how["dilations"], list(begin[2:]), list(end[2:]), kernel)
    padded = op.max_pool(answers, *window, how["rounding_type"], "explicit")
    _replace(pool, padded)


def _repeat_channels(node) -> None:
    """A depthwise convolution with several filters per channel: one each, of the repeated input.

    The plugin's depthwise kernel knows one filter per channel; several run as convolutions of one
    channel each, in 3 to 4 times the time. The copies stand behind one another, so the filters, and
    all that follows up to the next full convolution, take the channels in that order.
    """
    from openvino import opset13 as op

    filters = _constant(node, 1)  # (groups, filters per group, 1, h, w)
    if filters is None or filters.ndim != 5 or filters.shape[1] == 1 or filters.shape[2] != 1:
        return
    groups, copies = filters.shape[:2]
    channels = groups * copies
    order = np.arange(channels).reshape(groups, copies).T.reshape(-1)
    changes = _in_order(node, order)
    if changes is None:
        return
    filters = filters.reshape(channels, 1, *filters.shape[2:])[order]
    repeated = op.concat([node.input_value(0)] * copies, 1)
    node.input(0).replace_source_output(repeated.output(0))
    for step, port, array in [(node, 1, filters), *changes]:
        constant = op.constant(np.ascontiguousarray(array))
        step.input(port).replace_source_output(constant.output(0))


def _in_order(node, order: np.ndarray) -> list[tuple] | None:
    """The constants behind a node, its channels in another order, up to the next full convolution.

    Returns:
      (node, port, array) each; None where something follows whose channels cannot be moved.
    """
    channels, changes, step = len(order), [], node
    while (step := _only_reader(step)) is not None:
        kind = step.get_type_name()
        ports = {"Add": (0, 1), "Multiply": (0, 1), "Relu": ()}.get(kind, (1,))
        constants = {port: _constant(step, port) for port in ports}
        constants = {port: array for port, array in constants.items() if array is not None}
        if kind == "Convolution" and constants:
            return [*changes, (step, 1, constants[1][:, order])]
        if kind == "GroupConvolution" and constants and constants[1].shape[:2] == (channels, 1):
            changes.append((step, 1, constants[1][order]))
        elif kind in ("Add", "Multiply") and constants:
            ((port, array),) = constants.items()
            if array.size != 1:
                if array.size != channels or array.ndim < 3 or array.shape[-3] != channels:
                    return None
                changes.append((step, port, np.take(array, order, axis=-3)))
        elif kind != "Relu":
            return None
    return None


def _only_reader(node):
    """The one node that reads a node's one output, or None."""
    readers = list(node.output(0).get_target_inputs())
    return readers[0].get_node() if len(readers) == 1 else None


def _constant(node, port: int) -> np.ndarray | None:
    """The array at an input, or None where there is no constant."""
    if port >= node.get_input_size():
        return None
    source = node.input_value(port).get_node()
    return source.data if source.get_type_name() == "Constant" else None


def _replace(node, other) -> None:
    for reader in list(node.output(0).get_target_inputs()):
        reader.replace_source_output(other.output(0))


def _is_convolution(node) -> bool:
    kinds = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")
    return node.get_type_name() in kinds
