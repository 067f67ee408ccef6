"""Sky and street-scene segmentation in Keras 3: from a Cityscapes tree to masks.

The names below are the public API; they are imported when they are first asked for, so that
`import skyseg_tf` takes no time. All else may move.
"""

from importlib import import_module

from skyseg_tf.console.dependencies import restrain

__version__ = "0.1.0"

_PUBLIC = {
    "load_runtime": "skyseg_tf.masking.runtime",
    "predict_image": "skyseg_tf.masking.prediction",
    "build_model": "skyseg_tf.models",
    "load_torch_weights": "skyseg_tf.models",
    "MODELS": "skyseg_tf.models",
    "make_dataset": "skyseg_tf.data.pipeline",
    "read_tfrecord": "skyseg_tf.data.records",
    "SCHEMES": "skyseg_tf.labels",
}
_MODULES = {"metrics": "skyseg_tf.scoring.metrics"}
__all__ = ["__version__", *_PUBLIC, *_MODULES]  # noqa: PLE0604

restrain()  # before anything imports a library that reports to its makers


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'skyseg_tf' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
