"""skyseg search: many trainings, one table: which settings are best."""

from pathlib import Path

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import check_engine, check_there
from skyseg_tf.training.packages import check_packages
from skyseg_tf.training.settings import SearchConfig
from skyseg_tf.tuning.storage import check_storage


def search(config: SearchConfig) -> Path:
    """Searches, or goes on with a search; see training.search.

    Args:
      config: see SearchConfig.

    Returns:
      The search's folder.

    Raises:
      InputError: a setting cannot be used, the folder holds another search, no trial finished, or
        Optuna is not installed.
      SystemExit: stopped by Ctrl-C or SIGTERM; the same command goes on.
    """
    check_engine(config.engine, config.address)
    if config.engine == "here":  # the machines of a cluster may see what this one does not
        check_there(
            records=config.records, extra_records=config.extra_records, source=config.source
        )
    check_packages(config)
    check_storage(config.storage)
    import_tensorflow_quietly()
    from skyseg_tf.training import search as story

    if config.engine == "here":
        return story.search(config)
    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.trials import run_on_ray

    with connected(config.address):
        return story.search(config, run_trials=run_on_ray(config.task_cpus, config.task_gpus))


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.search") -> None:
    """Entry point of the command."""
    run_command(search, SearchConfig, argv, prog)


if __name__ == "__main__":
    main()
