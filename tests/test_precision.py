import time

import keras
import pytest

from skyseg_tf.training import precision
from skyseg_tf.training.precision import Arithmetic, choose_arithmetic


class Fake:
    """A network whose steps take a known time."""

    def __init__(self, seconds):
        self.seconds, self.steps = seconds, 0

    def train_on_batch(self, images, targets):
        self.steps += 1
        time.sleep(self.seconds * (20 if self.steps == 1 else 1))  # the first one compiles
        if self.seconds > 0.02:
            raise ValueError("no such kernel")


def test_the_fastest_that_works_is_taken():
    seconds = {("float32", False): 0.01, ("mixed_bfloat16", False): 0.002, ("float32", True): 0.03}
    policy = keras.config.dtype_policy()

    def build(arithmetic):
        keras.config.set_dtype_policy(arithmetic.precision)
        return Fake(seconds[arithmetic])

    best, times = choose_arithmetic(build, (0, 0), [Arithmetic(*a) for a in seconds])
    assert best == ("mixed_bfloat16", False)
    assert 2 <= times[best] < times["float32", False] < 100
    assert times["float32", True] is None
    assert keras.config.dtype_policy() == policy


@pytest.mark.parametrize(("gpus", "count"), [([], 2), (["GPU:0"], 4)])
def test_xla_is_tried_on_gpus_alone(monkeypatch, gpus, count):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind: gpus)
    found = precision.candidates()
    assert len(found) == count
    assert any(arithmetic.xla for arithmetic in found) == bool(gpus)
    assert str(Arithmetic("float32", True)) == "float32 with XLA"
