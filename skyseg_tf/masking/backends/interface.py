"""What a backend is to the rest of the program: its record, and the Runtime that it loads."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.masking.model_facts import ModelFacts

_ROUNDING = 1e-2  # of a probability in float16 or in eight bits


@dataclass(frozen=True)
class Backend:
    """What the rest of the program needs to know about a runtime; nothing here imports it.

    Attributes:
      name: what --backend calls it.
      suffixes: of the model files that it runs, its own format first.
      package: the module that must be there.
      distributions: what its version is read from; the first of them that is installed.
      install: the command that gets it.
      load: (model file, threads or None for all cores, streams) -> Runtime.
      start_rank: 1 for what answers a first photo soonest after the program's start (import, load,
        first call); for few photos the lowest is taken.
      is_rival: whether it is tried against the other rivals before long work: which of them is the
        faster one depends on processor and network.
    """

    name: str
    suffixes: tuple[str, ...]
    package: str
    distributions: tuple[str, ...]
    install: str
    load: Callable[[Path, int | None, int], "Runtime"]
    start_rank: int
    is_rival: bool = False

    def is_installed(self) -> bool:
        """Whether its package is there; nothing is imported."""
        return find_spec(self.package) is not None


class Runtime:
    """A model that is ready to run; made by `load_runtime`. Calls from more threads queue up.

    Attributes:
      backend: one of BACKENDS.
      streams: how many calls it works on at the same time.
      path: the model file.
      facts: everything the file says; the most used are attributes here too.
      network: the keras.Model that it runs; None in the other backends.
      name, scheme, threshold, working_size, frames: see ModelFacts.
      class_names, colors: of the scheme.
    """

    def __init__(
        self,
        backend: str,
        path: Path,
        facts: ModelFacts,
        infer: Callable[[np.ndarray], np.ndarray],
        batch: int | None = None,
        streams: int = 1,
        network=None,
    ):
        """Wraps `infer`: float32 (batch or any B, ...) -> (B, H, W, C); `streams` may call it."""
        self.network = network
        self.backend, self.path, self.facts = backend, path, facts
        self.name, self.scheme = facts.name, facts.scheme
        self.class_names, self.colors = facts.scheme.class_names, facts.scheme.colors
        self.threshold, self.working_size = facts.threshold, facts.working_size
        self.frames, self.streams = facts.frames, streams
        self._infer, self._batch, self._free = infer, batch, threading.Semaphore(streams)

    @property
    def sky_channel(self) -> int | None:
        """Which channel of the probabilities is sky; None for a model that does not know it."""
        return self.scheme.sky_channel

    @property
    def channels(self) -> int:
        """Of the probabilities: 1 for sky or not sky, else one per class."""
        return self.scheme.num_logits

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to which a photo is shrunk or enlarged for the network.

        A fixed size where the model has one. Else the long side becomes `facts.long_side`, more
        for a panorama, so that the short side keeps half of it; both are rounded to multiples of
        the divisor, by which the aspect changes a little.
        """
        if self.working_size:
            return self.working_size
        long_side, divisor = self.facts.long_side, self.facts.divisor
        scale = long_side / max(height, width)
        scale *= min(4, max(1, long_side / 2 / (min(height, width) * scale)))
        return tuple(max(1, round(side * scale / divisor)) * divisor for side in (height, width))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of a batch.

        Args:
          images: (B, H, W, 3), or clips (B, T, H, W, 3) for a model of T frames; RGB 0-255, uint8
            or float, at `working_size` or at multiples of `facts.divisor`, as `size_for` gives it.

        Returns:
          (B, H, W, C) float32 in 0-1: sky for C = 1, else summing to 1 over the classes.

        Raises:
          InputError: a shape that the model cannot take, or an answer that is no probability.
        """
        self._check(images.shape)
        return self.infer(images)

    def infer(self, images: np.ndarray) -> np.ndarray:
        """As a call, at any size that the network itself can take."""
        images = np.ascontiguousarray(images, np.float32)
        step = self._batch or len(images)
        with self._free:
            parts = [
                np.asarray(self._infer(images[i : i + step]), np.float32)
                for i in range(0, len(images), step)
            ]
        probs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._check_answer(probs)
        return probs

    def _check(self, shape: tuple[int, ...]) -> None:
        clip = self.frames > 1
        if len(shape) != 4 + clip or shape[-1] != 3 or (clip and shape[1] != self.frames):
            wanted = f"(B, {self.frames}, H, W, 3)" if clip else "(B, H, W, 3)"
            raise InputError(f"{self.name}: takes {wanted}, this is {shape}")
        size, divisor = tuple(shape[-3:-1]), self.facts.divisor
        if self.working_size and size != self.working_size:
            raise InputError(
                f"{self.name}: is fixed to {self.working_size}, this is {size}; resize the photos"
            )
        if not self.working_size and any(side % divisor or not side for side in size):
            raise InputError(
                f"{self.name}: sizes must be multiples of {divisor}, this is {size}; resize the "
                "photos to `size_for` theirs"
            )

    def _check_answer(self, probs: np.ndarray) -> None:
        if probs.ndim != 4 or probs.shape[-1] != self.channels:
            raise InputError(
                f"{self.path}: gives an array of {probs.shape} for {self.channels} channel(s) of "
                f"{', '.join(self.class_names)}; it is no export of `skyseg export`"
            )
        if not (probs.min() >= -_ROUNDING and probs.max() <= 1 + _ROUNDING):  # NaN is neither
            raise InputError(
                f"{self.path}: gives values outside 0-1 or no numbers, so no probabilities: its "
                "weights are damaged, or it lacks the final activation; train or export it again"
            )
