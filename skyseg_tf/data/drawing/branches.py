"""Bare trees: how they branch, and what they hide."""

from functools import lru_cache

import cv2
import numpy as np

_STEPS = 4  # straight pieces of a branch
_TWIGS = 3  # of each branch


def grow_branches(
    rng: np.random.Generator, levels: int, first: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grows a tree of unit height from its foot at (0, 0).

    Args:
      rng: of its shape.
      levels: how often branches fork.
      first: length of the trunk below the first fork.

    Returns:
      Starts (N, 2), ends (N, 2) as (right, up), and widths (N,) of straight pieces.
    """
    position = np.zeros((1, 2))
    angle, length, width = np.array([rng.normal(0, 0.04)]), np.array([first]), np.array([0.032])
    starts, ends, widths = [], [], []
    spread, split = rng.uniform(0.35, 0.75), rng.uniform(0.55, 0.72)
    for level in range(levels):
        nodes = []
        for step in range(_STEPS):
            # Branches wander, and bend back up a little; the trunk (level 0) does not.
            drift = rng.normal(0, 0.05 + 0.03 * level, len(angle))
            angle = angle + drift - 0.03 * angle * (level > 0)
            move = np.stack([np.sin(angle), np.cos(angle)], 1) * (length / _STEPS)[:, None]
            starts.append(position)
            position = position + move
            ends.append(position)
            widths.append(width * (1 - 0.1 * step))
            nodes.append((position, angle))
        if level == levels - 1:  # the next twigs would grow for nobody
            break
        position, angle, length, width = _fork(rng, level, nodes, length, width, spread, split)
    starts, ends, widths = np.concatenate(starts), np.concatenate(ends), np.concatenate(widths)
    size = max(ends[:, 1].max(), 1e-3)
    return starts / size, ends / size, np.maximum(widths / size, 0.0009)


def _fork(
    rng: np.random.Generator,
    level: int,
    nodes: list[tuple[np.ndarray, np.ndarray]],
    length: np.ndarray,
    width: np.ndarray,
    spread: float,
    split: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three twigs of each branch: one at its tip goes on, the others leave it on the way.

    Args:
      rng: of the shape.
      level: how often the branches have forked already.
      nodes: (position (n, 2), angle (n,)) after each of a branch's steps.
      length, width: (n,) of the branches.
      spread: by how many radians twigs turn away.
      split: the least of their length, as a share of the branch's.

    Returns:
      Positions (m, 2), angles, lengths and widths (m,) of the twigs; some of them have died.
    """
    pick = rng.integers(1 if level else 2, _STEPS, (_TWIGS, len(length)))
    pick[0] = _STEPS - 1
    place = np.stack([node[0] for node in nodes])  # (steps, n, 2)
    heading = np.stack([node[1] for node in nodes])
    row = np.arange(len(length))[None].repeat(_TWIGS, 0)
    position = place[pick, row].reshape(-1, 2)
    side = rng.choice([-1, 1], pick.shape)
    turn = side * np.abs(rng.normal(spread, 0.22, pick.shape))
    turn[0] *= 0.4
    angle = (heading[pick, row] + turn).ravel()
    length = (length * rng.uniform(split, 0.92, pick.shape)).ravel()
    width = (width * np.array([0.74, *[0.5] * (_TWIGS - 1)])[:, None]).ravel()
    width = np.broadcast_to(width, length.shape)
    alive = rng.random(len(length)) < (0.93 if level < 4 else 0.78)
    return position[alive], angle[alive], length[alive], width[alive]


@lru_cache
def bare_trees(count: int, size: int) -> np.ndarray:
    """Pictures of bare trees, always the same.

    Args:
      count: of trees.
      size: height and width, pixels; the foot is in the middle of the lower edge.

    Returns:
      (count, size, size, 1) uint8: share of a pixel that wood covers, times 255.
    """
    fine = 4 * size
    drawn = np.zeros((count, size, size, 1), np.uint8)
    for number in range(count):
        rng = np.random.default_rng([number, 77])
        starts, ends, widths = grow_branches(rng, int(rng.integers(5, 8)), 0.27)
        picture = np.zeros((fine, fine), np.uint8)
        corners = [((p * [1, -1] + [0.5, 1.0]) * fine).astype(int).tolist() for p in (starts, ends)]
        for start, end, width in zip(*corners, widths, strict=True):
            cv2.line(picture, start, end, 255, max(1, round(width * fine)), cv2.LINE_AA)
        drawn[number, ..., 0] = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return drawn
