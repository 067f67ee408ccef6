"""What stands beside and hangs over the road of a drawn place."""

from functools import partial
from itertools import pairwise

import numpy as np

from skyseg_tf.data.drawing import parts
from skyseg_tf.data.drawing.camera import UP, cross
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.places import World
from skyseg_tf.data.drawing.structures import draw_bridge, draw_crane, draw_tower

_LAMP_SPACING = (18, 40)  # metres
_FENCE_PIECE, _RAIL_PIECE, _NOISE_WALL_PIECE = 12.0, 20.0, 20.0  # metres
_FENCE_KINDS = ("bars", "planks")
_TROLLEY_CHANCE, _TROLLEY_WIRES, _TROLLEY_HEIGHT = 0.4, (-1.2, 1.2), 5.6


def furnish_side(world: World, rng, side: int) -> None:
    """Adds what stands along one side: `side` is -1 on the left, 1 on the right."""
    spacing = rng.uniform(*_LAMP_SPACING)
    wanted = {name: rng.random() for name in _ALONG}
    for name, (chance, add) in _ALONG.items():
        if name in world.place.extras and wanted[name] < chance:
            add(world, rng, side, spacing)


def add_extras(world: World, rng) -> None:
    """Adds rare, large or overhead things."""
    drawn = {name: rng.random() for name in _RARE}
    seeds = rng.integers(0, 2**31, 8).tolist()
    for name, (chance, add) in _RARE.items():
        if name in world.place.extras and drawn[name] < chance:
            add(world, rng, seeds)


# --- along one side ---


def _kerb(world: World, side: int) -> float:
    """Where lamps and signs stand, metres to the right of the road's middle."""
    return side * (world.road + min(0.6, world.walk))


def _lamps(world: World, rng, side: int, spacing: float) -> None:
    shape = int(rng.integers(2**31))
    for s in np.arange(-20 + rng.uniform(0, spacing), 170, spacing):
        towards = cross(UP, world.ahead(s)) * -side
        foot = world.at(s, _kerb(world, side))
        world.add(s, s, partial(parts.draw_lamp, foot=foot, towards=towards, seed=shape), -0.5)
        world.pools.append(foot + towards * 1.5)


def _poles(world: World, rng, side: int, _) -> None:
    """Wooden poles with cross bars and wires from one to the next."""
    lateral = _kerb(world, side) + side * rng.uniform(0, 2)
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


def _signs(world: World, rng, side: int, _) -> None:
    for s in rng.uniform(6, 110, rng.integers(0, 5)):
        foot = world.at(s, _kerb(world, side) + side * rng.uniform(0, 0.5))
        world.add(s, s, partial(parts.draw_sign, foot=foot, seed=int(rng.integers(2**31))))


def _fences(world: World, rng, side: int, _) -> None:
    kind = str(rng.choice(_FENCE_KINDS))
    height, seed = rng.uniform(0.8, 2), int(rng.integers(2**31))
    edge = side * (world.road + world.walk + 0.3)
    for s in np.arange(-12, 120, _FENCE_PIECE):
        if rng.random() < 0.85:
            _fence(world, s, s + _FENCE_PIECE, edge, height, kind, seed)


def _rails(world: World, rng, side: int, _) -> None:
    start = np.floor(world.travel / _RAIL_PIECE) * _RAIL_PIECE - _RAIL_PIECE
    for s in np.arange(start, 260, _RAIL_PIECE):
        _fence(world, s, s + _RAIL_PIECE, side * (world.road + 0.8), 0.8, "guard rail", 1)


def _fence(world: World, s0, s1, lateral, height, kind, seed) -> None:
    start, end = world.at(s0, lateral), world.at(s1, lateral)
    paint = partial(parts.draw_fence, start=start, end=end, height=height, kind=kind, seed=seed)
    world.add(s0, s1, paint)


def _noise_walls(world: World, rng, side: int, _) -> None:
    color, height = rng.uniform(0.3, 0.75, 3) * 0.4 + rng.uniform(0.1, 0.5), rng.uniform(2, 5)
    light = world.light.ambient + world.light.sun * 0.3
    lateral = side * (world.road + 4)
    for s in np.arange(-20, 260, _NOISE_WALL_PIECE):
        a, b = world.at(s, lateral), world.at(s + _NOISE_WALL_PIECE, lateral)
        quad = [a, b, b + UP * height, a + UP * height]
        shade = color * rng.uniform(0.93, 1.05)
        paint = partial(Canvas.polygon, points=quad, color=shade, label="wall", light=light)
        world.add(s, s + _NOISE_WALL_PIECE, paint, 5)


# How often there are any where a place may have them, and what adds them; in this order.
_ALONG = {
    "lamps": (0.65, _lamps),
    "poles": (0.6, _poles),
    "signs": (1.0, _signs),
    "fences": (0.55, _fences),
    "rails": (0.8, _rails),
    "noise walls": (0.2, _noise_walls),
}


# --- rare, large or overhead ---


def _wires(world: World, rng, _) -> None:
    """Wires across the road, at times the two of a trolley bus along it."""
    half = world.road + world.walk
    for s in np.arange(rng.uniform(4, 20), 130, rng.uniform(12, 40)):
        y = rng.uniform(5.5, 8)
        left = world.at(s, -half, y)
        right = world.at(s + rng.normal(0, 4), half, y + rng.normal(0, 0.8))
        sag = rng.uniform(0.1, 0.6)
        wires = partial(parts.draw_wires, spans=[(left, right)], sag=sag, width=0.025)
        world.add(s, s, wires, -1)
    if rng.random() < _TROLLEY_CHANCE:
        for x in _TROLLEY_WIRES:
            points = [world.at(s, x, _TROLLEY_HEIGHT) for s in range(-25, 175, 25)]
            spans = list(pairwise(points))
            world.add(0, 25, partial(parts.draw_wires, spans=spans, sag=0.12, width=0.025), -1)


def _signals(world: World, rng, seeds) -> None:
    s = rng.uniform(8, 45)
    for side in (-1, 1):
        reach = rng.uniform(2, 5) if rng.random() < 0.4 else 0.0
        foot, towards = world.at(s, side * (world.road + 0.4)), -side * cross(UP, world.ahead(s))
        paint = partial(parts.draw_signal, foot=foot, seed=seeds[0], reach=reach, towards=towards)
        world.add(s, s, paint)


def _landmark(world: World, rng, seeds, *, draw, far: tuple[float, float]) -> None:
    s = rng.uniform(*far)
    foot = world.at(s, rng.choice([-1, 1]) * (world.road + rng.uniform(25, 60)))
    world.add(s, s, partial(draw, foot=foot, seed=seeds[1]), 80)


def _boards(world: World, rng, seeds) -> None:
    """Direction boards beside or over the road."""
    road = world.road
    for s in rng.uniform(20, 150, 2):
        right = cross(UP, world.ahead(s))
        over = rng.random() < 0.4
        left = world.at(s, -road * 0.9 if over else road + 2)
        across = right * (1.8 * road if over else rng.uniform(3, 6))
        high, seed = 5.5 if over else 2.5, seeds[2] + int(s)
        paint = partial(parts.draw_board, left=left, across=across, high=high, seed=seed)
        world.add(s, s, paint)


def _bridge(world: World, rng, seeds) -> None:
    s = rng.uniform(18, 140)
    paint = partial(
        draw_bridge,
        centre=world.at(s, 0),
        along=cross(UP, world.ahead(s)),
        half=world.road + 2,
        clearance=rng.uniform(4.8, 7),
        seed=seeds[3],
    )
    world.add(s, s + 10, paint)


# How often there is one where a place may have it, and what adds it; in this order.
_RARE = {
    "wires": (0.4, _wires),
    "signals": (0.3, _signals),
    "tower": (0.15, partial(_landmark, draw=draw_tower, far=(60, 220))),
    "crane": (0.15, partial(_landmark, draw=draw_crane, far=(60, 250))),
    "boards": (0.7, _boards),
    "bridge": (0.35, _bridge),
}
