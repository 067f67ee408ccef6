"""The presets of `--augment`, as a table."""

from skyseg_tf.data.augment.settings import Augmentation, Range
from skyseg_tf.errors import InputError, not_among

_LIGHT = {  # for trainings of minutes, which have no time for much variety
    "flip": 0.5,
    "exposure": Range(-0.3, 0.3),
    "tint": Range(0.0, 0.07),
    "gamma": Range(0.5, 1.5),
    "saturation": Range(0.5, 1.5),
}
_SKIES = {
    "mix_skies": 0.25,
    "new_sky": 0.1,
    "overexposed_sky": Range(200.0, 300.0, 0.2),
}
_DEFAULT = {
    **_LIGHT,
    **_SKIES,
    "scales": Range(0.75, 2.0),
    "angle": Range(-5.0, 5.0, 0.25),
    "exposure": Range(-0.5, 0.6),
    "tint": Range(0.0, 0.1),
    "contrast": Range(0.6, 1.3),
    "perspective": Range(-0.1, 0.1, 0.1),
    "fog": Range(0.3, 2.0, 0.06),
    "night": Range(0.15, 0.45, 0.03),
    "defocus": Range(0.002, 0.008, 0.15),
    "motion": Range(0.01, 0.04, 0.08),
    "noise": Range(2.0, 14.0, 0.3),
    "hue": Range(-10.0, 10.0, 0.5),
    "brightness": Range(-20.0, 20.0, 0.5),
    "jpeg": Range(25.0, 90.0, 0.3),
}
_GEOMETRIC = {  # texture tells buildings from trees: little is done to it
    **_SKIES,
    "pale_walls": 0.3,
    "bare_trees": 0.2,
    "glare": 0.35,
    "flip": 0.5,
    "scales": Range(0.5, 2.0),
    "angle": Range(-8.0, 8.0, 0.5),
    "perspective": Range(-0.2, 0.2, 0.4),
    "exposure": Range(-0.3, 0.3),
    "tint": Range(0.0, 0.05),
    "gamma": Range(0.7, 1.3),
    "saturation": Range(0.7, 1.3),
    "contrast": Range(0.7, 1.3),
    "hue": Range(-18.0, 18.0, 0.8),
    "defocus": Range(0.002, 0.008, 0.1),
    "noise": Range(2.0, 12.0, 0.1),
}
_STRONG = {
    **_DEFAULT,
    "scales": Range(0.5, 2.0),
    "angle": Range(-10.0, 10.0, 0.5),
    "perspective": Range(-0.2, 0.2, 0.4),
    "mix_skies": 0.4,
    "new_sky": 0.2,
    "overexposed_sky": Range(190.0, 330.0, 0.3),
    "fog": Range(0.3, 3.5, 0.12),
    "night": Range(0.08, 0.45, 0.08),
    "defocus": Range(0.002, 0.014, 0.25),
    "motion": Range(0.01, 0.07, 0.15),
    "exposure": Range(-0.9, 0.9),
    "noise": Range(2.0, 30.0, 0.5),
    "hue": Range(-25.0, 25.0, 0.7),
    "brightness": Range(-35.0, 35.0, 0.5),
    "jpeg": Range(10.0, 90.0, 0.4),
}
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "flip": Augmentation(flip=0.5),
    "light": Augmentation(**_LIGHT),
    "geometric": Augmentation(**_GEOMETRIC),
    "default": Augmentation(**_DEFAULT),
    "strong": Augmentation(**_STRONG),
    # Of a camera that flies, or is held by hand and looks up.
    "tilted": Augmentation(**_DEFAULT | {"angle": Range(-75.0, 75.0, 0.4)}),
}

DESCRIPTIONS: dict[str, str] = {  # for those who choose; docs/choices.md shows them
    "none": "nothing",
    "flip": "half are mirrored",
    "light": "half are mirrored; exposure, tint, gamma and saturation change",
    "geometric": "mirrored, enlarged and shrunk; larger turns and tilts, other skies, pale walls and "
    "bare trees before them, glare; texture is mostly left alone",
    "default": "as light, and also enlarged and shrunk, small turns and tilts, other skies, fog, "
    "night, blur, noise, JPEG, hue, contrast and brightness",
    "strong": "as default, stronger and more often",
    "tilted": "as default, with horizons of any slope: for cameras that fly or look up",
}


def get_augmentation(preset: str | Augmentation) -> Augmentation:
    """The settings of a preset.

    Args:
      preset: key of AUGMENTATIONS, or settings of your own, which are given back.

    Raises:
      InputError: no such preset.
    """
    if not isinstance(preset, str):
        return preset
    if preset not in AUGMENTATIONS:
        raise InputError(not_among("augmentation", preset, AUGMENTATIONS))
    return AUGMENTATIONS[preset]
