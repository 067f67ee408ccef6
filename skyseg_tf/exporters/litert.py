"""LiteRT (TensorFlow Lite): phones, microcontrollers, and quick on CPUs in int8."""

import json
import zipfile

import numpy as np

from skyseg_tf.exporters.job import ExportJob, model_from_bytes, signature
from skyseg_tf.files import sha256_of
from skyseg_tf.masking.model_facts import FILE_SHA256

FACTS = "skyseg.json"  # in the file itself


def write_litert(job: ExportJob) -> None:
    """Writes job.path (.tflite) of one fixed size, and `<file>.tflite.json` with its facts and sha256.

    f16 stores weights in half the bytes. int8 is full: uint8 pixels in (scale 1, zero 0), integer
    kernels alone, uint8 probabilities out with the scale that the file states.

    The facts are also a zip at the file's end, where TensorFlow Lite keeps associated files
    (https://ai.google.dev/edge/litert/conversion/tensorflow/metadata): `unzip -p FILE skyseg.json`.
    """
    import tensorflow as tf

    spec = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    options = {}
    if job.precision != "f32":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if job.precision == "f16":
        spec["supported_types"] = [tf.float16]
    if job.precision == "int8":
        spec["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        options |= {
            "representative_dataset": lambda: ([photo] for photo in _full_range(job.photos)),
            "inference_input_type": tf.uint8,
            "inference_output_type": tf.uint8,
        }
    # The quantizer gives a float entrance its integers itself.
    model = model_from_bytes(job, "float32" if job.precision == "int8" else "uint8")
    model.export(
        str(job.path),
        format="litert",
        input_signature=signature(model),
        verbose=False,
        target_spec=spec,
        **options,
    )
    metadata = job.facts.to_metadata()
    with zipfile.ZipFile(job.path, "a", zipfile.ZIP_STORED) as end:
        end.writestr(FACTS, json.dumps(metadata, indent=1))
    metadata[FILE_SHA256] = sha256_of(job.path)
    beside = job.path.with_name(f"{job.path.name}.json")
    beside.write_text(json.dumps(metadata, indent=1) + "\n")


def _full_range(photos):
    """float32 photos; a corner of each is black and white, so that the entrance's scale is 1."""
    for photo in photos:
        photo = photo.astype(np.float32)
        photo[..., 0, 0, :], photo[..., 0, 1, :] = 0, 255
        yield photo
