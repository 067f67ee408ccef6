"""What may happen to a picture: strengths and chances, and the classes that effects know."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from skyseg_tf.labels import LabelScheme


class Range(NamedTuple):
    """An effect's strength is uniform in [low, high] for a share `chance` of the pictures."""

    low: float
    high: float
    chance: float = 1.0


_NEVER = Range(0.0, 0.0, 0.0)
_NO_FACTOR = Range(1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Augmentation:
    """What happens to a picture, how strongly, and how often.

    Attributes:
      pale_walls: chance of a pale building before the sky (needs the classes of both).
      bare_trees: chance of bare trees before the sky, where trees are opened (needs both classes).
      flip: chance of left to right.
      scales: enlargement, log-uniform; a crop of the enlarged picture, or a shrunken one somewhere
        in the frame.
      angle: of the camera's roll, degrees.
      perspective: of the camera's pan and tilt: largest share by which edges grow and shrink.
      mix_skies: chance of a sky from another picture of the batch, or a drawn one (make_mix).
      new_sky: chance of a drawn sky (needs the sky's class, as do mix_skies and the next four).
      overexposed_sky: level of a blown out sky, 0-255 and beyond (skies.overexpose_sky).
      glare: chance of an exposure that brings the sky to 255-375.
      fog: optical depth at the vanishing point.
      night: share of daylight left.
      defocus: standard deviation of a Gaussian, as a share of the height.
      motion: length of the blur, as a share of the height.
      exposure: natural logarithm of the sensor's gain.
      tint: largest difference of the channels' gains, as a share.
      noise: standard deviation of the sensor's noise at white, 0-255.
      gamma: exponent.
      saturation: factor of the distance to grey.
      hue: turn of the colors, degrees.
      contrast: factor of the distance to the picture's mean.
      brightness: added, 0-255.
      jpeg: quality, 0-100.
    """

    pale_walls: float = 0.0
    bare_trees: float = 0.0
    flip: float = 0.0
    scales: Range = _NO_FACTOR
    angle: Range = _NEVER
    perspective: Range = _NEVER
    mix_skies: float = 0.0
    new_sky: float = 0.0
    overexposed_sky: Range = _NEVER
    glare: float = 0.0
    fog: Range = _NEVER
    night: Range = _NEVER
    defocus: Range = _NEVER
    motion: Range = _NEVER
    exposure: Range = _NEVER
    tint: Range = _NEVER
    noise: Range = _NEVER
    gamma: Range = _NO_FACTOR
    saturation: Range = _NO_FACTOR
    hue: Range = _NEVER
    contrast: Range = _NO_FACTOR
    brightness: Range = _NEVER
    jpeg: Range = _NEVER


RANGES = [field.name for field in fields(Augmentation) if field.type is Range]


class Classes(NamedTuple):
    """Ids in a scheme's masks of what the augmentation knows; None where no class is that.

    Attributes:
      sky: the sky and nothing else.
      walls: the class of buildings, whatever else it holds.
      trees: trees, with or without what grows on the ground.
    """

    sky: int | None = None
    walls: int | None = None
    trees: int | None = None

    @classmethod
    def of(cls, scheme: LabelScheme) -> "Classes":
        """Those of a scheme."""

        def first(fits: Callable[[set], bool]) -> int | None:
            return next((i for i, names in enumerate(scheme.members) if fits({*names})), None)

        return cls(
            first(lambda names: names == {"sky"}),
            first(lambda names: "building" in names),
            first(lambda names: {"vegetation"} <= names <= {"vegetation", "terrain"}),
        )
