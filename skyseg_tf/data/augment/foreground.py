"""What stands before the sky: pale walls and bare trees, and the sky that shines through trees."""

import cv2
import numpy as np

from skyseg_tf.data.augment.chances import Parameters
from skyseg_tf.data.augment.skies import blended, sky_matte
from skyseg_tf.data.drawing.branches import bare_trees


def build_and_plant(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Stage of camera.photograph: a wall and trees, as they are drawn to be there."""
    settings, classes, draws = parameters.settings, parameters.classes, parameters.draws
    wall, tree = draws.stands
    if wall < settings.pale_walls and None not in (classes.sky, classes.walls):
        ids = {"sky_class_id": classes.sky, "wall_class_id": classes.walls}
        clip, mask = draw_pale_wall(clip, mask, draws.rng("wall"), **ids)
    planted = settings.bare_trees * parameters.open_trees
    if tree < planted and None not in (classes.sky, classes.trees):
        ids = {"sky_class_id": classes.sky, "tree_class_id": classes.trees}
        clip, mask = draw_bare_trees(clip, mask, draws.rng("trees"), **ids)
    return clip, mask


def look_through_trees(
    clip: np.ndarray, mask: np.ndarray, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Stage of camera.photograph: label_sky_through_trees, where it is wanted."""
    if not parameters.open_trees:
        return clip, mask
    classes = parameters.classes
    ids = {"sky_class_id": classes.sky, "tree_class_id": classes.trees}
    return clip, label_sky_through_trees(clip[-1], mask, **ids)


def label_sky_through_trees(
    image: np.ndarray, mask: np.ndarray, *, sky_class_id: int, tree_class_id: int
) -> np.ndarray:
    """Labels as sky what shines through trees that are labeled as one blob, as CamVid's are.

    Args:
      image: (H, W, 3) on 0-255.
      mask: (H, W) uint8.
      sky_class_id: of the sky in the mask.
      tree_class_id: of trees in the mask.

    Returns:
      (H, W) uint8: pixels of trees next to the sky that have its color belong to it.
    """
    matte, opened = sky_matte(image, mask == sky_class_id), mask.copy()
    near = opened[matte.rows]
    near[(near == tree_class_id) & (matte.like > 0.5)] = sky_class_id
    return opened


def draw_bare_trees(
    clip: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    sky_class_id: int,
    tree_class_id: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one to four bare trees before the sky, and before nothing else.

    Args:
      clip: (T, H, W, 3) frames of a clip, or one photo.
      mask: (H, W) uint8 of all of them.
      rng: of the trees.
      sky_class_id: of the sky in the mask.
      tree_class_id: of trees in the mask.

    Returns:
      Images and mask; a pixel belongs to a tree from a quarter of wood on, about what people mark.
    """
    height, width = mask.shape
    size, most = 192, 4
    trees = bare_trees(64, size)
    bare = np.ones(mask.shape, np.float32)
    for _ in range(1 + int(rng.random() * most)):
        chosen, tall, right, down, turned = rng.random(5)
        tall = height * 0.35 * (1.8 / 0.35) ** tall  # of 0.35 to 1.8 pictures, log-uniform
        x, y = width * (1.2 * right - 0.1), height * (0.4 + 0.35 * down)  # of the feet
        zoom = size / tall
        across = zoom if turned < 0.5 else -zoom
        matrix = np.array([[across, 0, size / 2 - x * across], [0, zoom, size - y * zoom]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        wood = cv2.warpAffine(trees[int(chosen * 64)], matrix, (width, height), flags=flags)
        bare *= 1 - wood / np.float32(255)
    wood = (1 - bare) * (mask == sky_class_id)
    warm, cool, light = rng.random(3)
    bark = (15 + 80 * light) * np.float32([1, 0.93 + 0.07 * warm, 0.85 + 0.15 * cool])
    frames = [blended(frame, np.broadcast_to(bark, frame.shape), wood) for frame in clip]
    marked = np.where(wood > 0.25, np.uint8(tree_class_id), mask)
    return np.stack(frames), marked


def draw_pale_wall(
    clip: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    sky_class_id: int,
    wall_class_id: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Puts a pale building before the lower part of the sky, as the light fascia of a hall is.

    A smooth wall almost as bright as the sky above it is what networks take for sky most. Below
    the fascia, mostly, the wall is dark, as glass is.

    Args:
      clip: (T, H, W, 3) frames of a clip, or one photo.
      mask: (H, W) uint8 of all of them.
      rng: of the wall.
      sky_class_id: of the sky in the mask.
      wall_class_id: of buildings in the mask.

    Returns:
      Images and mask.
    """
    edge, look = rng.random(5), rng.random(10).astype(np.float32)
    sky = mask == sky_class_id
    wall, below = _place_wall(sky, edge)
    light = np.float32(np.mean(cv2.mean(clip[-1], sky.astype(np.uint8))[:3]))
    fascia = len(mask) * (0.03 + 0.25 * edge[4] ** 2)
    gray = _shade_wall(below, fascia, light, look, rng)
    tint = np.float32([1, 1 - 0.03 * look[8], 1 - 0.06 * look[8] + 0.05 * look[9]])
    paint = gray[wall][:, None] * tint + 2 * rng.standard_normal((wall.sum(), 1), np.float32)
    drawn = clip.copy()
    drawn[:, wall] = np.clip(np.rint(paint), 0, 255)
    return drawn, np.where(wall, np.uint8(wall_class_id), mask)


def _place_wall(sky: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the wall is (H, W), and how far below its roof each pixel lies (H, W)."""
    height, width = sky.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None]
    amount = np.count_nonzero(sky)
    lowest = np.flatnonzero(np.append(True, sky.mean(1)[1:] > 0.02))[-1]
    middle = sky.sum(0) @ columns[0] / (amount + 1e-3)
    # A roof of any slope to a fifth, anywhere above the skyline; one end or both may be in sight.
    roof = lowest * (0.15 + 0.8 * edge[0]) + 0.4 * (edge[1] - 0.5) * (columns - middle)
    left, right = middle - width * (0.05 + edge[2]), middle + width * (0.05 + edge[3])
    return sky & (rows > roof) & (columns > left) & (columns < right), rows - roof


def _shade_wall(
    below: np.ndarray, fascia: float, light: np.float32, look: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) brightness: a pale fascia, and mostly a dark wall below it."""
    width = below.shape[1]
    columns = np.arange(width, dtype=np.float32)[None]
    pale = light * (0.6 + 0.38 * look[0])
    shade = 0.16 * look[1] * np.clip(below / fascia, 0, 1)
    shade += 0.12 * look[2] * (columns / width)
    apart = 6 + 40 * look[3]  # pixels between the seams of its panels
    seams = np.mod(columns + 100 * look[4], apart) < 1
    pale = pale * (1 - shade) * (1 - 0.12 * look[5] * seams)
    dark = (0.08 + 0.3 * look[6]) * light * (0.85 + 0.3 * rng.random(below.shape, np.float32))
    return np.where((below > fascia) & (look[7] < 0.7), dark, pale)
