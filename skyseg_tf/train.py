"""skyseg train: from records to a run folder and its IoU plots.

Without arguments it draws a demo dataset, builds its records and trains on them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from skyseg_tf.console.cli import parse_flags, run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import check_engine, check_there
from skyseg_tf.training.packages import check_packages
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
    _meet(config)
    from skyseg_tf.training.resume import resumed

    return train_settled(resumed(config, TrainConfig()), on_epoch)


def train_settled(
    config: TrainConfig, on_epoch: Callable[[dict[str, float]], None] | None = None
) -> Path:
    """`train`, with settings that are complete also where a run is resumed."""
    _meet(config)
    if config.engine == "ray":
        return _train_on_ray(config)
    from skyseg_tf.training import story

    return story.train_settled(config, on_epoch or (lambda row: None))


def _meet(config: TrainConfig) -> None:
    """Connects this process with those that it trains with, before anything imports Keras."""
    check_engine(config.engine, config.address)
    check_packages(config)
    if config.engine == "here":  # the machines of a cluster may see what this one does not
        check_there(
            records=config.records,
            extra_records=config.extra_records,
            source=config.source,
            resume=config.resume,
        )
    import_tensorflow_quietly()
    from skyseg_tf.training.processes import join

    join(config)


def _train_on_ray(config: TrainConfig) -> Path:
    from skyseg_tf.runs.reached import reached
    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.together import run_together
    from skyseg_tf.training.settings_check import check_flags
    from skyseg_tf.training.settle import with_network

    config = with_network(config)
    check_flags(config)
    run = config.resume or config.run
    with connected(config.address, shows_output=True):
        call, far = partial(train_along, config, train_settled), partial(reached, run)
        return run_together(call, config.workers, config.task_cpus, config.task_gpus, far)


def train_along(
    config: TrainConfig,
    train: Callable[[TrainConfig], Path],
    coordinator: str,
    process_id: int,
    again: bool,
) -> Path:
    """Trains as one of `config.workers` processes.

    Args:
      config: see TrainConfig, complete; the records and the run are seen by all machines.
      train: what trains.
      coordinator: HOST:PORT of the first process.
      process_id: which one this is.
      again: whether it goes on where processes of before have died.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    config = replace(
        config,
        engine="here",
        workers=1,
        coordinator=coordinator,
        num_processes=config.workers,
        process_id=process_id,
        quiet=True,  # every move of a bar would be a line for the machine of the command
    )
    if again and config.run and (config.run / "config.json").exists():
        config = replace(config, resume=config.run)
    return train(config)


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.train") -> None:
    """Entry point of the command."""

    def command(config: TrainConfig) -> None:
        _meet(config)
        from skyseg_tf.runs.folder import read_config
        from skyseg_tf.training.resume import resumed

        if config.resume:  # parsed again upon the run's own settings, every flag given stands out
            start = replace(read_config(config.resume, TrainConfig), resume=config.resume)
            config = resumed(parse_flags(TrainConfig, argv, prog, start), start)
        train_settled(config)

    run_command(command, TrainConfig, argv, prog)


if __name__ == "__main__":
    main()
