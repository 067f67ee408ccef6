"""Tables of what commands, server and parsers withstand.

`faults.json`, `server.json` and `fuzzing.json` are written by benchmarks/faults.py, benchmarks/server.py
and tools/fuzz.py with --out.
"""

from figures_source import read, table

_CLIENTS = {
    "quick": "send their photo at once",
    "stalled": "stop in the middle of it",
    "trickling": "send a byte now and then",
    "half headers": "never end their headers",
    "hanging up": "close the connection in the middle",
}


def faults() -> str:
    """What became of commands that were killed and run again."""
    kinds = ("at a renaming", "at random")
    tries = [row for row in read("faults")["rows"] if row["tries"]]
    rows = []
    for command in dict.fromkeys(row["command"] for row in tries):
        own = [row for row in tries if row["command"] == command]
        killed = (sum(row["tries"] for row in own if row["fault"] == kind) for kind in kinds)
        found = (sum(row[key] for row in own) for key in ("lost", "unequal", "left"))
        rows.append((f"`{command}`", *killed, *found))
    head = ("command", *(f"killed {kind}" for kind in kinds), "lost", "unequal", "left behind")
    return table(head, rows)


def server() -> str:
    """What 200 clients get of a server, and what they cost it."""
    found = read("server")
    names = {"mask": "masks", "refusal": "refusals", "health": "answers of `/health`"}
    rows = [
        (names[key], found[key]["count"], found[key]["p50_ms"], found[key]["p99_ms"])
        for key in names
    ]
    answers = {kind: [] for kind in found["clients"]}  # /health is asked by none of the 200
    for name, count in found["answers"].items():
        kind, status = name.rsplit(" ", 1)
        told = f"{count:,} times {'no answer' if status == 'none' else status}"
        answers.get(kind, []).append(told)
    clients = [
        (kind, _CLIENTS[kind], count, ", ".join(answers[kind]))
        for kind, count in found["clients"].items()
    ]
    memory = found["memory_mb"]
    about = (
        f"{found['seconds']:.0f} s on {found['cores']} cores, photos of {found['photo']}. Memory of "
        f"the server: {memory['before']} MB before, {memory['most']} MB at most, {memory['after']} "
        f"MB afterwards. Lines in its log: {found['lines_in_the_log']}."
    )
    lines = ["| clients | that | number | got |", "| --- | --- | ---: | --- |"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in clients]
    times = table(("", "number", "p50 ms", "p99 ms"), rows)
    return "\n\n".join((times, "\n".join(lines), about))


def fuzzing() -> str:
    """How many changed files each parser was given, and how many kinds of findings there were."""
    rows = [
        (
            f"`{name}`",
            row["about"],
            f"{row['seconds'] / 60:.1f}",
            f"{row['files']:,}",
            len(row["findings"]),
        )
        for name, row in read("fuzzing").items()
    ]
    return table(("parser", "files of", "minutes", "read", "kinds of findings"), rows, 2)
