"""PyTorch's side of benchmarks/runtimes.py, run by a Python that has torch (and numpy) alone.

    python benchmarks/torch_peer.py NETWORK WEIGHTS.npz PHOTOS.npy OUT THREADS

It does what the exports do: uint8 RGB (1, H, W, 3) in, probabilities out, without the heads that
only training needs. Answers one line of JSON per line "MODE SECONDS" of stdin: the milliseconds
of as many inferences as fit; OUT gets <MODE>.npy, the probabilities of all photos.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "references"))
import torch_networks


class BiSeNetV2(torch_networks.BiSeNetV2):
    """The published network without its training heads."""

    def forward(self, x):
        """(B, 3, H, W) to logits (B, C, H, W)."""
        detail, segment = self.detail.S3(self.detail.S2(self.detail.S1(x))), self.segment
        deep = segment.S5_4(segment.S4(segment.S3(segment.S1S2(x))))
        return self.head(self.bga(detail, segment.S5_5(deep)))


class Branch(nn.Sequential):
    """Skyline's residual block: two convolutions beside the identity."""

    def __init__(self, channels):
        last = nn.Module()
        last.conv = torch_networks.conv(channels, channels)
        last.bn = nn.BatchNorm2d(channels)
        super().__init__(torch_networks.Named(channels, channels), last)

    def forward(self, x):
        """(B, C, H, W) to the same."""
        first, last = self
        return F.relu(last.bn(last.conv(first(x))) + x)


class Skyline(nn.Module):
    """skyseg_tf/models/skyline.py, layer by layer."""

    def __init__(self, classes, widths):
        """Widths: of each convolution by its name, so that this follows Skyline's numbers."""
        super().__init__()
        Named, conv = torch_networks.Named, torch_networks.conv
        skips = self.add_encoder(widths)
        stem, channels = skips[0], skips[-1]
        bins = [key.split(".")[1] for key in widths if key.startswith("context.")]
        self.context = nn.ModuleDict({n: conv(channels, channels, 1, bias=True) for n in bins})
        self.decoder = nn.ModuleList()
        skips.pop()
        while skips[1:]:
            filters = widths[f"decoder.{len(self.decoder)}.conv"]
            level = Named(filters, filters)
            level.reduce = conv(channels, filters, 1)
            level.lateral = conv(skips.pop(), filters, 1)
            level.sum = nn.BatchNorm2d(filters)
            self.decoder.append(level)
            channels = filters
        self.fine = Named(stem, stem)
        self.fine.reduce = conv(channels, stem, 1)
        self.head = nn.ConvTranspose2d(stem, classes, 2, 2)

    def add_encoder(self, widths):
        """Makes the encoder's layers; the channels of its five maps."""
        Named = torch_networks.Named
        skips = [widths["stem.conv"]]
        self.stem, self.stages = Named(3, skips[0], 3, 2), nn.ModuleList()
        for index in range(sum(key.endswith("down.conv") for key in widths)):
            stage, filters = nn.Module(), widths[f"stages.{index}.down.conv"]
            stage.down = Named(skips[-1], filters, 3, 2)
            for block in range(sum(key.startswith(f"stages.{index}.") for key in widths) // 2):
                stage.add_module(str(block), Branch(filters))
            self.stages.append(stage)
            skips.append(filters)
        return skips

    def encode(self, image):
        """(B, 3, H, W) to the five maps, strides 2 to 32."""
        skips = [self.stem(image)]
        for stage in self.stages:
            x = skips[-1]
            for block in stage.children():
                x = block(x)
            skips.append(x)
        return skips

    def forward(self, image):
        """(B, 3, H, W) to logits (B, C, H, W)."""
        resize, skips = torch_networks.resize, self.encode(image)
        x = skips.pop()
        views = [
            resize(F.relu(layer(F.adaptive_avg_pool2d(x, int(bins)))), x)
            for bins, layer in self.context.items()
        ]
        x = sum(views, x)
        for level in self.decoder:
            skip = level.lateral(skips.pop())
            x = level(F.relu(level.sum(resize(level.reduce(x), skip) + skip)))
        stem = skips.pop()
        x = self.fine(resize(self.fine.reduce(x), stem) + stem)
        return resize(self.head(x), image)


class SameConv2d(nn.Conv2d):
    """Padded as TensorFlow's SAME: on even sizes a stride of 2 pads the bottom and the right."""

    def forward(self, x):
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for n in (x.shape[3], x.shape[2]):
            total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class InvertedResidual(nn.Module):
    """A block of EfficientNet-Lite0, under its published names."""

    def __init__(self, into, filters, kernel, stride, expands):
        super().__init__()
        inside = 6 * into if expands else into
        if expands:
            self._expand_conv = torch_networks.conv(into, inside, 1)
            self._bn0 = nn.BatchNorm2d(inside, 1e-3)
        self._depthwise_conv = SameConv2d(inside, inside, kernel, stride, groups=inside, bias=False)
        self._bn1 = nn.BatchNorm2d(inside, 1e-3)
        self._project_conv = torch_networks.conv(inside, filters, 1)
        self._bn2 = nn.BatchNorm2d(filters, 1e-3)
        self.expands, self.beside = expands, stride == 1 and into == filters

    def forward(self, x):
        """(B, C, H, W) to (B, filters, ceil(H / stride), ceil(W / stride))."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.beside else y


class SkylineLite0(Skyline):
    """skyline_lite0 of skyseg_tf/models/skyline.py."""

    STRIDED, SKIPS = (1, 3, 5, 11), (0, 2, 4, 10, 14)  # blocks
    LARGE = (3, 4, 8, 9, 10, 11, 12, 13, 14)  # blocks with kernels of 5

    def add_encoder(self, widths):
        """Makes the encoder's layers; the channels of its five maps."""
        self.encoder, channels, skips = nn.Module(), widths["encoder._conv_stem"], []
        self.encoder._conv_stem = SameConv2d(3, channels, 3, 2, bias=False)
        self.encoder._bn0 = nn.BatchNorm2d(channels, 1e-3)
        self.encoder._blocks = nn.ModuleList()
        for index in range(self.SKIPS[-1] + 1):
            filters = widths[f"encoder._blocks.{index}._project_conv"]
            kernel, stride = 5 if index in self.LARGE else 3, 2 if index in self.STRIDED else 1
            expands = f"encoder._blocks.{index}._expand_conv" in widths
            self.encoder._blocks.append(
                InvertedResidual(channels, filters, kernel, stride, expands)
            )
            channels = filters
            if index in self.SKIPS:
                skips.append(channels)
        return skips

    def encode(self, image):
        """(B, 3, H, W) to the five maps, strides 2 to 32."""
        x, skips = F.relu6(self.encoder._bn0(self.encoder._conv_stem(image))), []
        for index, block in enumerate(self.encoder._blocks):
            x = block(x)
            if index in self.SKIPS:
                skips.append(x)
        return skips


class FromRgb(nn.Module):
    """Raw RGB to probabilities, as runs.make_saved_model."""

    def __init__(self, network, mean, std):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, rgb):
        """(B, H, W, 3) uint8 to (B, H, W, C) float32."""
        x = (rgb.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        logits = self.network(x)
        probs = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        return probs.permute(0, 2, 3, 1)


class HalfPrecision(nn.Module):
    """A model under bfloat16 autocast."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, rgb):
        """As the model, in float32 again."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(rgb).float()


def load(name: str, weights: dict) -> nn.Module:
    """A network with our weights; every weight that it runs must be there."""
    classes = int(weights.pop("classes"))
    mean, std = weights.pop("mean"), weights.pop("std")
    widths = {k.removesuffix(".weight"): len(v) for k, v in weights.items() if v.ndim == 4}
    kinds = {"skyline": Skyline, "skyline_lite0": SkylineLite0}
    network = BiSeNetV2(classes) if name == "bisenetv2" else kinds[name](classes, widths)
    state = {key: torch.tensor(value) for key, value in weights.items()}
    result = network.load_state_dict(state, strict=False)
    unset = [k for k in result.missing_keys if "num_batches" not in k and not k.startswith("aux")]
    if unset or result.unexpected_keys:
        raise SystemExit(f"{name}: missing {unset[:3]}, unexpected {result.unexpected_keys[:3]}")
    return FromRgb(network, mean, std).eval()


def main() -> None:
    """Serves measurements until stdin ends."""
    name, weights, photos, out, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    photos = torch.tensor(np.load(photos))
    models = {}
    with torch.inference_mode():
        for line in sys.stdin:
            mode, seconds = line.rsplit(maxsplit=1)
            if mode not in models:
                model = load(name, dict(np.load(weights)))
                if mode == "eager, channels last":
                    model = model.to(memory_format=torch.channels_last)
                if mode == "compiled, bfloat16":
                    model = HalfPrecision(model)
                models[mode] = torch.compile(model) if mode.startswith("compiled") else model
                probs = torch.cat([models[mode](photo[None]) for photo in photos])
                np.save(Path(out) / f"{mode}.npy", probs.numpy())
            times, end = [], time.perf_counter() + float(seconds)
            models[mode](photos[:1])
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                models[mode](photos[:1])
                times.append((time.perf_counter() - start) * 1e3)
            print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
