"""What a training is made of. It is settled once, by settle.settle, and fixed from then on."""

from dataclasses import dataclass, replace
from pathlib import Path

from skyseg_tf.data.records import Manifest
from skyseg_tf.labels import LabelScheme
from skyseg_tf.models import MODELS, Recipe, parse_model_options
from skyseg_tf.models.imagenet import IMAGENET
from skyseg_tf.training.bad_records import Skipped
from skyseg_tf.training.settings import TrainConfig


@dataclass(frozen=True)
class Job:
    """One training. What follows from its fields is a property, so that nothing is said twice.

    Attributes:
      settings: complete: with network, records, augmentation and run folder.
      manifest: of the records that are read.
      skipped: damaged records that are not; None: the training stops at one.
    """

    settings: TrainConfig
    manifest: Manifest
    skipped: Skipped | None = None

    @property
    def records(self) -> Path:
        """Folder of the records; the extra ones are in the settings."""
        return self.settings.records

    @property
    def run(self) -> Path:
        """Run folder."""
        return self.settings.run

    @property
    def scheme(self) -> LabelScheme:
        """The records' classes."""
        return self.manifest.scheme

    @property
    def recipe(self) -> Recipe:
        """The network's own recipe, with what the settings change of it."""
        names = ("optimizer", "learning_rate", "power", "warmup_steps", "weight_decay")
        given = {name: getattr(self.settings, name) for name in names}
        if self.settings.loss:
            given["loss"] = (self.settings.loss, self.settings.loss)
        changes = {name: value for name, value in given.items() if value is not None}
        return replace(MODELS[self.settings.model].recipe, **changes)

    @property
    def network_options(self) -> dict:
        """Options of the network: those given, and how many frames a sequence model sees."""
        options = parse_model_options(self.settings.model, self.settings.model_options)
        if MODELS[self.settings.model].sequence:
            options["frames"] = self.manifest.frames
        return options

    @property
    def start(self) -> str:
        """Where the weights are from: fresh, imagenet, run (or a file), or checkpoint."""
        if self.settings.resume:
            return "checkpoint"
        if not self.settings.init:
            return "fresh"
        if str(self.settings.init) == IMAGENET:
            return "imagenet"
        return "run"

    @property
    def title(self) -> str:
        """For plots."""
        return f"{self.settings.model}, {self.scheme.name}"

    @property
    def measure(self) -> str:
        """What the IoU of the history is, of which the best epoch is kept."""
        return "sky IoU" if self.scheme.is_binary else "mean IoU"

    def changed(self, **settings) -> "Job":
        """The same with other settings."""
        return replace(self, settings=replace(self.settings, **settings))
