"""Trees, hedges, hills and skylines for drawn street scenes."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.branches import grow_branches
from skyseg_tf.data.drawing.camera import UP, Camera, cross
from skyseg_tf.data.drawing.canvas import Canvas
from skyseg_tf.data.drawing.noise import noise

# Display colors of leaves: dark side, lit side.
_LEAVES = (
    [((0.1, 0.17, 0.07), (0.5, 0.6, 0.22))] * 3
    + [((0.08, 0.14, 0.07), (0.36, 0.48, 0.2))] * 3
    + [((0.07, 0.13, 0.08), (0.28, 0.42, 0.24))] * 2
    + [
        ((0.16, 0.2, 0.06), (0.68, 0.7, 0.28)),
        ((0.3, 0.14, 0.05), (0.85, 0.5, 0.16)),
        ((0.32, 0.22, 0.04), (0.9, 0.74, 0.2)),
        ((0.2, 0.06, 0.07), (0.5, 0.2, 0.16)),
        ((0.35, 0.28, 0.3), (0.92, 0.85, 0.86)),
    ]
)


@dataclass(frozen=True)
class Tree:
    """A tree, bush or stretch of hedge.

    Attributes:
      foot: (3,) where it stands.
      height: metres.
      kind: "round", "tall", "cone", "hedge", "bare" or "thin" (bare with a few leaves).
      seed: of its shape.
      leaves: index of its leaf colors.
      width: metres, of a hedge only.
    """

    foot: np.ndarray
    height: float
    kind: str
    seed: int
    leaves: int = 0
    width: float = 0.0


def draw_tree(canvas: Canvas, tree: Tree) -> None:
    """Paints trunk, branches and crown as a board that faces the camera."""
    reach = max(tree.height * 0.6, tree.width * 0.5)
    if not canvas.camera.sees(tree.foot + UP * tree.height / 2, reach):
        return
    rng = np.random.default_rng([tree.seed, 11])
    grow = np.random.default_rng([tree.seed, 13])
    # Twigs thinner than a tenth of a pixel are not worth their time.
    pixels = tree.height * canvas.camera.focal / np.linalg.norm(tree.foot - canvas.camera.position)
    levels = 7 if pixels > 130 else 6 if pixels > 60 else 5
    right = cross(UP, tree.foot - canvas.camera.position)
    right /= max(np.linalg.norm(right), 1e-6)
    bark = np.array([0.3, 0.25, 0.2]) * rng.uniform(0.6, 1.3)
    light = canvas.light
    trunk_light = light.ambient * 0.9 + light.sun * 0.35
    if tree.kind in ("bare", "thin"):
        starts, ends, widths = grow_branches(grow, levels - (tree.kind == "thin"), 0.27)
    elif tree.kind in ("round", "tall"):
        starts, ends, widths = grow_branches(grow, min(levels, 5), 0.28)
    else:
        starts, ends, widths = np.zeros((1, 2)), np.array([[0.0, 0.5]]), np.array([0.02])
    if tree.kind in ("round", "tall"):  # the crown hides the tips
        starts, ends = starts * 0.8, ends * 0.8
    if tree.kind != "hedge":
        world = [
            tree.foot + (p[:, :1] * right + p[:, 1:] * UP) * tree.height for p in (starts, ends)
        ]
        canvas.lines(*world, widths * tree.height, bark, "vegetation", trunk_light)
    if tree.kind != "bare":
        _crown(canvas, tree, right, rng)


def _blobs(rng, tree: Tree):
    """The crown as balls: centres (N, 2) and radii (N,), both in metres from the foot."""
    h = tree.height
    if tree.kind == "hedge":
        n = max(6, int(tree.width / h * 3))
        x = np.linspace(-0.5, 0.5, n) * (tree.width - h * 0.6)
        y = h * 0.55 + rng.normal(0, 0.07 * h, n)
        centres = np.concatenate([np.stack([x, y], 1), np.stack([x, y * 0.4], 1)])
        return centres, np.full(2 * n, 0.42 * h)
    if tree.kind == "cone":
        t = np.repeat(np.linspace(0.1, 0.97, 12), 3)
        reach = (1 - t) * h * rng.uniform(0.16, 0.24)
        x = np.tile([-1, 0, 1], 12) * reach * rng.uniform(0.5, 1, len(t))
        return np.stack([x, t * h], 1), reach * 0.7 + 0.02 * h
    wide = rng.uniform(0.3, 0.42) if tree.kind in ("round", "thin") else rng.uniform(0.1, 0.16)
    low = rng.uniform(0.45, 0.62) if tree.kind == "round" else 0.55
    n = 26
    turn, reach = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n)) * 0.75
    centres = np.stack([np.sin(turn) * reach * wide, low + np.cos(turn) * reach * (0.97 - low)], 1)
    return centres * h, rng.uniform(0.28, 0.5, n) * wide * h


def _crown(canvas: Canvas, tree: Tree, right, rng) -> None:
    """Leaves: balls roughened by noise down to single leaves, with real holes between them."""
    centres, radii = _blobs(rng, tree)
    camera, light = canvas.camera, canvas.light
    pad = radii[:, None] * 1.25  # leaves stick out of the balls
    low, high = (centres - pad).min(0), (centres + pad).max(0)
    if tree.kind == "hedge":
        low[1] = 0.0
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    found = canvas.outline(np.array([tree.foot + x * right + y * UP for x, y in corners]))
    if found is None:
        return
    (x0, y0, x1, y1), _, _, depth = found
    px = camera.focal / depth
    shape = (y1 - y0, x1 - x0)
    grid = np.clip(px * max(high - low), 12, 64) / max(high - low)
    field, sheen = _crown_field(centres, radii, low, high, grid, light, camera, right)
    target = _place_board(camera, tree.foot, right, low, high)
    if target is None:
        return
    target = (target - (x0, y0)).astype(np.float32)
    h, w = field.shape
    matrix = cv2.getAffineTransform(np.array([[0, 0], [w - 1, 0], [0, h - 1]], np.float32), target)
    size = (shape[1], shape[0])
    field = cv2.warpAffine(field, matrix, size, borderValue=-3)
    sheen = cv2.warpAffine(sheen, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    origin = -target[0]
    leaf = max(0.045 * px, 0.9)
    rough = noise(shape, 0.12 * px, rng, 1.0, origin)
    fine = noise(shape, leaf, rng, 0.35, origin)
    sparse = 0.75 if tree.kind == "thin" else rng.uniform(-0.25, 0.3)
    cover = field * 2.2 + rough * 0.45 + fine * 0.5 - sparse
    steep = max(1.2, min(4.0, leaf))
    alpha = np.clip(0.5 + cover * steep, 0, 1)
    tone = sheen + 0.07 * rough + 0.13 * noise(shape, leaf, rng, 0.35, origin)
    index = cv2.convertScaleAbs(np.clip(tone, 0, 1), alpha=255)
    dark, lit = (np.array(c) for c in _LEAVES[tree.leaves % len(_LEAVES)])
    ramp = np.linspace(0, 1, 256)[:, None]
    table = canvas.table(light.ambient * 0.8 + light.sun * 0.75, depth, dark + (lit - dark) * ramp)
    patch = cv2.LUT(cv2.merge([index] * 3), table)
    canvas.paint(x0, y0, patch, cv2.convertScaleAbs(alpha, alpha=255), "vegetation")


def _place_board(camera: Camera, foot, right, low, high) -> np.ndarray | None:
    """Three corners of a crown's board in the picture, (3, 2): upper left and right, lower left.

    They make an affine map of the board to the picture, which is exact enough at this distance;
    None where the board is too near for that.
    """
    corners = [
        foot + low[0] * right + high[1] * UP,
        foot + high[0] * right + high[1] * UP,
        foot + low[0] * right + low[1] * UP,
    ]
    frame = (np.array(corners) - camera.position) @ camera.matrix.T
    return None if frame[:, 2].min() < 0.2 else frame[:, :2] / frame[:, 2:] - 0.5


def _crown_field(centres, radii, low, high, grid, light, camera, right):
    """Coarse crown: (h, w) float32 depth inside the balls, and (h, w) brightness 0-1."""
    size = np.maximum(8, np.ceil((high - low) * grid)).astype(int)
    x = np.linspace(low[0], high[0], size[0])
    y = np.linspace(high[1], low[1], size[1])
    # Where the sun stands, seen in the board's plane, and whether it is behind the tree.
    forward = cross(right, UP)
    sun = np.array([light.sun_direction @ right, light.sun_direction[1]])
    front = -float(light.sun_direction @ forward)
    if not light.sun.any():
        sun, front = np.array([0.0, 0.8]), 0.3
    dx = (x - centres[:, :1]) / radii[:, None]  # (balls, w)
    dy = (y - centres[:, 1:]) / radii[:, None]  # (balls, h)
    balls = (1 - dx * dx)[:, None] - (dy * dy)[:, :, None]
    nearest = balls.argmax(0)
    field = np.maximum(balls.max(0), -3.0)
    column, row = np.arange(size[0]), np.arange(size[1])[:, None]
    shade = 0.3 * (dx[nearest, column] * sun[0] + dy[nearest, row] * sun[1])
    shade += 0.4 + 0.25 * front * np.sqrt(np.clip(field, 0, 1))
    sheen = np.where(field > -3.0, shade, 0.0)
    return field.astype(np.float32), np.clip(sheen, 0.05, 1).astype(np.float32)


@dataclass(frozen=True)
class Ridge:
    """A far silhouette: its waves around the horizon and what it is.

    Attributes:
      waves: lowest and highest frequency, per turn.
      fall: the exponent with which the waves' strength falls with their frequency.
      label: of its pixels.
      color: display color.
    """

    waves: tuple[int, int]
    fall: float
    label: str
    color: tuple[float, float, float]


_RIDGES = {
    "hills": Ridge((3, 40), 1.3, "vegetation", (0.2, 0.27, 0.17)),
    "fields": Ridge((2, 20), 1.6, "terrain", (0.45, 0.48, 0.28)),
    "trees": Ridge((30, 900), 0.65, "vegetation", (0.17, 0.22, 0.13)),
    "city": Ridge((20, 200), 0.3, "building", (0.5, 0.5, 0.52)),
}


def draw_ridge(canvas: Canvas, distance: float, height: float, kind: str, seed: int) -> None:
    """A far silhouette all around: hills, a line of trees, or a city.

    Args:
      canvas: to paint on.
      distance: metres.
      height: metres of its highest points.
      kind: key of _RIDGES.
      seed: of its outline.
    """
    rng = np.random.default_rng([seed, 12])
    turn = np.linspace(-np.pi, np.pi, 4096, endpoint=False)
    ridge = _RIDGES[kind]
    lowest, highest = ridge.waves
    profile = np.zeros_like(turn)
    for frequency in np.unique(np.geomspace(lowest, highest, 40).astype(int)):
        strength = (frequency / lowest) ** -ridge.fall
        profile += strength * np.sin(frequency * turn + rng.uniform(0, 2 * np.pi)) * rng.random()
    profile = (profile - profile.min()) / np.ptp(profile)
    if kind == "city":
        steps = np.sort(rng.choice(4096, 260, replace=False))
        profile = profile[steps[np.searchsorted(steps, np.arange(4096)) % 260]] ** 2
    color = np.clip(np.array(ridge.color) * rng.uniform(0.6, 1.3) + rng.normal(0, 0.03, 3), 0.03, 1)
    eye = canvas.camera.position
    xz = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], 1) * distance
    top = eye * [1, 0, 1] + xz + UP * (0.25 + 0.75 * profile[:, None]) * height
    light = canvas.light.ambient * 0.8 + canvas.light.sun * 0.3
    camera = canvas.camera
    half = np.arctan(np.hypot(*camera.size) / 2 / camera.focal) + 0.05
    seen = np.flatnonzero((xz @ camera.rotation[2]) / distance > np.cos(min(half, 1.4)))
    if not len(seen):
        return
    seen = (
        np.roll(seen, -(np.argmax(np.diff(seen)) + 1)) if np.diff(seen).max(initial=1) > 1 else seen
    )
    rim = top[seen]
    foot = rim[::-1] * [1, 0, 1] - UP * 0.01 * distance
    canvas.polygon(np.concatenate([rim, foot]), color, ridge.label, light)
