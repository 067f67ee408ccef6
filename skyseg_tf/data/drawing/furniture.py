"""What stands and hangs in drawn rooms: along the walls, in the middle, and on the floor."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyseg_tf.data.drawing import pieces
from skyseg_tf.data.drawing.camera import UP
from skyseg_tf.data.drawing.fittings import hang_door, hang_mirror, hang_picture
from skyseg_tf.data.drawing.interior import Room, Surface, Wall

# What stands along the walls of each kind of room; what is named more often is more frequent.
_FITTINGS = {
    "living": "sofa sofa shelf tv picture picture plant lamp chest mirror fire door",
    "bedroom": "bed bed bed wardrobe picture picture mirror lamp chest door plant",
    "kitchen": "units units units fridge shelf door picture table",
    "bathroom": "basin basin tub shower mirror chest door",
    "office": "desk desk shelf board picture plant wardrobe door",
    "corridor": "door door door picture picture mirror chest lamp",
    "shop": "shelf shelf shelf wardrobe fridge board units",
}
_IN_THE_MIDDLE = {"kitchen": "units", "shop": "shelf", "bathroom": "chest"}  # elsewhere a table
_PILLAR_CHANCE = 0.05
_CARPET_CHANCE, _NO_CARPET = 0.4, ("bathroom", "shop", "kitchen")
_PICTURE_ABOVE_CHANCE = 0.6


def furnish(room: Room, walls, plans, look: dict, rng) -> None:
    """Fills the walls with furniture and pictures, and the middle with tables, carpets and islands.

    Args:
      room: to fill; flat things are painted at once, others added to its things.
      walls: the four walls.
      plans: windows of each wall, which nothing hangs before.
      look: surfaces and colors, of rooms.py.
      rng: of the choice.
    """
    full = rng.uniform(0.3, 1.0) ** 0.6
    if rng.random() < _CARPET_CHANCE and room.kind not in _NO_CARPET:
        _carpet(room, look, rng)
    for wall, holes in zip(walls, plans, strict=False):
        _fill_wall(room, wall, holes, full, look, rng)
    if room.size[0] > 2.6 and room.size[2] > 2.6:
        for _ in range(int(rng.integers(0, 3))):
            _middle(room, look, rng)


def _fill_wall(room: Room, wall: Wall, holes, full: float, look: dict, rng) -> None:
    """Furniture from left to right, with gaps where chance, a window or the height wants them."""
    fittings = _FITTINGS[room.kind].split()
    a = rng.uniform(0.1, 0.6)
    while a < wall.length - 0.6:
        kind = "pillar" if rng.random() < _PILLAR_CHANCE else str(rng.choice(fittings))
        piece = _FURNITURE[kind]
        wide = piece.width * rng.uniform(0.8, 1.25)
        before_window = any(
            x0 < a + wide and x1 > a and (y0 < 1.0 or piece.hangs or piece.height > 1.7)
            for x0, x1, y0, y1 in holes
        )
        too_large = a + wide > wall.length - 0.05 or piece.height > wall.height
        if rng.random() > full or before_window or too_large:
            a += rng.uniform(0.3, 0.9)
            continue
        piece.paint(room, wall, a, wide, look, rng)
        picture = piece.is_low and wall.height > 2 and rng.random() < _PICTURE_ABOVE_CHANCE
        if picture and not any(x0 < a + wide and x1 > a for x0, x1, *_ in holes):
            hang_picture(room, wall, a + wide * 0.2, wide * 0.6, look, rng, low=1.35)
        a += wide + rng.uniform(0.05, 0.8)


def _frame(room: Room, x: float, z: float, angle: float) -> Wall:
    """A frame anywhere on the floor."""
    along = np.array([np.cos(angle), 0, np.sin(angle)])
    return Wall(np.array([x, 0, z]), along, np.array([-along[2], 0, along[0]]), 0, 0)


def _carpet(room, look, rng) -> None:
    w, d = room.size[[0, 2]] * rng.uniform(0.35, 0.7, 2)
    x, z = room.size[0] / 2 - w / 2, room.size[2] / 2 - d / 2
    kind = str(rng.choice(["plain", "motif", "stripes", "check"]))
    surface = Surface(
        rng.uniform(0.15, 0.85, 3) * 0.6 + 0.3 * look["cloth"],
        kind,
        pieces.tone(rng),
        (rng.uniform(0.1, 0.5),) * 2,
        12,
        (),
        room.seed,
    )
    room.face(np.array([x, 0.01, z]), np.array([w, 0, 0]), np.array([0, 0, d]), UP, surface)


def _middle(room, look, rng) -> None:
    x, z = room.size[0] * rng.uniform(0.3, 0.7), room.size[2] * rng.uniform(0.3, 0.75)
    frame = _frame(room, x, z, rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.1))
    kind = _IN_THE_MIDDLE.get(room.kind, "table")
    if kind == "table" and rng.random() < 0.35:
        pieces.sofa(room, frame, -0.6, rng.uniform(0.9, 2), look, rng)
    elif kind == "table":
        pieces.table(room, frame, -0.6, rng.uniform(0.8, 1.7), look, rng)
    else:
        pieces.chest(room, frame, -0.8, 1.6, look, rng, rng.uniform(0.8, 1.2), 0.7)


@dataclass(frozen=True)
class Piece:
    """A piece of furniture.

    Attributes:
      paint: (room, wall, metres along the wall, width, look, rng) -> None.
      width: usual, metres.
      height: that a wall must have for it, metres; a high one stands before no window.
      hangs: whether it hangs on the wall, so that no window may be there.
      is_low: whether a picture may hang above it.
    """

    paint: Callable[..., None]
    width: float
    height: float = 1.6
    hangs: bool = False
    is_low: bool = False


_FURNITURE = {
    "sofa": Piece(pieces.sofa, 2.0, is_low=True),
    "bed": Piece(pieces.bed, 2.0, is_low=True),
    "shelf": Piece(pieces.shelf, 1.3, height=1.9),
    "chest": Piece(pieces.chest, 1.1, is_low=True),
    "lamp": Piece(pieces.lamp, 0.5),
    "plant": Piece(pieces.plant, 0.6),
    "tv": Piece(pieces.tv, 1.6),
    "picture": Piece(hang_picture, 0.9, hangs=True),
    "mirror": Piece(hang_mirror, 0.8, hangs=True),
    "door": Piece(hang_door, 0.95, height=2.05, hangs=True),
    "units": Piece(pieces.units, 2.6, height=2.2),
    "fire": Piece(pieces.fire, 1.4),
    "basin": Piece(pieces.basin, 1.0),
    "desk": Piece(pieces.desk, 1.5, is_low=True),
    "pillar": Piece(pieces.pillar, 1.3, height=2.2),
    "table": Piece(pieces.table, 1.3),
    "board": Piece(pieces.board, 1.6, hangs=True),
    "wardrobe": Piece(pieces.wardrobe, 1.7, height=2.1),
    "fridge": Piece(pieces.fridge, 0.75, height=1.8),
    "tub": Piece(pieces.tub, 1.7),
    "shower": Piece(pieces.shower, 1.0),
}
