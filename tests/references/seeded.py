"""Weights and inputs that PyTorch's side and ours make alike, so that only outputs are stored.

Each array depends on its name and shape alone. Uniform numbers: their stream is the plainest one
that NumPy has, and so the one least likely to change.
"""

import math
import re
import zlib

import numpy as np

SAMPLES = 500  # pixels kept of each output


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [-1, 1) with few enough digits for float32, fixed by the name."""
    numbers = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape)
    return (2 * numbers - 1).astype(np.float32)


def seeded_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array as large as a trained network's could be."""
    numbers = uniform(name, shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) == 1:
        # running_var and the scale of a batch normalization lie around 1, all else around 0
        around_one = name.endswith(("running_var", "weight"))
        return np.float32(1) + numbers / 2 if around_one else numbers / 4
    transposed = re.search(r"deconv|upsample", name)
    fan_in = 4 * shape[0] if transposed else math.prod(shape[1:])
    return numbers * np.float32(math.sqrt((3 if "lstm.lstm" in name else 6) / fan_in))


def seeded_state(shapes: dict, exponents: dict[str, int]) -> dict[str, np.ndarray]:
    """A whole state dict.

    Args:
      shapes: name -> shape.
      exponents: batch normalization -> e, where 4 ** e is the variance of what comes in: without
        them a deep network of random weights would vanish or explode.

    Returns:
      name -> array.
    """
    state = {name: seeded_array(name, shape) for name, shape in shapes.items()}
    for name, exponent in exponents.items():
        state[f"{name}.running_mean"] *= np.float32(2.0**exponent)
        state[f"{name}.running_var"] *= np.float32(4.0**exponent)
    return state


def seeded_input(index: int, shape: tuple[int, ...]) -> np.ndarray:
    """An image or clip, NHWC, normalized, a little smooth so that resizing has something to do."""
    image = uniform(f"input{index}", shape)
    return image + np.roll(image, 1, axis=-2) + np.roll(image, 1, axis=-3)


def sample(output: np.ndarray) -> np.ndarray:
    """(B, H, W, C) to (B, SAMPLES, at most 2): evenly spread pixels, the corners among them."""
    pixels = output.reshape(output.shape[0], -1, output.shape[-1])
    return pixels[:, np.linspace(0, pixels.shape[1] - 1, SAMPLES).astype(int), :2]
