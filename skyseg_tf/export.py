"""skyseg export: a network for other runtimes, each checked in its runtime before it is kept."""

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.exporters.settings import ExportConfig


def export(config: ExportConfig):
    """Writes an export and runs it beside the Keras model; it is kept only if both agree.

    Args:
      config: see ExportConfig.

    Returns:
      How far the two are apart (exporters.agreement.Agreement), see exporters.export.export.

    Raises:
      InputError: a setting, the model or its records cannot be used, or the export differs too
        much. Nothing has been written then, and an older export stays.
    """
    from skyseg_tf.exporters.formats import FORMATS, check_packages
    from skyseg_tf.masking.runtime import check_model_is_there

    check_model_is_there(config.model)
    if config.format in FORMATS:  # the story asks, too, after seconds of importing TensorFlow
        check_packages(config.format)
    import_tensorflow_quietly()
    from skyseg_tf.exporters import export as story

    return story.export(config)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.export") -> None:
    """Entry point of the command."""
    run_command(export, ExportConfig, argv, prog)


if __name__ == "__main__":
    main()
