"""TensorFlow's start-up chatter, six lines on stderr that no log level turns off, kept away."""

import os
import sys


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow with the process's stderr closed for that time; errors still raise."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()  # the search for a GPU has its own lines
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
