"""Masks onto video frames, in the frame's own planes of Y, U and V.

Nothing here is float or RGB at the frame's full size: tables of 256 entries, one byte per sample.
Frames are those of frames.py, probabilities those of a network at its working size.
"""

from functools import cache

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from skyseg_tf.errors import InputError
from skyseg_tf.images import SKY_TINT, outline, outline_width
from skyseg_tf.labels import LabelScheme
from skyseg_tf.video.formats import VIDEO_FORMATS, find_format
from skyseg_tf.video.frames import is_full_range, planes, to_bt709

_LUMA = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}  # AVColorSpace: weights of red and blue
_SD_LUMA = (0.299, 0.114)  # BT.601: what decoders take where a file says nothing


def rgb_to_yuv(colors: np.ndarray, colorspace: int, full_range: bool) -> np.ndarray:
    """Colors in a frame's own coordinates.

    Args:
      colors: (N, 3) RGB 0-255.
      colorspace: AVColorSpace of the frame.
      full_range: whether Y runs over 0-255, not 16-235.

    Returns:
      (N, 3) float Y, U, V on 0-255.

    Reference: ITU-R BT.601, BT.709 and BT.2020, the non-constant luminance form.
    """
    red_weight, blue_weight = _LUMA.get(colorspace, _SD_LUMA)
    red, green, blue = np.asarray(colors, float).T / 255
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u = (blue - luma) / (2 * (1 - blue_weight))
    v = (red - luma) / (2 * (1 - red_weight))
    if full_range:
        return np.stack([255 * luma, 128 + 255 * u, 128 + 255 * v], -1)
    return np.stack([16 + 219 * luma, 128 + 224 * u, 128 + 224 * v], -1)


class Composer:
    """Draws one format."""

    def __init__(
        self,
        name: str,
        scheme: LabelScheme,
        *,
        threshold: float = 0.5,
        opacity: float = 0.5,
    ):
        """Settles what is drawn.

        Args:
          name: key of VIDEO_FORMATS.
          scheme: the network's classes.
          threshold: from which probability on a pixel is sky.
          opacity: of the tint, 0-1.

        Raises:
          InputError: no such format, or one of the sky from a network without it.
        """
        form = find_format(name)
        if scheme.sky is None and form.needs_sky:
            others = [key for key, other in VIDEO_FORMATS.items() if not other.needs_sky]
            raise InputError(
                f"format '{name}' needs a class 'sky', this model has none: choose "
                f"{', '.join(others)}"
            )
        self.kind = form.kind
        self.name, self.scheme, self.opacity = name, scheme, opacity
        self._limit = max(1, round(threshold * 255))  # what is surely no sky never becomes one
        self._best_wins = not form.needs_sky and not scheme.has_threshold
        self._tables, self._scaler = cache(self._make_tables), VideoReformatter()

    def __call__(self, frame: av.VideoFrame, probs: np.ndarray) -> av.VideoFrame:
        """Draws one frame.

        Args:
          frame: of the decoder; it is not written to.
          probs: (h, w, C) float32 in the frame's orientation, of any size.

        Returns:
          A new frame with the same time stamp. Of photos an odd last row or column is cut off,
          which H.264 and VP9 cannot hold.
        """
        if self.kind in ("mask", "grey"):
            out = self._draw_grey(frame, probs)
        else:
            frame = to_bt709(frame, self._scaler)
            if frame.format.name not in ("yuv420p", "yuvj420p"):
                frame = self._scaler.reformat(frame, format="yuv420p", threads=1)
            if self.kind == "alpha":
                out = self._draw_alpha(frame, probs)
            else:
                out = self._draw_classes(frame, probs)
            out.colorspace, out.color_range = frame.colorspace, frame.color_range
            out.color_primaries, out.color_trc = frame.color_primaries, frame.color_trc
        out.pts, out.time_base = frame.pts, frame.time_base
        return out

    def shows_sky(self, probs: np.ndarray) -> bool:
        """Whether any pixel of a frame is drawn as sky, or has the threshold where shades are drawn.

        Args:
          probs: as in a call, of a scheme with a sky.
        """
        small = _to_bytes(probs)
        if self._best_wins:
            return bool((small.argmax(-1) == self.scheme.sky).any())
        return bool((small[..., self.scheme.sky_channel] >= self._limit).any())

    # --- formats ---

    def _draw_grey(self, frame: av.VideoFrame, probs: np.ndarray) -> av.VideoFrame:
        out = av.VideoFrame(frame.width, frame.height, "gray")
        (plane,) = planes(out)
        if self.name == "labelids":
            cv2.LUT(
                self._class_ids(_to_bytes(probs), plane.shape), self.scheme.label_ids, dst=plane
            )
        elif self.name == "alpha8":
            plane[:] = self._sky(probs, plane.shape)
        else:
            sky = self._sky(probs, plane.shape)
            rule = cv2.THRESH_BINARY if self.name == "mask" else cv2.THRESH_BINARY_INV
            cv2.threshold(sky, self._limit - 1, 255, rule, dst=plane)
        out.color_range = 2
        return out

    def _draw_alpha(self, frame: av.VideoFrame, probs: np.ndarray) -> av.VideoFrame:
        out = _new_frame(frame, "yuva420p")
        for source, target in zip(planes(frame), planes(out), strict=False):
            target[:] = source[: target.shape[0], : target.shape[1]]
        alpha = planes(out)[3]
        sky = self._sky(probs, alpha.shape)
        alpha[:] = sky if self.name == "rgba-sky" else cv2.bitwise_not(sky)
        return out

    def _draw_classes(self, frame: av.VideoFrame, probs: np.ndarray) -> av.VideoFrame:
        """The photo under the classes' colors, or the colors alone."""
        out = _new_frame(frame, frame.format.name)
        tables = self._tables(frame.colorspace, is_full_range(frame))
        sky_alone = self.scheme.shows_sky_alone
        small = _to_bytes(probs)
        ids = None
        for source, target, (fade, tint) in zip(planes(frame), planes(out), tables, strict=True):
            source = source[: target.shape[0], : target.shape[1]]
            if ids is None:
                ids = self._class_ids(small, target.shape)
            elif ids.shape != target.shape:
                ids = self._color_ids(small, target.shape)
            if self.name == "color":
                cv2.LUT(ids, tint, dst=target)
            elif sky_alone:
                np.copyto(target, source)
                cv2.copyTo(cv2.LUT(source, fade), ids, target)
                # Planes of color have half the photo's size.
                share = len(target) / out.height
                edge = outline(ids, max(1, round(share * outline_width((out.height, out.width)))))
                np.copyto(target, tint, where=edge.view(bool))
            else:
                cv2.add(cv2.LUT(source, fade), cv2.LUT(ids, tint), dst=target)
        return out

    # --- where what is ---

    def _sky(self, probs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(height, width) uint8 probability of sky on 0-255."""
        return _enlarge(_to_bytes(probs[..., self.scheme.sky_channel]), size)

    def _class_ids(self, small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, C) uint8 probabilities to (height, width) uint8 class ids.

        The rule is LabelScheme.class_ids; the way of photos (masking.prediction) is not taken,
        since enlarging floats and refining edges takes longer than all the rest of a frame. In
        bytes a class may change where two are within 1 / 255 of each other, or the threshold.
        Probabilities are enlarged, not ids: edges then run through the pixels of the small mask.
        """
        if self.scheme.has_threshold:
            sky = _enlarge(small[..., 0], size)
            return cv2.threshold(sky, self._limit - 1, 1, cv2.THRESH_BINARY)[1]
        best, ids = None, np.zeros(size, np.uint8)
        winners = np.unique(small.argmax(-1))  # nothing else can win between them but by a hair
        for index in winners:
            prob = _enlarge(np.ascontiguousarray(small[..., index]), size)
            if best is None:
                best = prob
                ids[:] = index
            else:
                more = cv2.compare(prob, best, cv2.CMP_GT)
                ids[more > 0] = index
                best = cv2.max(prob, best)
        return ids

    def _color_ids(self, small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """`_class_ids` where a plane of color has its samples.

        These lie between two rows of brightness and on every second column of it: ITU-T H.264,
        6.2, and what players take for granted where a file says nothing.
        """
        height, width = size
        return np.ascontiguousarray(self._class_ids(small, (height, 2 * width))[:, ::2])

    def _make_tables(self, colorspace: int, full_range: bool):
        """For each plane: (256,) uint8 from photo to faded photo, and from class id to its tint.

        Where the sky alone is shown the first already holds its tint, and in place of the second
        stands the color of its outline.
        """
        yuv = rgb_to_yuv(self.scheme.shown_palette, colorspace, full_range)
        sky = rgb_to_yuv(np.array([SKY_TINT]), colorspace, full_range)[0]
        tables = []
        for plane in range(3):
            tint = yuv[:, plane]
            if self.name == "color":
                tables.append((None, _bytes(tint)))
                continue
            kept = (1 - self.opacity) * np.arange(256)
            tables.append(
                (_bytes(kept + self.opacity * sky[plane]), _bytes(sky[plane]))
                if self.scheme.shows_sky_alone
                else (_bytes(kept), _bytes(self.opacity * tint))
            )
        return tables


def _new_frame(frame: av.VideoFrame, layout: str) -> av.VideoFrame:
    return av.VideoFrame(frame.width & ~1, frame.height & ~1, layout)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _to_bytes(probs: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(np.ascontiguousarray(probs), alpha=255).reshape(probs.shape)


def _enlarge(prob: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(prob, size[::-1], interpolation=cv2.INTER_LINEAR)
