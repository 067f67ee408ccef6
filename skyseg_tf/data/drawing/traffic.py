"""Who uses the road at a drawn place: parked and driving vehicles, people, bicycles."""

from functools import partial

import numpy as np

from skyseg_tf.data.drawing import people
from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.places import World
from skyseg_tf.data.drawing.vehicles import Vehicle, draw_vehicle

# Kinds of vehicles, as frequent as they are named.
_PARKED = ("sedan", "hatch", "suv", "hatch", "sedan", "van", "suv")
_DRIVING = (*_PARKED, "bus", "truck", "truck")
_PARKING_SPACE = 6.2  # metres
_CLEAR = {"vehicle": 4.5, "person": 3, "bicycle": 3}  # metres around the camera that stay free
_HALF_LENGTH = {"bus": 6, "truck": 5}  # metres; of all others 2


def add_traffic(world: World, rng, lateral: float) -> None:
    """Adds all of them; `lateral` is where the camera drives, which stays free.

    Moving ones are where they are at the world's time.
    """
    _park(world, rng, lateral)
    _drive(world, rng, lateral)
    for _ in range(int(rng.poisson(14 * world.place.people))):
        _add_person(world, rng)
    for _ in range(int(rng.poisson(6 * world.place.people))):
        _lean_bicycle(world, rng)


def _park(world: World, rng, lateral: float) -> None:
    for side in (-1, 1):
        full = world.place.parked * rng.uniform(0, 1.8)
        for s in np.arange(-12 + rng.uniform(0, 5), 120, _PARKING_SPACE):
            kind, seed = _PARKED[rng.integers(len(_PARKED))], int(rng.integers(2**31))
            there = rng.random() < full
            x = side * (world.road - 1.05)
            if there and abs(x - lateral) > 2.2:
                _add_vehicle(world, s, x, kind, side > 0, seed)


def _drive(world: World, rng, lateral: float) -> None:
    for _ in range(int(rng.integers(0, 10 if world.name == "highway" else 6))):
        kind = _DRIVING[rng.integers(len(_DRIVING))]
        s, speed, seed = rng.uniform(9, 130), rng.uniform(3, 12), int(rng.integers(2**31))
        onward = rng.random() < 0.6
        x = world.road * rng.uniform(0.2, 0.65) * (1 if onward else -1)
        s += speed * world.time * (1 if onward else -1)
        if abs(s - world.travel) > 7 or abs(x - lateral) > 3:
            _add_vehicle(world, s, x, kind, onward, seed)


def _add_person(world: World, rng) -> None:
    """Somebody who walks along or across, or rides a bicycle."""
    road = world.road
    s, side = rng.uniform(4, 70), rng.choice([-1, 1])
    crossing, walk = rng.random() < 0.15, rng.normal(0, 1.2)
    if crossing:
        x = rng.uniform(-road, road)
    else:
        x = side * (road + rng.uniform(0.3, max(world.walk, 0.5)))
    s, height, seed = s + walk * world.time, rng.uniform(1.5, 1.92), int(rng.integers(2**31))
    cycling = rng.random() < 0.15
    if cycling:
        x = side * (road - 1.0)
    foot = world.at(s, x)
    if _distance(world, foot) > _CLEAR["person"]:
        paint = partial(people.draw_person, foot=foot, height=height, seed=seed, cycling=cycling)
        world.add(s, s, paint, -1)


def _lean_bicycle(world: World, rng) -> None:
    s, side, seed = rng.uniform(5, 50), rng.choice([-1, 1]), int(rng.integers(2**31))
    foot, turn = world.at(s, side * (world.road + world.walk * 0.9)), rng.uniform(0, np.pi)
    right = np.array([np.cos(turn), 0, np.sin(turn)])
    if _distance(world, foot) > _CLEAR["bicycle"]:
        world.add(s, s, partial(people.draw_bicycle, foot=foot, right=right, seed=seed))


def _distance(world: World, foot) -> float:
    """Metres from a point on the ground to that below the camera."""
    return np.linalg.norm(foot - world.camera.position * [1, 0, 1])


def _add_vehicle(world: World, s, x, kind, onward, seed) -> None:
    heading = world.ahead(s) * (1 if onward else -1)
    place = world.at(s, x)
    if _distance(world, place) < _CLEAR["vehicle"]:
        return
    vehicle = Vehicle(place, heading, kind, seed)
    half = _HALF_LENGTH.get(kind, 2)
    large = half > 2
    world.add(s - half, s + half, partial(draw_vehicle, v=vehicle), -half)
    right = cross(UP, heading)
    a, b = heading * half * 1.08, right * (1.2 if large else 0.9)
    base = np.array([place + a + b, place + a - b, place - a - b, place - a + b])
    world.shadows.append(base)
    world.cast(base, 2.8 if large else 1.3)
