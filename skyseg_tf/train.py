"""skyseg train: from records to a run folder and its IoU plots.

Without arguments it draws a demo dataset, builds its records and trains on them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from skyseg_tf.console.cli import parse_flags, run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.training.settings import TrainConfig


def train(config: TrainConfig, on_epoch: Callable[[dict[str, float]], None] | None = None) -> Path:
    """Trains a network.

    Args:
      config: see TrainConfig.
      on_epoch: see training.story.train.

    Returns:
      The run folder. `config.plots` gets `<model>_iou_scores.png`.

    Raises:
      InputError: a setting or the data cannot be used; nothing has been written into the run then.
      SystemExit: SIGTERM came; all is saved, and `resume` goes on.
    """
    import_tensorflow_quietly()
    from skyseg_tf.training import story

    return story.train(config, on_epoch)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.train") -> None:
    """Entry point of the command."""

    def command(config: TrainConfig) -> None:
        import_tensorflow_quietly()
        from skyseg_tf.runs.folder import read_config
        from skyseg_tf.training.resume import resumed
        from skyseg_tf.training.story import train_settled

        if config.resume:  # parsed again upon the run's own settings, every flag given stands out
            start = replace(read_config(config.resume, TrainConfig), resume=config.resume)
            config = resumed(parse_flags(TrainConfig, argv, prog, start), start)
        train_settled(config)

    run_command(command, TrainConfig, argv, prog)


if __name__ == "__main__":
    main()
