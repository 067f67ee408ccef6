"""Where things stand in drawn street scenes: the camera, houses, greenery and the horizon."""

from collections.abc import Collection
from functools import partial

import numpy as np

from skyseg_tf.data.drawing.buildings import Building, draw_building
from skyseg_tf.data.drawing.camera import UP, Camera, Light, cross
from skyseg_tf.data.drawing.places import PLACES, Item, World, on_road
from skyseg_tf.data.drawing.roads import lay_ground
from skyseg_tf.data.drawing.roadside import add_extras, furnish_side
from skyseg_tf.data.drawing.traffic import add_traffic
from skyseg_tf.data.drawing.trees import Tree, draw_ridge, draw_tree

_TREES = ("round", "round", "tall", "bare", "bare", "thin", "cone")  # as frequent as named
_WILD = ("country", "highway", "suburb", "up", "avenue")  # places with trees behind the houses
_HEDGE_CHANCE = 0.5


def make_world(
    rng, seed, size, light: Light, time: float, among: Collection[str] = tuple(PLACES)
) -> World:
    """Picks a place out of `among` and puts everything into it; `time` moves camera and traffic."""
    chances = np.array([place.chance * (name in among) for name, place in PLACES.items()])
    name = list(PLACES)[rng.choice(len(chances), p=chances / chances.sum())]
    place = PLACES[name]
    bend = rng.normal(0, 1 / 700) if name not in ("close", "square") else 0.0
    road, walk = rng.uniform(*place.road), rng.uniform(*place.walk)
    lateral = road * rng.uniform(0.05, 0.75) * rng.choice([-1, 1, 1])
    speed = rng.uniform(3, 14) * {"highway": 2, "hall": 0.3}.get(name, 1)
    travel = speed * time
    camera = _camera(rng, place, bend, travel, lateral, size)
    world = World(name, place, bend, seed, time, camera, light, travel, road, walk)
    if name == "hall":
        return world
    lay_ground(world, rng)
    if place.styles:
        for side in (-1, 1):
            _row_of_houses(world, rng, side)
    _ends(world, rng)
    for side in (-1, 1):
        furnish_side(world, rng, side)
        _green(world, rng, side)
    add_traffic(world, rng, lateral)
    add_extras(world, rng)
    return world


def _camera(rng, place, bend, travel, lateral, size) -> Camera:
    """Puts the camera over the road."""
    yaw = np.radians(rng.uniform(*place.yaw)) + bend * travel
    pitch = np.radians(rng.uniform(*place.pitch))
    roll = np.radians(rng.normal(0, 1.3))
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    up = cross(forward, right)
    right, up = right * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - right * np.sin(roll)
    focal = size[1] / 2 / np.tan(np.radians(rng.uniform(42, 88)) / 2)
    focal = max(focal, 0.55 * size[0])  # tall pictures would see their own feet
    eye = rng.uniform(*place.eye) * (1.5 if rng.random() < 0.08 else 1)
    position = on_road(bend, travel, lateral, eye)
    return Camera(position, np.stack([right, -up, forward]), focal, size)


def _house(world, rng, s0, width, side, setback, depth, height, extra=0.0) -> None:
    """Adds one building beside the road."""
    place = world.place
    lateral = world.road + world.walk + setback
    style = place.styles[rng.integers(len(place.styles))]
    roof = place.roofs[rng.integers(len(place.roofs))]
    if height > 26 or style in ("glass", "metal"):
        roof = "flat" if style != "metal" or rng.random() < 0.7 else "gable"
    if roof == "front" and width > 14:
        roof = "gable"
    middle = s0 + width / 2
    along = world.ahead(middle) * (1 if side < 0 else -1)
    corner = world.at(s0 if side < 0 else s0 + width, side * lateral)
    seed = int(rng.integers(2**31))
    house = Building(corner, along, width, depth, height, roof, style, seed, middle > 120)
    world.add(s0, s0 + width, partial(draw_building, b=house), extra)
    back = cross(along, UP) * depth
    world.cast(
        np.array([corner, corner + along * width, corner + along * width + back, corner + back]),
        height,
    )


def _row_of_houses(world: World, rng, side: int) -> None:
    """Houses along one side, and a second row behind its gaps."""
    place = world.place
    s, usual = rng.uniform(-70, -50), rng.uniform(*place.height)
    setback = rng.uniform(*place.setback)
    if rng.random() < 0.1 and world.name in ("street", "avenue", "square"):
        place_gap = 0.75  # this side is open
    else:
        place_gap = place.gap
    while s < 190:
        width = rng.uniform(7, 14) if world.name in ("suburb", "country") else rng.uniform(9, 30)
        height = np.clip(usual * rng.uniform(0.65, 1.4), *place.height)
        if rng.random() < place_gap:
            s += rng.uniform(5, 22)
            continue
        _house(
            world, rng, s, width, side, setback + rng.uniform(0, 0.6), rng.uniform(8, 16), height
        )
        s += width + (rng.uniform(0, 7) if place.gap > 0.3 else 0)
    if world.name not in ("country", "suburb"):
        for s in rng.uniform(10, 180, rng.integers(0, 4)):
            _house(
                world,
                rng,
                s,
                rng.uniform(12, 30),
                side,
                setback + rng.uniform(22, 45),
                rng.uniform(10, 18),
                usual * rng.uniform(0.8, 2.0),
                50,
            )


def _ends(world: World, rng) -> None:
    """What closes the view: silhouettes all around, sometimes a house across the road."""
    place = world.place
    for _ in range(int(rng.integers(1, 3))):
        kind = place.far[rng.integers(len(place.far))]
        distance = rng.uniform(250, 900) if kind != "hills" else rng.uniform(900, 3000)
        high = {"trees": 13, "city": 60, "hills": distance * 0.1, "fields": distance * 0.03}[kind]
        seed = int(rng.integers(2**31))
        paint = partial(
            draw_ridge, distance=distance, height=high * rng.uniform(0.5, 1.3), kind=kind, seed=seed
        )
        world.items.append(Item(distance + 500, paint))
    if place.styles and rng.random() < 0.3 and world.name != "country":
        s, width = rng.uniform(60, 180), rng.uniform(15, 40)
        seed, style = int(rng.integers(2**31)), place.styles[rng.integers(len(place.styles))]
        ahead = world.ahead(s)
        along = cross(UP, ahead)
        corner = world.at(s, 0) - along * width * rng.uniform(0.3, 0.7)
        house = Building(corner, along, width, 14, rng.uniform(*place.height), "gable", style, seed)
        world.add(s, s + 14, partial(draw_building, b=house), 60)


def _green(world: World, rng, side: int) -> None:
    """Trees and hedges along one side."""
    usual, leaves = _TREES[rng.integers(len(_TREES))], int(rng.integers(0, 13))
    edge = world.road + (world.walk * rng.uniform(0.15, 0.8) if world.walk else rng.uniform(3, 8))
    step = rng.uniform(6, 12)
    for s in np.arange(-20 + rng.uniform(0, step), 170, step):
        if rng.random() > world.place.trees * rng.uniform(0.3, 1.4):
            continue
        kind = usual if rng.random() < 0.8 else _TREES[rng.integers(len(_TREES))]
        _tree(world, rng, s + rng.normal(0, 1), side * (edge + rng.uniform(0, 0.5)), kind, leaves)
    for _ in range(int(rng.integers(0, 16 if world.name in _WILD else 4))):
        s, x = rng.uniform(5, 200), world.road + world.walk + rng.uniform(3, 40)
        kind, leaves = _TREES[rng.integers(len(_TREES))], int(rng.integers(0, 13))
        _tree(world, rng, s, side * x, kind, leaves, 20)
    if "hedges" in world.place.extras and rng.random() < _HEDGE_CHANCE:
        _hedge(world, rng, side)


def _hedge(world: World, rng, side: int) -> None:
    """Short pieces nearby: each is a board that faces the camera and must not reach the road."""
    high, seed = rng.uniform(0.8, 2.5), int(rng.integers(2**31))
    for s in [*np.arange(-9, 36, 2.2), *np.arange(36, 110, 5.0)]:
        there, long = rng.random() < 0.9, 2.2 if s < 35 else 5.0
        foot = world.at(s, side * (world.road + world.walk + 1.4))
        if there and np.linalg.norm(foot - world.camera.position * [1, 0, 1]) > 2.5:
            hedge = Tree(foot, high, "hedge", seed + int(s * 10), 3, long * 1.35)
            world.add(s, s + long, partial(draw_tree, tree=hedge))


def _tree(world, rng, s, lateral, kind, leaves, extra=0.0) -> None:
    foot = world.at(s, lateral)
    seed, high = int(rng.integers(2**31)), rng.uniform(4.5, 15)
    if np.linalg.norm(foot - world.camera.position) < 4:
        return
    tree = Tree(foot, high, kind, seed, leaves)
    world.add(s, s, partial(draw_tree, tree=tree), extra)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    sun = world.light.sun_direction
    if world.light.sun.any() and kind not in ("bare", "thin"):
        centre = (foot - sun / max(sun[1], 0.12) * high * 0.6) * [1, 0, 1]
        wobble = 1 + 0.25 * np.sin(turn * 5 + seed)
        ring = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1) * (wobble * high * 0.3)[:, None]
        world.shadows.append(centre + ring)
