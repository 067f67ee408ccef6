"""What is seen through the windows of drawn rooms."""

from functools import cache

import numpy as np

from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.canvas import Canvas, Texture
from skyseg_tf.data.drawing.interior import TONES
from skyseg_tf.data.drawing.noise import noise
from skyseg_tf.labels import LABEL_ID


def paint_outdoors(outside: Canvas, size, view: str, rng, paint_sky) -> None:
    """What is seen through the windows: sky over land, trees, or the house across."""
    ground, far = -rng.uniform(0.1, 9), rng.uniform(6, 25)
    green = np.array([0.36, 0.46, 0.2]) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.03, 3)
    if view == "sky":
        paint_sky(outside)
    else:
        outside.image[:] = outside.tint(green * 0.8, outside.light.on(UP), 0)
        outside.labels[:] = outside.instances[:] = LABEL_ID["vegetation"]
    low, high = np.array([-90, ground, -90]), np.array([90, ground, 90])
    land = [[low[0], ground, low[2]], [high[0], ground, low[2]], high, [low[0], ground, high[2]]]
    outside.polygon(land, green, "terrain", outside.light.on(UP))
    house = view == "facade" or (view == "sky" and rng.random() < 0.4)
    stone = np.array(TONES[rng.integers(len(TONES))]) * rng.uniform(0.6, 1)

    texture = _texture_across(stone if house else green, house, int(far * 1e6))
    s = np.linspace(0, 1, 81)
    rim = rng.uniform(0.0, 0.28) if view == "sky" else 1.0
    top = (s * 10 % 1 > 0.4) * 0.03 if house else 0.03 * np.sin(s * 80) + rng.normal(0, 0.012, 81)
    top = np.maximum(0.01, (rim * 9 - ground) / 40 + top if view == "sky" else s * 0 + 1)
    shape = np.concatenate([[[0, 0]], np.stack([s, top], 1), [[1, 0]]])
    for corner, across in (
        ([-30, ground, size[2] + far], [80, 0, 0]),
        ([50, ground, -far], [-80, 0, 0]),
        ([-far, ground, -40], [0, 0, 80]),
        ([size[0] + far, ground, 40], [0, 0, -80]),
    ):
        light = outside.light.ambient + outside.light.sun * rng.uniform(0.1, 0.7)
        label = "building" if house else "vegetation"
        outside.plane(corner, across, UP * 40, texture, label, light, shape)
    outside.image *= np.exp(rng.uniform(0, np.log(4)))


def _texture_across(color: np.ndarray, house: bool, seed: int) -> Texture:
    """What a canvas's plane takes: trees, or a house with rows of windows."""

    @cache
    def draw():
        h, w = 40 * 6, 80 * 6
        grain = noise((h, w), 1.5, np.random.default_rng(seed), 1.0)[..., None]
        texture = np.array(color) * 255 + grain * (5 if house else 32)
        if house:
            y, x = np.ogrid[:h, :w]
            texture[(y % 19 > 8) & (x % 13 > 7)] *= 0.35
        return np.clip(texture, 0, 255).astype(np.uint8), None

    return lambda px: draw()  # as fine from near as from afar, and drawn once for all four sides
