"""Windows of drawn rooms: the light they let in, panes, curtains, blinds and patches of sun."""

from collections.abc import Iterator

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.interior import TONES, WHITES, Room, Surface, Wall
from skyseg_tf.data.drawing.parts import glow
from skyseg_tf.labels import LABEL_ID

_FRAMES = ((0.95, 0.95, 0.95), (0.95, 0.95, 0.95), (0.5, 0.35, 0.22), (0.15, 0.15, 0.16))
_VEILS = {"": 0.42, "curtain": 0.3, "sheer": 0.1, "blind": 0.18}


def plan_windows(room: Room, wall: Wall, rng) -> list:
    """(a0, a1, y0, y1) of the windows of one wall; they also light the room."""
    holes, skylight = [], wall.rise[1] < 0.99
    if (skylight and wall.rise[1] == 0) or rng.random() > (0.85 if room.view == "sky" else 0.42):
        return holes
    door = not skylight and rng.random() < 0.3
    wide, a = rng.uniform(0.6, 1.4) if skylight else rng.uniform(0.7, 3.0), rng.uniform(0.2, 1.5)
    low = 0.05 if door else rng.uniform(0.3, 1.2)
    high = min(low + (rng.uniform(1.9, 2.3) if door else rng.uniform(0.7, 2.0)), wall.height - 0.15)
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


def paint_window(room: Room, wall: Wall, hole, rng) -> None:
    """One window: reveal, frame, panes that show the outside to the pixel, curtain or blind."""
    canvas, (a0, a1, y0, y1) = room.canvas, hole
    deep, frame, casing = rng.uniform(0.04, 0.25), rng.uniform(0.03, 0.08), rng.uniform(0, 0.12)
    grid = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    color = np.array(_FRAMES[rng.integers(4)])
    veil = str(rng.choice(list(_VEILS), p=list(_VEILS.values())))
    tone, weave = rng.choice(17), str(rng.choice(["folds", "folds", "stripes"]))
    dark, lift = np.ones(3) * rng.uniform(0.5, 5), rng.uniform(0.2, 0.9)
    if room.view == "night":
        dark = np.array([0.004, 0.005, 0.009]) * rng.uniform(0.3, 3)
    daylight = room.ambient * (0.5 if room.view == "night" else rng.uniform(1, 2.5))
    found = canvas.outline(wall.quad(a0, a1, y0, y1))
    if found is None:
        return
    box = found[0]
    if casing > 0.03:
        around = wall.quad(a0 - casing, a1 + casing, y0 - casing, y1 + casing)
        canvas.polygon(around, color, "building", room.ambient)
    opening = _cover(canvas, wall.quad(a0, a1, y0, y1), box)
    canvas.paint(*box[:2], canvas.tint((0.93, 0.93, 0.92), daylight, 0), opening, "building")
    sash = np.minimum(opening, _cover(canvas, wall.quad(a0, a1, y0, y1, -deep), box))
    canvas.paint(*box[:2], canvas.tint(color, daylight * 0.7, 0), sash, "building")
    for pane in _panes(wall, hole, grid, frame, deep):
        _paint_pane(room, np.minimum(opening, _cover(canvas, pane, box)), box, dark)
    if room.view == "night" and room.sources:
        glow(canvas, wall.at(rng.uniform(a0, a1), rng.uniform(y0, y1)), room.ambient * 2, 0.05)
    if wall.rise[1] >= 0.99:  # nothing hangs before a skylight
        cloth = np.array((WHITES + TONES)[tone])
        _hang_veil(room, wall, hole, (veil, cloth, weave, lift), daylight, rng)


def _hang_veil(room: Room, wall: Wall, hole, look: tuple, daylight, rng) -> None:
    """A sheer, a blind or curtains before a window; look: which, its color, weave and lift."""
    (a0, a1, y0, y1), (veil, cloth, weave, lift) = hole, look
    if veil == "sheer":
        light = daylight * (0.7 if room.view == "night" else 2.5)
        thin = Surface(cloth * 0.4 + 0.58, "folds", None, (0.13, 1), 1)
        _hang(room, wall, (a0 - 0.15, a1 + 0.15), (max(0.03, y0 - 0.3), y1 + 0.1), thin, light)
    elif veil == "blind":
        slats = Surface(cloth * 0.3 + 0.67, "boards", cloth * 0.5, (9, 0.05), 1)
        low = y1 - (y1 - y0) * lift
        _hang(room, wall, (a0 - 0.02, a1 + 0.02), (low, y1 + 0.05), slats, daylight)
    elif veil == "curtain":
        folds = Surface(cloth, weave, cloth * 0.75, (0.16, 1), 3)
        low = 0.03 if rng.random() < 0.6 else max(0.03, y0 - 0.15)
        part = (a1 - a0) * rng.uniform(0.12, 0.4)
        for span in ((a0 - 0.3, a0 + part), (a1 - part, a1 + 0.3)):
            _hang(room, wall, span, (low, y1 + 0.15), folds, None)


def _panes(wall: Wall, hole, grid: tuple[int, int], frame: float, deep: float) -> Iterator:
    """World polygons of the glass, column by column; it lies `deep` metres behind the wall."""
    a0, a1, y0, y1 = hole
    columns, rows = grid
    for i in range(columns):
        for k in range(rows):
            left, right = (a0 + (a1 - a0) * (i + j) / columns for j in (0, 1))
            bottom, top = (y0 + (y1 - y0) * (k + j) / rows for j in (0, 1))
            yield wall.quad(left + frame, right - frame, bottom + frame, top - frame, -deep)


def _paint_pane(room: Room, glass: np.ndarray, box, dark: np.ndarray) -> None:
    """Lets the outside through where there is glass, labels and all, or shows one light.

    Args:
      room: its canvases.
      glass: (h, w) uint8 coverage.
      box: of it in the picture, pixels.
      dark: (3,) light where nothing is to be seen outside.
    """
    canvas, outside = room.canvas, room.outside
    if room.view not in ("sky", "green", "facade"):
        canvas.paint(*box[:2], dark.astype(np.float32), glass, "building")
        return
    patch = np.s_[box[1] : box[3], box[0] : box[2]]
    canvas.paint(*box[:2], np.ascontiguousarray(outside.image[patch]), glass, None)
    seen = glass >= 128
    canvas.labels[patch][seen] = outside.labels[patch][seen]
    canvas.instances[patch][seen] = outside.instances[patch][seen]


def _hang(room: Room, wall: Wall, a, y, surface: Surface, light) -> None:
    """A curtain before the wall, lit from the room or shone through."""
    if light is None:
        room.panel(wall, a, y, 0.1, surface)
        return

    def texture(px):
        h, w = max(4, round((y[1] - y[0]) * px)), max(4, round((a[1] - a[0]) * px))
        return np.clip(surface.draw(h, w, px), 0, 255).astype(np.uint8), None

    room.canvas.plane(
        wall.at(a[0], y[0], 0.09),
        wall.along * (a[1] - a[0]),
        UP * (y[1] - y[0]),
        texture,
        "building",
        light,
    )


def paint_sunbeams(room: Room, walls, plans, rng) -> None:
    """Brightens patches of sun behind the windows, on the floor and on a wall."""
    drift, reach, gain = rng.uniform(-1.2, 1.2), rng.uniform(0.5, 1.6), rng.uniform(0.6, 3)
    strikes = rng.integers(4)
    patches = []
    for wall, (a0, a1, y0, y1) in (
        (w, hole) for w, plan in zip(walls, plans, strict=False) for hole in plan
    ):
        if wall is walls[strikes]:
            corners = [(a0, y0), (a1, y0), (a1, y1), (a0, y1)]
            patches.append([wall.at(a + drift * y, 0.005, 0.05 + reach * y) for a, y in corners])
    if rng.random() < 0.3:
        wall = walls[(strikes + 1) % 4]
        a, y = wall.length * rng.uniform(0, 0.6), rng.uniform(0.3, 1.2)
        patches.append(
            [wall.at(a + x, y + v, 0.01) for x, v in ((0, 0), (1, 0.1), (1.5, 1.1), (0.5, 1))]
        )
    for points in patches:
        found = room.canvas.outline(np.clip(points, 0, room.size))
        if found is None:
            continue
        x0, y0, x1, y1 = box = found[0]
        share = _cover(room.canvas, np.clip(points, 0, room.size), box).astype(np.float32) / 255
        indoors = room.canvas.labels[y0:y1, x0:x1] == LABEL_ID["building"]
        tint = (share * indoors * gain)[..., None] * [1.0, 0.95, 0.85]
        room.canvas.image[y0:y1, x0:x1] *= 1 + tint
