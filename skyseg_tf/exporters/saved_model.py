"""SavedModel: for TensorFlow Serving and TensorFlow programs, which then need none of our code."""

import json
from pathlib import Path

import keras
import numpy as np

from skyseg_tf.exporters.job import ExportJob, model_from_bytes, signature
from skyseg_tf.masking.runtime import ModelFacts, Runtime

_FACTS = Path("assets.extra") / "skyseg.json"  # the folder that TensorFlow leaves to its users


def write_saved_model(job: ExportJob) -> None:
    """Writes the folder job.path; its signature "serve" takes "rgb" uint8, gives float32."""
    model = model_from_bytes(job)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda rgb: {"probabilities": model(rgb, training=False)},
        input_signature=signature(model),
    )
    archive.write_out(str(job.path), verbose=False)
    facts = job.path / _FACTS
    facts.parent.mkdir()
    facts.write_text(json.dumps(job.facts.to_metadata(), indent=1) + "\n")


def load_saved_model(path: Path) -> Runtime:
    """A folder of `write_saved_model` as a runtime."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    facts = ModelFacts.from_metadata(json.loads((path / _FACTS).read_text()), path)

    def infer(
        images: np.ndarray, keep=loaded
    ) -> np.ndarray:  # the signature alone holds no weights
        return serve(rgb=tf.constant(images.astype(np.uint8)))["probabilities"].numpy()

    return Runtime("saved_model", path, facts, infer, 1 if facts.working_size else None)
