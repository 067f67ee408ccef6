"""Where things stand in drawn street scenes."""

from collections.abc import Collection
from functools import partial
from itertools import pairwise

import numpy as np

from skyseg_tf.data.drawing import parts
from skyseg_tf.data.drawing.buildings import (
    Building,
    draw_bridge,
    draw_building,
    draw_crane,
    draw_tower,
)
from skyseg_tf.data.drawing.canvas import Camera, Canvas, Light, cross
from skyseg_tf.data.drawing.places import PLACES, Item, World, on_road
from skyseg_tf.data.drawing.trees import Tree, draw_ridge, draw_tree

UP = np.array([0.0, 1.0, 0.0])


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
    _lay_ground(world, rng)
    if place.styles:
        for side in (-1, 1):
            _row_of_houses(world, rng, side)
    _ends(world, rng)
    for side in (-1, 1):
        _furnish(world, rng, side)
        _green(world, rng, side)
    _traffic(world, rng, lateral)
    _extras(world, rng)
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


def _ribbon(world, left, right, starts) -> list:
    """Quads between two lateral lines along the road."""
    edges = np.asarray(starts, float)
    return [
        np.array([world.at(a, left), world.at(a, right), world.at(b, right), world.at(b, left)])
        for a, b in pairwise(edges)
    ]


def _lay_ground(world: World, rng) -> None:
    """Road, sidewalks, parking, grass and paint."""
    name, road, walk = world.name, world.road, world.walk
    base = rng.choice([0, 1]) if name not in ("country", "highway", "suburb") else 0
    grass = np.array([0.38, 0.45, 0.2]) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.04, 3)
    stone = np.ones(3) * rng.uniform(0.38, 0.72) + rng.normal(0, 0.03, 3)
    world.base = (
        (np.clip(grass, 0, 1), "terrain") if base == 0 else (np.clip(stone, 0, 1), "sidewalk")
    )
    run = np.array([-60, -20, -5, 0, 5, 10, 16, 24, 36, 55, 80, 120, 180, 270, 400]) + world.travel
    asphalt = np.ones(3) * rng.uniform(0.24, 0.56) + rng.normal(0, 0.012, 3)
    if walk > 0:
        world.strips.append((_ribbon(world, -road - walk, road + walk, run), stone, "sidewalk"))
        world.strips.append(
            (_ribbon(world, -road - 0.15, road + 0.15, run), stone * 1.1, "sidewalk")
        )
    world.strips.append((_ribbon(world, -road, road, run), asphalt, "road"))
    if walk > 0 and rng.random() < 0.2:
        side = rng.choice([-1, 1])
        edges = sorted((side * road, side * (road - 2.1)))
        world.strips.append((_ribbon(world, *edges, run), asphalt * 0.9 + 0.06, "parking"))
    for s in rng.uniform(5, 150, rng.integers(0, 3)):  # a side road
        side = rng.choice([-1, 1])
        half = rng.uniform(2.5, 5)
        quad = [
            world.at(s - half, 0),
            world.at(s - half, side * 60),
            world.at(s + half, side * 60),
            world.at(s + half, 0),
        ]
        world.strips.append(([np.array(quad)], asphalt * rng.uniform(0.9, 1.1), "road"))
    white = np.ones(3) * rng.uniform(0.65, 0.95)
    for _ in range(int(rng.integers(0, 5))):  # patched asphalt
        s, x = rng.uniform(0, 50), rng.uniform(-road, road)
        patch = _ribbon(world, x, min(x + rng.uniform(0.6, 3), road), [s, s + rng.uniform(2, 14)])
        world.strips.append((patch, asphalt * rng.uniform(0.75, 1.15), None))
    lanes = max(1, round(2 * road / 3.5))
    start = np.floor(world.travel / 12) * 12 - 24
    for lane in range(1, lanes):
        x = -road + 2 * road * lane / lanes
        solid, short = rng.random() < 0.2, rng.uniform(2, 7)
        dashes = (
            []
            if rng.random() < 0.15
            else [
                q
                for s in start + np.arange(0, 240, 12)
                for q in _ribbon(world, x - 0.07, x + 0.07, [s, s + (12 if solid else short)])
            ]
        )
        world.strips.append((dashes, white, None))
    if rng.random() < (0.95 if name == "highway" else 0.35):
        for x in (-road + 0.35, road - 0.35):
            world.strips.append((_ribbon(world, x - 0.08, x + 0.08, run), white, None))
    if walk > 0 and rng.random() < 0.3:
        s = rng.uniform(6, 40)
        bars = [
            q
            for x in np.arange(-road + 0.3, road - 0.3, 1.0)
            for q in _ribbon(world, x, x + 0.5, [s, s + 3.5])
        ]
        world.strips.append((bars, white, None))
    if rng.random() < 0.06 and road > 4:
        for x in (-1.9, -0.5, 0.5, 1.9):
            world.strips.append(
                (_ribbon(world, x - 0.05, x + 0.05, run), (0.3, 0.28, 0.27), "rail track")
            )


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


def _furnish(world: World, rng, side: int) -> None:
    """Lamps, poles with wires, signs, signals, fences along one side."""
    extras, kerb = world.place.extras, side * (world.road + min(0.6, world.walk))
    inward = -side
    step = rng.uniform(18, 40)
    wanted = {
        name: rng.random() for name in ("lamps", "poles", "signs", "fences", "rails", "noise walls")
    }
    if "lamps" in extras and wanted["lamps"] < 0.65:
        shape = int(rng.integers(2**31))
        offset = rng.uniform(0, step)
        for s in np.arange(-20 + offset, 170, step):
            towards = cross(UP, world.ahead(s)) * inward
            foot = world.at(s, kerb)
            world.add(s, s, partial(parts.draw_lamp, foot=foot, towards=towards, seed=shape), -0.5)
            world.pools.append(foot + towards * 1.5)
    if "poles" in extras and wanted["poles"] < 0.6:
        _poles(world, rng, kerb + side * rng.uniform(0, 2))
    if "signs" in extras:
        for s in rng.uniform(6, 110, rng.integers(0, 5)):
            foot = world.at(s, kerb + side * rng.uniform(0, 0.5))
            world.add(s, s, partial(parts.draw_sign, foot=foot, seed=int(rng.integers(2**31))))
    if "fences" in extras and wanted["fences"] < 0.55:
        kind, high, seed = (
            rng.choice(["bars", "planks"]),
            rng.uniform(0.8, 2),
            int(rng.integers(2**31)),
        )
        edge = side * (world.road + world.walk + 0.3)
        for s in np.arange(-12, 120, 12.0):
            if rng.random() < 0.85:
                world.add(
                    s,
                    s + 12,
                    partial(
                        parts.draw_fence,
                        start=world.at(s, edge),
                        end=world.at(s + 12, edge),
                        height=high,
                        kind=str(kind),
                        seed=seed,
                    ),
                )
    if "rails" in extras and wanted["rails"] < 0.8:
        for s in np.arange(np.floor(world.travel / 20) * 20 - 20, 260, 20.0):
            edge = side * (world.road + 0.8)
            world.add(
                s,
                s + 20,
                partial(
                    parts.draw_fence,
                    start=world.at(s, edge),
                    end=world.at(s + 20, edge),
                    height=0.8,
                    kind="guard rail",
                    seed=1,
                ),
            )
    if "noise walls" in extras and wanted["noise walls"] < 0.2:
        color, high = rng.uniform(0.3, 0.75, 3) * 0.4 + rng.uniform(0.1, 0.5), rng.uniform(2, 5)
        for s in np.arange(-20, 260, 20.0):
            a, b = world.at(s, side * (world.road + 4)), world.at(s + 20, side * (world.road + 4))
            quad = [a, b, b + UP * high, a + UP * high]
            light = world.light.ambient + world.light.sun * 0.3
            shade = color * rng.uniform(0.93, 1.05)
            world.add(
                s,
                s + 20,
                partial(Canvas.polygon, points=quad, color=shade, label="wall", light=light),
                5,
            )


def _poles(world: World, rng, lateral: float) -> None:
    """Wooden poles with cross bars and wires from one to the next."""
    step, high, wires = rng.uniform(22, 45), rng.uniform(6.5, 10), int(rng.integers(2, 6))
    spots = np.arange(-step * 2 + rng.uniform(0, step), 220, step)
    offsets = np.linspace(-0.9, 0.9, wires)
    for s, following in pairwise(spots):
        foot, right = world.at(s, lateral), cross(UP, world.ahead(s))
        bar = foot + UP * (high - 0.4)

        def paint(canvas, foot=foot, bar=bar, right=right):
            canvas.lines(
                [foot, bar - right],
                [foot + UP * high, bar + right],
                [0.24, 0.12],
                (0.3, 0.25, 0.2),
                "pole",
            )

        world.add(s, s, paint)
        other = world.at(following, lateral) + UP * (high - 0.4)
        side = cross(UP, world.ahead(following))
        spans = [(bar + right * x, other + side * x) for x in offsets]
        world.add(s, following, partial(parts.draw_wires, spans=spans, sag=0.5, width=0.03), -0.1)


def _green(world: World, rng, side: int) -> None:
    """Trees and hedges along one side."""
    place = world.place
    kinds = ["round", "round", "tall", "bare", "bare", "thin", "cone"]
    usual, leaves = kinds[rng.integers(len(kinds))], int(rng.integers(0, 13))
    edge = world.road + (world.walk * rng.uniform(0.15, 0.8) if world.walk else rng.uniform(3, 8))
    step = rng.uniform(6, 12)
    for s in np.arange(-20 + rng.uniform(0, step), 170, step):
        if rng.random() > place.trees * rng.uniform(0.3, 1.4):
            continue
        kind = usual if rng.random() < 0.8 else kinds[rng.integers(len(kinds))]
        _tree(world, rng, s + rng.normal(0, 1), side * (edge + rng.uniform(0, 0.5)), kind, leaves)
    wild = (
        rng.integers(0, 16)
        if world.name in ("country", "highway", "suburb", "up", "avenue")
        else rng.integers(0, 4)
    )
    for _ in range(int(wild)):
        s, x = rng.uniform(5, 200), world.road + world.walk + rng.uniform(3, 40)
        _tree(
            world, rng, s, side * x, kinds[rng.integers(len(kinds))], int(rng.integers(0, 13)), 20
        )
    if "hedges" in place.extras and rng.random() < 0.5:
        high, seed = rng.uniform(0.8, 2.5), int(rng.integers(2**31))
        # Short pieces nearby: each is a board that faces the camera and must not reach the road.
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


def _traffic(world: World, rng, lateral: float) -> None:
    """Parked and driving vehicles, people, riders, bicycles."""
    place, road = world.place, world.road
    kinds = ["sedan", "hatch", "suv", "hatch", "sedan", "van", "suv"]
    for side in (-1, 1):
        full = place.parked * rng.uniform(0, 1.8)
        for s in np.arange(-12 + rng.uniform(0, 5), 120, 6.2):
            kind, seed, there = (
                kinds[rng.integers(7)],
                int(rng.integers(2**31)),
                rng.random() < full,
            )
            x = side * (road - 1.05)
            if there and abs(x - lateral) > 2.2:
                _vehicle(world, s, x, kind, side > 0, seed)
    moving = int(rng.integers(0, 10 if world.name == "highway" else 6))
    for _ in range(moving):
        kind = [*kinds, "bus", "truck", "truck"][rng.integers(10)]
        s, speed, seed = rng.uniform(9, 130), rng.uniform(3, 12), int(rng.integers(2**31))
        onward = rng.random() < 0.6
        x = road * rng.uniform(0.2, 0.65) * (1 if onward else -1)
        s += speed * world.time * (1 if onward else -1)
        if abs(s - world.travel) > 7 or abs(x - lateral) > 3:
            _vehicle(world, s, x, kind, onward, seed)
    for _ in range(int(rng.poisson(14 * place.people))):
        s, side = rng.uniform(4, 70), rng.choice([-1, 1])
        crossing, walk = rng.random() < 0.15, rng.normal(0, 1.2)
        x = (
            rng.uniform(-road, road)
            if crossing
            else side * (road + rng.uniform(0.3, max(world.walk, 0.5)))
        )
        s, tall, seed = s + walk * world.time, rng.uniform(1.5, 1.92), int(rng.integers(2**31))
        cycling = rng.random() < 0.15
        if cycling:
            x = side * (road - 1.0)
        foot = world.at(s, x)
        if np.linalg.norm(foot - world.camera.position * [1, 0, 1]) > 3:
            world.add(
                s,
                s,
                partial(parts.draw_person, foot=foot, height=tall, seed=seed, cycling=cycling),
                -1,
            )
    for _ in range(int(rng.poisson(6 * place.people))):
        s, side, seed = rng.uniform(5, 50), rng.choice([-1, 1]), int(rng.integers(2**31))
        foot, turn = world.at(s, side * (road + world.walk * 0.9)), rng.uniform(0, np.pi)
        right = np.array([np.cos(turn), 0, np.sin(turn)])
        if np.linalg.norm(foot - world.camera.position * [1, 0, 1]) > 3:
            world.add(s, s, partial(parts.draw_bicycle, foot=foot, right=right, seed=seed))


def _vehicle(world, s, x, kind, onward, seed) -> None:
    heading = world.ahead(s) * (1 if onward else -1)
    place = world.at(s, x)
    if np.linalg.norm(place - world.camera.position * [1, 0, 1]) < 4.5:
        return
    vehicle = parts.Vehicle(place, heading, kind, seed)
    half = {"bus": 6, "truck": 5}.get(kind, 2)
    world.add(s - half, s + half, partial(parts.draw_vehicle, v=vehicle), -half)
    right = cross(UP, heading)
    a, b = heading * half * 1.08, right * (1.2 if half > 2 else 0.9)
    base = np.array([place + a + b, place + a - b, place - a - b, place - a + b])
    world.shadows.append(base)
    world.cast(base, 2.8 if half > 2 else 1.3)


def _extras(world: World, rng) -> None:
    """Rare, large or overhead things."""
    extras, road = world.place.extras, world.road
    draws = {
        name: rng.random() for name in ("wires", "signals", "tower", "crane", "boards", "bridge")
    }
    seeds = rng.integers(0, 2**31, 8).tolist()
    if "wires" in extras and draws["wires"] < 0.4:
        for s in np.arange(rng.uniform(4, 20), 130, rng.uniform(12, 40)):
            half, y = road + world.walk, rng.uniform(5.5, 8)
            spans = [
                (
                    world.at(s, -half, y),
                    world.at(s + rng.normal(0, 4), half, y + rng.normal(0, 0.8)),
                )
            ]
            world.add(
                s,
                s,
                partial(parts.draw_wires, spans=spans, sag=rng.uniform(0.1, 0.6), width=0.025),
                -1,
            )
        if rng.random() < 0.4:
            for x in (-1.2, 1.2):
                spans = [
                    (world.at(s, x, 5.6), world.at(s + 25, x, 5.6)) for s in range(-25, 150, 25)
                ]
                world.add(0, 25, partial(parts.draw_wires, spans=spans, sag=0.12, width=0.025), -1)
    if "signals" in extras and draws["signals"] < 0.3:
        s = rng.uniform(8, 45)
        for side in (-1, 1):
            reach = rng.uniform(2, 5) if rng.random() < 0.4 else 0.0
            foot, towards = world.at(s, side * (road + 0.4)), -side * cross(UP, world.ahead(s))
            world.add(
                s,
                s,
                partial(parts.draw_signal, foot=foot, seed=seeds[0], reach=reach, towards=towards),
            )
    for name, draw, far in (("tower", draw_tower, (60, 220)), ("crane", draw_crane, (60, 250))):
        if name in extras and draws[name] < 0.15:
            s = rng.uniform(*far)
            foot = world.at(s, rng.choice([-1, 1]) * (road + rng.uniform(25, 60)))
            world.add(s, s, partial(draw, foot=foot, seed=seeds[1]), 80)
    if "boards" in extras and draws["boards"] < 0.7:
        for s in rng.uniform(20, 150, 2):
            right = cross(UP, world.ahead(s))
            over = rng.random() < 0.4
            left = world.at(s, -road * 0.9 if over else road + 2)
            across = right * (1.8 * road if over else rng.uniform(3, 6))
            world.add(
                s,
                s,
                partial(
                    parts.draw_board,
                    left=left,
                    across=across,
                    high=5.5 if over else 2.5,
                    seed=seeds[2] + int(s),
                ),
            )
    if "bridge" in extras and draws["bridge"] < 0.35:
        s = rng.uniform(18, 140)
        paint = partial(
            draw_bridge,
            centre=world.at(s, 0),
            along=cross(UP, world.ahead(s)),
            half=road + 2,
            clearance=rng.uniform(4.8, 7),
            seed=seeds[3],
        )
        world.add(s, s + 10, paint)
