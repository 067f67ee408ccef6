"""Which arithmetic trains fastest here: `--precision auto` tries a few steps of each."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import keras
import tensorflow as tf

from skyseg_tf.errors import InputError
from skyseg_tf.training.batches import make_batches
from skyseg_tf.training.job import Job
from skyseg_tf.training.network import start_network

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_WARM_UP, _STEPS = 2, 5  # the first step traces and compiles, the second still allocates


class Arithmetic(NamedTuple):
    """A Keras dtype policy, and whether XLA compiles the step (JAX always does)."""

    precision: str
    xla: bool = False

    def __str__(self) -> str:
        """For people."""
        return self.precision + " with XLA" * self.xla


def check_precision(precision: str) -> None:
    """Refuses float16 without a GPU: no CPU computes in it, and steps take many times as long.

    Args:
      precision: one of PRECISIONS.

    Raises:
      InputError: as said.
    """
    if precision == "mixed_float16" and not has_gpu():
        raise InputError(
            "--precision mixed_float16 is for GPUs, and Keras sees none here: without one it is "
            "many times slower than float32; choose mixed_bfloat16, float32 or auto"
        )


def has_gpu() -> bool:
    """Whether Keras' backend sees a GPU."""
    if keras.backend.backend() == "tensorflow":
        return bool(tf.config.list_physical_devices("GPU"))
    return bool(keras.distribution.list_devices("gpu"))


def candidates() -> list[Arithmetic]:
    """What is worth a try on this machine.

    float16 is left out: it needs loss scaling and no GPU with fast float16 of the last years lacks
    bfloat16. XLA is tried on GPUs alone: on CPUs it is slower for convolutions.
    """
    found = [Arithmetic("float32"), Arithmetic("mixed_bfloat16")]
    if keras.backend.backend() == "tensorflow" and has_gpu():
        found += [arithmetic._replace(xla=True) for arithmetic in found]
    return found


def fastest_arithmetic(job: Job) -> Job:
    """Settles --precision auto by a few steps of each kind of arithmetic, and says what came out.

    Args:
      job: what is to be trained.
    """

    def build(arithmetic: Arithmetic) -> keras.Model:
        return start_network(job.changed(**arithmetic._asdict(), init=None), 1)

    images, masks = next(iter(make_batches(job.settings, job.scheme, job.skipped).train(0, 0)))
    best, times = choose_arithmetic(build, (images.numpy(), masks.numpy()), candidates())
    told = [f"{a} {'fails' if ms is None else f'{ms:.0f} ms'}" for a, ms in times.items()]
    print(f"precision: {best} ({', '.join(told)} a step)", flush=True)
    return job.changed(**best._asdict())


def choose_arithmetic(
    build: Callable[[Arithmetic], keras.Model], batch: tuple, tried: Iterable[Arithmetic]
) -> tuple[Arithmetic, dict[Arithmetic, float | None]]:
    """Trains a fresh network for a few steps with each, all on the same batch.

    Args:
      build: gives a compiled network.
      batch: images and masks.
      tried: see `candidates`.

    Returns:
      The fastest one, and the milliseconds per step of each: the shortest of five, or None where
      a step fails, as XLA does on some operations.
    """
    policy, times = keras.config.dtype_policy(), {}
    for arithmetic in tried:
        try:
            model = build(arithmetic)
            times[arithmetic] = _time_steps(model, batch)
        except (tf.errors.OpError, ValueError, NotImplementedError):
            times[arithmetic] = None
        finally:
            keras.config.set_dtype_policy(policy)
            keras.backend.clear_session()
    worked = {arithmetic: ms for arithmetic, ms in times.items() if ms is not None}
    return min(worked, key=worked.__getitem__, default=Arithmetic("float32")), times


def _time_steps(model: keras.Model, batch: tuple) -> float:
    """Milliseconds of the fastest step; `train_on_batch` returns when its loss is known."""
    times = []
    for _ in range(_WARM_UP + _STEPS):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(1e3 * (time.perf_counter() - started))
    return min(times[_WARM_UP:])
