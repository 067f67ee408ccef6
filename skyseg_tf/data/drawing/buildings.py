"""Buildings for drawn street scenes: facades, roofs, towers, cranes, bridges."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import UP, Canvas, cross, encode, noise

# Display colors of walls, from which each building picks and varies one.
_WALLS = {
    "plaster": [
        (0.86, 0.82, 0.72),
        (0.78, 0.7, 0.58),
        (0.9, 0.88, 0.83),
        (0.72, 0.62, 0.5),
        (0.83, 0.74, 0.62),
        (0.7, 0.72, 0.7),
        (0.88, 0.78, 0.55),
        (0.75, 0.58, 0.48),
        (0.62, 0.66, 0.7),
        (0.8, 0.62, 0.58),
    ],
    "white": [(0.95, 0.95, 0.94), (0.97, 0.96, 0.93), (0.9, 0.93, 0.96)],
    "brick": [
        (0.55, 0.3, 0.22),
        (0.48, 0.28, 0.22),
        (0.6, 0.4, 0.3),
        (0.4, 0.26, 0.22),
        (0.62, 0.5, 0.38),
    ],
    "stone": [(0.62, 0.57, 0.48), (0.55, 0.53, 0.5), (0.7, 0.64, 0.53), (0.45, 0.43, 0.4)],
    "panel": [
        (0.66, 0.67, 0.68),
        (0.55, 0.57, 0.6),
        (0.75, 0.74, 0.7),
        (0.4, 0.43, 0.48),
        (0.82, 0.82, 0.8),
    ],
    "glass": [(0.3, 0.38, 0.45), (0.2, 0.25, 0.3), (0.5, 0.55, 0.58), (0.28, 0.36, 0.36)],
    "metal": [(0.7, 0.72, 0.74), (0.5, 0.56, 0.62), (0.85, 0.86, 0.86), (0.45, 0.5, 0.48)],
}
_ROOFS = [
    (0.5, 0.25, 0.18),
    (0.42, 0.22, 0.17),
    (0.3, 0.28, 0.28),
    (0.22, 0.22, 0.24),
    (0.55, 0.35, 0.25),
    (0.35, 0.33, 0.3),
    (0.6, 0.6, 0.58),
]


@dataclass(frozen=True)
class Building:
    """A box with a roof.

    Attributes:
      corner: (3,) the lower corner at the left of the front, seen from the street.
      along: (3,) unit vector along the front, to the right of somebody who looks at it.
      width, depth, height: metres; the height is that of the walls.
      roof: "flat", "gable" (ridge along the front), "front" (gable above the front) or "hip".
      style: key of the wall colors.
      seed: of everything else.
      far: nothing but walls is worth drawing.
    """

    corner: np.ndarray
    along: np.ndarray
    width: float
    depth: float
    height: float
    roof: str
    style: str
    seed: int
    far: bool = False


def draw_building(canvas: Canvas, b: Building) -> None:
    """Paints the visible faces, roof, chimneys and antennas."""
    centre = b.corner + b.along * b.width / 2 + cross(b.along, UP) * b.depth / 2
    reach = 0.5 * np.hypot(b.width, b.depth) + 0.8 * b.height
    if not canvas.camera.sees(centre + UP * b.height * 0.6, reach):
        return
    distance = max(np.linalg.norm(centre - canvas.camera.position) - reach * 0.7, 5.0)
    metre = canvas.camera.focal / distance  # pixels
    rng = np.random.default_rng([b.seed, 1])
    wall = np.clip(
        _pick(rng, _WALLS[b.style]) * rng.uniform(0.85, 1.1) + rng.normal(0, 0.02, 3), 0.05, 1
    )
    back = cross(b.along, UP)  # from the front into the building
    base = np.array(
        [
            b.corner,
            b.corner + b.along * b.width,
            b.corner + b.along * b.width + back * b.depth,
            b.corner + back * b.depth,
        ]
    )
    eye = canvas.camera.position
    seeds = rng.integers(0, 2**31, 4)
    facade = Facade.draw(rng, b, wall)
    pitch = rng.uniform(0.45, 1.2)
    rise = pitch * (b.depth if b.roof in ("gable", "hip") else b.width) / 2
    if b.roof == "flat":
        rise = 0.0
    if b.roof == "flat":
        _beyond_walls(canvas, base, b, wall)
    for i in range(4):
        start, end = base[i], base[(i + 1) % 4]
        normal = cross(UP, end - start) / max(np.linalg.norm(end - start), 1e-6)
        if np.dot(eye - start, normal) <= 0:
            continue
        gabled = (b.roof == "gable" and i % 2 == 1) or (b.roof == "front" and i % 2 == 0)
        height = b.height + (rise if gabled else 0)
        share = b.height / height
        shape = np.array(
            [[0, 0], [1, 0], [1, share], [0.5, 1], [0, share]]
            if gabled
            else [[0, 0], [1, 0], [1, 1], [0, 1]]
        )
        length = float(np.linalg.norm(end - start))
        blank = i != 0 and rng.random() < 0.4
        seed = int(seeds[i])

        def texture(px, length=length, height=height, seed=seed, blank=blank, i=i):
            return facade.texture(px, length, height, b.height, seed, blank, i == 0, canvas.light)

        canvas.plane(
            start, end - start, UP * height, texture, "building", canvas.light.on(normal), shape
        )
        if i == 0 and not b.far and metre > 4:
            _balconies(canvas, facade, start, end, -back, b, seed)
    if b.roof == "flat":
        _flat_top(canvas, rng, base, b, wall)
    else:
        _pitched(canvas, rng, base, b, rise, metre)


def _pick(rng, colors) -> np.ndarray:
    return np.array(colors[rng.integers(len(colors))], np.float64)


@dataclass(frozen=True)
class Facade:
    """What a building's walls look like; the texture is made for each face and distance."""

    style: str
    wall: np.ndarray
    trim: np.ndarray
    glass: np.ndarray
    floor: float  # metres per storey
    bay: float  # metres per window
    window: tuple[float, float, float, float]  # its box in the bay: x0, y0, x1, y1 in shares
    bars: int
    shop: bool
    balconies: int
    lit: float
    bands: bool  # ledges between the storeys

    @staticmethod
    def draw(rng: np.random.Generator, b: Building, wall: np.ndarray) -> "Facade":
        """Picks proportions that go with the style."""
        glassy = b.style == "glass"
        w, h = rng.uniform(0.3, 0.62), rng.uniform(0.42, 0.68)
        if glassy or rng.random() < 0.12:
            w, h = rng.uniform(0.85, 0.96), rng.uniform(0.65, 0.95)
        x0, y0 = (1 - w) / 2, (1 - h) * rng.uniform(0.35, 0.6)
        trim = wall * rng.uniform(0.7, 0.9) if rng.random() < 0.5 else np.array([0.9, 0.9, 0.88])
        return Facade(
            style=b.style,
            wall=wall,
            trim=np.clip(trim, 0, 1),
            glass=np.array([0.16, 0.2, 0.24]) * rng.uniform(0.4, 1.6),
            floor=rng.uniform(2.7, 3.9),
            bay=rng.uniform(1.2, 2.2) if glassy else rng.uniform(2.0, 4.5),
            window=(x0, y0, x0 + w, y0 + h),
            bars=int(rng.integers(0, 4)),
            shop=bool(rng.random() < 0.45),
            balconies=int(rng.integers(0, 5)) if b.style in ("plaster", "white", "brick") else 0,
            lit=rng.uniform(0.08, 0.5),
            bands=bool(not glassy and rng.random() < 0.4),
        )

    def texture(self, px, length, height, eaves, seed, blank, front, light):
        """Pixels per metre -> ((h, w, 3) uint8 wall, glow alike or None)."""
        rng = np.random.default_rng([seed, 2])
        storeys, bays = max(1, round(eaves / self.floor)), max(1, round(length / self.bay))
        ch, cw = max(2, round(eaves / storeys * px)), max(2, round(length / bays * px))
        if self.style == "metal" or blank:
            storeys_kind = np.zeros((storeys, bays), int)
            if self.style == "metal" and storeys > 1:
                storeys_kind[-2] = 1
        else:
            storeys_kind = rng.integers(1, 5, (storeys, bays))
        cells = np.stack([self._cell(kind, ch, cw, light) for kind in range(5)])
        body = cells[storeys_kind].transpose(0, 2, 1, 3, 4).reshape(storeys * ch, bays * cw, 3)
        size = (max(2, round(length * px)), max(2, round(height * px)))
        glow = None
        if light.night:
            glow = self._glow(rng, storeys, bays, ch, cw, storeys_kind, size, body.shape)
        wall = np.empty((size[1], size[0], 3), np.uint8)
        wall[:] = encode(self.wall)
        top = max(0, size[1] - body.shape[0])
        body = cv2.resize(body, (size[0], size[1] - top), interpolation=cv2.INTER_LINEAR)
        wall[top:] = body
        if front and self.shop and not blank:
            self._shops(wall, rng, px, size)
        if self.style == "glass":
            wall = self._reflect(wall, rng, light, px)
        return self._weathered(wall, rng, px), glow

    def _cell(self, kind, h, w, light) -> np.ndarray:
        """One bay of one storey: plain wall (0) or a window with sky, dark, blind or curtain."""
        cell = np.empty((h, w, 3), np.uint8)
        cell[:] = encode(self.wall)
        if kind == 0:
            return cell
        x0, y0, x1, y1 = (round(v * n) for v, n in zip(self.window, (w, h, w, h), strict=True))
        frame = max(1, round(0.03 * w))
        if w > 8:
            cv2.rectangle(
                cell,
                (x0 - frame, y0 - frame),
                (x1 + frame, y1 + 2 * frame),
                encode(self.trim).tolist(),
                -1,
            )
        sky = np.sqrt(np.clip(light.horizon * 0.35 + light.zenith * 0.25, 0, 1))
        glass = {
            1: self.glass * 0.7 + sky * 0.45,
            2: self.glass,
            3: self.glass * 0.6 + sky * 0.2,
            4: self.glass + 0.1,
        }[kind]
        cv2.rectangle(cell, (x0, y0), (x1, y1), encode(glass).tolist(), -1)
        if kind == 3 and self.style != "glass":  # a blind half down
            cv2.rectangle(
                cell, (x0, y0), (x1, (y0 + 2 * y1) // 3), encode(self.trim * 0.85).tolist(), -1
            )
        if kind == 4 and self.style != "glass":
            curtain = max(1, (x1 - x0) // 5)
            for x in (x0, x1 - curtain):
                cv2.rectangle(
                    cell, (x, y0), (x + curtain, y1), encode((0.6, 0.58, 0.52)).tolist(), -1
                )
        if w > 12:
            for k in range(1, self.bars + 1):
                x = x0 + (x1 - x0) * k // (self.bars + 1)
                cv2.rectangle(
                    cell, (x, y0), (x + max(0, w // 40), y1), encode(self.trim).tolist(), -1
                )
            # The reveal casts a shadow at the top.
            cell[y0 : y0 + max(1, h // 30), x0:x1] //= 2
        return cell

    def _glow(self, rng, storeys, bays, ch, cw, kinds, size, shape) -> np.ndarray:
        """Lit windows: (h, w, 3) uint8."""
        on = (rng.random((storeys, bays)) < self.lit) & (kinds > 0)
        colors = rng.uniform(0.25, 0.95, (storeys, bays, 1)) * np.where(
            rng.random((storeys, bays, 1)) < 0.75, [1, 0.8, 0.5], [0.85, 0.93, 1]
        )
        cell = np.zeros((ch, cw), np.float32)
        x0, y0, x1, y1 = (round(v * n) for v, n in zip(self.window, (cw, ch, cw, ch), strict=True))
        cell[y0:y1, x0:x1] = 1
        body = cell[None, :, None, :, None] * (colors * on[..., None])[:, None, :, None, :]
        body = encode(body.reshape(shape))
        glow = np.zeros((size[1], size[0], 3), np.uint8)
        top = max(0, size[1] - shape[0])
        glow[top:] = cv2.resize(body, (size[0], size[1] - top), interpolation=cv2.INTER_AREA)
        return glow

    def _shops(self, wall, rng, px, size) -> None:
        """Shop windows, signs and awnings in the ground floor, drawn into the texture."""
        x, high = 0.0, self.floor * 1.1
        while x * px < size[0] - 1:
            step = rng.uniform(2.5, 6)
            color = rng.uniform(0.06, 0.45) * rng.uniform(0.8, 1.1, 3)
            sign, goods = rng.uniform(0.1, 0.95, 3), rng.uniform(0, 1, (5, 6))
            sign += (sign.mean() - sign) * rng.uniform(0.1, 0.9)
            rows = size[1] - np.round(np.array([0.4, high * 0.72, high * 0.95]) * px).astype(int)
            left, right = round((x + 0.15) * px), round((x + step - 0.15) * px)
            cv2.rectangle(wall, (left, rows[1]), (right, rows[0]), encode(color).tolist(), -1)
            for spot in goods if px >= 8 else ():  # what stands in the window
                xs = left + np.clip([spot[0], spot[0] + 0.2], 0, 1) * (right - left)
                ys = rows[0] + np.array([0, 0.3 + 0.5 * spot[1]]) * (rows[1] - rows[0])
                shade = encode(color * 0.7 + spot[3:] * 0.25 * spot[2]).tolist()
                cv2.rectangle(wall, (int(xs[0]), int(ys[1])), (int(xs[1]), int(ys[0])), shade, -1)
            if rng.random() < 0.75:
                cv2.rectangle(wall, (left, rows[2]), (right, rows[1]), encode(sign).tolist(), -1)
                letters = round((x + step * 0.3) * px), (rows[1] + rows[2]) // 2
                cv2.line(
                    wall,
                    letters,
                    (round((x + step * 0.7) * px), letters[1]),
                    encode(1 - sign).tolist(),
                    max(1, round(0.15 * px)),
                )
            x += step

    def _reflect(self, wall, rng, light, px) -> np.ndarray:
        """A glass front mirrors sky and clouds, which makes it no sky."""
        h, w = wall.shape[:2]
        rows = np.linspace(0.75, 0.15, h)[:, None, None]
        sky = light.horizon + (light.zenith - light.horizon) * rows
        cloud = np.clip(noise((h, w), px * 0.12, rng, 1.6) * 0.5 + rng.uniform(-0.3, 0.3), 0, 1)
        sky = sky + cloud[..., None] * (light.ambient * 2.2 - sky) * 0.6
        bright = max(float((light.ambient + light.sun * 0.5).mean()), 1e-3)
        # The texture is lit like a wall later on; the mirror image must not be.
        sky = np.sqrt(np.clip(sky / bright * 0.9, 0, 1)) * 255
        share = rng.uniform(0.35, 0.9) * (wall.max(-1, keepdims=True) < encode(self.wall).max())
        return (wall + share * (sky - wall)).astype(np.uint8)

    def _weathered(self, wall, rng, px) -> np.ndarray:
        """Brick courses, panel joints, stains and grain."""
        h, w = wall.shape[:2]
        stain = noise((h, w), px * 0.25, rng, 1.2, aspect=0.5) * rng.uniform(2, 7)
        if px >= 8:
            stain += noise((h, w), max(1.0, px * 0.02), rng, 0.3) * rng.uniform(1, 6)
        if self.style in ("brick", "stone") and px >= 16:
            course = max(2, round(px * (0.09 if self.style == "brick" else 0.4)))
            stain[::course] -= 14
        if self.style in ("panel", "metal") and px >= 4:
            stain[:, :: max(2, round(px * (1.2 if self.style == "panel" else 0.3)))] -= 12
        stain += np.linspace(6, -14, h)[:, None]
        for y in np.arange(1, h / px / self.floor) * self.floor * px if self.bands else ():
            row = h - round(y)
            stain[row : row + max(1, round(px * 0.18))] += 16
            stain[row + max(1, round(px * 0.18)) : row + max(2, round(px * 0.3))] -= 22
        return np.clip(wall + stain[..., None], 0, 255).astype(np.uint8)


def _balconies(canvas, facade, start, end, out, b, seed) -> None:
    """Slabs with railings in front of some bays of the front."""
    if not facade.balconies:
        return
    rng = np.random.default_rng([seed, 3])
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    color = np.clip(facade.wall * 0.9, 0, 1)
    solid = rng.random() < 0.5
    bays, storeys = max(1, round(length / facade.bay)), round(b.height / facade.floor)
    chosen = rng.permutation(bays)[: facade.balconies]
    light = canvas.light
    for storey in range(1, storeys):
        for bay in chosen:
            foot = start + along * (bay + 0.1) * length / bays + UP * storey * b.height / storeys
            w, d = along * facade.bay * 0.85, out * 1.2
            canvas.polygon(
                [foot, foot + w, foot + w + d, foot + d], color * 0.6, "building", light.on(-UP)
            )
            low, high = foot + d - UP * 0.2, foot + d + UP * (1.0 if solid else 0.05)
            canvas.polygon([low, low + w, high + w, high], color, "building", light.on(out))
            for side in (foot, foot + w):
                canvas.polygon(
                    [
                        side - UP * 0.2,
                        side - UP * 0.2 + d,
                        side + d + UP * (high - low - UP)[1],
                        side + UP * (high - low - UP)[1],
                    ],
                    color * 0.85,
                    "building",
                    light.on(along),
                )
            if not solid:
                posts = foot + d + np.linspace(0, 1, 12)[:, None] * w
                canvas.lines(
                    np.vstack([posts, foot + d + UP]),
                    np.vstack([posts + UP, foot + d + w + UP]),
                    0.03,
                    (0.15, 0.15, 0.16),
                    "building",
                )


def _flat_roof(b: Building) -> tuple[float, float]:
    """How far a flat roof sticks out and how thick its edge is, metres; 0, 0 for a plain one."""
    rng = np.random.default_rng([b.seed, 8])
    return (rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.7)) if rng.random() < 0.6 else (0.0, 0.0)


def _beyond_walls(canvas, base, b, wall) -> None:
    """What the walls hide the lower part of: the lift house and the roof's underside."""
    rng = np.random.default_rng([b.seed, 9])
    if rng.random() < 0.5:
        share = rng.uniform(0.2, 0.5)
        spot = base[0] + (base[2] - base[0]) * rng.uniform(0.05, 0.4) + UP * b.height
        box(
            canvas,
            spot,
            b.along,
            b.width * share,
            b.depth * share,
            rng.uniform(1.5, 4),
            wall * rng.uniform(0.6, 1),
            "building",
        )
    over, thick = _flat_roof(b)
    if thick and canvas.camera.position[1] < b.height:
        ring = base.mean(0) + (base - base.mean(0)) * (1 + over) + UP * b.height
        canvas.polygon(ring, wall * 0.6, "building", canvas.light.on(-UP))


def _flat_top(canvas, rng, base, b, wall) -> None:
    """The edge of a flat roof, and antennas."""
    over, thick = _flat_roof(b)
    if thick:
        ring = base.mean(0) + (base - base.mean(0)) * (1 + over) + UP * b.height
        high = UP * thick
        for i in range(4):
            start, end = ring[i], ring[(i + 1) % 4]
            normal = cross(UP, end - start) / np.linalg.norm(end - start)
            if np.dot(canvas.camera.position - start, normal) > 0:
                canvas.polygon(
                    [start, end, end + high, start + high],
                    wall * 0.8,
                    "building",
                    canvas.light.on(normal),
                )
    masts(canvas, rng, base[:2], b.height)


def masts(canvas, rng, edge, height) -> None:
    """Antennas on a roof edge given by two (3,) points."""
    if rng.random() < 0.55:
        return
    for _ in range(int(rng.integers(1, 4))):
        foot = edge[0] + (edge[1] - edge[0]) * rng.uniform(0.1, 0.9) + UP * height
        high = UP * rng.uniform(1.5, 5)
        across = (edge[1] - edge[0]) / np.linalg.norm(edge[1] - edge[0]) * rng.uniform(0.3, 0.9)
        rungs = foot + high * np.linspace(0.6, 1, 4)[:, None]
        canvas.lines(
            np.vstack([foot, rungs - across]),
            np.vstack([foot + high, rungs + across]),
            np.array([0.08, *[0.03] * 4]),
            (0.2, 0.2, 0.2),
            "building",
        )


def box(canvas, corner, along, width, depth, height, color, label) -> None:
    """A plain box: its lower front left corner, its front's direction, and its size."""
    back = cross(along, UP)
    base = np.array(
        [
            corner,
            corner + along * width,
            corner + along * width + back * depth,
            corner + back * depth,
        ]
    )
    top = UP * height
    faces = [(base[i], base[(i + 1) % 4]) for i in range(4)]
    eye = canvas.camera.position
    for start, end in faces:
        normal = cross(UP, end - start) / max(np.linalg.norm(end - start), 1e-6)
        if np.dot(eye - start, normal) > 0:
            canvas.polygon(
                [start, end, end + top, start + top],
                np.clip(color, 0, 1),
                label,
                canvas.light.on(normal),
            )
    for plane, normal in ((base + top, UP), (base, -UP)):
        if np.dot(eye - plane[0], normal) > 0:
            canvas.polygon(plane, np.clip(color, 0, 1), label, canvas.light.on(normal))


def _pitched(canvas, rng, base, b, rise, metre) -> None:
    """Roof slopes with tiles, and chimneys."""
    tile = _pick(rng, _ROOFS) * rng.uniform(0.8, 1.2)
    over, seed = rng.uniform(0.2, 0.6), int(rng.integers(2**31))
    turn = 1 if b.roof == "front" else 0
    corners = np.roll(base, -turn, 0) + UP * b.height
    depth_axis = (corners[3] - corners[0]) / np.linalg.norm(corners[3] - corners[0])
    along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    inset = np.linalg.norm(corners[3] - corners[0]) / 2 if b.roof == "hip" else 0.0
    inset = min(inset, 0.45 * np.linalg.norm(corners[1] - corners[0]))
    middle = (corners[0] + corners[3]) / 2 + UP * rise, (corners[1] + corners[2]) / 2 + UP * rise
    ridge = middle[0] + along * inset, middle[1] - along * inset
    reach = along * over if b.roof != "hip" else 0 * along

    def tiles(px):
        r = np.random.default_rng([seed, 4])
        h, w = max(8, round(8 * px)), max(8, round(20 * px))
        grain = noise((h, w), px * 0.3, r, 1.0) * 6 + noise((h, w), max(1, px * 0.05), r, 0.3) * 6
        if px >= 8:
            grain[:: max(2, round(px * 0.35))] -= 22
        return np.clip(encode(tile) + grain[..., None], 0, 255).astype(np.uint8), None

    # First the chimneys: the slopes hide their feet.
    for _ in range(int(rng.integers(0, 4))):
        share = rng.uniform(0.1, 0.9)
        foot = ridge[0] + (ridge[1] - ridge[0]) * share - UP * 0.8
        box(
            canvas,
            foot,
            along,
            rng.uniform(0.5, 1.2),
            0.6,
            rng.uniform(1.4, 2.4),
            tile * 0.9 + 0.05,
            "building",
        )
    slopes = [
        (corners[0], corners[1], ridge[1], ridge[0], depth_axis),
        (corners[2], corners[3], ridge[0], ridge[1], -depth_axis),
    ]
    eye = canvas.camera.position
    for left, right, up_right, up_left, _inward in slopes:
        normal = cross(right - left, up_left - left)
        normal = -normal if normal[1] < 0 else normal
        normal = normal / np.linalg.norm(normal)
        if np.dot(eye - left, normal) <= 0:
            continue
        sign = 1 if np.dot(right - left, along) > 0 else -1
        slope = up_left - left - along * np.dot(up_left - left, along)
        start = left - reach * sign - slope / np.linalg.norm(slope) * over
        end = right + reach * sign - slope / np.linalg.norm(slope) * over
        across = end - start
        length = np.linalg.norm(across)
        shape = [
            [np.dot(p - start, across) / length**2, np.dot(p - start, slope) / slope.dot(slope)]
            for p in (start, end, up_right + reach * sign, up_left - reach * sign)
        ]
        canvas.plane(start, across, slope, tiles, "building", canvas.light.on(normal), shape)
    if b.roof == "hip":
        for i, j, peak in ((1, 2, ridge[1]), (3, 0, ridge[0])):
            normal = cross(corners[j] - corners[i], peak - corners[i])
            normal = normal / np.linalg.norm(normal) * (1 if normal[1] > 0 else -1)
            if np.dot(eye - corners[i], normal) > 0:
                canvas.polygon(
                    [corners[i], corners[j], peak],
                    np.clip(tile, 0, 1),
                    "building",
                    canvas.light.on(normal),
                )
    if not b.far and metre > 1:
        masts(canvas, rng, np.array(ridge), -0.2)


def draw_tower(canvas: Canvas, foot, seed: int) -> None:
    """A church tower: a square shaft with a spire and a cross."""
    rng = np.random.default_rng([seed, 5])
    side, high = rng.uniform(5, 9), rng.uniform(18, 40)
    along = np.array([np.cos(turn := rng.uniform(-0.8, 0.8)), 0, np.sin(turn)])
    style = ["stone", "brick", "plaster", "white"][rng.integers(4)]
    b = Building(np.asarray(foot, float), along, side, side, high, "flat", style, seed, True)
    draw_building(canvas, b)
    back = cross(along, UP)
    base = np.array([foot, foot + along * side, foot + (along + back) * side, foot + back * side])
    peak = base.mean(0) + UP * (high + side * rng.uniform(0.8, 3.2))
    color = _pick(rng, [(0.3, 0.45, 0.4), (0.25, 0.25, 0.27), (0.45, 0.25, 0.2)])
    top = base + UP * high
    for i in range(4):
        normal = cross(peak - top[i], top[(i + 1) % 4] - top[i])
        normal = normal / np.linalg.norm(normal) * (1 if normal[1] > 0 else -1)
        if np.dot(canvas.camera.position - top[i], normal) > 0:
            canvas.polygon(
                [top[i], top[(i + 1) % 4], peak], color, "building", canvas.light.on(normal)
            )
    arm = along * 0.5
    canvas.lines(
        [peak, peak + UP * 1.4 - arm],
        [peak + UP * 2, peak + UP * 1.4 + arm],
        0.12,
        (0.5, 0.42, 0.2),
        "building",
    )


def draw_crane(canvas: Canvas, foot, seed: int) -> None:
    """A tower crane: lattice mast, jib, counter jib and stays."""
    rng = np.random.default_rng([seed, 6])
    high, reach = rng.uniform(28, 55), rng.uniform(25, 45)
    turn = rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(turn), 0, np.sin(turn)])
    color = _pick(rng, [(0.85, 0.65, 0.1), (0.75, 0.2, 0.12), (0.8, 0.8, 0.82), (0.2, 0.35, 0.6)])
    top = foot + UP * high
    starts, ends = [], []

    def lattice(a, b, lift, steps):
        for t in range(steps):
            p, q = a + (b - a) * t / steps, a + (b - a) * (t + 1) / steps
            starts.extend([p, p + lift, p, p + lift if t % 2 else p])
            ends.extend([q, q + lift, p + lift, q if t % 2 else q + lift])

    lattice(foot, top, np.array([1.6, 0, 0]), int(high / 2))
    lattice(top, top + out * reach, UP * 1.5, int(reach / 2))
    lattice(top, top - out * reach * 0.3, UP * 1.2, 4)
    peak = top + UP * 6
    starts.extend([peak, peak, top, top + out * reach * 0.7])
    ends.extend(
        [
            top + out * reach * 0.7 + UP * 1.5,
            top - out * reach * 0.3,
            peak,
            top + out * reach * 0.7 - UP * rng.uniform(5, 20),
        ]
    )
    canvas.lines(starts, ends, 0.16, color, "building", canvas.light.on(UP * 0.3))


def draw_bridge(canvas: Canvas, centre, along, half: float, clearance: float, seed: int) -> None:
    """A bridge across the road: beam, railing, piers at both sides.

    Args:
      canvas: to paint on.
      centre: (3,) point of the road below its near edge.
      along: (3,) unit vector to the road's right.
      half: metres from the road's middle to the piers.
      clearance: height of the beam's underside.
      seed: of color and railing.
    """
    rng = np.random.default_rng([seed, 7])
    color = np.ones(3) * rng.uniform(0.4, 0.75) + rng.normal(0, 0.02, 3)
    wide, thick = rng.uniform(5, 14), rng.uniform(0.9, 1.8)
    for side in (-1, 1):
        pier = centre + along * (side * (half + 0.7) - 0.6)
        box(canvas, pier, along, 1.2, wide, clearance, color * 0.9, "bridge")
    left = centre - along * (half + 40) + UP * clearance
    box(canvas, left, along, 2 * (half + 40), wide, thick, color, "bridge")
    posts = left + UP * thick + along * np.arange(0, 2 * (half + 40), 1.5)[:, None]
    rail = UP * rng.uniform(0.9, 1.2)
    canvas.lines(
        np.vstack([posts, left + UP * thick + rail]),
        np.vstack([posts + rail, left + UP * thick + rail + along * 2 * (half + 40)]),
        0.06,
        (0.35, 0.37, 0.38),
        "bridge",
    )
