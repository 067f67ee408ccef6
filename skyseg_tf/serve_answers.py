"""What the server sends back: formats, their content types, and a photo's way through the network."""

import cv2
import numpy as np
from fastapi.responses import JSONResponse, Response

from skyseg_tf.images import overlay
from skyseg_tf.inference import Views, predict_probs
from skyseg_tf.runtime import Runtime, class_ids

# format: content type, and what it is.
FORMATS = {
    "mask": ("image/png", "255 = sky"),
    "keep-mask": ("image/png", "255 = not sky"),
    "alpha8": ("image/png", "probability of sky, 0-255"),
    "rgba-sky": ("image/png", "the photo, all but the sky transparent"),
    "rgba-nosky": ("image/png", "the photo, the sky transparent"),
    "overlay": ("image/jpeg", "the photo, the sky tinted"),
    "json": ("application/json", "share of sky and size"),
}
JSON_EXAMPLE = {"height": 1080, "width": 1920, "sky_share": 0.312, "has_sky": True}


def segment(photo: np.ndarray, runtime: Runtime) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, C) float32 probabilities at the photo's size."""
    views = Views(runtime.size_for(*photo.shape[:2]), divisor=runtime.facts.divisor)
    return predict_probs(runtime, photo, views, photo.shape[:2])


def encode(
    wanted: str, name: str, photo: np.ndarray, probs: np.ndarray, runtime: Runtime, threshold: float
) -> Response:
    """The answer to a photo.

    Args:
      wanted: key of FORMATS.
      name: of the photo.
      photo: (H, W, 3) uint8.
      probs: (H, W, C) float32.
      runtime: that gave them.
      threshold: probability from which a pixel is sky.

    Returns:
      The response; its header X-Sky-Share tells the share of sky, 0 where there is none.
    """
    ids = class_ids(probs, threshold)
    channel = runtime.sky_channel
    sky = ids == (1 if probs.shape[-1] == 1 else -1 if channel is None else channel)
    alpha = np.round(probs[..., channel or 0] * 255).astype(np.uint8)
    headers = {"X-Sky-Share": f"{sky.mean():.6f}"}
    if wanted == "json":
        facts = {"height": photo.shape[0], "width": photo.shape[1]}
        facts |= {"sky_share": round(float(sky.mean()), 6), "has_sky": bool(sky.any())}
        return JSONResponse(facts, headers=headers)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(runtime.colors)] = runtime.colors
    tinted = np.where(sky, ids, 255) if probs.shape[-1] == 1 else ids
    picture = {
        "mask": lambda: sky * np.uint8(255),
        "keep-mask": lambda: ~sky * np.uint8(255),
        "alpha8": lambda: alpha,
        "rgba-sky": lambda: np.dstack([photo[..., ::-1], alpha]),
        "rgba-nosky": lambda: np.dstack([photo[..., ::-1], 255 - alpha]),
        "overlay": lambda: overlay(photo, tinted.astype(np.uint8), palette)[..., ::-1],
    }[wanted]()
    kind = FORMATS[wanted][0]
    suffix = ".jpg" if kind == "image/jpeg" else ".png"
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == ".png" else []
    _, content = cv2.imencode(suffix, np.ascontiguousarray(picture), options)
    return Response(content.tobytes(), media_type=kind, headers=headers)
