"""Predictions as one COCO file: images, annotations with run-length masks, categories.

Reference: https://cocodataset.org/#format-data, object detection; maskApi.c of the COCO API.
"""

import json
from collections.abc import Sequence

import cv2
import numpy as np

from skyseg_tf.masking.prediction import Prediction


def coco_image(name: str, prediction: Prediction) -> dict:
    """What a COCO file says of one photo, without ids.

    Args:
      name: the photo's, for `file_name`.
      prediction: of the photo.

    Returns:
      {"image": .., "annotations": [..], "classes": [..]}: an annotation per class that occurs, or
      for the sky alone where the rest is no class; `category_id` counts in "classes" from 1, as
      COCO does.
    """
    names = prediction.class_names
    wanted = prediction.scheme.shown_classes
    annotations = []
    for category, class_id in enumerate(wanted, 1):
        mask = prediction.ids == class_id
        if mask.any():
            annotations.append(
                {
                    "category_id": category,
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": list(cv2.boundingRect(mask.astype(np.uint8))),
                    "iscrowd": 0,
                }
            )
    height, width = prediction.ids.shape
    image = {"file_name": name, "height": height, "width": width}
    return {"image": image, "annotations": annotations, "classes": [names[i] for i in wanted]}


def render_coco(photos: Sequence[dict]) -> str:
    """The COCO file of photos of `coco_image`, as JSON; ids count from 1 in their order."""
    images, annotations = [], []
    for image_id, photo in enumerate(photos, 1):
        images.append({"id": image_id, **photo["image"]})
        for one in photo["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **one})
    names = photos[0]["classes"] if photos else []
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    return (
        json.dumps({"images": images, "annotations": annotations, "categories": categories}) + "\n"
    )


def encode_rle(mask: np.ndarray) -> dict:
    """Compressed COCO run lengths.

    Args:
      mask: (H, W) bool.

    Returns:
      {"size": [H, W], "counts": text}. Runs go down the columns, the first counts zeros; each is
      written as the difference to the one before the last, in groups of five bits, lowest first,
      with a sixth bit for "more follows", plus 48 as a character.

    Reference: rleEncode and rleToString of the COCO API, common/maskApi.c.
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0] if not flat[:1].any() else [0, 0], edges, [flat.size]])
    counts = np.diff(starts).tolist()
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | (0x20 if more else 0)) + 48))
    return {"size": list(mask.shape), "counts": "".join(text)}
