"""The packages that a training needs beside those of every training."""

from skyseg_tf.console.dependencies import check_installed
from skyseg_tf.training.settings import TrainConfig, TrainingSettings

TRACKERS = ("wandb", "mlflow")  # each is the name of its package, too


def check_packages(config: TrainingSettings) -> None:
    """Refuses settings whose packages are not installed; nothing is imported.

    Args:
      config: of a training or a search. On a cluster that runs already nothing is asked for: its
        machines work, and each asks for itself.

    Raises:
      InputError: it says what to install.
    """
    if config.engine == "ray" and config.address:
        return
    if config.track in TRACKERS:
        check_installed(f"--track {config.track}", config.track, install=config.track)
    if isinstance(config, TrainConfig) and (config.coordinator or config.engine == "ray"):
        flag = "--coordinator" if config.coordinator else "train --engine ray"
        check_installed(flag, "jax", install="'skyseg_tf[jax]'")
