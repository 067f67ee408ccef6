"""Rounding the weights of an int8 network's convolutions together, so that their errors cancel."""

import numpy as np

_PATCHES = 16_000  # of all photos, from which a convolution's second moment is taken
_AT_ONCE = 8  # convolutions whose inputs are kept at a time
# Values that a filter reads, at most. The errors of wider ones cancel by themselves: left as they
# are or not, as many pixels change class, and rounding takes the third power of the width.
_WIDEST = 1152


def round_together(network, exact, photos) -> None:
    """Rounds the weights of the full convolutions anew, from the pixels on, in place.

    Rounded to the nearest one by one, their errors add up, since a pixel is much like its
    neighbors. Worst are the convolutions that read the pixels, to whose weights NNCF gives seven
    bits: with eight the sums overflow on CPUs that have AVX2 alone, where a quarter of BiSeNetV2's
    pixels changed class. GPTQ (Frantar et al. 2023, https://arxiv.org/abs/2210.17323) takes the
    error of their answers to a fifth and nearly halves the pixels that change class, more than the
    eighth bit would; the others take off another tenth. Depthwise ones have too few weights to gain.

    Args:
      network: openvino.Model of a fixed size, quantized by NNCF.
      exact: what it was before, with the same names.
      photos: (1, H, W, 3) uint8 each.
    """
    from openvino import opset13 as op

    weights = {
        node.get_friendly_name(): node.input_value(1).get_node()
        for node in exact.get_ops()
        if node.get_type_name() == "Convolution"
    }
    todo = [node for node in network.get_ordered_ops() if _can_be_rounded(node)]
    for start in range(0, len(todo), _AT_ONCE):
        group = todo[start : start + _AT_ONCE]
        for node, moment in zip(group, _second_moments(network, group, photos), strict=True):
            convert, step = _integers_and_step(node)
            integers = convert.input_value(0).get_node().data
            scale = step.data.reshape(len(integers), 1).astype(np.float64)
            wanted = weights[node.get_friendly_name()].data.reshape(len(integers), -1)
            bound = 64 if np.abs(integers.astype(int)).max() <= 64 else 128
            rounded = gptq(wanted, scale, moment, -bound, bound - 1)
            constant = op.constant(rounded.reshape(integers.shape))
            convert.input(0).replace_source_output(constant.output(0))


def gptq(
    weights: np.ndarray, scale: np.ndarray, second_moment: np.ndarray, low: int, high: int
) -> np.ndarray:
    """Integers q for which scale q does on the inputs what the weights do.

    Rounds one weight of each filter after another; those that follow make up for its error. The
    weights of the largest inputs come first, while there are most to make up for them.

    Args:
      weights: (filters, n).
      scale: (filters, 1), what a step of the integers is worth.
      second_moment: (n, n), mean of x x' over the inputs x.
      low, high: bounds of the integers, within int8.

    Returns:
      (filters, n) int8.
    """
    n = len(second_moment)
    order = np.argsort(-np.diag(second_moment), kind="stable")
    damped = second_moment[np.ix_(order, order)]
    damped = damped + (1e-4 * np.trace(damped) / n + 1e-30) * np.eye(n)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # upper triangular
    rest, integers = weights[:, order].astype(np.float64), np.zeros(weights.shape, np.int8)
    for i, place in enumerate(order):
        integers[:, place] = np.clip(np.round(rest[:, i] / scale[:, 0]), low, high)
        error = (rest[:, i] - integers[:, place] * scale[:, 0]) / factor[i, i]
        rest[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return integers


def _can_be_rounded(node) -> bool:
    """Whether it is a full convolution in eight bits, not too wide."""
    if node.get_type_name() != "Convolution" or _integers_and_step(node) is None:
        return False
    return np.prod(list(node.input(1).get_shape())[1:]) <= _WIDEST


def _integers_and_step(node) -> tuple | None:
    """The nodes whose product are a convolution's weights; None where they are in float32."""
    product = node.input_value(1).get_node()
    if product.get_type_name() != "Multiply":
        return None
    return tuple(product.input_value(port).get_node() for port in (0, 1))


def _second_moments(network, convolutions, photos) -> list[np.ndarray]:
    """(n, n) each: mean of x x' over patches x that a convolution reads, n = channels x kernel."""
    import openvino as ov
    from openvino import opset13 as op

    inputs = [op.result(node.input_value(0)) for node in convolutions]
    model = ov.Model(inputs, network.get_parameters(), "front")
    front = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rng, totals = np.random.default_rng(0), [0.0] * len(convolutions)
    for photo in photos:
        answers = front(photo)
        for i, node in enumerate(convolutions):
            rows = _patches(answers[i], node, -(-_PATCHES // len(photos)), rng)
            totals[i] = totals[i] + rows.T @ rows / len(rows)
    return [total / len(photos) for total in totals]


def _patches(values: np.ndarray, convolution, count: int, rng) -> np.ndarray:
    """(count, channels x kernel) float64: what a convolution reads for some of its answers.

    In float32 the errors of a sum of many equal rows, as of a pooled picture, exceed the damping.
    """
    how = convolution.get_attributes()
    sides = [(0, 0), (0, 0), *zip(how["pads_begin"], how["pads_end"], strict=True)]
    padded = np.pad(values, sides)
    batch, _, *size = convolution.output(0).get_shape()
    which, y, x = (rng.integers(most, size=count) for most in (batch, *size))
    y, x = y * how["strides"][0], x * how["strides"][1]
    steps = how["dilations"]
    read = [
        padded[which, :, y + i * steps[0], x + j * steps[1]]
        for i, j in np.ndindex(*convolution.input(1).get_shape()[2:])
    ]
    return np.stack(read, -1).reshape(count, -1).astype(np.float64)
