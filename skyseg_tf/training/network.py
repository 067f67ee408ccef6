"""The network of a training: built, given its start weights, and compiled."""

import keras

from skyseg_tf.data.rgb_stats import mean_and_std
from skyseg_tf.models import MODELS, build_model
from skyseg_tf.models.imagenet import load_imagenet
from skyseg_tf.runs.packaged import packaged_run
from skyseg_tf.training.batches import class_pixels
from skyseg_tf.training.checkpoints import load_initial_weights
from skyseg_tf.training.job import Job
from skyseg_tf.training.losses import class_weights, weighted_cross_entropy
from skyseg_tf.training.optimizer import compile_model
from skyseg_tf.training.step import TrainedModel


def start_network(
    job: Job,
    steps: int,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> TrainedModel:
    """The network with its start weights, optimizer, loss and averages.

    Args:
      job: what is trained.
      steps: batches of an epoch.
      schedule: learning rate by step, in place of the recipe's.
    """
    settings = job.settings
    network = build_network(job, settings.precision)
    _set_start_weights(job, network)
    loss = None
    if settings.class_weights:
        loss = weighted_cross_entropy(class_weights(class_pixels(settings, job.skipped)))
    return compile_model(
        network,
        job.recipe,
        steps=steps * settings.epochs,
        loss=loss,
        ema=settings.ema,
        accumulate=settings.accumulate,
        schedule=schedule,
        xla=settings.xla,
    )


def build_network(job: Job, precision: str) -> keras.Model:
    """The network with fresh weights, computing in `precision`."""
    model, options = job.settings.model, job.network_options
    keras.config.set_dtype_policy(precision)  # layers take the one that holds when they are made
    if MODELS[model].sequence:  # the others need not know the size, and then take any
        options["size"] = job.manifest.image_size
    return build_model(model, job.scheme.num_logits, **options)


def _set_start_weights(job: Job, network: keras.Model) -> None:
    """Gives a network the weights that the job starts from, and says so."""
    init = job.settings.init
    if job.start == "imagenet":
        origin = load_imagenet(network, *mean_and_std(job.manifest.rgb_stats))
        print(f"encoder of {origin}, trained on ImageNet", flush=True)
    elif job.start == "run":
        left = load_initial_weights(packaged_run(init) or init, network)
        print(f"weights of {init}; fresh: {', '.join(left) or 'none'}", flush=True)
