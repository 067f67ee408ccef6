"""What `checks.check_dataset` found, and how it is shown."""

from dataclasses import asdict, dataclass

from skyseg_tf.data.layouts import LAYOUTS
from skyseg_tf.errors import counted, printable
from skyseg_tf.labels import Encoding, describe_encoding

# Every kind of problem that a report may name, and what to do about it.
PROBLEMS = {
    "photo_without_mask": "photos have no mask; complete the masks or take the photos away",
    "mask_without_photo": "masks have no photo; complete the photos or take the masks away",
    "name_clash": "files have the name of another file; rename or remove them",
    "unreadable": "files cannot be read or are cut off; download or export them again",
    "size_mismatch": "masks differ in size from their photo; export them at the photo's size",
    "mask_encoding": "the masks' classes cannot be told",
    "belied_name": "masks hold other values than their name says; name their encoding or get the "
    "originals again",
    "unknown_values": "masks hold values that mean no class; mend them or name their encoding",
    "photo_in_two_splits": "photos lie in another split too, so scores would flatter; keep one",
}
_SHOWN = 5  # files named per problem in the table


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset.

    Attributes:
      kind: key of PROBLEMS.
      count: how many files have it.
      files: all of them, with what is wrong where that differs.
    """

    kind: str
    count: int
    files: list[str]


@dataclass(frozen=True)
class Report:
    """What a dataset holds and what is wrong with it; printing it gives a table.

    Attributes:
      source: the dataset's folder.
      layout: key of layouts.LAYOUTS.
      fast: whether the pixels of most files were left unread.
      encoding: what the masks hold: key of labels.ENCODINGS, a table of (value, Cityscapes
        label name), or None if that cannot be told.
      encoding_by: what told it.
      splits: split -> city -> {"photos": .., "with_mask": ..}.
      sizes: "WIDTHxHEIGHT" -> number of photos.
      classes: Cityscapes label name -> {"share": 0-1 of all labeled pixels, "masks": in how
        many masks}, most frequent first.
      sky_share: share of the labeled pixels that are sky, 0-1.
      ignored_share: share of all mask pixels that are not labeled, 0-1.
      masks_read: how many masks `classes` and the shares come from.
      problems: what is wrong.
      notes: what is worth knowing, but not wrong.
    """

    source: str
    layout: str
    fast: bool
    encoding: Encoding | None
    encoding_by: str
    splits: dict[str, dict[str, dict[str, int]]]
    sizes: dict[str, int]
    classes: dict[str, dict[str, float]]
    sky_share: float
    ignored_share: float
    masks_read: int
    problems: list[Problem]
    notes: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict:
        """The report for JSON; its keys are the attributes' names and "ok"."""
        return {"ok": self.ok} | asdict(self)

    def __str__(self) -> str:
        """The report as a table for people."""
        return "\n".join([*_counts_table(self), "", *_classes_table(self), "", *_verdict(self)])


def _counts_table(report: Report) -> list[str]:
    masks = "cannot be told"
    if report.encoding:
        masks = f"{describe_encoding(report.encoding)}; told by {report.encoding_by}"
    lines = [
        f"dataset: {report.source}",
        f"layout:  {report.layout}: {LAYOUTS[report.layout].about}",
        f"masks:   {masks}",
        "",
        f"{'split':<12}{'city':<24}{'photos':>8}{'with mask':>11}",
    ]
    for split, cities in report.splits.items():
        rows = [(city or "-", row["photos"], row["with_mask"]) for city, row in cities.items()]
        if len(rows) > 1:
            rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        for index, (city, photos, masks) in enumerate(rows):
            lines.append(f"{'' if index else split:<12}{city:<24}{photos:>8}{masks:>11}")
    sizes = [f"{size} ({count})" for size, count in report.sizes.items()]
    more = f" and {counted(len(sizes) - 4, 'other size')}" if len(sizes) > 4 else ""
    return [*lines, "", f"photo sizes (width x height): {', '.join(sizes[:4])}{more}"]


def _classes_table(report: Report) -> list[str]:
    if not report.classes:
        return ["classes: none counted"]
    lines = [
        f"{'class':<24}{'share':>8}{'in masks':>10}  (of {counted(report.masks_read, 'mask')} read)"
    ]
    for name, row in report.classes.items():
        lines.append(f"{name:<24}{row['share']:>8.2%}{row['masks']:>10}")
    lines.append(
        f"sky is {report.sky_share:.2%} of the labeled pixels; "
        f"{report.ignored_share:.2%} of all pixels are unlabeled and ignored"
    )
    return lines


def _verdict(report: Report) -> list[str]:
    lines = [printable(f"note: {note}") for note in report.notes]
    for problem in report.problems:
        lines.append(f"WRONG [{problem.kind}] {problem.count}: {PROBLEMS[problem.kind]}")
        lines += [printable(f"    {file}") for file in problem.files[:_SHOWN]]
        if problem.count > _SHOWN:
            lines.append(f"    ... and {problem.count - _SHOWN} more (--json names all)")
    pairs = sum(row["with_mask"] for cities in report.splits.values() for row in cities.values())
    wrong = (
        f"{counted(len(report.problems), 'kind')} of problem, see above"
        if report.problems
        else "all well"
    )
    return [*lines, f"{counted(pairs, 'pair')} of photo and mask: {wrong}"]
