"""What `skyseg verify` tells: a table of faults, and a line about the whole."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from skyseg_tf.data.framing import Fault
from skyseg_tf.errors import counted, printable

_SHOWN = 20  # faults of one file in the table


@dataclass(frozen=True)
class Report:
    """What was found in a folder of records.

    Attributes:
      folder: of the records.
      faults: in the order of the files; empty where all is well.
      shards, records, size: what the manifest speaks of, size in bytes.
      seconds: that it took.
    """

    folder: Path
    faults: tuple[Fault, ...]
    shards: int = 0
    records: int = 0
    size: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def __str__(self) -> str:
        """A table of what is wrong, and a line about the whole."""
        rows, counts = [("shard", "record", "photo", "what is wrong")], Counter()
        for fault in self.faults:
            counts[fault.path] += 1
            if counts[fault.path] <= _SHOWN:
                number = "-" if fault.record is None else str(fault.record)
                photo = printable(fault.photo[:60]) or "-"
                rows.append((Path(fault.path).name, number, photo, fault.what))
        rows += [
            (Path(path).name, "-", "-", f"and {counted(count - _SHOWN, 'fault')} more")
            for path, count in counts.items()
            if count > _SHOWN
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            "  ".join((*map(str.ljust, row[:3], widths), row[3]))
            for row in (rows if self.faults else ())
        ]
        found = counted(len(self.faults), "fault") if self.faults else "all well"
        speed = self.size / 1e6 / max(self.seconds, 1e-9)
        total = (
            f"{self.folder}: {counted(self.records, 'record')} in "
            f"{counted(self.shards, 'shard')}, "
            f"{self.size / 1e6:,.1f} MB, read at {speed:,.0f} MB/s: {found}"
        )
        return "\n".join([*lines, total])
