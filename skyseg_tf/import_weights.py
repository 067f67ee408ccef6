"""skyseg import_weights: a published PyTorch checkpoint becomes a Keras network to fine-tune."""

import os

from skyseg_tf.quiet import import_tensorflow_quietly

import_tensorflow_quietly()

from skyseg_tf.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.images import write_aside
from skyseg_tf.models import build_model, load_torch_weights
from skyseg_tf.settings import ImportConfig
from skyseg_tf.state_dicts import read_state


def import_weights(config: ImportConfig) -> None:
    """Reads, loads and saves; nothing is written unless every weight fits.

    Raises:
      InputError: see state_dicts.read_state and models.load_torch_weights.
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
