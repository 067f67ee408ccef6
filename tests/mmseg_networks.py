"""mmsegmentation's BiSeNetV2 and PSPNet as plain functions of its state dicts, to compare with."""

import numpy as np
import tensorflow as tf


class Checkpoint:
    """Makes up a parameter when it is first asked for, under mmsegmentation's name and shape."""

    def __init__(self, seed: int = 0):
        self.state, self._rng = {}, np.random.default_rng(seed)

    def _get(self, name: str, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        if name not in self.state:
            self.state[name] = self._rng.uniform(low, high, shape).astype(np.float32)
        assert self.state[name].shape == shape
        return self.state[name]

    def conv(self, x, filters, kernel, name, *, stride=1, dilation=1, groups=1, bias=False):
        """nn.Conv2d of (B, H, W, C); groups is 1 or C."""
        channels = x.shape[-1]
        scale = (6 / (channels // groups * kernel**2)) ** 0.5
        shape = (filters, channels // groups, kernel, kernel)
        weight = self._get(f"{name}.weight", shape, -scale, scale)
        pad = dilation * (kernel - 1) // 2
        x = tf.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        if groups == 1:
            x = tf.nn.conv2d(x, weight.transpose(2, 3, 1, 0), stride, "VALID", dilations=dilation)
        else:
            taps = weight.reshape(channels, -1, kernel, kernel).transpose(2, 3, 0, 1)
            x = tf.nn.depthwise_conv2d(x, taps, (1, stride, stride, 1), "VALID")
        return x + self._get(f"{name}.bias", (filters,), -0.1, 0.1) if bias else x

    def norm(self, x, name):
        """nn.BatchNorm2d at inference."""
        one = (x.shape[-1],)
        scale = self._get(f"{name}.weight", one, 0.8, 1.2)
        shift, mean = (self._get(f"{name}.{p}", one, -0.1, 0.1) for p in ("bias", "running_mean"))
        variance = self._get(f"{name}.running_var", one, 0.8, 1.2)
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

    def module(self, x, filters, kernel, name, *, relu=True, **options):
        """ConvModule with a normalization."""
        x = self.norm(self.conv(x, filters, kernel, f"{name}.conv", **options), f"{name}.bn")
        return tf.nn.relu(x) if relu else x

    def separable(self, x, filters, name, *, stride=1, normed=True):
        """DepthwiseSeparableConvModule without activations."""
        channels, depthwise = x.shape[-1], f"{name}.depthwise_conv"
        x = self.module(x, channels, 3, depthwise, relu=False, stride=stride, groups=channels)
        if normed:
            return self.module(x, filters, 1, f"{name}.pointwise_conv", relu=False)
        return self.conv(x, filters, 1, f"{name}.pointwise_conv.conv", bias=True)

    def fcn_head(self, x, channels, classes, name, convs):
        """FCNHead without concatenation."""
        for i in range(convs):
            x = self.module(x, channels, 3, f"{name}.convs.{i}")
        return self.conv(x, classes, 1, f"{name}.conv_seg", bias=True)


def resize(x, like):
    """F.interpolate, bilinear, corners not aligned."""
    return tf.image.resize(x, like.shape[1:3])


def pool(x, how):
    """MaxPool2d or AvgPool2d(3, 2, padding=1); the mean counts the padding."""
    fill = float("-inf") if how is tf.nn.max_pool2d else 0
    x = tf.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=fill)
    return how(x, 3, 2, "VALID")


def gather_expand(net: Checkpoint, x, filters, name, stride):
    """GELayer."""
    channels = x.shape[-1]
    y = net.module(x, channels, 3, f"{name}.conv1")
    wide = 6 * channels
    y = net.module(y, wide, 3, f"{name}.dwconv.0", stride=stride, groups=channels, relu=stride == 1)
    if stride == 2:
        y = net.module(y, wide, 3, f"{name}.dwconv.1", groups=wide)
        x = net.separable(x, filters, f"{name}.shortcut.0", stride=2)
    return tf.nn.relu(net.module(y, filters, 1, f"{name}.conv2.0", relu=False) + x)


def bisenetv2(net: Checkpoint, image, classes: int) -> dict:
    """Logits of all heads at the image's size."""
    detail = image
    for stage, (filters, count) in enumerate(((64, 2), (64, 3), (128, 3))):
        for i in range(count):
            name = f"backbone.detail.detail_branch.{stage}.{i}"
            detail = net.module(detail, filters, 3, name, stride=1 if i else 2)
    stem = "backbone.semantic.stage1"
    x = net.module(image, 16, 3, f"{stem}.conv_first", stride=2)
    left = net.module(x, 8, 1, f"{stem}.convs.0")
    left = net.module(left, 16, 3, f"{stem}.convs.1", stride=2)
    x = tf.concat([left, pool(x, tf.nn.max_pool2d)], -1)
    stages = [x := net.module(x, 16, 3, f"{stem}.fuse_last")]
    for stage, filters, count in ((2, 32, 2), (3, 64, 2), (4, 128, 4)):
        for i in range(count):
            name = f"backbone.semantic.stage{stage}.{i}"
            x = gather_expand(net, x, filters, name, 1 if i else 2)
        stages.append(x)
    gap = "backbone.semantic.stage4_CEBlock"
    mean = net.norm(tf.reduce_mean(x, (1, 2), keepdims=True), f"{gap}.gap.1")
    x = net.module(net.module(mean, 128, 1, f"{gap}.conv_gap") + x, 128, 3, f"{gap}.conv_last")
    bga = "backbone.bga"
    kept = net.separable(detail, 128, f"{bga}.detail_dwconv.0", normed=False)
    down = net.module(detail, 128, 3, f"{bga}.detail_down.0", stride=2, relu=False)
    down = pool(down, tf.nn.avg_pool2d)
    gate = net.module(x, 128, 3, f"{bga}.semantic_conv.0", relu=False)
    small_gate = net.separable(x, 128, f"{bga}.semantic_dwconv.0", normed=False)
    fused = kept * tf.sigmoid(resize(gate, kept))
    fused += resize(down * tf.sigmoid(small_gate), kept)
    fused = net.module(fused, 128, 3, f"{bga}.conv")
    outputs = {"logits": net.fcn_head(fused, 1024, classes, "decode_head", 1)}
    for i, (x, wide) in enumerate(zip(stages, (16, 64, 256, 1024), strict=True)):
        outputs[f"aux_{i + 1}"] = net.fcn_head(x, wide, classes, f"auxiliary_head.{i}", 2)
    return {key: resize(x, image) for key, x in outputs.items()}


def pspnet(net: Checkpoint, image, classes: int, blocks=(3, 4, 6, 3)) -> dict:
    """Logits of both heads at the image's size."""
    x = image
    for i, filters, stride in ((0, 32, 2), (3, 32, 1), (6, 64, 1)):
        x = net.conv(x, filters, 3, f"backbone.stem.{i}", stride=stride)
        x = tf.nn.relu(net.norm(x, f"backbone.stem.{i + 1}"))
    x, features = pool(x, tf.nn.max_pool2d), []
    for stage, count in enumerate(blocks, 1):
        for i in range(count):
            name, width = f"backbone.layer{stage}.{i}", 32 * 2**stage
            stride = 2 if (stage, i) == (2, 0) else 1
            dilation = {3: 2, 4: 4}.get(stage, 1) // (2 if i == 0 and stage > 2 else 1)
            y = tf.nn.relu(net.norm(net.conv(x, width, 1, f"{name}.conv1"), f"{name}.bn1"))
            y = net.conv(y, width, 3, f"{name}.conv2", stride=stride, dilation=dilation)
            y = net.conv(tf.nn.relu(net.norm(y, f"{name}.bn2")), 4 * width, 1, f"{name}.conv3")
            if i == 0:
                x = net.conv(x, 4 * width, 1, f"{name}.downsample.0", stride=stride)
                x = net.norm(x, f"{name}.downsample.1")
            x = tf.nn.relu(net.norm(y, f"{name}.bn3") + x)
        features.append(x)
    views = [x]
    for i, bins in enumerate((1, 2, 3, 6)):
        height, width = x.shape[1:3]
        rows = [(k * height // bins, -(-(k + 1) * height // bins)) for k in range(bins)]
        columns = [(k * width // bins, -(-(k + 1) * width // bins)) for k in range(bins)]
        means = [[tf.reduce_mean(x[:, a:b, c:d], (1, 2)) for c, d in columns] for a, b in rows]
        pooled = tf.stack([tf.stack(row, 1) for row in means], 1)
        views.append(resize(net.module(pooled, 512, 1, f"decode_head.psp_modules.{i}.1"), x))
    y = net.module(tf.concat(views, -1), 512, 3, "decode_head.bottleneck")
    outputs = {
        "logits": net.conv(y, classes, 1, "decode_head.conv_seg", bias=True),
        "aux_1": net.fcn_head(features[2], 256, classes, "auxiliary_head", 1),
    }
    return {key: resize(x, image) for key, x in outputs.items()}
