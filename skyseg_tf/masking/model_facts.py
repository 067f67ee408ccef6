"""What a model file says about itself, and how it holds it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from skyseg_tf.errors import InputError
from skyseg_tf.files.json_types import typed
from skyseg_tf.labels import LabelScheme, parse_scheme, scheme_of_classes

METADATA_PREFIX = "skyseg."
FILE_SHA256 = f"{METADATA_PREFIX}file_sha256"  # of the .tflite file that facts stand beside
_LONGEST = 16384  # side of a photo, or frames, that a network can be meant for


@dataclass(frozen=True)
class ModelFacts:
    """What a model file must say about itself; exports carry it, `to_metadata` tells how.

    Where it is written: ONNX `metadata_props`, one entry per key; OpenVINO `rt_info`, one
    `model.set_rt_info(text, [key])` per key; for LiteRT the same dict as JSON in
    `<file>.tflite.json`.

    Attributes:
      name: network or run, for people.
      scheme: the classes, whole; of a model of one output channel it is a binary one.
      threshold: probability from which a pixel is sky; of one-channel models only.
      working_size: (height, width) that the file is fixed to, or None where any will do.
      long_side: for free sizes, the photo is shrunk to about this long side in pixels: the scale
        that the network was trained at.
      divisor: for free sizes, what height and width must be multiples of.
      frames: 1, or T for a network that takes clips (B, T, H, W, 3).
      sha256: hex digest of the run's model.keras that the file was made from; "" if of no run.
    """

    name: str
    scheme: LabelScheme
    threshold: float = 0.5
    working_size: tuple[int, int] | None = None
    long_side: int = 512
    divisor: int = 32
    frames: int = 1
    sha256: str = ""

    def to_metadata(self) -> dict[str, str]:
        """Key -> text, as files hold it: "skyseg." + attribute, each value as JSON.

        Beside the scheme stand class_names and colors, which programs of others read with ease.
        """
        scheme = self.scheme
        values = asdict(self) | {"scheme": scheme.as_dict()}
        values |= {"class_names": scheme.class_names, "colors": scheme.colors}
        return {f"{METADATA_PREFIX}{key}": json.dumps(value) for key, value in values.items()}

    @staticmethod
    def from_metadata(metadata: dict[str, str], where: str | Path) -> "ModelFacts":
        """Inverts `to_metadata`; keys of others are passed over.

        Raises:
          InputError: not written by `skyseg export`, or damaged.
        """
        known = {field.name for field in fields(ModelFacts)} | {"class_names", "colors"}
        try:
            values = {
                key.removeprefix(METADATA_PREFIX): json.loads(text)
                for key, text in metadata.items()
                if key.removeprefix(METADATA_PREFIX) in known and key.startswith(METADATA_PREFIX)
            }
            names, colors, _ = values.pop("class_names"), values.pop("colors"), values["name"]
            if "scheme" not in values:  # files of version 0.1
                values["scheme"] = scheme_of_classes(names, colors, where).as_dict()
            values["scheme"] = parse_scheme(values["scheme"], where)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{where}: does not say what its classes are; make it with `skyseg export`"
            ) from None
        for name, value in values.items():
            if name != "scheme":
                values[name] = typed(value, _TYPES[name], where, name)
        facts = ModelFacts(**values)
        facts._check(where)
        return facts

    def _check(self, where: str | Path) -> None:
        sides = (self.long_side, self.divisor, *(self.working_size or ()))
        sizes = all(1 <= side <= _LONGEST for side in sides) and 1 <= self.frames <= _LONGEST
        if not (sizes and 0 < self.threshold < 1):
            raise InputError(
                f"{where}: says of itself threshold {self.threshold}, working_size "
                f"{self.working_size}, long_side {self.long_side}, divisor {self.divisor}, frames "
                f"{self.frames}, of which one cannot be; make it with `skyseg export`"
            )


_TYPES = get_type_hints(ModelFacts)
