"""Rooms of drawn scenes: walls, light and windows; what stands in them is in scene_furniture.

Real photos taken indoors teach a network what a white ceiling is. Here each room is a box or an
attic lit by lamps and windows, so that walls brighten near a light and darken in corners.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from skyseg_tf.data.scene_canvas import Camera, Canvas, noise
from skyseg_tf.data.scene_furniture import furnish, hang_lamps
from skyseg_tf.data.scene_interior import UP, Room, Surface, Wall
from skyseg_tf.data.scene_parts import draw_person, glow
from skyseg_tf.labels import LABEL_ID

SHARE_WITH_SKY = 0.45  # of the rooms look out at the sky, where it is day and a window is in view
MOST_SKY = 0.3  # of the picture
_WHITES = [(.97, .97, .96), (.96, .95, .92), (.95, .92, .85), (.9, .9, .9), (.93, .95, .97)]  # fmt: skip
_TONES = [(.8, .85, .92), (.7, .8, .92), (.62, .74, .88), (.86, .8, .7), (.82, .82, .8), (.75, .8, .7),
          (.93, .85, .65), (.85, .6, .5), (.6, .25, .22), (.3, .45, .6), (.35, .45, .38), (.9, .75, .78),
          (.5, .5, .52), (.25, .27, .3), (.92, .8, .4), (.72, .62, .52), (.7, .66, .82)]  # fmt: skip
_WOODS = [
    (0.72, 0.55, 0.36),
    (0.55, 0.38, 0.24),
    (0.82, 0.68, 0.5),
    (0.4, 0.26, 0.17),
    (0.63, 0.58, 0.52),
]


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
    kind = str(rng.choice(["living", "bedroom", "kitchen", "bathroom", "office", "corridor", "shop"],
                          p=[.28, .23, .15, .1, .1, .07, .07]))  # fmt: skip
    low, high = {"corridor": ((1.3, 4), (2.3, 14)), "bathroom": ((1.8, 2), (4, 4.5)),
                 "shop": ((5, 6), (12, 16))}.get(kind, ((2.8, 3), (7, 8)))  # fmt: skip
    tall = rng.uniform(2.3, 2.9) if rng.random() < 0.75 else rng.uniform(2.9, 4.5)
    size = np.array([rng.uniform(low[0], high[0]), tall, rng.uniform(low[1], high[1])])
    attic = kind in ("living", "bedroom", "office", "bathroom") and rng.random() < 0.2
    if attic:
        size[1] = max(tall, rng.uniform(2.6, 4.2))
    canvas.camera = _camera(canvas.camera, size, attic, rng)
    night = canvas.light.night or rng.random() < 0.12
    view = str(rng.choice(["green", "facade", "white"], p=[.53, .35, .12]))  # fmt: skip
    view = "sky" if with_sky else "night" if night else view
    outside = Canvas(canvas.camera, canvas.light)
    if view in ("sky", "green", "facade"):
        _outdoors(outside, size, view, rng, paint_sky)
    tint = [(1, .95, .86), (1, .98, .95), (.9, .96, 1.04), (1, .8, .52), (1, .88, .68)][rng.integers(5)]  # fmt: skip
    ambient = np.array(tint) * np.exp(rng.uniform(np.log(0.12), np.log(0.7)))
    canvas.light = replace(canvas.light, ambient=ambient * 0.9, sun=np.zeros(3), haze=0.0)
    canvas.image[:] = ambient * 0.4  # shows in the seams between two faces
    canvas.labels[:] = canvas.instances[:] = LABEL_ID["building"]
    room = Room(canvas, outside, kind, size, ambient, view, seed)
    look = _look(room, rng)
    walls, slopes = _shell(room, attic, rng)
    plans = [_plan_windows(room, wall, rng) for wall in walls + slopes]
    lamps = hang_lamps(room, attic, np.array(tint), rng)
    _paint_shell(room, walls, slopes, look)
    for wall, plan in zip(walls + slopes, plans, strict=True):
        for hole in plan:
            _paint_window(room, wall, hole, rng)
    furnish(room, walls, plans, look, rng)
    for paint in lamps:
        paint()
    if rng.random() < 0.12:
        spot = room.eye * [1, 0, 1] + canvas.camera.rotation[2] * [1, 0, 1] * rng.uniform(1.8, 4)
        room.things.append((spot, lambda: draw_person(canvas, spot, rng.uniform(1.5, 1.85), seed)))
    for _, paint in sorted(room.things, key=lambda t: -np.linalg.norm((t[0] - room.eye)[[0, 2]])):
        paint()


def _camera(old: Camera, size, attic, rng) -> Camera:
    """Moves the camera into the room and turns it: along the room, to a corner, close to a wall."""
    width, tall, depth = size
    mode = rng.choice(["along", "corner", "close", "any"], p=[0.35, 0.35, 0.15, 0.15])
    yaw = {"along": rng.normal(0, 9), "corner": rng.choice([-1, 1]) * rng.uniform(25, 62),
           "close": rng.normal(0, 25), "any": rng.uniform(-180, 180)}[str(mode)]  # fmt: skip
    pitch = rng.normal(-2, 7)
    if rng.random() < 0.22:
        pitch = rng.uniform(10, 42) if rng.random() < 0.65 else rng.uniform(-40, -15)
    yaw, pitch = np.radians(yaw), np.radians(pitch)
    x = width / 2 - np.sin(yaw) * width * 0.34 + rng.normal(0, 0.1) * width
    z = depth - rng.uniform(1.0, 2.6) if mode == "close" else (
        depth / 2 - np.cos(yaw) * depth * rng.uniform(0.2, 0.45))  # fmt: skip
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


def _outdoors(outside: Canvas, size, view: str, rng, paint_sky) -> None:
    """What is seen through the windows: sky over land, trees, or the house across."""
    paint_sky(outside)
    ground, far = -rng.uniform(0.1, 9), rng.uniform(6, 25)
    green = np.array([0.36, 0.46, 0.2]) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.03, 3)
    low, high = np.array([-90, ground, -90]), np.array([90, ground, 90])
    land = [[low[0], ground, low[2]], [high[0], ground, low[2]], high, [low[0], ground, high[2]]]
    outside.polygon(land, green, "terrain", outside.light.on(UP))
    house = view == "facade" or (view == "sky" and rng.random() < 0.4)
    stone = np.array(_TONES[rng.integers(len(_TONES))]) * rng.uniform(0.6, 1)

    @cache
    def texture():
        h, w = 40 * 6, 80 * 6
        grain = noise((h, w), 1.5, np.random.default_rng(int(far * 1e6)), 1.0)[..., None]
        tex = np.array(stone if house else green) * 255 + grain * (5 if house else 32)
        if house:
            y, x = np.ogrid[:h, :w]
            tex[(y % 19 > 8) & (x % 13 > 7)] *= 0.35
        return np.clip(tex, 0, 255).astype(np.uint8), None

    s = np.linspace(0, 1, 81)
    rim = rng.uniform(0.0, 0.4) if view == "sky" else 1.0
    top = (s * 10 % 1 > 0.4) * 0.03 if house else 0.03 * np.sin(s * 80) + rng.normal(0, 0.012, 81)
    top = np.maximum(0.01, (rim * 9 - ground) / 40 + top if view == "sky" else s * 0 + 1)
    shape = np.concatenate([[[0, 0]], np.stack([s, top], 1), [[1, 0]]])
    for corner, across in (([-30, ground, size[2] + far], [80, 0, 0]), ([50, ground, -far], [-80, 0, 0]),
                           ([-far, ground, -40], [0, 0, 80]), ([size[0] + far, ground, 40], [0, 0, -80])):  # fmt: skip
        outside.plane(corner, across, UP * 40, lambda _: texture(), "building" if house else "vegetation",
                      outside.light.ambient + outside.light.sun * rng.uniform(0.1, 0.7), shape)  # fmt: skip
    outside.image *= np.exp(rng.uniform(0, np.log(4)))


def _look(room: Room, rng) -> dict:
    """Surfaces of walls, ceiling and floor, and the colors of frames and furniture."""

    def pick(colors):
        return np.clip(
            np.array(colors[rng.integers(len(colors))]) + rng.normal(0, 0.015, 3), 0.02, 0.99
        )

    white, wood = pick(_WHITES), pick(_WOODS)
    base = pick(_WHITES) if rng.random() < 0.62 else pick(_TONES)
    trim = white if rng.random() < 0.65 else wood
    bands = ((0, rng.uniform(0.05, 0.14), trim),) if rng.random() < 0.75 else ()
    if rng.random() < 0.35:
        bands += ((-rng.uniform(0.05, 0.2), 0.01, white), (-0.24, -0.22, base * 0.8))
    if rng.random() < 0.12:
        bands += ((0.14, 0.9, pick(_TONES)), (0.9, 0.96, trim))
    kind = str(rng.choice(["plain", "stripes", "motif", "blocks", "boards"], p=[.66, .07, .1, .09, .08]))  # fmt: skip
    if room.kind == "bathroom" and rng.random() < 0.75:
        kind = "blocks"
    cell = {"blocks": (rng.uniform(0.1, 0.6), rng.uniform(0.06, 0.4)), "boards": (9, rng.uniform(0.08, 0.2)),
            "stripes": (rng.uniform(0.06, 0.4), 1)}.get(kind, (rng.uniform(0.12, 0.6),) * 2)  # fmt: skip
    ink = np.clip(base * rng.uniform(0.75, 1.1) + rng.normal(0, 0.04, 3), 0.05, 0.98)
    if kind == "boards" and rng.random() < 0.7:
        base, ink = wood, wood * 0.6
    wall = Surface(base, kind, ink, cell, rng.uniform(0.2, 2.2), bands, room.seed)
    accent = replace(wall, color=pick(_TONES), kind="plain") if rng.random() < 0.25 else wall
    ceiling = Surface(white, "plain", None, (0.6, 0.6), rng.uniform(0.2, 1.5), (), room.seed + 1)
    if rng.random() < 0.14:
        ceiling = replace(ceiling, color=wood, kind="boards", ink=wood * 0.6, cell=(3, 0.12))
    elif room.kind in ("office", "shop", "corridor") and rng.random() < 0.5:
        ceiling = replace(ceiling, kind="blocks", ink=white * 0.8)
    elif rng.random() < 0.2:
        ceiling = replace(ceiling, color=base)
    tone = (
        wood
        if rng.random() < 0.6
        else pick(_TONES)
        if rng.random() < 0.6
        else white * rng.uniform(0.6, 0.95)
    )
    floor = Surface(
        tone,
        "boards",
        tone * 0.7,
        (rng.uniform(0.5, 1.8), rng.uniform(0.07, 0.2)),
        5,
        (),
        room.seed + 2,
    )
    if rng.random() < 0.4 or room.kind in ("bathroom", "shop"):
        floor = replace(floor, kind=str(rng.choice(["blocks", "plain", "check"], p=[.55, .35, .1])), color=pick(_TONES) * rng.uniform(.6, 1),
                        cell=(rng.uniform(0.2, 0.8),) * 2, rough=8)  # fmt: skip
    return {"wall": wall, "accent": accent, "ceiling": ceiling, "floor": floor, "wood": wood,
            "trim": trim, "beams": rng.random() < 0.13, "cloth": pick(_TONES), "white": white}  # fmt: skip


def _shell(room: Room, attic: bool, rng) -> tuple[list[Wall], list[Wall]]:
    """The four walls, and the ceilings as frames: one, or the two slopes of an attic."""
    width, tall, depth = room.size
    x, z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    knee = tall * rng.uniform(0.3, 0.6) if attic else tall
    walls = [Wall(np.array([0, 0, depth]), x, -z, width, tall), Wall(np.zeros(3), z, x, depth, knee),
             Wall(np.array([width, 0, depth]), -z, -x, depth, knee), Wall(np.array([width, 0, 0]), -x, z, width, tall)]  # fmt: skip
    if not attic:
        return walls, [Wall(np.array([0, tall, depth]), x, -UP, width, depth, -z)]
    run = np.array([width / 2, tall - knee, 0])
    long = float(np.hypot(*run[:2]))
    rise, other = run / long, run * [-1, 1, 1] / long
    left = np.array([rise[1], -rise[0], 0])
    return walls, [Wall(np.array([0, knee, 0]), z, left, depth, long, rise),
                   Wall(np.array([width, knee, depth]), -z, left * [-1, 1, 1], depth, long, other)]  # fmt: skip


def _paint_shell(room: Room, walls, slopes, look) -> None:
    width, tall, depth = room.size
    room.face(np.zeros(3), np.array([width, 0, 0]), np.array([0, 0, depth]), UP, look["floor"])
    knee = walls[1].height / tall
    gable = np.array([[0, 0], [1, 0], [1, knee], [0.5, 1], [0, knee]]) if knee < 1 else None
    for i, wall in enumerate(walls):
        surface = look["accent"] if i == room.seed % 4 else look["wall"]
        room.face(wall.origin, wall.along * wall.length, UP * wall.height, wall.inward, surface,
                  gable if i in (0, 3) else None)  # fmt: skip
    for slope in slopes:
        room.face(
            slope.origin,
            slope.along * slope.length,
            slope.rise * slope.height,
            slope.inward,
            look["ceiling"],
        )
    if look["beams"]:
        for slope in slopes:
            reach, deep = (
                (slope.length, slope.height) if slope.rise[1] else (slope.height, slope.length)
            )
            for a in np.arange(0.4, reach, 0.9):
                span = ((a, a + 0.14), (0, deep)) if slope.rise[1] else ((0, deep), (a, a + 0.14))
                room.panel(
                    slope,
                    *span,
                    0.03,
                    Surface(look["wood"] * 0.7, "boards", look["wood"] * 0.5, (2, 0.05)),
                )


def _plan_windows(room: Room, wall: Wall, rng) -> list:
    """(a0, a1, y0, y1) of the windows of one wall; they also light the room."""
    holes, skylight = [], wall.rise[1] < 0.99
    if (skylight and wall.rise[1] == 0) or rng.random() > (0.75 if room.view == "sky" else 0.42):
        return holes
    door = not skylight and rng.random() < 0.3
    wide, a = rng.uniform(0.6, 1.4) if skylight else rng.uniform(0.7, 2.4), rng.uniform(0.3, 1.5)
    low = 0.05 if door else rng.uniform(0.3, 1.2)
    high = min(low + (rng.uniform(1.9, 2.3) if door else rng.uniform(0.7, 1.7)), wall.height - 0.15)
    gap = rng.uniform(0.15, 1.2)
    while a + wide < wall.length - 0.2 and high - low > 0.4:
        holes.append((a, a + wide, low, high))
        a += wide + gap
        if rng.random() < 0.5:
            break
    if room.view != "night":
        power = room.ambient * rng.uniform(0.4, 1.6) * [0.95, 1, 1.07]
        for a0, a1, y0, y1 in holes:
            place = wall.at((a0 + a1) / 2, (y0 + y1) / 2, -0.25)
            room.sources.append((place, power * (a1 - a0) * (y1 - y0), wall.inward))
    return holes


def _cover(canvas: Canvas, points, box) -> np.ndarray:
    """(h, w) uint8 coverage of a world polygon in a pixel box."""
    alpha = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    found = canvas.outline(points)
    if found is not None:
        shift = (np.array(found[0][:2]) - box[:2]) * 16
        cv2.fillPoly(alpha, [(found[1] + shift).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha


def _paint_window(room: Room, wall: Wall, hole, rng) -> None:
    """One window: reveal, frame, panes that show the outside to the pixel, curtain or blind."""
    canvas, (a0, a1, y0, y1) = room.canvas, hole
    deep, frame, casing = rng.uniform(0.04, 0.25), rng.uniform(0.03, 0.08), rng.uniform(0, 0.12)
    columns, rows = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    color = np.array([(.95, .95, .95), (.95, .95, .95), (.5, .35, .22), (.15, .15, .16)][rng.integers(4)])  # fmt: skip
    veil, cloth = rng.choice(["", "curtain", "sheer", "blind"], p=[.42, .3, .1, .18]), rng.choice(17)  # fmt: skip
    fill, lift = np.ones(3) * rng.uniform(0.5, 5), rng.uniform(0.2, 0.9)
    if room.view == "night":
        fill = np.array([0.004, 0.005, 0.009]) * rng.uniform(0.3, 3)
    daylight = room.ambient * (0.5 if room.view == "night" else rng.uniform(1, 2.5))
    found = canvas.outline(wall.quad(a0, a1, y0, y1))
    if found is None:
        return
    box = found[0]
    if casing > 0.03:
        canvas.polygon(
            wall.quad(a0 - casing, a1 + casing, y0 - casing, y1 + casing),
            color,
            "building",
            room.ambient,
        )
    opening = _cover(canvas, wall.quad(a0, a1, y0, y1), box)
    canvas.paint(*box[:2], canvas.tint((0.93, 0.93, 0.92), daylight, 0), opening, "building")
    sash = np.minimum(opening, _cover(canvas, wall.quad(a0, a1, y0, y1, -deep), box))
    canvas.paint(*box[:2], canvas.tint(color, daylight * 0.7, 0), sash, "building")
    patch = np.s_[box[1] : box[3], box[0] : box[2]]
    shows = room.view in ("sky", "green", "facade")
    for i in range(columns):
        for k in range(rows):
            left, right = (a0 + (a1 - a0) * (i + j) / columns for j in (0, 1))
            bottom, top = (y0 + (y1 - y0) * (k + j) / rows for j in (0, 1))
            pane = wall.quad(left + frame, right - frame, bottom + frame, top - frame, -deep)
            glass = np.minimum(opening, _cover(canvas, pane, box))
            if not shows:
                canvas.paint(*box[:2], fill.astype(np.float32), glass, "building")
                continue
            canvas.paint(*box[:2], np.ascontiguousarray(room.outside.image[patch]), glass, None)
            seen = glass >= 128
            canvas.labels[patch][seen] = room.outside.labels[patch][seen]
            canvas.instances[patch][seen] = room.outside.instances[patch][seen]
    if room.view == "night" and room.sources:
        glow(canvas, wall.at(rng.uniform(a0, a1), rng.uniform(y0, y1)), room.ambient * 2, 0.05)
    if wall.rise[1] < 0.99:
        return
    tone = np.array((_WHITES + _TONES)[cloth])
    if veil == "sheer":
        light = daylight * (0.7 if room.view == "night" else 2.5)
        room_surface = Surface(tone * 0.4 + 0.58, "stripes", tone * 0.4 + 0.5, (0.12, 1), 2)
        _hang(
            room, wall, (a0 - 0.15, a1 + 0.15), (max(0.03, y0 - 0.3), y1 + 0.1), room_surface, light
        )
    elif veil == "blind":
        slats = Surface(tone * 0.3 + 0.67, "boards", tone * 0.5, (9, 0.05), 1)
        _hang(
            room, wall, (a0 - 0.02, a1 + 0.02), (y1 - (y1 - y0) * lift, y1 + 0.05), slats, daylight
        )
    elif veil == "curtain":
        folds = Surface(tone, "stripes", tone * 0.75, (0.14, 1), 4)
        low = 0.03 if rng.random() < 0.6 else max(0.03, y0 - 0.15)
        part = (a1 - a0) * rng.uniform(0.12, 0.4)
        for span in ((a0 - 0.3, a0 + part), (a1 - part, a1 + 0.3)):
            _hang(room, wall, span, (low, y1 + 0.15), folds, None)


def _hang(room: Room, wall: Wall, a, y, surface: Surface, light) -> None:
    """A curtain before the wall, lit from the room or shone through."""
    if light is None:
        room.panel(wall, a, y, 0.1, surface)
        return

    def texture(px):
        h, w = max(4, round((y[1] - y[0]) * px)), max(4, round((a[1] - a[0]) * px))
        return np.clip(surface.draw(h, w, px), 0, 255).astype(np.uint8), None

    room.canvas.plane(wall.at(a[0], y[0], 0.09), wall.along * (a[1] - a[0]), UP * (y[1] - y[0]),
                      texture, "building", light)  # fmt: skip
