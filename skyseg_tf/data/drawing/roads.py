"""The ground of a drawn place: road, sidewalks, side roads, and what is painted on them."""

from itertools import pairwise

import numpy as np

from skyseg_tf.data.drawing.places import World

_GRASSY = ("country", "highway", "suburb")  # places whose open ground is never stone
_GRASS, _RAILS = (0.38, 0.45, 0.2), (0.3, 0.28, 0.27)  # display colors
_STONE_GREY, _ASPHALT_GREY, _PAINT_GREY = (0.38, 0.72), (0.24, 0.56), (0.65, 0.95)  # ranges
# Where quads along the road end, metres from the camera: short nearby, long far away.
_CUTS = (-60, -20, -5, 0, 5, 10, 16, 24, 36, 55, 80, 120, 180, 270, 400)
_KERB = 0.15  # metres
_PARKING_CHANCE, _PARKING_WIDTH = 0.2, 2.1
_LANE, _DASH_PERIOD = 3.5, 12  # metres
_SOLID_CHANCE, _UNMARKED_CHANCE = 0.2, 0.15  # of the line between two lanes
_EDGE_LINE_CHANCE = {"highway": 0.95}  # elsewhere:
_USUAL_EDGE_LINE_CHANCE = 0.35
_CROSSING_CHANCE, _CROSSING_DEPTH = 0.3, 3.5
_TRAM_CHANCE, _TRAM_RAILS = 0.06, (-1.9, -0.5, 0.5, 1.9)  # metres from the middle of the road


def lay_ground(world: World, rng: np.random.Generator) -> None:
    """Adds all that lies flat to the world; later strips cover earlier ones."""
    base = rng.choice([0, 1]) if world.name not in _GRASSY else 0
    grass = np.array(_GRASS) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.04, 3)
    stone = np.ones(3) * rng.uniform(*_STONE_GREY) + rng.normal(0, 0.03, 3)
    color, label = (grass, "terrain") if base == 0 else (stone, "sidewalk")
    world.base = np.clip(color, 0, 1), label
    asphalt = np.ones(3) * rng.uniform(*_ASPHALT_GREY) + rng.normal(0, 0.012, 3)
    cuts = np.array(_CUTS) + world.travel
    _pave(world, rng, cuts, asphalt, stone)
    _side_roads(world, rng, asphalt)
    paint = np.ones(3) * rng.uniform(*_PAINT_GREY)
    _patches(world, rng, asphalt)
    _lanes(world, rng, paint)
    _markings(world, rng, cuts, paint)


def _ribbon(world: World, left: float, right: float, cuts) -> list[np.ndarray]:
    """Quads between two lateral lines along the road."""
    edges = np.asarray(cuts, float)
    return [
        np.array([world.at(a, left), world.at(a, right), world.at(b, right), world.at(b, left)])
        for a, b in pairwise(edges)
    ]


def _pave(world: World, rng, cuts, asphalt, stone) -> None:
    """The road, its sidewalks and a strip to park on."""
    road, walk, strips = world.road, world.walk, world.strips
    if walk > 0:
        strips.append((_ribbon(world, -road - walk, road + walk, cuts), stone, "sidewalk"))
        kerb = _ribbon(world, -road - _KERB, road + _KERB, cuts)
        strips.append((kerb, stone * 1.1, "sidewalk"))
    strips.append((_ribbon(world, -road, road, cuts), asphalt, "road"))
    if walk > 0 and rng.random() < _PARKING_CHANCE:
        side = rng.choice([-1, 1])
        edges = sorted((side * road, side * (road - _PARKING_WIDTH)))
        strips.append((_ribbon(world, *edges, cuts), asphalt * 0.9 + 0.06, "parking"))


def _side_roads(world: World, rng, asphalt) -> None:
    for s in rng.uniform(5, 150, rng.integers(0, 3)):
        side = rng.choice([-1, 1])
        half = rng.uniform(2.5, 5)
        corners = ((s - half, 0), (s - half, side * 60), (s + half, side * 60), (s + half, 0))
        quad = np.array([world.at(*corner) for corner in corners])
        world.strips.append(([quad], asphalt * rng.uniform(0.9, 1.1), "road"))


def _patches(world: World, rng, asphalt) -> None:
    """Mended asphalt."""
    road = world.road
    for _ in range(int(rng.integers(0, 5))):
        s, x = rng.uniform(0, 50), rng.uniform(-road, road)
        patch = _ribbon(world, x, min(x + rng.uniform(0.6, 3), road), [s, s + rng.uniform(2, 14)])
        world.strips.append((patch, asphalt * rng.uniform(0.75, 1.15), None))


def _lanes(world: World, rng, paint) -> None:
    """Lines between lanes: solid, dashed or worn off."""
    road = world.road
    lanes = max(1, round(2 * road / _LANE))
    start = np.floor(world.travel / _DASH_PERIOD) * _DASH_PERIOD - 24
    for lane in range(1, lanes):
        x = -road + 2 * road * lane / lanes
        solid, dash = rng.random() < _SOLID_CHANCE, rng.uniform(2, 7)
        length = _DASH_PERIOD if solid else dash
        quads = []
        if rng.random() >= _UNMARKED_CHANCE:
            for s in start + np.arange(0, 240, _DASH_PERIOD):
                quads += _ribbon(world, x - 0.07, x + 0.07, [s, s + length])
        world.strips.append((quads, paint, None))


def _markings(world: World, rng, cuts, paint) -> None:
    """Edge lines, a zebra crossing, tram rails."""
    road, strips = world.road, world.strips
    if rng.random() < _EDGE_LINE_CHANCE.get(world.name, _USUAL_EDGE_LINE_CHANCE):
        for x in (-road + 0.35, road - 0.35):
            strips.append((_ribbon(world, x - 0.08, x + 0.08, cuts), paint, None))
    if world.walk > 0 and rng.random() < _CROSSING_CHANCE:
        s, bars = rng.uniform(6, 40), []
        for x in np.arange(-road + 0.3, road - 0.3, 1.0):
            bars += _ribbon(world, x, x + 0.5, [s, s + _CROSSING_DEPTH])
        strips.append((bars, paint, None))
    if rng.random() < _TRAM_CHANCE and road > 4:
        for x in _TRAM_RAILS:
            strips.append((_ribbon(world, x - 0.05, x + 0.05, cuts), _RAILS, "rail track"))
