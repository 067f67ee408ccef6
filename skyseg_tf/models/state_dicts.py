"""Published state dicts as arrays, read without ever running code from their files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from skyseg_tf.errors import InputError


def read_state(file: str | Path) -> Mapping[str, np.ndarray]:
    """Reads a state dict.

    Args:
      file: .safetensors, .npz, .pth or .pt; a dict that holds the state dict under "state_dict"
        or "model", or names that begin with "module.", are understood.

    Returns:
      Published name -> array.

    Raises:
      InputError: unknown suffix, damaged, PyTorch missing, or more than arrays in the file.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                state = {name: arrays[name] for name in arrays.files}
        elif path.suffix == ".safetensors":
            state = load_file(path)
        elif path.suffix in (".pth", ".pt"):
            state = _read_torch(path)
        else:
            raise InputError(
                f"{path}: not a checkpoint; give a .safetensors, .npz, .pth or .pt file"
            )
    except InputError:
        raise
    except Exception as error:  # each of the three readers has errors of its own
        reason = str(error).splitlines()[0]
        # The advice of PyTorch and of NumPy, to allow pickles, would run the file's code.
        if type(error).__name__ == "UnpicklingError" or "pickle" in reason:
            reason = "it is damaged or holds more than tensors; save `model.state_dict()` alone"
        raise InputError(f"{path}: not a readable state dict ({reason}); get it again") from None
    return {name.removeprefix("module."): array for name, array in state.items()}


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: .pth files need PyTorch: `pip install torch`, or save the state dict as .npz"
        ) from None
    # weights_only: a pickle could run any code, this reader builds tensors alone.
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        state = state.get(key, state)
    return {name: tensor.numpy() for name, tensor in state.items()}
