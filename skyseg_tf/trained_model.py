"""The network as it is trained: Keras' own training step, with averaged weights where asked for.

It shares all layers with the network of models.build_model and is used in its place from
`compile` on, so that `fit`, its callbacks and both backends (TensorFlow, JAX) stay Keras' own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class _Average:
    """A weight and its average, in a class of its own so that Keras does not track them twice."""

    weight: keras.Variable
    average: keras.Variable


class TrainedModel(keras.Model):
    """A functional model whose training step may also average the weights over the steps.

    The averages are variables of the optimizer: checkpoints hold them, and both backends carry
    them through the compiled step.
    """

    average_decay: float = 0.0
    _averages: tuple[_Average, ...] = ()

    @classmethod
    def of(cls, network: keras.Model) -> "TrainedModel":
        """Wraps a network of models.build_model; its layers and its name are shared."""
        return cls(inputs=network.inputs, outputs=network.output, name=network.name)

    def average_weights(self, decay: float) -> None:
        """From now on keeps an exponential moving average of every weight.

        After step t, from 0, average += (1 - d) x (weight - average) with
        d = min(decay, (1 + t) / (10 + t)), so that the fresh weights are soon forgotten. The moving
        means and variances of batch normalization are averaged like the weights they belong to.

        Args:
          decay: 0-1; 0.999 looks back over about a thousand steps.

        Reference: Polyak & Juditsky 1992; the warm-up is that of TensorFlow's
        tf.train.ExponentialMovingAverage.
        """
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self.average_decay = decay
        # Of the variables only the random states of Dropout are no floats.
        weights = [v for v in self.variables if v.dtype.startswith("float")]
        self._averages = tuple(_Average(weight, self._add_average(weight)) for weight in weights)

    def _add_average(self, weight: keras.Variable) -> keras.Variable:
        average = self.optimizer.add_variable(
            weight.shape,
            dtype="float32",
            aggregation="only_first_replica",
            layout=getattr(weight, "_layout", None),
            name=f"{weight.path.replace('/', '_')}_average",
        )
        average.assign(weight)
        return average

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model holds the averaged weights (where there are any); then its own again."""
        own = [ops.convert_to_numpy(pair.weight) for pair in self._averages]
        for pair in self._averages:
            pair.weight.assign(pair.average)
        try:
            yield
        finally:
            for pair, value in zip(self._averages, own, strict=True):
                pair.weight.assign(value)

    def train_step(self, *args):
        """Keras' step of the backend at hand, then that of the averages."""
        result = super().train_step(*args)
        if not self._averages:
            return result
        if keras.backend.backend() != "jax":
            step = self.optimizer.iterations
            for pair in self._averages:
                pair.average.assign(self._next_average(pair.average, pair.weight, step))
            return result
        # On JAX a step maps lists of arrays, in the order of the variables, to lists of arrays.
        logs, (trainable, other, optimizer, metrics) = result
        values = dict(zip(map(id, self.trainable_variables), trainable, strict=True))
        values |= dict(zip(map(id, self.non_trainable_variables), other, strict=True))
        place = {id(v): i for i, v in enumerate(self.optimizer.variables)}
        optimizer = list(optimizer)
        step = optimizer[place[id(self.optimizer.iterations)]]
        for pair in self._averages:
            i = place[id(pair.average)]
            optimizer[i] = self._next_average(optimizer[i], values[id(pair.weight)], step)
        return logs, (trainable, other, optimizer, metrics)

    def _next_average(self, average, weight, steps_done):
        """The average after a step; `steps_done` counts that step."""
        step = ops.cast(steps_done, "float32") - 1.0
        decay = ops.minimum(self.average_decay, (1.0 + step) / (10.0 + step))
        average = ops.convert_to_tensor(average)
        return average + (1.0 - decay) * (ops.cast(weight, "float32") - average)
