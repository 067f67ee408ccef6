"""Verifies a folder of records and says what is wrong with it; repairs it from its source.

    skyseg verify data/cityscapes_sky
    skyseg verify data/cityscapes_sky --repair --source DIR

Exit status: 0 all well, 1 something is wrong, 2 no records there, or a repair that is not possible.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from skyseg_tf.console.cli import run_command
from skyseg_tf.console.dependencies import import_tensorflow_quietly
from skyseg_tf.console.flags import DATA, RESULT, default_is
from skyseg_tf.errors import InputError


@dataclass(frozen=True)
class VerifyConfig:
    """Check that records are whole and as they were built; with --repair, mend them.

    Example: skyseg verify data/sky --repair --source ~/cityscapes

    Every record is read and compared with dataset.json: checksums, counts, sizes, classes,
    duplicates and statistics. What is wrong is printed with its file, record and photo, and the exit
    status is 1. With --repair, damaged files are built again from the source, the same byte for
    byte, and verified again.
    """

    ARGUMENTS = ("records",)
    URLS = ("source",)

    records: Annotated[Path, DATA]
    """Folder that `skyseg build` has written."""
    repair: Annotated[bool, RESULT] = False
    """Build damaged files again; this needs the source, unchanged."""
    source: Annotated[Path | None, DATA, default_is("$CITYSCAPES_DATASET")] = None
    """Folder of the dataset that the records were built from."""
    quiet: Annotated[bool, RESULT] = False
    """Show no progress bar."""


def verify(config: VerifyConfig) -> int:
    """Prints what is wrong, and repairs it where that is asked for.

    Args:
      config: see VerifyConfig.

    Returns:
      0 if all is well in the end, else 1.

    Raises:
      InputError: no records there, or they cannot be repaired.
    """
    if config.source and not config.repair:
        raise InputError("--source is what --repair builds from; give both or none")
    import_tensorflow_quietly()
    from skyseg_tf.data.repair import repair_records
    from skyseg_tf.data.verification import verify_records

    report = verify_records(config.records, config.quiet)
    print(report, flush=True)
    if config.repair and not report.ok:
        for file in repair_records(report, config.source, config.quiet):
            print(f"repaired: {file}", flush=True)
        report = verify_records(config.records, config.quiet)
        print(report)
    return 0 if report.ok else 1


def main(argv: list[str] | None = None, prog: str = "python -m skyseg_tf.verify") -> None:
    """Entry point of the command."""
    run_command(verify, VerifyConfig, argv, prog)


if __name__ == "__main__":
    main()
