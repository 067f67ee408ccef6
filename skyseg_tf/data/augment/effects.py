"""What a camera does to a picture: where it stands, its lens, its sensor, its processing.

Images are float32 on 0-255, (T, H, W, 3): T = 1 for photos; masks uint8 (H, W). The frames of a
clip are treated alike, but for the sensor's noise. Geometry moves image and mask in one call, the
mask by nearest neighbour; what comes in from outside the picture is ignored (255).
"""

import numpy as np
import tensorflow as tf

from skyseg_tf.labels import IGNORE

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_MOTION_SAMPLES = 9


# --- geometry ---


def placement(
    size: tuple[int, int],
    *,
    scale: tf.Tensor = 1.0,
    shift: tf.Tensor = (0.0, 0.0),
    angle: tf.Tensor = 0.0,
    perspective: tf.Tensor = (0.0, 0.0),
    flip: tf.Tensor = False,
) -> tf.Tensor:
    """The homography from pixels of the result to pixels of the source, about the center.

    Args:
      size: (height, width).
      scale: above 1 enlarges.
      shift: (2,) down and right, in pixels of the result.
      angle: radians, counter-clockwise.
      perspective: (2,) by how much the lower and the right edge shrink (the others grow), as a
        share.
      flip: bool, left to right.

    Returns:
      (3, 3) float32, applied to (x, y, 1).
    """
    height, width = size
    center = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]], np.float32)
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    mirror = tf.where(flip, -1.0, 1.0)
    down, right = tf.unstack(tf.cast(shift, tf.float32), num=2)
    a, b = mirror * cosine, -mirror * sine
    turn = [a, b, -a * right - b * down, sine, cosine, -sine * right - cosine * down]
    tilt = tf.cast(perspective, tf.float32) / np.array([height / 2, width / 2], np.float32)
    # Perspective comes first (the last of the source's steps): rows of the result's plane.
    matrix = tf.reshape(tf.stack([*turn, tilt[1], tilt[0], 1.0]), (3, 3))
    moved = tf.matmul(tf.matmul(center, matrix), np.linalg.inv(center).astype(np.float32))
    return moved / moved[2, 2]


def warp(image: tf.Tensor, mask: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves image and mask by a homography.

    Args:
      image: (T, H, W, 3) float32.
      mask: (H, W) uint8.
      matrix: (3, 3) from pixels (x, y, 1) of the result to pixels of the source.

    Returns:
      The same shapes; the image is black and the mask 255 outside the source.
    """
    height, width = image.shape[-3], image.shape[-2]
    labels = mask[None, ..., None]

    def project(pictures: tf.Tensor, method: str, fill: float) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=tf.reshape(matrix, (1, 9))[:, :8],
            output_shape=[height, width],
            fill_value=fill,
            interpolation=method,
            fill_mode="CONSTANT",
        )

    def turned() -> tuple[tf.Tensor, tf.Tensor]:
        moved = project(labels, "NEAREST", float(IGNORE))
        return project(image, "BILINEAR", 0.0), moved

    def upright() -> tuple[tf.Tensor, tf.Tensor]:
        # The same by a kernel that walks rows and columns: a third of the time.
        x, y = matrix[0, 2] / (width - 1), matrix[1, 2] / (height - 1)
        box = tf.stack([y, x, y + matrix[1, 1], x + matrix[0, 0]])[None]

        def cut(pictures: tf.Tensor, method: str, fill: float) -> tf.Tensor:
            count = pictures.shape[0]
            boxes, places = tf.repeat(box, count, 0), tf.range(count)
            return tf.image.crop_and_resize(
                pictures, boxes, places, (height, width), method, extrapolation_value=fill
            )

        return cut(image, "bilinear", 0.0), tf.cast(cut(labels, "nearest", IGNORE), tf.uint8)

    entries = tf.stack([matrix[0, 1], matrix[1, 0], matrix[2, 0], matrix[2, 1]])
    warped, moved = tf.cond(tf.reduce_any(entries != 0.0), turned, upright)
    return tf.ensure_shape(warped, image.shape), tf.ensure_shape(moved[0, ..., 0], mask.shape)


# --- lens and sensor ---


def defocus(image: tf.Tensor, sigma: tf.Tensor, *, largest: float) -> tf.Tensor:
    """Gaussian blur, edges mirrored.

    Args:
      image: (T, H, W, 3).
      sigma: pixels, above 0.
      largest: the largest sigma that is ever given; the kernel reaches 2.5 times as far.
    """
    reach = min(int(np.ceil(2.5 * largest)), min(image.shape[1:3]))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = tf.exp(-0.5 * (steps / sigma) ** 2)
    kernel = tf.repeat((kernel / tf.reduce_sum(kernel))[:, None], 3, 1)  # (K, 3)
    padded = tf.pad(image, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    rows = tf.nn.depthwise_conv2d(padded, kernel[:, None, :, None], (1, 1, 1, 1), "VALID")
    return tf.nn.depthwise_conv2d(rows, kernel[None, :, :, None], (1, 1, 1, 1), "VALID")


def motion_blur(
    image: tf.Tensor, length: tf.Tensor, angle: tf.Tensor, *, largest: float
) -> tf.Tensor:
    """Mean of nine pictures along a line, edges mirrored.

    Args:
      image: (T, H, W, 3).
      length: of the line, pixels.
      angle: radians.
      largest: the largest length that is ever given.
    """
    height, width = image.shape[1:3]
    reach = min(int(np.ceil(largest / 2)), height, width)
    padded = tf.pad(image, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    along = np.linspace(-0.5, 0.5, _MOTION_SAMPLES, dtype=np.float32)[:, None]
    steps = tf.round(length * along * tf.stack([tf.sin(angle), tf.cos(angle)]))
    offsets = reach + tf.clip_by_value(tf.cast(steps, tf.int32), -reach, reach)
    parts = [
        padded[:, y : y + height, x : x + width]
        for y, x in (tf.unstack(offset) for offset in tf.unstack(offsets))
    ]
    return tf.ensure_shape(tf.add_n(parts) / _MOTION_SAMPLES, image.shape)


def sensor_noise(image: tf.Tensor, seed: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Adds noise whose variance grows with the light, as photons and a sensor's readout give.

    Args:
      image: (T, H, W, 3) on 0-255.
      seed: (2,).
      sigma: standard deviation at white; at black it is a third.
    """
    # Four random bytes added up are near enough to a normal distribution, at a fifth of the time.
    bits = tf.random.stateless_uniform(image.shape, seed, None, None, tf.uint32, alg="philox")
    pairs = (bits & 0x00FF00FF) + (
        tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)) & 0xFF00FF
    )
    total = (pairs & 0xFFFF) + tf.bitwise.right_shift(pairs, tf.constant(16, tf.uint32))
    normal = (tf.cast(total, tf.float32) - 510.0) / np.float32(np.sqrt((256**2 - 1) / 3))
    return image + sigma * normal * tf.sqrt(1 / 9 + tf.nn.relu(image) * (8 / 9 / 255))


def jpeg(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """What JPEG leaves of a picture.

    Args:
      image: (T, H, W, 3) on 0-255.
      quality: int32, 0-100.
    """
    bytes_ = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    frames = [
        tf.io.decode_jpeg(
            tf.raw_ops.EncodeJpegVariableQuality(images=frame, quality=quality),
            channels=3,
            dct_method="INTEGER_ACCURATE",
        )
        for frame in tf.unstack(bytes_)
    ]
    return tf.ensure_shape(tf.cast(tf.stack(frames), tf.float32), image.shape)


# --- picture processing ---


def gamma(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """255 * (x / 255) ** value, of 0-255."""
    # exp(log) takes a third of pow's time; log(0) is -inf, and its exp 0 again.
    return 255.0 * tf.exp(value * tf.math.log(tf.clip_by_value(image, 0.0, 255.0) / 255.0))


def adjust_colors(
    image: tf.Tensor,
    *,
    saturation: tf.Tensor = 1.0,
    hue: tf.Tensor = 0.0,
    contrast: tf.Tensor = 1.0,
    brightness: tf.Tensor = 0.0,
    tint: tf.Tensor = (1.0, 1.0, 1.0),
) -> tf.Tensor:
    """Saturation, hue, contrast, brightness and tint as one matrix.

    Args:
      image: (T, H, W, 3) on 0-255.
      saturation: factor of the distance to the luma (BT.601).
      hue: radians, a turn of the colors about the grey axis that keeps the luma.
      contrast: factor of the distance to the mean of all values.
      brightness: added.
      tint: (3,) factors of the channels.

    Returns:
      The image, clipped to 0-255.
    """
    grey = np.repeat(_LUMA[:, None], 3, 1)  # row vectors times this: the luma, three times
    axis = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], np.float32) / np.sqrt(np.float32(3))
    third = np.full((3, 3), 1 / 3, np.float32)
    turn = third + tf.cos(hue) * (np.eye(3, dtype=np.float32) - third) + tf.sin(hue) * axis
    chroma = tf.matmul(np.eye(3, dtype=np.float32) - grey, turn)
    chroma = tf.matmul(chroma, np.eye(3, dtype=np.float32) - grey)  # no luma from the turn
    matrix = contrast * (grey + saturation * chroma)
    offset = (1.0 - contrast) * tf.reduce_mean(image) + brightness
    colors = tf.matmul(tf.reshape(image, (-1, 3)), matrix * tint) + offset
    return tf.clip_by_value(tf.reshape(colors, tf.shape(image)), 0.0, 255.0)
