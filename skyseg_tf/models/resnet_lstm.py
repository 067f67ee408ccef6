"""ResNet-LSTM: a fully convolutional ResNet-18 with memory over the frames of a clip."""

from typing import Literal

import keras
import numpy as np
from keras import layers, ops

from skyseg_tf.errors import InputError
from skyseg_tf.models import blocks

MAX_LSTM_PARAMETERS = 400_000_000  # 1.6 GB, and Adam keeps three more of that
PREFIX = "resnet_lstm"


@keras.saving.register_keras_serializable(package="skyseg_tf")
class FoldFrames(layers.Layer):
    """Puts the frames of all clips into one batch: (B, T, H, W, C) to (B x T, H, W, C)."""

    def call(self, x):
        """Joins the first two axes."""
        return ops.reshape(x, (-1, *ops.shape(x)[2:]))

    def compute_output_shape(self, input_shape):
        """(None, H, W, C)."""
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable(package="skyseg_tf")
class UnfoldFrames(layers.Layer):
    """Undoes FoldFrames: (B x T, H, W, C) to (B, T, H, W, C).

    Args:
      frames: T.
    """

    def __init__(self, frames: int, **kwargs):
        """Keeps the clip's length; further arguments are those of keras.layers.Layer."""
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, x):
        """Splits the first axis."""
        return ops.reshape(x, (-1, self.frames, *ops.shape(x)[1:]))

    def compute_output_shape(self, input_shape):
        """(None, T, H, W, C)."""
        return (None, self.frames, *input_shape[1:])

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"frames": self.frames}


@keras.saving.register_keras_serializable(package="skyseg_tf")
class SumAndEnlarge(keras.initializers.Initializer):
    """A transposed convolution that starts as bilinear enlarging of the sum of its two halves.

    So begins a fully convolutional network: what the scores say reaches the output at full
    strength, where random kernels would first have to be unlearned.

    Args:
      stride: half the kernel's side, or the whole side: then pixels are repeated instead.
    """

    def __init__(self, stride: int):
        """Keeps the stride."""
        self.stride = stride

    def __call__(self, shape, dtype=None):
        """A kernel (k, k, C, 2 C): output class c from input classes c and C + c."""
        kernel, _, classes, _ = shape
        distance = np.abs(np.arange(kernel) - (kernel - 1) / 2)
        taps = np.ones(kernel) if kernel == self.stride else 1 - distance / self.stride
        pairs = np.hstack([np.eye(classes)] * 2)
        return ops.cast(np.multiply.outer(np.outer(taps, taps), pairs), dtype)

    def get_config(self):
        """The constructor's argument."""
        return {"stride": self.stride}


def basic_block(x, filters: int, name: str, stride: int):
    """Two 3x3 convolutions, the first with the stride, and a shortcut."""
    y = blocks.conv_bn(x, filters, 3, f"{name}.conv1", f"{name}.bn1", stride=stride)
    y = blocks.conv_bn(blocks.relu(y), filters, 3, f"{name}.conv2", f"{name}.bn2")
    if stride > 1:
        down = f"{name}.downsample"
        x = blocks.conv_bn(x, filters, 1, f"{down}.0", f"{down}.1", stride=stride)
    return blocks.relu(layers.Add()([y, x]))


def resnet18(x):
    """The features of layers 2, 3, 4: 128, 256, 512 channels at strides 8, 16, 32."""
    name = f"{PREFIX}.resnet18"
    x = blocks.relu(blocks.conv_bn(x, 64, 7, f"{name}.conv1", f"{name}.bn1", stride=2))
    x = blocks.max_pool3(x)  # (B, H/4, W/4, 64)
    stages = []
    for stage in range(1, 5):
        for index in range(2):
            stride = 2 if stage > 1 and index == 0 else 1
            x = basic_block(x, 32 * 2**stage, f"{name}.layer{stage}.{index}", stride)
        if stage in (2, 3):
            x, kept = blocks.fork(x)
            stages.append(kept)
    return [*stages, x]


def score(x, num_classes: int, name: str):
    """Two 1x1 convolutions with nothing between: class scores of one stage."""
    x = blocks.conv(x, x.shape[-1], 1, f"{name}.0", bias=True)
    return blocks.conv(x, num_classes, 1, f"{name}.1", bias=True)


def flat_lstm(scores, frames: int):
    """One LSTM over whole score maps, its last state: (B, T, h, w, C) to (B, h, w, C)."""
    _, _, height, width, channels = scores.shape
    x = layers.Permute((1, 4, 2, 3))(scores)  # channels first, as the published weights count
    x = layers.Reshape((frames, channels * height * width))(x)
    x = layers.LSTM(
        channels * height * width,
        recurrent_initializer="glorot_uniform",  # an orthogonal one takes minutes at this size
        name=f"{PREFIX}.lstm",
    )(x)
    return layers.Permute((2, 3, 1))(layers.Reshape((channels, height, width))(x))


def conv_lstm(scores, frames: int):
    """A 3x3 convolutional LSTM, its last state: (B, T, h, w, C) to (B, h, w, C).

    Unrolled, because keras.layers.ConvLSTM2D wants to know the height and width. Gates in the
    order input, forget, cell, output.
    """
    channels = scores.shape[-1]

    def gates(name, use_bias):
        return layers.Conv2D(
            4 * channels, 3, padding="same", use_bias=use_bias, name=f"{PREFIX}.convlstm.{name}"
        )

    from_input, from_state = gates("input", True), gates("state", False)
    sigmoid, tanh = layers.Activation("sigmoid"), layers.Activation("tanh")
    cell = state = None
    for time in range(frames):
        total = from_input(scores[:, time])
        if state is not None:
            total = layers.Add()([total, from_state(state)])
        i, f, g, o = ops.split(total, 4, axis=-1)
        update = layers.Multiply()([sigmoid(i), tanh(g)])
        kept = None if cell is None else layers.Multiply()([sigmoid(f), cell])
        cell = update if kept is None else layers.Add()([kept, update])
        state = layers.Multiply()([sigmoid(o), tanh(cell)])
    return state


def pyramid_pooling(x, num_classes: int):
    """The optional head: means over 1, 4, 9, 36 areas of the class scores, (B, H, W, C) to same."""
    x, *branches = blocks.fork(x, 5)
    views = [x]
    for index, bins in enumerate((1, 2, 3, 6)):
        view = blocks.conv(
            blocks.AveragePoolBins(bins)(branches[index]), 16, 1, f"psp.psp.{index}.1"
        )
        views.append(blocks.resize_like(blocks.relu(view), x))
    x = layers.Concatenate()(views)
    return blocks.conv(x, num_classes, 1, "psp.conv_last.0", bias=True, dtype=blocks.logits_dtype())


def decoder(memory, scores32, scores16, scores8, num_classes: int):
    """Adds finer scores while growing: (B, H/32, W/32, C) to (B, H, W, C)."""

    def grow(x, finer, kernel, stride, stage, **options):
        x = layers.Concatenate()([x, finer])
        name = f"{PREFIX}.deconv{stage}"
        options["kernel_initializer"] = SumAndEnlarge(stride)
        return layers.Conv2DTranspose(num_classes, kernel, stride, "same", name=name, **options)(x)

    x = grow(memory, scores32, 4, 2, 32)  # (B, H/16, W/16, C)
    x = grow(x, scores16, 4, 2, 16)  # (B, H/8, W/8, C)
    return grow(x, scores8, 8, 8, 8, dtype=blocks.logits_dtype())  # (B, H, W, C)


def resnet_lstm(
    num_classes: int,
    size: tuple[int | None, int | None],
    *,
    frames: int = 4,
    recurrent: Literal["flat", "conv"] = "flat",
    psp: bool = False,
) -> keras.Model:
    """Builds ResNet-18 with an LSTM: 40,611,517 published parameters for 19 classes at 224x448.

    27.7 million of them are the LSTM's, which grow with the square of classes x height x width.

    Args:
      num_classes: logit channels.
      size: (height, width), multiples of 32; None only with recurrent="conv".
      frames: clip length T.
      recurrent: "flat", an LSTM over whole score maps, or "conv", a convolutional LSTM whose
        parameters do not depend on the size.
      psp: whether a pyramid of pooled scores refines the result.

    Returns:
      A model from clips (B, T, H, W, 3) to {"logits": (B, H, W, num_classes)} of the last frame.

    Raises:
      InputError: an unknown recurrence, a flat one without size, or one too large to train.

    Reference:
      This project's network. The order in time is the clip's, each clip by itself; the published
      weights hold two bias vectors for the LSTM, of which Keras keeps the sum. recurrent="conv":
      Shi et al., "Convolutional LSTM Network", NeurIPS 2015, arXiv 1506.04214, without peepholes.
    """
    if recurrent not in ("flat", "conv"):
        raise InputError(f"{PREFIX}: recurrent '{recurrent}' is not possible: use 'flat' or 'conv'")
    if recurrent == "flat":
        _check_lstm(num_classes, size)
    clip = keras.Input((frames, *size, 3), name="clip")
    stage8, stage16, stage32 = resnet18(FoldFrames()(clip))
    scores32 = UnfoldFrames(frames)(score(stage32, num_classes, f"{PREFIX}.classifier32"))
    memory = (flat_lstm if recurrent == "flat" else conv_lstm)(scores32, frames)

    def last(x):
        return UnfoldFrames(frames)(x)[:, -1]

    logits = decoder(
        memory,
        scores32[:, -1],
        score(last(stage16), num_classes, f"{PREFIX}.classifier16"),
        score(last(stage8), num_classes, f"{PREFIX}.classifier8"),
        num_classes,
    )
    logits = pyramid_pooling(logits, num_classes) if psp else logits
    return keras.Model(clip, {"logits": logits}, name=PREFIX)


def _check_lstm(num_classes: int, size) -> None:
    if None in size:
        raise InputError(
            f"{PREFIX}: recurrent='flat' needs a size: give --image-size 256 512, or use 'conv'"
        )
    units = num_classes * size[0] * size[1] // 1024
    parameters = 4 * units * (2 * units + 1)
    if parameters > MAX_LSTM_PARAMETERS:
        raise InputError(
            f"{PREFIX}: the LSTM for {size[0]} x {size[1]} and {num_classes} classes would have "
            f"{parameters:,} parameters ({parameters * 4 / 1e9:.1f} GB; at most "
            f"{MAX_LSTM_PARAMETERS:,}): use a smaller --image-size or recurrent='conv'"
        )
