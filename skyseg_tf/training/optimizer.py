"""From a network to one that trains: optimizer, learning rate and losses as its recipe says."""

from collections.abc import Callable

import keras
from keras import ops

from skyseg_tf.models.networks import MODELS, Recipe
from skyseg_tf.training.losses import LOSSES
from skyseg_tf.training.step import TrainedModel


def _has_fused_updates() -> bool:
    """Whether TensorFlow updates a variable by one operation; on several devices Keras must."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.distribute.has_strategy()


class Adam(keras.optimizers.Adam):
    """Keras' Adam, on TensorFlow by one operation a variable instead of twenty, in half the time.

    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, with epsilon
      as in the text before its section 2.1, which is Keras' and TensorFlow's.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Moves a variable and its two moments."""
        if not _has_fused_updates():
            return super().update_step(gradient, variable, learning_rate)
        from tensorflow import raw_ops

        index = self._get_variable_index(variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=ops.cast(gradient, variable.dtype),
        )


class SGD(keras.optimizers.SGD):
    """Keras' SGD with a momentum of 0.9, on TensorFlow by one operation a variable."""

    def __init__(self, learning_rate, **options):
        """Further options are those of keras.optimizers.SGD."""
        super().__init__(learning_rate, momentum=0.9, **options)

    def update_step(self, gradient, variable, learning_rate):
        """Moves a variable and its momentum."""
        if not _has_fused_updates():
            return super().update_step(gradient, variable, learning_rate)
        from tensorflow import raw_ops

        raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].handle,
            lr=ops.cast(learning_rate, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
            momentum=self.momentum,
        )


OPTIMIZERS: dict[str, Callable] = {"adam": Adam, "sgd": SGD}


class WarmupPolynomial(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then (1 - step / steps) ** power.

    Args:
      learning_rate: the highest rate.
      steps: of the whole training.
      power: 0 keeps the rate after the warm-up.
      warmup_steps: at most a tenth of `steps` is used.
      accumulate: batches of a step. Keras hands a schedule the number of batches, also where the
        optimizer accumulates their gradients.
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        power: float,
        warmup_steps: int = 0,
        accumulate: int = 1,
    ):
        self.learning_rate, self.steps, self.power = learning_rate, steps, power
        self.accumulate = accumulate
        self.warmup_steps = min(warmup_steps, steps // 10)

    def __call__(self, step):
        """Rate at a batch, from 0."""
        step = ops.floor(ops.cast(step, "float32") / self.accumulate)
        rate = self.learning_rate * ops.maximum(1.0 - step / self.steps, 0.0) ** self.power
        if self.warmup_steps:
            rate = rate * ops.minimum((step + 1.0) / self.warmup_steps, 1.0)
        return rate

    def get_config(self) -> dict:
        """What Keras stores with a compiled model."""
        return {
            name: getattr(self, name)
            for name in ("learning_rate", "steps", "power", "warmup_steps", "accumulate")
        }


def compile_model(
    network: keras.Model,
    recipe: Recipe,
    *,
    steps: int,
    loss: Callable | None = None,
    ema: float = 0.0,
    accumulate: int = 1,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
    xla: bool = False,
) -> TrainedModel:
    """Gives a network its optimizer, penalty, the losses of all its outputs, and its IoU.

    Args:
      network: of models.build_model.
      recipe: its settings.
      steps: batches of the whole training, for the schedule.
      loss: a loss of (mask, logits) in place of the recipe's.
      ema: decay of averaged weights; 0 for none.
      accumulate: batches whose mean gradient makes one step of the optimizer.
      schedule: learning rate by the optimizer's step, in place of the recipe's.
      xla: whether TensorFlow compiles the step with XLA; JAX always does.

    Returns:
      What is to be trained, on batches of images and masks (B, H, W); it shares the network's
      layers.
    """
    _penalize_kernels(network, recipe.weight_decay)
    loss = loss or LOSSES[recipe.loss[0 if network.output["logits"].shape[-1] == 1 else 1]]
    model = TrainedModel(network, loss, MODELS[network.name].aux_weights)
    schedule = schedule or _schedule(recipe, steps, accumulate)
    batches = accumulate if accumulate > 1 else None  # Keras refuses 1
    optimizer = OPTIMIZERS[recipe.optimizer](schedule, gradient_accumulation_steps=batches)
    model.compile(optimizer, jit_compile=xla or keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)  # its variables take those of a checkpoint
    if ema:
        model.average_weights(ema, accumulate)
    return model


def _schedule(recipe: Recipe, steps: int, accumulate: int) -> WarmupPolynomial:
    updates = max(steps // accumulate, 1)
    return WarmupPolynomial(
        recipe.learning_rate, updates, recipe.power, recipe.warmup_steps, accumulate
    )


def _penalize_kernels(network: keras.Model, decay: float) -> None:
    for variable in network.trainable_variables if decay else ():
        if variable.name.endswith("kernel"):
            # Half: PyTorch adds decay x w to the gradient, and that of c x w^2 is 2 c w.
            variable.regularizer = keras.regularizers.L2(decay / 2)
