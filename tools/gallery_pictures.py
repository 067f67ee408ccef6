"""Draws the pictures of the gallery and of the README, on photos that may be shown.

    python tools/gallery_pictures.py DATA

DATA holds `photos/`, `horizon_uav/images/` and `video/highway.mp4`. Each photo stands above the mask
that `skyseg predict` writes of it with its defaults; none of them was trained on.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from skyseg_tf.images import overlay_sky, read_image, resize_image, write_aside
from skyseg_tf.masking.prediction import predict_image
from skyseg_tf.masking.runtime import Runtime, load_runtime

DOCS = Path(__file__).parents[1] / "docs"
README_PHOTOS = (
    "photos/udacityALL_test1.jpg",
    "photos/skimage_rocket_pd.jpg",
    "photos/skyopt_212918_orig_crop.jpg",
    "horizon_uav/images/a4-00.04.21.286-00.04.48.939_20.jpg",
)
GALLERY_PHOTOS = (
    "photos/udacityALL_test4.jpg",
    "photos/udacityLL_solidWhiteCurve.jpg",
    "horizon_uav/images/c20-00.05.51.134-00.10.32.300_160.jpg",
    "horizon_uav/images/a4-00.05.45.507-00.06.26.877_30.jpg",
    "photos/dave_landscape1.jpg",
    "photos/skyopt_195520_orig_crop.jpg",
)
_TILE = (200, 300)  # height and width of a photo in a picture
_GAP = 6  # white pixels between two
_EDGE = 150  # grey of the line around a mask
_CLIP_SIZE, _EVERY, _FRAME_MS = (270, 480), 3, 120  # 25 frames a second, of which every third


def fitted(image: np.ndarray) -> np.ndarray:
    """The middle of a picture, cut to the aspect of a tile and brought to its size."""
    height, width = image.shape[:2]
    rows, columns = _TILE
    scale = min(height / rows, width / columns)
    high, wide = int(rows * scale), int(columns * scale)
    top, left = (height - high) // 2, (width - wide) // 2
    return resize_image(np.ascontiguousarray(image[top : top + high, left : left + wide]), _TILE)


def framed(tile: np.ndarray) -> np.ndarray:
    """A tile with a thin grey edge, without which the sky of a mask runs into a white page."""
    inside = tile[1:-1, 1:-1]
    return np.pad(inside, ((1, 1), (1, 1), (0, 0)), constant_values=_EDGE)


def column(runtime: Runtime, photo: Path) -> np.ndarray:
    """A photo above its mask, white where sky is."""
    image = read_image(photo)
    mask = np.where(predict_image(runtime, image).is_sky, 255, 0).astype(np.uint8)
    tiles = (fitted(image), framed(fitted(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB))))
    return np.vstack(
        [np.pad(tile, ((0, _GAP), (0, 0), (0, 0)), constant_values=255) for tile in tiles]
    )


def sheet(runtime: Runtime, photos: Sequence[Path], columns: int) -> Image.Image:
    """Columns of photos and masks side by side, so many in a row."""
    gap = ((0, 0), (0, _GAP), (0, 0))
    parts = [np.pad(column(runtime, photo), gap, constant_values=255) for photo in photos]
    rows = [np.hstack(parts[i : i + columns]) for i in range(0, len(parts), columns)]
    return Image.fromarray(np.vstack(rows)[:-_GAP, :-_GAP])


def tinted_frames(runtime: Runtime, video: Path) -> Iterator[Image.Image]:
    """Every third frame with its sky tinted, at the clip's small size."""
    from skyseg_tf.video.read import VideoReader

    for i, moment in enumerate(VideoReader(video)):
        if moment.frame is not None and i % _EVERY == 0:
            frame = moment.frame.to_ndarray(format="rgb24")
            tinted = overlay_sky(frame, predict_image(runtime, frame).is_sky)
            yield Image.fromarray(resize_image(tinted, _CLIP_SIZE))


def main() -> None:
    """Draws them into docs/."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("data", type=Path)
    data = flags.parse_args().data
    runtime = load_runtime()
    for name, photos, columns in (
        ("photos_and_masks.jpg", README_PHOTOS, 4),
        ("gallery.jpg", GALLERY_PHOTOS, 3),
    ):
        with write_aside(DOCS / name) as aside:
            picture = sheet(runtime, [data / photo for photo in photos], columns)
            picture.save(aside, "JPEG", quality=85, optimize=True)
        print(DOCS / name)
    first, *others = tinted_frames(runtime, data / "video" / "highway.mp4")
    with write_aside(DOCS / "highway.webp") as aside:
        first.save(
            aside,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=_FRAME_MS,
            loop=0,
            quality=35,
            method=4,
        )
    print(DOCS / "highway.webp")


if __name__ == "__main__":
    main()
