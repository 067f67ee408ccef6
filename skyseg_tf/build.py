"""skyseg build: from a dataset tree to sharded TFRecords, their manifest and rgb_stats.json."""

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import check_engine, check_there
from skyseg_tf.data.settings import BuildConfig
from skyseg_tf.errors import counted
from skyseg_tf.files.places import place


def build(config: BuildConfig):
    """Builds the records of all splits that have masks.

    Args:
      config: see BuildConfig.

    Returns:
      The manifest (data.records.Manifest), see data.building.build.

    Raises:
      InputError: bad input, or `config.out` holds something else.
    """
    from skyseg_tf.data.scan import source_root
    from skyseg_tf.labels import get_scheme

    # What is missing or wrong is told now, not after seconds of importing TensorFlow.
    check_engine(config.engine, config.address)
    place(config.out)
    get_scheme(config.scheme)
    if config.engine == "threads":  # the machines of a cluster may see what this one does not
        check_there(source=config.source)
        if config.source is None:
            source_root()
    import_tensorflow_quietly()
    from skyseg_tf.data import building

    if config.engine == "threads":
        return building.build(config)
    from skyseg_tf.scale.cluster import connected
    from skyseg_tf.scale.shards import RayTasks

    with connected(config.address):
        return building.build(config, RayTasks(config.workers))


def _build_and_report(config: BuildConfig) -> None:
    manifest = build(config)
    for name, split in manifest.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        print(
            f"{name:<6}{counted(split.count, 'record'):>15} {counted(len(split.shards), 'shard'):>11}"
            f" {size / 1e6:>9.1f} MB"
        )
    print(f"records and rgb_stats.json are in {place(config.out)}")


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.build") -> None:
    """Entry point of the command."""
    run_command(_build_and_report, BuildConfig, argv, prog)


if __name__ == "__main__":
    main()
