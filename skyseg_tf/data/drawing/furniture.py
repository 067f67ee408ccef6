"""Furniture, pictures and lamps of drawn rooms: boxes along the walls and in the middle."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.fittings import hang_door, hang_mirror, hang_picture, motif
from skyseg_tf.data.drawing.interior import Group, Room, Surface, Wall, fronts

# What stands along the walls of each kind of room; what is named more often is more frequent.
_FITTINGS = {
    "living": "sofa sofa shelf tv picture picture plant lamp chest mirror fire door",
    "bedroom": "bed bed bed wardrobe picture picture mirror lamp chest door plant",
    "kitchen": "units units units fridge shelf door picture table",
    "bathroom": "basin basin tub shower mirror chest door",
    "office": "desk desk shelf board picture plant wardrobe door",
    "corridor": "door door door picture picture mirror chest lamp",
    "shop": "shelf shelf shelf wardrobe fridge board units",
}
_IN_THE_MIDDLE = {"kitchen": "units", "shop": "shelf", "bathroom": "chest"}  # elsewhere a table
_PILLAR_CHANCE = 0.05
_CARPET_CHANCE, _NO_CARPET = 0.4, ("bathroom", "shop", "kitchen")
_PICTURE_ABOVE_CHANCE = 0.6
_BRIGHT = np.array([1.0, 0.9, 0.72])


def _tone(rng) -> np.ndarray:
    """A display color: mostly muted, at times a strong one."""
    vivid = 0.3 if rng.random() < 0.25 else 0.07
    return np.clip(rng.uniform(0.08, 0.92) + rng.normal(0, vivid, 3), 0.03, 0.97)


def furnish(room: Room, walls, plans, look: dict, rng) -> None:
    """Fills the walls with furniture and pictures, and the middle with tables, carpets and islands.

    Args:
      room: to fill; flat things are painted at once, others added to its things.
      walls: the four walls.
      plans: windows of each wall, which nothing hangs before.
      look: surfaces and colors, of rooms.py.
      rng: of the choice.
    """
    full = rng.uniform(0.3, 1.0) ** 0.6
    if rng.random() < _CARPET_CHANCE and room.kind not in _NO_CARPET:
        _carpet(room, look, rng)
    for wall, holes in zip(walls, plans, strict=False):
        _fill_wall(room, wall, holes, full, look, rng)
    if room.size[0] > 2.6 and room.size[2] > 2.6:
        for _ in range(int(rng.integers(0, 3))):
            _middle(room, look, rng)


def _fill_wall(room: Room, wall: Wall, holes, full: float, look: dict, rng) -> None:
    """Furniture from left to right, with gaps where chance, a window or the height wants them."""
    fittings = _FITTINGS[room.kind].split()
    a = rng.uniform(0.1, 0.6)
    while a < wall.length - 0.6:
        kind = "pillar" if rng.random() < _PILLAR_CHANCE else str(rng.choice(fittings))
        piece = _FURNITURE[kind]
        wide = piece.width * rng.uniform(0.8, 1.25)
        before_window = any(
            x0 < a + wide and x1 > a and (y0 < 1.0 or piece.hangs or piece.height > 1.7)
            for x0, x1, y0, y1 in holes
        )
        too_large = a + wide > wall.length - 0.05 or piece.height > wall.height
        if rng.random() > full or before_window or too_large:
            a += rng.uniform(0.3, 0.9)
            continue
        piece.paint(room, wall, a, wide, look, rng)
        picture = piece.is_low and wall.height > 2 and rng.random() < _PICTURE_ABOVE_CHANCE
        if picture and not any(x0 < a + wide and x1 > a for x0, x1, *_ in holes):
            hang_picture(room, wall, a + wide * 0.2, wide * 0.6, look, rng, low=1.35)
        a += wide + rng.uniform(0.05, 0.8)


def _pillar(room, wall, a, wide, look, rng) -> None:
    """A pillar or a chimney breast from floor to ceiling, white or like the wall."""
    group, deep = Group(room, wall), rng.uniform(0.12, 0.6)
    wide = wide if rng.random() < 0.5 else 0.4
    color = look["wall"].color if rng.random() < 0.6 else look["white"]
    group.box((a, a + wide), (0, wall.height - 0.01), (0, deep), color, look["accent"])
    group.done((a, a + wide), (0, deep))


def _frame(room: Room, x: float, z: float, angle: float) -> Wall:
    """A frame anywhere on the floor."""
    along = np.array([np.cos(angle), 0, np.sin(angle)])
    return Wall(np.array([x, 0, z]), along, np.array([-along[2], 0, along[0]]), 0, 0)


def _carpet(room, look, rng) -> None:
    w, d = room.size[[0, 2]] * rng.uniform(0.35, 0.7, 2)
    x, z = room.size[0] / 2 - w / 2, room.size[2] / 2 - d / 2
    kind = str(rng.choice(["plain", "motif", "stripes", "check"]))
    surface = Surface(
        rng.uniform(0.15, 0.85, 3) * 0.6 + 0.3 * look["cloth"],
        kind,
        _tone(rng),
        (rng.uniform(0.1, 0.5),) * 2,
        12,
        (),
        room.seed,
    )
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
        group.box((x, x + 0.42), (seat, seat + 0.36), (n + 0.22, n + 0.36), _tone(rng))
    for x in (a, a + wide - 0.18):
        group.box((x, x + 0.18), (0.08, 0.62), (n, n + deep), color * 0.92)
    group.done((a, a + wide), (n, n + deep))


def _bed(room, wall, a, wide, look, rng) -> None:
    group, long = Group(room, wall), rng.uniform(1.9, 2.2)
    cover = np.array(
        rng.choice(
            [
                [0.95, 0.95, 0.94],
                [0.9, 0.88, 0.84],
                [0.5, 0.55, 0.6],
                [0.7, 0.15, 0.15],
                [0.2, 0.25, 0.4],
            ]
        )
    )
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
    group.box(
        (a, a + wide),
        (0.28, 0.6),
        (rng.uniform(0.6, 1.5), long + 0.03),
        cover,
        Surface(cover, "motif", cover * 0.85, (0.25, 0.25), 6),
    )
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
        fronts(color, columns, 1 if high > 1.3 else 3, rng.random()),
    )
    if high < 1.2:
        for _ in range(int(rng.integers(0, 4))):
            x, size = a + rng.uniform(0.1, wide - 0.2), rng.uniform(0.05, 0.14)
            group.box(
                (x, x + size),
                (high, high + rng.uniform(0.08, 0.35)),
                (0.1, 0.1 + size),
                _tone(rng),
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
            tex = motif(h, w, seed)
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


def _units(room, wall, a, wide, look, rng) -> None:
    color = [look["wood"], np.full(3, 0.94), look["cloth"] * 0.8, np.full(3, 0.25)][rng.integers(4)]
    group, columns, style = Group(room, wall), max(2, round(wide / 0.5)), rng.random()
    group.box((a, a + wide), (0.05, 0.87), (0, 0.6), color, fronts(color, columns, 1, style))
    group.box((a, a + wide), (0.87, 0.92), (0, 0.64), rng.uniform(0.1, 0.9) * np.ones(3))
    for _ in range(int(rng.integers(1, 6))):
        x, size = a + rng.uniform(0.1, wide - 0.3), rng.uniform(0.06, 0.25)
        group.box(
            (x, x + size),
            (0.92, 0.92 + rng.uniform(0.1, 0.35)),
            (0.1, 0.1 + size),
            _tone(rng),
        )
    if rng.random() < 0.75:
        group.box((a, a + wide), (1.45, 2.15), (0, 0.35), color, fronts(color, columns, 1, style))
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
    hang_mirror(room, wall, a + 0.05, wide - 0.1, look, rng)
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
    color = _tone(rng) if rng.random() < 0.4 else look["wood"] * rng.uniform(0.5, 1)
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
        _tone(rng),
    )
    if not low:
        for x in (0.25, 0.75):
            _chair(group, a + wide * x, n + deep - 0.1, look, rng)
    group.done((a, a + wide), (n - 0.4, n + deep + 0.4))


def _middle(room, look, rng) -> None:
    x, z = room.size[0] * rng.uniform(0.3, 0.7), room.size[2] * rng.uniform(0.3, 0.75)
    frame = _frame(room, x, z, rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.1))
    kind = _IN_THE_MIDDLE.get(room.kind, "table")
    if kind == "table" and rng.random() < 0.35:
        _sofa(room, frame, -0.6, rng.uniform(0.9, 2), look, rng)
    elif kind == "table":
        _table(room, frame, -0.6, rng.uniform(0.8, 1.7), look, rng)
    else:
        _chest(room, frame, -0.8, 1.6, look, rng, rng.uniform(0.8, 1.2), 0.7)


def _board(room, wall, a, wide, look, rng) -> None:
    room.panel(wall, (a, a + wide), (0.9, 1.9), 0.03, Surface(np.full(3, 0.96)))


def _wardrobe(room, wall, a, wide, look, rng) -> None:
    _chest(room, wall, a, wide, look, rng, 2.05, 0.6)


def _fridge(room, wall, a, wide, look, rng) -> None:
    _chest(room, wall, a, wide, look, rng, 1.75, 0.62)


def _tub(room, wall, a, wide, look, rng) -> None:
    _chest(room, wall, a, wide, look | {"wood": look["white"]}, rng, 0.55, 0.75)


def _shower(room, wall, a, wide, look, rng) -> None:
    glass = Surface(np.array([0.8, 0.87, 0.88]), rough=1)
    room.panel(wall, (a, a + wide), (0.05, 2.0), 0.8, glass)


@dataclass(frozen=True)
class Piece:
    """A piece of furniture.

    Attributes:
      paint: (room, wall, metres along the wall, width, look, rng) -> None.
      width: usual, metres.
      height: that a wall must have for it, metres; a high one stands before no window.
      hangs: whether it hangs on the wall, so that no window may be there.
      is_low: whether a picture may hang above it.
    """

    paint: Callable[..., None]
    width: float
    height: float = 1.6
    hangs: bool = False
    is_low: bool = False


_FURNITURE = {
    "sofa": Piece(_sofa, 2.0, is_low=True),
    "bed": Piece(_bed, 2.0, is_low=True),
    "shelf": Piece(_shelf, 1.3, height=1.9),
    "chest": Piece(_chest, 1.1, is_low=True),
    "lamp": Piece(_lamp, 0.5),
    "plant": Piece(_plant, 0.6),
    "tv": Piece(_tv, 1.6),
    "picture": Piece(hang_picture, 0.9, hangs=True),
    "mirror": Piece(hang_mirror, 0.8, hangs=True),
    "door": Piece(hang_door, 0.95, height=2.05, hangs=True),
    "units": Piece(_units, 2.6, height=2.2),
    "fire": Piece(_fire, 1.4),
    "basin": Piece(_basin, 1.0),
    "desk": Piece(_desk, 1.5, is_low=True),
    "pillar": Piece(_pillar, 1.3, height=2.2),
    "table": Piece(_table, 1.3),
    "board": Piece(_board, 1.6, hangs=True),
    "wardrobe": Piece(_wardrobe, 1.7, height=2.1),
    "fridge": Piece(_fridge, 0.75, height=1.8),
    "tub": Piece(_tub, 1.7),
    "shower": Piece(_shower, 1.0),
}
