"""What others get of a training: a network that computes in float32, and in this process alone."""

import keras
import numpy as np

from skyseg_tf.errors import InputError
from skyseg_tf.masking.backends.keras import load_network
from skyseg_tf.runs.model_file import make_saved_model, save_model
from skyseg_tf.scoring.scores import predict_masks
from skyseg_tf.training.checkpoints import load_checkpoint
from skyseg_tf.training.job import Job
from skyseg_tf.training.network import build_network
from skyseg_tf.training.processes import alone
from skyseg_tf.training.step import TrainedModel


class Twin:
    """The network that is saved, scored and shown.

    ONNX Runtime, for one, has no bfloat16, and of a model that several processes train together none
    can run a step by itself.

    Attributes:
      network: the trained one itself where it computes in float32 in this process.
    """

    def __init__(self, job: Job, model: TrainedModel):
        """Builds it; Keras' policy is float32 from then on, the layers of `model` keep theirs."""
        self.job, self.model, self.network = job, model, model
        self._path = job.run / "model.keras"
        self._together = job.settings.coordinator is not None
        if self._together or job.settings.precision != "float32":
            with alone(job.settings):
                self.network = build_network(job, "float32")

    def save(self) -> None:
        """Writes model.keras with the weights that the model has now."""
        self._update()
        self._write()

    def save_best(self) -> None:
        """The same with the weights of the best epoch, which the network keeps.

        A file that holds them already stays as it is: exports name the very file they were made of.
        """
        self._update()
        best = self.job.run / "checkpoints" / "best.npz"
        if best.exists():
            with alone(self.job.settings):
                load_checkpoint(best, self.network, optimizer=False)
        if not self._is_written():
            self._write()

    def masks(self, model: keras.Model, images: np.ndarray) -> np.ndarray:
        """What the model would predict now, as scores.predict_masks."""
        if not self._together:
            return predict_masks(model, images)
        self._update()
        with alone(self.job.settings):
            return predict_masks(self.network, images)

    def _write(self) -> None:
        with alone(self.job.settings):
            save_model(self._path, self.network, self.job.manifest.rgb_stats)

    def _is_written(self) -> bool:
        with alone(self.job.settings):
            try:
                written = load_network(self._path).weights
            except (InputError, OSError):
                return False
            wanted = make_saved_model(self.network, self.job.manifest.rgb_stats).weights
            same = len(written) == len(wanted)
            return same and all(map(np.array_equal, written, wanted))

    def _update(self) -> None:
        for variable, trained in zip(self.network.variables, self.model.variables, strict=True):
            if variable is not trained:
                variable.assign(keras.ops.convert_to_numpy(trained))
