"""Skies exchanged, overexposed, fogged and darkened behind the things in front of them.

Images are float32 on 0-255, (B, H, W, 3); `sky` is float32 (B, H, W), 1 where the mask says sky.
Everything is built on one decomposition (`sky_matte`): a pixel is alpha * sky + (1 - alpha) *
thing, where the sky's color is smooth. A new sky is then added as alpha * (new - old): what is
finer than the old sky's color, such as twigs, wires and the sensor's grain, stays.

Full-size tensors have three channels throughout, even where one would do: TensorFlow's CPU
kernels take six times as long to broadcast one channel over three, or to cut channels apart.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from skyseg_tf.data.drawing.branches import bare_trees

_LIKE_SKY = 50.0  # color distance (0-255) beyond which a pixel next to the sky is no sky
_SALT = 1_000_003  # seeds are (number, record index): further draws lie beyond all indices

# (zenith, horizon, cloud) colors, RGB 0-255, and the range of the clouds' share of the sky.
_SKIES = np.array(
    [
        [[70, 120, 200], [175, 205, 235], [245, 245, 250]],  # clear blue
        [[110, 150, 205], [205, 218, 232], [235, 235, 238]],  # hazy with clouds
        [[150, 158, 168], [205, 208, 210], [120, 126, 134]],  # overcast
        [[250, 250, 250], [255, 255, 255], [235, 238, 242]],  # blown out
        [[95, 110, 165], [250, 195, 140], [235, 150, 120]],  # low sun
        [[205, 207, 206], [228, 227, 222], [190, 192, 194]],  # bright haze
    ],
    np.float32,
)
_COVER = np.array([[0.0, 0.3], [0.2, 0.8], [0.4, 1.0], [0.0, 0.6], [0.1, 0.7], [0.0, 0.4]])


class Matte(NamedTuple):
    """What `sky_matte` finds.

    Attributes:
      sky: (B, H, W, 3) 1 where the mask says sky.
      alpha: (B, H, W, 3) share of sky in a pixel, 0-1.
      near: (B, H, W, 3) share of sky around a pixel, 0-1, smooth.
      color: (B, H, W, 3) the sky's color, smooth, carried on behind what stands before it.
      like: (B, H, W, 3) how much a pixel near the sky has its color, 0-0.9.
    """

    sky: tf.Tensor
    alpha: tf.Tensor
    near: tf.Tensor
    color: tf.Tensor
    like: tf.Tensor


def derived_seed(seed: tf.Tensor, salt: int) -> tf.Tensor:
    """Another seed (2,) for each small salt."""
    return seed + tf.constant([0, salt * _SALT], seed.dtype)


def uniform(seed: tf.Tensor, shape: tuple | list | tf.Tensor, low=0.0, high=1.0) -> tf.Tensor:
    """Stateless uniform numbers, the same on every device."""
    return tf.random.stateless_uniform(shape, seed, low, high, alg="philox")


def _mean(pictures: tf.Tensor, size: int, stride: int = 1) -> tf.Tensor:
    return tf.nn.avg_pool2d(pictures, size, stride, "SAME")


def _as_rgb(pictures: tf.Tensor, color: tuple = (1.0, 1.0, 1.0)) -> tf.Tensor:
    """(B, H, W, 1) -> (B, H, W, 3), times a color."""
    shape = tf.concat([tf.shape(pictures)[:-1], [3]], 0)
    return tf.reshape(tf.matmul(tf.reshape(pictures, (-1, 1)), tf.constant([color])), shape)


def sky_matte(images: tf.Tensor, sky: tf.Tensor) -> Matte:
    """Separates the sky's light from what stands before it.

    The mask's border is feathered by a pixel; next to the sky a pixel that has the sky's color
    counts as sky too, since masks draw a bare tree as one blob, through which the sky shines.
    """
    height, width = images.shape[-3], images.shape[-2]
    feathered = _as_rgb(_mean(sky[..., None], 3))
    sky = _as_rgb(sky[..., None])
    cell = max(4, height // 16)
    light, share = _mean(images * sky, cell, cell), _mean(sky, cell, cell)  # (B, H / cell, ..)

    def spread(cells: tf.Tensor) -> tf.Tensor:
        # Where a cell has no sky its neighbours' counts, and where they have none the picture's.
        return cells + 0.03 * _mean(cells, 3) + 1e-4 * tf.reduce_mean(cells, (1, 2), keepdims=True)

    color = tf.image.resize(spread(light) / (spread(share) + 1e-9), (height, width))
    near = tf.image.resize(_mean(share, 5), (height, width))
    squares = tf.reshape(tf.math.squared_difference(images, color), (-1, 3))
    distance = tf.matmul(squares, tf.ones((3, 3)) / _LIKE_SKY**2)
    like = tf.minimum(3.0 * near, 0.9) * tf.nn.relu(1.0 - tf.reshape(distance, tf.shape(images)))
    return Matte(sky, tf.maximum(feathered, like), near, color, like)


def open_crowns(
    images: tf.Tensor, masks: tf.Tensor, *, sky_class_id: int, crown_class_id: int
) -> tf.Tensor:
    """Labels as sky what shines through trees that are labeled as one blob, as CamVid's are.

    Args:
      images: (B, H, W, 3) float32 on 0-255.
      masks: (B, H, W) uint8.
      sky_class_id: of the sky in the masks.
      crown_class_id: of trees in the masks.

    Returns:
      (B, H, W) uint8: pixels of trees next to the sky that have its color belong to it.
    """
    matte = sky_matte(images, tf.cast(masks == sky_class_id, tf.float32))
    shines = (masks == crown_class_id) & (matte.like[..., 0] > 0.5)
    return tf.where(shines, tf.cast(sky_class_id, masks.dtype), masks)


def draw_bare_trees(
    images: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, *, sky_class_id: int, crown_class_id: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws one to four bare trees before the sky, and before nothing else.

    Args:
      images: (T, H, W, 3) frames of a clip, or one photo.
      mask: (H, W) uint8 of all of them.
      seed: (2,) of the trees.
      sky_class_id: of the sky in the mask.
      crown_class_id: of trees in the mask.

    Returns:
      Images and mask; a pixel belongs to a tree from a quarter of wood on, about what people mark.
    """
    height, width = mask.shape
    size, most = 192, 4
    trees = tf.constant(bare_trees(64, size))
    chosen, tall, right, down, turned = tf.unstack(uniform(derived_seed(seed, 1), (5, most)))
    few, warm, cool, light = tf.unstack(uniform(derived_seed(seed, 2), (4,)))
    tall = height * 0.35 * (1.8 / 0.35) ** tall  # of 0.35 to 1.8 pictures, log-uniform
    x, y = width * (1.2 * right - 0.1), height * (0.4 + 0.35 * down)  # of the feet
    zoom = size / tall
    across = tf.where(turned < 0.5, -zoom, zoom)
    none = tf.zeros(most)
    rows = [across, none, size / 2 - x * across, none, zoom, size - y * zoom, none, none]
    wood = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(tf.gather(trees, tf.cast(chosen * 64.0, tf.int32)), tf.float32) / 255.0,
        transforms=tf.stack(rows, 1),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    stands = tf.cast(tf.range(most) <= tf.cast(few * most, tf.int32), tf.float32)
    wood = 1.0 - tf.reduce_prod(1.0 - wood * stands[:, None, None, None], 0)  # (H, W, 1)
    wood *= tf.cast(mask == sky_class_id, tf.float32)[..., None]
    bark = (15.0 + 80.0 * light) * tf.stack([1.0, 0.93 + 0.07 * warm, 0.85 + 0.15 * cool])
    tree = tf.cast(crown_class_id, mask.dtype)
    return images + wood * (bark - images), tf.where(wood[..., 0] > 0.25, tree, mask)


def draw_pale_wall(
    images: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, *, sky_class_id: int, wall_class_id: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts a pale building before the lower part of the sky, as the light fascia of a hall is.

    A smooth wall almost as bright as the sky above it is what networks take for sky most. Below
    the fascia, mostly, the wall is dark, as glass is.

    Args:
      images: (T, H, W, 3) frames of a clip, or one photo.
      mask: (H, W) uint8 of all of them.
      seed: (2,) of the wall.
      sky_class_id: of the sky in the mask.
      wall_class_id: of buildings in the mask.

    Returns:
      Images and mask.
    """
    height, width = mask.shape
    edge = tf.unstack(uniform(derived_seed(seed, 1), (5,)))
    look = tf.unstack(uniform(derived_seed(seed, 2), (10,)))
    rows = tf.range(height, dtype=tf.float32)[:, None]
    columns = tf.range(width, dtype=tf.float32)[None]
    sky = mask == sky_class_id
    area = tf.cast(sky, tf.float32)
    amount = tf.reduce_sum(area) + 1e-3
    lowest = tf.reduce_max(tf.where(tf.reduce_mean(area, 1, keepdims=True) > 0.02, rows, 0.0))
    middle = tf.reduce_sum(area * columns) / amount
    # A roof of any slope to a fifth, anywhere above the skyline; one end or both may be in sight.
    roof = lowest * (0.15 + 0.8 * edge[0]) + 0.4 * (edge[1] - 0.5) * (columns - middle)
    left, right = middle - width * (0.05 + edge[2]), middle + width * (0.05 + edge[3])
    wall = sky & (rows > roof) & (columns > left) & (columns < right)
    fascia = height * (0.03 + 0.25 * edge[4] ** 2)

    light = tf.reduce_sum(images[-1] * area[..., None]) / (3.0 * amount)
    pale = light * (0.6 + 0.38 * look[0])
    shade = 0.16 * look[1] * tf.clip_by_value((rows - roof) / fascia, 0.0, 1.0)
    shade += 0.12 * look[2] * (columns / width)
    apart = 6.0 + 40.0 * look[3]  # pixels between the seams of its panels
    seams = tf.cast(tf.math.floormod(columns + 100.0 * look[4], apart) < 1.0, tf.float32)
    pale *= (1.0 - shade) * (1.0 - 0.12 * look[5] * seams)
    dark = (
        (0.08 + 0.3 * look[6]) * light * uniform(derived_seed(seed, 3), (height, width), 0.85, 1.15)
    )
    gray = tf.where((rows - roof > fascia) & (look[7] < 0.7), dark, pale)
    tint = tf.stack([1.0, 1.0 - 0.03 * look[8], 1.0 - 0.06 * look[8] + 0.05 * look[9]])
    grain = tf.random.stateless_normal((height, width, 1), derived_seed(seed, 4), alg="philox")
    paint = tf.clip_by_value(gray[..., None] * tint + 2.0 * grain, 0.0, 255.0)
    return (
        tf.where(wall[..., None], paint, images),
        tf.where(wall, tf.cast(wall_class_id, mask.dtype), mask),
    )


def glare(images: tf.Tensor, sky: tf.Tensor, *, level: tf.Tensor) -> tf.Tensor:
    """A longer exposure: the sky's mean comes to `level`, and what is as bright with it.

    Args:
      images: (B, H, W, 3); the result is not clipped, as the sensor comes later.
      sky: (B, H, W).
      level: 0-255 and beyond; at most three times what it was. Skies darker than 20 are left.
    """
    light = tf.reduce_sum(images * sky[..., None], (1, 2, 3), keepdims=True)
    light /= 3.0 * tf.reduce_sum(sky, (1, 2))[:, None, None, None] + 1e-3
    gain = tf.clip_by_value(level / tf.maximum(light, 1e-3), 1.0, 3.0)
    return images * tf.where(light > 20.0, gain, 1.0)


def replace_sky(images: tf.Tensor, matte: Matte, new: tf.Tensor, spill: tf.Tensor) -> tf.Tensor:
    """Puts another sky behind the things of a picture.

    Args:
      images: (B, H, W, 3).
      matte: of these images.
      new: the sky, broadcast to (B, H, W, 3); above 255 it eats into twigs, as a glaring one does.
      spill: share of its light that falls onto what is next to it, 0-1, a scalar or (B, 1, 1, 1).
    """
    weight = tf.maximum(matte.alpha, spill * matte.near)
    return tf.clip_by_value(images + weight * (new - matte.color), 0.0, 255.0)


def overexpose_sky(
    images: tf.Tensor, sky: tf.Tensor, *, level: tf.Tensor, bloom: tf.Tensor
) -> tf.Tensor:
    """Blows the sky out to white or grey, with a bloom over what is thin before it.

    Args:
      images: (B, H, W, 3).
      sky: (B, H, W).
      level: brightness of the sky, 0-255 and beyond: the further, the more of the twigs it eats.
      bloom: share of its light on what is next to it, 0-1.
    """
    return replace_sky(images, sky_matte(images, sky), level, bloom)


def fog(
    images: tf.Tensor, sky: tf.Tensor, seed: tf.Tensor, *, density: tf.Tensor, light: tf.Tensor
) -> tf.Tensor:
    """Fog after Koschmieder: t * image + (1 - t) * light, with t = exp(-density * distance).

    Nobody knows the distances: the street is taken for a canyon with its vanishing point in the
    middle of the sky's lowest row (within the middle of the picture), so that ground and fronts
    come nearer towards the picture's edges; the sky is farthest. Patches vary the density by a
    third.

    Args:
      images: (B, H, W, 3).
      sky: (B, H, W).
      seed: (2,) of the patches.
      density: optical depth at the vanishing point.
      light: the fog's color, broadcast to (B, H, W, 3).
    """
    height, width = images.shape[-3], images.shape[-2]
    rows = np.arange(height, dtype=np.float32)
    has_sky = tf.cast(tf.reduce_mean(sky, 2) > 0.02, tf.float32)  # (B, H)
    lowest = tf.reduce_max(has_sky * rows, 1, keepdims=True)
    horizon = tf.clip_by_value(lowest, 0.35 * height, 0.6 * height)
    ahead = (rows - horizon) / height
    ahead = tf.maximum(ahead, -0.25 * ahead)[..., None, None]  # the ground, or what hangs above
    aside = 0.6 * np.abs(np.linspace(-0.5, 0.5, width, dtype=np.float32))[:, None]
    distance = 0.08 / (0.08 + tf.maximum(ahead, aside))  # (B, H, W, 1), 1 at the vanishing point
    patches = tf.image.resize(uniform(seed, (1, 4, 6, 1), 0.67, 1.33), (height, width))
    alpha = _mean(sky[..., None], 3)
    clear = _as_rgb(tf.exp(-density * (distance * patches + 3.0 * alpha)))
    return clear * images + (1.0 - clear) * light


def night(
    images: tf.Tensor, sky: tf.Tensor, seed: tf.Tensor, *, light: tf.Tensor, glow: tf.Tensor
) -> tf.Tensor:
    """Darkens a street to night: a sky darker than the street, bluish dark, pools of warm light.

    Args:
      images: (B, H, W, 3).
      sky: (B, H, W).
      seed: (2,) of the lamps.
      light: share of the daylight that is left, 0-1.
      glow: brightness of the sky (a town's glow), 0-255.
    """
    height, width = images.shape[-3], images.shape[-2]
    color = glow * (0.8 + 0.4 * uniform(derived_seed(seed, 1), (3,)))
    matte = sky_matte(images, sky)
    images = replace_sky(images, matte, color / light, 0.0)
    dark = (0.5 * np.eye(3) + 0.5 / 3) * [0.85, 0.95, 1.2]  # half grey, and bluish
    pixels = tf.matmul(tf.reshape(images, (-1, 3)), tf.constant(dark, tf.float32))
    lamps = uniform(derived_seed(seed, 2), (1, 7, 9, 1)) ** 6
    lamps = tf.nn.relu(tf.image.resize(lamps, (height, width), "bicubic"))
    pools = _as_rgb(lamps, (1.2, 0.9, 0.54)) * (1.0 - matte.alpha)
    return tf.minimum(tf.reshape(pixels, tf.shape(images)) * (light + pools), 255.0)


def synthetic_skies(seed: tf.Tensor, count: int | tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Draws skies: a gradient of one of six weathers' colors with clouds of three scales.

    Args:
      seed: (2,).
      count: B.
      size: (height, width).

    Returns:
      (B, H, W, 3) float32 on 0-255.
    """
    full, size = size, tuple(-(-side // 4) for side in size)  # a sky has nothing fine
    kind = tf.cast(uniform(derived_seed(seed, 1), (count,)) * len(_SKIES), tf.int32)
    draw = uniform(derived_seed(seed, 2), (count, 8))
    colors = tf.gather(_SKIES, kind) + 24.0 * (draw[:, None, 1:4] - 0.5)  # (B, 3, 3)
    zenith, horizon, cloud = (colors[:, None, None, i] for i in range(3))
    rows = np.linspace(0.0, 1.0, size[0], dtype=np.float32)[None, :, None, None]
    # The horizon lies somewhere between the middle and the lower edge.
    part = tf.minimum(rows / (0.4 + 0.6 * draw[:, 4, None, None, None]), 1.0)
    noise = 0.0
    for salt, (cells, weight) in enumerate(((3, 0.5), (6, 0.3), (14, 0.2))):
        field = uniform(derived_seed(seed, 3 + salt), (count, cells, cells, 1))
        noise += weight * tf.image.resize(field, size, "bicubic")
    low, high = np.float32(_COVER.T)
    cover = tf.gather(low, kind) + draw[:, 5] * tf.gather(high - low, kind)
    softness = 0.05 + 0.25 * draw[:, 6, None, None, None]
    clouds = tf.clip_by_value((noise - 0.8 + 0.6 * cover[:, None, None, None]) / softness, 0, 1)
    clear = zenith + part * (horizon - zenith)
    return tf.image.resize(tf.clip_by_value(clear + clouds * (cloud - clear), 0.0, 255.0), full)


def mix_skies(
    images: tf.Tensor,
    masks: tf.Tensor,
    seed: tf.Tensor,
    *,
    sky_class_id: int,
    chance: float = 0.3,
    synthetic: float = 0.5,
    spill: float = 0.2,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut-mix of skies: puts the sky of another picture of the batch behind this one's things.

    Masks do not change. Borders are feathered, twigs and grain stay (see `sky_matte`), and some
    of the new sky's light falls on what is next to it.

    Args:
      images: (B, H, W, 3) or (B, T, H, W, 3) float32 on 0-255.
      masks: (B, H, W) uint8.
      seed: (2,) int32.
      sky_class_id: of the sky in the masks.
      chance: that a picture gets another sky.
      synthetic: share of drawn skies (`synthetic_skies`) among the new ones; a picture whose
        partner has hardly any sky gets one too.
      spill: largest share of the new sky's light on what is next to it, 0-1.

    Returns:
      Images of the same shape, and the same masks.

    Reference: after CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899), with the sky's
      outline for the box, so that the labels stay as they are.
    """
    images, masks = tf.convert_to_tensor(images), tf.convert_to_tensor(masks)
    height, width = images.shape[-3], images.shape[-2]
    frames = images.shape[1] if images.shape.rank == 5 else 1
    clips = tf.reshape(images, (-1, frames, height, width, 3))
    sky = tf.cast(masks == sky_class_id, tf.float32)
    share = tf.reduce_mean(sky, (1, 2))
    count = tf.shape(images)[0]
    draw = uniform(derived_seed(seed, 1), (count, 4))
    chosen = tf.where((draw[:, 0] < chance) & (share > 0.005))[:, 0]

    def mixed() -> tf.Tensor:
        step = 1 + tf.cast(tf.gather(draw[:, 1], chosen) * tf.cast(count - 1, tf.float32), tf.int64)
        partner = (chosen + step) % tf.cast(count, tf.int64)
        drawn = synthetic_skies(derived_seed(seed, 8), tf.size(chosen), (height, width))
        others, other_sky = tf.gather(clips[:, -1], partner), tf.gather(sky, partner)
        matte = sky_matte(others, other_sky)
        inside = tf.nn.relu(4.0 * matte.alpha - 3.0) * matte.sky  # no border pixels
        found = matte.color + inside * (others - matte.color)
        draws = (tf.gather(draw[:, 2], chosen) < synthetic) | (tf.gather(share, partner) < 0.05)
        draws |= partner == chosen
        new = tf.where(draws[:, None, None, None], drawn, found)
        light = spill * tf.gather(draw[:, 3], chosen)
        repeated = [tf.repeat(x, frames, 0) for x in (tf.gather(sky, chosen), new, light)]
        pictures = tf.reshape(tf.gather(clips, chosen), (-1, height, width, 3))
        matte = sky_matte(pictures, repeated[0])
        pictures = replace_sky(pictures, matte, repeated[1], repeated[2][:, None, None, None])
        pictures = tf.reshape(pictures, (-1, frames, height, width, 3))
        return tf.tensor_scatter_nd_update(clips, chosen[:, None], pictures)

    result = tf.reshape(tf.cond(tf.size(chosen) > 0, mixed, lambda: clips), tf.shape(images))
    return tf.ensure_shape(result, images.shape), masks
