"""Furniture, pictures and lamps of drawn rooms: boxes along the walls and in the middle."""

from collections.abc import Callable

import cv2
import numpy as np

from skyseg_tf.data.scene_canvas import noise
from skyseg_tf.data.scene_interior import UP, Room, Surface, Wall
from skyseg_tf.data.scene_parts import glow

_FITTINGS = {
    "living": [
        "sofa",
        "sofa",
        "shelf",
        "tv",
        "picture",
        "picture",
        "plant",
        "lamp",
        "chest",
        "mirror",
        "fire",
        "door",
    ],
    "bedroom": [
        "bed",
        "bed",
        "bed",
        "wardrobe",
        "picture",
        "picture",
        "mirror",
        "lamp",
        "chest",
        "door",
        "plant",
    ],
    "kitchen": ["units", "units", "units", "fridge", "shelf", "door", "picture", "table"],
    "bathroom": ["basin", "basin", "tub", "shower", "mirror", "chest", "door"],
    "office": ["desk", "desk", "shelf", "board", "picture", "plant", "wardrobe", "door"],
    "corridor": ["door", "door", "door", "picture", "picture", "mirror", "chest", "lamp"],
    "shop": ["shelf", "shelf", "shelf", "wardrobe", "fridge", "board", "units"],
}
_WIDE = {"sofa": 2.0, "shelf": 1.3, "tv": 1.6, "picture": 0.9, "plant": 0.6, "lamp": 0.5, "chest": 1.1,
         "mirror": 0.8, "fire": 1.4, "door": 0.95, "bed": 2.0, "wardrobe": 1.7, "units": 2.6, "fridge": 0.75,
         "basin": 1.0, "tub": 1.7, "shower": 1.0, "desk": 1.5, "board": 1.6, "table": 1.3}  # fmt: skip
_FLAT = ("picture", "door", "mirror", "board")
_BRIGHT = np.array([1.0, 0.9, 0.72])


class Group:
    """Boxes, bars and panels that are painted together, in the order in which they are added."""

    def __init__(self, room: Room, frame: Wall):
        self.room, self.frame, self.parts = room, frame, []

    def box(self, a, y, n, color, surface: Surface | None = None) -> None:
        """Adds a box; `a`, `y`, `n` are its (low, high) in the frame, metres."""
        self.parts.append(lambda: self._box(a, y, n, color, surface))

    def bars(self, starts, ends, width, color, light=None, label="building") -> None:
        """Adds round bars between points of the frame."""
        frame, canvas = self.frame, self.room.canvas
        pairs = [[frame.at(*p) for p in points] for points in (starts, ends)]
        self.parts.append(lambda: canvas.lines(*pairs, width, color, label, light))

    def lamp(self, a, y, n, size: float, power) -> None:
        """Adds a bright shade with its glow."""
        light = power / power.mean() * 2.5 * max(self.room.ambient.mean(), 0.25)
        self.bars([(a, y, n)], [(a, y + size, n)], size, (1, 1, 1), light)
        place = self.frame.at(a, y + size / 2, n)
        self.parts.append(lambda: glow(self.room.canvas, place, light * 0.4, size * 0.5))

    def done(self, a, n) -> None:
        """Hands the group to the room unless the camera stands in it."""
        eye = self.room.eye - self.frame.origin
        at, off = float(eye @ self.frame.along), float(eye @ self.frame.inward)
        if a[0] - 0.45 < at < a[1] + 0.45 and n[0] - 0.45 < off < n[1] + 0.45:
            return
        middle = self.frame.at((a[0] + a[1]) / 2, 0, (n[0] + n[1]) / 2)
        self.room.things.append((middle, lambda: [part() for part in self.parts]))

    def _box(self, a, y, n, color, surface) -> None:
        frame, room = self.frame, self.room
        eye = room.eye - frame.origin
        eye = eye @ frame.along, eye[1], eye @ frame.inward
        spans, axes = (a, y, n), (frame.along, UP, frame.inward)
        base = Surface(np.asarray(color), rough=4, seed=room.seed)
        for axis in range(3):
            side = 0 if eye[axis] < spans[axis][0] else 1 if eye[axis] > spans[axis][1] else None
            if side is None:
                continue
            one, two = ((2, 1), (0, 2), (0, 1))[axis]
            low = [span[0] for span in spans]
            low[axis] = spans[axis][side]
            normal = axes[axis] * (2 * side - 1)
            across, up = (axes[k] * (spans[k][1] - spans[k][0]) for k in (one, two))
            corner = frame.at(low[0], low[1], low[2])
            size = float(np.linalg.norm(across) * np.linalg.norm(up))
            if size > 0.25 and room.canvas.camera.sees(corner + (across + up) / 2, 2):
                tex = surface if surface is not None and axis == 2 else base
                room.face(corner, across, up, normal, tex, None, 4)
            else:
                light = room.shine((corner + (across + up) / 2)[None], normal)[0]
                corners = [corner, corner + across, corner + across + up, corner + up]
                room.canvas.polygon(corners, color, "building", light)


def furnish(room: Room, walls, plans, look: dict, rng) -> None:
    """Fills the walls with furniture and pictures, and the middle with tables, carpets and islands.

    Args:
      room: to fill; flat things are painted at once, others added to its things.
      walls: the four walls.
      plans: windows of each wall, which nothing hangs before.
      look: colors of scene_rooms.
      rng: of the choice.
    """
    full = rng.uniform(0.3, 1.0) ** 0.6
    carpet = rng.random() < 0.4 and room.kind not in ("bathroom", "shop", "kitchen")
    if carpet:
        _carpet(room, look, rng)
    for wall, holes in zip(walls, plans, strict=False):
        a = rng.uniform(0.1, 0.6)
        while a < wall.length - 0.6:
            kind = str(rng.choice(_FITTINGS[room.kind]))
            wide = _WIDE[kind] * rng.uniform(0.8, 1.25)
            high = {"wardrobe": 2.1, "shelf": 1.9, "door": 2.05, "fridge": 1.8, "units": 2.2}.get(
                kind, 1.6
            )
            before = any(x0 < a + wide and x1 > a and (y0 < 1.0 or kind in _FLAT or high > 1.7)
                         for x0, x1, y0, y1 in holes)  # fmt: skip
            if rng.random() > full or a + wide > wall.length - 0.05 or before or high > wall.height:
                a += rng.uniform(0.3, 0.9)
                continue
            _FURNITURE[kind](room, wall, a, wide, look, rng)
            above = kind in ("sofa", "bed", "chest", "desk") and wall.height > 2
            if (
                above
                and rng.random() < 0.6
                and not any(x0 < a + wide and x1 > a for x0, x1, *_ in holes)
            ):
                _picture(room, wall, a + wide * 0.2, wide * 0.6, look, rng, low=1.35)
            a += wide + rng.uniform(0.05, 0.8)
    if room.size[0] > 2.6 and room.size[2] > 2.6:
        for _ in range(int(rng.integers(0, 3))):
            _middle(room, look, rng)


def _frame(room: Room, x: float, z: float, angle: float) -> Wall:
    """A frame anywhere on the floor."""
    along = np.array([np.cos(angle), 0, np.sin(angle)])
    return Wall(np.array([x, 0, z]), along, np.array([-along[2], 0, along[0]]), 0, 0)


def _carpet(room, look, rng) -> None:
    w, d = room.size[[0, 2]] * rng.uniform(0.35, 0.7, 2)
    x, z = room.size[0] / 2 - w / 2, room.size[2] / 2 - d / 2
    kind = str(rng.choice(["plain", "motif", "stripes", "check"]))
    surface = Surface(rng.uniform(0.15, 0.85, 3) * 0.6 + 0.3 * look["cloth"], kind, rng.uniform(0.1, 0.9, 3),
                      (rng.uniform(0.1, 0.5),) * 2, 12, (), room.seed)  # fmt: skip
    room.face(np.array([x, 0.01, z]), np.array([w, 0, 0]), np.array([0, 0, d]), UP, surface)


def _sofa(room, wall, a, wide, look, rng, n=0.05) -> None:
    group, deep, seat = Group(room, wall), rng.uniform(0.75, 1.0), rng.uniform(0.38, 0.46)
    color = (
        np.clip(look["cloth"] * rng.uniform(0.5, 1.1), 0.03, 0.97)
        if rng.random() < 0.7
        else np.ones(3) * rng.uniform(0.1, 0.9)
    )
    group.box((a, a + wide), (0.1, rng.uniform(0.75, 0.95)), (n, n + 0.22), color * 0.95)
    group.box((a, a + wide), (0.08, seat), (n + 0.2, n + deep), color)
    for _ in range(int(rng.integers(1, 5))):
        x = a + 0.25 + (wide - 0.7) * rng.random()
        group.box(
            (x, x + 0.42), (seat, seat + 0.36), (n + 0.22, n + 0.36), rng.uniform(0.1, 0.95, 3)
        )
    for x in (a, a + wide - 0.18):
        group.box((x, x + 0.18), (0.08, 0.62), (n, n + deep), color * 0.92)
    group.done((a, a + wide), (n, n + deep))


def _bed(room, wall, a, wide, look, rng) -> None:
    group, long = Group(room, wall), rng.uniform(1.9, 2.2)
    cover = np.array(rng.choice([[.95, .95, .94], [.9, .88, .84], [.5, .55, .6], [.7, .15, .15], [.2, .25, .4]]))  # fmt: skip
    group.box(
        (a, a + wide),
        (0.1, rng.uniform(0.8, 1.4)),
        (0.02, 0.1),
        look["wood"] * rng.uniform(0.5, 1.1),
    )
    group.box((a, a + wide), (0.05, 0.32), (0.1, long), look["wood"] * 0.8)
    group.box(
        (a + 0.03, a + wide - 0.03), (0.3, 0.55), (0.1, long - 0.02), np.array([0.94, 0.94, 0.93])
    )
    group.box((a, a + wide), (0.28, 0.6), (rng.uniform(0.6, 1.5), long + 0.03), cover,
              Surface(cover, "motif", cover * 0.85, (0.25, 0.25), 6))  # fmt: skip
    for x in (0.08, wide / 2 + 0.05):
        shade = cover if rng.random() < 0.3 else np.array([0.96, 0.96, 0.95])
        group.box((a + x, a + x + wide * 0.38), (0.55, 0.8), (0.12, 0.4), shade)
    group.done((a, a + wide), (0, long))


def _shelf(room, wall, a, wide, look, rng) -> None:
    group, high, deep = (
        Group(room, wall),
        min(wall.height - 0.05, rng.uniform(1.2, 2.4)),
        rng.uniform(0.25, 0.4),
    )
    color = look["trim"] if rng.random() < 0.5 else look["wood"]
    pitch, filled, seed = rng.uniform(0.28, 0.42), rng.uniform(0.4, 1), int(rng.integers(1e6))

    def books(h, w, px):
        r = np.random.default_rng(seed)
        tex = np.full((h, w, 3), color * 255, np.float32)
        for bottom in np.arange(0.05, high - 0.15, pitch):
            x, y1 = 0.04, h - int(bottom * px)
            tex[
                max(0, y1 - int((pitch - 0.03) * px)) : y1, int(0.03 * px) : w - int(0.03 * px)
            ] *= 0.45
            while x < wide - 0.08:
                step, tall = r.uniform(0.02, 0.07), pitch * r.uniform(0.5, 0.85)
                if r.random() < filled:
                    spine = r.uniform(0.05, 0.95, 3) * 200 if r.random() < 0.7 else np.full(3, 215)
                    tex[
                        max(0, y1 - int(tall * px)) : y1,
                        int(x * px) : max(int(x * px) + 1, int((x + step) * px)),
                    ] = spine
                x += step
        return tex

    group.box((a, a + wide), (0, high), (0, deep), color, books)
    group.done((a, a + wide), (0, deep))


def _fronts(color, columns, rows, knob) -> Callable:
    """A texture of doors or drawers."""

    def texture(h, w, px):
        tex = np.full((h, w, 3), np.asarray(color) * 255, np.float32)
        for i in range(columns):
            for k in range(rows):
                x0, x1 = (int(w * (i + j) / columns) for j in (0, 1))
                y0, y1 = (int(h * (k + j) / rows) for j in (0, 1))
                cv2.rectangle(tex, (x0, y0), (x1, y1), (np.asarray(color) * 150).tolist(), 1)
                inset = max(2, int(0.07 * px))
                if knob > 0.5:
                    cv2.rectangle(
                        tex,
                        (x0 + inset, y0 + inset),
                        (x1 - inset, y1 - inset),
                        (np.asarray(color) * 205).tolist(),
                        1,
                    )
                x, y = (x1 - inset, (y0 + y1) // 2) if rows == 1 else ((x0 + x1) // 2, y0 + inset)
                cv2.circle(tex, (x, y), max(1, int(0.02 * px)), (60, 55, 50), -1)
        return tex + noise((h, w), px * 0.1, np.random.default_rng(1), 1.2)[..., None] * 2

    return texture


def _chest(room, wall, a, wide, look, rng, high=None, deep=None) -> None:
    group = Group(room, wall)
    high, deep = high or rng.uniform(0.5, 1.0), deep or rng.uniform(0.35, 0.6)
    color = [look["wood"], look["trim"], look["cloth"] * 0.8, np.full(3, 0.93)][rng.integers(4)]
    columns = max(1, round(wide / 0.55))
    group.box(
        (a, a + wide),
        (0, high),
        (0, deep),
        color,
        _fronts(color, columns, 1 if high > 1.3 else 3, rng.random()),
    )
    if high < 1.2:
        for _ in range(int(rng.integers(0, 4))):
            x, size = a + rng.uniform(0.1, wide - 0.2), rng.uniform(0.05, 0.14)
            group.box(
                (x, x + size),
                (high, high + rng.uniform(0.08, 0.35)),
                (0.1, 0.1 + size),
                rng.uniform(0.1, 0.9, 3),
            )
        if rng.random() < 0.3:
            _stand(group, a + wide / 2, high, 0.2, 0.35, room, rng)
    group.done((a, a + wide), (0, deep))


def _stand(group, a, y, n, tall, room, rng) -> None:
    """A table or floor lamp, mostly lit."""
    group.bars([(a, y, n)], [(a, y + tall, n)], 0.03, rng.uniform(0.1, 0.7, 3))
    power = _BRIGHT * rng.uniform(0.1, 0.5)
    if rng.random() < 0.7:
        group.lamp(a, y + tall, n, rng.uniform(0.2, 0.35), power)
    else:
        group.bars([(a, y + tall, n)], [(a, y + tall + 0.25, n)], 0.28, rng.uniform(0.3, 0.95, 3))


def _lamp(room, wall, a, wide, look, rng) -> None:
    group = Group(room, wall)
    _stand(group, a + 0.25, 0, 0.3, rng.uniform(1.1, 1.6), room, rng)
    group.done((a, a + 0.5), (0, 0.6))


def _plant(room, wall, a, wide, look, rng) -> None:
    group, high = Group(room, wall), rng.uniform(0.5, 1.7)
    group.bars([(a + 0.3, 0, 0.35)], [(a + 0.3, 0.3, 0.35)], 0.3, rng.uniform(0.15, 0.9, 3))
    count, t = 45, rng.uniform(0, 2 * np.pi, 45)
    reach, y = rng.uniform(0.1, 0.5, count), 0.3 + (high - 0.3) * rng.random(count) ** 0.6
    starts = [(a + 0.3, max(0.3, v - 0.35), 0.35) for v in y]
    ends = [
        (a + 0.3 + r * np.cos(k), v, 0.35 + 0.6 * r * np.sin(k))
        for r, k, v in zip(reach, t, y, strict=True)
    ]
    group.bars(
        starts,
        ends,
        0.05,
        np.array([0.25, 0.4, 0.15]) * rng.uniform(0.6, 1.3),
        room.ambient,
        "vegetation",
    )
    group.done((a, a + 0.6), (0, 0.7))


def _tv(room, wall, a, wide, look, rng) -> None:
    _chest(room, wall, a, wide, look, rng, rng.uniform(0.35, 0.6), 0.45)
    group, low = Group(room, wall), rng.uniform(0.65, 1.0)
    shown, seed, dark = rng.random() < 0.35, int(rng.integers(1e6)), rng.uniform(2, 30)

    def screen(h, w, px):
        tex = np.linspace(dark * 2, dark, h, dtype=np.float32)[:, None, None] * np.ones(
            (h, w, 3), np.float32
        )
        if shown:
            tex = _motif(h, w, seed)
        tex[:2] = tex[-2:] = tex[:, :2] = tex[:, -2:] = 8
        return tex

    group.box(
        (a + 0.1, a + wide - 0.1),
        (low, low + (wide - 0.2) * 0.56),
        (0.05, 0.1),
        (0.03, 0.03, 0.03),
        screen,
    )
    group.done((a, a + wide), (0, 0.46))


def _motif(h: int, w: int, seed: int) -> np.ndarray:
    """(h, w, 3) float32 picture: a land with blue sky, blots, stripes, or a face of one color."""
    r = np.random.default_rng(seed)
    y = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    kind = r.integers(4)
    if kind == 0:
        top, low = np.array([90, 150, 225]) * r.uniform(0.7, 1.1), np.array([215, 228, 240])
        tex = top + (low - top) * np.repeat(y, w, 1) * 1.5
        tex += np.clip(noise((h, w), max(1, w / 60), r, 1.6), 0, 2)[..., None] * 30
        ridge = 0.6 + 0.1 * noise((1, w), max(1, w / 60), r, 1.6)[0]
        tex[y[:, :, 0] > ridge] = r.uniform(30, 150, 3)
        return tex.astype(np.float32)
    tex = np.full((h, w, 3), r.uniform(20, 250, 3), np.float32)
    if kind == 1:
        for _ in range(6):
            blot = noise((h, w), max(1, w / r.uniform(20, 80)), r, 1.6) > r.uniform(0, 1.2)
            tex[blot] = r.uniform(10, 250, 3)
    elif kind == 2:
        for _ in range(5):
            x0, y0 = int(r.uniform(0, w)), int(r.uniform(0, h))
            tex[y0 : y0 + h // 3 + 1, x0 : x0 + w // 3 + 1] = r.uniform(10, 250, 3)
    return tex


def _picture(room, wall, a, wide, look, rng, low=None) -> None:
    low = low or rng.uniform(1.1, 1.5)
    high = min(low + wide * rng.uniform(0.5, 1.3), wall.height - 0.1)
    seed, mat = int(rng.integers(1e6)), rng.random() < 0.4
    rim = np.array([(.05, .05, .05), (.95, .95, .95), (.6, .45, .2), (.45, .3, .2)][rng.integers(4)]) * 255  # fmt: skip

    def texture(h, w, px):
        tex = _motif(h, w, seed)
        edge = max(1, int(0.03 * px))
        if mat:
            tex[: 3 * edge] = tex[h - 3 * edge :] = tex[:, : 3 * edge] = tex[:, w - 3 * edge :] = (
                240
            )
        tex[:edge] = tex[h - edge :] = tex[:, :edge] = tex[:, w - edge :] = rim
        return tex

    room.panel(wall, (a, a + wide), (low, high), 0.02, texture)


def _mirror(room, wall, a, wide, look, rng) -> None:
    low = rng.choice([0.1, 1.0])
    small = cv2.resize(room.canvas.image[:, ::-1], (64, 64), interpolation=cv2.INTER_AREA)
    seen = np.sqrt(np.clip(small / max(room.ambient.max(), 1e-3), 0, 1)) * 245

    def texture(h, w, px):
        tex = cv2.resize(seen.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
        edge = max(1, int(0.03 * px))
        tex[:edge] = tex[h - edge :] = tex[:, :edge] = tex[:, w - edge :] = look["wood"] * 200
        return tex

    room.panel(
        wall,
        (a, a + wide),
        (low, min(low + rng.uniform(0.8, 1.7), wall.height - 0.1)),
        0.02,
        texture,
    )


def _door(room, wall, a, wide, look, rng) -> None:
    color = look["wood"] if rng.random() < 0.35 else np.full(3, rng.uniform(0.85, 0.96))
    room.panel(wall, (a - 0.07, a + wide + 0.07), (0, 2.12), 0.015, Surface(color * 0.95))
    if rng.random() < 0.35:  # open: a part of the next room
        next_room, lit = look["white"] * rng.uniform(0.2, 1), rng.uniform(0, 0.5)
        surface = Surface(
            next_room,
            bands=((0, rng.uniform(0.15, 0.5), look["floor"].color * (0.4 + lit)),),
            seed=room.seed,
        )
        room.panel(wall, (a, a + wide), (0, 2.04), 0.02, surface)
    else:
        room.panel(wall, (a, a + wide), (0, 2.04), 0.02, _fronts(color, 1, 1, rng.random()))


def _units(room, wall, a, wide, look, rng) -> None:
    color = [look["wood"], np.full(3, 0.94), look["cloth"] * 0.8, np.full(3, 0.25)][rng.integers(4)]
    group, columns, style = Group(room, wall), max(2, round(wide / 0.5)), rng.random()
    group.box((a, a + wide), (0.05, 0.87), (0, 0.6), color, _fronts(color, columns, 1, style))
    group.box((a, a + wide), (0.87, 0.92), (0, 0.64), rng.uniform(0.1, 0.9) * np.ones(3))
    for _ in range(int(rng.integers(1, 6))):
        x, size = a + rng.uniform(0.1, wide - 0.3), rng.uniform(0.06, 0.25)
        group.box(
            (x, x + size),
            (0.92, 0.92 + rng.uniform(0.1, 0.35)),
            (0.1, 0.1 + size),
            rng.uniform(0.05, 0.95, 3),
        )
    if rng.random() < 0.75:
        group.box((a, a + wide), (1.45, 2.15), (0, 0.35), color, _fronts(color, columns, 1, style))
    group.done((a, a + wide), (0, 0.64))


def _fire(room, wall, a, wide, look, rng) -> None:
    group, color = Group(room, wall), rng.uniform(0.3, 0.95) * np.ones(3)
    group.box(
        (a, a + wide),
        (0, 1.1),
        (0, 0.3),
        color,
        Surface(color, "blocks", color * 0.7, (0.3, 0.12), 6),
    )
    group.box((a + wide * 0.25, a + wide * 0.75), (0.1, 0.7), (0.3, 0.31), (0.04, 0.03, 0.03))
    group.box((a - 0.1, a + wide + 0.1), (1.1, 1.17), (0, 0.4), look["wood"] * 0.8)
    group.done((a, a + wide), (0, 0.4))


def _basin(room, wall, a, wide, look, rng) -> None:
    group, white = Group(room, wall), np.array([0.95, 0.95, 0.96])
    group.box(
        (a, a + wide), (0.45, 0.8), (0, 0.48), look["wood"] if rng.random() < 0.5 else white * 0.97
    )
    group.box((a + 0.1, a + wide - 0.1), (0.8, 0.92), (0.05, 0.45), white)
    group.bars([(a + wide / 2, 0.9, 0.06)], [(a + wide / 2, 1.1, 0.06)], 0.03, (0.6, 0.6, 0.62))
    _mirror(room, wall, a + 0.05, wide - 0.1, look, rng)
    if rng.random() < 0.5:
        group.lamp(a + wide / 2, 2.0, 0.12, 0.12, _BRIGHT)
    group.done((a, a + wide), (0, 0.5))


def _desk(room, wall, a, wide, look, rng) -> None:
    group, color = Group(room, wall), look["wood"] if rng.random() < 0.6 else np.full(3, 0.9)
    deep = rng.uniform(0.6, 0.8)
    legs = [
        (a + 0.05, 0, 0.05),
        (a + wide - 0.05, 0, 0.05),
        (a + 0.05, 0, deep),
        (a + wide - 0.05, 0, deep),
    ]
    group.bars(legs, [(x, 0.72, n) for x, _, n in legs], 0.05, color * 0.6)
    group.box((a, a + wide), (0.72, 0.76), (0, deep), color)
    x = a + rng.uniform(0.1, wide - 0.7)
    group.box(
        (x, x + 0.55),
        (0.86, 1.2),
        (0.15, 0.19),
        (0.04, 0.04, 0.05),
        Surface(rng.uniform(0.05, 0.9, 3)),
    )
    _chair(group, a + wide / 2, deep + 0.15, look, rng)
    group.done((a, a + wide), (0, deep + 0.6))


def _chair(group, a, n, look, rng) -> None:
    color = rng.uniform(0.08, 0.9, 3) if rng.random() < 0.4 else look["wood"] * rng.uniform(0.5, 1)
    legs = [(a + x, 0, n + z) for x in (-0.2, 0.2) for z in (0, 0.4)]
    group.bars(legs, [(x, 0.45, z) for x, _, z in legs], 0.035, color * 0.7)
    group.box((a - 0.22, a + 0.22), (0.43, 0.48), (n, n + 0.42), color)
    group.box((a - 0.21, a + 0.21), (0.6, 0.95), (n + 0.39, n + 0.42), color * 0.95)


def _table(room, wall, a, wide, look, rng, n=0.1) -> None:
    low, deep = rng.random() < 0.4, rng.uniform(0.6, 0.95)
    high, group, color = (
        0.42 if low else 0.75,
        Group(room, wall),
        look["wood"] * rng.uniform(0.5, 1.15),
    )
    if not low:
        _chair(group, a + wide * 0.5, n - 0.4, look, rng)
    legs = [(x, 0, z) for x in (a + 0.06, a + wide - 0.06) for z in (n + 0.06, n + deep - 0.06)]
    group.bars(legs, [(x, high, z) for x, _, z in legs], 0.06, color * 0.8)
    group.box((a, a + wide), (high - 0.05, high), (n, n + deep), np.clip(color, 0, 0.97))
    x = a + wide * rng.uniform(0.2, 0.7)
    group.box(
        (x, x + 0.15),
        (high, high + rng.uniform(0.05, 0.3)),
        (n + 0.3, n + 0.45),
        rng.uniform(0.1, 0.95, 3),
    )
    if not low:
        for x in (0.25, 0.75):
            _chair(group, a + wide * x, n + deep - 0.1, look, rng)
    group.done((a, a + wide), (n - 0.4, n + deep + 0.4))


def _middle(room, look, rng) -> None:
    x, z = room.size[0] * rng.uniform(0.3, 0.7), room.size[2] * rng.uniform(0.3, 0.75)
    frame = _frame(room, x, z, rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.1))
    kind = {"kitchen": "units", "shop": "shelf", "bathroom": "chest"}.get(room.kind, "table")
    if kind == "table" and rng.random() < 0.35:
        _sofa(room, frame, -0.6, rng.uniform(0.9, 2), look, rng)
    elif kind == "table":
        _table(room, frame, -0.6, rng.uniform(0.8, 1.7), look, rng)
    else:
        _chest(room, frame, -0.8, 1.6, look, rng, rng.uniform(0.8, 1.2), 0.7)


def hang_lamps(room: Room, attic: bool, tint: np.ndarray, rng) -> list[Callable]:
    """Adds the light of ceiling lamps to the room and returns what paints them: call it last."""
    kind = str(rng.choice(["none", "bulb", "pendant", "spots", "panels", "tubes", "fan"], p=[.2, .2, .2, .14, .08, .08, .1]))  # fmt: skip
    if room.kind in ("office", "shop", "corridor") and rng.random() < 0.6:
        kind = str(rng.choice(["panels", "tubes", "spots"]))
    if attic and kind in ("panels", "tubes", "spots"):
        kind = "pendant"
    width, tall, depth = room.size
    on, power = rng.random() < 0.7, tint * room.ambient.mean() * rng.uniform(0.4, 1.6)
    light = tint * max(room.ambient.mean(), 0.2) * (rng.uniform(2.5, 7) if on else 0.7)
    frame = Wall(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), 0, 0)
    steps = {"spots": 1.1, "panels": 1.8, "tubes": 2.2}.get(kind)
    if steps is None:
        spots = [(width / 2, depth / 2)]
        if kind != "none" and rng.random() < 0.35:
            spots = [(width / 2, depth * 0.3), (width / 2, depth * 0.72)]
    else:
        spots = [
            (x, z)
            for x in np.arange(0.6, width - 0.4, steps)
            for z in np.arange(0.6, depth - 0.4, steps)
        ]
    drop = rng.uniform(0.4, 0.9) if kind in ("pendant", "fan") else 0.12
    if on and kind != "none":
        share = power * (1.6 if len(spots) < 3 else 2.5 / len(spots))
        for x, z in spots[:: max(1, len(spots) // 6)]:
            room.sources.append((np.array([x, tall - max(drop, 0.25), z]), share, None))
    paints, dark = [], (0.2, 0.15, 0.12)
    size = rng.uniform(0.15, 0.4)
    for x, z in sorted(spots, key=lambda s: -np.hypot(s[0] - room.eye[0], s[1] - room.eye[2])):
        group, top = Group(room, frame), tall - 0.015
        if kind in ("panels", "tubes", "spots"):
            wide, long = {"panels": (0.3, 0.3), "tubes": (0.07, 0.6), "spots": (0.05, 0.05)}[kind]
            t = np.linspace(0, 2 * np.pi, 4 if kind != "spots" else 12, endpoint=False) + np.pi / 4
            ring = [[x + wide * 1.41 * np.cos(k), top, z + long * 1.41 * np.sin(k)] for k in t]
            group.parts.append(
                lambda ring=ring: room.canvas.polygon(ring, (1, 1, 1), "building", light)
            )
        elif kind == "fan":
            group.bars([(x, top - drop, z)], [(x, top, z)], 0.05, dark)
            turn = rng.uniform(0, 1.2) + np.arange(5) * 2 * np.pi / 5
            group.bars([(x + 0.1 * np.cos(k), top - drop, z + 0.1 * np.sin(k)) for k in turn],
                       [(x + 0.6 * np.cos(k), top - drop, z + 0.6 * np.sin(k)) for k in turn], 0.1, dark)  # fmt: skip
            group.bars([(x, top - drop - 0.2, z)], [(x, top - drop, z)], 0.2, (1, 1, 1), light)
        elif kind != "none":
            group.bars([(x, top - drop, z)], [(x, top, z)], 0.02, (0.15, 0.15, 0.15))
            group.bars([(x, top - drop - size * 0.6, z)], [(x, top - drop, z)], size,
                       (1, 1, 1) if on else rng.uniform(0.2, 0.95, 3), light)  # fmt: skip
        if on and kind not in ("none", "panels", "tubes"):
            place = np.array([x, top - drop - 0.05, z])
            group.parts.append(
                lambda place=place: glow(room.canvas, place, light * 0.15, size * 0.7)
            )
        paints.append(lambda group=group: [part() for part in group.parts])
    return paints


_FURNITURE = {
    "sofa": _sofa, "bed": _bed, "shelf": _shelf, "chest": _chest, "lamp": _lamp, "plant": _plant, "tv": _tv,
    "picture": _picture, "mirror": _mirror, "door": _door, "units": _units, "fire": _fire, "basin": _basin,
    "desk": _desk, "table": _table,
    "board": lambda room, wall, a, wide, look, rng: room.panel(wall, (a, a + wide), (0.9, 1.9), 0.03, Surface(np.full(3, 0.96))),
    "wardrobe": lambda room, wall, a, wide, look, rng: _chest(room, wall, a, wide, look, rng, 2.05, 0.6),
    "fridge": lambda room, wall, a, wide, look, rng: _chest(room, wall, a, wide, look, rng, 1.75, 0.62),
    "tub": lambda room, wall, a, wide, look, rng: _chest(room, wall, a, wide, look | {"wood": look["white"]}, rng, 0.55, 0.75),
    "shower": lambda room, wall, a, wide, look, rng: room.panel(wall, (a, a + wide), (0.05, 2.0), 0.8, Surface(np.array([.8, .87, .88]), rough=1)),
}  # fmt: skip
