"""What hangs on the walls of drawn rooms: pictures, mirrors, doors."""

import cv2
import numpy as np

from skyseg_tf.data.drawing.interior import Surface, fronts
from skyseg_tf.data.drawing.noise import noise


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
