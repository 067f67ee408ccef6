"""Published state dicts as arrays, read without ever running code from their files."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.errors import InputError, missing_hint
from skyseg_tf.files import check_file, open_archive, read_member
from skyseg_tf.files.memory import EXTRA_BYTES, bounded_memory

_MAX_BYTES = 8_000_000_000  # of a checkpoint with its optimizer
_SUFFIXES = (".safetensors", ".npz", ".pth", ".pt")
# Under which a training stores the weights among other things; averaged ones go first.
_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
# What trainers put before the names of all or some parameters.
_PREFIXES = ("module.", "_orig_mod.")
_BESIDE = ("ema_backbone_", "ema_decode_head_", "ema_auxiliary_head_")  # averages, for training


def read_state(file: str | Path) -> Mapping[str, np.ndarray]:
    """Reads a state dict, in memory that its size explains (see files.memory).

    Args:
      file: .safetensors, .npz, .pth or .pt; a dict that holds the state dict under "state_dict",
        "model" or the like, and names that begin with "module.", are understood.

    Returns:
      Published name -> array.

    Raises:
      InputError: unknown suffix, damaged, PyTorch missing, more than arrays in the file, or weights
        that are no numbers.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {missing_hint(path)}")
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path}: not a checkpoint; give a .safetensors, .npz, .pth or .pt file")
    check_file(path, _MAX_BYTES)
    read = {".npz": _read_npz, ".safetensors": load_file}.get(path.suffix, _read_torch)
    try:
        with bounded_memory(path):
            state = read(path)
    except InputError:
        raise
    except Exception as error:  # each of the three readers has errors of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        # The advice of PyTorch and of NumPy, to allow pickles, would run the file's code.
        if type(error).__name__ == "UnpicklingError" or "pickle" in reason:
            reason = "it is damaged or holds more than tensors; save `model.state_dict()` alone"
        raise InputError(f"{path}: not a readable state dict ({reason}); get it again") from None
    state = {name: _in_numpys_type(array) for name, array in state.items()}
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds values that are no numbers; get it again")
    named = ((_bare(name), array) for name, array in state.items())
    return {name: array for name, array in named if not name.startswith(_BESIDE)}


def _in_numpys_type(array: np.ndarray) -> np.ndarray:
    """Numbers of a type that NumPy itself does not know, such as bfloat16, in float32."""
    return (
        array.astype(np.float32)
        if "float" in array.dtype.name and array.dtype.kind != "f"
        else array
    )


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with open_archive(path, path.stat().st_size + EXTRA_BYTES) as archive:
        return dict(_arrays(archive))


def _arrays(archive: zipfile.ZipFile) -> Iterator[tuple[str, np.ndarray]]:
    for member in archive.namelist():
        content = io.BytesIO(read_member(archive, member, _MAX_BYTES))
        # NumPy allocates what the header announces before it looks whether there is as much.
        version = np.lib.format.read_magic(content)
        header = np.lib.format.read_array_header_1_0
        shape, _, dtype = (header if version == (1, 0) else np.lib.format.read_array_header_2_0)(
            content
        )
        if np.prod(shape, dtype=float) * dtype.itemsize > len(content.getbuffer()):
            raise ValueError(f"{member} is cut off")
        content.seek(0)
        yield member.removesuffix(".npy"), np.lib.format.read_array(content, allow_pickle=False)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    check_installed(f"{path}", "torch", install="torch, or save the weights as .npz")
    import torch

    if zipfile.is_zipfile(path):
        open_archive(path, path.stat().st_size + EXTRA_BYTES).close()
    # weights_only: a pickle could run any code, this reader builds tensors alone.
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {name: t for name, t in _weights_in(state).items() if isinstance(t, torch.Tensor)}
    if not tensors:
        raise ValueError("no tensors in it")
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in tensors.items()
    }


def _weights_in(state: Any) -> Mapping[str, Any]:
    """The state dict itself, of what a training has stored around it."""
    while isinstance(state, Mapping):
        key = next((key for key in _KEYS if isinstance(state.get(key), Mapping)), None)
        if key is None:
            return state
        state = state[key]
    raise ValueError("no state dict in it")
