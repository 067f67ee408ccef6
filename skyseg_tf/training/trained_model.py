"""The network as it is trained: Keras' own training step, which also averages weights and clocks data.

It shares all layers with the network of models.build_model and is used in its place from
`compile` on, so that `fit`, its callbacks and both backends (TensorFlow, JAX) stay Keras' own.
"""

import time
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


@dataclass(frozen=True)
class _Untracked:
    variable: keras.Variable


class TrainedModel(keras.Model):
    """A functional model whose training step may also average the weights over the steps.

    The averages are variables of the optimizer: checkpoints hold them, and both backends carry
    them through the compiled step.

    Attributes:
      waited: seconds that training has waited for batches; to be set to 0 by who reads it.
    """

    waited: float = 0.0
    _averages: tuple[_Average, ...] = ()

    @classmethod
    def of(cls, network: keras.Model) -> "TrainedModel":
        """Wraps a network of models.build_model; its layers and its name are shared."""
        return cls(inputs=network.inputs, outputs=network.output, name=network.name)

    def average_weights(self, decay: float, every: int = 1) -> None:
        """From now on keeps an exponential moving average of every weight.

        After the optimizer's step t, from 0, average += (1 - d) x (weight - average) with
        d = min(decay, (1 + t) / (10 + t)), so that the fresh weights are soon forgotten. The moving
        means and variances of batch normalization are averaged like the weights they belong to.

        Args:
          decay: 0-1; 0.999 looks back over about a thousand steps.
          every: batches that make one step of the optimizer.

        Reference: Polyak & Juditsky 1992; the warm-up is that of TensorFlow's
        tf.train.ExponentialMovingAverage.
        """
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self._decay, self._every = decay, every
        batches = self.optimizer.add_variable(
            (), dtype="int32", aggregation="only_first_replica", name="batches"
        )
        self._batches = _Untracked(batches)
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
        average.assign(ops.copy(weight))  # JAX gives the buffers away in each step: share none
        return average

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model holds the averaged weights (where there are any); then its own again."""
        own = [ops.convert_to_numpy(pair.weight) for pair in self._averages]
        for pair in self._averages:
            pair.weight.assign(ops.copy(pair.average))
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
            self._batches.variable.assign_add(1)
            for pair in self._averages:
                pair.average.assign(self._next(pair.average, pair.weight, self._batches.variable))
            return result
        # On JAX a step maps lists of arrays, in the order of the variables, to lists of arrays.
        logs, (trainable, other, optimizer, metrics) = result
        weights = dict(zip(map(id, self.trainable_variables), trainable, strict=True))
        weights |= dict(zip(map(id, self.non_trainable_variables), other, strict=True))
        values = dict(zip(map(id, self.optimizer.variables), optimizer, strict=True))
        batches = values[id(self._batches.variable)] + 1
        values[id(self._batches.variable)] = batches
        for pair in self._averages:
            before = values[id(pair.average)]
            values[id(pair.average)] = self._next(before, weights[id(pair.weight)], batches)
        return logs, (trainable, other, list(values.values()), metrics)

    def make_train_function(self, force=False):
        """Keras' compiled step, fed with batches whose arrival is clocked."""
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        compiled_step = self.train_function

        def clocked_step(*args):
            *state, batches = args  # JAX passes its state first
            started = time.perf_counter()
            batch = next(batches)
            self.waited += time.perf_counter() - started
            return compiled_step(*state, iter((batch,)))

        self.train_function = clocked_step

    def _next(self, average, weight, batches):
        """The average after so many batches."""
        step = ops.cast(batches // self._every, "float32") - 1.0
        decay = ops.minimum(self._decay, (1.0 + step) / (10.0 + step))
        decay = ops.where(ops.equal(batches % self._every, 0), decay, 1.0)
        average = ops.convert_to_tensor(average)
        return average + (1.0 - decay) * (ops.cast(weight, "float32") - average)
