"""Pieces of furniture of drawn rooms, made of boxes and bars.

Each paints one of (room, wall, a, wide, look, rng): from `a` on along the wall, so wide, in metres; with
the surfaces and colors of `look` (see rooms.py), and what else it has by chance.
"""

import numpy as np

from skyseg_tf.data.drawing.fittings import hang_mirror, motif
from skyseg_tf.data.drawing.interior import Group, Surface, fronts

_BRIGHT = np.array([1.0, 0.9, 0.72])


def tone(rng) -> np.ndarray:
    """A display color: mostly muted, at times a strong one."""
    vivid = 0.3 if rng.random() < 0.25 else 0.07
    return np.clip(rng.uniform(0.08, 0.92) + rng.normal(0, vivid, 3), 0.03, 0.97)


def pillar(room, wall, a, wide, look, rng) -> None:
    """A pillar or a chimney breast from floor to ceiling, white or like the wall."""
    group, deep = Group(room, wall), rng.uniform(0.12, 0.6)
    wide = wide if rng.random() < 0.5 else 0.4
    color = look["wall"].color if rng.random() < 0.6 else look["white"]
    group.box((a, a + wide), (0, wall.height - 0.01), (0, deep), color, look["accent"])
    group.done((a, a + wide), (0, deep))


def sofa(room, wall, a, wide, look, rng, n=0.05) -> None:
    """A sofa with its cushions."""
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
        group.box((x, x + 0.42), (seat, seat + 0.36), (n + 0.22, n + 0.36), tone(rng))
    for x in (a, a + wide - 0.18):
        group.box((x, x + 0.18), (0.08, 0.62), (n, n + deep), color * 0.92)
    group.done((a, a + wide), (n, n + deep))


def bed(room, wall, a, wide, look, rng) -> None:
    """A bed with its head at the wall."""
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


def shelf(room, wall, a, wide, look, rng) -> None:
    """A shelf of books, up to the ceiling at most."""
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


def chest(room, wall, a, wide, look, rng, high=None, deep=None) -> None:
    """A chest of drawers, with things on it where it is low."""
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
            _thing(group, x, size, high, rng.uniform(0.08, 0.35), rng)
        if rng.random() < 0.3:
            _stand(group, a + wide / 2, high, 0.2, 0.35, room, rng)
    group.done((a, a + wide), (0, deep))


def _thing(group, x, size, y, tall, rng) -> None:
    """What stands on a piece, of any color."""
    group.box((x, x + size), (y, y + tall), (0.1, 0.1 + size), tone(rng))


def _stand(group, a, y, n, tall, room, rng) -> None:
    """A table or floor lamp, mostly lit."""
    group.bars([(a, y, n)], [(a, y + tall, n)], 0.03, rng.uniform(0.1, 0.7, 3))
    power = _BRIGHT * rng.uniform(0.1, 0.5)
    if rng.random() < 0.7:
        group.lamp(a, y + tall, n, rng.uniform(0.2, 0.35), power)
    else:
        group.bars([(a, y + tall, n)], [(a, y + tall + 0.25, n)], 0.28, rng.uniform(0.3, 0.95, 3))


def lamp(room, wall, a, wide, look, rng) -> None:
    """A floor lamp."""
    group = Group(room, wall)
    _stand(group, a + 0.25, 0, 0.3, rng.uniform(1.1, 1.6), room, rng)
    group.done((a, a + 0.5), (0, 0.6))


def plant(room, wall, a, wide, look, rng) -> None:
    """A plant in its pot."""
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


def tv(room, wall, a, wide, look, rng) -> None:
    """A television on a low chest, on or off."""
    chest(room, wall, a, wide, look, rng, rng.uniform(0.35, 0.6), 0.45)
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


def units(room, wall, a, wide, look, rng) -> None:
    """Kitchen units with a worktop, and mostly cupboards above."""
    color = [look["wood"], np.full(3, 0.94), look["cloth"] * 0.8, np.full(3, 0.25)][rng.integers(4)]
    group, columns, style = Group(room, wall), max(2, round(wide / 0.5)), rng.random()
    group.box((a, a + wide), (0.05, 0.87), (0, 0.6), color, fronts(color, columns, 1, style))
    group.box((a, a + wide), (0.87, 0.92), (0, 0.64), rng.uniform(0.1, 0.9) * np.ones(3))
    for _ in range(int(rng.integers(1, 6))):
        x, size = a + rng.uniform(0.1, wide - 0.3), rng.uniform(0.06, 0.25)
        _thing(group, x, size, 0.92, rng.uniform(0.1, 0.35), rng)
    if rng.random() < 0.75:
        group.box((a, a + wide), (1.45, 2.15), (0, 0.35), color, fronts(color, columns, 1, style))
    group.done((a, a + wide), (0, 0.64))


def fire(room, wall, a, wide, look, rng) -> None:
    """A fireplace."""
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


def basin(room, wall, a, wide, look, rng) -> None:
    """A washbasin below a mirror."""
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


def desk(room, wall, a, wide, look, rng) -> None:
    """A desk with a screen and a chair."""
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
    color = tone(rng) if rng.random() < 0.4 else look["wood"] * rng.uniform(0.5, 1)
    legs = [(a + x, 0, n + z) for x in (-0.2, 0.2) for z in (0, 0.4)]
    group.bars(legs, [(x, 0.45, z) for x, _, z in legs], 0.035, color * 0.7)
    group.box((a - 0.22, a + 0.22), (0.43, 0.48), (n, n + 0.42), color)
    group.box((a - 0.21, a + 0.21), (0.6, 0.95), (n + 0.39, n + 0.42), color * 0.95)


def table(room, wall, a, wide, look, rng, n=0.1) -> None:
    """A table with its chairs, or a low one."""
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
        tone(rng),
    )
    if not low:
        for x in (0.25, 0.75):
            _chair(group, a + wide * x, n + deep - 0.1, look, rng)
    group.done((a, a + wide), (n - 0.4, n + deep + 0.4))


def board(room, wall, a, wide, look, rng) -> None:
    """A white board on the wall."""
    room.panel(wall, (a, a + wide), (0.9, 1.9), 0.03, Surface(np.full(3, 0.96)))


def wardrobe(room, wall, a, wide, look, rng) -> None:
    """A wardrobe."""
    chest(room, wall, a, wide, look, rng, 2.05, 0.6)


def fridge(room, wall, a, wide, look, rng) -> None:
    """A refrigerator."""
    chest(room, wall, a, wide, look, rng, 1.75, 0.62)


def tub(room, wall, a, wide, look, rng) -> None:
    """A bathtub."""
    chest(room, wall, a, wide, look | {"wood": look["white"]}, rng, 0.55, 0.75)


def shower(room, wall, a, wide, look, rng) -> None:
    """A shower's pane of glass."""
    glass = Surface(np.array([0.8, 0.87, 0.88]), rough=1)
    room.panel(wall, (a, a + wide), (0.05, 2.0), 0.8, glass)
