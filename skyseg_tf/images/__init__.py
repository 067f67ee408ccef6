"""Photos and masks between disk and arrays.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8; sizes are (height, width). A path may point
into a zip archive: `archive.zip!folder/file.png`. No TensorFlow here, so that everything that only
touches pictures starts at once.
"""

import cv2

from skyseg_tf.images.overlays import (
    SKY_TINT,
    colorize,
    draw_overlay,
    outline,
    outline_width,
    overlay,
    overlay_sky,
)
from skyseg_tf.images.reading import (
    UNTURNED,
    Photo,
    decode_image,
    decode_mask_file,
    decode_photo,
    decode_values,
    image_orientation,
    image_size,
    palette_colors,
    read_image,
    read_mask,
    read_photo,
    turn,
)
from skyseg_tf.images.resizing import (
    resize_image,
    resize_mask,
    shrink_photo,
    size_of_height,
)
from skyseg_tf.images.writing import (
    software_of,
    write_image,
)

__all__ = [
    "SKY_TINT",
    "UNTURNED",
    "Photo",
    "colorize",
    "decode_image",
    "decode_mask_file",
    "decode_photo",
    "decode_values",
    "draw_overlay",
    "image_orientation",
    "image_size",
    "outline",
    "outline_width",
    "overlay",
    "overlay_sky",
    "palette_colors",
    "read_image",
    "read_mask",
    "read_photo",
    "resize_image",
    "resize_mask",
    "shrink_photo",
    "size_of_height",
    "software_of",
    "turn",
    "write_image",
]

cv2.setNumThreads(1)  # the callers run one image per thread
