"""The runtimes of a trained network: one file and one record each, in order of preference.

A new one is a file, named after it, with a `load` function and its BACKEND, and its module in
BACKENDS.
"""

from skyseg_tf.masking.backends import keras, litert, onnxruntime, openvino
from skyseg_tf.masking.backends.interface import Backend, Runtime

__all__ = ["BACKENDS", "Backend", "Runtime"]

BACKENDS: dict[str, Backend] = {
    module.BACKEND.name: module.BACKEND for module in (openvino, onnxruntime, litert, keras)
}
