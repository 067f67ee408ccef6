"""Plain solids of drawn scenes."""

import numpy as np

from skyseg_tf.data.drawing.camera import UP, cross


def pick(rng: np.random.Generator, colors) -> np.ndarray:
    """One of several display colors, (3,)."""
    return np.array(colors[rng.integers(len(colors))], np.float64)


def footprint(corner, along, width: float, depth: float) -> np.ndarray:
    """(4, 3) corners of a rectangle on the ground, its front left first, then around."""
    back = cross(along, UP)
    right = corner + along * width
    return np.array([corner, right, right + back * depth, corner + back * depth])


def box(canvas, corner, along, width, depth, height, color, label) -> None:
    """A plain box: its lower front left corner, its front's direction, and its size."""
    base = footprint(corner, along, width, depth)
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
