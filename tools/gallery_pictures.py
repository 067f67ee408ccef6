"""Draws the pictures of the gallery and of the README, on photos that may be shown.

    python tools/gallery_pictures.py DATA [--earlier MODEL.onnx]

DATA holds `photos/`, `horizon_uav/images/` and `video/highway.mp4`. Each photo stands above what `skyseg
predict` makes of it: its mask, or the colors of the classes of `streets` over it; none of them was
trained on. The sheet of difficult photos has the masks of an earlier network between the two; it is left
as it is without one. The first edition is in the history:

    git show 077b389:skyseg_tf/weights/skyline/exports/model_f32.onnx > MODEL.onnx
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from skyseg_tf.files.aside import write_aside
from skyseg_tf.images import draw_overlay, overlay_sky, read_image, resize_image
from skyseg_tf.labels import LabelScheme
from skyseg_tf.masking.prediction import predict_image
from skyseg_tf.masking.runtime import Runtime, load_runtime

MadeOf = Callable[[np.ndarray], np.ndarray]  # a picture, of a photo

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
STREET_PHOTOS = (
    "photos/udacityALL_test1.jpg",
    "photos/udacityALL_test4.jpg",
    "photos/udacityLL_solidWhiteCurve.jpg",
)
_AERIAL = (  # those of which the first edition has most pixels wrong, and today's, of each flight unseen
    "a4-00.03.39.593-00.04.05.961_10",
    "a4-00.05.07.296-00.05.18.798_10",
    "a4-00.05.45.507-00.06.26.877_10",
    "c1-00.07.52.353-00.09.59.939_0",
    "c1-00.07.52.353-00.09.59.939_90",
    "c1-00.07.52.353-00.09.59.939_170",
    "c20-00.05.51.134-00.10.32.300_70",
    "c20-00.05.51.134-00.10.32.300_80",
    "c20-00.05.51.134-00.10.32.300_250",
    "e5-00.03.59.817-00.06.58.241_90",
    "e5-00.03.59.817-00.06.58.241_170",
    "e5-00.03.59.817-00.06.58.241_180",
    "e11-00.04.43.599-00.05.44.983_50",
)
DIFFICULT_PHOTOS = (
    *(f"horizon_uav/images/{name}.jpg" for name in _AERIAL),
    "photos/skyopt_212918_orig_crop.jpg",
    "photos/skyopt_195520_orig_crop.jpg",
    "photos/skimage_rocket_pd.jpg",
    "photos/dave_landscape1.jpg",
    "photos/udacityALL_test1.jpg",
    "photos/udacityALL_test4.jpg",
    "photos/udacityLL_solidWhiteCurve.jpg",
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


def mask_of(runtime: Runtime, image: np.ndarray) -> np.ndarray:
    """The mask of the sky, white."""
    mask = np.where(predict_image(runtime, image).is_sky, 255, 0).astype(np.uint8)
    return framed(fitted(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)))


def classes_of(runtime: Runtime, image: np.ndarray) -> np.ndarray:
    """The photo with the colors of its classes over it."""
    return fitted(draw_overlay(image, predict_image(runtime, image).ids, runtime.scheme))


def sheet(photos: Sequence[Path], columns: int, *made: MadeOf) -> Image.Image:
    """Photos, each above the pictures that are made of it, so many in a row."""
    right, below = ((0, 0), (0, _GAP), (0, 0)), ((0, _GAP), (0, 0), (0, 0))
    parts = []
    for image in map(read_image, photos):
        tiles = (fitted(image), *(one(image) for one in made))
        stack = np.vstack([np.pad(tile, below, constant_values=255) for tile in tiles])
        parts.append(np.pad(stack, right, constant_values=255))
    rows = [np.hstack(parts[i : i + columns]) for i in range(0, len(parts), columns)]
    return Image.fromarray(np.vstack(rows)[:-_GAP, :-_GAP])


def with_legend(picture: Image.Image, scheme: LabelScheme) -> Image.Image:
    """The picture above the names of the classes, each beside its color."""
    patches = [
        Patch(color=np.array(c) / 255, label=n)
        for n, c in zip(scheme.class_names, scheme.colors, strict=True)
    ]
    figure = Figure(figsize=(picture.width / 100, 0.4), dpi=100)
    figure.legend(
        handles=patches,
        loc="center",
        ncols=len(patches),
        frameon=False,
        fontsize=9,
        columnspacing=1.2,
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    legend = np.asarray(canvas.buffer_rgba())[..., :3]
    return Image.fromarray(np.vstack([np.asarray(picture), legend[:, : picture.width]]))


def tinted_frames(runtime: Runtime, video: Path) -> Iterator[Image.Image]:
    """Every third frame with its sky tinted, at the clip's small size."""
    from skyseg_tf.video.read import VideoReader

    for i, moment in enumerate(VideoReader(video)):
        if moment.frame is not None and i % _EVERY == 0:
            frame = moment.frame.to_ndarray(format="rgb24")
            tinted = overlay_sky(frame, predict_image(runtime, frame).is_sky)
            yield Image.fromarray(resize_image(tinted, _CLIP_SIZE))


def save(picture: Image.Image, name: str, **how) -> None:
    """Writes a picture into docs/, whole or not at all."""
    with write_aside(DOCS / name) as aside:
        picture.save(aside, **how)
    print(DOCS / name)


def main() -> None:
    """Draws them into docs/."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("data", type=Path)
    flags.add_argument("--earlier", type=Path, help="ONNX file of an earlier network")
    args = flags.parse_args()
    data, runtime, streets = args.data, load_runtime(), load_runtime("streets")
    mask = partial(mask_of, runtime)
    sheets = {
        "photos_and_masks.jpg": (README_PHOTOS, 4, mask),
        "gallery.jpg": (GALLERY_PHOTOS, 3, mask),
        "streets.jpg": (STREET_PHOTOS, 3, partial(classes_of, streets)),
    }
    if args.earlier:
        earlier = partial(mask_of, load_runtime(args.earlier))
        sheets["difficult.jpg"] = (DIFFICULT_PHOTOS, 5, earlier, mask)
    for name, (photos, columns, *made) in sheets.items():
        picture = sheet([data / photo for photo in photos], columns, *made)
        if name == "streets.jpg":
            picture = with_legend(picture, streets.scheme)
        if name == "difficult.jpg":
            picture = picture.resize((1000, 1000 * picture.height // picture.width))
        save(picture, name, format="JPEG", quality=85, optimize=True)
    first, *others = tinted_frames(runtime, data / "video" / "highway.mp4")
    moving = {"append_images": others, "duration": _FRAME_MS, "loop": 0, "quality": 35, "method": 4}
    save(first, "highway.webp", format="WEBP", save_all=True, **moving)


if __name__ == "__main__":
    main()
