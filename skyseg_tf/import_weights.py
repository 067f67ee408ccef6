"""skyseg import_weights: a published PyTorch checkpoint becomes a Keras network to fine-tune."""

import os
from collections.abc import Mapping
from pathlib import Path

from skyseg_tf.quiet import import_tensorflow_quietly

import_tensorflow_quietly()

import numpy as np
from safetensors.numpy import load_file

from skyseg_tf.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside
from skyseg_tf.models import build_model, load_torch_weights
from skyseg_tf.settings import ImportConfig


def read_state(file: str | Path) -> Mapping[str, np.ndarray]:
    """Reads a state dict without ever running code from it.

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


def import_weights(config: ImportConfig) -> None:
    """Reads, loads and saves; nothing is written unless every weight fits.

    Raises:
      InputError: see `read_state` and models.load_torch_weights.
    """
    if config.out.suffix != ".keras":
        raise InputError(f"{config.out}: the name of the network must end in .keras")
    model = build_model(config.model, config.num_classes)
    load_torch_weights(model, read_state(config.file))
    with write_aside(config.out) as aside:
        whole = aside.with_suffix(".keras")  # Keras insists on the suffix
        model.save(whole)
        os.replace(whole, aside)
    print(f"{config.out}: {config.model}, {model.count_params():,} parameters; "
          f"fine-tune it with `skyseg train --model {config.model} --init {config.out}`")  # fmt: skip


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.import_weights") -> None:
    """Entry point of the command."""
    run_command(import_weights, ImportConfig, argv, prog)


if __name__ == "__main__":
    main()
