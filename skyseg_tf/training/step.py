"""The training step: forward, loss, gradient, update, averages; the same on TensorFlow and JAX.

Why Keras' `fit` goes around it and no loop of our own: `fit` compiles the step (XLA or not),
splits batches among devices on both backends, keeps JAX's state out of the variables between
checkpoints, and drives the callbacks of the trackers. A loop of our own would do all that again, in
about as many lines, and the compiled step inside would be the same. What Keras would hide, the loss
and the gradient, is written out here, with its public methods alone; since the loss and the metrics
are ours, nothing has to be built by a symbolic pass before a checkpoint can fill it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from skyseg_tf.labels import IGNORE
from skyseg_tf.training.losses import StreamingConfusion


@dataclass(frozen=True)
class _Average:
    """A weight and its average, in a class of its own so that Keras does not track them twice."""

    weight: keras.Variable
    average: keras.Variable


@dataclass(frozen=True)
class _Untracked:
    variable: keras.Variable


class TrainedModel(keras.Model):
    """A network with its loss, running metrics and averaged weights; it shares the network's layers.

    Attributes:
      mean_loss: of the batches since Keras has reset the metrics, which it does before each epoch.
      iou: confusion matrix of the same batches; its result is the IoU.
      waited: seconds that training has waited for batches; to be set to 0 by who reads it.
    """

    waited: float = 0.0
    _averages: tuple[_Average, ...] = ()

    def __init__(self, network: keras.Model, loss: Callable, aux_weights: Sequence[float] = ()):
        """Wraps a network.

        Args:
          network: of models.build_model.
          loss: of (mask, logits), see losses.
          aux_weights: weight of the loss of each auxiliary output, in their order; the answer's
            is 1.
        """
        super().__init__(inputs=network.inputs, outputs=network.output, name=network.name)
        aux = [name for name in network.output if name != "logits"]
        self.output_weights = {"logits": 1.0} | dict(zip(aux, aux_weights, strict=True))
        self.mask_loss = loss
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.iou = StreamingConfusion(network.output["logits"].shape[-1])

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets, reports, and on JAX carries through the step."""
        return [self.mean_loss, self.iou]

    @property
    def metric_parts(self) -> list[Any]:
        """The variables of the metrics; of several TensorFlow devices those of each.

        TensorFlow adds them where such a variable is read, and where one is set it shares the value
        out among the devices: of counts the remainder would be lost.
        """
        if keras.backend.backend() == "jax":
            return self.metrics_variables
        import tensorflow as tf

        parts = tf.distribute.get_strategy().experimental_local_results
        return [part for variable in self.metrics_variables for part in parts(variable.value)]

    # ------------------------------------------------------------------ the step

    def train_step(self, *args):
        """One batch of (images, masks); returns the running loss and IoU."""
        if keras.backend.backend() == "jax":
            return self._jax_train_step(*args)
        import tensorflow as tf

        images, masks = args[0][:2]
        with tf.GradientTape() as tape:
            loss, logits = self._forward(images, masks, training=True)
            # The gradients of several devices are summed: each has its share of the loss.
            share = loss / tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(share)  # in float16 small gradients would vanish
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._update_averages()
        return self._measure(loss, masks, logits)

    def _jax_train_step(self, state, batch):
        """The same as JAX wants it: values of all variables in, their next values out."""
        import jax

        images, masks = batch[:2]
        weights, others, slots, metrics = state
        variables = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

        def scaled_loss(weights):
            with _holding(variables[:3], (weights, others, slots)) as now:
                loss, logits = self._forward(images, masks, training=True)
                return self.optimizer.scale_loss(loss), (loss, logits, now()[1])

        gradients, (loss, logits, others) = jax.grad(scaled_loss, has_aux=True)(weights)
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        with _holding(variables, (weights, others, slots, metrics)) as now:
            self._update_averages()
            return self._measure(loss, masks, logits), now()

    def test_step(self, *args):
        """As `train_step`, without a gradient."""
        if keras.backend.backend() == "jax":
            state, batch = args
            variables = (
                self.trainable_variables,
                self.non_trainable_variables,
                self.metrics_variables,
            )
            with _holding(variables, state) as now:
                return self._test(*batch[:2]), now()
        return self._test(*args[0][:2])

    def _test(self, images, masks) -> dict[str, Any]:
        loss, logits = self._forward(images, masks, training=False)
        return self._measure(loss, masks, logits)

    def _forward(self, images, masks, training: bool):
        """Loss of a batch with its penalties, and the logits of the answer."""
        outputs = self(images, training=training)
        terms = [
            self.mask_loss(masks, outputs[name]) * self.output_weights[name] for name in self.output
        ]
        loss = sum(terms[1:], terms[0])
        if self.losses:  # the weight decay's, see optimizer.compile_model
            loss = ops.sum([loss, *self.losses])
        return loss, outputs["logits"]

    def _measure(self, loss, masks, logits) -> dict[str, Any]:
        """Takes a batch into the running metrics; returns their results by name."""
        labeled = ops.any(ops.not_equal(masks, IGNORE), (1, 2))  # others fill up a batch
        self.mean_loss.update_state(loss, sample_weight=ops.sum(ops.cast(labeled, "float32")))
        self.iou.update_state(masks, logits)
        return self.get_metrics_result()

    # -------------------------------------------------------------- averaged weights

    def average_weights(self, decay: float, every: int = 1) -> None:
        """From now on keeps an exponential moving average of every weight.

        After the optimizer's step t, from 0, average += (1 - d) x (weight - average) with
        d = min(decay, (1 + t) / (10 + t)), so that the fresh weights are soon forgotten. The moving
        means and variances of batch normalization are averaged like the weights they belong to.
        The averages are variables of the optimizer: checkpoints hold them, and both backends carry
        them through the compiled step.

        Args:
          decay: 0-1; 0.999 looks back over about a thousand steps.
          every: batches that make one step of the optimizer.

        Reference: Polyak & Juditsky 1992; the warm-up is that of TensorFlow's
        tf.train.ExponentialMovingAverage.
        """
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
            name=f"{weight.path.replace('/', '_')}_average",
        )
        average.assign(ops.copy(weight))  # JAX gives the buffers away in each step: share none
        return average

    def _update_averages(self) -> None:
        """Moves the averages towards the weights, after the last batch of the optimizer's step."""
        if not self._averages:
            return
        batches = ops.convert_to_tensor(self._batches.variable) + 1
        self._batches.variable.assign(batches)
        step = ops.cast(batches // self._every, "float32") - 1.0
        decay = ops.minimum(self._decay, (1.0 + step) / (10.0 + step))
        # Amid an accumulation nothing moves.
        decay = ops.where(ops.equal(batches % self._every, 0), decay, 1.0)
        for pair in self._averages:
            average = ops.convert_to_tensor(pair.average)
            pair.average.assign(
                average + (1.0 - decay) * (ops.cast(pair.weight, "float32") - average)
            )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model holds the averaged weights (where there are any); then its own again."""
        own = [ops.convert_to_numpy(pair.weight) for pair in self._averages]
        for pair in self._averages:
            pair.weight.assign(ops.copy(pair.average))  # see _add_average
        try:
            yield
        finally:
            for pair, value in zip(self._averages, own, strict=True):
                pair.weight.assign(value)

    # ------------------------------------------------------------- waiting for data

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


@contextmanager
def _holding(
    groups: Sequence[Sequence[keras.Variable]], values: Sequence[Sequence]
) -> Iterator[Callable[[], tuple[list, ...]]]:
    """Inside (on JAX), variables hold other values and can be assigned to; then their own again.

    Args:
      groups: of variables.
      values: one for each of them.

    Yields:
      A function that gives the values that they hold now.
    """
    pairs = [
        pair for group in zip(groups, values, strict=True) for pair in zip(*group, strict=True)
    ]
    with keras.StatelessScope(pairs) as scope:
        yield lambda: tuple([scope.get_current_value(v) for v in group] for group in groups)
