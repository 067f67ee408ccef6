"""skyseg import_weights: a published PyTorch checkpoint becomes a Keras network to fine-tune."""

from skyseg_tf.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

from skyseg_tf.cli import run_command
from skyseg_tf.errors import InputError
from skyseg_tf.models import build_model, load_torch_weights, parse_model_options
from skyseg_tf.models.mmsegmentation import settings_of
from skyseg_tf.runs.folder import save_keras
from skyseg_tf.settings import ImportConfig
from skyseg_tf.models.state_dicts import read_state


def import_weights(config: ImportConfig) -> None:
    """Reads, loads and saves; nothing is written unless every weight fits.

    Raises:
      InputError: see state_dicts.read_state and models.load_torch_weights.
    """
    if config.out.suffix != ".keras":
        raise InputError(f"{config.out}: the name of the network must end in .keras")
    parse_model_options(config.model, config.model_options)  # before a large file is read
    state = read_state(config.file)
    classes, found = settings_of(config.model, state)
    given = {text.partition("=")[0] for text in config.model_options}
    texts = [*config.model_options, *(f"{k}={v}" for k, v in found.items() if k not in given)]
    model = build_model(
        config.model,
        config.num_classes or classes,
        size=config.image_size or (None, None),
        **parse_model_options(config.model, texts),
    )
    load_torch_weights(model, state)
    save_keras(config.out, model)
    flags = " ".join(["", "--model-options", *texts] if texts else [])
    print(
        f"{config.out}: {config.model}, {model.count_params():,} parameters; fine-tune it with "
        f"`skyseg train --model {config.model}{flags} --init {config.out}`"
    )


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.import_weights") -> None:
    """Entry point of the command."""
    run_command(import_weights, ImportConfig, argv, prog)


if __name__ == "__main__":
    main()
