"""The published PyTorch networks, written anew from their descriptions, and their outputs.

Run by hand where torch is installed, never by the tests:
    python tests/references/torch_networks.py            writes <network>.npz beside this file
    python tests/references/torch_networks.py pspnet     only this one

An .npz holds: names and shapes of the state dict; norms and exponents, see seeded.py; the sizes
of the inputs; and for input i the float64 outputs "i:logits", "i:aux_1", ... at sampled pixels,
with "i:logits:noise" etc., the largest difference of PyTorch's own float32 run.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from seeded import sample, seeded_input, seeded_state
from torch import nn


def conv(cin, cout, k=3, stride=1, dilation=1, groups=1, bias=False):
    return nn.Conv2d(cin, cout, k, stride, (k - 1) // 2 * dilation, dilation, groups, bias)


def resize(x, like, mode="bilinear", align_corners=False):
    flag = {} if mode == "nearest" else {"align_corners": align_corners}
    return F.interpolate(x, size=like.shape[2:], mode=mode, **flag)


class Named(nn.Module):
    """A convolution and its normalization under the names `conv` and `bn`, then ReLU."""

    def __init__(self, cin, cout, k=3, stride=1, eps=1e-5):
        super().__init__()
        self.conv, self.bn = conv(cin, cout, k, stride), nn.BatchNorm2d(cout, eps)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


# --------------------------------------------------------------------------- skynet


class SkyNet(nn.Module):
    def __init__(self, classes=1):
        super().__init__()

        def double(cin, c):
            pair = conv(cin, c, bias=True), nn.ReLU(), conv(c, c, bias=True), nn.ReLU()
            return nn.Sequential(*pair)

        self.conv1, self.conv2, self.bottleneck = double(3, 64), double(64, 128), double(128, 256)
        self.upsample1, self.conv3 = nn.ConvTranspose2d(256, 128, 2, 2), double(256, 128)
        self.upsample2, self.conv4 = nn.ConvTranspose2d(128, 64, 2, 2), double(128, 64)
        self.outputConv = nn.Conv2d(64, classes, 1)

    def forward(self, x):
        a = self.conv1(x)
        b = self.conv2(F.max_pool2d(a, 2))
        x = self.bottleneck(F.max_pool2d(b, 2))
        x = self.conv3(torch.cat([self.upsample1(x), b], 1))
        x = self.conv4(torch.cat([self.upsample2(x), a], 1))
        return [self.outputConv(x)]


# --------------------------------------------------------------------------- U2-Net


class Rebnconv(nn.Module):
    def __init__(self, cin, cout, dilation=1):
        super().__init__()
        self.conv_s1 = conv(cin, cout, dilation=dilation, bias=True)
        self.bn_s1 = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn_s1(self.conv_s1(x)))


class Rsu(nn.Module):
    """Depth 7, 6, 5, 4 with pooling; depth 0 is the dilated block of four."""

    def __init__(self, depth, cin, mid, cout):
        super().__init__()
        self.pools, self.depth = depth > 0, depth or 4
        rates = [1] * (depth - 1) + [2] if depth else [1, 2, 4, 8]
        self.rebnconvin = Rebnconv(cin, cout)
        for i, rate in enumerate(rates, 1):
            setattr(self, f"rebnconv{i}", Rebnconv(cout if i == 1 else mid, mid, rate))
        for i in range(self.depth - 1, 0, -1):
            block = Rebnconv(2 * mid, mid if i > 1 else cout, rates[i - 1])
            setattr(self, f"rebnconv{i}d", block)

    def forward(self, x):
        start = self.rebnconvin(x)
        maps = [self.rebnconv1(start)]
        for i in range(2, self.depth + 1):
            y = maps[-1]
            if self.pools and i < self.depth:
                y = F.max_pool2d(y, 2, 2, ceil_mode=True)
            maps.append(getattr(self, f"rebnconv{i}")(y))
        y = maps.pop()
        for i in range(self.depth - 1, 0, -1):
            skip = maps[i - 1]
            y = y if y.shape == skip.shape else resize(y, skip)
            y = getattr(self, f"rebnconv{i}d")(torch.cat([y, skip], 1))
        return y + start


class U2Net(nn.Module):
    def __init__(self, small, classes=1):
        super().__init__()
        depths = [7, 6, 5, 4, 0, 0]
        mid = [16] * 6 if small else [32, 32, 64, 128, 256, 256]
        out = [64] * 6 if small else [64, 128, 256, 512, 512, 512]
        down = [64] * 5 if small else [64, 64, 128, 256, 512]
        mid_down = [16] * 5 if small else [16, 32, 64, 128, 256]
        for i in range(6):
            setattr(self, f"stage{i + 1}", Rsu(depths[i], out[i - 1] if i else 3, mid[i], out[i]))
        for i in range(4, -1, -1):
            below = out[5] if i == 4 else down[i + 1]
            block = Rsu(depths[i], below + out[i], mid_down[i], down[i])
            setattr(self, f"stage{i + 1}d", block)
        for i, c in enumerate([*down, out[5]], 1):
            setattr(self, f"side{i}", conv(c, classes, bias=True))
        self.outconv = nn.Conv2d(6 * classes, classes, 1)

    def forward(self, x):
        skips = [self.stage1(x)]
        for i in range(2, 7):
            pooled = F.max_pool2d(skips[-1], 2, 2, ceil_mode=True)
            skips.append(getattr(self, f"stage{i}")(pooled))
        y = skips[5]
        sides = [self.side6(y)]
        for i in range(5, 0, -1):
            y = torch.cat([resize(y, skips[i - 1]), skips[i - 1]], 1)
            y = getattr(self, f"stage{i}d")(y)
            sides.insert(0, getattr(self, f"side{i}")(y))
        sides = [resize(side, x) for side in sides]
        return [self.outconv(torch.cat(sides, 1)), *sides]


# --------------------------------------------------------------------------- DeepLabV3+


class Sep(nn.Module):
    def __init__(self, cin, cout, stride=1, rate=1, inside=True, eps=1e-5):
        super().__init__()
        self.inside = inside
        self.depthwise = conv(cin, cin, 3, stride, rate, groups=cin)
        self.depthwise_BN = nn.BatchNorm2d(cin, eps)
        self.pointwise, self.pointwise_BN = conv(cin, cout, 1), nn.BatchNorm2d(cout, eps)

    def forward(self, x):
        if not self.inside:
            return self.pointwise_BN(self.pointwise(self.depthwise_BN(self.depthwise(F.relu(x)))))
        x = F.relu(self.depthwise_BN(self.depthwise(x)))
        return F.relu(self.pointwise_BN(self.pointwise(x)))


class XBlock(nn.Module):
    def __init__(self, cin, widths, stride=1, rate=1, skip="conv", inside=False):
        super().__init__()
        self.skip = skip
        self.sep = nn.ModuleList()
        for i, (a, b) in enumerate(zip([cin, *widths], widths, strict=False)):
            self.sep.append(Sep(a, b, stride if i == 2 else 1, rate, inside, 1e-3))
        if skip == "conv":
            self.shortcut = conv(cin, widths[2], 1, stride)
            self.shortcut_BN = nn.BatchNorm2d(widths[2], 1e-3)

    def forward(self, x):
        second = self.sep[1](self.sep[0](x))
        y = self.sep[2](second)
        if self.skip == "conv":
            y = y + self.shortcut_BN(self.shortcut(x))
        return (y + x if self.skip == "sum" else y), second


class DeepLab(nn.Module):
    def __init__(self, classes=19, output_stride=16):
        super().__init__()
        r = 16 // output_stride
        self.conv1_1, self.conv1_2 = Named(3, 32, 3, 2, 1e-3), Named(32, 64, eps=1e-3)
        self.entry1 = XBlock(64, [128] * 3, 2)
        self.entry2 = XBlock(128, [256] * 3, 2)
        self.entry3 = XBlock(256, [728] * 3, 2 // r)
        self.middle = nn.ModuleList(XBlock(728, [728] * 3, 1, r, "sum") for _ in range(16))
        self.exit1 = XBlock(728, [728, 1024, 1024], 1, r)
        self.exit2 = XBlock(1024, [1536, 1536, 2048], 1, 2 * r, "none", inside=True)
        self.image_pooling, self.aspp0 = Named(2048, 256, 1), Named(2048, 256, 1)
        self.aspp1, self.aspp2, self.aspp3 = (Sep(2048, 256, 1, k * r) for k in (6, 12, 18))
        self.concat_projection = Named(1280, 256, 1)
        self.feature_projection0 = Named(256, 48, 1)
        self.decoder_conv0, self.decoder_conv1 = Sep(304, 256), Sep(256, 256)
        self.logits = nn.Conv2d(256, classes, 1)

    def forward(self, image):
        x, _ = self.entry1(self.conv1_2(self.conv1_1(image)))
        x, low = self.entry2(x)
        x, _ = self.entry3(x)
        for block in self.middle:
            x, _ = block(x)
        x, _ = self.exit2(self.exit1(x)[0])
        views = [self.image_pooling(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])]
        views += [view(x) for view in (self.aspp0, self.aspp1, self.aspp2, self.aspp3)]
        x = self.concat_projection(torch.cat(views, 1))
        low = self.feature_projection0(low)
        x = torch.cat([resize(x, low, align_corners=True), low], 1)
        x = self.logits(self.decoder_conv1(self.decoder_conv0(x)))
        return [resize(x, image, align_corners=True)]


# --------------------------------------------------------------------------- BiSeNetV2


def seq(*modules):
    return nn.Sequential(*modules)


def dw(cin, cout, stride=1):
    return conv(cin, cout, 3, stride, groups=cin), nn.BatchNorm2d(cout)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = Named(3, 16, 3, 2)
        self.left = seq(Named(16, 8, 1), Named(8, 16, 3, 2))
        self.fuse = Named(32, 16)

    def forward(self, x):
        x = self.conv(x)
        return self.fuse(torch.cat([self.left(x), F.max_pool2d(x, 3, 2, 1)], 1))


class Gather(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = Named(cin, cin)
        if stride == 1:
            self.dwconv = seq(*dw(cin, 6 * cin), nn.ReLU())
        else:
            self.dwconv1 = seq(*dw(cin, 6 * cin, 2))
            self.dwconv2 = seq(*dw(6 * cin, 6 * cin), nn.ReLU())
            self.shortcut = seq(*dw(cin, cin, 2), conv(cin, cout, 1), nn.BatchNorm2d(cout))
        self.conv2 = seq(conv(6 * cin, cout, 1), nn.BatchNorm2d(cout))
        self.stride = stride

    def forward(self, x):
        y = self.conv1(x)
        y = self.dwconv(y) if self.stride == 1 else self.dwconv2(self.dwconv1(y))
        return F.relu(self.conv2(y) + (x if self.stride == 1 else self.shortcut(x)))


class Context(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn, self.conv_gap, self.conv_last = (
            nn.BatchNorm2d(128),
            Named(128, 128, 1),
            Named(128, 128),
        )

    def forward(self, x):
        return self.conv_last(self.conv_gap(self.bn(x.mean((2, 3), keepdim=True))) + x)


class Fusion(nn.Module):
    def __init__(self, c=128):
        super().__init__()
        self.left1 = seq(*dw(c, c), conv(c, c, 1))
        self.left2 = seq(conv(c, c, 3, 2), nn.BatchNorm2d(c), nn.AvgPool2d(3, 2, 1))
        self.right1 = seq(conv(c, c), nn.BatchNorm2d(c))
        self.right2 = seq(*dw(c, c), conv(c, c, 1))
        self.conv = seq(conv(c, c), nn.BatchNorm2d(c), nn.ReLU())

    def forward(self, detail, semantic):
        up = nn.Upsample(scale_factor=4)
        left = self.left1(detail) * torch.sigmoid(up(self.right1(semantic)))
        right = self.left2(detail) * torch.sigmoid(self.right2(semantic))
        return self.conv(left + up(right))


class Head(nn.Module):
    def __init__(self, cin, mid, classes, up, aux):
        super().__init__()
        self.conv = Named(cin, mid)
        inner = seq(nn.Upsample(scale_factor=2), Named(mid, up * up)) if aux else nn.Identity()
        self.conv_out = seq(
            inner,
            nn.Conv2d(up * up if aux else mid, classes, 1),
            nn.Upsample(scale_factor=up // 2 if aux else up, mode="bilinear"),
        )

    def forward(self, x):
        return self.conv_out(self.conv(x))


class BiSeNetV2(nn.Module):
    def __init__(self, classes=19):
        super().__init__()
        self.detail, self.segment, self.bga = nn.Module(), nn.Module(), Fusion()
        self.detail.S1 = seq(Named(3, 64, 3, 2), Named(64, 64))
        self.detail.S2 = seq(Named(64, 64, 3, 2), Named(64, 64), Named(64, 64))
        self.detail.S3 = seq(Named(64, 128, 3, 2), Named(128, 128), Named(128, 128))
        self.segment.S1S2 = Stem()
        self.segment.S3 = seq(Gather(16, 32, 2), Gather(32, 32, 1))
        self.segment.S4 = seq(Gather(32, 64, 2), Gather(64, 64, 1))
        rest = [Gather(128, 128, 1) for _ in range(3)]
        self.segment.S5_4, self.segment.S5_5 = seq(Gather(64, 128, 2), *rest), Context()
        self.head = Head(128, 1024, classes, 8, aux=False)
        self.aux2, self.aux3 = Head(16, 128, classes, 4, True), Head(32, 128, classes, 8, True)
        self.aux4, self.aux5_4 = Head(64, 128, classes, 16, True), Head(128, 128, classes, 32, True)

    def forward(self, x):
        detail = self.detail.S3(self.detail.S2(self.detail.S1(x)))
        s2 = self.segment.S1S2(x)
        s3 = self.segment.S3(s2)
        s4 = self.segment.S4(s3)
        s5 = self.segment.S5_4(s4)
        fused = self.bga(detail, self.segment.S5_5(s5))
        return [self.head(fused), self.aux2(s2), self.aux3(s3), self.aux4(s4), self.aux5_4(s5)]


# --------------------------------------------------------------------------- PSPNet


class Bottleneck(nn.Module):
    def __init__(self, cin, width, stride=1, dilation=1, first=False):
        super().__init__()
        self.conv1, self.bn1 = conv(cin, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        if first:
            self.downsample = seq(conv(cin, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.ModuleList(
            seq(nn.AdaptiveAvgPool2d(n), conv(2048, 512, 1), nn.BatchNorm2d(512), nn.ReLU())
            for n in (1, 2, 3, 6)
        )

    def forward(self, x):
        return torch.cat([x] + [resize(f(x), x, align_corners=True) for f in self.features], 1)


class PSPNet(nn.Module):
    def __init__(self, depth=50, classes=19):
        super().__init__()
        stem = []
        for cin, cout, stride in ((3, 64, 2), (64, 64, 1), (64, 128, 1)):
            stem += [conv(cin, cout, 3, stride), nn.BatchNorm2d(cout), nn.ReLU()]
        self.layer0 = seq(*stem, nn.MaxPool2d(3, 2, 1))
        cin = 128
        repeats = (3, 4, 6 if depth == 50 else 23, 3)
        for stage, (n, stride, rate) in enumerate(
            zip(repeats, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)
        ):
            width = 64 * 2**stage
            first = Bottleneck(cin, width, stride, rate, first=True)
            cin = 4 * width
            rest = [Bottleneck(cin, width, 1, rate) for _ in range(n - 1)]
            setattr(self, f"layer{stage + 1}", seq(first, *rest))
        self.ppm = Pyramid()

        def head(c, mid):
            parts = conv(c, mid), nn.BatchNorm2d(mid), nn.ReLU(), nn.Dropout2d(0.1)
            return seq(*parts, nn.Conv2d(mid, classes, 1))

        self.cls, self.aux = head(4096, 512), head(1024, 256)

    def forward(self, x):
        middle = self.layer3(self.layer2(self.layer1(self.layer0(x))))
        y = self.cls(self.ppm(self.layer4(middle)))
        return [resize(y, x, align_corners=True), resize(self.aux(middle), x, align_corners=True)]


# --------------------------------------------------------------------------- ResNet-LSTM


class Basic(nn.Module):
    def __init__(self, cin, c, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(cin, c, 3, stride), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = conv(c, c), nn.BatchNorm2d(c)
        if stride > 1:
            self.downsample = seq(conv(cin, c, 1, stride), nn.BatchNorm2d(c))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        for i, c in enumerate((64, 128, 256, 512), 1):
            cin, stride = (64, 1) if i == 1 else (c // 2, 2)
            setattr(self, f"layer{i}", seq(Basic(cin, c, stride), Basic(c, c, 1)))
        self.fc = nn.Linear(512, 1000)  # published, never run

    def forward(self, x):
        x = self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1))
        x8 = self.layer2(x)
        x16 = self.layer3(x8)
        return x8, x16, self.layer4(x16)


class Recurrent(nn.Module):
    def __init__(self, classes, height, width):
        super().__init__()

        def score(c):
            return seq(nn.Conv2d(c, c, 1), nn.Conv2d(c, classes, 1))

        self.resnet18 = ResNet18()
        self.classifier32, self.classifier16, self.classifier8 = score(512), score(256), score(128)
        self.deconv = nn.ConvTranspose2d(2 * classes, classes, 32, 32)  # published, never run
        self.deconv32 = nn.ConvTranspose2d(2 * classes, classes, 4, 2, 1)
        self.deconv16 = nn.ConvTranspose2d(2 * classes, classes, 4, 2, 1)
        self.deconv8 = nn.ConvTranspose2d(2 * classes, classes, 8, 8)
        units = classes * height * width // 1024
        self.lstm = nn.LSTM(units, units, batch_first=True)

    def forward(self, clip):  # (B, T, 3, H, W)
        batch, frames = clip.shape[:2]
        x8, x16, x32 = (x.unflatten(0, (batch, frames)) for x in self.resnet18(clip.flatten(0, 1)))
        scores = self.classifier32(x32.flatten(0, 1)).unflatten(0, (batch, frames))
        last = scores[:, -1]
        memory = self.lstm(scores.flatten(2))[0][:, -1].reshape(last.shape)
        x = self.deconv32(torch.cat([memory, last], 1))
        x = self.deconv16(torch.cat([x, self.classifier16(x16[:, -1])], 1))
        return self.deconv8(torch.cat([x, self.classifier8(x8[:, -1])], 1))


class ScorePyramid(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.psp = nn.ModuleList(
            seq(nn.AdaptiveAvgPool2d(n), conv(classes, 16, 1), nn.ReLU()) for n in (1, 2, 3, 6)
        )
        self.conv_last = seq(nn.Conv2d(classes + 64, classes, 1))

    def forward(self, x):
        return self.conv_last(torch.cat([x] + [resize(view(x), x) for view in self.psp], 1))


class ResNetLstm(nn.Module):
    def __init__(self, classes, height, width, psp):
        super().__init__()
        self.resnet_lstm = Recurrent(classes, height, width)
        if psp:
            self.psp = ScorePyramid(classes)

    def forward(self, clip):
        x = self.resnet_lstm(clip)
        return [self.psp(x) if hasattr(self, "psp") else x]


# --------------------------------------------------------------------------- U-Net EfficientNet-B2


class Squeeze(nn.Module):
    def __init__(self, c, reduced):
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(c, reduced, 1), nn.Conv2d(reduced, c, 1)

    def forward(self, x):
        gate = F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.conv_expand(gate))


class MBConv(nn.Module):
    def __init__(self, cin, cout, k, stride, expand):
        super().__init__()
        mid = cin * expand
        if expand > 1:
            self.conv_pw, self.bn1 = conv(cin, mid, 1), nn.BatchNorm2d(mid)
            self.conv_dw, self.bn2 = conv(mid, mid, k, stride, groups=mid), nn.BatchNorm2d(mid)
            self.conv_pwl, self.bn3 = conv(mid, cout, 1), nn.BatchNorm2d(cout)
        else:
            self.conv_dw, self.bn1 = conv(cin, cin, k, stride, groups=cin), nn.BatchNorm2d(cin)
            self.conv_pw, self.bn2 = conv(cin, cout, 1), nn.BatchNorm2d(cout)
        self.se = Squeeze(mid, cin // 4)
        self.residual, self.expands = stride == 1 and cin == cout, expand > 1

    def forward(self, x):
        if self.expands:
            y = F.silu(self.bn2(self.conv_dw(F.silu(self.bn1(self.conv_pw(x))))))
            y = self.bn3(self.conv_pwl(self.se(y)))
        else:
            y = self.bn2(self.conv_pw(self.se(F.silu(self.bn1(self.conv_dw(x))))))
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        self.blocks, cin = nn.ModuleList(), 32
        repeats, kernels = (2, 3, 3, 4, 4, 5, 2), (3, 3, 5, 3, 5, 5, 3)
        strides, widths = (1, 2, 2, 2, 1, 2, 1), (16, 24, 48, 88, 120, 208, 352)
        for i, cout in enumerate(widths):
            stage = [MBConv(cin, cout, kernels[i], strides[i], 6 if i else 1)]
            stage += [
                MBConv(cout, cout, kernels[i], 1, 6 if i else 1) for _ in range(repeats[i] - 1)
            ]
            self.blocks.append(seq(*stage))
            cin = cout
        self.conv_head, self.bn2 = conv(352, 1408, 1), nn.BatchNorm2d(1408)  # never run

    def forward(self, x):
        x = F.silu(self.bn1(self.conv_stem(x)))
        maps = [x]
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in (1, 2, 4, 6):
                maps.append(x)
        return maps


class Pair(nn.Module):
    def __init__(self, cin, c):
        super().__init__()
        self.conv1 = seq(conv(cin, c), nn.BatchNorm2d(c), nn.ReLU())
        self.conv2 = seq(conv(c, c), nn.BatchNorm2d(c), nn.ReLU())

    def forward(self, x):
        return self.conv2(self.conv1(x))


class UNet(nn.Module):
    def __init__(self, classes=1):
        super().__init__()
        self.encoder, self.decoder = EfficientNet(), nn.Module()
        widths = ((352 + 120, 256), (256 + 48, 128), (128 + 24, 64), (64 + 32, 32), (32, 16))
        self.decoder.blocks = nn.ModuleList(Pair(*pair) for pair in widths)
        self.segmentation_head = seq(conv(16, classes, bias=True))

    def forward(self, image):
        *skips, x = self.encoder(image)
        for block, skip in zip(self.decoder.blocks, [*reversed(skips), None], strict=True):
            x = resize(x, image if skip is None else skip, "nearest")
            x = block(x if skip is None else torch.cat([x, skip], 1))
        return [self.segmentation_head(x)]


# --------------------------------------------------------------------------- the script

# file name: (network, sizes of its inputs, leading axes of an input)
NETWORKS = {
    "skynet": (SkyNet, ((64, 96), (36, 60)), (1,)),
    "u2net": (lambda: U2Net(small=False), ((64, 96), (75, 107)), (1,)),
    "u2netp": (lambda: U2Net(small=True), ((64, 96), (75, 107)), (1,)),
    "deeplabv3_xception": (DeepLab, ((64, 96), (65, 97)), (1,)),
    "deeplabv3_xception_8": (lambda: DeepLab(output_stride=8), ((64, 96),), (1,)),
    "bisenetv2": (BiSeNetV2, ((64, 96), (96, 32)), (1,)),
    "pspnet": (PSPNet, ((64, 96), (65, 97)), (1,)),
    "pspnet_101": (lambda: PSPNet(101), ((65, 97),), (1,)),
    "resnet_lstm": (lambda: ResNetLstm(3, 64, 96, psp=False), ((64, 96),), (2, 4)),
    "resnet_lstm_psp": (lambda: ResNetLstm(3, 96, 32, psp=True), ((96, 32),), (2, 4)),
    "unet_efficientnet_b2": (UNet, ((64, 96), (96, 32)), (1,)),
}


def run(network, image, dtype):
    """NHWC in, list of NHWC out."""
    channels_first = torch.from_numpy(np.moveaxis(image, -1, -3).copy()).to(dtype)
    with torch.no_grad():
        return [np.moveaxis(y.numpy(), 1, -1) for y in network.to(dtype).eval()(channels_first)]


def calibrate(network, image):
    """Half the binary logarithm of the variance before each batch normalization, rounded.

    Each is applied as soon as it is known, so that the next ones see what they will see.
    """
    exponents = {}

    def watch(name):
        def hook(module, inputs):
            variance = inputs[0].var((0, 2, 3), correction=0).mean().item()
            exponents[name] = round(np.log2(variance) / 2) if variance else 0  # 0: a 1x1 map
            module.running_mean *= 2.0 ** exponents[name]
            module.running_var *= 4.0 ** exponents[name]

        return hook

    modules = network.named_modules()
    norms = [(name, module) for name, module in modules if isinstance(module, nn.BatchNorm2d)]
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in norms]
    run(network, image, torch.float32)
    for hook in hooks:
        hook.remove()
    return exponents


def write_reference(name):
    build, sizes, leading = NETWORKS[name]
    network = build()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}

    def load(exponents):
        state = seeded_state(shapes, exponents)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})

    load({})
    exponents = calibrate(network, seeded_input(0, (*leading, *sizes[0], 3)))
    content = {
        "names": np.array(list(shapes)),
        "shapes": np.array(["x".join(map(str, shape)) for shape in shapes.values()]),
        "norms": np.array(list(exponents)),
        "exponents": np.array(list(exponents.values()), np.int8),
        "sizes": np.array(sizes),
    }
    for index, size in enumerate(sizes):
        image = seeded_input(index, (*leading, *size, 3))
        load(exponents)
        rounded, exact = run(network, image, torch.float32), run(network, image, torch.float64)
        for number, (output, other) in enumerate(zip(exact, rounded, strict=True)):
            key, noise = f"aux_{number}" if number else "logits", np.abs(output - other).max()
            content |= {f"{index}:{key}": sample(output), f"{index}:{key}:noise": noise}
            print(f"{name} {size} {key}: std {output.std():.3g}, float32 off by {noise:.2g}")
    path = Path(__file__).with_name(f"{name}.npz")
    np.savez_compressed(path, **content)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NETWORKS:
        write_reference(chosen)
