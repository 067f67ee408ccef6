"""Changes of a file's bytes, blind ones and those that keep checksums and framing right.

A blind change of a PNG or of a record is refused by its checksum, and nothing behind that is tried.
"""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_VALUES = (
    None,
    True,
    0,
    -1,
    1,
    1e999,
    float("nan"),
    10**30,
    2**63,
    0.5,
    "",
    "x",
    "../x",
    "/etc/passwd",
    "a\nb",
    "\ud800",
    [],
    {},
    [[]],
    [0],
    {"a": {}},
    [None],
    "9" * 5000,
    "\u202e",
    "sky",
    -(2**31),
)


def blind(content: bytes, rng: random.Random) -> bytes:
    """One to four changes anywhere: bits, bytes, numbers, pieces left out, repeated or exchanged."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(changed) + 1) if rng.random() < 0.6 else rng.randrange(64)
        at, piece = min(at, len(changed)), rng.choice((1, 2, 4, 16, 100))
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + piece] = rng.randbytes(piece)
        elif kind == 2:
            form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = rng.choice(_NUMBERS) % 256 ** struct.calcsize(form)
            changed[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 3:
            del changed[at : at + piece]
        elif kind == 4:
            changed[at:at] = changed[at : at + piece] * rng.choice((1, 3))
        elif kind == 5 and rng.random() < 0.3:
            del changed[at:]
        else:
            other = rng.randrange(len(changed) + 1)
            changed[at : at + piece] = changed[other : other + piece]
    return bytes(changed)


def in_png(content: bytes, rng: random.Random) -> bytes:
    """Chunks are changed, repeated, left out or exchanged; their checksums are right."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    number = rng.randrange(len(chunks))
    kind, data = chunks[number]
    choice = rng.randrange(6)
    if choice == 0:
        chunks.insert(rng.randrange(len(chunks)), (kind, data))
    elif choice == 1:
        del chunks[number]
    elif kind == b"IDAT" and choice < 4:
        try:
            chunks[number] = kind, zlib.compress(blind(zlib.decompress(data), rng))
        except zlib.error:
            chunks[number] = kind, blind(data, rng)
    else:
        chunks[number] = kind, blind(data, rng)
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return content[:8] + b"".join(parts)


def in_records(content: bytes, rng: random.Random) -> bytes:
    """The data of a record of a TFRecord file are changed; lengths and checksums are right."""
    from skyseg_tf.data.framing import FOOTER_BYTES, HEADER  # starts TensorFlow

    records, at = [], 0
    while at + HEADER.size <= len(content):  # what another change has cut off is no record
        length, _ = HEADER.unpack_from(content, at)
        records.append(content[at + HEADER.size : at + HEADER.size + length])
        at += HEADER.size + length + FOOTER_BYTES
    if not records:
        return blind(content, rng)
    number = rng.randrange(len(records))
    records[number] = blind(records[number], rng)
    return b"".join(_framed(data) for data in records)


def _framed(data: bytes) -> bytes:
    from skyseg_tf.data.framing import _masked_crc

    length = struct.pack("<Q", len(data))
    checks = (struct.pack("<I", _masked_crc(part)) for part in (length, data))
    return length + next(checks) + data + next(checks)


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """A member is changed or left out; the archive around it is right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if rng.random() < 0.1:
        del members[name]
    else:
        change = in_json if name.endswith(".json") and rng.random() < 0.8 else blind
        members[name] = change(members[name], rng)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return changed.getvalue()


def in_json(content: bytes, rng: random.Random) -> bytes:
    """A value anywhere becomes another one, or goes."""
    tree = json.loads(content)
    places = [([tree], 0), *_places(tree)]
    for _ in range(rng.choice((1, 1, 2))):
        holder, key = rng.choice(places)
        if rng.random() < 0.2 and holder is not places[0][0]:
            holder.pop(key, None) if isinstance(holder, dict) else holder.clear()
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = rng.choice(_VALUES)
    return json.dumps(places[0][0][0]).encode()


def _places(tree: object) -> list[tuple[dict | list, str | int]]:
    """Every (dict or list, key or index) of a tree."""
    if not isinstance(tree, dict | list):
        return []
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    return [(tree, key) for key, _ in items] + [p for _, value in items for p in _places(value)]
