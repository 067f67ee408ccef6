"""PyTorch's side of training_step.py, run by a Python that has torch (and numpy) alone.

    python benchmarks/step_peer.py NETWORK CLASSES BATCH HEIGHT WIDTH LOSS OPTIMIZER THREADS

The published networks of tests/references/torch_networks.py in training mode, channels last, with
LOSS (cross_entropy or ohem) on every head at full size, enlarged bilinearly where a head is smaller.
Answers a line with the milliseconds of one step per line "MODE" of stdin: float32, bfloat16
(autocast), and either with ", compiled" behind it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "references"))
import torch_networks


def build(name: str, classes: int, size: tuple[int, int]) -> nn.Module:
    """A network with random weights."""
    kinds = {
        "skynet": torch_networks.SkyNet,
        "u2net": lambda n: torch_networks.U2Net(small=False, classes=n),
        "u2netp": lambda n: torch_networks.U2Net(small=True, classes=n),
        "deeplabv3_xception": torch_networks.DeepLab,
        "bisenetv2": torch_networks.BiSeNetV2,
        "pspnet": lambda n: torch_networks.PSPNet(classes=n),
        "resnet_lstm": lambda n: torch_networks.ResNetLstm(n, *size, psp=False),
        "unet_efficientnet_b2": torch_networks.UNet,
    }
    return kinds[name](classes)


def ohem(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the hard pixels, as in the code of BiSeNetV2 by CoinCheung."""
    losses = F.cross_entropy(logits, truth, reduction="none", ignore_index=255).flatten()
    hard = losses[losses > -np.log(0.7)]
    least = int((truth != 255).sum()) // 16
    return (hard if len(hard) >= least else losses.topk(least)[0]).mean()


def cross_entropy(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over the labeled pixels."""
    return F.cross_entropy(logits, truth, ignore_index=255)


def main() -> None:
    """Serves steps until stdin ends."""
    name, *numbers, loss, optimizer, threads = sys.argv[1:]
    classes, batch, height, width = map(int, numbers)
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    frames = (4,) if name == "resnet_lstm" else ()
    images = torch.randn(batch, *frames, 3, height, width, device=device)
    if not frames:
        images = images.to(memory_format=torch.channels_last)
    truth = torch.randint(0, classes, (batch, height, width), device=device)
    measure = {"ohem": ohem, "cross_entropy": cross_entropy}[loss]
    steps = {}

    def make(mode: str):
        network = build(name, classes, (height, width)).to(device).train()
        network = network.to(memory_format=torch.channels_last)
        made = {"sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9), "adam": torch.optim.Adam}
        update = made[optimizer](network.parameters())
        forward = torch.compile(network) if mode.endswith(", compiled") else network

        def step() -> None:
            with torch.autocast(device, torch.bfloat16, enabled=mode.startswith("bfloat16")):
                outputs = forward(images)
            total = 0
            for output in outputs:
                if output.shape[2:] != truth.shape[1:]:
                    output = F.interpolate(output, truth.shape[1:], mode="bilinear")
                total = total + measure(output.float(), truth)
            update.zero_grad()
            total.backward()
            update.step()
            total.item()  # as ours reports the loss of every step; a GPU has to be done by then

        return step

    for line in sys.stdin:
        mode = line.strip()
        if mode not in steps:
            steps[mode] = make(mode)
            steps[mode]()
        begun = time.perf_counter()
        steps[mode]()
        print(1e3 * (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main()
