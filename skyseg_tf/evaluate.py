"""skyseg evaluate: a model's scores on records, or by the Cityscapes protocol at full size."""

from pathlib import Path

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import check_there
from skyseg_tf.runs.model_folders import run_of
from skyseg_tf.scoring.settings import EvaluateConfig


def evaluate(config: EvaluateConfig) -> Path:
    """Scores a model; see scoring.story.

    Args:
      config: see EvaluateConfig.

    Returns:
      The folder with metrics.json, per_class.csv, per_image.csv, plots/ and report.html; for photos
      without masks the folder of the submission.

    Raises:
      InputError: a setting, the model or the data cannot be used.
    """
    from skyseg_tf.masking.runtime import check_model_is_there, check_runtime

    check_there(records=config.records, source=config.source)
    check_model_is_there(config.model)
    if not config.compare and (config.backend or not run_of(config.model)):
        check_runtime(config.model, config.backend)  # a run itself is run by Keras
    import_tensorflow_quietly()
    from skyseg_tf.scoring import story

    return story.evaluate(config)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.evaluate") -> None:
    """Entry point of the command."""
    run_command(evaluate, EvaluateConfig, argv, prog)


if __name__ == "__main__":
    main()
