"""From a dataset's tree to arrays: what a pair is made of, then its photo (or clip) and mask."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from skyseg_tf.data.clips import clip_frames
from skyseg_tf.data.encodings import guess_mask_encoding
from skyseg_tf.data.layouts import Pair
from skyseg_tf.data.scan import find_pairs
from skyseg_tf.errors import InputError
from skyseg_tf.files import read_bytes
from skyseg_tf.images import (
    decode_image,
    decode_mask_file,
    image_size,
    resize_image,
    resize_mask,
)
from skyseg_tf.labels import (
    Encoding,
    LabelScheme,
    check_encoding,
    decode_mask,
    get_scheme,
    scheme_encoding,
)


def extract_cityscape_data_info(
    root: str | Path,
    split: str | None = None,
    *,
    scheme: str | Path = "sky",
    layout: str | None = None,
    encoding: Encoding | None = None,
    frames: int = 1,
    seed: int = 0,
) -> list[dict]:
    """Lists the labeled photos of a dataset tree.

    Args:
      root: the tree (any of layouts.LAYOUTS).
      split: "train", "val" or "test"; None: all splits that have masks.
      scheme: see labels.get_scheme.
      layout: key of layouts.LAYOUTS; None: detected.
      encoding: key of labels.ENCODINGS, or a table of (value, name); None: what the scheme's file
        says of mask values, else found by the masks' values.
      frames: T > 1 adds the T - 1 frames before each photo.
      seed: of the shuffle. The order depends on it and on the names alone, so it stays when
        the tree is moved or copied.

    Returns:
      One dict per photo: name, split, city, image_path, mask_path, frame_paths (T paths, the
      photo last), height, width (as stored), image_depth (3), mask_depth (1), labels (the
      scheme's class names), encoding.

    Raises:
      InputError: wrong folder, empty split, a mask of another size than its photo, a missing
        frame.
    """
    photos = labeled_photos(
        root, split, scheme=scheme, layout=layout, encoding=encoding, frames=frames, seed=seed
    )
    for photo in photos:
        height, width = size_of_pair(photo["image_path"], photo["mask_path"])
        photo.update(height=height, width=width)
    return photos


def size_of_pair(image: str, mask: str) -> tuple[int, int]:
    """(height, width) of a photo and its mask, from the heads of their files.

    Raises:
      InputError: no pictures, or of different sizes.
    """
    size = image_size(image)
    _check_size(mask, image_size(mask), size)
    return size


def labeled_photos(
    root: str | Path,
    split: str | None = None,
    *,
    scheme: str | Path,
    layout: str | None,
    encoding: Encoding | None,
    frames: int,
    seed: int,
) -> list[dict]:
    """`extract_cityscape_data_info` without heights and widths, for which files are opened.

    Raises:
      InputError: wrong folder, empty split, a missing frame.
    """
    labels = list(get_scheme(scheme).class_names)
    pairs = [pair for pair in find_pairs(root, layout, [split] if split else None) if pair.mask]
    if not pairs:
        raise InputError(f"{root}: no photo has a mask; run `skyseg check --source {root}`")
    encoding = encoding or scheme_encoding(scheme) or guess_mask_encoding(pairs, layout)
    check_encoding(encoding)
    pairs.sort(key=lambda pair: _shuffle_key(seed, pair.name))
    return [_info(pair, labels, encoding, frames) for pair in pairs]


def _info(pair: Pair, labels: list[str], encoding: Encoding, frames: int) -> dict:
    """What `labeled_photos` says of one photo."""
    return {
        "name": pair.name,
        "split": pair.split,
        "city": pair.city,
        "image_path": pair.image,
        "mask_path": pair.mask,
        "frame_paths": clip_frames(pair, frames) if frames > 1 else [pair.image],
        "image_depth": 3,
        "mask_depth": 1,
        "labels": labels,
        "encoding": encoding,
    }


def _check_size(mask: str, size: tuple[int, int], photo_size: tuple[int, int]) -> None:
    if size != photo_size:
        raise InputError(
            f"{mask}: the mask is {size[1]} x {size[0]}, its photo {photo_size[1]} x "
            f"{photo_size[0]}; export it at the photo's size"
        )


def _shuffle_key(seed: int, name: str) -> bytes:
    return sha256(f"{seed} {name}".encode()).digest()


def load_pair(
    info: dict,
    size: tuple[int, int] | None,
    scheme: LabelScheme,
    on_bytes: Callable[[bytes], None] = lambda content: None,
):
    """Reads and resizes one photo (or clip) and its mask.

    Args:
      info: one dict of `extract_cityscape_data_info`.
      size: (height, width) of the result; None: as stored.
      scheme: the wanted classes.
      on_bytes: gets the content of each file, the mask last, as `source_bytes` gives them.

    Returns:
      image (T, H, W, 3) uint8, mask (H, W) uint8 class ids.

    Raises:
      InputError: a file is damaged, a mask value is unknown, or the mask is of another size than
        the photo.
    """
    size = size or (info["height"], info["width"])
    image, mask_path = [], info["mask_path"]
    for path in info["frame_paths"]:
        content = read_bytes(path)
        on_bytes(content)
        photo = decode_image(content, path)
        image.append(resize_image(photo, size))
    content = read_bytes(mask_path)
    on_bytes(content)
    stored = decode_mask_file(content, mask_path)
    _check_size(mask_path, stored.shape[:2], photo.shape[:2])
    if stored.ndim == 2:
        # Nearest neighbour picks ids, so it commutes with the lookup: resize first, 16x cheaper.
        stored = resize_mask(stored, size)
    mask = decode_mask(stored, info["encoding"], scheme, mask_path)
    return np.stack(image), resize_mask(mask, size)


def source_bytes(info: dict) -> Iterator[bytes]:
    """The content of each file of one dict of `extract_cityscape_data_info`, the mask last."""
    yield from map(read_bytes, [*info["frame_paths"], info["mask_path"]])
