"""The sky of drawn street scenes."""

import cv2
import numpy as np

from skyseg_tf.data.drawing.camera import Camera, Light
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.noise import noise, noise_tile
from skyseg_tf.data.drawing.weather import Weather
from skyseg_tf.labels import LABEL_ID


def sky(camera: Camera, light: Light, weather: Weather, seed: list[int]) -> np.ndarray:
    """The bare sky in every direction of the picture (the haze below the horizon).

    Args:
      camera: where it looks.
      light: colors and sun.
      weather: the clouds.
      seed: of the clouds; the same seed is the same sky from any camera.

    Returns:
      (H, W, 3) float32 linear light.
    """
    rng = np.random.default_rng(seed)
    height, width = camera.size
    coarse = max(2, round(width / 512))
    rays = camera.rays((-(-height // coarse), -(-width // coarse)))
    up = rays[..., 1]
    climb = np.clip(up, 0, 1) ** rng.uniform(0.4, 0.75)
    image = light.horizon + (light.zenith - light.horizon) * climb[..., None]
    band = rng.uniform(0, 0.3) * np.exp(-np.clip(up, 0, 1) * rng.uniform(8, 25))
    image += band[..., None] * (light.horizon - light.zenith).clip(0)
    image = _add_clouds(image.astype(np.float32), rays, light, weather, rng)
    image = _add_sun(image, rays, light)
    if light.night:
        stars = noise_tile(0.0) > 3.6 if rng.random() < 0.4 else noise_tile(0.0) > 9
        field = np.resize(stars, up.shape).astype(np.float32)
        image += (field * 0.02 * np.clip(up * 3, 0, 1))[..., None]
    return cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def _add_clouds(image, rays, light, weather, rng) -> np.ndarray:
    """Clouds on a flat layer overhead, lit from the sun's side."""
    cover = rng.uniform(*weather.cover)
    soft = rng.uniform(*weather.softness)
    bright = rng.uniform(*weather.cloud)
    stretch = rng.uniform(1, 5) if soft > 1 else rng.uniform(0.8, 1.6)
    scale = rng.uniform(18, 70)
    beta = round(rng.uniform(1.35, 1.8) * 10) / 10
    turn, offset = rng.uniform(0, np.pi), rng.uniform(0, 512, 2)
    up = np.maximum(rays[..., 1], 0)
    # A curved layer: near the horizon clouds flatten without shrinking to nothing.
    reach = scale / (up + 0.16)
    x, z = rays[..., 0] * reach, rays[..., 2] * reach
    u = (x * np.cos(turn) + z * np.sin(turn)) / stretch + offset[0]
    v = (z * np.cos(turn) - x * np.sin(turn)) + offset[1]

    density = _cloud_field(beta, u, v)
    threshold = 1.3 * np.sqrt(2) * (1 - 2 * cover)
    alpha = np.clip((density - threshold) / soft, 0, 1) if cover > 0 else np.zeros_like(density)
    alpha = alpha * alpha * (3 - 2 * alpha)
    sun = light.sun_direction * 9
    towards = (sun[0] * np.cos(turn) + sun[2] * np.sin(turn)) / stretch
    aside = sun[2] * np.cos(turn) - sun[0] * np.sin(turn)
    # Where less lies towards the sun, the cloud is lit.
    relief = density - _cloud_field(beta, u + towards, v + aside)
    thick = np.clip((density - threshold) / 2.5, 0, 1)
    shade = np.clip(0.92 + 0.16 * relief - rng.uniform(0, 0.55) * thick, 0.25, 1.35)
    body = light.sun * 0.75 + light.ambient * 1.1
    body = body / body.mean() * bright
    if weather.elevation[1] <= 10 and light.sun.any():  # clouds at sunset glow from below
        glow = np.clip(rays @ light.sun_direction.astype(np.float32), 0, 1)[..., None] ** 2
        body = body * (0.35 + 0.9 * glow)
    cloud = shade[..., None] * body
    fade = np.exp(-np.clip(rays[..., 1], 0, 1) * 9)[..., None] * 0.6
    cloud = cloud * (1 - fade) + light.horizon * fade
    return image + alpha[..., None] * (cloud - image)


def _cloud_field(beta: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(h, w) float32 density of clouds at places of the layer, in pixels of the noise tile."""
    coarse, fine = (
        cv2.remap(
            noise_tile(beta),
            (u * k % 512).astype(np.float32),
            (v * k % 512).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        for k in (1, 3.3)
    )
    return coarse + 0.3 * fine


def _add_sun(image, rays, light) -> np.ndarray:
    """The disc, its aureole and the brighter half of the sky."""
    if not light.sun.any():
        return image
    towards = np.clip(rays @ light.sun_direction.astype(np.float32), -1, 1)
    angle = np.degrees(np.arccos(towards))[..., None]
    glow = 0.9 * np.exp(-angle / 9) + 0.25 * np.exp(-angle / 30) + 30 * (angle < 0.9)
    return image + (glow * light.sun * (image.mean(-1, keepdims=True) + 0.25)).astype(np.float32)


def paint_sky(canvas: Canvas, weather: Weather, seed: list[int]) -> None:
    """Fills picture and labels with sky; what lies below the horizon is painted over later."""
    canvas.image[:] = sky(canvas.camera, canvas.light, weather, seed)
    canvas.labels[:] = LABEL_ID["sky"]
    canvas.instances[:] = LABEL_ID["sky"]


def mirror_on(canvas: Canvas, strength: float, rng: np.random.Generator) -> None:
    """Wet ground and puddles: mixes in the picture mirrored at the horizon."""
    height, width = canvas.size
    small = cv2.resize(canvas.image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    down = canvas.camera.matrix @ np.array([0.0, 0.0, 1.0])
    horizon = down[1] / max(down[2], 1e-3) / 4
    rows = np.clip(2 * horizon - np.arange(len(small)), 0, len(small) - 1).astype(int)
    mirrored = cv2.GaussianBlur(small[rows], (0, 0), 1.0, sigmaY=max(1.0, height / 90))
    mirrored = cv2.resize(mirrored, (width, height), interpolation=cv2.INTER_LINEAR)
    puddle = noise((height // 4, width // 4), width / 700, rng, 1.6, aspect=4.0)
    puddle = np.clip(0.45 + puddle * rng.uniform(0.1, 0.9), 0.05, 1) * strength
    puddle = cv2.resize(puddle.astype(np.float32), (width, height))
    flat = [LABEL_ID[name] for name in ("road", "sidewalk", "parking")]
    share = np.where(np.isin(canvas.labels, flat), puddle, 0).astype(np.float32)
    share = cv2.GaussianBlur(share, (3, 3), 0)
    canvas.image = cv2.blendLinear(mirrored, canvas.image, share, 1 - share)
