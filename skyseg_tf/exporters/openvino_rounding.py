"""Rounding an int8 network's first weights together, so that their errors cancel."""

import numpy as np

_PATCHES = 20_000  # of each photo, at most


def round_first_together(network, exact, photos) -> None:
    """Rounds the weights of the convolutions that read the pixels anew, in place.

    NNCF gives them seven bits: with eight the sums overflow on CPUs that have AVX2 alone, where a
    quarter of BiSeNetV2's pixels changed class. Rounded to the nearest one by one, their errors add
    up, since a pixel is much like its neighbors. GPTQ (Frantar et al. 2023,
    https://arxiv.org/abs/2210.17323) takes the answers' error to a fifth and nearly halves the
    pixels that change class, more than the eighth bit would.

    Args:
      network: openvino.Model of a fixed size, quantized by NNCF.
      exact: what it was before, with the same names.
      photos: (1, H, W, 3) uint8 each.
    """
    from openvino import opset13 as op

    weights = {
        node.get_friendly_name(): node.input_value(1)
        for node in exact.get_ops()
        if node.get_type_name() == "Convolution"
    }
    for node in _first_convolutions(network):
        product = node.input_value(1).get_node()  # of the integers as float32 and the step
        if product.get_type_name() != "Multiply":
            continue  # left in float32
        convert, step = (product.input_value(port).get_node() for port in (0, 1))
        integers = convert.input_value(0).get_node().data
        scale = step.data.reshape(len(integers), 1).astype(np.float64)
        wanted = weights[node.get_friendly_name()].get_node().data.reshape(len(integers), -1)
        bound = 64 if np.abs(integers.astype(int)).max() <= 64 else 128
        rounded = gptq(wanted, scale, _second_moment(network, node, photos), -bound, bound - 1)
        constant = op.constant(rounded.reshape(integers.shape))
        convert.input(0).replace_source_output(constant.output(0))


def gptq(
    weights: np.ndarray, scale: np.ndarray, second_moment: np.ndarray, low: int, high: int
) -> np.ndarray:
    """Integers q for which scale q does on the inputs what the weights do.

    Rounds one weight of each filter after another; those that follow make up for its error.

    Args:
      weights: (filters, n).
      scale: (filters, 1), what a step of the integers is worth.
      second_moment: (n, n), mean of x x' over the inputs x.
      low, high: bounds of the integers, within int8.

    Returns:
      (filters, n) int8.
    """
    n = len(second_moment)
    damped = second_moment + 1e-4 * np.trace(second_moment) / n * np.eye(n)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # upper triangular
    rest, integers = weights.astype(np.float64), np.zeros(weights.shape, np.int8)
    for i in range(n):
        integers[:, i] = np.clip(np.round(rest[:, i] / scale[:, 0]), low, high)
        error = (rest[:, i] - integers[:, i] * scale[:, 0]) / factor[i, i]
        rest[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return integers


def _first_convolutions(network) -> list:
    """The convolutions that no other stands before."""
    found, seen, waiting = [], set(), list(network.get_parameters())
    while waiting:
        for reader in waiting.pop().output(0).get_target_inputs():
            node = reader.get_node()
            if node.get_friendly_name() in seen or node.get_type_name() == "ShapeOf":
                continue
            seen.add(node.get_friendly_name())
            (found if node.get_type_name() == "Convolution" else waiting).append(node)
    return found


def _second_moment(network, convolution, photos) -> np.ndarray:
    """(n, n) mean of x x' over the patches x that a convolution reads, n = channels x kernel."""
    import openvino as ov
    from openvino import opset13 as op

    front = ov.Model([op.result(convolution.input_value(0))], network.get_parameters(), "front")
    compiled = ov.Core().compile_model(front, "CPU")
    kernel = tuple(convolution.input(1).get_shape())[2:]
    how = convolution.get_attributes()
    sides = [(0, 0), *zip(how["pads_begin"], how["pads_end"], strict=True)]
    total = 0.0
    for photo in photos:
        padded = np.pad(compiled(photo)[0][0], sides)
        patches = np.lib.stride_tricks.sliding_window_view(padded, kernel, (1, 2))
        patches = patches[:, :: how["strides"][0], :: how["strides"][1]]
        rows = np.moveaxis(patches, 0, 2).reshape(-1, patches.shape[0] * np.prod(kernel))
        rows = rows[:: max(1, len(rows) // _PATCHES)].astype(np.float64)
        total = total + rows.T @ rows / len(rows)
    return total / len(photos)
