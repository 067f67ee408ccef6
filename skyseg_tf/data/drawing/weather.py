"""The weathers of drawn street scenes, as a table, and the light that comes with them."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing.camera import Light


@dataclass(frozen=True)
class Weather:
    """One kind of sky. Colors are linear light, ranges are (low, high).

    Attributes:
      chance: how often.
      zenith, horizon: colors of the clear sky.
      sun: strength and color of direct sun.
      ambient: light from everywhere.
      elevation: height of the sun in degrees.
      cover: share of the sky behind clouds.
      softness: of the clouds' edges.
      cloud: how bright clouds are.
      haze: kilometres of sight.
    """

    chance: float
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    sun: tuple[float, float, float]
    ambient: tuple[float, float, float]
    elevation: tuple[float, float]
    cover: tuple[float, float]
    softness: tuple[float, float]
    cloud: tuple[float, float]
    haze: tuple[float, float]


WEATHERS = {
    "clear": Weather(
        chance=20,
        zenith=(0.07, 0.21, 0.62),
        horizon=(0.5, 0.72, 1.0),
        sun=(1.0, 0.93, 0.82),
        ambient=(0.26, 0.32, 0.42),
        elevation=(18, 65),
        cover=(0, 0.04),
        softness=(0.5, 1.5),
        cloud=(0.9, 1.2),
        haze=(4, 30),
    ),
    "cumulus": Weather(
        chance=22,
        zenith=(0.06, 0.19, 0.58),
        horizon=(0.46, 0.68, 0.97),
        sun=(1.0, 0.94, 0.84),
        ambient=(0.3, 0.34, 0.42),
        elevation=(20, 65),
        cover=(0.15, 0.65),
        softness=(0.12, 0.6),
        cloud=(0.8, 1.5),
        haze=(3, 20),
    ),
    "cirrus": Weather(
        chance=11,
        zenith=(0.14, 0.3, 0.66),
        horizon=(0.7, 0.84, 1.0),
        sun=(0.9, 0.84, 0.75),
        ambient=(0.3, 0.34, 0.42),
        elevation=(15, 60),
        cover=(0.4, 0.8),
        softness=(1.2, 2.5),
        cloud=(0.7, 1.2),
        haze=(2, 12),
    ),
    "hazy": Weather(
        chance=9,
        zenith=(0.5, 0.64, 0.86),
        horizon=(1.0, 1.02, 1.0),
        sun=(0.55, 0.52, 0.45),
        ambient=(0.42, 0.44, 0.46),
        elevation=(15, 60),
        cover=(0, 0.3),
        softness=(1.5, 3),
        cloud=(1.0, 1.3),
        haze=(0.5, 3),
    ),
    "white": Weather(
        chance=12,
        zenith=(1.5, 1.55, 1.6),
        horizon=(1.7, 1.7, 1.7),
        sun=(0, 0, 0),
        ambient=(0.6, 0.62, 0.66),
        elevation=(20, 60),
        cover=(0, 0.2),
        softness=(2, 3),
        cloud=(1.4, 1.8),
        haze=(0.8, 6),
    ),
    "overcast": Weather(
        chance=13,
        zenith=(0.5, 0.53, 0.58),
        horizon=(0.78, 0.8, 0.82),
        sun=(0, 0, 0),
        ambient=(0.45, 0.47, 0.5),
        elevation=(20, 60),
        cover=(0.5, 1),
        softness=(0.8, 2.5),
        cloud=(0.45, 0.95),
        haze=(0.6, 5),
    ),
    "storm": Weather(
        chance=5,
        zenith=(0.16, 0.18, 0.22),
        horizon=(0.42, 0.45, 0.5),
        sun=(0.1, 0.1, 0.1),
        ambient=(0.2, 0.215, 0.24),
        elevation=(15, 50),
        cover=(0.6, 1),
        softness=(0.5, 1.5),
        cloud=(0.18, 0.5),
        haze=(0.6, 4),
    ),
    "fog": Weather(
        chance=2.5,
        zenith=(0.72, 0.75, 0.78),
        horizon=(0.75, 0.77, 0.79),
        sun=(0, 0, 0),
        ambient=(0.5, 0.51, 0.53),
        elevation=(15, 50),
        cover=(0, 0),
        softness=(2, 3),
        cloud=(0.8, 0.8),
        haze=(0.06, 0.25),
    ),
    "sunset": Weather(
        chance=6,
        zenith=(0.12, 0.17, 0.36),
        horizon=(1.1, 0.56, 0.22),
        sun=(0.6, 0.34, 0.14),
        ambient=(0.16, 0.15, 0.18),
        elevation=(1.5, 10),
        cover=(0.05, 0.6),
        softness=(0.4, 2),
        cloud=(0.5, 1.3),
        haze=(1.5, 10),
    ),
    "dusk": Weather(
        chance=4.5,
        zenith=(0.03, 0.05, 0.13),
        horizon=(0.28, 0.2, 0.2),
        sun=(0, 0, 0),
        ambient=(0.035, 0.04, 0.055),
        elevation=(5, 10),
        cover=(0, 0.6),
        softness=(0.5, 2),
        cloud=(0.06, 0.2),
        haze=(2, 10),
    ),
    "night": Weather(
        chance=6.5,
        zenith=(0.0025, 0.003, 0.006),
        horizon=(0.02, 0.014, 0.009),
        sun=(0, 0, 0),
        ambient=(0.005, 0.005, 0.006),
        elevation=(5, 10),
        cover=(0, 0.6),
        softness=(0.8, 2.5),
        cloud=(0.008, 0.022),
        haze=(2, 10),
    ),
}


def draw_weather(
    rng: np.random.Generator, among: Collection[str] = tuple(WEATHERS)
) -> tuple[str, Weather, Light]:
    """Picks a weather out of `among`, and the light that comes with it."""
    chances = np.array([w.chance * (name in among) for name, w in WEATHERS.items()])
    name = list(WEATHERS)[rng.choice(len(chances), p=chances / chances.sum())]
    weather = WEATHERS[name]
    azimuth = rng.uniform(-np.pi, np.pi)
    elevation = np.radians(rng.uniform(*weather.elevation))
    sun_direction = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    tint = 1 + rng.uniform(-0.12, 0.12, 3)
    strength = rng.uniform(0.75, 1.35)
    night = name in ("night", "dusk")
    light = Light(
        sun_direction,
        np.array(weather.sun) * rng.uniform(0.7, 1.2),
        np.array(weather.ambient) * rng.uniform(0.75, 1.3),
        np.array(weather.zenith) * tint * strength,
        np.array(weather.horizon) * (1 + rng.uniform(-0.1, 0.1, 3)) * strength,
        1e-3 / rng.uniform(*weather.haze),
        night,
    )
    return name, weather, light
