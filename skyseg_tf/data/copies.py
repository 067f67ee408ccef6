"""Records that lie elsewhere (see files.places), copied here to be read.

TensorFlow reads files of this machine, again in every epoch. So records of a URL are copied once,
shard by shard, into a folder named by the digest of their manifest: other records get another
folder, and a copy that was cut off goes on. Each shard takes its place when its SHA-256 is right.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from skyseg_tf.data.manifest import MANIFEST, Manifest, Shard, read_manifest
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.files import sha256_of
from skyseg_tf.files.aside import write_aside
from skyseg_tf.files.places import is_remote, place

_AT_ONCE = 8  # shards under way


def local_records(records: str | Path, copies: str | Path, quiet: bool = False) -> Path:
    """A folder of records on this machine.

    Args:
      records: folder of `skyseg build`, or the URL of one.
      copies: folder below which records of a URL are copied.
      quiet: no progress bar.

    Returns:
      The folder itself, or that of the copy; all shards of its manifest are there.

    Raises:
      InputError: no finished records there, or a shard is not what their manifest says.
    """
    if not is_remote(records):
        return Path(records)
    there = place(records)
    folder, manifest = _begin(there, copies)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    total = sum(shard.bytes for shard in shards)
    with (
        tqdm(
            total=total, desc=f"copy {there.name}", unit="B", unit_scale=True, disable=quiet
        ) as bar,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for shard in pool.map(lambda shard: _copy(there, folder, shard), shards):
            bar.update(shard.bytes)
    return folder


def local_file(path: str | Path, copies: str | Path | None) -> str:
    """A file of records on this machine.

    Args:
      path: the file, or the URL of one that lies beside its manifest.
      copies: folder below which it is copied then.

    Raises:
      InputError: a URL, and no folder for it, or no manifest beside it that names it.
    """
    if not is_remote(path):
        return str(path)
    there = place(path)
    if copies is None:
        raise InputError(
            f"{there}: TensorFlow reads it here alone; name a folder for it: copies=DIR"
        )
    folder, manifest = _begin(there.parent, copies)
    shards = {shard.file: shard for split in manifest.splits.values() for shard in split.shards}
    if there.name not in shards:
        raise InputError(f"{there.parent}: {not_among('shard', there.name, shards)}")
    _copy(there.parent, folder, shards[there.name])
    return str(folder / there.name)


def _begin(there: Path, copies: str | Path) -> tuple[Path, Manifest]:
    """The folder of a copy, with its manifest alone."""
    try:
        content = (there / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{there}: no {MANIFEST} there: a wrong folder, or a build that did not finish "
            "(run the same `skyseg build` again)"
        ) from None
    folder = Path(copies) / f"{there.name}_{sha256(content).hexdigest()[:16]}"
    if not (folder / MANIFEST).exists():
        with write_aside(folder / MANIFEST) as aside:
            aside.write_bytes(content)
    return folder, read_manifest(folder, shards_are_there=False)


def _copy(there: Path, folder: Path, shard: Shard) -> Shard:
    """Copies a shard that is not there yet; what is there was compared when it was copied."""
    path, source = folder / shard.file, there / shard.file
    if path.exists() and os.stat(path).st_size == shard.bytes:
        return shard
    with write_aside(path) as aside:
        source.fs.get_file(source.path, str(aside))
        if sha256_of(aside) != shard.sha256:
            raise InputError(
                f"{source}: not the file that its {MANIFEST} names (another SHA-256); build the "
                "records again"
            )
    return shard
