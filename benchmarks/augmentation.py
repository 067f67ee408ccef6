"""CPU time of the augmentation per picture: each effect, each preset, and Keras' layers beside them.

    python benchmarks/augmentation.py [--size 144 192] [--pictures 150]

Every effect runs in each picture, at the middle of the range that the preset `default` draws from;
presets run it in their share of the pictures. All run in tf.data, a picture at a time, as in a
training, and the time is that of all threads (getrusage), so other work on the machine counts
little. Time spent in reading and writing a picture without any effect is taken off.

The peer is keras.layers, the preprocessing layers that come with Keras: the same effects at the
same strengths, as far as it has them.
"""

import argparse
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package of this repository, not another's

from skyseg_tf.console.dependencies import import_tensorflow_quietly

import_tensorflow_quietly()

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from skyseg_tf.data.augment.camera import make_augment
from skyseg_tf.data.augment.mixing import make_mix
from skyseg_tf.data.augment.presets import AUGMENTATIONS
from skyseg_tf.data.augment.settings import Augmentation, Classes, Range
from skyseg_tf.data.drawing.scenes import draw_scene
from skyseg_tf.labels import LABEL_ID

DEFAULT = AUGMENTATIONS["default"]
BATCH = 8
# What each setting is at the middle of its range; the geometry of others is Keras' own call.
PEERS: dict[str, Callable[[], list[layers.Layer]]] = {
    "flip": lambda: [layers.RandomFlip("horizontal")],
    "scales": lambda: [layers.RandomZoom((-0.2, -0.2), fill_mode="constant")],
    "angle": lambda: [layers.RandomRotation((5 / 360, 5 / 360), fill_mode="constant")],
    "perspective": lambda: [layers.RandomPerspective(1.0, 0.1)],
    "contrast": lambda: [layers.RandomContrast(0.3)],
    "brightness": lambda: [layers.RandomBrightness(0.08)],
    "saturation": lambda: [layers.RandomSaturation((0.25, 0.75))],
    "hue": lambda: [layers.RandomHue(0.03)],
    "defocus": lambda: [layers.RandomGaussianBlur(1.0, 5, (0.7, 0.7))],
}
PEERS["all of these"] = lambda: [layer for make in list(PEERS.values())[:-1] for layer in make()]


def alone(name: str) -> Augmentation:
    """One effect, in every picture, at the middle of its range."""
    value = getattr(DEFAULT, name)
    if not isinstance(value, Range):
        return Augmentation(**{name: 1.0})
    middle = np.sqrt(value.low * value.high) if name == "scales" else (value.low + value.high) / 2
    middle = value.high if name in ("angle", "perspective", "hue", "brightness") else float(middle)
    return Augmentation(**{name: Range(middle, middle)})


def cpu_ms(change: Callable, pairs: list, count: int, batched: bool = False) -> float:
    """Milliseconds of CPU per picture of a stream (image, mask, number) -> (image, mask)."""
    images, masks = (tf.constant(np.stack(part)) for part in zip(*pairs, strict=True))

    def one(number):
        at = number % len(pairs)
        return tf.cast(images[at], tf.float32), masks[at], number

    stream = tf.data.Dataset.range(1 << 30).map(one, num_parallel_calls=2)
    if batched:
        stream = stream.batch(BATCH)
    stream = stream.map(lambda i, m, n: change(i, m, n), num_parallel_calls=2)
    options = tf.data.Options()
    options.autotune.enabled = False
    numbers = iter(stream.with_options(options))
    steps, begun = max(1, count // (BATCH if batched else 1)), None
    for step in range(steps + 4):
        if step == 4:  # the first ones start the machinery
            begun = used()
        next(numbers)
    return 1e3 * (used() - begun) / (steps * (BATCH if batched else 1))


def used() -> float:
    """Seconds of CPU of this process so far, of all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ours(settings: Augmentation) -> Callable:
    """(image, mask, number) -> (image, mask) by these settings."""
    augment = make_augment(settings, Classes(sky=1))
    return lambda image, mask, number: augment(
        image, mask, tf.stack([7, tf.cast(number, tf.int32)])
    )


def mixed(chance: float, images, masks, numbers):
    """The part that works on batches."""
    mix = make_mix(Augmentation(mix_skies=chance), 1)
    return mix(images, masks, tf.stack([7, tf.cast(numbers[0], tf.int32)]))


def keras_layers(made: list[layers.Layer]) -> Callable:
    """The same by layers of Keras, each of which draws for itself; the mask is one-hot encoded."""

    def change(image, mask, number):
        pair = {"images": image, "segmentation_masks": mask[..., None]}
        for layer in made:
            pair = layer(pair, training=True)
        return pair["images"], pair["segmentation_masks"]

    return change


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(144, 192))
    parser.add_argument("--pictures", type=int, default=150)
    args = parser.parse_args()
    scenes = [draw_scene(seed, tuple(args.size)) for seed in range(4)]
    pairs = [(s.image, (s.label_ids == LABEL_ID["sky"]).astype(np.uint8)) for s in scenes]
    measure = partial(cpu_ms, pairs=pairs, count=args.pictures)
    nothing = measure(lambda image, mask, number: (image, mask))
    print(f"CPU ms per picture of {args.size[0]}x{args.size[1]}, beyond {nothing:.2f} for none")
    names = [name for name in vars(DEFAULT) if name != "mix_skies"]
    print(f"\n{'effect alone, in every picture':<34}{'ours':>8}{'Keras':>8}")
    base = Augmentation(flip=0.5)
    first = measure(ours(base)) - nothing
    print(f"{'draws, warp and colors, always there':<34}{first:>8.2f}{'':>8}")
    for name in names:
        own = measure(ours(alone(name))) - nothing
        peer = keras_ms(name, measure, nothing)
        print(f"{name:<34}{own:>8.2f}{peer:>8}", flush=True)
    options = {"pairs": pairs, "count": args.pictures, "batched": True}
    own = cpu_ms(partial(mixed, 1.0), **options) - nothing
    print(f"{'mix_skies':<34}{own:>8.2f}{'':>8}")
    print(f"{'all that Keras has':<34}{'':>8}{keras_ms('all of these', measure, nothing):>8}")
    print(f"\n{'preset':<34}{'ours':>8}")
    for preset in ("light", "geometric", "default", "strong"):
        own = measure(ours(AUGMENTATIONS[preset])) - nothing
        chance = AUGMENTATIONS[preset].mix_skies
        batch = cpu_ms(partial(mixed, chance), **options) - nothing if chance else 0.0
        print(f"{preset:<34}{own + batch:>8.2f}   of it mix_skies {batch:.2f}", flush=True)


def keras_ms(name: str, measure: Callable, nothing: float) -> str:
    """Of the layers of Keras; empty where it has none."""
    if name not in PEERS:
        return ""
    keras.utils.set_random_seed(0)
    return f"{measure(keras_layers(PEERS[name]())) - nothing:.2f}"


if __name__ == "__main__":
    main()
