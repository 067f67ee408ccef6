"""What the surfaces of drawn rooms look like: walls, ceiling, floor, and the colors of the rest."""

from dataclasses import replace

import numpy as np

from skyseg_tf.data.drawing.interior import TONES, WHITES, Room, Surface

_WOODS = [
    (0.72, 0.55, 0.36),
    (0.55, 0.38, 0.24),
    (0.82, 0.68, 0.5),
    (0.4, 0.26, 0.17),
    (0.63, 0.58, 0.52),
]
_PATTERNS = {"plain": 0.66, "stripes": 0.07, "motif": 0.1, "blocks": 0.09, "boards": 0.08}
_FLOORS = {"blocks": 0.55, "plain": 0.35, "check": 0.1}


def draw_look(room: Room, rng: np.random.Generator) -> dict:
    """Surfaces of walls, ceiling and floor, and the colors of frames and furniture."""
    white, wood = _vary(rng, WHITES), _vary(rng, _WOODS)
    wall, trim = _draw_wall(room, white, wood, rng)
    accent = wall
    if rng.random() < 0.25:
        accent = replace(wall, color=_vary(rng, TONES), kind="plain")
    return {
        "wall": wall,
        "accent": accent,
        "ceiling": _draw_ceiling(room, white, wood, wall.color, rng),
        "floor": _draw_floor(room, white, wood, rng),
        "wood": wood,
        "trim": trim,
        "beams": rng.random() < 0.13,
        "cloth": _vary(rng, TONES),
        "white": white,
    }


def _vary(rng, colors) -> np.ndarray:
    """One of several display colors, a little off."""
    chosen = np.array(colors[rng.integers(len(colors))])
    return np.clip(chosen + rng.normal(0, 0.015, 3), 0.02, 0.99)


def _draw_wall(room: Room, white, wood, rng) -> tuple[Surface, np.ndarray]:
    """The walls' surface with its bands (skirting, rails, panelling), and the color of trims."""
    base = _vary(rng, WHITES) if rng.random() < 0.62 else _vary(rng, TONES)
    trim = white if rng.random() < 0.65 else wood
    bands = ((0, rng.uniform(0.05, 0.14), trim),) if rng.random() < 0.75 else ()
    if rng.random() < 0.35:
        bands += ((-rng.uniform(0.05, 0.2), 0.01, white), (-0.24, -0.22, base * 0.8))
    if rng.random() < 0.12:
        bands += ((0.14, 0.9, _vary(rng, TONES)), (0.9, 0.96, trim))
    kind = str(rng.choice(list(_PATTERNS), p=list(_PATTERNS.values())))
    if room.kind == "bathroom" and rng.random() < 0.75:
        kind = "blocks"
    # Every pattern draws its cell, whichever is taken: what follows stays the same.
    cell = {
        "blocks": (rng.uniform(0.1, 0.6), rng.uniform(0.06, 0.4)),
        "boards": (9, rng.uniform(0.08, 0.2)),
        "stripes": (rng.uniform(0.06, 0.4), 1),
    }.get(kind, (rng.uniform(0.12, 0.6),) * 2)
    ink = np.clip(base * rng.uniform(0.75, 1.1) + rng.normal(0, 0.04, 3), 0.05, 0.98)
    if kind == "boards" and rng.random() < 0.7:
        base, ink = wood, wood * 0.6
    return Surface(base, kind, ink, cell, rng.uniform(0.2, 2.2), bands, room.seed), trim


def _draw_ceiling(room: Room, white, wood, wall, rng) -> Surface:
    ceiling = Surface(white, "plain", None, (0.6, 0.6), rng.uniform(0.2, 1.5), (), room.seed + 1)
    if rng.random() < 0.14:
        return replace(ceiling, color=wood, kind="boards", ink=wood * 0.6, cell=(3, 0.12))
    if room.kind in ("office", "shop", "corridor") and rng.random() < 0.5:
        return replace(ceiling, kind="blocks", ink=white * 0.8)
    return replace(ceiling, color=wall) if rng.random() < 0.2 else ceiling


def _draw_floor(room: Room, white, wood, rng) -> Surface:
    if rng.random() < 0.6:
        tone = wood
    elif rng.random() < 0.6:
        tone = _vary(rng, TONES)
    else:
        tone = white * rng.uniform(0.6, 0.95)
    cell = (rng.uniform(0.5, 1.8), rng.uniform(0.07, 0.2))
    boards = Surface(tone, "boards", tone * 0.7, cell, 5, (), room.seed + 2)
    if rng.random() >= 0.4 and room.kind not in ("bathroom", "shop"):
        return boards
    kind = str(rng.choice(list(_FLOORS), p=list(_FLOORS.values())))
    color = _vary(rng, TONES) * rng.uniform(0.6, 1)
    return replace(boards, kind=kind, color=color, cell=(rng.uniform(0.2, 0.8),) * 2, rough=8)
