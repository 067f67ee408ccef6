"""Lamps below the ceilings of drawn rooms, and their light."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from skyseg_tf.data.drawing.interior import Group, Room, Wall
from skyseg_tf.data.drawing.parts import glow


@dataclass(frozen=True)
class Kind:
    """One kind of lamp.

    Attributes:
      chance: how often.
      step: metres from one to the next, where they fill the ceiling.
      panel: half its width and length in metres, where it lies in the ceiling.
      corners: of such a panel.
      drop: range of the metres that it hangs down.
      glows: whether it has a visible glow around it.
    """

    chance: float
    step: float | None = None
    panel: tuple[float, float] | None = None
    corners: int = 4
    drop: tuple[float, float] | None = None
    glows: bool = True


_LAMPS = {
    "none": Kind(0.2, glows=False),
    "bulb": Kind(0.2),
    "pendant": Kind(0.2, drop=(0.4, 0.9)),
    "spots": Kind(0.14, step=1.1, panel=(0.05, 0.05), corners=12),
    "panels": Kind(0.08, step=1.8, panel=(0.3, 0.3), glows=False),
    "tubes": Kind(0.08, step=2.2, panel=(0.07, 0.6), glows=False),
    "fan": Kind(0.1, drop=(0.4, 0.9)),
}
_AT_WORK = ("panels", "tubes", "spots")
_WORKPLACES, _AT_WORK_CHANCE = ("office", "shop", "corridor"), 0.6
_LIT_CHANCE, _TWO_CHANCE = 0.7, 0.35
_SHORT_DROP = 0.12  # metres
_FAN_COLOR, _CORD_COLOR, _OFF_COLOR = (0.2, 0.15, 0.12), (0.15, 0.15, 0.15), (0.9, 0.9, 0.88)


def hang_lamps(room: Room, attic: bool, tint: np.ndarray, rng) -> list[Callable]:
    """Adds the light of ceiling lamps to the room and returns what paints them: call it last."""
    name = _choose(room, attic, rng)
    kind, tall = _LAMPS[name], room.size[1]
    lit, power = rng.random() < _LIT_CHANCE, tint * room.ambient.mean() * rng.uniform(0.4, 1.6)
    light = tint * max(room.ambient.mean(), 0.2) * (rng.uniform(2.5, 7) if lit else 0.7)
    spots = _spots(room, name, rng)
    drop = rng.uniform(*kind.drop) if kind.drop else _SHORT_DROP
    if lit and name != "none":
        share = power * (1.6 if len(spots) < 3 else 2.5 / len(spots))
        for x, z in spots[:: max(1, len(spots) // 6)]:
            room.sources.append((np.array([x, tall - max(drop, 0.25), z]), share, None))
    size = rng.uniform(0.15, 0.4)
    paints = []
    for x, z in sorted(spots, key=lambda s: -np.hypot(s[0] - room.eye[0], s[1] - room.eye[2])):
        group = _hang(room, name, np.array([x, tall - 0.015, z]), drop, size, lit, light, rng)
        if lit and kind.glows:
            place = np.array([x, tall - 0.015 - drop - 0.05, z])
            group.parts.append(partial(glow, room.canvas, place, light * 0.15, size * 0.7))
        paints.append(lambda group=group: [part() for part in group.parts])
    return paints


def _choose(room: Room, attic: bool, rng) -> str:
    name = str(rng.choice(list(_LAMPS), p=[kind.chance for kind in _LAMPS.values()]))
    if room.kind in _WORKPLACES and rng.random() < _AT_WORK_CHANCE:
        name = str(rng.choice(_AT_WORK))
    if attic and _LAMPS[name].panel:  # there is no level ceiling
        name = "pendant"
    return name


def _spots(room: Room, name: str, rng) -> list[tuple[float, float]]:
    """Where lamps hang: (x, z) in metres."""
    width, _, depth = room.size
    if step := _LAMPS[name].step:
        across, along = np.arange(0.6, width - 0.4, step), np.arange(0.6, depth - 0.4, step)
        return [(x, z) for x in across for z in along]
    if name != "none" and rng.random() < _TWO_CHANCE:
        return [(width / 2, depth * 0.3), (width / 2, depth * 0.72)]
    return [(width / 2, depth / 2)]


def _hang(room: Room, name: str, top, drop: float, size: float, lit: bool, light, rng) -> Group:
    """One lamp below the point `top` of the ceiling."""
    frame = Wall(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), 0, 0)
    group, kind = Group(room, frame), _LAMPS[name]
    x, y, z = top
    paint = partial(room.canvas.polygon, label="building", light=light)
    if kind.panel:
        wide, long = kind.panel
        turn = np.linspace(0, 2 * np.pi, kind.corners, endpoint=False) + np.pi / 4
        ring = [[x + wide * 1.41 * np.cos(k), y, z + long * 1.41 * np.sin(k)] for k in turn]
        group.parts.append(partial(paint, ring, (1, 1, 1)))
    elif name == "fan":
        group.bars([(x, y - drop, z)], [(x, y, z)], 0.05, _FAN_COLOR)
        turn = rng.uniform(0, 1.2) + np.arange(5) * 2 * np.pi / 5
        starts, ends = (
            [(x + r * np.cos(k), y - drop, z + r * np.sin(k)) for k in turn] for r in (0.1, 0.6)
        )
        group.bars(starts, ends, 0.1, _FAN_COLOR)
        group.bars([(x, y - drop - 0.2, z)], [(x, y - drop, z)], 0.2, (1, 1, 1), light)
    elif name != "none":
        group.bars([(x, y - drop, z)], [(x, y, z)], 0.02, _CORD_COLOR)
        color = (1, 1, 1) if lit else rng.uniform(0.2, 0.95, 3)
        group.bars([(x, y - drop - size * 0.6, z)], [(x, y - drop, z)], size, color, light)
    if name == "bulb":  # a ball in place of the shade
        right, down = (room.canvas.camera.rotation[k] * size * 0.45 for k in (0, 1))
        hung = np.array([x, y - drop - size * 0.3, z])
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
        ball = hung + right * np.cos(turn) + down * np.sin(turn)
        group.parts[-1] = partial(paint, ball, (1, 1, 1) if lit else _OFF_COLOR)
    return group
