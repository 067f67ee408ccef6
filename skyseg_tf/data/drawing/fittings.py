"""What hangs in drawn rooms: pictures, mirrors, doors, and lamps with their light."""

from collections.abc import Callable

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import noise
from skyseg_tf.data.drawing.interior import Group, Room, Surface, Wall, fronts
from skyseg_tf.data.drawing.parts import glow


def motif(h: int, w: int, seed: int) -> np.ndarray:
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


def hang_picture(room, wall, a, wide, look, rng, low=None) -> None:
    """Paints a framed picture on a wall, `low` metres above the floor."""
    low = low or rng.uniform(1.1, 1.5)
    high = min(low + wide * rng.uniform(0.5, 1.3), wall.height - 0.1)
    seed, mat = int(rng.integers(1e6)), rng.random() < 0.4
    rim = (
        np.array(
            [(0.05, 0.05, 0.05), (0.95, 0.95, 0.95), (0.6, 0.45, 0.2), (0.45, 0.3, 0.2)][
                rng.integers(4)
            ]
        )
        * 255
    )

    def texture(h, w, px):
        tex = motif(h, w, seed)
        edge = max(1, int(0.03 * px))
        if mat:
            tex[: 3 * edge] = tex[h - 3 * edge :] = tex[:, : 3 * edge] = tex[:, w - 3 * edge :] = (
                240
            )
        tex[:edge] = tex[h - edge :] = tex[:, :edge] = tex[:, w - edge :] = rim
        return tex

    room.panel(wall, (a, a + wide), (low, high), 0.02, texture)


def hang_mirror(room, wall, a, wide, look, rng) -> None:
    """Paints a mirror that shows the picture painted so far, turned round."""
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


def hang_door(room, wall, a, wide, look, rng) -> None:
    """Paints a door, closed or open to the next room."""
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
        room.panel(wall, (a, a + wide), (0, 2.04), 0.02, fronts(color, 1, 1, rng.random()))


def hang_lamps(room: Room, attic: bool, tint: np.ndarray, rng) -> list[Callable]:
    """Adds the light of ceiling lamps to the room and returns what paints them: call it last."""
    kind = str(
        rng.choice(
            ["none", "bulb", "pendant", "spots", "panels", "tubes", "fan"],
            p=[0.2, 0.2, 0.2, 0.14, 0.08, 0.08, 0.1],
        )
    )
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
            group.bars(
                [(x + 0.1 * np.cos(k), top - drop, z + 0.1 * np.sin(k)) for k in turn],
                [(x + 0.6 * np.cos(k), top - drop, z + 0.6 * np.sin(k)) for k in turn],
                0.1,
                dark,
            )
            group.bars([(x, top - drop - 0.2, z)], [(x, top - drop, z)], 0.2, (1, 1, 1), light)
        elif kind != "none":
            group.bars([(x, top - drop, z)], [(x, top, z)], 0.02, (0.15, 0.15, 0.15))
            group.bars(
                [(x, top - drop - size * 0.6, z)],
                [(x, top - drop, z)],
                size,
                (1, 1, 1) if on else rng.uniform(0.2, 0.95, 3),
                light,
            )
        if kind == "bulb":
            right, down = (room.canvas.camera.rotation[k] * size * 0.45 for k in (0, 1))
            hung = np.array([x, top - drop - size * 0.3, z])
            t = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
            ball = hung + right * np.cos(t) + down * np.sin(t)
            group.parts[-1] = lambda ball=ball: room.canvas.polygon(
                ball, (1, 1, 1) if on else (0.9, 0.9, 0.88), "building", light
            )
        if on and kind not in ("none", "panels", "tubes"):
            place = np.array([x, top - drop - 0.05, z])
            group.parts.append(
                lambda place=place: glow(room.canvas, place, light * 0.15, size * 0.7)
            )
        paints.append(lambda group=group: [part() for part in group.parts])
    return paints
