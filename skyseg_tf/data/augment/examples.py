"""What each effect of the augmentation does to one photo."""

from collections.abc import Iterator

import numpy as np

from skyseg_tf.data.augment.camera import augment
from skyseg_tf.data.augment.mixing import mix_skies
from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.data.augment.settings import Augmentation, Classes, Range

# Caption, field of Augmentation, strengths to show.
SHOWN = (
    ("scale {:g} and crop", "scales", (0.6, 1.8)),
    ("camera rolled by {:g} degrees", "angle", (8.0,)),
    ("perspective: pan and tilt", "perspective", (0.35,)),
    ("exposure e^{:g}", "exposure", (-0.8, 0.8)),
    ("gamma {:g}", "gamma", (0.5, 1.5)),
    ("saturation {:g}", "saturation", (0.2, 1.5)),
    ("contrast {:g}", "contrast", (0.5, 1.5)),
    ("brightness {:+g}", "brightness", (-40.0, 40.0)),
    ("hue turned by {:g} degrees", "hue", (-25.0, 25.0)),
    ("white balance off by up to {:.0%}", "tint", (0.2,)),
    ("out of focus, {:.1%} of the height", "defocus", (0.01,)),
    ("motion blur, {:.0%} of the height", "motion", (0.05,)),
    ("sensor noise, {:g} of 255", "noise", (25.0,)),
    ("JPEG quality {:g}", "jpeg", (8.0,)),
    ("fog of optical depth {:g}", "fog", (0.7, 2.5)),
    ("overexposed sky, level {:g}", "overexposed_sky", (205.0, 300.0)),
    ("night, {:.0%} of the light", "night", (0.25,)),
)
# Those to show, and the seed's number of the first of each. Of tilted's draws from 89 on every other
# one turns the camera far, as nearly half of them do in a training.
_PRESETS = {"light": 10, "geometric": 20, "default": 30, "strong": 40, "tilted": 89}
_OF_THE_SKY = ("fog", "overexposed_sky", "night")


def effect_examples(
    image: np.ndarray,
    mask: np.ndarray,
    classes: Classes,
    *,
    others: tuple[np.ndarray, np.ndarray],
    of_each_preset: int = 4,
    seed: int = 0,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Every effect alone, then presets as a whole, for plots.plot_augmentations.

    Args:
      image: (H, W, 3) on 0-255.
      mask: (H, W) uint8.
      classes: of the masks; those that are None leave their effects out.
      others: images (N, H, W, 3) and masks (N, H, W) whose skies are mixed in.
      of_each_preset: how many draws of every preset.
      seed: of all draws.

    Returns:
      (what it shows, image float32 on 0-255, mask) each; the photo itself first.
    """
    photo, labels = image.astype(np.float32), mask
    panels = [("photo", photo, labels)]

    def add(name: str, settings: Augmentation, number: int) -> None:
        options = {"classes": classes, "open_trees": settings.bare_trees == 1.0}
        made = augment(photo, labels, (seed, number), settings=settings, **options)
        panels.append((name, *(part.numpy() for part in made)))

    for name, settings, number in _effects(classes):
        add(name, settings, number)
    others = ((), ()) if classes.sky is None else others
    for number, (other, other_mask) in enumerate(zip(*others, strict=True)):
        pair = np.stack([photo, other])[:, None], np.stack([labels, other_mask])
        options = {"sky_class_id": classes.sky, "chance": 1.0, "synthetic": 0.0}
        mixed = mix_skies(*pair, np.random.default_rng((seed, number)), **options)
        panels.append((f"sky of another photo {number + 1}", mixed[0, 0], labels))
    for preset, first in _PRESETS.items():
        for number in range(of_each_preset):
            add(f"preset {preset} {number + 1}", AUGMENTATIONS[preset], first + number)
    return panels


def _effects(classes: Classes) -> Iterator[tuple[str, Augmentation, int]]:
    """Every effect that these classes allow, alone: caption, settings, number of the seed."""
    yield "flip", Augmentation(flip=1.0), 0
    before_the_sky = (  # and the seed's number of the first: walls that are pale where they are seen
        ("pale wall", "pale_walls", classes.walls, 5),
        ("bare trees", "bare_trees", classes.trees, 2),
    )
    for caption, field, class_id, first in before_the_sky:
        for number in range(0 if None in (classes.sky, class_id) else 2):
            yield f"{caption} {number + 1}", Augmentation(**{field: 1.0}), number + first
    for caption, field, strengths in SHOWN:
        if classes.sky is None and field in _OF_THE_SKY:
            continue
        for strength in strengths:
            yield caption.format(strength), Augmentation(**{field: Range(strength, strength)}), 2
    if classes.sky is None:
        return
    for number in range(3):
        yield f"drawn sky {number + 1}", Augmentation(new_sky=1.0), number
    yield "glare", Augmentation(glare=1.0), 0
