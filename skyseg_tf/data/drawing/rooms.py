"""Rooms of drawn scenes: composition, colors, walls and what lies outside.

Real photos taken indoors teach a network what a white ceiling is. Here each room is a box or an
attic lit by lamps and windows, so that walls brighten near a light and darken in corners.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skyseg_tf.data.drawing.camera import UP, Camera
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.decor import draw_look
from skyseg_tf.data.drawing.furniture import furnish
from skyseg_tf.data.drawing.interior import Room, Surface, Wall
from skyseg_tf.data.drawing.lamps import hang_lamps
from skyseg_tf.data.drawing.outdoors import paint_outdoors
from skyseg_tf.data.drawing.people import draw_person
from skyseg_tf.data.drawing.windows import paint_sunbeams, paint_window, plan_windows
from skyseg_tf.labels import LABEL_ID

SHARE_WITH_SKY = 0.5  # of the rooms look out at the sky, where it is day and a window is in view
MOST_SKY = 0.3  # of the picture
# Colors of lamps, from daylight to a bulb.
_TINTS = (
    (1, 0.95, 0.86),
    (1, 0.98, 0.95),
    (0.9, 0.96, 1.04),
    (1, 0.8, 0.52),
    (1, 0.88, 0.68),
)
_AMBIENT = (0.12, 0.7)  # light from everywhere, spread evenly over its logarithm
_VIEWS = {"green": 0.53, "facade": 0.35, "white": 0.12}  # by day, without sky: how often
_NIGHT_CHANCE, _HIGH_CEILING_CHANCE, _ATTIC_CHANCE, _PERSON_CHANCE = 0.12, 0.25, 0.2, 0.12


@dataclass(frozen=True)
class Kind:
    """One kind of room: how often it is, the ranges of its width and depth in metres."""

    chance: float
    width: tuple[float, float] = (2.8, 7)
    depth: tuple[float, float] = (3, 8)
    may_be_attic: bool = False


_KINDS = {
    "living": Kind(0.28, may_be_attic=True),
    "bedroom": Kind(0.23, may_be_attic=True),
    "kitchen": Kind(0.15),
    "bathroom": Kind(0.1, width=(1.8, 4), depth=(2, 4.5), may_be_attic=True),
    "office": Kind(0.1, may_be_attic=True),
    "corridor": Kind(0.07, width=(1.3, 2.3), depth=(4, 14)),
    "shop": Kind(0.07, width=(5, 12), depth=(6, 16)),
}


def paint_room(canvas: Canvas, rng: np.random.Generator, seed: int, paint_sky: Callable) -> None:
    """A living room, bedroom, kitchen, bathroom, office, corridor, shop or attic.

    The camera is turned to any side, so a corner, one wall or the ceiling may fill the picture.
    A third of the rooms at most show sky, through a window; never over a third of the picture.

    Args:
      canvas: to paint on; its camera and light are replaced.
      rng: of the room.
      seed: of the grain.
      paint_sky: fills a canvas with the sky.
    """
    start, light = int(rng.integers(2**31)), canvas.light
    camera = canvas.camera
    with_sky = rng.random() < SHARE_WITH_SKY and not light.night
    for shown in (with_sky, False):
        canvas.camera, canvas.light = camera, light
        _paint(canvas, np.random.default_rng([start, 72]), seed, shown, paint_sky)
        sky = canvas.labels == LABEL_ID["sky"]
        if not shown or (sky.mean() < MOST_SKY and sky[: max(1, len(sky) // 20)].mean() < 0.4):
            return


def _paint(canvas: Canvas, rng, seed: int, with_sky: bool, paint_sky) -> None:
    kind, size, attic = _measures(rng)
    canvas.camera = _camera(canvas.camera, size, attic, rng)
    night = canvas.light.night or rng.random() < _NIGHT_CHANCE
    view = _pick(rng, _VIEWS)
    view = "sky" if with_sky else "night" if night else view
    outside = Canvas(canvas.camera, canvas.light)
    if view in ("sky", "green", "facade"):
        paint_outdoors(outside, size, view, rng, paint_sky)
    tint = np.array(_TINTS[rng.integers(len(_TINTS))])
    ambient = tint * np.exp(rng.uniform(*np.log(_AMBIENT)))
    sunny = bool(canvas.light.sun.any())
    canvas.light = replace(canvas.light, ambient=ambient * 0.9, sun=np.zeros(3), haze=0.0)
    canvas.image[:] = ambient * 0.4  # shows in the seams between two faces
    canvas.labels[:] = canvas.instances[:] = LABEL_ID["building"]
    room = Room(canvas, outside, kind, size, ambient, view, seed)
    _paint_inside(room, attic, tint, sunny, rng)


def _measures(rng) -> tuple[str, np.ndarray, bool]:
    """A kind of room, its (width, height, depth) in metres, and whether it is an attic."""
    kind = _pick(rng, {name: one.chance for name, one in _KINDS.items()})
    facts = _KINDS[kind]
    tall = rng.random() >= 1 - _HIGH_CEILING_CHANCE
    height = rng.uniform(2.9, 4.5) if tall else rng.uniform(2.3, 2.9)
    size = np.array([rng.uniform(*facts.width), height, rng.uniform(*facts.depth)])
    attic = facts.may_be_attic and rng.random() < _ATTIC_CHANCE
    if attic:
        size[1] = max(height, rng.uniform(2.6, 4.2))
    return kind, size, attic


def _pick(rng, chances: dict[str, float]) -> str:
    return str(rng.choice(list(chances), p=list(chances.values())))


def _paint_inside(room: Room, attic: bool, tint: np.ndarray, sunny: bool, rng) -> None:
    """Everything within the walls, from far to near; light comes before what it falls on."""
    look = draw_look(room, rng)
    walls, slopes = _shell(room, attic, rng)
    plans = [plan_windows(room, wall, rng) for wall in walls + slopes]
    lamps = hang_lamps(room, attic, tint, rng)
    _paint_shell(room, walls, slopes, look, rng)
    for wall, plan in zip(walls + slopes, plans, strict=True):
        for hole in plan:
            paint_window(room, wall, hole, rng)
    if sunny and room.view != "night":
        paint_sunbeams(room, walls, plans, rng)
    furnish(room, walls, plans, look, rng)
    for paint in lamps:
        paint()
    if rng.random() < _PERSON_CHANCE:
        ahead = room.canvas.camera.rotation[2] * [1, 0, 1]
        spot = room.eye * [1, 0, 1] + ahead * rng.uniform(1.8, 4)

        def person() -> None:
            draw_person(room.canvas, spot, rng.uniform(1.5, 1.85), room.seed)

        room.things.append((spot, person))
    for _, paint in sorted(room.things, key=lambda t: -np.linalg.norm((t[0] - room.eye)[[0, 2]])):
        paint()


def _camera(old: Camera, size, attic, rng) -> Camera:
    """Moves the camera into the room and turns it: along the room, to a corner, close to a wall."""
    width, tall, depth = size
    mode = rng.choice(["along", "corner", "close", "any"], p=[0.35, 0.35, 0.15, 0.15])
    yaw = {
        "along": rng.normal(0, 9),
        "corner": rng.choice([-1, 1]) * rng.uniform(25, 62),
        "close": rng.normal(0, 25),
        "any": rng.uniform(-180, 180),
    }[str(mode)]
    pitch = rng.normal(1, 7)
    if rng.random() < 0.22:
        pitch = rng.uniform(10, 33) if rng.random() < 0.65 else rng.uniform(-40, -15)
    yaw, pitch = np.radians(yaw), np.radians(pitch)
    x = width / 2 - np.sin(yaw) * width * 0.34 + rng.normal(0, 0.1) * width
    z = (
        depth - rng.uniform(1.4, 2.8)
        if mode == "close"
        else (depth / 2 - np.cos(yaw) * depth * rng.uniform(0.2, 0.45))
    )
    # The car's way becomes a small step, so that the camera never leaves the room.
    step = 0.3 * np.tanh(old.position[2] / 4)
    margin = 0.5 if not attic else 0.28 * width
    place = np.array(
        [x + step * np.sin(yaw), min(old.position[1], tall - 0.5), z + step * np.cos(yaw)]
    )
    place = np.clip(place, [margin, 0.5, 0.5], [width - margin, tall - 0.4, depth - 0.5])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    tip = np.array(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    )
    focal = max(old.focal * rng.uniform(0.6, 1.0), 0.42 * old.size[1], 0.5 * old.size[0])
    return Camera(place, tip @ old.rotation @ turn, focal, old.size)


def _shell(room: Room, attic: bool, rng) -> tuple[list[Wall], list[Wall]]:
    """The four walls, and the ceilings as frames: one, or the two slopes of an attic."""
    width, tall, depth = room.size
    x, z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    knee = tall * rng.uniform(0.3, 0.6) if attic else tall
    walls = [
        Wall(np.array([0, 0, depth]), x, -z, width, tall),
        Wall(np.zeros(3), z, x, depth, knee),
        Wall(np.array([width, 0, depth]), -z, -x, depth, knee),
        Wall(np.array([width, 0, 0]), -x, z, width, tall),
    ]
    if not attic:
        return walls, [Wall(np.array([0, tall, depth]), x, -UP, width, depth, -z)]
    run = np.array([width / 2, tall - knee, 0])
    long = float(np.hypot(*run[:2]))
    rise, other = run / long, run * [-1, 1, 1] / long
    left = np.array([rise[1], -rise[0], 0])
    return walls, [
        Wall(np.array([0, knee, 0]), z, left, depth, long, rise),
        Wall(np.array([width, knee, depth]), -z, left * [-1, 1, 1], depth, long, other),
    ]


def _paint_shell(room: Room, walls, slopes, look, rng) -> None:
    """Floor, walls and ceilings, each as one face."""
    width, tall, depth = room.size
    room.face(np.zeros(3), np.array([width, 0, 0]), np.array([0, 0, depth]), UP, look["floor"])
    knee = walls[1].height / tall
    gable = np.array([[0, 0], [1, 0], [1, knee], [0.5, 1], [0, knee]]) if knee < 1 else None
    for i, wall in enumerate(walls):
        surface = look["accent"] if i == room.seed % 4 else look["wall"]
        across, up = wall.along * wall.length, UP * wall.height
        room.face(wall.origin, across, up, wall.inward, surface, gable if i in (0, 3) else None)
    for slope in slopes:
        across, up = slope.along * slope.length, slope.rise * slope.height
        room.face(slope.origin, across, up, slope.inward, look["ceiling"])
    for slope in slopes:
        if not slope.rise[1] and rng.random() < 0.3:
            _sink_ceiling(room, slope, look["ceiling"], rng)
    if look["beams"]:
        for slope in slopes:
            _paint_beams(room, slope, look["wood"])


def _sink_ceiling(room: Room, slope: Wall, ceiling: Surface, rng) -> None:
    """A ceiling whose middle hangs lower, or higher, than its edge."""
    inset, fill = rng.uniform(0.3, 0.8), rng.choice([0.92, 1.0])
    for edge, color in ((inset, 0.85), (inset + 0.08, fill)):
        surface = replace(ceiling, color=np.clip(ceiling.color * color, 0, 0.98))
        spans = (edge, slope.length - edge), (edge, slope.height - edge)
        room.panel(slope, *spans, 0.01, surface)


def _paint_beams(room: Room, slope: Wall, wood: np.ndarray) -> None:
    """Beams along the shorter way: up a slope, or across a ceiling."""
    surface = Surface(wood * 0.7, "boards", wood * 0.5, (2, 0.05))
    reach, deep = slope.length, slope.height
    if not slope.rise[1]:
        reach, deep = deep, reach
    for a in np.arange(0.4, reach, 0.9):
        spans = ((a, a + 0.14), (0, deep))
        room.panel(slope, *(spans if slope.rise[1] else spans[::-1]), 0.03, surface)
