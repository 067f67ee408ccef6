"""When dependencies are imported, with which settings, and what they may not do unasked.

A registry names functions of modules that start slowly by Lazy. Nothing that is imported may report
to anybody, or leave files in the home folder: the package runs `restrain` before anything else of
it is imported, so that it holds for every command, worker process and notebook alike.
"""

import atexit
import os
import shutil
import sys
import tempfile
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

from skyseg_tf.errors import InputError

_TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: a device id and a database of events
    "RAY_USAGE_STATS_ENABLED": "0",
    # Who reports a training to one of these means his own figures, not theirs.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "DO_NOT_TRACK": "1",  # https://consoledonottrack.com
}


def check_installed(what: str, *modules: str, install: str) -> None:
    """Refuses what needs packages that are not there; nothing is imported.

    Args:
      what: needs them, as the user knows it: a flag, or "the server".
      modules: as they are imported.
      install: what pip is to install, quoted for a shell.

    Raises:
      InputError: it names those that are missing, and the command that gets them.
    """
    if missing := [module for module in modules if find_spec(module) is None]:
        raise InputError(f"{what} needs {' and '.join(missing)}: pip install {install}")


class Lazy:
    """A function that is imported when it is called or looked into for the first time.

    Args:
      name: "module:function".
    """

    def __init__(self, name: str):
        self.name = name

    @cached_property
    def __wrapped__(self):
        """The function; `inspect.signature` looks for it under this name."""
        return resolve_name(self.name)

    def __call__(self, *args, **options):
        """Calls the function."""
        return self.__wrapped__(*args, **options)


def restrain() -> None:
    """Turns telemetry off, has no new folders made in the home folder, and turns oneDNN on.

    A folder that Matplotlib or Keras has there already is used as it is, settings and all.
    """
    os.environ.update(_TELEMETRY_OFF)
    # TensorFlow leaves it off on processors without AVX-512, where it saves a tenth to a third of a
    # training step, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # OpenVINO and NNCF heed no variable, but do without the package that reports for them.
    sys.modules.setdefault("openvino_telemetry", None)
    homeless = {
        variable: name
        for variable, name, there in (
            ("MPLCONFIGDIR", "matplotlib", _has_matplotlib_folder()),
            ("KERAS_HOME", "keras", Path(os.path.expanduser("~/.keras")).is_dir()),
        )
        if not there and variable not in os.environ
    }
    if homeless:
        # A name that nobody can guess; who needs the folder makes it. So most of the processes that
        # are killed leave none.
        folder = os.path.join(tempfile.gettempdir(), f"skyseg-{os.urandom(8).hex()}")
        atexit.register(_remove, folder, os.getpid())
        os.environ.update({key: os.path.join(folder, name) for key, name in homeless.items()})


def _has_matplotlib_folder() -> bool:
    home = Path(os.path.expanduser("~"))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    windows = Path(os.environ.get("LOCALAPPDATA") or home)
    folders = (caches / "matplotlib", home / ".matplotlib", windows / "matplotlib")
    return any(folder.is_dir() for folder in folders)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked process leaves it to its parent
        shutil.rmtree(folder, ignore_errors=True)


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without its six lines of chatter on stderr, which no log level turns off.

    The process's stderr is closed for that time; errors still raise. What imports TensorFlow or
    Keras calls this first.

    Raises:
      InputError: KERAS_BACKEND names a package that is not installed, which Keras would import.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.get("KERAS_BACKEND") == "jax":
        check_installed("KERAS_BACKEND=jax", "jax", install="'skyseg_tf[jax]'")
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
