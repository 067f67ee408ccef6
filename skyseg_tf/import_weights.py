"""skyseg import_weights: a published PyTorch checkpoint becomes a Keras network to fine-tune."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import check_installed, import_tensorflow_quietly
from skyseg_tf.console.flags import MODELS, NETWORK, RESULT, choices, default_is
from skyseg_tf.errors import InputError


@dataclass(frozen=True)
class ImportWeightsConfig:
    """Turn a published PyTorch checkpoint into a Keras network for `skyseg train --init`.

    Example: skyseg import_weights u2netp.pth --model u2netp --out u2netp.keras
    """

    ARGUMENTS = ("file",)

    file: Path
    """Checkpoint: .safetensors, .npz, or .pth and .pt, which need PyTorch. Checkpoints of
    mmsegmentation are read for BiSeNetV2 and PSPNet."""
    model: Annotated[str, NETWORK, choices(MODELS)]
    """Network that the checkpoint belongs to."""
    out: Annotated[Path, RESULT]
    """File to write; its name ends in .keras. The network in it is for training: it takes
    normalized images, and gives numbers before the softmax (logits)."""
    num_classes: Annotated[
        int | None, NETWORK, default_is("1; for mmsegmentation, read from the file")
    ] = None
    """Number of outputs of the checkpoint: 1 for U2-Net, 19 for networks trained on Cityscapes."""
    model_options: Annotated[tuple[str, ...], NETWORK] = ()
    """Options of the network itself, as NAME=VALUE, such as depth=101 for pspnet; give the same to
    `skyseg train`."""
    image_size: Annotated[tuple[int, int] | None, NETWORK] = None
    """Height and width of the photos. Only resnet_lstm needs them: its weights depend on them."""


def import_weights(config: ImportWeightsConfig) -> None:
    """Reads, loads and saves; nothing is written unless every weight fits.

    Raises:
      InputError: see state_dicts.read_state and models.load_torch_weights.
    """
    if config.out.suffix != ".keras":
        raise InputError(f"{config.out}: the name of the network must end in .keras")
    if config.file.suffix in (".pth", ".pt"):  # its reader asks, too, after seconds of importing
        check_installed(f"{config.file}", "torch", install="torch, or save the weights as .npz")
    import_tensorflow_quietly()
    from skyseg_tf.models import build_model, load_torch_weights, parse_model_options
    from skyseg_tf.models.mmsegmentation import settings_of
    from skyseg_tf.models.state_dicts import read_state
    from skyseg_tf.runs.model_file import save_keras

    parse_model_options(config.model, config.model_options)  # before a large file is read
    state = read_state(config.file)
    classes, found = settings_of(config.model, state)
    given = {text.partition("=")[0] for text in config.model_options}
    texts = [*config.model_options, *(f"{k}={v}" for k, v in found.items() if k not in given)]
    model = build_model(
        config.model,
        classes if config.num_classes is None else config.num_classes,
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
    run_command(import_weights, ImportWeightsConfig, argv, prog)


if __name__ == "__main__":
    main()
