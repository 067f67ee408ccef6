"""The learning-rate finder: one short training whose rate rises until the loss explodes.

Reference: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3;
the smoothed curve and the steepest descent as suggestion are those of fastai's first finder, but
for the slope, which is a line through a decade of rates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from skyseg_tf.scoring import plots
from skyseg_tf.training.batches import make_batches
from skyseg_tf.training.devices import use_devices
from skyseg_tf.training.job import Job
from skyseg_tf.training.network import start_network

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
_SMOOTHING = 0.9
_EXPLODED = 4.0  # times the best loss


class RisingRate(keras.optimizers.schedules.LearningRateSchedule):
    """From `low` to `high` in equal factors.

    Args:
      low: at step 0.
      high: at the last step.
      steps: their number.
    """

    def __init__(self, low: float = LOWEST, high: float = HIGHEST, steps: int = STEPS):
        self.low, self.high, self.steps = low, high, steps

    def __call__(self, step):
        """Rate at a step, from 0."""
        share = ops.cast(step, "float32") / max(self.steps - 1, 1)
        return self.low * (self.high / self.low) ** share

    def get_config(self) -> dict:
        """What Keras stores with a compiled model."""
        return {"low": self.low, "high": self.high, "steps": self.steps}


def find_learning_rate(job: Job) -> Path:
    """Draws the loss over rising learning rates and says which one it suggests.

    Args:
      job: what is to be trained; nothing is written into its run.

    Returns:
      The plot, in `--plots`.
    """
    settings, rising = job.settings, RisingRate()
    with use_devices(settings.devices, settings.batch_size):
        keras.utils.set_random_seed(settings.seed)
        model = start_network(job.changed(ema=0.0, accumulate=1), 1, rising)
        curve = find_rate(
            model, make_batches(settings, job.scheme, job.skipped).train(0, 0), rising
        )
    figure = plot_rate_curve(curve, f"{job.title}, batches of {settings.batch_size}")
    path = settings.plots / f"{settings.model}_learning_rate.png"
    plots.save_figure(figure, path)
    print(f"--learning-rate {curve.suggested:.1e}: the loss falls fastest there; look at {path}")
    return path


@dataclass(frozen=True)
class RateCurve:
    """Loss by learning rate.

    Attributes:
      rates: (N,) rising.
      losses: (N,) of one batch each, before its step.
      smooth: (N,) exponential moving average of them, bias corrected.
      suggested: rate where a line through the losses of a decade around it falls most steeply,
        before the lowest point of `smooth`; that point where the curve is shorter than a decade.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    suggested: float


def find_rate(model: keras.Model, batches: Iterable, schedule: RisingRate) -> RateCurve:
    """Trains until the loss explodes or the schedule ends.

    Args:
      model: compiled with `schedule`; it is of no use afterwards.
      batches: of images and masks, at least one; they are repeated as often as is needed.
      schedule: the rising rate.
    """
    losses: list[float] = []
    for images, masks in islice(chain.from_iterable(repeat(batches)), schedule.steps):
        model.reset_metrics()  # the loss of this batch alone
        losses.append(model.train_on_batch(images, masks, return_dict=True)["loss"])
        smooth = smoothed(losses)
        if not smooth[-1] < _EXPLODED * smooth.min():  # NaN is not either
            break
    return rate_curve(np.array([float(schedule(i)) for i in range(len(losses))]), losses)


def smoothed(losses: Iterable[float]) -> np.ndarray:
    """(N,) exponential moving average, bias corrected as Adam's."""
    mean, values = 0.0, []
    for i, loss in enumerate(losses):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        values.append(mean / (1 - _SMOOTHING ** (i + 1)))
    return np.array(values)


def rate_curve(rates: np.ndarray, losses: Iterable[float]) -> RateCurve:
    """The curve with its suggestion.

    Args:
      rates: (N,) rising.
      losses: (N,), which may end in inf or NaN.
    """
    losses, smooth = np.asarray(losses, np.float64), smoothed(losses)
    lowest = int(np.nanargmin(np.where(np.isfinite(smooth), smooth, np.nan)))
    logs = np.log10(rates)
    half = 1
    while half < len(rates) - 1 and logs[half] - logs[0] < 0.5:
        half += 1
    # The slope of single steps would be the noise of single batches.
    slopes = {
        i: np.polyfit(logs[i - half : i + half + 1], losses[i - half : i + half + 1], 1)[0]
        for i in range(half, min(lowest + 1, len(rates) - half))
        if np.isfinite(losses[i - half : i + half + 1]).all()
    }
    steepest = min(slopes, key=slopes.__getitem__, default=lowest)
    return RateCurve(rates, losses, smooth, float(rates[steepest]))


def plot_rate_curve(curve: RateCurve, title: str) -> Figure:
    """Loss over learning rate, with the suggestion.

    Args:
      curve: see RateCurve.
      title: what was trained.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, ".", color="#9ecae1", label="each batch", ms=4)
    axes.plot(curve.rates, curve.smooth, color="#2c7fb8", label="smoothed")
    label = f"falls fastest: {curve.suggested:.1e}"
    axes.axvline(curve.suggested, color="#d95f0e", linestyle="--", label=label)
    axes.set_xscale("log")
    finite = curve.smooth[np.isfinite(curve.smooth)]
    axes.set_ylim(0.9 * finite.min(), 1.1 * max(finite[0], np.median(finite)) + 1e-6)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
