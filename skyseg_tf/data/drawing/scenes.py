"""Draws street scenes and rooms with exact labels; `dataset` writes trees of them."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.ground import paint_ground
from skyseg_tf.data.drawing.hall import paint_hall
from skyseg_tf.data.drawing.photo import develop, draw_photo
from skyseg_tf.data.drawing.places import PLACES, World
from skyseg_tf.data.drawing.rooms import paint_room
from skyseg_tf.data.drawing.sky import mirror_on, paint_sky
from skyseg_tf.data.drawing.weather import WEATHERS, draw_weather
from skyseg_tf.data.drawing.worlds import make_world
from skyseg_tf.errors import InputError, not_among
from skyseg_tf.labels import LABEL_ID

FPS = 17.0  # of the Cityscapes snippets
SMALLEST = 64
_BEHIND_GROUND = 500  # metres: hills and skylines, whose feet the land hides
# What a scene may show: weathers of weather.py, places of places.py. Cityscapes was recorded from
# a car on city roads, by day and not in adverse weather (Cordts et al., CVPR 2016, section 2.1).
CONDITIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "all": (tuple(WEATHERS), tuple(PLACES)),
    "cityscapes": (
        ("clear", "cumulus", "cirrus", "white", "overcast"),
        ("street", "canyon", "downtown", "avenue", "suburb", "highway", "country", "industrial"),
    ),
    "indoors": (tuple(WEATHERS), ("hall",)),
}


@dataclass(frozen=True)
class Scene:
    """A drawn photo and its labels.

    Attributes:
      image: (H, W, 3) uint8 RGB.
      label_ids: (H, W) uint8 Cityscapes labelIds.
      instance_ids: (H, W) uint16, id * 1000 + k for classes with instances, else the id.
    """

    image: np.ndarray
    label_ids: np.ndarray
    instance_ids: np.ndarray


def draw_scene(
    seed: int,
    size: tuple[int, int] = (1024, 2048),
    time: float = 0.0,
    conditions: str = "all",
) -> Scene:
    """Draws one street scene.

    Args:
      seed: of everything; the same seed is the same scene.
      size: (height, width), at least 64 x 64.
      time: seconds; moves the camera and the traffic through the same scene.
      conditions: key of CONDITIONS.

    Returns:
      The scene.

    Raises:
      InputError: a size below 64 x 64, a negative seed, or unknown conditions.
    """
    _check(seed, size, conditions)
    weathers, places = CONDITIONS[conditions]
    # [seed, n]: each part has numbers of its own, so that a change of one redraws no other.
    rng = np.random.default_rng([seed, 0])
    _, weather, light = draw_weather(rng, weathers)
    photo, wet, dressing = draw_photo(rng, light.night), rng.random(2), rng.random(4)
    world = make_world(rng, seed, tuple(size), light, time, places)
    canvas = Canvas(world.camera, light)
    is_room = world.name == "hall" and seed % 3 > 0
    if is_room:
        style = np.random.default_rng([seed, 6])
        photo = replace(photo, key=float(np.exp(style.uniform(np.log(0.12), np.log(1.0)))))
        paint_room(canvas, style, seed, lambda c: paint_sky(c, weather, [seed, 2]))
    elif world.name == "hall":
        paint_hall(canvas, np.random.default_rng([seed, 1]), seed)
    else:
        paint_sky(canvas, weather, [seed, 2])
        _paint_world(canvas, world, seed)
        if wet[0] < (0.3 if not light.sun.any() else 0.06):
            mirror_on(canvas, 0.15 + 0.5 * wet[1], np.random.default_rng([seed, 3]))
    if dressing[0] < 0.3 and not is_room:
        _paint_hood(canvas, dressing, np.random.default_rng([seed, 4]))
    image = develop(canvas, photo, np.random.default_rng([seed, 5, round(abs(time) * 1000)]))
    if dressing[3] < 0.15:
        _mark_borders(image, canvas, dressing)
    return Scene(image, canvas.labels, canvas.instances)


def _paint_world(canvas: Canvas, world: World, seed: int) -> None:
    """What stands beyond the ground that is drawn, the ground, and what stands on it."""
    items = sorted(world.items, key=lambda item: -item.reach)
    for item in items:
        if item.reach > _BEHIND_GROUND:
            item.paint(canvas)
    paint_ground(canvas, world.base, world.strips, world.shadows, world.pools, seed)
    for item in items:
        if item.reach <= _BEHIND_GROUND:
            item.paint(canvas)


def _check(seed: int, size: tuple[int, int], conditions: str) -> None:
    if min(size) < SMALLEST:
        raise InputError(
            f"size {size[0]} x {size[1]} is too small: give at least {SMALLEST} x {SMALLEST}"
        )
    if seed < 0:
        raise InputError(f"seed {seed} is negative: give 0 or more")
    check_conditions(conditions)


def check_conditions(conditions: str) -> None:
    """Refuses what is no key of CONDITIONS.

    Raises:
      InputError: it names those there are.
    """
    if conditions not in CONDITIONS:
        raise InputError(not_among("conditions", conditions, CONDITIONS))


def _paint_hood(canvas: Canvas, dressing, rng) -> None:
    """The hood of the car that carries the camera, at the lower edge."""
    height, width = canvas.size
    share = 0.03 + 0.13 * dressing[1]
    x = np.linspace(0, 1, 40)
    y = 1 - share * (0.45 + 0.55 * np.sin(np.pi * np.clip(x, 0.02, 0.98)) ** 0.6)
    rim = np.stack([x * (width + 4) - 2, y * height], 1)
    outline = np.concatenate([rim, [[width + 4, height + 4], [-4, height + 4]]])
    y0 = max(0, int(rim[:, 1].min()) - 2)
    alpha = np.zeros((height - y0, width), np.uint8)
    fixed = np.round((outline - (0.5, y0 + 0.5)) * 16).astype(np.int32)
    cv2.fillPoly(alpha, [fixed], 255, cv2.LINE_AA, 4)
    shine = canvas.light.horizon * 0.25 + canvas.light.ambient * rng.uniform(0.03, 0.3)
    fall = np.linspace(1, 0.35, len(alpha))[:, None, None]
    patch = np.broadcast_to(shine * fall, (*alpha.shape, 3)).astype(np.float32)
    canvas.paint(0, y0, np.ascontiguousarray(patch), alpha, "ego vehicle")


def _mark_borders(image: np.ndarray, canvas: Canvas, dressing) -> None:
    """Thin edges that the real tree labels as rectification border or out of roi."""
    height, width = canvas.size
    wide = max(1, round(width * (0.002 + 0.003 * dressing[1])))
    label = LABEL_ID["rectification border" if dressing[2] < 0.5 else "out of roi"]
    edge = np.zeros(canvas.size, bool)
    edge[:wide] = edge[height - wide :] = True
    edge[:, :wide] = edge[:, width - wide :] = True
    canvas.labels[edge] = canvas.instances[edge] = label
    if label == LABEL_ID["rectification border"]:
        image[edge] = 0
