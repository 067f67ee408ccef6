"""The Cityscapes labels, which all other datasets' labels are told in.

Reference: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding",
CVPR 2016, and the label table of cityscapesScripts (helpers/labels.py).
"""

from typing import NamedTuple

import numpy as np

from skyseg_tf.errors import InputError, counted

IGNORE = 255
UNKNOWN = 254  # marks, inside the lookup tables, values that the encoding does not define


class Label(NamedTuple):
    """One row of the Cityscapes label table."""

    name: str
    id: int
    train_id: int  # 255: not evaluated
    category: str
    has_instances: bool
    color: tuple[int, int, int]


CITYSCAPES_LABELS = (
    Label("unlabeled", 0, 255, "void", False, (0, 0, 0)),
    Label("ego vehicle", 1, 255, "void", False, (0, 0, 0)),
    Label("rectification border", 2, 255, "void", False, (0, 0, 0)),
    Label("out of roi", 3, 255, "void", False, (0, 0, 0)),
    Label("static", 4, 255, "void", False, (0, 0, 0)),
    Label("dynamic", 5, 255, "void", False, (111, 74, 0)),
    Label("ground", 6, 255, "void", False, (81, 0, 81)),
    Label("road", 7, 0, "flat", False, (128, 64, 128)),
    Label("sidewalk", 8, 1, "flat", False, (244, 35, 232)),
    Label("parking", 9, 255, "flat", False, (250, 170, 160)),
    Label("rail track", 10, 255, "flat", False, (230, 150, 140)),
    Label("building", 11, 2, "construction", False, (70, 70, 70)),
    Label("wall", 12, 3, "construction", False, (102, 102, 156)),
    Label("fence", 13, 4, "construction", False, (190, 153, 153)),
    Label("guard rail", 14, 255, "construction", False, (180, 165, 180)),
    Label("bridge", 15, 255, "construction", False, (150, 100, 100)),
    Label("tunnel", 16, 255, "construction", False, (150, 120, 90)),
    Label("pole", 17, 5, "object", False, (153, 153, 153)),
    Label("polegroup", 18, 255, "object", False, (153, 153, 153)),
    Label("traffic light", 19, 6, "object", False, (250, 170, 30)),
    Label("traffic sign", 20, 7, "object", False, (220, 220, 0)),
    Label("vegetation", 21, 8, "nature", False, (107, 142, 35)),
    Label("terrain", 22, 9, "nature", False, (152, 251, 152)),
    Label("sky", 23, 10, "sky", False, (70, 130, 180)),
    Label("person", 24, 11, "human", True, (220, 20, 60)),
    Label("rider", 25, 12, "human", True, (255, 0, 0)),
    Label("car", 26, 13, "vehicle", True, (0, 0, 142)),
    Label("truck", 27, 14, "vehicle", True, (0, 0, 70)),
    Label("bus", 28, 15, "vehicle", True, (0, 60, 100)),
    Label("caravan", 29, 255, "vehicle", True, (0, 0, 90)),
    Label("trailer", 30, 255, "vehicle", True, (0, 0, 110)),
    Label("train", 31, 16, "vehicle", True, (0, 80, 100)),
    Label("motorcycle", 32, 17, "vehicle", True, (0, 0, 230)),
    Label("bicycle", 33, 18, "vehicle", True, (119, 11, 32)),
)
LABEL_ID = {label.name: label.id for label in CITYSCAPES_LABELS}
BY_NAME = {label.name: label for label in CITYSCAPES_LABELS}
# By red << 16 | green << 8 | blue. Of labels that share a color the last one stays: an evaluated one,
# else the first of the table.
_ID_OF_COLOR = {
    (label.color[0] << 16) | (label.color[1] << 8) | label.color[2]: label.id
    for label in sorted(CITYSCAPES_LABELS, key=lambda label: label.train_id == IGNORE)[::-1]
}


def label_ids_from_color(rgb: np.ndarray, where: str) -> np.ndarray:
    """Inverts the Cityscapes palette: (H, W, 3) uint8 -> (H, W) uint8 labelIds.

    Args:
      rgb: the mask. Several labels share a color: black is unlabeled, of pole and polegroup the
        evaluated one is meant.
      where: the file's name, for the error message.

    Raises:
      InputError: not three channels, or a color of no class.
    """
    if rgb.ndim != 3 or rgb.shape[-1] != 3:
        raise InputError(
            f"{where}: a color mask needs 3 channels, this one has shape {rgb.shape}; name its "
            "encoding"
        )
    packed = (
        (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    )
    colors = np.array(sorted(_ID_OF_COLOR), np.int32)
    index = np.clip(np.searchsorted(colors, packed), 0, len(colors) - 1)
    unknown = colors[index] != packed
    if unknown.any():
        raise InputError(
            f"{where}: color {tuple(rgb[unknown][0].tolist())} is no Cityscapes class "
            f"({counted(int(unknown.sum()), 'pixel')}); give the labelIds file instead"
        )
    return np.array([_ID_OF_COLOR[color] for color in colors.tolist()], np.uint8)[index]
