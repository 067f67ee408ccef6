"""What reading a photo and its mask tells of them, for `skyseg check`."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.mask_values import belied_by, claimed_encoding, is_dummy, mask_values
from skyseg_tf.errors import InputError, counted
from skyseg_tf.files import ZIP_MARK, read_bytes
from skyseg_tf.files.places import is_remote
from skyseg_tf.images import decode_image, decode_mask_file, image_size
from skyseg_tf.labels import Encoding, label_of, stored_values, value_names

_HEAD = 65536  # bytes of a photo that, with its length, tell it apart in a fast check


@dataclass
class PairFacts:
    """What reading one pair told."""

    pair: Pair
    photo_size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    fingerprint: bytes | None = None  # equal for equal photos
    pixels: dict[str, int] | None = None  # per label name, of a mask whose values all mean one
    dummy: bool = False
    unreadable: tuple[str, ...] = ()
    unknown: str = ""
    belied: str = ""


def read_pair(pair: Pair, encoding: Encoding | None) -> PairFacts:
    """Decodes a photo and its mask."""
    facts = PairFacts(pair)
    try:
        photo = decode_image(read_bytes(pair.image), pair.image)
        facts.photo_size = photo.shape[:2]
        facts.fingerprint = hashlib.blake2b(photo, key=str(photo.shape).encode()).digest()
    except (InputError, OSError) as error:
        facts.unreadable += (_of_file(pair.image, error),)
    _add_mask(facts, encoding)
    return facts


def read_heads(pair: Pair, encoding: Encoding | None, with_mask: bool) -> PairFacts:
    """Reads the headers of a photo and its mask, and the mask's pixels if asked to."""
    facts = PairFacts(pair)
    try:
        facts.photo_size = image_size(pair.image)
        facts.fingerprint = _head(pair.image)
    except (InputError, OSError) as error:
        facts.unreadable += (_of_file(pair.image, error),)
    if with_mask:
        _add_mask(facts, encoding)
    elif pair.mask:
        try:
            facts.mask_size = image_size(pair.mask)
        except (InputError, OSError) as error:
            facts.unreadable += (_of_file(pair.mask, error),)
    return facts


def _head(path: str) -> bytes:
    """Length and first bytes of a file, hashed: enough to tell photos apart."""
    if ZIP_MARK in path or is_remote(path):
        content = read_bytes(path)
        length, head = len(content), content[:_HEAD]
    else:
        with open(path, "rb") as file:
            length, head = os.fstat(file.fileno()).st_size, file.read(_HEAD)
    return hashlib.blake2b(head, key=str(length).encode()).digest()


def _add_mask(facts: PairFacts, encoding: Encoding | None) -> None:
    """Decodes the mask of a pair and counts its classes."""
    path = facts.pair.mask
    if path is None:
        return
    try:
        mask = decode_mask_file(read_bytes(path), path)
    except (InputError, OSError) as error:
        facts.unreadable += (_of_file(path, error),)
        return
    facts.mask_size = mask.shape[:2]
    if claimed_encoding(path) == "labelIds":
        values = mask_values(mask)
        facts.dummy = facts.pair.split == "test" and is_dummy(path, values)
        if belied := belied_by(path, values):
            facts.belied = f"{path}: {belied}"
    if encoding is None or facts.dummy:
        return
    try:
        facts.pixels = _count_pixels(mask, encoding, path)
    except InputError as error:
        facts.unknown = _of_file(path, error)


def _count_pixels(mask: np.ndarray, encoding: Encoding, path: str) -> dict[str, int]:
    """Pixels per label name; raises InputError for values without a name."""
    mask = stored_values(mask, encoding, path)
    if mask.ndim != 2:
        raise InputError(f"{path}: {mask.shape[-1]} channels, where the other masks have one")
    counts = np.bincount(mask.ravel(), minlength=256)
    names = value_names(encoding)
    strange = [value for value in np.flatnonzero(counts).tolist() if value not in names]
    if strange:
        pixels = int(counts[strange].sum())
        raise InputError(
            f"{path}: {', '.join(map(str, strange[:8]))} in {counted(pixels, 'pixel')}"
        )
    pixels = Counter()
    for value, name in names.items():
        if counts[value]:
            pixels[label_of(name)] += int(counts[value])
    return dict(pixels)


def _of_file(path: str, error: Exception) -> str:
    """`path: what is wrong`, without the advice that PROBLEMS gives once for all."""
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return f"{path}: {text.removeprefix(f'{path}: ').split(';')[0]}"
