"""What the walls of drawn buildings look like: windows, shops, reflections, stains."""

from dataclasses import dataclass

import cv2
import numpy as np

from skyseg_tf.data.drawing.canvas import encode
from skyseg_tf.data.drawing.noise import noise

_WITH_BALCONIES = ("plaster", "white", "brick")  # styles
_LIT_SHARE = (0.08, 0.5)  # of the windows at night


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
    def draw(rng: np.random.Generator, style: str, wall: np.ndarray) -> "Facade":
        """Picks proportions that go with the style."""
        glassy = style == "glass"
        w, h = rng.uniform(0.3, 0.62), rng.uniform(0.42, 0.68)
        if glassy or rng.random() < 0.12:
            w, h = rng.uniform(0.85, 0.96), rng.uniform(0.65, 0.95)
        x0, y0 = (1 - w) / 2, (1 - h) * rng.uniform(0.35, 0.6)
        trim = wall * rng.uniform(0.7, 0.9) if rng.random() < 0.5 else np.array([0.9, 0.9, 0.88])
        return Facade(
            style=style,
            wall=wall,
            trim=np.clip(trim, 0, 1),
            glass=np.array([0.16, 0.2, 0.24]) * rng.uniform(0.4, 1.6),
            floor=rng.uniform(2.7, 3.9),
            bay=rng.uniform(1.2, 2.2) if glassy else rng.uniform(2.0, 4.5),
            window=(x0, y0, x0 + w, y0 + h),
            bars=int(rng.integers(0, 4)),
            shop=bool(rng.random() < 0.45),
            balconies=int(rng.integers(0, 5)) if style in _WITH_BALCONIES else 0,
            lit=rng.uniform(*_LIT_SHARE),
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
        if self.style != "glass":
            self._hang(cell, kind, (x0, y0, x1, y1))
        if w > 12:
            for k in range(1, self.bars + 1):
                x = x0 + (x1 - x0) * k // (self.bars + 1)
                cv2.rectangle(
                    cell, (x, y0), (x + max(0, w // 40), y1), encode(self.trim).tolist(), -1
                )
            # The reveal casts a shadow at the top.
            cell[y0 : y0 + max(1, h // 30), x0:x1] //= 2
        return cell

    def _hang(self, cell: np.ndarray, kind: int, window: tuple[int, int, int, int]) -> None:
        """A blind half down (3), or curtains (4)."""
        x0, y0, x1, y1 = window
        if kind == 3:
            color = encode(self.trim * 0.85).tolist()
            cv2.rectangle(cell, (x0, y0), (x1, (y0 + 2 * y1) // 3), color, -1)
        if kind == 4:
            curtain, color = max(1, (x1 - x0) // 5), encode((0.6, 0.58, 0.52)).tolist()
            for x in (x0, x1 - curtain):
                cv2.rectangle(cell, (x, y0), (x + curtain, y1), color, -1)

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
