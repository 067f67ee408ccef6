"""tools/fuzz.py: its changes get past checksums, and what a parser does wrong is found and kept."""

import io
import json
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import picture_bytes

TOOLS = Path(__file__).parents[1] / "tools"
# tools/fuzz.py with a parser that does each wrong thing for some of the files.
WRONG = """
import os, sys, time
sys.path.insert(0, {tools!r})
import fuzz, fuzzing
from fuzzing.parser import InputError, Parser
def read(path):
    kind = path.read_bytes()[0]
    if kind < 16:
        os.abort()  # the next process takes a second to begin
    if kind % 4 == 1:
        raise KeyError("x")
    if kind % 4 == 2:
        raise OSError("one\\nmore")
    if kind % 4 == 3:
        raise InputError("as it should be")
fuzzing.PARSERS["wrong"] = Parser(
    "all that is wrong", lambda folder: {{"a": b"abcd"}}, read, (lambda content, rng: rng.randbytes(4),)
)
fuzz.__file__ = __file__
sys.exit(fuzz.main())
"""


@pytest.fixture
def mutations(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    from fuzzing import mutations

    return mutations


def test_changed_chunks_members_and_values_are_read_past_their_checksums(mutations):
    png = picture_bytes(np.zeros((8, 8, 3), np.uint8), "PNG")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", '{"a": [1, {"b": null}]}')
    for seed in range(50):
        rng = random.Random(seed)
        assert checksums_are_right(mutations.in_png(png, rng))
        with zipfile.ZipFile(io.BytesIO(mutations.in_zip(file.getvalue(), rng))) as archive:
            assert archive.testzip() is None
        json.loads(mutations.in_json(b'{"a": [1, {"b": null}], "c": "d"}', rng))


def checksums_are_right(png: bytes) -> bool:
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        (checksum,) = struct.unpack_from(">I", png, at + 8 + length)
        if zlib.crc32(png[at + 4 : at + 8 + length]) != checksum:
            return False
        at += 12 + length
    return True


def test_changed_records_have_right_checksums(mutations, records):
    from skyseg_tf.data.framing import walk_records

    path = min(records.glob("train-*.tfrecord"))
    content, changed = path.read_bytes(), records.parent / "changed.tfrecord"
    import tensorflow as tf

    for seed in range(10):
        changed.write_bytes(mutations.in_records(content, random.Random(seed)))
        with open(changed, "rb", buffering=0) as file:
            count = len(list(walk_records(file)))
        assert len(list(tf.data.TFRecordDataset(str(changed)))) == count >= 1


def test_every_kind_of_finding_is_counted_and_kept(tmp_path):
    program, findings, out = tmp_path / "wrong.py", tmp_path / "findings", tmp_path / "out.json"
    program.write_text(WRONG.format(tools=str(TOOLS)))
    argv = [sys.executable, program, "4", "wrong", "--findings", findings, "--out", out]
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    row = json.loads(out.read_text())["wrong"]
    kinds = {kind.split(" at ")[0] for kind in row["findings"]}
    assert kinds == {"KeyError", "an error of several lines", "ended by SIGABRT"}
    assert row["files"] > 3
    kept = list((findings / "wrong").glob("*.txt"))
    assert len(kept) == 3
    for note in kept:  # each file beside its note shows the kind again
        first = note.with_suffix("").read_bytes()[0]
        kind = 0 if first < 16 else first % 4
        word = ("SIGABRT", "KeyError", "several lines")[kind]
        assert word in note.read_text()
