"""Several processes that train one network: each has its share of every batch, JAX sums the rest.

All do the same, step by step, since what a network computes is computed by all of them together.
The first one alone keeps what comes out: the others have a run folder of their own that goes away.
"""

import atexit
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from skyseg_tf.errors import InputError, LostProcess, counted, in_one_line
from skyseg_tf.runs.meeting import hold_port
from skyseg_tf.runs.stopping import keeping_sigterm
from skyseg_tf.training.settings import TrainConfig

if TYPE_CHECKING:  # it imports Keras
    from skyseg_tf.training.job import Job

_WAIT = 300  # seconds for the others to come
_PORTS = range(1, 65536)
_ANSWER = 10.0  # seconds for a process of this machine to answer
# What errors say of a sum that one of the processes is not there for any more.
_LOST = ("Gloo", "NCCL", "UNAVAILABLE", "heartbeat")


def check_processes(config: TrainConfig) -> None:
    """Refuses what no process could join by.

    Raises:
      InputError: --coordinator is no HOST:PORT, or --process-id is too large.
    """
    host, _, port = (config.coordinator or f"here:{_PORTS[0]}").rpartition(":")
    if not (host and port.isdecimal() and int(port) in _PORTS):
        raise InputError(
            f"--coordinator {config.coordinator}: must be HOST:PORT of the first process, such as "
            "10.0.0.1:5599"
        )
    if config.process_id >= config.num_processes:
        raise InputError(
            f"--process-id {config.process_id}: too large for "
            f"{counted(config.num_processes, 'process', 'processes')}, which count from 0"
        )


def join(config: TrainConfig) -> None:
    """Connects this process with the others, before Keras is imported or has computed anything.

    Raises:
      InputError: the others do not come, the coordinator's port is taken or none, or Keras runs on
        another backend than JAX.
    """
    if config.coordinator is None:
        return
    check_processes(config)
    if "keras" not in sys.modules:  # else it would change the processes that this one starts alone
        os.environ.setdefault("KERAS_BACKEND", "jax")
    import jax
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(
            f"--coordinator: Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax"
        )
    if jax.distributed.is_initialized():  # a training that goes on in the same process
        return
    try:
        with (
            nullcontext() if config.process_id else _coordinators_port(config.coordinator),
            keeping_sigterm(),  # JAX's handler takes note of it, and nobody asks
        ):
            jax.distributed.initialize(
                config.coordinator,
                config.num_processes,
                config.process_id,
                initialization_timeout=_WAIT,
            )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"--coordinator {config.coordinator}: process {config.process_id} of "
            f"{config.num_processes} found no others ({in_one_line(error)}); start all of them"
        ) from None


@contextmanager
def _coordinators_port(coordinator: str) -> Iterator[None]:
    """Inside, JAX may listen at the coordinator's port.

    Where it is taken, JAX's process would die by a segmentation fault; and where another training's
    coordinator listens, it would share the port, and be sent the processes of both.

    Raises:
      InputError: it is taken.
    """
    port = int(coordinator.rpartition(":")[2])
    try:
        held = hold_port(port)
    except OSError as error:
        raise _no_port(coordinator, error.errno) from None
    with held:
        if _is_answered(port):
            raise _no_port(coordinator, errno.EADDRINUSE)
        yield


def _no_port(coordinator: str, reason: int) -> InputError:
    return InputError(
        f"--coordinator {coordinator}: the first process cannot listen there "
        f"({os.strerror(reason)}); give all of them another port"
    )


def _is_answered(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=_ANSWER).close()
    except OSError:
        return False
    return True


@contextmanager
def telling_lost_processes(config: TrainConfig) -> Iterator[None]:
    """Inside, it is said what to do where another process dies.

    Raises:
      LostProcess: as said, in one line.
    """
    if config.coordinator is None:
        yield
        return
    import jax

    try:
        yield
    except KeyboardInterrupt:
        atexit.register(_leave, 128 + signal.SIGINT)
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not any(word in str(error) for word in _LOST):
            raise
        atexit.register(_leave, 2)
        run = config.resume or config.run
        raise LostProcess(
            f"{run}: another of the {config.num_processes} processes has ended before its time; go "
            f"on with all of them by --resume {run}"
        ) from None


def _leave(status: int) -> None:
    """Ends this process before JAX takes leave of the others: it would wait for them, and abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def heard_once(job: "Job") -> Iterator["Job"]:
    """Inside, all but the first process are silent, and what they write goes away."""
    if job.settings.process_id == 0:
        yield job
        return
    with (
        TemporaryDirectory(prefix="skyseg-") as folder,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
    ):
        yield job.changed(run=Path(folder, "run"), plots=Path(folder, "plots"), quiet=True)


def largest(config: TrainConfig, here: int) -> int:
    """The largest of the numbers that the processes have; all must ask at the same time."""
    if config.coordinator is None:
        return here
    from jax.experimental.multihost_utils import process_allgather

    return int(np.max(process_allgather(np.array([here]))))


@contextmanager
def alone(config: TrainConfig) -> Iterator[None]:
    """Inside, networks are built and run by this process, also while it trains with others."""
    if config.coordinator is None:
        yield
        return
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
