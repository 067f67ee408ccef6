"""What two or more networks share: convolutions padded as in the papers, resizing, pooling in bins.

Every layer that holds weights is named by the module path of the published state dict
("stage1.rebnconvin.conv_s1"), which is how `load_torch_weights` finds it. Tensors are
(B, H, W, C).
"""

import math
from functools import reduce

import keras
from keras import layers, ops

MOMENTUM = 0.9  # what PyTorch calls 0.1


def logits_dtype() -> str:
    """float32 also under a mixed policy: a bfloat16 logit has three digits, too few for a loss."""
    return keras.config.floatx()


def depthwise_dtype() -> str | None:
    """float32 in place of bfloat16 where TensorFlow runs on a CPU; else None, the policy's.

    In bfloat16 the two gradients of a depthwise convolution take twice as long there
    (benchmarks/training_step.py).
    """
    rounded = keras.config.dtype_policy().compute_dtype == "bfloat16"
    if not rounded or keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return None if tf.config.list_physical_devices("GPU") else "float32"


def conv(x, filters: int, kernel: int, name: str, *, stride=1, dilation=1, bias=False, **options):
    """A convolution with (kernel - 1) / 2 x dilation zeros on all sides, as PyTorch pads.

    'same' would pad an even image at the bottom and the right only when the stride is 2.

    Args:
      x: (B, H, W, C).
      filters: channels out.
      kernel: odd side of the kernel.
      name: published module path.
      stride: 1 or 2.
      dilation: spacing of the kernel's taps.
      bias: whether the layer has one.
      **options: further arguments of keras.layers.Conv2D.

    Returns:
      (B, ceil(H / stride), ceil(W / stride), filters).
    """
    options.setdefault("kernel_initializer", "he_normal")
    if stride > 1 and kernel > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2 * dilation)(x)
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(
        filters,
        kernel,
        stride,
        padding,
        dilation_rate=dilation,
        use_bias=bias,
        name=name,
        **options,
    )(x)


def depthwise(
    x, kernel: int, name: str, *, stride=1, dilation=1, multiplier=1, gain: float = math.sqrt(2)
):
    """A depthwise convolution without bias, padded like `conv`; (B, H', W', C x multiplier).

    Its weights start with a standard deviation of gain / sqrt(fan-in).
    """
    if stride > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2 * dilation)(x)
    # Keras would count all channels as fan-in, though each output sees one.
    initializer = keras.initializers.TruncatedNormal(stddev=gain / kernel)
    return layers.DepthwiseConv2D(
        kernel,
        stride,
        "same" if stride == 1 else "valid",
        depth_multiplier=multiplier,
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer=initializer,
        dtype=depthwise_dtype(),
        name=name,
    )(x)


@keras.saving.register_keras_serializable(package="skyseg_tf")
class BatchNormalization(layers.BatchNormalization):
    """Keras' batch normalization, trained through TensorFlow's fused kernel where there is one.

    Keras composes it from a dozen elementwise operations, which on a CPU cost more than the
    convolutions of U2-Net between them (benchmarks/training_step.py measures a training step with
    both). Inference and the other backends are Keras' own. The fused kernel keeps
    the unbiased variance for the moving average, as PyTorch does.
    """

    def call(self, inputs, training=None, mask=None):
        """(B, H, W, C) -> the same shape."""
        fused = (
            keras.backend.backend() == "tensorflow"
            and self.dtype_policy.variable_dtype == "float32"
        )
        if not (fused and training and self.trainable and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        x = ops.cast(inputs, self.compute_dtype)
        gamma, beta = (ops.convert_to_tensor(v.value) for v in (self.gamma, self.beta))
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, ops.cast(gamma, "float32"), ops.cast(beta, "float32"), epsilon=self.epsilon
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return y


def batch_norm(x, name: str, *, epsilon=1e-5, momentum=MOMENTUM):
    """Batch normalization with PyTorch's defaults (Keras: epsilon 1e-3, momentum 0.99)."""
    return BatchNormalization(momentum=momentum, epsilon=epsilon, name=name)(x)


def relu(x):
    """max(x, 0)."""
    return layers.ReLU()(x)


def conv_bn(x, filters: int, kernel: int, conv_name: str, bn_name: str, *, epsilon=1e-5, **options):
    """`conv` with its options and batch normalization, each with a published path of its own."""
    return batch_norm(conv(x, filters, kernel, conv_name, **options), bn_name, epsilon=epsilon)


def conv_bn_relu(x, filters: int, kernel: int, name: str, **options):
    """`conv_bn` and ReLU, where the two are `name`.conv and `name`.bn."""
    return relu(conv_bn(x, filters, kernel, f"{name}.conv", f"{name}.bn", **options))


@keras.saving.register_keras_serializable(package="skyseg_tf")
class Fork(layers.Layer):
    """Hands a tensor to several branches and adds their gradients in that order.

    TensorFlow adds three gradients in the order in which their buffers happen to be free (AddN,
    core/kernels/aggregate_ops.cc): the last bits of the sum change from run to run, and a training
    that is resumed ends with other weights. Two gradients commute.

    Args:
      branches: how many.
    """

    def __init__(self, branches: int, **kwargs):
        """Keeps the number; further arguments are those of keras.layers.Layer."""
        super().__init__(**kwargs)
        self.branches = branches

    def call(self, x, training=None):
        """(...) -> a list of the same tensor."""
        if not training or keras.backend.backend() != "tensorflow":
            return [x] * self.branches

        @ops.custom_gradient
        def split(x):
            return (x,) * self.branches, lambda *upstream: reduce(ops.add, upstream)

        return list(split(x))

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"branches": self.branches}


def fork(x, branches: int = 2) -> list:
    """The same tensor so many times: for one whose gradient would be a sum of more than two."""
    return Fork(branches)(x)


def interpolation_matrix(size_in, size_out, align_corners: bool, dtype: str):
    """The (out, in) matrix whose rows mix two neighbours: linear resizing along one axis.

    Positions are fractions of integers, so that the weights are exact to the last bit whatever
    the size; sizes may be tensors.

    Args:
      size_in: length of the axis before, int or scalar integer tensor.
      size_out: length after.
      align_corners: whether the first and last samples keep their places; otherwise pixels are
        areas and their outer edges do (half-pixel centres).
      dtype: of the result.

    Returns:
      (size_out, size_in), each row sums to 1.
    """
    target = ops.arange(size_out, dtype="int32")
    if align_corners:
        below = ops.cast(ops.maximum(size_out - 1, 1), "int32")
        above = target * (size_in - 1)
    else:
        below = 2 * size_out
        above = ops.clip((2 * target + 1) * size_in - size_out, 0, below * (size_in - 1))
    first = above // below
    fraction = ops.cast(above % below, dtype) / ops.cast(below, dtype)
    offset = ops.arange(size_in, dtype="int32")[None, :] - first[:, None]
    near, far = ops.cast(ops.equal(offset, 0), dtype), ops.cast(ops.equal(offset, 1), dtype)
    return near * (1 - fraction[:, None]) + far * fraction[:, None]


def apply_along_sides(x, rows, columns):
    """Multiplies the height axis by `rows` (H', H) and the width axis by `columns` (W', W)."""
    batch, height, width, channels = ops.shape(x)
    x = ops.matmul(rows, ops.reshape(x, (batch, height, width * channels)))
    x = ops.reshape(x, (batch * ops.shape(rows)[0], width, channels))
    x = ops.matmul(columns, x)
    return ops.reshape(x, (batch, ops.shape(rows)[0], ops.shape(columns)[0], channels))


def _resize(x, size, interpolation: str):
    if all(isinstance(n, int) for n in size):
        return ops.image.resize(x, size, interpolation=interpolation)
    # Only a TensorFlow graph knows unknown sizes, and the operation of Keras refuses them.
    import tensorflow as tf

    return tf.image.resize(x, size, interpolation)


@keras.saving.register_keras_serializable(package="skyseg_tf")
class ResizeLike(layers.Layer):
    """Resizes the first of two tensors to the height and width of the second.

    The second tensor gives only its shape, known or not when the model is built, so that one
    model takes images of any size.

    Args:
      interpolation: "bilinear" or "nearest" (half-pixel centres).
      align_corners: bilinear only; see `interpolation_matrix`.
    """

    def __init__(self, interpolation: str = "bilinear", align_corners: bool = False, **kwargs):
        """Keeps the two choices; further arguments are those of keras.layers.Layer."""
        super().__init__(**kwargs)
        self.interpolation = interpolation
        self.align_corners = align_corners

    def call(self, inputs):
        """(B, h, w, C) and (B, H, W, anything) to (B, H, W, C)."""
        x, like = inputs
        size_in, size = ops.shape(x)[1:3], ops.shape(like)[1:3]
        if all(isinstance(n, int) for n in size_in + size) and size_in == size:
            return x
        # tf.image.resize rounds float64 to float32 and knows no aligned corners.
        by_matrix = self.align_corners or self.compute_dtype == "float64"
        if self.interpolation == "bilinear" and by_matrix:
            dtype = keras.config.floatx()
            rows, columns = (
                interpolation_matrix(n_in, n, self.align_corners, dtype)
                for n_in, n in zip(size_in, size, strict=True)
            )
            resized = apply_along_sides(ops.cast(x, dtype), rows, columns)
        else:
            resized = _resize(x, size, self.interpolation)
        return ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """The first tensor's batch and channels, the second one's height and width."""
        first, like = input_shape
        return (first[0], like[1], like[2], first[3])

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {
            "interpolation": self.interpolation,
            "align_corners": self.align_corners,
        }


@keras.saving.register_keras_serializable(package="skyseg_tf")
class AveragePoolBins(layers.Layer):
    """Average over bins x bins areas that cover an image of any size (AdaptiveAvgPool2d).

    Where the bins do not divide the size, neighbours share a row or a column. The Keras layer of
    this kind wants the size when the model is built.

    Args:
      bins: height and width of the result.
    """

    def __init__(self, bins: int, **kwargs):
        """Keeps the number of bins; further arguments are those of keras.layers.Layer."""
        super().__init__(**kwargs)
        self.bins = bins

    def _matrix(self, size, dtype):
        """The (bins, size) matrix of means along one axis."""
        index = ops.arange(self.bins, dtype="int32")[:, None]
        start, stop = index * size // self.bins, ((index + 1) * size + self.bins - 1) // self.bins
        place = ops.arange(size, dtype="int32")[None, :]
        inside = ops.logical_and(place >= start, place < stop)
        return ops.cast(inside, dtype) / ops.cast(stop - start, dtype)

    def call(self, x):
        """(B, H, W, C) to (B, bins, bins, C)."""
        dtype = keras.config.floatx()  # sums of many bfloat16 would lose their ends
        rows, columns = (self._matrix(n, dtype) for n in ops.shape(x)[1:3])
        return ops.cast(apply_along_sides(ops.cast(x, dtype), rows, columns), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """(B, bins, bins, C)."""
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"bins": self.bins}


def max_pool3(x):
    """3x3 maximum with stride 2, padded by one on all sides; x must not be negative.

    After a ReLU a border of zeros cannot win, so it stands for PyTorch's border of -inf.
    """
    return layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))


def resize_like(x, like, interpolation="bilinear", align_corners=False, **options):
    """`ResizeLike` as a function: x at the height and width of `like`."""
    return ResizeLike(interpolation, align_corners, **options)([x, like])
